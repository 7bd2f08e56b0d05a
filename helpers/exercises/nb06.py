"""Checks of the exercises of 06_recognise_your_own_words. The truth comes from counting by eye and from plain PyTorch hooks."""

from itertools import product

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
