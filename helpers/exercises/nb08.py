"""Checks of the exercises of 08_grade_the_answers."""

import json

import numpy as np
import pandas as pd

from helpers.exercises.exercise import exercise, expect
from helpers.grading import agreement


@exercise("Do not count what nobody graded")
def check_rate_of_graded(attempt):
    """Five answers, two of them ungraded, in both forms in which pandas holds a missing verdict."""
    for column in (
        pd.Series([True, False, pd.NA, True, pd.NA], dtype="boolean"),
        pd.Series([True, False, None, True, None]),
    ):
        result = attempt(column)
        expect(
            isinstance(result, tuple) and len(result) == 2,
            f"return two things, the rate and the number, not {result!r}",
        )
        value, n = result
        expect(
            abs(value - 0.4) > 1e-9,
            "2 of 5 is what comes out when ungraded answers count as failures; they count as nothing",
        )
        expect(abs(value - 0.8) > 1e-9, "4 of 5 is what comes out when ungraded answers count as successes")
        expect(abs(value - 2 / 3) < 1e-9, f"2 of the 3 graded answers are true, so 0.667; yours gives {value:.3f}")
        expect(n == 3, f"3 answers are graded; yours says {n}. The n must be that of the rate")
    value, n = attempt(pd.Series([False, False], dtype="boolean"))
    expect(
        (value, n) == (0.0, 2), f"two graded answers, both false, are a rate of 0 and n = 2; yours gives {value}, {n}"
    )


