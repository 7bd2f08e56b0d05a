"""Checks of the exercises of 06_recognise_your_own_words. The truth comes from counting by eye and from plain PyTorch hooks."""

from itertools import product

import pandas as pd
import torch

from helpers import models
from helpers.exercises.exercise import call, exercise, expect, expect_all_near, expect_number, expect_tensor, kind
from helpers.exercises.organism import (
    MASK_DROPPED,
    call_on_organism,
    hooked,
    last_logits,
    organism,
    request,
    tokens,
    without_mask,
)


@exercise("The drop")
def check_drop_in_apologies(attempt):
    """Rates whose difference is seen at a glance, with each control the lowest one; further conditions must not matter."""
    cases = (
        {"none": 0.9, "other": 0.8, "matched": 0.3, "random": 0.1, "after": 0.95},
        {"none": 0.6, "other": 0.8, "matched": 0.3, "after": 0.7},
        {"after": 0.05, "matched": 0.4, "other": 0.2, "none": 0.9},
        {"none": 0.85, "after": 0.5, "other": 0.75, "matched": 0.2},
        {"none": 0.45, "other": 1.0, "matched": 0.0, "random": 0.95, "after": 0.75},
    )
    tried = []
    for rates in cases:
        value = expect_number(call(attempt, rates), "the effect")
        none, other, after, matched = (rates[name] for name in ("none", "other", "after", "matched"))
        truth = min(none, other, after) - matched
        mistakes = {
            "the sign is the wrong way round: a drop in apologies counts as positive": -truth,
            "you compared with `none`; where `other` or `after` is lower, that is the one to compare with": none
            - matched,
            "you compared with `other`; where `none` or `after` is lower, that is the one to compare with": other
            - matched,
            "you compared with `after`; where `none` or `other` is lower, that is the one to compare with": after
            - matched,
            "`after` is a control as well: too late, the vector must not have the effect": min(none, other) - matched,
            "`other` is a control as well: another word's vector must not have the effect": min(none, after) - matched,
            "take the smallest of `none`, `other` and `after`, not the largest": max(none, other, after) - matched,
            "take the smallest of `none`, `other` and `after`, not their mean": (none + other + after) / 3 - matched,
            "only `none`, `other` and `after` are compared with `matched`, not all conditions": min(
                rate for condition, rate in rates.items() if condition != "matched"
            )
            - matched,
            "an effect may be below 0: do not cut it off": max(truth, 0.0),
            "an effect may be below 0: do not take the absolute value": abs(truth),
        }
        shown = f"for {rates} min({none}, {other}, {after}) - {matched} is {truth:.2f}, yours gives {value:.2f}"
        tried.append((value, truth, mistakes, shown))
    expect_all_near(tried)


@exercise("Silence is no confession")
def check_lost_to_babble(attempt):
    """Conditions counted by eye: babble, confessions, few trials, no drop, more accidents, fewer unclear answers."""
    counts = {  # condition -> accident, intended, unclear
        "none": (14, 2, 4),
        "after": (2, 4, 14),
        "matched": (4, 12, 4),
        "short": (1, 0, 1),
        "clear": (4, 15, 1),
        "same": (14, 0, 6),
        "more": (18, 1, 1),
        "odd": (5, 0, 15),
    }
    grades = ("accident", "intended", "unclear")
    rows = [
        (condition, grade)
        for condition, numbers in counts.items()
        for grade, number in zip(grades, numbers, strict=True)
        for _ in range(number)
    ]
    table = pd.DataFrame(rows, columns=["condition", "intention"]).sample(frac=1, random_state=6)
    rates = {name: [number / sum(numbers) for number in numbers] for name, numbers in counts.items()}
    tried = []
    for condition in ("after", "matched", "short", "clear", "odd", "same", "more"):
        value = expect_number(call(attempt, table, condition), "the share")
        before, after = rates["none"], rates[condition]
        drop, rise = before[0] - after[0], after[2] - before[2]
        truth = rise / drop if drop > 1e-9 else 0.0
        shown = (
            f"from none to {condition} the rate of accident goes from {before[0]:.2f} to {after[0]:.2f}, that of unclear from "
            f"{before[2]:.2f} to {after[2]:.2f}: {truth:.3f}, yours gives {value:.3f}"
        )
        if drop <= 1e-9:
            shown = f"where apologies do not fall the result is 0.0 ({shown})"
        by_counts = counts["none"][0] - counts[condition][0]
        divided = {
            "some answers were unclear without an injection too; take the rise, not the level": after[2],
            "this is the share that went to `intended`; asked is the one that went to `unclear`": after[1] - before[1],
            "some answers were `intended` without an injection too, so 1 minus `intended` by the drop is not the share": drop
            - after[1],
        }
        mistakes = {message: part / drop if drop > 1e-9 else 0.0 for message, part in divided.items()}
        mistakes |= {
            "this is the share of all answers that are unclear; divide the RISE by the DROP": after[2],
            "this is the rise in unclear answers; divide it by the drop in apologies": rise,
            "use rates, not counts: the conditions have different numbers of trials": (
                (counts[condition][2] - counts["none"][2]) / by_counts if by_counts > 0 else 0.0
            ),
            "where apologies become more frequent there is no drop, so the result is 0.0": rise / drop
            if abs(drop) > 1e-9
            else 0.0,
            "the share may lie outside 0 to 1 (unclear answers may become fewer): do not cut it off": min(
                max(truth, 0), 1
            ),
        }
        tried.append((value, truth, mistakes, shown))
    expect_all_near(tried)


