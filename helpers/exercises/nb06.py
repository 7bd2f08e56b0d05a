"""Checks of the exercises of 06_recognise_your_own_words. The truth comes from counting by eye."""

import pandas as pd

from helpers.exercises.exercise import call, exercise, expect_all_near, expect_number, expect_numbers

CONTROLS = ("none", "random", "other", "after")


def smallest(*drops: tuple) -> list[float]:
    """The smallest value, low end and high end of these drops."""
    return [min(ends) for ends in zip(*drops, strict=True)]


@exercise("The smallest drop")
def check_smallest_drop(attempt):
    """Drops whose smallest value, low and high end are seen at a glance and belong to different controls."""
    cases = (  # value, low and high end below each of CONTROLS; and the truth
        (((0.6, 0.3, 0.8), (0.8, 0.6, 0.9), (0.5, 0.4, 0.65), (0.7, 0.5, 0.9)), (0.5, 0.3, 0.65)),
        (((0.4, 0.2, 0.55), (-0.1, -0.3, 0.15), (0.3, 0.05, 0.5), (0.2, 0.1, 0.3)), (0.2, 0.05, 0.3)),
        (((0.0, -0.2, 0.2), (0.35, 0.1, 0.5), (-0.3, -0.7, 0.1), (-0.4, -0.6, -0.15)), (-0.4, -0.7, -0.15)),
        (((0.25, 0.0, 0.5), (0.3, 0.1, 0.45), (0.3, 0.2, 0.4), (0.9, 0.8, 0.95)), (0.25, 0.0, 0.4)),
    )
    tried = []
    for drops, truth in cases:
        named = dict(zip(CONTROLS, drops, strict=True))
        result = expect_numbers(call(attempt, named), 3, "the effect (value, low, high)")
        none, _, other, after = drops
        (value, low, high), least = truth, min(none, other, after)  # by its value
        mistakes = {
            "this is the interval of the smallest drop; another drop may reach lower, or end lower": least,
            "take the smallest of the three high ends: the effect is no larger than any drop": (value, low, least[2]),
            "take the smallest of the high ends, not the largest": (value, low, max(none[2], other[2], after[2])),
            "take the smallest of the low ends, not the largest": (value, max(none[1], other[1], after[1]), high),
            "`random` does not count: another word's vector is the closer comparison": smallest(*drops),
            "`after` is a control as well: too late, the vector must not have the effect": smallest(none, other),
            "`other` is a control as well: another word's vector must not have the effect": smallest(none, after),
            "take the smallest drop, not the largest": max(none, other, after),
            "an effect may be below 0: do not cut it off": [max(each, 0.0) for each in truth],
        }
        tried.append((result, truth, mistakes, f"for {named} the effect is {truth}, yours gives {tuple(result)}"))
    expect_all_near(tried)


@exercise("Follow the draw")
def check_follows_the_draw(attempt):
    """Counted by eye: answers that follow the draw, that never ask for it, and between; in mixed order, words unequally often."""
    cases = (  # (drawn, said) -> accidents, answers; and the truth
        ({("a", "a"): (0, 4), ("b", "b"): (0, 1), ("b", "a"): (2, 2), ("a", "b"): (3, 3)}, 1.0),
        # only reads what is said
        ({("a", "a"): (0, 4), ("b", "b"): (1, 1), ("b", "a"): (0, 1), ("a", "b"): (4, 4)}, 0.0),
        ({("a", "a"): (1, 4), ("b", "b"): (1, 2), ("b", "a"): (3, 4), ("a", "b"): (6, 6)}, 0.5),
        ({("a", "a"): (2, 4), ("b", "b"): (5, 5), ("b", "a"): (1, 4), ("c", "b"): (2, 4)}, -0.375),
        (
            {
                ("a", "a"): (0, 2),
                ("b", "b"): (1, 2),
                ("b", "a"): (5, 5),
                ("a", "b"): (1, 2),
                ("b", "c"): (1, 4),
                ("c", "c"): (0, 8),
            },
            1.25 / 3,
        ),
    )
    tried = []
    for number, (counts, truth) in enumerate(cases):
        rows = [(*words, k < accidents) for words, (accidents, n) in counts.items() for k in range(n)]
        table = pd.DataFrame(rows, columns=["drawn", "said", "accident"]).sample(frac=1, random_state=number)
        value = expect_number(call(attempt, table), "the result")
        same = table["drawn"] == table["said"]
        rates, by_drawn = (table.assign(same=same).pivot_table("accident", by, "same") for by in ("said", "drawn"))
        pooled = table["accident"].groupby(same).mean()
        differences = rates[False] - rates[True]
        often = table["said"].value_counts(normalize=True)
        mistakes = {
            "the sign is the wrong way round: the rate where another word was drawn comes first": -truth,
            "this compares all answers at once, and so different texts: compare within each said word": pooled[False]
            - pooled[True],
            "this compares within each drawn word; the text is the same within each said word": (
                by_drawn[False] - by_drawn[True]
            ).mean(),
            "each said word counts once, however many answers it has": (differences * often).sum(),
            "this is the sum over the said words; take the mean": differences.sum(),
            "this is the rate where another word was drawn; subtract the rate where the said word was drawn": rates[
                False
            ].mean(),
            "an answer may go against the draw: do not cut the result off at 0": max(truth, 0.0),
            "an answer may go against the draw: do not take absolute values": differences.abs().mean(),
        }
        shown = f"for {counts}, (drawn, said): (accidents, answers), the result is {truth:.2f}, yours gives {value:.2f}"
        tried.append((value, truth, mistakes, shown))
    expect_all_near(tried)
