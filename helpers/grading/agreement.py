"""Do two graders agree? Cohen's kappa with its interval, and the confusion matrix behind it."""

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import confusion_matrix

from helpers.checks import check_seed, finite_number, whole_number
from helpers.grading.table import VERDICTS, check_columns
from helpers.stats import Estimate
from helpers.stats.inputs import check_same_order

COMPARED = [*VERDICTS, "success"]


def _verdicts(values) -> pd.arrays.BooleanArray:
    try:
        verdicts = pd.array(list(values), dtype="boolean")
        one_each = np.shape(verdicts.to_numpy(dtype=object)) == (len(verdicts),)
    except (TypeError, ValueError, IndexError):
        one_each = False
    if not one_each:
        raise ValueError(f"verdicts must be a list of true, false or missing (None), got {str(values)[:100]!r}")
    return verdicts


def _pairs(first, second) -> tuple[np.ndarray, np.ndarray]:
    """Both graders' verdicts as 0/1 where both gave one.

    Raises ValueError for anything but true, false and missing, for unequal lengths, or nothing in common.
    """
    check_same_order("the verdicts of two graders", first, second)
    first, second = _verdicts(first), _verdicts(second)
    if len(first) != len(second):
        raise ValueError(f"two graders must grade the same answers, got {len(first)} and {len(second)}")
    both = ~(first.isna() | second.isna())
    if not both.any():
        raise ValueError("there is no answer that both graders graded")
    return first[both].astype(int), second[both].astype(int)


def confusion(first, second, names: tuple[str, str] = ("first", "second")) -> pd.DataFrame:
    """Counts of answers, rows: first grader says no / yes, columns: second. Ungraded answers are left out."""
    first, second = _pairs(first, second)
    rows, columns = [pd.Index(["no", "yes"], name=name) for name in names]
    return pd.DataFrame(confusion_matrix(first, second, labels=[0, 1]), index=rows, columns=columns)


def _kappas(shares: np.ndarray) -> np.ndarray:
    """Kappa from shares [..., cell] of answers: both say no, only the second says yes, only the first, both."""
    yes_first, yes_second = shares[..., 2] + shares[..., 3], shares[..., 1] + shares[..., 3]
    chance = yes_first * yes_second + (1 - yes_first) * (1 - yes_second)
    return (shares[..., 0] + shares[..., 3] - chance) / (1 - chance)


def kappa(first, second, confidence: float = 0.95, resamples: int = 4000, seed: int = 0) -> Estimate:
    """Cohen's kappa (Cohen 1960): agreement beyond what the two graders' yes rates give by chance; 1 is perfect.

    Interval: Bayesian bootstrap over answers (Rubin 1981) with Jeffreys' prior, half an imagined answer in each cell, so that a few
    answers in full agreement do not look certain; percentiles widened for few answers (Hesterberg 2015). value is NaN where
    both graders give one verdict throughout.
    """
    if not 0 < finite_number("confidence", confidence) < 1:
        raise ValueError(f"confidence must lie between 0 and 1, e.g. 0.95, got {confidence!r}")
    resamples, seed = whole_number("resamples", resamples, 1), check_seed(seed)
    first, second = _pairs(first, second)
    n = first.size
    cells = np.bincount(2 * first + second, minlength=4)
    if cells.max() == n:
        return Estimate(float("nan"), float("nan"), float("nan"), n)
    value = float(_kappas(cells / n))
    draws = _kappas(np.random.default_rng(seed).dirichlet(cells + 0.5, size=resamples))  # [resample]
    tail = stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 - confidence) / 2, n - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Estimate(value, float(min(low, value)), float(max(high, value)), n)


def compare_graders(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Agreement of two tables of grades of the same answers, one row per verdict.

    Columns: kappa, low, high, n, then how many answers both affirm, only the first, only the second, neither.
    """
    for table in (first, second):
        check_columns(table, COMPARED)
    if not first.index.equals(second.index):
        raise ValueError("the two tables must have the same index: the same answers in the same order")
    rows, columns = {}, ["kappa", "low", "high", "n", "both", "only_first", "only_second", "neither"]
    for verdict in COMPARED:
        pair = first[verdict], second[verdict]
        rows[verdict] = [*kappa(*pair), *confusion(*pair).to_numpy().ravel()[[3, 2, 1, 0]]]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).rename_axis("verdict")
