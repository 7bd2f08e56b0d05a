"""Controls of experiment 1: each boring explanation as a table of trials, its readouts, and a verdict that follows from numbers.

A control compares two conditions that differ in one thing. Its `effect` is made so that introspection predicts a number
above 0, and the boring explanation one at or below 0. Then the interval decides: above 0, the explanation is *ruled out*;
otherwise it *stands*, unless the model never claims a thought: then there is *nothing to explain*. Where a model lacks what
the control builds on, or nothing could be graded, the control *cannot tell*.
"""

import math
from collections import Counter
from collections.abc import Callable

import pandas as pd

from helpers import grading
from helpers.checks import as_list, check_different, check_seed, whole_number
from helpers.experiments import runner
from helpers.experiments.measures import check_cell
from helpers.experiments.trials import concat_trials, make_trials
from helpers.prompts import read_prompt_file
from helpers.stats import (
    UNGRADED,
    Estimate,
    as_outcomes,
    check_table,
    clustered_mean,
    clustered_rate,
    contrast_of_rates,
)
from helpers.stats.inputs import check_values

RULED_OUT, STANDS, CANNOT_TELL, NOTHING = "ruled out", "stands", "cannot tell", "nothing to explain"


def trials(
    wording: str,
    *,
    words: list[str],
    cell: tuple[int, float],
    condition: str,
    vector: str = "none",
    experiment: str = "controls",
    span: str = "from_turn_2",
    values: Callable[[str], dict] = lambda word: {},
    vector_of: Callable[[str], str] | None = None,
    repeats: int = 2,
    seed: int = 0,
) -> pd.DataFrame:
    """One condition in one cell (layer, strength): every word `repeats` times, with trial numbers 1, 2, 3 ...

    The columns are those of `experiments.make_trials` and word. Conditions with equal words and repeats have equal values.
    """
    layer, strength = check_cell(cell)
    words, repeats, seed = as_list("words", words), whole_number("repeats", repeats, 1), check_seed(seed)
    check_different("words", words)
    shared = {"words": words, "condition": condition, "span": span}
    if vector != "none":
        shared |= {"vector": vector, "vector_of": vector_of, "layers": (layer,), "strengths": (strength,)}
    tables = []
    for repeat in range(repeats):

        def numbered(word: str, repeat=repeat) -> dict:
            return {"trial": words.index(word) * repeats + repeat + 1, **values(word)}

        seeded = {"values": numbered, "seed": seed + repeat * len(words)}
        tables.append(make_trials(experiment, wording, **seeded, **shared))
    return concat_trials(*tables).assign(word=lambda table: table["concept"])


def questions(truth: str) -> list[str]:
    """The questions of data/prompts/questions.yaml whose answer is "yes" or "no"; KeyError for anything else."""
    return list(read_prompt_file("questions")["questions"][truth])


def read(models: dict, table: pd.DataFrame, max_new_tokens: int = 24, name: str | None = None) -> pd.DataFrame:
    """Run a table of trials on every model and add what the controls compare.

    Args:
        models: name -> nnsight model.
        table: made by `trials`, with a column word.
        max_new_tokens: longest reply.
        name: keep the answers in runs/<name>/<model>/ and continue from what is there.

    Returns:
        One row per model and trial: the columns of `runner.run`, model as named here; margin (yes minus no logit of the first
        reply token), says_yes (margin above 0); claims (the answer claims a thought, graded by rules), names (it holds the
        word, whatever it claims); missing where a reply could not be graded.
    """
    if not isinstance(models, dict) or not models:
        raise ValueError(f"models must be a dict of at least one, name -> model, got {models!r:.80}")
    check_table(table, ["word"])
    parts = []
    for own_name, model in models.items():
        answered = runner.run(model, table, name and f"{name}/{own_name}", max_new_tokens).assign(model=own_name)
        answered["margin"] = answered["yes_logit"] - answered["no_logit"]
        answered["says_yes"] = (answered["margin"] > 0).astype("boolean").where(answered["margin"].notna())
        answered["claims"] = grading.grade_by_rules(answered["answer"], [None] * len(answered))["affirmative"]
        named = zip(answered["answer"], answered["word"], strict=True)
        answered["names"] = pd.array([grading.names_concept(*each) for each in named], dtype="boolean")
        parts.append(answered)
    readings = pd.concat(parts, ignore_index=True)
    whole = [name for name in ("says_yes", "claims", "names") if not readings[name].isna().any()]
    return readings.astype(dict.fromkeys(whole, bool))


