"""Rates, differences and tests with their uncertainty: a thin layer over statsmodels, scipy and scikit-learn.

Every estimate comes as `Estimate(value, low, high, n)`: no number leaves this module without its interval and its n.
Intervals are 95 % unless told otherwise. Input that cannot mean anything (more successes than trials, no trials,
missing values) raises ValueError at once.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats
from sklearn.metrics import roc_auc_score, roc_curve
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from helpers.concepts import split_in_halves


class Estimate(NamedTuple):
    """A number with its confidence interval; n counts the trials behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}], n = {self.n}"


class TestResult(NamedTuple):
    """Difference of two means (first minus second), its two-sided p-value, and the number of values compared."""

    __test__ = False  # keeps pytest from collecting a class whose name starts with "Test"

    difference: float
    p_value: float
    n: int


class SplitHalf(NamedTuple):
    """The (layer, strength) that did best on one half of the words, and what it did there and on the other half."""

    layer: int
    strength: float
    chosen_on: Estimate
    tested_on: Estimate
    choosing_words: list
    testing_words: list


def _check_count(count, n, what: str) -> tuple[int, int]:
    for name, number in ((f"number of {what}", count), (f"number of trials behind {what}", n)):
        if not np.isscalar(number) or not np.isfinite(number) or number != int(number) or number < 0:
            raise ValueError(f"{name} must be a whole number >= 0, got {number!r}")
    if n == 0:
        raise ValueError(f"no trials: a rate of {what} needs n >= 1")
    if count > n:
        raise ValueError(f"{count} {what} out of {n} trials: cannot be more than the trials")
    return int(count), int(n)


def _check_values(values, name: str) -> np.ndarray:
    """Return values as a one-dimensional float array; raises ValueError if empty or holding NaN or infinity."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as problem:
        raise ValueError(f"{name} must be numbers without missing values: {problem}") from problem
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty list of numbers, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(array)).sum())} missing or infinite values; drop them first")
    return array


def _check_confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, e.g. 0.95, got {confidence!r}")
    return confidence


# --- rates ---------------------------------------------------------------------------------------------------------


def wilson_rate(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """A rate with Wilson's score interval, which stays sensible at 0 of n and n of n (Wilson 1927)."""
    successes, n = _check_count(successes, n, "successes")
    low, high = proportion_confint(successes, n, alpha=1 - _check_confidence(confidence), method="wilson")
    low, high = (0.0 if successes == 0 else float(low)), (1.0 if successes == n else float(high))  # exact at the ends
    return Estimate(successes / n, low, high, n)


def rate(outcomes, confidence: float = 0.95) -> Estimate:
    """Wilson rate of a column of true/false outcomes (a missing grade raises: leave ungraded rows out knowingly)."""
    values = _check_values(outcomes, "outcomes")
    if not np.isin(values, (0, 1)).all():
        raise ValueError("outcomes must all be true or false (1 or 0)")
    return wilson_rate(int(values.sum()), values.size, confidence)


def clustered_rate(outcomes, concepts, confidence: float = 0.95) -> Estimate:
    """A rate whose trials share concepts: Wilson's interval at the effective number of trials (Kish 1965, design effect).

    Several trials of one word are not independent; the interval is as wide as their likeness asks for. Where no likeness can be
    measured (all outcomes equal), a word counts as one trial. n of the result counts trials.
    """
    outcomes, labels = _check_values(outcomes, "outcomes"), pd.Series(list(concepts))
    if len(labels) != len(outcomes):
        raise ValueError(f"{len(outcomes)} outcomes but {len(labels)} concepts")
    p, per_word = outcomes.mean(), pd.Series(outcomes).groupby(labels)
    largest = float(per_word.size().max())
    if 0 < p < 1 and per_word.ngroups > 1:
        residuals = per_word.sum() - p * per_word.size()
        scale = per_word.ngroups / (per_word.ngroups - 1)
        effect = scale * float((residuals**2).sum()) / (len(outcomes) * p * (1 - p))
    else:
        effect = largest
    effective = len(outcomes) / min(max(effect, 1.0), largest)
    low, high = proportion_confint(p * effective, effective, 1 - _check_confidence(confidence), method="wilson")
    return Estimate(float(p), float(low), float(high), len(outcomes))


