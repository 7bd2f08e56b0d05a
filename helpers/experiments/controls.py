"""Controls of experiment 1: each boring explanation as a table of trials, its readouts, and a verdict that follows from numbers.

A control compares two conditions that differ in one thing. Its `effect` is made so that introspection predicts a number
above 0, and the boring explanation one at or below 0. Then the interval decides: above 0, the explanation is *ruled out*;
otherwise it *stands*. Where a model lacks what the control builds on, the control *cannot tell*.
"""

from collections.abc import Callable

import pandas as pd

from helpers import grading
from helpers.experiments import runner
from helpers.experiments.trials import concat_trials, make_trials
from helpers.prompts import read_prompt_file
from helpers.stats import (
    Estimate,
    clustered_mean,
    contrast_of_rates,
    difference_of_rates,
    paired_difference,
)

RULED_OUT, STANDS, CANNOT_TELL = "ruled out", "stands", "cannot tell"


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

    The columns are those of `experiments.make_trials` and word. Conditions with equal words and repeats are paired row by row.
    """
    layer, strength = cell
    tables = []
    for repeat in range(repeats):
        number = {word: place * repeats + repeat + 1 for place, word in enumerate(words)}
        tables.append(
            make_trials(
                experiment,
                wording,
                words=words,
                condition=condition,
                span=span,
                values=lambda word, number=number: {"trial": number[word], **values(word)},
                vector=vector,
                vector_of=vector_of,
                layers=(layer if vector != "none" else None,),
                strengths=(strength if vector != "none" else 0.0,),
                seed=seed + repeat * len(words),
            )
        )
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
    table = readings.astype({column: float}).pivot_table(index="condition", columns="model", values=column, sort=False)
    return table.rename_axis(index=None, columns=None)


def trials_of(readings: pd.DataFrame, column: str, condition: str, model: str) -> pd.DataFrame:
    """The graded trials of a condition and model; KeyError where there is none."""
    part = readings[(readings["condition"] == condition) & (readings["model"] == model)].dropna(subset=[column])
    if part.empty:
        raise KeyError(f"no graded trials of {condition!r} by {model!r}; there are {set(readings['condition'])}")
    return part.astype({column: bool if part[column].dtype in ("bool", "boolean") else float})


def estimate(readings: pd.DataFrame, column: str, condition: str, model: str, confidence: float = 0.95) -> Estimate:
    """Mean of a column in one condition of one model, interval clustered by word.

    Args:
        readings: of `read`.
        column: rates (true or false) or numbers.
        condition, model: which trials.
        confidence: of the interval (see `stats.simultaneous_confidence`).
    """
    part = trials_of(readings, column, condition, model)
    return clustered_mean(part[column], part["word"], confidence)


def difference(
    readings: pd.DataFrame, column: str, first: str, second: str, confidence: float = 0.95
) -> dict[str, Estimate]:
    """For each model: the column's mean in condition `first` minus that in `second`, paired by word.

    Args:
        readings: of `read`.
        column: rates (true or false) or numbers.
        first, second: conditions.
        confidence: of the intervals (see `stats.simultaneous_confidence`).
    """
    found = {}
    for model in readings["model"].unique():
        one, other = (trials_of(readings, column, condition, model) for condition in (first, second))
        if one[column].dtype == bool:
            found[model] = difference_of_rates(one[column], one["word"], other[column], other["word"], confidence)
        else:
            found[model] = paired_difference(one[column], other[column], one["word"], confidence)
    return found


def difference_of_shifts(
    readings: pd.DataFrame, column: str, shift: tuple[str, str], less: tuple[str, str], confidence: float = 0.95
) -> dict[str, Estimate]:
    """For each model: how far `shift` moves the column's mean (first condition minus second), less what `less` moves it.

    Args:
        readings: of `read`.
        column: rates (true or false) or numbers; paired by word.
        shift, less: pairs of conditions.
        confidence: of the intervals.
    """
    found = {}
    for model, part in readings.groupby("model", sort=False):
        groups = [trials_of(readings, column, condition, model) for condition in (*shift, *less)]
        if groups[0][column].dtype == bool:
            samples = [(group[column], group["word"]) for group in groups]
            found[model] = contrast_of_rates(samples, (1, -1, -1, 1), confidence)
        else:
            by_word = part.pivot_table(index="word", columns="condition", values=column)
            moved, otherwise = (by_word[first] - by_word[second] for first, second in (shift, less))
            found[model] = paired_difference(moved, otherwise, by_word.index, confidence)
    return found


def verdict(effect: Estimate, unclear: str = "") -> str:
    """RULED_OUT where the interval lies above 0, else STANDS; CANNOT_TELL where a reason is given."""
    if unclear:
        return CANNOT_TELL
    return RULED_OUT if effect.low > 0 else STANDS


def conclude(explanation: str, effects: dict[str, Estimate], unclear: dict[str, str] | None = None) -> list[dict]:
    """Print the verdict on one explanation for every model and return it as rows of the closing table.

    unclear: model -> why this control can tell nothing about it.
    """
    rows = []
    for model, effect in effects.items():
        why = (unclear or {}).get(model, "")
        found = verdict(effect, why)
        said = f"the control {found} ({why})" if why else f"the explanation {found}"
        print(f"{model:12} effect {effect!s:34} -> {said}")
        rows.append({"explanation": explanation, "model": model, **effect._asdict(), "verdict": found, "why": why})
    return rows


def closing_table(rows: list[dict]) -> pd.DataFrame:
    """Explanation x model: verdict and effect with its interval; explanations in order of appearance."""
    table = pd.DataFrame(rows)
    twice = table[table.duplicated(["explanation", "model"])]
    if len(twice):
        raise ValueError(
            f"{twice['explanation'].iloc[0]!r} was concluded twice for one model; run the notebook from the top"
        )
    table["entry"] = [f"{row.verdict} ({row.value:+.2f} [{row.low:.2f}, {row.high:.2f}])" for row in table.itertuples()]
    order = list(dict.fromkeys(table["explanation"]))
    wide = table.pivot_table(index="explanation", columns="model", values="entry", aggfunc="first")
    return wide.loc[order, list(table["model"].unique())].rename_axis(index=None, columns=None)
