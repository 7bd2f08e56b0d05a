"""What the four experiments' measures have in common: the chosen cell, the table of estimates, the file for comparisons.

Layer and strength are chosen on half of the words; every number is taken from the other half, the held-out words.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.checks import finite_number, layer_number
from helpers.concepts import split_in_halves
from helpers.paths import ROOT, run_folder
from helpers.stats import UNGRADED, Estimate, as_outcomes, check_trials, clustered_rate, tied_cells
from helpers.stats.cells import CELL
from helpers.stats.inputs import check_values

EFFECT = "effect"  # the measure that every experiment has: about 0, or less, for a model without introspection
FOUND, NOT_FOUND, CANNOT_TELL = "found", "not found", "cannot tell"
BARELY = 0.05  # a found effect whose interval begins below this asks for a repetition


class Cell(NamedTuple):
    """Where an experiment is measured.

    layer, strength: of the injection. testing_words: the held-out words. tied: how many cells did equally well on the choosing
    words; above 1 the choice among them says nothing (all cells of a model that notices nothing are tied).
    """

    layer: int
    strength: float
    testing_words: list[str]
    tied: int = 1


def choose_cell(
    scored: pd.DataFrame, score: str, seed: int = 0, cell: tuple[int, float] | None = None, words=None
) -> Cell:
    """The best cell on half of the words, or the given one.

    ValueError where none of their answers could be graded, and where cells hold different words.

    Args:
        scored: trials with columns concept, layer, strength and `score` (see `choosing_trials`).
        score: the column that chooses.
        seed: of the halves.
        cell: (layer, strength) that was chosen elsewhere, such as the cell in which another model notices most.
        words: all words of the experiment, those in `scored` by default. Give them where ungraded trials were left out: a
            word that is lost would make other halves.
    """
    if words is None and (scored["concept"].isna() | (scored["concept"] == "")).any():
        raise ValueError("missing values in concept: leave control trials out")
    choosing, testing = split_in_halves(sorted(scored["concept"].unique() if words is None else words), seed)
    if cell is not None:
        return Cell(*check_cell(cell), testing)
    by_choosing = scored[scored["concept"].isin(choosing)]
    if by_choosing.empty:
        raise ValueError(
            "no answer to the words that choose a cell could be graded (reasoning that did not end within the new tokens, or "
            "another language than English): allow more new tokens, or give a cell"
        )
    tied = tied_cells(by_choosing, score)
    held = by_choosing.groupby(CELL, observed=True)["concept"].nunique()
    if held.min() < held.max():  # a cell must not win by the words it lacks
        raise ValueError(
            f"layer {held.idxmin()[0]}, strength {held.idxmin()[1]} holds {held.min()} of {held.max()} words that choose a "
            "cell: finish the run, or leave the cell out"
        )
    return Cell(*tied[0], testing, len(tied))


def check_cell(cell) -> tuple[int, float]:
    """The cell as (layer, strength). ValueError for anything but a whole number and a finite one."""
    if not isinstance(cell, tuple | list) or len(cell) != 2:
        raise ValueError(f"a cell must be (layer, strength), such as (4, 1.0), got {cell!r}")
    return layer_number("the layer of a cell", cell[0]), finite_number("the strength of a cell", cell[1])


@dataclass(frozen=True)
class Result:
    """What an experiment found on one model.

    Attributes:
        table: columns model, measure, value, low, high, n.
        cell: where it was measured (strength NaN in experiment 4).
        broken: why the effect says nothing whatever it is (most answers incoherent, one word only, no floor ...), or "".
        powerless: why a null says nothing (a positive control that failed), or "".
    """

    table: pd.DataFrame
    cell: Cell
    broken: str = ""
    powerless: str = ""

    @property
    def layer(self) -> int:
        """Of the cell."""
        return self.cell.layer

    @property
    def strength(self) -> float:
        """Of the cell."""
        return self.cell.strength

    @property
    def testing_words(self) -> list[str]:
        """The held-out words."""
        return self.cell.testing_words

    def measure(self, name: str) -> Estimate:
        """One line of the table; KeyError with the known names."""
        lines = self.table.set_index("measure")
        if name not in lines.index:
            why = f": {self.broken}" if self.broken else ""
            raise KeyError(f"no measure {name!r}{why}; there are {', '.join(lines.index)}")
        line = lines.loc[name]
        return Estimate(float(line["value"]), float(line["low"]), float(line["high"]), int(line["n"]))

    @property
    def low(self) -> float:
        """Lower end of the effect's interval."""
        return self.measure(EFFECT).low

    @property
    def unclear(self) -> str:
        """Why the assay cannot tell, or "": it is broken, or it found nothing and could not have found anything."""
        return "; ".join(filter(None, (self.broken, "" if self.low > 0 else self.powerless)))

    @property
    def verdict(self) -> str:
        """As `verdict_of`."""
        return verdict_of(self)