def difference_of_rates(successes_a: int, n_a: int, successes_b: int, n_b: int, confidence: float = 0.95) -> Estimate:
    """Rate a minus rate b for independent trials, with Newcombe's interval (Newcombe 1998, method 10)."""
    successes_a, n_a = _check_count(successes_a, n_a, "successes")
    successes_b, n_b = _check_count(successes_b, n_b, "successes")
    alpha = 1 - _check_confidence(confidence)
    low, high = confint_proportions_2indep(successes_a, n_a, successes_b, n_b, method="newcomb", alpha=alpha)
    return Estimate(successes_a / n_a - successes_b / n_b, float(low), float(high), n_a + n_b)


def net_rate(successes: int, n_injected: int, false_positives: int, n_control: int, confidence=0.95) -> Estimate:
    """Success rate on injected trials minus false-positive rate on control trials: what models are ranked by.

    Success alone can be had by always saying yes. Interval: Newcombe, as in `difference_of_rates`.
    """
    return difference_of_rates(successes, n_injected, false_positives, n_control, confidence)


def subtract(first: Estimate, second: Estimate) -> Estimate:
    """first - second for two independent estimates, from their intervals (MOVER; Zou and Donner 2008).

    With two Wilson rates it is Newcombe's interval; it also takes rates whose interval is clustered by concept.
    """
    value = first.value - second.value
    low = value - np.hypot(first.value - first.low, second.high - second.value)
    high = value + np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(float(value), float(low), float(high), first.n + second.n)


# --- signal detection ----------------------------------------------------------------------------------------------


def _signal_detection(hits, n_injected, false_positives, n_control, confidence):
    """z of both rates (log-linear correction), half width of the interval of their difference, number of trials."""
    hits, n_injected = _check_count(hits, n_injected, "hits")
    false_positives, n_control = _check_count(false_positives, n_control, "false positives")
    rates = np.array([(hits + 0.5) / (n_injected + 1), (false_positives + 0.5) / (n_control + 1)])
    z = stats.norm.ppf(rates)
    variance = (rates * (1 - rates) / (np.array([n_injected, n_control]) * stats.norm.pdf(z) ** 2)).sum()
    half = stats.norm.ppf(0.5 + _check_confidence(confidence) / 2) * np.sqrt(variance)
    return z, half, n_injected + n_control


def d_prime(hits: int, n_injected: int, false_positives: int, n_control: int, confidence: float = 0.95) -> Estimate:
    """Sensitivity z(hit rate) - z(false-positive rate); 0 = cannot tell, whatever the readiness to say yes.

    0.5 is added to each count and 1 to each n, so that rates of 0 and 1 stay finite (log-linear, Hautus 1995).
    Interval from the variance of Gourevitch and Galanter (1967).
    """
    z, half, n = _signal_detection(hits, n_injected, false_positives, n_control, confidence)
    value = float(z[0] - z[1])
    return Estimate(value, value - half, value + half, n)


def criterion(hits: int, n_injected: int, false_positives: int, n_control: int, confidence: float = 0.95) -> Estimate:
    """Response bias -(z(hit rate) + z(false-positive rate)) / 2: below 0 is quick to say yes, above 0 slow."""
    z, half, n = _signal_detection(hits, n_injected, false_positives, n_control, confidence)
    value = float(-(z[0] + z[1]) / 2)
    return Estimate(value, value - half / 2, value + half / 2, n)


def auc(injected_scores, control_scores, confidence: float = 0.95) -> Estimate:
    """Chance that an injected trial scores above a control trial (ties count half): area under the ROC curve.

    Interval: score method on the Hanley-McNeil variance (Newcombe 2006, method 5), which does not shrink to nothing
    when the two groups are fully apart.
    """
    injected, control = (
        _check_values(injected_scores, "injected_scores"),
        _check_values(control_scores, "control_scores"),
    )
    labels = np.repeat([1, 0], [injected.size, control.size])
    value = float(roc_auc_score(labels, np.concatenate([injected, control])))
    z = stats.norm.ppf(0.5 + _check_confidence(confidence) / 2)
    mean_size = (injected.size + control.size) / 2

    def excess(area):  # squared distance in standard errors, minus z squared: zero at the interval's ends
        spread = 1 + (mean_size - 1) * ((1 - area) / (2 - area) + area / (1 + area))
        return (value - area) ** 2 - z**2 * area * (1 - area) * spread / (injected.size * control.size)

    step = 1e-9  # steps off value itself, which is a root of its own when value is 0 or 1
    low = 0.0 if value == 0 else optimize.brentq(excess, 0, value - step)
    high = 1.0 if value == 1 else optimize.brentq(excess, value + step, 1)
    return Estimate(value, float(low), float(high), labels.size)


