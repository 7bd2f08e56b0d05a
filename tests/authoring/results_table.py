"""README's table of what the assay found, written anew from data/results/: python -m tests.authoring.results_table"""

import pandas as pd

from helpers.experiments.four_experiments import ORGANISMS, marked_labels
from helpers.experiments.measures import EFFECT, stored_results
from helpers.experiments.search import says_little
from helpers.organisms.measure import markdown
from helpers.paths import ROOT
from helpers.stats import Estimate
from tests.authoring.generated_cells import between_marks

REAL_MODELS = {"smollm2": "SmolLM2-135M"}  # file in data/results -> heading


def cell(rates: pd.DataFrame) -> str:
    """One experiment's effect on one model with its interval, in brackets where the assay cannot tell, or a null says little."""
    row = rates.loc[EFFECT]
    text = str(Estimate(row.value, row.low, row.high, row.n))
    if row.unclear:
        return f"cannot tell ({text})"
    if row.low > 0:
        return f"**{text}**"
    return f"says little ({text})" if says_little(rates) else text


def results_table() -> str:
    """Markdown: an experiment per row; the organisms, then the real models in the trained wording."""
    organisms = stored_results("organisms")
    tables = [organisms[organisms["chosen_by"] == "own"]]
    for name, heading in REAL_MODELS.items():
        table = stored_results(name)
        tables.append(table[table["wording"] == "first"].assign(model=heading))
    measured = pd.concat(tables, ignore_index=True).set_index(["experiment", "model", "measure"]).sort_index()
    models, rows = [*ORGANISMS, *REAL_MODELS.values()], []
    for experiment, label in marked_labels(organisms).items():
        rows.append([label, *(cell(measured.loc[(experiment, model)]) for model in models)])
    return markdown(pd.DataFrame(rows, columns=["experiment", *models]))


def with_results_table(readme: str) -> str:
    """README's text with a new table of results."""
    return between_marks(readme, "results", results_table())


def main() -> None:
    """The command."""
    readme = ROOT / "README.md"
    readme.write_text(with_results_table(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