def why_unclear(effect) -> str:
    """A row's reason why the assay cannot tell, or ""; a table that was read from a file may hold NaN there."""
    reason = effect.unclear if isinstance(effect.unclear, str) else ""
    return reason or ("nothing was measured" if pd.isna(effect.low) else "")


def verdict_of(effect) -> str:
    """FOUND where the effect's interval lies above 0, NOT_FOUND where not, CANNOT_TELL with the reason.

    effect: a Result, or the row of an effect in a results table (attributes unclear and low).
    """
    if reason := why_unclear(effect):
        return f"{CANNOT_TELL}: {reason}"
    return FOUND if effect.low > 0 else NOT_FOUND


def worded_verdict(effect) -> str:
    """`verdict_of` as readers get it: "barely found" where the interval begins below BARELY."""
    verdict = verdict_of(effect)
    return f"barely {verdict}" if verdict == FOUND and effect.low < BARELY else verdict


def reasons(*failed: tuple[bool, str]) -> str:
    """The reasons of those preconditions that failed, as one text."""
    return "; ".join(reason for is_failed, reason in failed if is_failed)


def estimates_table(model: str, measures: dict[str, Estimate]) -> pd.DataFrame:
    """Measures by name as a table: model, measure, value, low, high, n."""
    rows = [(model, name, *estimate) for name, estimate in measures.items()]
    return pd.DataFrame(rows, columns=["model", "measure", "value", "low", "high", "n"])


def in_cell(trials: pd.DataFrame, condition: str, cell: Cell) -> pd.DataFrame:
    """Trials of one condition with the held-out words; in the chosen cell where the condition has cells.

    trials: with a column word. ValueError where there are none.
    """
    part = trials[(trials["condition"] == condition) & trials["word"].isin(cell.testing_words)]
    if part["layer"].notna().any():
        near = [np.isclose(check_values(part[name], name), getattr(cell, name)) for name in CELL]  # but for rounding
        part = part[near[0] & near[1]]
    if part.empty:
        raise ValueError(f"no trials of condition {condition!r} in layer {cell.layer}, strength {cell.strength}")
    return part


def injected_words(trials: pd.DataFrame, condition: str) -> list[str]:
    """All words of an experiment's trials under this condition, graded or not; ValueError where there are none."""
    words = trials.loc[trials["condition"] == condition, "concept"].unique().tolist()
    if not words:
        raise ValueError(f"no trials of condition {condition!r}")
    return words


def graded_parts(parts: dict, column: str, what: str = "answer") -> tuple[dict[str, pd.DataFrame], str]:
    """The graded trials of each condition, and why nothing can be measured, or "": most of a condition's are not graded.

    ValueError for conditions that were asked in different wordings.
    """
    asked = {frozenset(part["wording"]) for part in parts.values() if "wording" in part}
    if len(asked) > 1:
        raise ValueError(f"{', '.join(parts)} were asked in different wordings: measure each wording by itself")
    shares = {condition: part[column].isna().mean() for condition, part in parts.items()}
    lost = [condition for condition, share in shares.items() if share > 0.5]
    graded = {condition: as_outcomes(part.dropna(subset=column), column) for condition, part in parts.items()}
    amount = "no" if all(shares[condition] == 1 for condition in lost) else "not even every second"
    return graded, f"{amount} {what} could be graded under {', '.join(lost)}" if lost else ""