def roc(injected_scores, control_scores) -> pd.DataFrame:
    """Points of the ROC curve: columns false_positive_rate, hit_rate, threshold."""
    injected, control = (
        _check_values(injected_scores, "injected_scores"),
        _check_values(control_scores, "control_scores"),
    )
    labels = np.repeat([1, 0], [injected.size, control.size])
    points = roc_curve(labels, np.concatenate([injected, control]))
    return pd.DataFrame(dict(zip(("false_positive_rate", "hit_rate", "threshold"), points, strict=True)))


# --- many trials of the same concept -------------------------------------------------------------------------------


def clustered_mean(values, concepts, confidence=0.95, resamples: int = 4000, seed: int = 0) -> Estimate:
    """Mean of values whose rows share concepts, with a bootstrap interval that redraws whole concepts.

    Trials of one word are alike, so redrawing single trials would give too narrow an interval. The percentiles are
    widened for small numbers of concepts (expanded percentile interval, Hesterberg 2015). n counts the rows.
    """
    values = _check_values(values, "values")
    codes, names = pd.factorize(pd.Series(np.asarray(concepts, dtype=object)))
    if codes.size != values.size:
        raise ValueError(f"{values.size} values but {codes.size} concepts: one concept for each value")
    if (codes < 0).any():
        raise ValueError("a concept is missing (None or NaN); control trials have no concept to cluster by")
    count = len(names)
    if count < 2:
        raise ValueError(f"need at least 2 different concepts to redraw, got {count}")
    sums, sizes = np.bincount(codes, weights=values, minlength=count), np.bincount(codes, minlength=count)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    means = draws @ sums / (draws @ sizes)  # [resample]
    t = stats.t.ppf((1 - _check_confidence(confidence)) / 2, count - 1)
    tail = stats.norm.cdf(np.sqrt(count / (count - 1)) * t)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(float(values.mean()), float(low), float(high), values.size)


def paired_difference(first, second, concepts, confidence=0.95, resamples: int = 4000, seed: int = 0) -> Estimate:
    """Mean of first - second, row by row on the same trials, with the interval clustered by concept."""
    first, second = _check_values(first, "first"), _check_values(second, "second")
    if first.size != second.size:
        raise ValueError(f"pairs need equal lengths, got {first.size} and {second.size}")
    return clustered_mean(first - second, concepts, confidence, resamples, seed)