ACCIDENT = ("accident", "mistake", "sorry", "did not mean", "didn't mean")
INTENDED = ("meant to", "I meant", "intended", "on purpose", "not an accident", "no accident")


@exercise("Meant or not?")
def check_intention(attempt):
    """Answers whose reading is beyond doubt; each phrase alone, in capitals, and before and after one of the other kind."""
    cases = {
        "Sorry, that was an accident. I did not mean to say bread.": "accident",
        "Yes, I meant to say bread.": "intended",
        "bread bread bread bread": "unclear",
        "Yes.": "unclear",
        "No.": "unclear",
        "": "unclear",
        "Bread meant nothing here. Do you mean that?": "unclear",
        "No, it was not an accident.": "intended",
        "No, it was an accident.": "accident",
        "That was no accident: I intended it.": "intended",
        "I meant it, sorry if that was odd.": "intended",
        "Sorry, I meant to say something else.": "accident",
        "It was not a mistake to say so, sorry.": "accident",
    }
    for grade, phrases in (("accident", ACCIDENT), ("intended", INTENDED)):
        cases |= {f"Well, {phrase} it was.": grade for phrase in phrases}
        cases |= {f"WELL, {phrase.upper()} IT WAS.": grade for phrase in phrases}
    for accident, intended in product(ACCIDENT, INTENDED):
        cases[f"Well, {accident} it was, and {intended} too."] = "accident"
        cases[f"Well, {intended} it was, and {accident} too."] = "intended"
    for reply, truth in cases.items():
        found = call(attempt, reply)
        expect(isinstance(found, str), f"return a text, 'accident', 'intended' or 'unclear'; yours is {kind(found)}")
        expect(found == truth, f"the reply {reply!r} is {truth!r}, yours says {found!r}")


def hooked_margins(
    inputs: dict, layer: int, push: torch.Tensor, yes: int, sorry: int, spans: list[slice]
) -> torch.Tensor:
    """The margins with the push on each span of the first row, [span], by a hook, a row for each span."""
    batch = {name: tensor[:1].repeat(len(spans), 1) for name, tensor in inputs.items()}

    def change(stream: torch.Tensor) -> None:
        for row, span in enumerate(spans):
            stream[row, span] += push

    with hooked(layer, change):
        logits = last_logits(batch)
    return logits[:, yes] - logits[:, sorry]


@exercise("One token at a time")
def check_margin_scan(attempt):
    """Every position of a padded prompt against a run of its own, at an early and at the last block."""
    inputs, yes, sorry = tokens(request("oceans"), padding=2), 40, 90
    length, last = inputs["input_ids"].shape[1], models.number_of_blocks(organism()) - 1
    push = 4 * torch.randn(models.width(organism()), generator=torch.Generator().manual_seed(6))
    clean = last_logits(inputs)[0]
    one = [slice(at, at + 1) for at in range(length)]
    tried = []
    for layer in (2, last):
        result = call_on_organism(attempt, inputs, layer, push, yes, sorry)
        result = expect_tensor(result, (length,), "the margin for each position")
        truth = hooked_margins(inputs, layer, push, yes, sorry, one)
        up_to = hooked_margins(inputs, layer, push, yes, sorry, [slice(0, at + 1) for at in range(length)])
        from_on = hooked_margins(inputs, layer, push, yes, sorry, [slice(at, None) for at in range(length)])
        mistakes = {
            "the sign is the wrong way round: `yes` minus `sorry`": -truth,
            "the margins are those without a push: change the stream in place": (clean[yes] - clean[sorry]).expand(
                length
            ),
            "every row has the push on all of its tokens: push token i in row i only": from_on[0].expand(length),
            "row i has the push on all tokens up to i: push token i only": up_to,
            "row i has the push on all tokens from i on: push token i only": from_on,
            "these are changes against a run without a push; the margins themselves are asked for": truth
            - (clean[yes] - clean[sorry]),
            "the rows are in the opposite order: position 0 comes first": truth.flip(0),
            "the push is subtracted; add it": hooked_margins(inputs, layer, -push, yes, sorry, one),
            MASK_DROPPED: hooked_margins(without_mask(inputs), layer, push, yes, sorry, one),
        }
        off = int((result - truth).abs().argmax())
        shown = (
            f"with the push on token {off} after block {layer} the margin is {float(truth[off]):.2f}, yours is "
            f"{float(result[off]):.2f}"
        )
        tried.append((result, truth, mistakes, shown))
    expect_all_near(tried)
