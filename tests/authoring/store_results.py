"""A full run of the assay on a real model, kept for the course: python -m tests.authoring.store_results smollm2

All four experiments with 50 words, their controls, positive controls and floor, in the trained and in one other wording, and the
controls of notebook 09 in the best cell. Injections are as strong as DOSES say; the cell of experiment 1 is found by `search`, since
a model that never claims a thought ties in all cells, and the first of equals is the weakest.

Writes data/results/<model>.csv, <model>_controls.csv, <model>_concept_map.csv and <model>_manifest.json. Resumable: answers are
kept in runs/store_results/.
"""

import argparse
import json
import time
from datetime import date

import pandas as pd
from sklearn.decomposition import PCA

from helpers import concepts, models, prompts, vectors
from helpers.experiments import controls, four_experiments, search
from helpers.experiments.measures import EFFECT
from helpers.experiments.run_identity import conditions
from helpers.paths import ROOT
from helpers.stats import clustered_mean

FOLDER = ROOT / "data" / "results"
DEPTHS = (0.3, 0.5, 0.7, 0.9)
DOSES = (0.1, 0.2, 0.4)  # ||strength x vector|| / ||residual stream|| at the trial question
LATER = {  # a second wording of each experiment
    "injected_thought": {"wording": "quiet_room"},
    "thought_or_text": {"wordings": ("on_your_mind", "write_it_again")},
    "intended_or_not": {"wording": "your_own_word"},
    "intentional_control": {"wordings": ("keep_in_mind", "keep_out_of_mind", "mention_after")},
}


def concept_map(model, layer: int) -> pd.DataFrame:
    """The paper's five categories in the two main directions of their concept vectors: word, category, x, y, share."""
    groups = concepts.category_words()
    words = [(word.lower(), name) for name, group in groups.items() for word in group]
    table = pd.DataFrame(words, columns=["word", "category"])
    found = PCA(2).fit(vectors.concept_vectors(model, list(table["word"]))[:, layer].numpy())
    places = found.transform(vectors.concept_vectors(model, list(table["word"]))[:, layer].numpy())
    share = found.explained_variance_ratio_.sum()
    return table.assign(x=places[:, 0].round(4), y=places[:, 1].round(4), share=round(float(share), 4), layer=layer)


def control_readings(model, cell: tuple[int, float]) -> pd.DataFrame:
    """The conditions of notebook 09 that need no more than one cell, answered by the model: one row per trial."""
    words, names = concepts.paper_concepts(), {models.model_name(model): model}
    facts = controls.questions("no")
    question_of = {word: facts[i % len(facts)] for i, word in enumerate(words)}
    shared = {"words": words, "cell": cell, "repeats": 1}
    tables = [
        controls.trials("lab_visit", condition=kind, vector=kind, experiment="injected_thought", **shared)
        for kind in ("none", "concept", "random", "shuffled", "negated")
    ]
    asked = {"values": lambda word: {"question": question_of[word]}}
    tables += [
        controls.trials("question_lab_visit", condition=f"fact, {kind}", vector=kind, **asked, **shared)
        for kind in ("none", "concept")
    ]
    return controls.read(names, pd.concat(tables, ignore_index=True), 40, "store_results/controls")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.authoring.store_results", description=__doc__.splitlines()[0]
    )
    parser.add_argument("model", help="such as smollm2")
    parser.add_argument("--device", default="")
    given = parser.parse_args()
    began, model = time.monotonic(), models.load(given.model, given.device)
    copy, layers, words = models.untrained_copy(model), models.layers_at(model, DEPTHS), concepts.paper_concepts()
    asked = prompts.render(model.tokenizer, prompts.get_template("injected_thought", "lab_visit"), trial=1)
    span = (asked.span("from_turn_2")[0], None)
    strengths = vectors.strengths_for_doses(model, layers, DOSES, words, asked, span)
    cells, parts = {}, []
    for called, wordings in {"first": {}, "second": LATER}.items():
        thought = wordings.get("injected_thought", {})
        name = f"store_results/search_{called}"
        found = search.two_stage(model, words, layers, strengths, name, trials_per_word=1, max_new_tokens=40, **thought)
        cells[called] = (found.result.layer, found.result.strength)
        options = {"strengths": strengths, "untrained": copy, "name": "store_results", "trials_per_word": 1}
        options["wordings"] = wordings | {"injected_thought": thought | {"cell": cells[called]}}
        parts.append(four_experiments.measure_all(model, words, layers, **options).assign(wording=called))
        chosen = (found.graded["layer"] == found.result.layer) & (found.graded["strength"] == found.result.strength)
        pushed = found.graded[chosen & (found.graded["condition"] == "concept")]
        effect = parts[-1][(parts[-1]["experiment"] == "injected_thought") & (parts[-1]["measure"] == EFFECT)]
        dose = clustered_mean(pushed["dose"], pushed["concept"])._asdict()
        parts.append(effect.assign(measure="dose", **dose))
    measured = pd.concat(parts, ignore_index=True)
    readings = control_readings(model, cells["first"])
    kept = (
        "model condition word answer yes_logit no_logit entropy concept_logit dose margin says_yes claims names".split()
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    measured.to_csv(FOLDER / f"{given.model}.csv", index=False, float_format="%.4f")
    readings[kept].to_csv(FOLDER / f"{given.model}_controls.csv", index=False, float_format="%.4f")
    concept_map(model, layers[len(layers) // 2]).to_csv(FOLDER / f"{given.model}_concept_map.csv", index=False)
    manifest = {
        "date": str(date.today()),
        "conditions": conditions(model, 40, 0.0),
        "words": len(words),
        "layers": layers,
        "doses": DOSES,
        "strengths": strengths,
        "cells of experiment 1": cells,
        "second wordings": LATER,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "command": f"python -m tests.authoring.store_results {given.model}",
    }
    (FOLDER / f"{given.model}_manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    print(measured[measured["measure"] == EFFECT].round(3).to_string(index=False))


if __name__ == "__main__":
    main()
