"""Checks of the exercises of 04_detect_injected_thoughts."""

import math
from statistics import NormalDist

import numpy as np
import pandas as pd

from helpers.exercises.exercise import call, exercise, expect, expect_all_near, expect_number


def graded(trials: list[tuple[str, bool]], seed: int) -> pd.DataFrame:
    """A table of (condition, affirmative) in random order, with row names that are no positions."""
    table = pd.DataFrame(trials, columns=["condition", "affirmative"])
    return table.sample(frac=1, random_state=seed).set_axis(range(100, 100 + len(table)))


@exercise("Count the false alarms")
def check_false_positive_rate(attempt):
    """Tables counted by eye, in mixed order: two false alarms in eight clean trials, none, three of five."""
    rest = [("concept", True)] * 4 + [("random", True)] + [("random", False)] * 2
    cases = (
        ([("none", True)] * 2 + [("none", False)] * 6 + rest, 2, 8),
        ([("none", False)] * 7 + rest, 0, 7),
        ([("none", True)] * 3 + [("none", False)] * 2 + [("concept", False)] * 9 + rest, 3, 5),
    )
    tried = []
    for number, (trials, alarms, clean) in enumerate(cases):
        rate = expect_number(call(attempt, graded(trials, number)), "the rate")
        yes = sum(affirmative for _, affirmative in trials)
        yes_random = sum(affirmative for condition, affirmative in trials if condition == "random")
        mistakes = {
            "you divided by all trials; only the clean ones (condition none) count": alarms / len(trials),
            "you counted every yes; false alarms are those where the condition is none": yes / len(trials),
            "the random trials had a push: they are not trials without an injection": (alarms + yes_random)
            / (clean + 3),
            "this is a number of trials; the rate is a share of them": alarms,
            "this is the share of clean trials without a yes; a false alarm is a yes": 1 - alarms / clean,
            "this is the share of the yes answers that are false alarms; the rate is a share of the clean trials": alarms
            / yes,
        }
        message = f"{alarms} of the {clean} clean trials got a yes, so {alarms / clean:g}; yours gives {rate:.3f}"
        tried.append((rate, alarms / clean, mistakes, message))
    expect_all_near(tried)


def z_difference(hit_rate: float, alarm_rate: float) -> float:
    """z(hit rate) - z(false-positive rate)."""
    return NormalDist().inv_cdf(hit_rate) - NormalDist().inv_cdf(alarm_rate)


@exercise("d′ by hand")
def check_my_d_prime(attempt):
    """Zero for equal rates, antisymmetric, finite at the ends, and the value of the published formula.

    Only one rule is right, the notebook's: both rates are drawn by the same amount (Hautus 1995, and `stats.d_prime`).
    """
    cases = ((30, 50, 30, 50), (20, 50, 5, 50), (50, 50, 0, 50), (0, 40, 40, 40), (9, 10, 2, 10), (20, 50, 5, 100))
    cases += ((50, 50, 0, 100), (3, 8, 40, 60))
    tried = []
    for hits, injected, alarms, clean in cases:
        result = call(attempt, hits, injected, alarms, clean)
        shown = f"{hits} of {injected} against {alarms} of {clean}"
        expect(
            not (isinstance(result, float | np.floating) and math.isnan(result)),
            f"{shown} gives NaN in yours: is a rate above 1? Each rate has its own total; divide by 1 + 1 / m as well",
        )
        value = expect_number(result, "d′")
        expect(math.isfinite(value), f"{shown} must give a finite number: draw both rates towards one half first")
        m, rates = 2 / (1 / injected + 1 / clean), (hits / injected, alarms / clean)
        hit_rate, alarm_rate = ((rate + 0.5 / m) / (1 + 1 / m) for rate in rates)
        truth = z_difference(hit_rate, alarm_rate)
        mistakes = {
            "the sign is the wrong way round: z(hit rate) minus z(false-positive rate)": -truth,
            "this subtracts the rates themselves; take z (scipy.stats.norm.ppf) of each first": hit_rate - alarm_rate,
            "this takes norm.cdf; z is its inverse, norm.ppf": NormalDist().cdf(hit_rate)
            - NormalDist().cdf(alarm_rate),
            "this draws each rate by its own number of trials; both need the same m": z_difference(
                (hits + 0.5) / (injected + 1), (alarms + 0.5) / (clean + 1)
            ),
            "this adds 1 / m to each rate and divides by 1 + 2 / m; add half of that": z_difference(
                *((rate + 1 / m) / (1 + 2 / m) for rate in rates)
            ),
        }
        if 0 < hits < injected and 0 < alarms < clean:
            mistakes["every rate is drawn towards one half, also where it is not 0 or 1"] = z_difference(*rates)
        if alarms < injected:
            one_total = z_difference((hits + 0.5) / (injected + 1), (alarms + 0.5) / (injected + 1))
            mistakes["each rate has its own total: hits the injected trials, false alarms the clean ones"] = one_total
        message = f"{shown} gives {truth:.4f} with both rates drawn by the same amount, yours gives {value:.4f}"
        if hits == alarms and injected == clean:
            message = f"equal rates must give 0 (the model cannot tell), yours gives {value:.3f}"
        expect(abs(value - truth) < 1e-6 + 1e-5 * abs(truth) or abs(value - truth) > 1e-4 * abs(truth), message)
        tried.append((value, truth, mistakes, message))
    expect_all_near(tried)


def best_of_cells(cells: int, trials: int, chance: float) -> tuple[float, float]:
    """Mean and standard deviation of the best cell's success rate, exactly: all cells are at most k with F(k) ** cells."""
    shares = [math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(trials + 1)]
    at_most = np.cumsum(shares) ** cells  # [k]
    rates, weights = np.arange(trials + 1) / trials, np.diff(at_most, prepend=0.0)
    mean = float(rates @ weights)
    return mean, float(((rates - mean) ** 2 @ weights) ** 0.5)


@exercise("The best of a grid")
def check_best_of_grid(attempt):
    """Grids of several shapes against the exact mean, with the tolerance that 2,000 grids need."""
    for cells, trials, chance in ((1, 20, 0.3), (24, 10, 0.05), (2, 1, 0.5), (6, 40, 0.2), (3, 5, 0.9), (24, 60, 0.05)):
        value = expect_number(call(attempt, cells, trials, chance), "the success rate")
        truth, spread = best_of_cells(cells, trials, chance)
        case = f"the best of {cells} cell(s) of {trials} trial(s), each with a chance of {chance:g},"
        expect(
            value <= 1,
            f"{case} is a rate, so at most 1; yours gives {value:.2f}: divide the successes of the best cell by its trials",
        )
        reason = f"{case} is {truth:.3f} on average"
        if trials == 1:
            reason = "the better of two single coin flips is heads in 3 of 4 cases"
        elif cells == 1:
            reason = f"with a single cell the average is the chance itself, {chance:g}"
        elif abs(value - chance) < 0.02:
            reason = (
                f"{case} is well above that chance: take the best cell of each grid first, then the mean over the grids"
            )
        close = abs(value - truth) < 0.002 + 6 * spread / 2000**0.5
        expect(close, f"{reason}; yours gives {value:.3f} (is it a mean over all grids?)")
