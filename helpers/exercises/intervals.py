"""Checks of an attempt's bootstrap interval: the right one and the ones of usual mistakes, from many more draws."""

import numpy as np

from helpers.exercises.exercise import Wrong, expect, expect_numbers


def ends(drawn: np.ndarray, low: float = 2.5, high: float = 97.5) -> tuple[float, float]:
    """Two percentiles of the values that were drawn; those that are NaN do not count."""
    return float(np.nanpercentile(drawn, low)), float(np.nanpercentile(drawn, high))


def bootstraps(values: list[float], labels: list[str]) -> dict[str, tuple[float, float]]:
    """What is wrong -> the interval of this mistake, from 20,000 draws; the right interval has the key "".

    Args:
        values: one per trial; the interval is that of their mean.
        labels: what trials share, here their words; these are redrawn.
    """
    rng, names = np.random.default_rng(2026), list(dict.fromkeys(labels))
    sums = np.array([sum(v for v, label in zip(values, labels, strict=True) if label == name) for name in names])
    sizes = np.array([labels.count(name) for name in names])
    count, n, draws = len(names), len(values), 20_000

    def means(times: np.ndarray) -> np.ndarray:
        """Mean of each draw; times [draw, word]: how often a word is drawn."""
        return times @ sums / (times @ sizes)

    times = rng.multinomial(count, [1 / count] * count, size=draws)
    half = (rng.random((draws, count)).argsort(1) < max(1, count // 2)).astype(int)
    rows = rng.multinomial(n, [1 / n] * n, size=draws // 4)  # [draw, row]
    right = means(times)
    middle, wide, (low, high) = float(np.mean(values)), float(1.96 * right.std()), ends(right)
    return {
        "": (low, high),
        "rows are redrawn; rows of one word are alike, so redraw whole words": ends(rows @ np.array(values) / n),
        "each word's values are averaged first; a word with many values counts with all of them when it is drawn": ends(
            times @ (sums / sizes) / count
        ),
        "a word that is drawn twice counts twice; yours counts it once": ends(means(times.clip(max=1))),
        "as many words are drawn as there are rows; draw as many as there are words": ends(
            means(rng.multinomial(n, [1 / count] * count, size=draws // 4))
        ),
        "words are drawn without replacement; a bootstrap puts every word back": ends(means(half)),
        "these are percentiles of the words' means; draw words, and take percentiles of the means of draws": ends(
            sums / sizes
        ),
        "this is the interval from the 5th to the 95th percentile (90 %)": ends(right, 5, 95),
        "this is a normal approximation, as wide below as above; take percentiles": (middle - wide, middle + wide),
        "this is the percentile interval mirrored at the mean; take the percentiles themselves": (
            2 * middle - high,
            2 * middle - low,
        ),
    }


def expect_intervals(cases: list[tuple]) -> None:
    """Wrong unless every interval is the right one but for chance; names the mistake that is closest in all cases.

    Args:
        cases: (result, known, noise, description) each. result: what the attempt returned. known: as from `bootstraps`. noise:
            by how much a right attempt may be off, as a share of the interval's width, at its low end, high end and in its
            width; or one number for all three. description: of the case, for the student.
    """
    deviations: dict[str, float] = {}  # largest one of each mistake, as a multiple of the noise
    message = ""
    for result, known, noise, description in cases:
        low, high = expect_numbers(result, 2, "the interval (low, high)")
        expect(low <= high, f"the lower end comes first, yours is {low:.2f}, {high:.2f}")
        right_low, right_high = known[""]
        for mistake, (other_low, other_high) in known.items():
            off = np.array([low - other_low, high - other_high, (high - low) - (other_high - other_low)])
            deviation = float((np.abs(off) / np.asarray(noise) / (right_high - right_low)).max())
            deviations[mistake] = max(deviations.get(mistake, 0.0), deviation)
        if deviations[""] > 1 and not message:
            message = (
                f"{description}: the interval is [{right_low:.2f}, {right_high:.2f}], yours is [{low:.2f}, {high:.2f}]"
            )
    closest = min(deviations, key=deviations.get)
    if message:
        raise Wrong(closest if closest and deviations[closest] < 0.5 else message)
