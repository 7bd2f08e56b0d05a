"""Wrong answers to the exercises of 12_test_a_real_model, and what the check must say about each."""

import json

import numpy as np


def redraws_trials(first, second, draws=2000):
    """Pairs the rows, but takes trials of one word for independent."""
    differences = first["success"].to_numpy(float) - second["success"].to_numpy(float)
    drawn = np.random.default_rng(0).choice(differences, size=(draws, len(differences))).mean(axis=1)
    return float(differences.mean()), *map(float, np.quantile(drawn, [0.025, 0.975]))


def unpaired(first, second, draws=2000):
    """Redraws the words of each model separately."""
    rng, drawn = np.random.default_rng(0), []
    for table in (first, second):
        means = table.groupby("word")["success"].mean().to_numpy(float)
        drawn.append(rng.choice(means, size=(draws, len(means))).mean(axis=1))
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    return float(first["success"].mean() - second["success"].mean()), float(low), float(high)


def extremes(first, second, draws=2000):
    """The range of single words instead of an interval of the mean."""
    means = [table.groupby("word")["success"].mean() for table in (first, second)]
    differences = (means[0] - means[1]).astype(float)
    return float(differences.mean()), float(differences.min()), float(differences.max())


def whatever_can_be_parsed(text):
    """Counts a last line whose newline is missing."""
    found = set()
    for line in text.splitlines():
        try:
            found.add(json.loads(line)["trial_id"])
        except ValueError:
            continue
    return found


def mean(values):
    return sum(values) / len(values)


WRONG = [
    ("check_layers_at", lambda depths, blocks: sorted({round(depth * blocks) for depth in depths}), "no block 32"),
    ("check_layers_at", lambda depths, blocks: [round(depth * (blocks - 1)) for depth in depths], "ascending order"),
    ("check_layers_at", lambda depths, blocks: sorted(round(d * (blocks - 1)) for d in depths), "given once"),
    ("check_beyond_controls", lambda word, random, clean: mean(word) - mean(clean), "left the random vectors out"),
    (
        "check_beyond_controls",
        lambda word, random, clean: mean(word) - (mean(random) + mean(clean)) / 2,
        "take the larger one",
    ),
    ("check_beyond_controls", lambda word, random, clean: mean(word) - max(*random, *clean), "largest single trial"),
    ("check_largest_rate", lambda trials: 0.0, "do not prove a rate of 0"),
    ("check_largest_rate", lambda trials: 3 / (trials + 3), "not in 5 %"),
    ("check_largest_rate", lambda trials: 0.05 ** (1 / trials), "not in 5 %"),
    (
        "check_finished",
        lambda text: {json.loads(line)["trial_id"] for line in text.splitlines()},
        "must not stop the run",
    ),
    ("check_finished", whatever_can_be_parsed, "glued to it"),
    ("check_difference_by_word", redraws_trials, "redraw words, not trials"),
    ("check_difference_by_word", unpaired, "redraw them together"),
    ("check_difference_by_word", extremes, "about 0.4 wide"),
]
