"""Checks of the exercises of 08_grade_the_answers."""

import random

import numpy as np

from helpers.exercises.exercise import (
    call,
    exercise,
    expect,
    expect_all_near,
    expect_error,
    expect_list,
    expect_near,
    expect_number,
    expect_numbers,
)
from helpers.exercises.intervals import ends, expect_intervals


def verdicts(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Two lists of verdicts with these numbers of cases, in mixed order."""
    pairs = (
        [(True, True)] * both
        + [(True, False)] * only_first
        + [(False, True)] * only_second
        + [(False, False)] * neither
    )
    random.Random(8).shuffle(pairs)
    return [first for first, _ in pairs], [second for _, second in pairs]


def chance_corrected(equal, by_chance):
    """Agreement beyond chance as a share of what is possible; NaN where chance alone gives full agreement."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.divide(equal - by_chance, 1 - by_chance)


@exercise("Kappa by hand")
def check_my_kappa(attempt):
    """A table worked out on paper, a lazy grader, agreement, opposition, and tables with unequal yes rates."""
    cases = (
        ((20, 5, 10, 15), "both yes 20, only first 5, only second 10, neither 15"),  # equal 0.7, by chance 0.5
        ((20, 10, 5, 15), "the same with the graders exchanged: kappa must not depend on which comes first"),
        ((0, 0, 10, 90), "a grader that always says no"),
        ((30, 0, 0, 20), "two graders that agree throughout"),
        ((0, 10, 10, 0), "two graders that always differ, each with 50 % yes"),
        ((3, 17, 2, 61), "both yes 3, only first 17, only second 2, neither 61"),
        ((1, 9, 12, 2), "graders that differ more often than by chance: kappa is below 0"),
    )
    tried = []
    for counts, description in cases:
        value = expect_number(call(attempt, *verdicts(*counts)), "kappa")
        both, only_first, only_second, neither = counts
        n = sum(counts)
        equal, one, two = (both + neither) / n, (both + only_first) / n, (both + only_second) / n
        by_chance = one * two + (1 - one) * (1 - two)
        truth, pooled = chance_corrected(equal, by_chance), (one + two) / 2
        mistakes = {
            "this is the share of equal verdicts, chance is still in it": equal,
            "agreement by chance is not one half: it follows from both yes rates": chance_corrected(equal, 0.5),
            "two graders can agree by chance on a no as well": chance_corrected(equal, one * two),
            "two graders can agree by chance on a yes as well": chance_corrected(equal, (1 - one) * (1 - two)),
            "this takes the first grader's yes rate for both": chance_corrected(equal, one**2 + (1 - one) ** 2),
            "this takes one yes rate for both graders (Scott's pi); each has a rate of its own": chance_corrected(
                equal, pooled**2 + (1 - pooled) ** 2
            ),
            "chance is subtracted; divide by 1 minus chance as well": equal - by_chance,
            "graders that differ more often than by chance get a kappa below 0": max(truth, 0.0),
        }
        tried.append((value, truth, mistakes, f"{description}: kappa is {truth:.3f}, yours gives {value:.3f}"))
    expect_all_near(tried)


@exercise("Fit to grade?")
def check_failed_cases(attempt):
    """Four cases and graders that are right, silent, incomplete, or wrong on one, several or no expected questions."""
    cases = [
        {"id": "yes", "answer": "Yes.", "concept": "snow", "expected": {"affirmative": True, "coherent": True}},
        {"id": "no", "answer": "No.", "concept": None, "expected": {"affirmative": False}},
        {"id": "loop", "answer": "la la la", "concept": "snow", "expected": {"coherent": False}},
        {"id": "name", "answer": "Snow.", "concept": "snow", "expected": {"affirmative": False, "identified": True}},
    ]

    def right(answer, concept):
        identified = concept is not None and concept in answer.lower()
        return {"affirmative": answer == "Yes.", "identified": identified, "coherent": answer != "la la la"}

    def changed(**verdicts):
        """A grader whose verdicts on some questions are these functions of (answer, concept)."""
        return lambda answer, concept: (
            right(answer, concept) | {question: verdict(answer, concept) for question, verdict in verdicts.items()}
        )

    graders = (
        (right, [], "a grader that is right on every expected question passes, whatever it says on other questions"),
        (
            lambda answer, concept: None if answer == "No." else right(answer, concept),
            ["no"],
            "a grader that gives no reply to the case 'no' fails it",
        ),
        (
            changed(coherent=lambda answer, concept: True),
            ["loop"],
            "a grader that finds everything coherent fails 'loop'",
        ),
        (changed(affirmative=lambda answer, concept: False), ["yes"], "one wrong question of two fails the case 'yes'"),
        (
            changed(affirmative=lambda answer, concept: answer in ("Yes.", "la la la")),
            [],
            "'loop' does not ask whether it is affirmative",
        ),
        (
            lambda answer, concept: {
                question: verdict for question, verdict in right(answer, concept).items() if question != "affirmative"
            },
            ["yes", "no", "name"],
            "a grader that leaves out a question that is in `expected` has not answered it, and fails",
        ),
        (lambda answer, concept: {}, ["yes", "no", "loop", "name"], "an empty reply answers no question"),
        (
            lambda answer, concept: {question: not verdict for question, verdict in right(answer, concept).items()},
            ["yes", "no", "loop", "name"],
            "a grader that is always wrong fails every case, each of them once",
        ),
    )
    for grader, truth, why in graders:
        failed = expect_list(call(attempt, grader, cases), "the ids")
        expect(failed == truth, f"{why}: {truth}; yours returns {failed!r}")


@exercise("The rate behind the grader")
def check_true_rate(attempt):
    """Back from an observed rate to the true one that made it, and the edges."""
    tried = []
    for true, finds, invents in (
        (0.23, 1.0, 0.0),
        (0.07, 0.9, 0.05),
        (0.61, 0.7, 0.2),
        (0.0, 0.8, 0.3),
        (1.0, 0.35, 0.3),
    ):
        observed = true * finds + (1 - true) * invents
        found = expect_number(call(attempt, observed, finds, invents), "the true rate")
        mistakes = {
            "you corrected for what is missed, not for what is invented": min(observed / finds, 1),
            "you corrected for what is invented, not for what is missed": observed - invents,
            "divide by finds minus invents, not by finds": (observed - invents) / finds,
            "this goes from the true rate to the observed one; the way back is asked for": observed * finds
            + (1 - observed) * invents,
        }
        message = (
            f"a true rate of {true} is observed as {observed:.3f} by a grader that finds {finds} and invents {invents}; yours "
            f"gives back {found:.3f}"
        )
        tried.append((found, true, mistakes, message))
    expect_all_near(tried)
    for observed, truth, why in ((0.01, 0, "below what the grader invents"), (0.99, 1, "above what the grader finds")):
        found = expect_number(call(attempt, observed, 0.9, 0.05), "the true rate")
        expect_near(found, truth, {}, f"an observed rate {why} means a rate of {truth}, yours gives {found:.3f}")
    for finds, invents in ((0.2, 0.2), (0.1, 0.4)):
        useless = (
            f"a grader that finds {finds} and invents {invents} cannot tell success from failure: raise a ValueError"
        )
        expect_error(ValueError, useless, attempt, 0.3, finds, invents)


def kappas(counts: np.ndarray) -> np.ndarray:
    """Kappa of each table [..., both, only first, only second, neither]; NaN where all verdicts are the same."""
    both, only_first, only_second, neither = np.moveaxis(counts / counts.sum(-1, keepdims=True), -1, 0)
    one, two = both + only_first, both + only_second
    return chance_corrected(both + neither, one * two + (1 - one) * (1 - two))


@exercise("Bootstrap an agreement")
def check_kappa_interval(attempt):
    """Against many draws of a skewed case; few answers, draws of one verdict only, a single draw, seeds."""
    counts, resamples = np.array([10, 3, 6, 41]), 800
    first, second = (np.array(each) for each in verdicts(*counts))
    rng, n = np.random.default_rng(2026), len(first)
    one, two = first.mean(), second.mean()
    torn = rng.multinomial(n, [one * two, one * (1 - two), (1 - one) * two, (1 - one) * (1 - two)], size=20_000)
    drawn, half = (kappas(rng.multinomial(size, counts / n, size=20_000)) for size in (n, n // 2))
    known = {
        "": ends(drawn),
        "the two graders are drawn separately: both verdicts on an answer stay together": ends(kappas(torn)),
        "these are the 5 % and 95 % quantiles; a 95 % interval leaves 2.5 % on each side": ends(drawn, 5, 95),
        "each draw holds half of the answers; draw as many as there are": ends(half),
    }
    noise = (0.13, 0.11, 0.135)  # the largest deviations of 800 draws in 3,000 trials
    description = (
        f"for {n} answers with a kappa of {kappas(counts):.2f} (take the 2.5 % and 97.5 % quantiles of the kappas, each from as "
        "many answers, drawn with repetition)"
    )
    expect_intervals([(call(attempt, first, second, resamples, 0), known, noise, description)])
    low, high = expect_numbers(call(attempt, first, second, 1, 3), 2, "the interval")
    expect_near(
        low, high, {}, f"`resamples` 1 gives one kappa, so both ends are equal; yours are {low:.2f} and {high:.2f}"
    )
    rare = np.array([True, False, False, False, False])
    low, high = expect_list(call(attempt, rare, rare.copy(), 30, 5), "the interval", 2)
    left_out = "two graders that agree have a kappa of 1 in every draw that has one; a draw of one verdict only has none (NaN): "
    expect(low == high == 1, f"{left_out}leave it out (np.nanquantile). Yours is [{low}, {high}]")
    five = [tuple(expect_numbers(call(attempt, first, second, 5, seed), 2, "the interval")) for seed in (0, 1, 2, 3, 3)]
    expect(five[3] == five[4], "the same seed must give the same interval")
    expect(len(set(five)) > 1, "another seed must give another interval")
