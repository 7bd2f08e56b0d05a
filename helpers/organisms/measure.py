"""Measure organisms with the assay itself, on held-out words only, and write the numbers into a model card.

python -m helpers.organisms.measure data/organisms/introspector runs/organisms/introspector-seed1 \
    --card data/organisms/introspector/README.md

Several folders become columns of one table (one organism raised from several seeds). In the card, the text between the two
marks below is replaced; the prose around it is written by hand.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

from helpers import experiments, grading, models, prompts
from helpers.concepts import paper_concepts
from helpers.experiments import four_experiments, injected_thought, runner
from helpers.stats import Estimate, wilson_rate

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
LAYERS = range(1, 7)  # of eight
STRENGTHS = (1.0, 2.0, 4.0)


def cells(model) -> pd.DataFrame:
    """Experiment 1 in every layer and at strengths 1 to 8, all 50 held-out words: success rate, layers in rows."""
    layers, strengths = range(models.number_of_blocks(model)), (*STRENGTHS, 8.0)
    trials = injected_thought.trials(paper_concepts(), layers, strengths, controls=0)
    graded = experiments.grade(runner.run(model, trials[trials["condition"] == "concept"], max_new_tokens=24))
    table = graded.astype({"success": float}).pivot_table(index="layer", columns="strength", values="success")
    return table.rename(columns=lambda strength: f"strength {strength:g}").reset_index()


def by_wording(model, layer: int, strength: float) -> pd.DataFrame:
    """Experiment 1 in one cell under every wording: success, false positives, detections of random vectors."""
    rows = []
    for name, wording in prompts.load_templates("injected_thought").items():
        trials = injected_thought.trials(paper_concepts(), [layer], [strength], wording=name)
        graded = experiments.grade(runner.run(model, trials, max_new_tokens=24))
        rates = {
            title: graded[graded["condition"] == condition][column].astype(bool)
            for title, condition, column in (
                ("success", "concept", "success"),
                ("false positives", "none", "affirmative"),
                ("random vectors detected", "random", "affirmative"),
            )
        }
        shown = {title: str(wilson_rate(int(column.sum()), len(column))) for title, column in rates.items()}
        rows.append({"wording": name + (" (held out)" if wording.held_out else ""), **shown})
    return pd.DataFrame(rows)


def naming(model, layer: int, strength: float) -> tuple[Estimate, Estimate]:
    """How often a reply names the word, whatever it claims: with the word injected, and without (the same words)."""
    words = paper_concepts()
    trials = injected_thought.trials(words, [layer], [strength], controls=len(words))
    answers = runner.run(model, trials[trials["condition"] != "random"], max_new_tokens=24)
    found = []
    for condition in ("concept", "none"):
        replies = answers[answers["condition"] == condition]["answer"]
        named = sum(grading.names_concept(reply, word) for reply, word in zip(replies, words, strict=True))
        found.append(wilson_rate(named, len(words)))
    return found[0], found[1]


def markdown(table: pd.DataFrame) -> str:
    """A small table as Markdown, two decimals."""
    rows = [[f"{v:.2f}" if isinstance(v, float) else str(v) for v in row] for row in table.itertuples(index=False)]
    head = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    return "\n".join("| " + " | ".join(row) + " |" for row in head + rows)


def side_by_side(measured: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The assay's tables of several organisms as one, a column each: value [interval], n, and the chosen cell."""
    columns = []
    for name, table in measured.items():
        shown = [str(Estimate(*row)) for row in table[["value", "low", "high", "n"]].itertuples(index=False)]
        cell = [
            f"layer {layer}" + ("" if pd.isna(strength) else f", strength {strength:g}")
            for layer, strength in zip(table["layer"], table["strength"], strict=True)
        ]
        index = pd.MultiIndex.from_frame(table[["experiment", "measure"]])
        columns.append(pd.DataFrame({name: shown, f"cell of {name}": cell}, index=index))
    return pd.concat(columns, axis=1).reset_index()


def section(folders: list[Path]) -> str:
    """The measured part of a card."""
    measured, extra = {}, []
    for folder in folders:
        model = models.load(str(folder))
        table = four_experiments.measure_all(model, paper_concepts(), layers=LAYERS, strengths=STRENGTHS)
        measured[folder.name] = table
        cell = table[table["experiment"] == "injected_thought"].iloc[0]
        layer, strength = int(cell["layer"]), float(cell["strength"])
        injected, clean = naming(model, layer, strength)
        extra.append(
            f"{folder.name}, layer {layer}, strength {strength:g}: the reply names the word (whatever it claims) "
            f"{injected} where it is injected, {clean} where nothing is."
        )
        if folder == folders[0]:
            extra += [
                "Success in experiment 1 by layer and strength (n = 50 a cell):",
                markdown(cells(model)),
                f"Experiment 1 under every wording, layer {layer}, strength {strength:g}, all 50 held-out words:",
                markdown(by_wording(model, layer, strength)),
            ]
    return "\n\n".join(
        [
            "Held-out words only; layer and strength chosen on one half of them, numbers from the other half (two trials a "
            "word, so n = 50); intervals are 95 %.",
            markdown(side_by_side(measured)),
            *extra,
        ]
    )


def write_into(card: Path, text: str) -> None:
    """Replace what stands between the two marks of a card. ValueError where they are missing."""
    before, begin, rest = card.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{card} lacks the marks {BEGIN} and {END}")
    card.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m helpers.organisms.measure", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--card", type=Path, help="model card whose measured part is replaced")
    given = parser.parse_args()
    torch.set_num_threads(1)
    text = section(given.folders)
    print(text)
    if given.card is not None:
        write_into(given.card, text)


if __name__ == "__main__":
    main()
