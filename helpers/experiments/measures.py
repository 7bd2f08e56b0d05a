"""What the four experiments' measures have in common: the chosen cell, the table of estimates, the file for comparisons.

Layer and strength are chosen on half of the words; every number is taken from the other half, the held-out words.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers.paths import run_folder
from helpers.stats import Estimate

EFFECT = "effect"  # the measure that every experiment has: about 0, or less, for a model without introspection


@dataclass(frozen=True)
class Result:
    """What an experiment found on one model.

    Attributes:
        table: columns model, measure, value, low, high, n.
        layer, strength: the chosen cell (strength NaN where none applies).
        testing_words: the held-out words, on which the table was measured.
    """

    table: pd.DataFrame
    layer: int
    strength: float
    testing_words: list[str]

    def measure(self, name: str) -> Estimate:
        """One line of the table; KeyError with the known names."""
        lines = self.table.set_index("measure")
        if name not in lines.index:
            raise KeyError(f"no measure {name!r}; there are {', '.join(lines.index)}")
        line = lines.loc[name]
        return Estimate(float(line["value"]), float(line["low"]), float(line["high"]), int(line["n"]))


def estimates_table(model: str, measures: dict[str, Estimate]) -> pd.DataFrame:
    """Measures by name as a table: model, measure, value, low, high, n."""
    rows = [(model, name, *estimate) for name, estimate in measures.items()]
    return pd.DataFrame(rows, columns=["model", "measure", "value", "low", "high", "n"])


def in_cell(trials: pd.DataFrame, condition: str, chosen) -> pd.DataFrame:
    """Trials of one condition with the held-out words; in the chosen cell where the condition has cells.

    trials: with a column word. chosen: a `stats.SplitHalf`. ValueError where there are none.
    """
    part = trials[(trials["condition"] == condition) & trials["word"].isin(chosen.testing_words)]
    if condition != "none":
        part = part[(part["layer"] == chosen.layer) & (part["strength"] == chosen.strength)]
    if part.empty:
        raise ValueError(f"no trials of condition {condition!r} in layer {chosen.layer}, strength {chosen.strength}")
    return part


def only_model(trials: pd.DataFrame) -> str:
    """The name of the one model that the trials were run on; ValueError for several."""
    names = trials["model"].unique()
    if len(names) != 1:
        raise ValueError(f"measure one model at a time, got {', '.join(map(repr, names))}")
    return names[0]


def write_headline(table: pd.DataFrame, notebook: str) -> Path:
    """Write the numbers of a notebook to runs/<notebook>/headline.csv, for whoever compares runs."""
    file = run_folder(notebook) / "headline.csv"
    table.to_csv(file, index=False, float_format="%.4f")
    return file
