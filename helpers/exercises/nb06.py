"""Checks of the exercises of 06_recognise_your_own_words. The truth comes from counting by eye."""

from itertools import product

import pandas as pd

from helpers.exercises.exercise import call, exercise, expect, expect_all_near, expect_number, kind


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
