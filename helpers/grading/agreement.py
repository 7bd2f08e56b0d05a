"""Do two graders agree? Cohen's kappa with its interval, and the confusion matrix behind it."""

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from helpers.grading.table import VERDICTS
from helpers.stats import Estimate

COMPARED = [*VERDICTS, "success"]


def _pairs(first, second) -> tuple[np.ndarray, np.ndarray]:
    """Both graders' verdicts as 0/1 where both gave one; raises ValueError for unequal lengths or nothing in common."""
    first, second = pd.array(list(first), dtype="boolean"), pd.array(list(second), dtype="boolean")
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


def kappa(first, second, confidence: float = 0.95, resamples: int = 4000, seed: int = 0) -> Estimate:
    """Cohen's kappa (Cohen 1960): agreement beyond what the two graders' yes rates give by chance; 1 is perfect.

    Interval: bootstrap over answers. value is NaN where both graders give one and the same verdict throughout.
    """
    first, second = _pairs(first, second)
    n = first.size
    cells = np.bincount(2 * first + second, minlength=4)  # both no, only second yes, only first yes, both yes
    if cells.max() == n:
        return Estimate(float("nan"), float("nan"), float("nan"), n)
    draws = np.random.default_rng(seed).multinomial(n, cells / n, size=resamples) / n  # [resample, cell]
    agreed = draws[:, 0] + draws[:, 3]
    yes_first, yes_second = draws[:, 2] + draws[:, 3], draws[:, 1] + draws[:, 3]
    chance = yes_first * yes_second + (1 - yes_first) * (1 - yes_second)
    with np.errstate(invalid="ignore"):
        values = (agreed - chance) / (1 - chance)  # NaN for a draw without any variation
    low, high = np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(cohen_kappa_score(first, second)), float(low), float(high), n)


def compare_graders(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Agreement of two tables of grades of the same answers, one row a verdict.

    Columns: kappa, low, high, n, then how many answers both affirm, only the first, only the second, neither.
    """
    if not first.index.equals(second.index):
        raise ValueError("the two tables must have the same index: the same answers in the same order")
    rows = []
    for verdict in COMPARED:
        estimate, counts = kappa(first[verdict], second[verdict]), confusion(first[verdict], second[verdict]).to_numpy()
        cells = {"both": counts[1, 1], "only_first": counts[1, 0], "only_second": counts[0, 1], "neither": counts[0, 0]}
        rows.append({"verdict": verdict, "kappa": estimate.value, "low": estimate.low, "high": estimate.high,
                     "n": estimate.n, **cells})  # fmt: skip
    return pd.DataFrame(rows).set_index("verdict")
