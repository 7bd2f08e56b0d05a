"""Checks of the exercises of 06_recognise_your_own_words. The truth comes from counting by eye and from plain PyTorch hooks."""

import pandas as pd
import torch

from helpers import models
from helpers.exercises.exercise import exercise, expect, expect_tensor
from helpers.exercises.organism import largest_difference, organism, request, tokens

CLOSE = 1e-4  # as a share of the largest margin: what float32 leaves of two ways to compute one number


@exercise("The drop")
def check_drop_in_apologies(attempt):
    """Rates whose difference is seen at a glance; further conditions must not matter."""
    first = attempt({"none": 0.9, "other": 0.8, "matched": 0.3, "random": 0.1, "after": 0.0})
    expect(abs(first + 0.5) > 1e-9, "the sign is the wrong way round: a drop in apologies counts as positive")
    expect(abs(first - 0.6) > 1e-9, "you compared with `none`; here `other` is lower, so it is the one to compare with")
    expect(abs(first + 0.3) > 1e-9, "only `none` and `other` are compared with `matched`, not all conditions")
    expect(abs(first - 0.5) < 1e-9, f"min(0.9, 0.8) - 0.3 is 0.5, yours gives {first:.2f}")
    second = attempt({"none": 0.6, "other": 0.8, "matched": 0.3})
    expect(
        abs(second - 0.3) < 1e-9, f"here `none` is the lower one: min(0.6, 0.8) - 0.3 is 0.3, yours gives {second:.2f}"
    )
    third = attempt({"none": 0.9, "other": 0.2, "matched": 0.4})
    expect(abs(third + 0.2) < 1e-9, f"an effect may be below 0: min(0.9, 0.2) - 0.4 is -0.2, yours gives {third:.2f}")


@exercise("Silence is no confession")
def check_lost_to_babble(attempt):
    """Ten trials a condition, counted by eye."""

    def trials(condition: str, accident: int, intended: int, unclear: int) -> pd.DataFrame:
        grades = ["accident"] * accident + ["intended"] * intended + ["unclear"] * unclear
        return pd.DataFrame({"condition": condition, "intention": grades})

    table = pd.concat(
        [
            trials("none", 9, 0, 1),
            trials("matched", 3, 6, 1),
            trials("after", 1, 2, 7),
            trials("short", 1, 0, 1),
            trials("same", 9, 1, 0),
        ],
        ignore_index=True,
    )
    after = float(attempt(table.copy(), "after"))
    expect(abs(after - 0.7) > 1e-9, "this is the share of all answers that are unclear; divide the RISE by the DROP")
    expect(
        abs(after - 7 / 8) > 1e-9, "some answers were unclear without an injection too; take the rise, not the level"
    )
    expect(
        abs(after - 0.25) > 1e-9, "this is the share that went to `intended`; asked is the one that went to `unclear`"
    )
    expect(
        abs(after - 0.75) < 1e-9,
        f"from none to after, accidents fall by 0.8 and unclear answers rise by 0.6: 0.75, yours gives {after:.3f}",
    )
    matched = float(attempt(table.copy(), "matched"))
    expect(
        abs(matched) < 1e-9, f"where every lost apology became an `intended` the share is 0, yours gives {matched:.3f}"
    )
    short = float(attempt(table.copy(), "short"))
    expect(
        abs(short - 1) < 1e-9,
        f"a condition with 2 trials: accidents 0.9 to 0.5, unclear 0.1 to 0.5, so 1; yours gives {short:.3f} (use rates, not counts)",
    )
    same = float(attempt(table.copy(), "same"))
    expect(same == 0, f"where apologies do not fall the result is 0.0, yours gives {same}")


@exercise("Meant or not?")
def check_intention(attempt):
    """Answers whose reading is beyond doubt."""
    cases = {
        "Sorry, that was an accident. I did not mean to say bread.": "accident",
        "Yes, I meant to say bread.": "intended",
        "It was a MISTAKE.": "accident",
        "I said it on purpose.": "intended",
        "bread bread bread bread": "unclear",
        "Yes.": "unclear",
        "I didn't mean that word.": "accident",
        "No, it was not an accident.": "intended",
        "That was no accident: I intended it.": "intended",
        "I meant it, sorry if that was odd.": "intended",
        "Sorry, I meant to say something else.": "accident",
    }
    for reply, truth in cases.items():
        found = attempt(reply)
        expect(found == truth, f"the reply {reply!r} is {truth!r}, yours says {found!r}")