def permutation_test(first, second, paired: bool = False, resamples: int = 4999, seed: int = 0) -> TestResult:
    """Could the difference of two means be the luck of the draw? Two-sided p-value by relabelling the values.

    paired=True swaps within pairs only (same trial, or mean of the same concept, under two conditions).
    """
    first, second = _check_values(first, "first"), _check_values(second, "second")
    if paired and first.size != second.size:
        raise ValueError(f"pairs need equal lengths, got {first.size} and {second.size}")
    result = stats.permutation_test(
        (first, second),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return TestResult(float(result.statistic), float(result.pvalue), first.size + second.size)


# --- many cells ----------------------------------------------------------------------------------------------------


def adjust_p_values(p_values, method: str = "holm") -> np.ndarray:
    """p-values corrected for their number: "holm" (chance of any false alarm) or "fdr_bh" (share of false alarms)."""
    values = _check_values(p_values, "p_values")
    if ((values < 0) | (values > 1)).any():
        raise ValueError("p-values must lie between 0 and 1")
    if method not in ("holm", "fdr_bh"):
        raise ValueError(f"unknown method {method!r}: use 'holm' or 'fdr_bh'")
    return multipletests(values, method=method)[1]


def best_cell(trials: pd.DataFrame, score: str) -> tuple[int, float]:
    """(layer, strength) with the highest mean of `score`; ties go to the earlier layer, then the weaker strength."""
    if trials.empty:
        raise ValueError("no trials to choose from")
    means = trials.groupby(["layer", "strength"])[score].mean()
    layer, strength = means.index[int(np.argmax(means.to_numpy(dtype=float)))]  # index is sorted: first of equals
    return int(layer), float(strength)


def split_half_selection(trials: pd.DataFrame, score: str = "success", seed: int = 0) -> SplitHalf:
    """Choose (layer, strength) on half of the words, report it on the other half.

    trials: injected trials with columns concept, layer, strength and `score` (true/false or a number). The best of many
    cells on the words that chose it is too good by luck; on the other words it is not. Ties go to the earlier layer,
    then the weaker strength. Control trials share one false-positive rate, so they would not change the choice.
    """
    missing = {"concept", "layer", "strength", score} - set(trials.columns)
    if missing:
        raise ValueError(f"trials lack the columns {sorted(missing)}")
    needed = trials[["concept", "layer", "strength", score]]
    if needed.isna().any(axis=None):
        raise ValueError("missing values in concept, layer, strength or score; leave control and ungraded trials out")
    choosing, testing = split_in_halves(sorted(needed["concept"].unique()), seed)
    layer, strength = best_cell(needed[needed["concept"].isin(choosing)], score)
    cell = needed[(needed["layer"] == layer) & (needed["strength"] == strength)]
    halves = [cell[cell["concept"].isin(words)] for words in (choosing, testing)]
    if halves[1].empty:
        raise ValueError(f"layer {layer}, strength {strength} holds no trial of the testing words; run all words in it")
    estimates = [clustered_mean(half[score], half["concept"]) for half in halves]
    return SplitHalf(int(layer), float(strength), *estimates, choosing, testing)


def report_cells(injected: pd.DataFrame, control: pd.DataFrame, by=("layer", "strength")) -> pd.DataFrame:
    """One row a cell of injected trials: n, rates, net rate, d', criterion, each with its interval (_low, _high).

    injected, control: graded trials (affirmative, identified, coherent, refusal, success; yes_logit and no_logit where
    they were read). `control` serves every cell: without an injection there is no layer or strength. Ungraded
    trials are left out and counted in the column ungraded. Rank by net, never by success.
    """
    columns = ["affirmative", "identified", "coherent", "refusal", "success"]
    missing = (
        set(columns) - set(injected.columns) | {"affirmative"} - set(control.columns) | set(by) - set(injected.columns)
    )
    if missing:
        raise ValueError(f"graded trials lack the columns {sorted(missing)}")
    alarms = control["affirmative"].dropna().astype(bool)
    logits = {"yes_logit", "no_logit"} <= set(injected.columns) & set(control.columns)
    rows = []
    for cell, trials in injected.groupby(list(by)):
        graded = trials.dropna(subset=columns)
        row = {**dict(zip(by, cell, strict=True)), "n": len(graded), "ungraded": len(trials) - len(graded)}
        if graded.empty:
            rows.append(row)
            continue
        hits, successes = int(graded["affirmative"].sum()), int(graded["success"].sum())
        counts = (len(graded), int(alarms.sum()), len(alarms))
        estimates = {
            "detection": rate(graded["affirmative"]),
            "false_positives": rate(alarms),
            "identified": rate(graded["identified"]),
            "success": rate(graded["success"]),
            "net": net_rate(successes, *counts),
            "coherent": rate(graded["coherent"]),
            "refusal": rate(graded["refusal"]),
            "d_prime": d_prime(hits, *counts),
            "criterion": criterion(hits, *counts),
        }
        if logits:
            estimates["auc"] = auc(graded["yes_logit"] - graded["no_logit"], control["yes_logit"] - control["no_logit"])
        for name, estimate in estimates.items():
            row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        rows.append(row)
    return pd.DataFrame(rows)


def largest_at(values: pd.Series) -> str:
    """Where a series has its largest value, all ties named: "2, 3". For sentences about peaks."""
    return ", ".join(f"{place:g}" for place in values.index[values == values.max()])
