"""What the estimators take: counts, outcomes, values, labels, confidence. Anything else is one sentence, raised at once."""

import numpy as np
import pandas as pd

from helpers.checks import as_list, is_number, without_tensors

LARGEST = 1e100  # values above it would overflow when squared


def check_count(count, n, what: str) -> tuple[int, int]:
    """Return both as whole numbers; ValueError for no trials or more successes than trials."""
    for name, number in ((f"number of {what}", count), (f"number of trials behind {what}", n)):
        if not is_number(number) or not 0 <= number < 1e15 or number % 1:
            raise ValueError(f"{name} must be a whole number >= 0, got {number!r}")
    if n == 0:
        raise ValueError(f"no trials: a rate of {what} needs n >= 1")
    if count > n:
        raise ValueError(f"{count} {what} out of {n} trials: cannot be more than the trials")
    return int(count), int(n)


def check_values(values, name: str) -> np.ndarray:
    """Return values as a one-dimensional float array; ValueError if empty, or holding text, dates, NaN or infinity."""
    values = without_tensors(values)
    try:
        raw = np.asarray(values)
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError) as problem:
        raise ValueError(f"{name} must be numbers without missing values: {problem}") from problem
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty list of numbers, got shape {array.shape}")
    if raw.dtype.kind not in "biufO" or any(isinstance(each, str | bytes) for each in raw if raw.dtype.kind == "O"):
        raise ValueError(f"{name} must be numbers without missing values, got {raw.tolist()!r:.80}")
    lost = (~np.isfinite(array)).sum() or int(np.ma.is_masked(values))
    if lost:
        raise ValueError(f"{name} holds {lost} missing or infinite values; drop them first")
    if (largest := abs(array).max()) >= LARGEST:
        raise ValueError(f"{name} must be numbers below {LARGEST:g} in size, got {largest:g}")
    return array


def check_same_order(name: str, first, second) -> None:
    """Raise ValueError for two columns that hold the same rows in another order: they would be paired wrongly."""
    if not (isinstance(first, pd.Series) and isinstance(second, pd.Series)) or first.index.equals(second.index):
        return
    if len(first) == len(second) and set(first.index) == set(second.index):
        raise ValueError(f"{name} hold the same rows in another order: sort both by index first")


def check_outcomes(outcomes, name: str = "outcomes") -> np.ndarray:
    """Return outcomes as 0.0 and 1.0; ValueError for anything that is not true or false."""
    values = check_values(outcomes, name)
    if not np.isin(values, (0, 1)).all():
        wrong = values[~np.isin(values, (0, 1))][0]
        raise ValueError(f"{name} must all be true or false (1 or 0), got {wrong:g}")
    return values


def check_labels(labels, count: int, name: str = "labels") -> np.ndarray:
    """Return one number for each label, equal labels having equal numbers; ValueError for missing labels or another count."""
    try:
        codes = pd.factorize(pd.Series(as_list(name, labels), dtype=object))[0]
    except TypeError:
        raise ValueError(f"{name} must be a list of words or numbers, one for each value, got {labels!r:.80}") from None
    if codes.size != count:
        raise ValueError(f"{count} values but {codes.size} {name}: one label for each value")
    if (codes < 0).any():
        raise ValueError(f"one of the {name} is missing (None or NaN); give trials without a word a label each")
    return codes


def check_confidence(confidence: float) -> float:
    """Return the confidence level; ValueError outside 0 to 1, and so near to 0 or 1 that no interval can be computed."""
    if not is_number(confidence) or not 0.001 <= confidence <= 1 - 1e-12:
        raise ValueError(f"confidence must be a number between 0 and 1, e.g. 0.95, got {confidence!r}")
    return float(confidence)


def check_bounds(bounds) -> tuple[float, float]:
    """The smallest and the largest possible value; ValueError for anything but two numbers in this order."""
    pair = tuple(bounds) if isinstance(bounds, tuple | list) else ()
    if len(pair) != 2 or not all(map(is_number, pair)) or not pair[0] < pair[1]:
        raise ValueError(f"bounds must be the smallest and the largest possible value, such as (0, 1), got {bounds!r}")
    return pair
