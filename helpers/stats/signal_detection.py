"""Signal detection: can a model tell trials with an injection from trials without one, whatever its readiness to say yes?"""

from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from helpers.checks import as_list
from helpers.stats.estimates import Estimate, effective_size, number_of_labels, widening
from helpers.stats.inputs import (
    check_confidence,
    check_count,
    check_labels,
    check_outcomes,
    check_same_order,
    check_values,
)


class Detection(NamedTuple):
    """Sensitivity and response bias of the same trials."""

    d_prime: Estimate
    criterion: Estimate


def _d_prime_and_criterion(hit_rate, injected, false_positive_rate, control, confidence: float, n: int) -> Detection:
    """d' and criterion of two rates that rest on `injected` and `control` independent trials (need not be whole).

    A rate of 0 or 1 would give infinity. So half a trial is added to each count and one to each number of trials (log-linear,
    Hautus 1995) where the numbers are equal; where they differ, both amounts are in proportion to the trials, as Hautus asks,
    and one trial in the harmonic mean of the two numbers. Equal rates then always give d' = 0.

    Intervals: from the limits of each rate on the z scale (Jeffreys: the beta distribution with half a success and half a
    failure added), combined as in `subtract`. Where that prior alone, with very unequal numbers of trials, would put the
    estimate outside, the interval is extended to it: two equal rates are never read as a difference.
    """
    rates, sizes = np.array([hit_rate, false_positive_rate]), np.array([injected, control], dtype=float)
    harmonic = 2 / (1 / sizes).sum()
    z = stats.norm.ppf((rates + 0.5 / harmonic) / (1 + 1 / harmonic))
    tail, successes = (1 - check_confidence(confidence)) / 2, rates * sizes
    middle = stats.norm.ppf((successes + 0.5) / (sizes + 1))
    lowest = [stats.norm.ppf(stats.beta.ppf(tail, k + 0.5, sizes - k + 0.5)) for k in (successes, sizes - successes)]
    below, above = middle - lowest[0], -lowest[1] - middle  # the highest success rate has the lowest failure rate
    difference, bias = middle[0] - middle[1], -middle.mean()
    d_prime = (z[0] - z[1], difference - np.hypot(below[0], above[1]), difference + np.hypot(above[0], below[1]))
    criterion = ((-z[0] - z[1]) / 2, bias - np.hypot(*above) / 2, bias + np.hypot(*below) / 2)
    estimates = (
        Estimate(float(at), float(min(at, low)), float(max(at, high)), n) for at, low, high in (d_prime, criterion)
    )
    return Detection(*estimates)


def _from_counts(hits, n_injected, false_positives, n_control, confidence) -> Detection:
    hits, n_injected = check_count(hits, n_injected, "hits")
    false_positives, n_control = check_count(false_positives, n_control, "false positives")
    rates = (hits / n_injected, n_injected, false_positives / n_control, n_control)
    return _d_prime_and_criterion(*rates, confidence, n_injected + n_control)


def d_prime(hits: int, n_injected: int, false_positives: int, n_control: int, confidence: float = 0.95) -> Estimate:
    """Sensitivity z(hit rate) - z(false-positive rate) of independent trials; 0 = cannot tell the two apart."""
    return _from_counts(hits, n_injected, false_positives, n_control, confidence).d_prime


def criterion(hits: int, n_injected: int, false_positives: int, n_control: int, confidence: float = 0.95) -> Estimate:
    """Response bias -(z(hit rate) + z(false-positive rate)) / 2 of independent trials: below 0 is quick to say yes."""
    return _from_counts(hits, n_injected, false_positives, n_control, confidence).criterion


def detection(injected, injected_labels, control, control_labels, confidence: float = 0.95) -> Detection:
    """d' and criterion of trials that share labels, with the numbers of trials that they are worth.

    Args:
        injected: whether the model said yes, for each trial with an injection.
        injected_labels: usually the word of each; see `clustered_rate`.
        control: the same for trials without an injection.
        control_labels: usually the prompt of each.
        confidence: of the intervals.
    """
    check_same_order("injected and injected_labels", injected, injected_labels)
    check_same_order("control and control_labels", control, control_labels)
    samples = [check_outcomes(injected, "injected"), check_outcomes(control, "control")]
    pairs = zip(samples, (injected_labels, control_labels), strict=True)
    sizes = [effective_size(values, labels, check_confidence(confidence)) for values, labels in pairs]
    n = sum(values.size for values in samples)
    return _d_prime_and_criterion(samples[0].mean(), sizes[0], samples[1].mean(), sizes[1], confidence, n)


