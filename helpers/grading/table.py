"""The table of grades that all graders return: rules, a judge model, people.

One row of grades per answer (`COLUMNS`):

    affirmative              the answer claims to detect or undergo an injected thought
    identified               the injected concept (inflected, or a close synonym) is named as the thought
    identified_before_named  the claim comes before the concept's first mention, or with it (the paper's strict rule:
                             otherwise the model may have read the word off its own text)
    coherent                 intelligible, neither repetition nor word salad
    refusal                  declines or explains what such systems cannot have, instead of reporting
    success                  all of the first four
    grader                   who graded ("rules", "judge:<model>", "people:<name>"), or "ungraded" and why
    faithful                 True only for a judge model that passed its canned cases: the paper's grader was a judge
                             model. Rules and people are False: their numbers complement the judge's, they do not replace them

An ungraded answer has missing values in the true/false columns: it counts neither as a success nor as a failure. Where a table
has such rows, these columns have the dtype "boolean", else bool.
"""

import hashlib
from collections.abc import Iterable

import pandas as pd

from helpers.checks import MISSING_ANSWERS, as_list
from helpers.stats.inputs import check_same_order

VERDICTS = ["affirmative", "identified", "identified_before_named", "coherent", "refusal"]
TRUE_OR_FALSE = [*VERDICTS, "success", "faithful"]
COLUMNS = [*VERDICTS, "success", "grader", "faithful"]

UNGRADED = "ungraded"
UNFINISHED = "ungraded: unfinished reasoning"
NOT_ENGLISH = "ungraded: not English"


def case_hash(*parts: str) -> str:
    """Stands for a case in a file of judgements or labels."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def is_complete(verdicts) -> bool:
    """Whether these are true or false for each of VERDICTS, and for nothing else."""
    return (
        isinstance(verdicts, dict)
        and verdicts.keys() == {*VERDICTS}
        and all(type(value) is bool for value in verdicts.values())
    )


def grade_row(
    verdicts: dict[str, bool] | None, concept: str | None, grader: str, faithful: bool = False, ungraded: str = UNGRADED
) -> dict:
    """The row of an answer from its five verdicts; without a concept nothing can be identified.

    Args:
        verdicts: true or false for each of VERDICTS; None for an answer that could not be graded, `ungraded` says why.
        concept: the injected word, None in a trial without one.
        grader, faithful: see COLUMNS.
    """
    if verdicts is None:
        return {**dict.fromkeys(TRUE_OR_FALSE), "grader": ungraded}
    row = {name: verdicts[name] for name in VERDICTS} | {"grader": grader, "faithful": faithful}
    row["identified"] = verdicts["identified"] and concept is not None
    row["identified_before_named"] = verdicts["identified_before_named"] and row["identified"]
    return row | {"success": row["affirmative"] and row["identified_before_named"] and row["coherent"]}


def grade_table(rows: list[dict], index: pd.Index) -> pd.DataFrame:
    """Rows of grades as a table with the columns COLUMNS."""
    table = pd.DataFrame(rows, columns=COLUMNS, index=index)
    missing = table[TRUE_OR_FALSE].isna().any(axis=None)
    return table.astype(dict.fromkeys(TRUE_OR_FALSE, "boolean" if missing else "bool"))


def check_columns(table: pd.DataFrame, names: Iterable[str]) -> None:
    """Raise ValueError for what is no table with these columns."""
    missing = [name for name in names if not isinstance(table, pd.DataFrame) or name not in table]
    if missing:
        raise ValueError(f"need a table with the columns {', '.join(names)}; it lacks {', '.join(missing)}")


def check_answers(
    responses: Iterable[str], concepts: Iterable[str | None]
) -> tuple[list[str], list[str | None], pd.Index]:
    """Answers and concepts as lists of equal length and the table index; raises ValueError for anything but text."""
    check_same_order("responses and concepts", responses, concepts)
    index = responses.index if isinstance(responses, pd.Series) else None
    responses, concepts = (
        [] if isinstance(values, list | tuple | pd.Series) and not len(values) else as_list(name, values)
        for name, values in (("responses", responses), ("concepts", concepts))
    )
    concepts = [None if concept is None or concept is pd.NA or concept != concept else concept for concept in concepts]
    if len(responses) != len(concepts):
        raise ValueError(f"{len(responses)} responses but {len(concepts)} concepts: give one (or None) for each answer")
    for place, answer in enumerate(responses):
        if not isinstance(answer, str):
            raise ValueError(f"response {place} must be text, got {answer!r}; {MISSING_ANSWERS}")
    for place, concept in enumerate(concepts):
        if concept is not None and (not isinstance(concept, str) or not concept.strip()):
            raise ValueError(f"concept {place} must be a word, or None for a trial without one, got {concept!r}")
    return responses, concepts, pd.RangeIndex(len(responses)) if index is None else index
