"""Tables of graded trials: which rows count, which cell (layer, strength) is best."""

import json

import pandas as pd

from helpers import prompts
from helpers.checks import MISSING_ANSWERS
from helpers.stats.inputs import check_outcomes, check_values

CELL = ["layer", "strength"]
PROMPT_COLUMNS = ["experiment", "wording", "values"]
INPUT_COLUMNS = ["model", "condition", "concept", "vector", "vector_of", *CELL, "span"]
SEEDED_VECTORS = ("random", "mixture", "shuffled")  # kinds of vectors that depend on the trial's seed


def check_table(table: pd.DataFrame, columns, rows: str = "trials") -> None:
    """Raise ValueError for what is no table, has no rows, lacks columns, or has a column twice. rows: what they are called."""
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"the {rows} must be a table (a DataFrame), got {table!r:.80}")
    if not table.columns.is_unique:
        raise ValueError(f"the {rows} have the column {table.columns[table.columns.duplicated()][0]!r} twice")
    missing = sorted({str(column) for column in columns if not isinstance(column, str) or column not in table.columns})
    if missing:
        raise ValueError(f"the {rows} lack the columns {missing}")
    if table.empty:
        raise ValueError(f"there are no {rows}")


def check_trials(trials: pd.DataFrame, columns) -> None:
    """Raise ValueError as `check_table`, and for an index that names rows twice."""
    check_table(trials, columns)
    if not trials.index.is_unique:
        label = trials.index[trials.index.duplicated()][0]
        raise ValueError(
            f"the index names a row twice, e.g. {label}: a join by index would mix these rows. Join tables with "
            "pd.concat(..., ignore_index=True)"
        )


def as_outcomes(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The table with these columns as true and false. ValueError for text (after a CSV file) and missing values in them."""
    outcomes = {name: check_outcomes(table[name], name) if len(table) else table[name] for name in columns}
    return table.assign(**outcomes).astype(dict.fromkeys(columns, bool))


def distinct_trials(answered: pd.DataFrame, also=()) -> pd.DataFrame:
    """The table with each trial once, so that n counts distinct trials. Call it before anything is measured.

    A deterministic model answers a prompt in one way, however often it is asked. So where trials with the same input (model,
    prompt, vector, layer, strength, span) always agree, the first one stays. Where some of a model disagree, its answers were
    sampled: all of them stay, and only rows of one trial_id are merged.

    Args:
        answered: trials as `runner.run` returns them, graded or not.
        also: further columns that make a trial another one, whatever its prompt shows.

    Raises:
        ValueError: for an index that names rows twice, and for two answers or graders under one trial_id.
    """
    check_trials(answered, ["trial_id", "answer", *PROMPT_COLUMNS, *INPUT_COLUMNS, "seed"])
    if answered["trial_id"].isna().any():
        raise ValueError(f"{answered['trial_id'].isna().sum()} trials have no trial_id: they would count as one")
    if answered["answer"].isna().any():
        raise ValueError(f"{answered['answer'].isna().sum()} trials have no answer: {MISSING_ANSWERS}")
    answers = answered[["trial_id", "answer", *({"grader"} & set(answered))]].drop_duplicates()
    if answers["trial_id"].duplicated().any():
        twice = answers["trial_id"][answers["trial_id"].duplicated()].iloc[0]
        raise ValueError(f"trial {twice!r} has two different answers or graders: were two tables joined?")
    answered = answered[~answered["trial_id"].duplicated()]
    asked = list(zip(*(answered[column].astype(str) for column in PROMPT_COLUMNS), strict=True))
    prompts_of = {each: _prompt(*each) for each in set(asked)}
    inputs = answered[[*INPUT_COLUMNS, *also]].assign(
        prompt=[prompts_of[each] for each in asked],
        seed=answered["seed"].where(answered["vector"].isin(SEEDED_VECTORS), -1),
    )
    first, model = ~inputs.duplicated(), inputs["model"].astype(str)
    distinct = ~inputs.assign(answer=answered["answer"]).duplicated()
    sampled = distinct.groupby(model).sum() > first.groupby(model).sum()
    return answered[first | model.map(sampled)]


def _prompt(experiment: str, wording: str, values: str) -> str:
    """What the model reads, before its chat template: a wording without a placeholder gives one prompt for many values."""
    turns = prompts.get_template(experiment, wording).turns
    try:
        return "\n".join(f"{role}: {text.format(**json.loads(values))}" for role, text in turns)
    except (TypeError, ValueError, KeyError):
        raise ValueError(f"the values {values!r:.80} do not fill the wording {wording!r} of {experiment}") from None


def _check_scores(trials: pd.DataFrame, score: str) -> None:
    """Raise ValueError where a score, a layer or a strength is missing or none: a cell must not win by the grades it lacks."""
    check_trials(trials, [*CELL, score])
    missing = trials[trials[[*CELL, score]].isna().any(axis=1)]
    if not missing.empty:
        where = f"layer {missing.iloc[0]['layer']}, strength {missing.iloc[0]['strength']}"
        raise ValueError(
            f"{len(missing)} of {len(trials)} trials have no {score}, layer or strength (first: {where}); leave ungraded and "
            "control trials out, or count them as failures, before choosing"
        )
    check_values(trials[score], score)
    check_values(trials["strength"], "strength")
    if (check_values(trials["layer"], "layer") % 1).any():
        raise ValueError(f"layers must be whole numbers, got {sorted(trials['layer'].unique().tolist())}")


def tied_cells(trials: pd.DataFrame, score: str) -> list[tuple[int, float]]:
    """All cells with the highest mean of `score`, in order of layer and strength; ValueError for missing scores."""
    _check_scores(trials, score)
    means = trials.astype({score: float}).groupby(CELL, observed=True)[score].mean()
    return [(int(layer), float(strength)) for layer, strength in means.index[means >= means.max() - 1e-12]]


def best_cell(trials: pd.DataFrame, score: str) -> tuple[int, float]:
    """(layer, strength) with the highest mean of `score`; of tied cells the earlier layer, then the weaker strength."""
    return tied_cells(trials, score)[0]