def _placements(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each score the share of `others` below it, ties counted half."""
    others = np.sort(others)
    return (np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / (2 * others.size)


def _likeness(placements: list[np.ndarray], codes: list[np.ndarray], confidence: float) -> float:
    """The variance of the AUC given its labels, as a multiple of that of independent scores (Obuchowski 1997).

    Between that of trials of which one label's count as one, and that of pairs as alike as so few labels can show. Larger for
    few labels, as in `effective_size`; of pairs the shrunken covariance takes account.
    """
    count = max(part.max() for part in codes) + 1
    sizes = [np.bincount(code, minlength=count) for code in codes]
    shared = np.count_nonzero(sizes[0] * sizes[1])
    most = max((each**2).sum() / each.sum() for each in sizes)
    independent = sum(part.var() / part.size for part in placements)
    labels = [number_of_labels(code) for code in codes]
    if independent == 0 or any(worth == 1 < part.size for worth, part in zip(labels, placements, strict=True)):
        return float(most)  # separated or all tied; or a single label
    first, second = (
        np.bincount(code, part - part.mean(), minlength=count) / part.size
        for part, code in zip(placements, codes, strict=True)
    )
    clustered = 2 * (first @ second) * shared / (shared + 1)
    for scores, worth, part in zip((first, second), labels, placements, strict=True):
        few = 1.0
        if worth < part.size:
            few = worth / (worth - 1) * (1 - 1 / part.size) * (1.0 if shared else widening(worth, confidence) ** 2)
        clustered += few * (scores @ scores)
    return float(np.clip(clustered / independent, 1 / (shared + 1), most))


def auc(injected_scores, control_scores, injected_labels=None, control_labels=None, confidence=0.95) -> Estimate:
    """Chance that an injected trial scores above a control trial (ties count half): the area under the ROC curve.

    Interval: score method on the Hanley-McNeil variance (Newcombe 2006, method 5), which does not shrink to nothing when the
    two groups are separated, at the numbers of trials that the labels leave.

    Args:
        injected_scores, control_scores: one number per trial, e.g. the yes-minus-no logit.
        injected_labels, control_labels: what trials share, as in `clustered_rate`; equal labels in both groups mean a pair. By
            default every trial is independent.
        confidence: of the interval.
    """
    scores = [check_values(injected_scores, "injected_scores"), check_values(control_scores, "control_scores")]
    check_same_order("injected_scores and injected_labels", injected_scores, injected_labels)
    check_same_order("control_scores and control_labels", control_scores, control_labels)
    sizes = [part.size for part in scores]
    labels = []
    for group, (given, name) in enumerate(((injected_labels, "injected_labels"), (control_labels, "control_labels"))):
        labels.append([(group, k) for k in range(sizes[group])] if given is None else as_list(name, given))
        check_labels(labels[group], sizes[group], name)
    codes = np.split(check_labels([*labels[0], *labels[1]], sum(sizes)), [sizes[0]])
    placements = [_placements(*scores), 1 - _placements(*scores[::-1])]
    value = float(placements[0].sum() / sizes[0])
    likeness = _likeness(placements, codes, check_confidence(confidence))
    n_injected, n_control = (max(size / likeness, 1.0) for size in sizes)
    z = stats.norm.ppf(0.5 + confidence / 2)

    def lower(area: float) -> float:
        """The smallest true area from which `area` is z standard errors away."""

        def excess(true):
            spread = 1 + ((n_injected + n_control) / 2 - 1) * ((1 - true) / (2 - true) + true / (1 + true))
            return (area - true) ** 2 - z**2 * true * (1 - true) * spread / (n_injected * n_control)

        # excess is positive at 0 and negative just below the area (at an area of 1 it has a second root, 1 itself)
        return 0.0 if area == 0 else float(optimize.brentq(excess, 0, min(area, 1 - 1e-12)))

    return Estimate(value, lower(value), 1 - lower(1 - value), sum(sizes))
