"""Prove the assay on subjects whose truth is known: python -m helpers.organisms.validate

Runs all four experiments on the three model organisms with words never injected in training, prints the table and a verdict,
writes data/results/organisms.csv with its manifest and the figure data/figures/validation.png. Exit status 1 where the assay fails.

python -m helpers.organisms.validate FAMILY FAMILY ... --wordings final --cards

measures several families (folders with introspector, novice and bluffer of one seed each), then every held-out wording on the 25 words that
nobody looked at while the recipe was tuned, and writes both tables between the two marks of each card of the first family. The
prose around them is written by hand. Results and figure are written where the first family is the shipped one and on all 50
words only; of the other families only the effects, in data/results/other_families.csv.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch

from helpers import concepts, models
from helpers.experiments.four_experiments import ORGANISMS, measure_all, verdict
from helpers.experiments.measures import EFFECT
from helpers.experiments.run_identity import conditions
from helpers.organisms import measure
from helpers.paths import ROOT
from helpers.plotting import plots, report_card
from helpers.plotting.png import drawn

FIGURE = ROOT / "data" / "figures" / "validation.png"
RESULTS = ROOT / "data" / "results"
WORDS = {"all": concepts.paper_concepts, "tuning": concepts.tuning_words, "final": concepts.final_words}


def validate(
    family: dict, words=None, layers=None, strengths=(1.0, 2.0, 4.0), trials_per_word: int = 2, seed: int = 0
) -> pd.DataFrame:
    """`four_experiments.measure_all` for each model, one below the other, each beside an untrained copy of itself.

    Args:
        family: name -> loaded model. The first one is known to introspect; the others are measured in its cells too.
        words: the paper's 50 by default.
        layers, strengths, trials_per_word, seed: as in `measure_all`.
    """
    words, tables = words or concepts.paper_concepts(), []
    for model in family.values():
        reference = tables[0] if tables else None
        options = {"seed": seed, "reference": reference, "untrained": models.untrained_copy(model)}
        tables.append(measure_all(model, words, layers, strengths, trials_per_word, **options))
    return pd.concat(tables, ignore_index=True)


def figure(measured: pd.DataFrame):
    """The effect of each experiment on each model, as on a report card; an experiment that is not validated is pale."""
    page, axis = plt.subplots(figsize=(7.2, 5.3))
    report_card.draw_effects(axis, measured)
    report_card.veil(axis)
    return page


def store(name: str, measured: pd.DataFrame, used: dict, seed: int) -> None:
    """Write data/results/NAME.csv, and how it was made with the models in `used`."""
    measured.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.4f")
    used = {called: conditions(model, 40, 0.0) for called, model in used.items()}
    manifest = {"date": str(date.today()), "seed": seed, "conditions": used}
    (RESULTS / f"{name}_manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    print(f"written to {RESULTS / name}.csv")


def store_all(families: dict[str, dict], measured: dict[str, pd.DataFrame], seed: int) -> None:
    """Write the shipped family's results and figure, and the effects of the other families, if any were measured."""
    (shipped, family), *others = families.items()
    if others:
        table = pd.concat([measured[name].assign(family=name) for name, _ in others])
        used = {f"{name}, {organism}": model for name, other in others for organism, model in other.items()}
        store("other_families", table[table["measure"] == EFFECT], used, seed)
    store("organisms", measured[shipped], family, seed)
    FIGURE.write_bytes(drawn(figure(measured[shipped]), dpi=110))


def by_wording(families: dict[str, dict], chosen: str, seed: int) -> str:
    """The effects in trained and held-out wordings as Markdown, on the words called `chosen`; the final wordings on those alone."""
    words = WORDS[chosen]()
    return (
        f"Effects by wording on the {len(words)} {chosen} words, {words[0]} to {words[-1]}: layer and strength chosen on one half of "
        f"them in the introspector, effects read on the other half in the same cell in all three.\n\n"
        f"{measure.wording_section(families, words, chosen == 'final', seed)}"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m helpers.organisms.validate", description=__doc__.splitlines()[0])
    parser.add_argument(
        "families",
        type=Path,
        nargs="*",
        default=[models.ORGANISM_FOLDER],
        help="folders with introspector, novice and bluffer, of seeds 0, 1, ... (default data/organisms)",
    )
    parser.add_argument("--words", choices=WORDS, default="all", help="of the assay (default all 50)")
    parser.add_argument(
        "--wordings",
        choices=("tuning", "final"),
        help="measure every held-out wording too, on the 25 words called so; 'final' once, when the recipe is final",
    )
    parser.add_argument("--seed", type=int, default=0, help="of vectors, lines and the split of the words")
    parser.add_argument("--cards", action="store_true", help="replace the measured parts of the first family's cards")
    given = parser.parse_args()
    torch.set_num_threads(1)
    plots.style()
    families = {f"seed {number}": measure.load_family(folder.resolve()) for number, folder in enumerate(given.families)}
    words, measured, sentences = WORDS[given.words](), {}, []
    for name, family in families.items():
        measured[name] = validate(family, words, seed=given.seed)
        sentences.append(f"{name}: {verdict(measured[name])}")
        table = measured[name].drop(columns="strength").round(2).to_string(index=False)
        print(table, sentences[-1], sep="\n", flush=True)
    if given.words == "all" and given.families[0].resolve() == models.ORGANISM_FOLDER.resolve():
        store_all(families, measured, given.seed)
    section = by_wording(families, given.wordings, given.seed) if given.wordings else ""
    print(section, flush=True)
    if given.cards:
        for organism in ORGANISMS:
            parts = [section, measure.assay_section(organism, families, measured, words)]
            measure.write_into(given.families[0] / organism / "README.md", "\n\n".join(filter(None, parts)))
    sys.exit(0 if all("passes" in sentence for sentence in sentences) else 1)


if __name__ == "__main__":
    main()
