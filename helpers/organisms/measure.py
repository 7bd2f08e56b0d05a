"""Measure an organism on experiment 1 with held-out words and write its model card.

python -m helpers.organisms.measure data/organisms/introspector

The organisms answer in a few known forms, so two plain rules grade them: detected = the reply begins with "Yes";
named = the concept word stands in it. The layer and strength are chosen on half of the words and reported on the other half.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers import injection, models, prompts
from helpers.concepts import paper_concepts, split_in_halves
from helpers.organisms import network
from helpers.statistics import wilson_rate

STRENGTHS = (1.0, 2.0, 4.0, 8.0)


def trial_rows(model, wording, vectors, layer: int, strength: float, temperature_seed: int = 0) -> list[injection.Row]:
    """One row per vector [row, width]; trial numbers differ from row to row. A zero vector is a control."""
    rows = []
    for i, vector in enumerate(vectors):
        prompt = prompts.render(model.tokenizer, wording, trial=1 + 7 * i % 150)
        start = prompt.span("from_turn_2")[0]
        added = vector if bool(vector.abs().sum() > 0) else None
        rows.append(injection.Row(prompt, (start, None), added, strength, layer, seed=temperature_seed + i))
    return rows


def run_experiment_1(
    folder,
    wording_id: str = "lab_visit",
    temperature: float = 0.0,
    layers=None,
    strengths=STRENGTHS,
):
    """Trial table of experiment 1: every held-out concept in every cell, 100 controls, random vectors of equal norm.

    Columns: condition (concept, none, random), concept, layer, strength, answer, detected, named.
    """
    words = paper_concepts()
    plain, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        AutoTokenizer.from_pretrained(folder),
    )
    vectors = network.concept_vectors(plain.eval(), tokenizer, words)  # [word, layer, width]
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    noise = noise / noise.norm(dim=-1, keepdim=True) * vectors.norm(dim=-1, keepdim=True)
    model, wording = (
        models.load(str(folder)),
        prompts.get_wording("injected_thought", wording_id),
    )
    rows, keys = (
        trial_rows(model, wording, torch.zeros(100, vectors.shape[-1]), 0, 0.0),
        [("none", "", -1, 0.0)] * 100,
    )
    for layer in layers if layers is not None else range(vectors.shape[1]):
        for strength in strengths:
            for condition, table in (("concept", vectors), ("random", noise)):
                rows += trial_rows(model, wording, table[:, layer], layer, strength)
                keys += [(condition, word, layer, strength) for word in words]
    answers = injection.generate(model, rows, max_new_tokens=18, temperature=temperature, batch_size=100)
    trials = pd.DataFrame(keys, columns=["condition", "concept", "layer", "strength"])
    trials["answer"] = [answer.text for answer in answers]
    trials["detected"] = trials.answer.str.startswith("Yes")
    trials["named"] = [bool(c) and c in a for c, a in zip(trials.concept, trials.answer, strict=True)]
    return trials


def summary(trials: pd.DataFrame) -> tuple[pd.DataFrame, tuple[int, float]]:
    """Rates at the cell that is best on one half of the words, measured on the other half. -> (measure table, cell)"""
    choose, test = split_in_halves(paper_concepts())
    injected = trials[trials.condition == "concept"].assign(success=lambda t: t.detected & t.named)
    layer, strength = injected[injected.concept.isin(choose)].groupby(["layer", "strength"]).success.mean().idxmax()

    def at_cell(table):
        return table[(table.layer == layer) & (table.strength == strength)]

    chosen = at_cell(injected)
    chosen, random = (
        chosen[chosen.concept.isin(test)],
        at_cell(trials[trials.condition == "random"]),
    )
    clean = trials[trials.condition == "none"]
    measures = {
        "detection_rate": chosen.detected,
        "identification_rate": chosen.named,
        "success_rate": chosen.success,
        "false_positive_rate": clean.detected,
        "random_vector_detection_rate": random.detected,
    }
    table = [(name, *wilson_rate(int(outcome.sum()), len(outcome))) for name, outcome in measures.items()]
    return pd.DataFrame(table, columns=["measure", "value", "low", "high", "n"]), (
        int(layer),
        float(strength),
    )


def grid(trials: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rate of one column by layer (rows) and strength (columns), injected concepts, all 50 words."""
    return trials[trials.condition == "concept"].pivot_table(
        index="layer", columns="strength", values=column, aggfunc="mean"
    )


def markdown(table: pd.DataFrame) -> str:
    """A small table as Markdown, two decimals."""
    head = [str(name) for name in table.columns]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in table.itertuples(index=False):
        lines.append("| " + " | ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m helpers.organisms.measure", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--wording", default="lab_visit")
    parser.add_argument("--card", type=Path, help="also write the tables to this file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    trials = run_experiment_1(given.folder, given.wording, given.temperature)
    table, (layer, strength) = summary(trials)
    parts = [
        (
            f"Wording {given.wording}, temperature {given.temperature:g}. Cell chosen on the other half of the words: layer {layer}, "
            f"strength {strength:g}."
        ),
        markdown(table),
        "Detected, by layer and strength (n = 50 a cell):",
        markdown(grid(trials, "detected").reset_index()),
        "Named, by layer and strength (n = 50 a cell):",
        markdown(grid(trials, "named").reset_index()),
        "Some answers at the chosen cell:",
        "\n".join(
            f"- {t.concept}: {t.answer}"
            for t in trials[
                (trials.condition == "concept") & (trials.layer == layer) & (trials.strength == strength)
            ].itertuples()
            if t.Index % 5 == 0
        ),
    ]
    print("\n\n".join(parts))
    if given.card is not None:
        given.card.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