def nothing_graded(model: str, ungraded: Estimate, cell: Cell, reason: str) -> Result:
    """The result of a model of which some condition has hardly a graded answer: its effect is unknown."""
    return Result(estimates_table(model, {"ungraded_rate": ungraded, EFFECT: UNGRADED}), cell, reason)


def choosing_trials(trials: pd.DataFrame, score: str) -> pd.DataFrame:
    """The trials that choose a cell, `score` as true and false: an ungraded answer is a failure.

    So no cell wins by the grades that it lacks. Words of which no answer at all was graded are left out.
    """
    graded = trials[score].notna()
    kept = trials["concept"].isin(trials.loc[graded, "concept"])
    return as_outcomes(trials.assign(**{score: trials[score].astype(object).where(graded, False)})[kept], score)


def ungraded_share(graded: pd.DataFrame, column: str) -> Estimate:
    """The share of trials that could not be graded (unfinished reasoning, another language than English)."""
    return clustered_rate(graded[column].isna(), graded["trial_id"])


def only_model(trials: pd.DataFrame, *columns: str) -> str:
    """The name of the one model that the trials were run on; ValueError for several, and for trials without these columns."""
    check_trials(trials, ["model", "condition", *columns])
    for name in ("condition", "model"):
        if trials[name].isna().any():
            raise ValueError(f"{trials[name].isna().sum()} trials have no {name}: they would be left out")
    names = trials["model"].unique()
    if len(names) != 1:
        raise ValueError(f"measure one model at a time, got {', '.join(map(repr, names))}")
    return names[0]


def write_headline(table: pd.DataFrame, notebook: str) -> Path:
    """Write the numbers of a notebook to runs/<notebook>/headline.csv, for whoever compares runs."""
    file = run_folder(notebook) / "headline.csv"
    table.to_csv(file, index=False, float_format="%.4f")
    return file


def _stored_file(name: str) -> Path:
    """A table in data/results. FileNotFoundError with the names of what there is."""
    folder = ROOT / "data" / "results"
    file = folder / f"{name}.csv"
    if not file.is_file():
        known = sorted(each.stem for each in folder.glob("*.csv"))
        raise FileNotFoundError(f"no stored results of {name!r}; there are {known}")
    return file


def stored_results(model: str) -> pd.DataFrame:
    """What a full run on a real model found (data/results/<model>.csv; how it was made is in the manifest beside it).

    The columns of `four_experiments.measure_all`. FileNotFoundError with the names of what there is.
    """
    return pd.read_csv(_stored_file(model), keep_default_na=False, na_values={"strength": [""]})


def published_results() -> pd.DataFrame:
    """Published numbers of experiment 1: model, study, metric, value, layer_fraction, strength, n, judge, prompt, source."""
    return pd.read_csv(ROOT / "data" / "published_results.csv")


def stored_readings(model: str) -> pd.DataFrame:
    """A real model's answers to the controls of notebook 09 (data/results/<model>_controls.csv), as `controls.read` gives them.

    Conditions: none, concept, random, shuffled, negated; "fact, none" and "fact, concept" (questions whose answer is no).
    FileNotFoundError with the names of what there is.
    """
    answers = ("says_yes", "claims", "names")
    numbers = ("yes_logit", "no_logit", "entropy", "concept_logit", "dose", "margin")
    return pd.read_csv(
        _stored_file(f"{model}_controls"),
        keep_default_na=False,  # an answer may be the word "None"
        na_values={name: [""] for name in (*answers, *numbers)},
        dtype=dict.fromkeys(answers, "boolean"),
    )


def stored_concept_map(model: str) -> pd.DataFrame:
    """Words of five categories in the two main directions of a real model's concept vectors.

    Columns word, category, x, y; layer, and share (of the variance that is in both directions), the same in every row.
    FileNotFoundError with the names of what there is.
    """
    return pd.read_csv(_stored_file(f"{model}_concept_map"), keep_default_na=False)