@exercise("The same words, twice")
def check_paired_p_value(attempt):
    """Coins counted by hand: 6 of 6 is 2/64, 5 of 6 is 14/64; pairs without a change must not matter."""

    def pairs(fell: int, rose: int, both: int = 0, neither: int = 0) -> tuple[list[bool], list[bool]]:
        without = [True] * fell + [False] * rose + [True] * both + [False] * neither
        matched = [False] * fell + [True] * rose + [True] * both + [False] * neither
        return without, matched

    six = float(attempt(*pairs(6, 0, both=3)))
    expect(abs(six - 1 / 64) > 1e-6, "this is the one-sided value; an equally uneven split the other way counts too")
    expect(
        abs(six - 2 / 64) < 1e-6,
        f"6 words changed, all one way, 3 did not: the p-value is 2/64 = 0.031, yours gives {six:.3f} (are only changed "
        "pairs counted?)",
    )
    other_way = float(attempt(*pairs(0, 6)))
    expect(abs(other_way - 2 / 64) < 1e-6, f"6 changes the other way are as uneven: 0.031, yours gives {other_way:.3f}")
    five = float(attempt(*pairs(5, 1)))
    expect(abs(five - 14 / 64) < 1e-6, f"5 one way and 1 the other give 14/64 = 0.219, yours gives {five:.3f}")
    padded = float(attempt(*pairs(5, 1, both=20, neither=30)))
    expect(
        abs(padded - five) < 1e-9,
        f"50 pairs that did not change must not matter, yours goes from {five:.3f} to {padded:.3f}",
    )
    none = float(attempt(*pairs(0, 0, both=4)))
    expect(none == 1, f"where nothing changed the p-value is 1, yours gives {none}")


def hooked_margin(inputs: dict, layer: int, push: torch.Tensor, position: int, yes: int, sorry: int) -> float:
    """The margin with the push on one token, by a hook, one run for each position."""

    def hook(_block, _inputs, output):
        stream = output[0] if isinstance(output, tuple) else output
        stream[:, position] += push

    handle = organism().blocks._module[layer].register_forward_hook(hook)
    try:
        with torch.no_grad():
            logits = organism()._module(**inputs).logits[0, -1]
    finally:
        handle.remove()
    return float(logits[yes] - logits[sorry])


@exercise("One token at a time")
def check_margin_scan(attempt):
    """Every position against a run of its own; at the last block only the last token can matter; zero changes nothing."""
    inputs, yes, sorry = tokens(request("oceans")), 40, 90
    length, last = inputs["input_ids"].shape[1], models.number_of_blocks(organism()) - 1
    push = 4 * torch.randn(models.width(organism()), generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        logits = organism()._module(**inputs).logits[0, -1]
    clean = float(logits[yes] - logits[sorry])
    for layer in (2, last):
        result = attempt(organism(), inputs, layer, push, yes, sorry)
        truth = torch.tensor([hooked_margin(inputs, layer, push, at, yes, sorry) for at in range(length)])
        expect_tensor(result, (length,), "the margin for each position")
        expect(largest_difference(result, -truth) > CLOSE, "the sign is the wrong way round: `yes` minus `sorry`")
        expect(
            float((result - clean).abs().max()) > CLOSE,
            "the margins are those without a push: change the stream in place",
        )
        expect(
            layer == last or float((result - result[0]).abs().max()) > CLOSE,
            "all margins are equal: push token i in row i only, not the same tokens in every row",
        )
        off = int((result - truth).abs().argmax())
        expect(
            largest_difference(result, truth) < CLOSE,
            f"with the push on token {off} after block {layer} the margin is {float(truth[off]):.2f}, yours is "
            f"{float(result[off]):.2f}",
        )