def means(readings: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of a column by condition (rows, in order of appearance) and model (columns)."""
    _check_readings(readings, column)
    cells = {"index": "condition", "columns": "model", "values": column, "sort": False, "dropna": False}
    table = readings.astype({column: "Float64"}).pivot_table(**cells).astype(float)
    return table.rename_axis(index=None, columns=None)


def _check_readings(readings: pd.DataFrame, *columns: str) -> None:
    """Raise ValueError for what is no table of `read` with these columns of numbers, and for readings without a word."""
    check_table(readings, ["model", "condition", "word", *columns])
    if readings["word"].isna().any():
        raise ValueError(f"{readings['word'].isna().sum()} readings have no word")
    for column in columns:
        if (known := readings[column].dropna()).size:
            check_values(known, column)


def _trials(readings: pd.DataFrame, condition: str, model: str) -> pd.DataFrame:
    """The trials of a condition and model; KeyError where there are none."""
    part = readings[(readings["condition"] == condition) & (readings["model"] == model)]
    if part.empty:
        there = (sorted(readings[name].unique()) for name in ("condition", "model"))
        raise KeyError("no trials of {!r} by {!r}; there are {} by {}".format(condition, model, *there))
    return part


def usual_replies(readings: pd.DataFrame, condition: str, model: str, most: int = 1) -> str:
    """The most frequent replies of a model in a condition, one per line with its count, each trial's own word as WORD."""
    part = _trials(readings, condition, model)
    replies = part.apply(lambda row: row["answer"].replace(row["word"], "WORD"), axis=1).value_counts()
    return "\n".join(f"{condition}: {reply} ({n} of {len(part)})" for reply, n in replies[:most].items())


def trials_of(readings: pd.DataFrame, column: str, condition: str, model: str) -> pd.DataFrame:
    """The graded trials of a condition and model; KeyError where it has no trials at all."""
    _check_readings(readings, column)
    part = _trials(readings, condition, model).dropna(subset=[column])
    if readings[column].dropna().isin((0, 1)).all():
        return as_outcomes(part, column)
    return part.assign(**{column: check_values(part[column], column) if len(part) else 0.0})


def estimate(readings: pd.DataFrame, column: str, condition: str, model: str, confidence: float = 0.95) -> Estimate:
    """Mean of a column in one condition of one model, interval clustered by word.

    Args:
        readings: of `read`.
        column: rates (true or false) or numbers.
        condition, model: which trials.
        confidence: of the interval (see `stats.simultaneous_confidence`).
    """
    part = trials_of(readings, column, condition, model)
    return UNGRADED if part.empty else clustered_mean(part[column], part["word"], confidence)


def contrast(readings: pd.DataFrame, column: str, weights: dict[str, int], confidence: float) -> dict[str, Estimate]:
    """For each model: a weighted sum of the column's means in some conditions, paired by word.

    Args:
        readings: of `read`.
        column: rates (true or false; n counts trials) or numbers (n counts words).
        weights: condition -> weight.
        confidence: of the intervals (see `stats.simultaneous_confidence`).
    """
    if not isinstance(weights, dict) or not weights or not check_values(list(weights.values()), "weights").any():
        raise ValueError(f"weights must be a dict, condition -> weight, not all of them 0, got {weights!r}")
    _check_readings(readings, column)
    found = {}
    for model in readings["model"].unique():
        groups = [trials_of(readings, column, condition, model) for condition in weights]
        if any(group.empty for group in groups):
            found[model] = UNGRADED
        elif groups[0][column].dtype == bool:
            samples = [(group[column], group["word"]) for group in groups]
            found[model] = contrast_of_rates(samples, list(weights.values()), confidence)
        else:
            pairs = zip(weights.values(), groups, strict=True)
            total = sum(weight * group.groupby("word")[column].mean() for weight, group in pairs)
            total = total.dropna()  # a word that lacks a condition drops out
            found[model] = clustered_mean(total, total.index, confidence) if len(total) > 1 else UNGRADED
    return found


def difference(
    readings: pd.DataFrame, column: str, first: str, second: str, confidence: float = 0.95
) -> dict[str, Estimate]:
    """For each model: the column's mean in condition `first` minus that in `second`, paired by word (see `contrast`)."""
    return contrast(readings, column, _sums((first, 1), (second, -1)), confidence)


def difference_of_shifts(
    readings: pd.DataFrame, column: str, shift: tuple[str, str], less: tuple[str, str], confidence: float = 0.95
) -> dict[str, Estimate]:
    """For each model: how far `shift` moves the column's mean (first condition minus second), less what `less` moves it.

    shift, less: pairs of conditions. The rest as in `contrast`.
    """
    weights = zip((*shift, *less), (1, -1, -1, 1), strict=True)  # both shifts may have one condition in common
    return contrast(readings, column, _sums(*weights), confidence)


def _sums(*weights: tuple[str, int]) -> dict[str, int]:
    """condition -> sum of its weights, without those that cancel out."""
    sums = Counter()
    for condition, weight in weights:
        sums[condition] += weight
    return {condition: weight for condition, weight in sums.items() if weight}


def past_zero(readings: pd.DataFrame, confidence: float = 0.95) -> dict[str, Estimate]:
    """For each model: of the trials denied without a vector, the share that leans to yes with it, minus one half.

    Blurring pulls a margin towards 0, so it carries at most half of the trials past it.

    Args:
        readings: of `read`, with the conditions none and concept on the same words. A word's trials are paired by their
            values, or need none where it has a single trial.
        confidence: of the intervals.
    """
    _check_readings(readings, "margin")
    trial = ["model", "word", *(["values"] if "values" in readings else [])]
    margins = readings[[*trial, "condition", "margin"]].astype({"margin": float})
    none, concept = (margins[margins["condition"] == condition] for condition in ("none", "concept"))
    for part in (none, concept):
        for word in part["word"][part.duplicated(trial)]:
            raise ValueError(f"{word!r} has several trials of one condition: the column values must tell them apart")
    pairs = none.merge(concept, on=trial, suffixes=("", "_injected"))
    denied = pairs[pairs["margin"] < 0].dropna(subset=["margin_injected"])
    found = dict.fromkeys(readings["model"].unique(), UNGRADED)
    for model, part in denied.groupby("model", observed=True):
        share = clustered_rate(part["margin_injected"] > 0, part["word"], confidence)
        found[model] = Estimate(share.value - 0.5, share.low - 0.5, share.high - 0.5, share.n)
    return found


def unmet(estimates: dict[str, Estimate], reason: str) -> dict[str, str]:
    """The models whose precondition is not shown, with the reason: those whose interval does not lie above 0."""
    return {model: reason for model, estimate in estimates.items() if not estimate.low > 0}


def verdict(effect: Estimate, unclear: str = "") -> str:
    """RULED_OUT where the interval lies above 0, else STANDS; CANNOT_TELL where a reason is given or nothing was graded."""
    if unclear or not effect.n or math.isnan(effect.value):
        return CANNOT_TELL
    return RULED_OUT if effect.low > 0 else STANDS


def verdict_rows(
    explanation: str, effects: dict[str, Estimate], unclear: dict[str, str] | None = None, silent=()
) -> list[dict]:
    """The verdicts on one explanation, a row for each model: explanation, model, value, low, high, n, verdict, why.

    unclear: model -> why this control can tell nothing about it; an empty reason is none.
    silent: models that never claim a thought; what would stand has NOTHING to explain there.
    """
    rows = []
    for model, effect in effects.items():
        why = (unclear or {}).get(model) or ("" if effect.n else "no trial to compare")
        found = verdict(effect, why)
        found = NOTHING if found == STANDS and model in silent else found
        rows.append({"explanation": explanation, "model": model, **effect._asdict(), "verdict": found, "why": why})
    return rows


def conclude(
    explanation: str, effects: dict[str, Estimate], unclear: dict[str, str] | None = None, silent=(), shown=None
) -> list[dict]:
    """Print the verdict on one explanation for the first `shown` models (None: all); return all `verdict_rows`."""
    rows = verdict_rows(explanation, effects, unclear, silent)
    print(explanation)
    for row, effect in [*zip(rows, effects.values(), strict=True)][:shown]:
        print(f"  {row['model']:13} {effect!s:30} {row['verdict']}{row['why'] and ': ' + row['why']}")
    return rows