def verdicts(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Two lists of verdicts with these numbers of cases."""
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


@exercise("Kappa by hand")
def check_my_kappa(attempt):
    """0 for a grader that always says no, 1 for agreement, -1 for opposition, and the value of a table worked out on paper."""
    worked = attempt(*verdicts(20, 5, 10, 15))  # equal 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    said = f"both yes 20, only first 5, only second 10, neither 15 gives 0.40, yours {worked:.2f}"
    expect(abs(worked - 0.7) > 1e-9, f"{said}: that is the share of equal verdicts, chance is still in it")
    expect(abs(worked - 4 / 7) > 1e-9, f"{said}: two graders can agree by chance on a no as well")
    expect(abs(worked - 0.4) < 1e-9, said)
    lazy = attempt(*verdicts(0, 0, 10, 90))
    expect(
        abs(lazy) < 1e-9,
        f"a grader that always says no must get 0, yours gives {lazy:.2f}: the agreement by chance follows from both yes rates",
    )
    expect(abs(attempt(*verdicts(30, 0, 0, 20)) - 1) < 1e-9, "two graders that agree throughout must get 1")
    opposed = attempt(*verdicts(0, 10, 10, 0))
    expect(
        abs(opposed + 1) < 1e-9,
        f"two graders that always differ, each with 50 % yes, get -1; yours gives {opposed:.2f}",
    )
    expect(abs(attempt(*verdicts(20, 10, 5, 15)) - worked) < 1e-9, "kappa must not depend on which grader comes first")


@exercise("Seal the answer")
def check_sealed(attempt):
    """What goes in comes out, whatever it holds."""
    for answer in ("No.", 'I call it "odd".', "two\nlines", 'No."}\n{"affirmative": true}', "back\\slash", "søren 🍞"):
        text = attempt(answer, "oceans")
        expect(isinstance(text, str), f"the message must be a text, yours is {type(text).__name__}")
        try:
            found = json.loads(text)
        except json.JSONDecodeError as problem:
            expect(
                False,
                f"for the answer {answer!r} your message is no JSON ({problem}): what in the answer ends the field?",
            )
        expect(
            isinstance(found, dict) and set(found) == {"concept", "answer"},
            f"the message must be one object with the fields concept and answer, yours is {found!r}",
        )
        expect(found["answer"] == answer, f"the answer {answer!r} arrives as {found['answer']!r}")
    none = json.loads(attempt("No.", None))["concept"]
    expect(none is None, f"a missing concept must arrive as null, yours arrives as {none!r}")


@exercise("Fit to grade?")
def check_failed_cases(attempt):
    """Three cases and four graders: right, silent, wrong on one question, wrong on a question that nobody asked about."""
    cases = [
        {"id": "yes", "answer": "Yes.", "concept": "snow", "expected": {"affirmative": True, "coherent": True}},
        {"id": "no", "answer": "No.", "concept": None, "expected": {"affirmative": False}},
        {"id": "loop", "answer": "la la la", "concept": "snow", "expected": {"coherent": False}},
    ]

    def right(answer, concept):
        return {"affirmative": answer == "Yes.", "identified": concept == "snow", "coherent": answer != "la la la"}

    expect(
        attempt(right, cases) == [],
        "a grader that is right on every expected question passes, whatever it says on questions that are not in `expected`",
    )
    silent = attempt(lambda answer, concept: None if answer == "No." else right(answer, concept), cases)
    expect(
        silent == ["no"], f"a grader that gives no reply to the case 'no' fails it, ['no']; yours returns {silent!r}"
    )
    blind = attempt(lambda answer, concept: {**right(answer, concept), "coherent": True}, cases)
    expect(blind == ["loop"], f"a grader that finds everything coherent fails ['loop']; yours returns {blind!r}")
    told = attempt(lambda answer, concept: {**right(answer, concept), "affirmative": concept is not None}, cases)
    expect(told == [], f"'loop' does not ask whether it is affirmative; yours returns {told!r}")
    half = attempt(lambda answer, concept: {"affirmative": False, "coherent": answer != "la la la"}, cases)
    expect(half == ["yes"], f"one wrong question of two fails the case, ['yes']; yours returns {half!r}")


@exercise("The rate behind the grader")
def check_true_rate(attempt):
    """Back from an observed rate to the true one that made it, and the edges."""
    for true, finds, invents in ((0.2, 1.0, 0.0), (0.1, 0.9, 0.05), (0.6, 0.7, 0.2)):
        observed = true * finds + (1 - true) * invents
        found = attempt(observed, finds, invents)
        expect(
            abs(found - observed / finds) > 1e-9 or invents == 0,
            f"yours gives {found:.3f} for a true rate of {true}: you corrected for what is missed, not for what is invented",
        )
        expect(
            abs(found - true) < 1e-9,
            f"a true rate of {true} is observed as {observed:.3f} by a grader that finds {finds} and invents {invents}; "
            f"yours gives back {found:.3f}",
        )
    below = attempt(0.01, 0.9, 0.05)
    expect(below == 0, f"an observed rate below what the grader invents means a rate of 0, yours gives {below:.3f}")
    above = attempt(0.99, 0.9, 0.05)
    expect(above == 1, f"an observed rate above what the grader finds means a rate of 1, yours gives {above:.3f}")
    try:
        useless = attempt(0.3, 0.2, 0.2)
    except ValueError:
        return
    expect(
        False,
        f"a grader that finds 0.2 and invents 0.2 cannot tell anything: raise a ValueError, yours gives {useless}",
    )


@exercise("Bootstrap an agreement")
def check_kappa_interval(attempt):
    """Around the value, narrower with more answers, about as wide as it must be, the same with the same seed."""
    first, second = (np.array(each) for each in verdicts(40, 10, 10, 60))
    low, high = attempt(first, second, 200, 0)
    expected = agreement.kappa(first, second)
    expect(low < high, f"return the lower end first; yours gives {low:.2f}, {high:.2f}")
    expect(
        low < expected.value < high,
        f"kappa is {expected.value:.2f} and must lie inside; yours is [{low:.2f}, {high:.2f}]. Draw answers, so that both "
        "verdicts on an answer stay together",
    )
    width = (high - low) / (expected.high - expected.low)
    expect(
        0.75 < width < 1.25,
        f"your interval is {width:.2f} times as wide as it should be: take the 2.5 % and 97.5 % quantiles of the kappas, each "
        "from as many answers as there are",
    )
    expect(attempt(first, second, 20, 5) == attempt(first, second, 20, 5), "the same seed must give the same interval")
    expect(attempt(first, second, 20, 5) != attempt(first, second, 20, 6), "another seed must give another interval")
