"""Wrong answers to the exercises of 12_test_a_real_model and what the check must say about each; right ones that it must take."""

import statistics

import numpy as np


def mean(values):
    return sum(values) / len(values)


def beyond(word, random, clean, average=mean):
    """The score with another average."""
    return average(word) - max(average(random), average(clean))


def by_word(first, second):
    """Difference of the two models for each word."""
    return (first.groupby("word")["success"].mean() - second.groupby("word")["success"].mean()).to_numpy(float)


def redraw(differences, draws=2000, quantiles=(0.025, 0.975)):
    """Value and interval of redrawn differences."""
    drawn = np.random.default_rng(0).choice(differences, size=(draws, len(differences))).mean(axis=1)
    return float(differences.mean()), *map(float, np.quantile(drawn, quantiles))


def redraws_trials(first, second, draws=2000):
    """Redraws the trials of each model."""
    rng = np.random.default_rng(0)
    rates = [
        rng.choice(table["success"].to_numpy(float), size=(draws, len(table))).mean(1) for table in (first, second)
    ]
    return float(by_word(first, second).mean()), *np.quantile(rates[0] - rates[1], [0.025, 0.975])


def unpaired(first, second, draws=2000):
    """Redraws the words of each model separately."""
    rng, drawn = np.random.default_rng(0), []
    for table in (first, second):
        means = table.groupby("word")["success"].mean().to_numpy(float)
        drawn.append(rng.choice(means, size=(draws, len(means))).mean(axis=1))
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    return float(first["success"].mean() - second["success"].mean()), float(low), float(high)


def matched_by_place(first, second, draws=2000):
    """Takes the words to come in the same order in both tables."""
    means = [table.groupby("word", sort=False)["success"].mean().to_numpy(float) for table in (first, second)]
    return redraw(means[0] - means[1])


def extremes(first, second, draws=2000):
    """The range of single words instead of an interval of the mean."""
    differences = by_word(first, second)
    return float(differences.mean()), float(differences.min()), float(differences.max())


def ninety_percent(first, second, draws=2000):
    """5 % on each side."""
    return redraw(by_word(first, second), quantiles=(0.05, 0.95))


def normal_interval(first, second, draws=2000):
    """1.96 standard errors on each side."""
    differences = by_word(first, second)
    wide = 1.96 * differences.std() / len(differences) ** 0.5
    return differences.mean(), differences.mean() - wide, differences.mean() + wide


def sizes_of_differences(first, second, draws=2000):
    """Absolute differences."""
    return redraw(np.abs(by_word(first, second)))


def any_success(first, second, draws=2000):
    """A word counts once it has succeeded."""
    best = [table.groupby("word")["success"].max().astype(float) for table in (first, second)]
    return redraw((best[0] - best[1]).to_numpy())


def merged_by_word(first, second, draws=2000):
    """Words side by side; an array."""
    means = [table.groupby("word", as_index=False)["success"].mean() for table in (first, second)]
    wide = means[0].merge(means[1], on="word")
    return np.array(redraw((wide["success_x"] - wide["success_y"]).to_numpy(float)))


WRONG = [
    ("check_beyond_controls", lambda word, random, clean: mean(word) - mean(clean), "left the random vectors out"),
    (
        "check_beyond_controls",
        lambda word, random, clean: mean(word) - (mean(random) + mean(clean)) / 2,
        "take the larger one",
    ),
    ("check_beyond_controls", lambda word, random, clean: mean(word) - max(*random, *clean), "largest single trial"),
    ("check_beyond_controls", lambda word, random, clean: mean(word) - mean(random + clean), "both controls together"),
    ("check_beyond_controls", lambda *margins: beyond(*margins, statistics.median), "these are medians"),
    ("check_beyond_controls", lambda *margins: max(beyond(*margins), 0.0), "do not cut it off"),
    ("check_largest_rate", lambda trials: 0.0, "do not prove a rate of 0"),
    ("check_largest_rate", lambda trials: 3 / (trials + 3), "not in 5 %"),
    ("check_largest_rate", lambda trials: 0.05 ** (1 / trials), "not in 5 %"),
    ("check_largest_rate", lambda trials: round(1 - 0.05 ** (1 / trials), 2), "nothing in 10 trial(s)"),
    ("check_difference_by_word", redraws_trials, "redraw each word for both models together"),
    ("check_difference_by_word", unpaired, "redraw each word for both models together"),
    ("check_difference_by_word", matched_by_place, "match the tables by word"),
    ("check_difference_by_word", extremes, "20 words that both models answered"),
    ("check_difference_by_word", ninety_percent, "(90 %)"),
    ("check_difference_by_word", normal_interval, "a normal approximation"),
    ("check_difference_by_word", sizes_of_differences, "do not take their absolute values"),
    ("check_difference_by_word", any_success, "more, yours gives"),
    ("check_difference_by_word", lambda first, second: redraw(by_word(second, first)), "the wrong way round"),
]

RIGHT = [
    ("check_beyond_controls", lambda word, random, clean: np.mean(word) - np.maximum(np.mean(random), np.mean(clean))),
    ("check_largest_rate", lambda trials: -np.expm1(np.log(0.05) / trials)),
    ("check_difference_by_word", merged_by_word),
]
