"""Prove the assay on subjects whose truth is known: python -m helpers.organisms.validate

Runs all four experiments on the three model organisms with words never used to train them, prints the table and a verdict, writes
data/results/organisms.csv with its manifest and the figure data/figures/validation.png. Exit status 1 where the assay fails.
"""

import argparse
import json
import sys
from datetime import date

import pandas as pd
import torch

from helpers import concepts, experiments, models
from helpers.experiments.four_experiments import ORGANISMS, measure_all, verdict
from helpers.experiments.measures import EFFECT
from helpers.experiments.run_identity import conditions
from helpers.paths import ROOT
from helpers.plotting import plots

FIGURE = ROOT / "data" / "figures" / "validation.png"
RESULTS = ROOT / "data" / "results"


def validate(
    names=ORGANISMS, words=None, layers=None, strengths=(1.0, 2.0, 4.0), trials_per_word: int = 2, seed: int = 0
) -> pd.DataFrame:
    """`four_experiments.measure_all` for each model, one below the other, each beside an untrained copy of itself.

    Args:
        names: the first one is known to introspect; the others are measured in its cells too.
        words: the paper's 50 by default.
        layers, strengths, trials_per_word, seed: as in `measure_all`.
    """
    words, tables = words or concepts.paper_concepts(), []
    for name in names:
        model, reference = models.load(name), tables[0] if tables else None
        options = {"seed": seed, "reference": reference, "untrained": models.untrained_copy(model)}
        tables.append(measure_all(model, words, layers, strengths, trials_per_word, **options))
    return pd.concat(tables, ignore_index=True)


def figure(measured: pd.DataFrame):
    """The effect of each experiment on each model, with intervals: 0 is what a model without introspection must show."""
    effects = measured[(measured["measure"] == EFFECT) & (measured["chosen_by"] == "own")]
    effects = effects.replace({"experiment": experiments.LABELS})
    title = "The assay on models whose truth is known"
    return plots.forest(effects, "experiment", "model", title, "effect (0 = no introspection), 95 % interval")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m helpers.organisms.validate", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of vectors, lines and the split of the words")
    given = parser.parse_args()
    torch.set_num_threads(1)
    plots.style()
    measured = validate(seed=given.seed)
    print(measured.drop(columns="strength").round(2).to_string(index=False))
    RESULTS.mkdir(parents=True, exist_ok=True)
    measured.to_csv(RESULTS / "organisms.csv", index=False, float_format="%.4f")
    models_used = {name: conditions(models.load(name), 40, 0.0) for name in ORGANISMS}
    manifest = {"date": str(date.today()), "seed": given.seed, "conditions": models_used}
    (RESULTS / "organisms_manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    print(f"written to {RESULTS / 'organisms.csv'}")
    figure(measured).savefig(FIGURE, dpi=110)
    sentence = verdict(measured)
    print(sentence)
    sys.exit(0 if "passes" in sentence else 1)


if __name__ == "__main__":
    main()
