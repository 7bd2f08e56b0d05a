"""Rates, means and their differences, each with an interval: a thin layer over statsmodels and scipy.

Trials that share a label (usually the word) are not independent: the more alike they are, the fewer trials they are worth.
Samples that share labels are paired. Control trials that share nothing get a label each, such as their trial_id.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from helpers.checks import as_list, whole_number, without_tensors
from helpers.stats.inputs import (
    check_bounds,
    check_confidence,
    check_count,
    check_labels,
    check_outcomes,
    check_same_order,
    check_values,
)


class Estimate(NamedTuple):
    """A number with its confidence interval; n counts the trials behind it, repeats of one trial once (`distinct_trials`)."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:  # z: no -0.00
        return f"{self.value:z.2f} [{self.low:z.2f}, {self.high:z.2f}], n = {self.n}" if self.n else "unknown, n = 0"


UNGRADED = Estimate(np.nan, np.nan, np.nan, 0)  # of a condition in which no answer could be graded


# --- rates ---------------------------------------------------------------------------------------------------------


def wilson_rate(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """The rate of n independent trials with Wilson's score interval, sensible at 0 of n and n of n (Wilson 1927)."""
    successes, n = check_count(successes, n, "successes")
    return _wilson(successes / n, n, n, confidence)


def _wilson(rate: float, size: float, n: int, confidence: float) -> Estimate:
    """Wilson's interval for a rate of `size` independent trials (need not be whole)."""
    low, high = proportion_confint(rate * size, size, 1 - check_confidence(confidence), method="wilson")
    return Estimate(float(rate), 0.0 if rate == 0 else float(low), 1.0 if rate == 1 else float(high), n)


def rate(outcomes, confidence: float = 0.95) -> Estimate:
    """The rate of a column of independent outcomes (a missing grade raises: leave ungraded rows out knowingly)."""
    values = check_outcomes(outcomes)
    return wilson_rate(int(values.sum()), values.size, confidence)


def effective_size(values, labels, confidence: float = 0.95) -> float:
    """How many independent trials these are worth: n divided by the design effect (Kish 1965).

    Between two ends: every trial counts; trials of one label count as one, and labels with more trials count more (Kish). The
    design effect is an estimate itself, so with few labels fewer trials count (Korn and Graubard 1998). Where all values are
    equal, no likeness can be measured, and the lower end is taken.
    """
    codes = check_labels(labels, len(values))
    n, fewest = len(values), number_of_labels(codes)
    residuals = values - values.mean()
    if fewest == n or np.ptp(values) == 0 or fewest == 1:
        return float(fewest)
    between = fewest / (fewest - 1) * (np.bincount(codes, residuals) ** 2).sum()
    design_effect = max(between / (residuals**2).sum(), 1.0) * widening(fewest, confidence) ** 2
    return float(np.clip(n / design_effect, fewest, n))


def number_of_labels(codes: np.ndarray) -> float:
    """How many labels with equal numbers of trials these are worth (Kish): with few of them a spread is itself uncertain."""
    sizes = np.bincount(codes)
    return float(codes.size**2 / (sizes**2).sum())


def widening(labels: float, confidence: float) -> float:
    """Student's quantile over the normal one: how much wider an interval is whose spread is estimated from so many labels."""
    tail = 0.5 + confidence / 2
    return stats.t.ppf(tail, max(labels - 1, 1)) / stats.norm.ppf(tail)


def clustered_rate(outcomes, labels, confidence: float = 0.95) -> Estimate:
    """A rate whose trials share labels: Wilson's interval at the `effective_size`.

    Args:
        outcomes: true or false for each trial.
        labels: what a trial shares with others: its word, or its prompt where a control has no word.
        confidence: of the interval.

    Returns:
        The mean over trials; n counts trials.
    """
    values = check_outcomes(outcomes)
    check_same_order("outcomes and labels", outcomes, labels)
    size = effective_size(values, labels, check_confidence(confidence))
    return _wilson(values.mean(), size, values.size, confidence)


def contrast_of_rates(samples, weights, confidence: float = 0.95) -> Estimate:
    """A weighted sum of rates, paired where samples share labels.

    From the Wilson intervals of the rates and their correlations (MOVER; Zou, Huang and Zhang 2009; for one difference it is
    Newcombe 1998, methods 10 for pairs and for independent samples). A correlation is measured over the labels; it is taken as
    if one more label had shown none, so that identical answers never give an interval of width 0.

    Args:
        samples: (outcomes, labels) of each condition, as in `clustered_rate`. Equal labels in two samples mean a pair.
        weights: one per sample: (1, -1) for a difference, (1, -1, -1, 1) for a difference of differences.
        confidence: of the interval.
    """
    weights = check_values(weights, "weights")
    if not isinstance(samples, list | tuple) or not all(isinstance(s, list | tuple) and len(s) == 2 for s in samples):
        raise ValueError(f"samples must be a list of (outcomes, labels), got {samples!r:.80}")
    if len(samples) != weights.size:
        raise ValueError(f"{len(samples)} samples but {weights.size} weights: one weight for each sample")
    if not weights.any():
        raise ValueError(f"one weight at least must be other than 0, got {weights.tolist()}")
    for outcomes, labels in samples:
        check_same_order("outcomes and labels", outcomes, labels)
    samples = [(check_outcomes(outcomes), as_list("labels", labels)) for outcomes, labels in samples]
    rates = [clustered_rate(outcomes, labels, confidence) for outcomes, labels in samples]
    value, low, high, n = (np.array(column) for column in zip(*rates, strict=True))
    down, up, total = value - low, high - value, float(weights @ value)
    below, above = weights * np.where(weights > 0, down, up), weights * np.where(weights > 0, up, down)
    correlations = _correlations(samples)
    low, high = total - np.sqrt(below @ correlations @ below), total + np.sqrt(above @ correlations @ above)
    return Estimate(total, float(low), float(high), int(n.sum()))


def _correlations(samples) -> np.ndarray:
    """Correlations [sample, sample] of the rates of samples that share labels; 0 where a sample does not vary."""
    outcomes = [each for each, _ in samples]
    codes = check_labels([label for _, labels in samples for label in labels], sum(map(len, outcomes)))
    count = codes.max() + 1
    codes = np.split(codes, np.cumsum([len(each) for each in outcomes])[:-1])
    pairs = list(zip(codes, outcomes, strict=True))
    # [sample, label]: how far each word's outcomes lie from the sample's rate, and whether the word is in the sample
    scores = np.array([np.bincount(code, each - each.mean(), minlength=count) for code, each in pairs])
    present = np.array([np.bincount(code, minlength=count) > 0 for code in codes]).astype(int)
    norms = np.sqrt((scores**2).sum(1))
    norms[norms == 0] = 1.0
    shared = present @ present.T
    correlations = scores @ scores.T / np.outer(norms, norms) * shared / (shared + 1)
    np.fill_diagonal(correlations, 1.0)
    return correlations


def difference_of_rates(first, first_labels, second, second_labels, confidence: float = 0.95) -> Estimate:
    """Rate of `first` minus rate of `second`; paired where they share labels (see `contrast_of_rates`)."""
    return contrast_of_rates([(first, first_labels), (second, second_labels)], (1, -1), confidence)


def subtract(first: Estimate, second: Estimate) -> Estimate:
    """first - second for two *independent* estimates, from their intervals alone (MOVER; Zou and Donner 2008).

    Conditions that share words are not independent: `difference_of_rates` and `paired_difference` take the trials. UNGRADED
    where one of the two is.
    """
    _check_estimates(first, second)
    value = first.value - second.value
    if np.isnan(value):
        return UNGRADED
    low = value - np.hypot(first.value - first.low, second.high - second.value)
    high = value + np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(float(value), float(low), float(high), first.n + second.n)


def _check_estimates(*estimates) -> None:
    """Raise ValueError for what is no Estimate, and for none at all."""
    if not estimates or not all(isinstance(each, Estimate) for each in estimates):
        raise ValueError(f"there must be one Estimate or more, such as wilson_rate gives, got {estimates!r:.80}")


# --- means ---------------------------------------------------------------------------------------------------------


def are_outcomes(values) -> bool:
    """True for a column of true and false, or of whole numbers 0 and 1."""
    values = without_tensors(values)
    kind = pd.api.types.infer_dtype(np.asarray(values), skipna=False)
    return kind == "boolean" or (kind == "integer" and bool(np.isin(values, (0, 1)).all()))


def clustered_mean(values, labels, confidence: float = 0.95, bounds: tuple[float, float] | None = None) -> Estimate:
    """Mean of values whose trials share labels: Student's t over the labels (for equal numbers of trials, over their means).

    A column of true and false goes to `clustered_rate`, one of whole numbers 0 and 1 as well, unless the bounds are others. Where
    all labels have the same mean, single trials give the spread. Where all values are equal, nothing does: words that were not
    drawn may differ, at most the share of them that Wilson's upper limit of 0 in so many labels allows, and by as much as
    `bounds` allow. Without bounds the interval is then infinite.

    Args:
        values: one number per trial.
        labels: what a trial shares with others, usually its word; at least two different ones.
        confidence: of the interval.
        bounds: smallest and largest possible value, e.g. (0, 1) for shares.
    """
    lowest, highest = (-np.inf, np.inf) if bounds is None else check_bounds(bounds)
    if are_outcomes(values) and (bounds is None or (lowest, highest) == (0, 1)):
        return clustered_rate(values, labels, confidence)
    check_same_order("values and labels", values, labels)
    values = check_values(values, "values")
    codes = check_labels(labels, values.size)
    count, worth = codes.max() + 1, number_of_labels(codes)
    if count < 2:
        raise ValueError(f"need at least 2 different labels, got {count}: one word says nothing about others")
    if values.min() < lowest or values.max() > highest:
        raise ValueError(f"values from {values.min():g} to {values.max():g} lie outside the bounds {bounds}")
    mean, n = float(values.mean()), values.size
    negligible = 1e-12 * np.abs(values).max()  # rounding
    error = np.sqrt(worth / (worth - 1) * (np.bincount(codes, values - mean) ** 2).sum()) / n
    if error <= negligible:
        error = values.std(ddof=1) / np.sqrt(n)
    if error <= negligible:
        unseen = _wilson(0.0, worth, count, check_confidence(confidence)).high
        return Estimate(mean, mean - unseen * (mean - lowest), mean + unseen * (highest - mean), n)
    half = stats.t.ppf(0.5 + check_confidence(confidence) / 2, max(worth - 1, 1)) * error
    return Estimate(mean, float(max(mean - half, lowest)), float(min(mean + half, highest)), n)


def paired_difference(first, second, labels, confidence: float = 0.95, bounds=None) -> Estimate:
    """Mean of first - second, row by row on the same trials, with the interval clustered by label; n counts the pairs.

    Columns of true and false go to `difference_of_rates`. bounds: of the difference, as in `clustered_mean`.
    """
    check_same_order("the two columns", first, second)
    check_same_order("values and labels", first, labels)
    sizes = [check_values(each, name).size for each, name in ((first, "first"), (second, "second"))]
    if sizes[0] != sizes[1]:
        raise ValueError(f"pairs need equal lengths, got {sizes[0]} and {sizes[1]}")
    if are_outcomes(first) and are_outcomes(second):
        return difference_of_rates(first, labels, second, labels, confidence)._replace(n=len(first))
    return clustered_mean(
        check_values(first, "first") - check_values(second, "second"), labels, confidence, bounds=bounds
    )


# --- several estimates at once -------------------------------------------------------------------------------------


def smallest(*estimates: Estimate) -> Estimate:
    """The smallest of several quantities, from their estimates: the smallest value, low and high.

    For "the smaller reference minus the condition", give both differences. All of them exceed `low` only if each does
    (intersection-union), and the smallest cannot exceed any `high`. So the interval keeps its confidence, however close the
    quantities are; the value errs towards 0 effect where they are equal. UNGRADED where one of them is.
    """
    _check_estimates(*estimates)
    if any(np.isnan(estimate.value) for estimate in estimates):
        return UNGRADED
    lowest = min(estimates, key=lambda estimate: estimate.value)
    return Estimate(lowest.value, min(e.low for e in estimates), min(e.high for e in estimates), lowest.n)


def simultaneous_confidence(intervals: int, confidence: float = 0.95) -> float:
    """The confidence that each of so many intervals needs, for all of them to hold the truth together (Bonferroni).

    Give it to the estimators: with 63 intervals at 95 % three miss the truth by luck, at 99.92 % hardly one does.
    """
    intervals = whole_number("the number of intervals", intervals, 1, 1_000_000)
    return 1 - (1 - check_confidence(confidence)) / intervals
