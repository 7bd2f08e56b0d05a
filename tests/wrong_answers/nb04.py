"""Wrong answers to the exercises of 04_detect_injected_thoughts and what the check must say about each; right ones that it must take."""

import numpy as np
from scipy.stats import binom, norm

from helpers import stats


def clean(table):
    """The verdicts of the trials without an injection."""
    return table[table["condition"] == "none"]["affirmative"]


def of_four(table):
    """Takes the number of clean trials for granted."""
    return clean(table).sum() / 4


def d_prime(hits, injected, false_alarms, clean_trials, added=0.5, trials=1):
    """d' with so much added to both rates, in proportion to the harmonic mean of the totals."""
    both = 2 / (1 / injected + 1 / clean_trials)
    rates = [(rate + added / both) / (1 + trials / both) for rate in (hits / injected, false_alarms / clean_trials)]
    return norm.ppf(rates[0]) - norm.ppf(rates[1])


def each_by_its_own(hits, injected, false_alarms, clean_trials):
    """Half a trial and one trial for every rate: two amounts where the totals differ."""
    return norm.ppf((hits + 0.5) / (injected + 1)) - norm.ppf((false_alarms + 0.5) / (clean_trials + 1))


def only_at_the_ends(hits, injected, false_alarms, clean_trials):
    """Corrects nothing where no rate is 0 or 1."""
    inside = 0 < hits < injected and 0 < false_alarms < clean_trials
    return d_prime(hits, injected, false_alarms, clean_trials, *((0, 0) if inside else ()))


def half_a_trial_without_the_total(hits, injected, false_alarms, clean_trials):
    """Forgets to divide by 1 + 1 / m: 50 of 50 becomes a rate above 1."""
    return d_prime(hits, injected, false_alarms, clean_trials, trials=0)


def grids_of(cells, trials_per_cell, chance, grids=2000):
    """Success rates of many grids, [grid, cell]."""
    return np.random.default_rng(0).binomial(trials_per_cell, chance, size=(grids, cells)) / trials_per_cell


def best_count(cells, trials_per_cell, chance):
    """Forgets to divide by the trials of a cell, beyond the first check."""
    best = float(grids_of(cells, trials_per_cell, chance).max(axis=1).mean())
    return best if cells == 1 else best * trials_per_cell


def by_normal_approximation(cells, trials_per_cell, chance):
    """Normal noise in place of coins."""
    spread = (chance * (1 - chance) / trials_per_cell) ** 0.5
    rates = np.random.default_rng(0).normal(chance, spread, size=(2000, cells))
    return float(np.clip(rates, 0, 1).max(axis=1).mean())


def best_exactly(cells, trials_per_cell, chance):
    """No simulation: the chance that the best cell has more than k successes, summed over k."""
    return (1 - binom.cdf(np.arange(trials_per_cell), trials_per_cell, chance) ** cells).sum() / trials_per_cell


WRONG = [
    ("check_false_positive_rate", lambda table: table["affirmative"].mean(), "you counted every yes"),
    ("check_false_positive_rate", lambda table: clean(table).sum() / len(table), "you divided by all trials"),
    (
        "check_false_positive_rate",
        lambda table: table[table["condition"] != "concept"]["affirmative"].mean(),
        "the random trials had a push",
    ),
    ("check_false_positive_rate", lambda table: 1 - clean(table).mean(), "trials without a yes"),
    ("check_false_positive_rate", of_four, "of the 8 clean trials"),
    ("check_my_d_prime", lambda *counts: d_prime(*counts, added=0, trials=0), "must give a finite number"),
    ("check_my_d_prime", lambda *counts: -d_prime(*counts), "the sign is the wrong way round"),
    ("check_my_d_prime", each_by_its_own, "both need the same m"),
    ("check_my_d_prime", only_at_the_ends, "also where it is not 0 or 1"),
    ("check_my_d_prime", half_a_trial_without_the_total, "is a rate above 1?"),
    ("check_my_d_prime", lambda *counts: d_prime(*counts, added=1, trials=2), "add half of that"),
    (
        "check_my_d_prime",
        lambda hits, injected, alarms, _: d_prime(hits, injected, alarms, injected),
        "has its own total",
    ),
    ("check_best_of_grid", lambda *grid: grids_of(*grid).mean(), "well above that chance"),
    ("check_best_of_grid", best_count, "by its trials"),
    ("check_best_of_grid", lambda *grid: np.median(grids_of(*grid).max(axis=1)), "on average"),
    ("check_best_of_grid", by_normal_approximation, "on average"),
]

RIGHT = [
    ("check_false_positive_rate", lambda table: table.groupby("condition")["affirmative"].mean()["none"]),
    ("check_my_d_prime", d_prime),
    ("check_my_d_prime", lambda *counts: stats.d_prime(*counts).value),
    ("check_best_of_grid", lambda *grid: np.float32(grids_of(*grid).max(axis=1).mean())),
    ("check_best_of_grid", best_exactly),
]
