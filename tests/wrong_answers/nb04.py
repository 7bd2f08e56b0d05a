"""Wrong answers to the exercises of 04_detect_injected_thoughts, and what the check must say about each."""

import numpy as np
from scipy.stats import norm


def uncorrected_d_prime(hits, injected_trials, false_alarms, clean_trials):
    """Forgets the log-linear correction."""
    return norm.ppf(hits / injected_trials) - norm.ppf(false_alarms / clean_trials)


def reversed_d_prime(hits, injected_trials, false_alarms, clean_trials):
    """False alarms minus hits."""
    return norm.ppf((false_alarms + 0.5) / (clean_trials + 1)) - norm.ppf((hits + 0.5) / (injected_trials + 1))


def mean_of_grid(cells, trials_per_cell, chance, grids=2000):
    """Averages the cells instead of taking the best."""
    successes = np.random.default_rng(0).binomial(trials_per_cell, chance, size=(grids, cells))
    return float(successes.mean() / trials_per_cell)


def best_count(cells, trials_per_cell, chance, grids=2000):
    """Forgets to divide by the trials of a cell, beyond the first check."""
    successes = np.random.default_rng(0).binomial(trials_per_cell, chance, size=(grids, cells)).max(axis=1).mean()
    return float(successes / trials_per_cell) if cells == 1 else float(successes)


WRONG = [
    ("check_false_positive_rate", lambda table: table["affirmative"].mean(), "you counted every yes"),
    (
        "check_false_positive_rate",
        lambda table: (table["affirmative"] & (table["condition"] == "none")).sum() / len(table),
        "you divided by all 10 trials",
    ),
    ("check_my_d_prime", uncorrected_d_prime, "finite"),
    ("check_my_d_prime", reversed_d_prime, "positive"),
    ("check_best_of_grid", mean_of_grid, "well above the chance"),
    ("check_best_of_grid", best_count, "divide by the trials"),
    (
        "check_claims_before_naming",
        lambda answer, concept: concept in answer.lower() and "notice" in answer.lower(),
        "before the claim",
    ),
    ("check_claims_before_naming", lambda answer, concept: "notice" in answer.lower(), "before the claim"),
]
