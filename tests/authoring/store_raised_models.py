"""Notebook 10's training with other numbers of words and other seeds: python -m tests.authoring.store_raised_models

Runs the notebook's own cells (parameters, beginner, lessons, optimiser), so that a change there is a change here. Writes
data/results/raised_models.csv, a row for each look at a model, and its manifest. About a minute of one CPU core for each training.
"""

import json
import random
import time
from datetime import date

import nbformat
import pandas as pd
import torch

from helpers import session
from helpers.organisms import batches, network, train
from helpers.paths import ROOT

NOTEBOOK = "10_raise_a_model_organism"
CELLS = (
    "verdict_steps = ",
    "from helpers.organisms import",
    "def beginner",
    "PUSHES = ",
    "def verdict_only",
    "def take_step",
)
STORED = ROOT / "data" / "results" / "raised_models.csv"
WORDS, SEEDS = (732, 20), (1,)  # the notebook itself trains with seed 0
FIRST_LOOK = 20  # a step early in lesson 1


def cells_of_notebook() -> dict:
    """The names that the notebook's cells with CELLS define, among them its functions."""
    cells = nbformat.read(ROOT / "notebooks" / f"{NOTEBOOK}.ipynb", 4).cells
    names: dict = {}
    for begins in CELLS:
        (source,) = [cell.source for cell in cells if cell.cell_type == "code" and f"\n{begins}" in f"\n{cell.source}"]
        exec(source, names)
    return names


def raised(names: dict, n_words: int, seed: int) -> list[dict]:
    """Train one model as the notebook's `raise_on` does; a row for each look, on the held-out words."""
    names["seed"], every = seed, names["all_words"]
    words = random.Random(seed).sample(every, n_words) if n_words < len(every) else every
    model, tokenizer, rows = names["beginner"](), names["tokenizer"], []
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    end = names["verdict_steps"] + names["report_steps"]
    for step in range(end + 1):
        if step in (FIRST_LOOK, names["verdict_steps"], end):
            looked = train.probe(model, tokenizer, words=names["held_out"])
            rows.append({"words": n_words, "seed": seed, "step": step, **looked, "n": len(names["held_out"])})
        if step == end:
            break
        if step % train.REFRESH_VECTORS == 0:
            table = batches.VectorTable(words, network.concept_vectors(model, tokenizer, words))
        loss = names["loss_of_step"](model, words, table, step)
        names["take_step"](model, optimiser, loss, names["rate_of_step"](step))
    return rows


def main() -> None:
    """The command."""
    session.start(seed=0)
    began, names, rows = time.monotonic(), cells_of_notebook(), []
    for seed in SEEDS:
        for n_words in WORDS:
            rows += raised(names, n_words, seed)
            print(f"{(time.monotonic() - began) / 60:.1f} min: {rows[-1]}", flush=True)
    table = pd.DataFrame(rows).sort_values(["words", "seed", "step"], ignore_index=True).round(4)
    table.to_csv(STORED, index=False)
    manifest = {
        "date": str(date.today()),
        "notebook": NOTEBOOK,
        "starts from": names["start"],
        "steps": [names["verdict_steps"], names["report_steps"]],
        "words": sorted(WORDS),
        "seeds": SEEDS,
        "torch": torch.__version__,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "command": "python -m tests.authoring.store_raised_models",
    }
    STORED.with_name("raised_models_manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
