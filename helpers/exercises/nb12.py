"""Checks of the exercises of 12_test_a_real_model."""

import random

import numpy as np
import pandas as pd

from helpers.exercises.exercise import (
    call,
    exercise,
    expect,
    expect_all_near,
    expect_near,
    expect_number,
    expect_numbers,
)
from helpers.exercises.intervals import bootstraps, ends, expect_intervals


@exercise("Beyond the controls")
def check_beyond_controls(attempt):
    """Cases computed by eye, with the one or the other control larger; random margins."""
    cases = [
        ([4.0, 6.0], [1.0, 3.0], [-4.0, -2.0]),
        ([1.0, 1.0], [-5.0, -5.0, -5.0], [0.0]),
        ([0.0], [2.0], [1.0]),
        ([-1.0, -3.0], [-9.0, -2.0, -1.0], [-8.0, -6.0]),
    ]
    rng = random.Random(2026)
    cases += [
        tuple([rng.gauss(shift, 3) for _ in range(n)] for shift, n in ((2, 7), (0, 5), (-1, 9))) for _ in range(3)
    ]
    tried = []
    for word, control, clean in cases:
        value = expect_number(call(attempt, word, control, clean), "the score")
        means = [sum(values) / len(values) for values in (word, control, clean)]
        truth = means[0] - max(means[1:])
        medians = [float(np.median(values)) for values in (word, control, clean)]
        mistakes = {
            "you left the random vectors out: where they are the larger control, they count": means[0] - means[2],
            "you left the clean trials out: where they are the larger control, they count": means[0] - means[1],
            "you subtracted the mean of both controls; take the larger one": means[0] - (means[1] + means[2]) / 2,
            "you took the smaller control; take the larger one": means[0] - min(means[1:]),
            "you put the trials of both controls together; take the larger of the two means": means[0]
            - sum(control + clean) / len(control + clean),
            "you took the largest single trial; compare the two control means": means[0] - max(*control, *clean),
            "these are medians; take the means": medians[0] - max(medians[1:]),
            "a word that moves less than a control scores below 0: do not cut it off": max(truth, 0.0),
            "a word that moves less than a control scores below 0: do not take the absolute value": abs(truth),
            "both controls are subtracted; subtract the larger one only": means[0] - means[1] - means[2],
            "the sign is the wrong way round: the word minus the control": -truth,
            "these are sums; take the means": sum(word) - max(sum(control), sum(clean)),
        }
        message = (
            f"{means[0]:.2f} with the word, {means[1]:.2f} with random vectors and {means[2]:.2f} without: the score is {truth:.2f}, "
            f"yours is {value:.2f}"
        )
        tried.append((value, truth, mistakes, message))
    expect_all_near(tried)


@exercise("How much does a null exclude?")
def check_largest_rate(attempt):
    """The defining property: with the rate returned, nothing at all happens in 5 % of experiments."""
    for trials in (1, 10, 100, 7, 2000):
        rate = expect_number(call(attempt, trials), "the rate")
        expect(
            0 < rate < 1,
            f"{trials} trial(s) without a success do not prove a rate of 0 or allow 1; yours gives {rate:g}",
        )
        chance = (1 - rate) ** trials
        expect(
            abs(chance - 0.05) < 1e-6,
            f"with a true rate of {rate:.3f}, nothing in {trials} trial(s) happens in {chance:.2%} of experiments, not in 5 %",
        )


def answers(successes: dict[str, tuple[int, int]], seed: int) -> pd.DataFrame:
    """A table with a row per trial, in random order. successes: word -> (successes, trials)."""
    rows = [(word, trial < right) for word, (right, trials) in successes.items() for trial in range(trials)]
    return pd.DataFrame(rows, columns=["word", "success"]).sample(frac=1, random_state=seed)


@exercise("Compare two models fairly")
def check_difference_by_word(attempt):
    """Identical models; words hard for both; one word that decides; the sign; tables whose words come in another order."""
    rng = np.random.default_rng(1)
    words, easy = [f"word {k}" for k in range(20)], rng.integers(0, 5, 20)
    gains = rng.integers(-1, 3, 20).clip(-easy)
    few = [0, 1, 2, 1, 2, 0, 1, 3, 3, 1, 5, 16]
    first = {word: (int(right + gain), 6) for word, right, gain in zip(words, easy, gains, strict=True)}
    second = {word: (int(right), 6) for word, right in zip(words, easy, strict=True)}
    skewed = {f"w{k}": (right, 16) for k, right in enumerate(few)}
    never = {f"w{k}": (0, 4) for k in range(len(few))}
    value, low, high = expect_numbers(
        call(attempt, answers(first, 1), answers(first, 2)), 3, "the result (value, low, high)"
    )
    expect_near(value, 0, {}, f"a model compared with itself differs by 0, yours gives {value:.2f}")
    expect(
        low == 0 and high == 0,
        f"a model compared with itself differs by 0 on every word, so the interval is [0, 0]; yours is [{low:.2f}, {high:.2f}]: "
        "match the tables by word (the rows may come in any order), and redraw each word for both models together",
    )
    tried, intervals = [], []
    for one, other, noise in ((first, second, (0.08, 0.09, 0.11)), (skewed, never, (0.06, 0.11, 0.11))):
        result = call(attempt, answers(one, 3), answers(other, 4))
        value, low, high = expect_numbers(result, 3, "the result (value, low, high)")
        rates = [np.array([right / trials for right, trials in table.values()]) for table in (one, other)]
        differences, n = rates[0] - rates[1], [sum(trials for _, trials in table.values()) for table in (one, other)]
        truth = float(differences.mean())
        mistakes = {
            "the sign is the wrong way round: the first model minus the second": -truth,
            "differences have a sign: do not take their absolute values": float(np.abs(differences).mean()),
            "the value is the mean of the differences, not their median": float(np.median(differences)),
        }
        tried.append((value, truth, mistakes, f"the first model succeeds on {truth:.1%} more, yours gives {value:.1%}"))
        known = bootstraps(differences.tolist(), list(one))
        separate = [rng.choice(rate, size=(20_000, len(rate))).mean(1) for rate in rates]
        trials = [rng.binomial(size, rate.mean(), size=20_000) / size for size, rate in zip(n, rates, strict=True)]
        known["the words are the same for both models: redraw them together"] = ends(separate[0] - separate[1])
        known["trials are redrawn; trials of one word are alike, so redraw words"] = ends(trials[0] - trials[1])
        intervals.append(((low, high), known, noise, f"{len(one)} words that both models answered"))
    expect_all_near(tried)
    expect_intervals(intervals)
