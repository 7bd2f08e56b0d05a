"""Experiment 1 (Lindsey 2025, "Self-report of injected concepts"): does the model notice an injected thought, and name it?"""

import pandas as pd

from helpers import concepts
from helpers.experiments.measures import EFFECT, Result, estimates_table, in_cell, only_model
from helpers.experiments.trials import concat_trials, make_trials
from helpers.grading import grade_by_rules
from helpers.stats import clustered_rate, criterion, d_prime, split_half_selection, subtract

LABEL = "1 notices an injected thought"
CHOOSING_CONDITION, SCORE = "concept", "success"  # what layer and strength are chosen by


def trials(
    words: list[str],
    layers,
    strengths,
    wording: str = "lab_visit",
    trials_per_word: int = 1,
    controls: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Every word in every cell, and the controls.

    Conditions: concept; random (a random vector of the same norm in the same cell); none (trials without any injection, which
    serve every cell). The trials are numbered from 1, as the model is told.

    Args:
        words: concept words of the paper's lists.
        layers, strengths: the cells.
        wording: an id in data/prompts/injected_thought.yaml.
        trials_per_word: in each cell.
        controls: number of trials without an injection.
        seed: of random vectors and sampling.
    """
    words = concepts.check_concepts(words)
    tables = []
    for repeat in range(trials_per_word):
        shared = {
            "words": words,
            "span": "from_turn_2",
            "values": lambda word, repeat=repeat: {"trial": words.index(word) * trials_per_word + repeat + 1},
            "layers": layers,
            "strengths": strengths,
            "seed": seed + repeat * len(words),
        }
        for kind in ("concept", "random"):
            tables.append(
                make_trials(
                    "injected_thought", wording, condition=kind, vector=kind, names_concept=kind == "concept", **shared
                )
            )
    numbers = [str(number) for number in range(1, controls + 1)]
    if numbers:
        tables.append(
            make_trials(
                "injected_thought",
                wording,
                words=numbers,
                condition="none",
                span="from_turn_2",
                values=lambda number: {"trial": int(number)},
                names_concept=False,
                seed=seed,
            )
        )
    return concat_trials(*tables)


def grade(answered: pd.DataFrame) -> pd.DataFrame:
    """The grade columns of each answer (see `grading.rules`), with the index of the answered trials."""
    return grade_by_rules(answered["answer"], [word or None for word in answered["concept"]])


def scored(graded: pd.DataFrame) -> pd.DataFrame:
    """The trials that choose layer and strength, with the column SCORE."""
    return graded[graded["condition"] == CHOOSING_CONDITION]


def measure(graded: pd.DataFrame, seed: int = 0) -> Result:
    """Rates and their intervals in the chosen cell.

    success: affirmative, coherent, and the word named as the thought, not before the claim. net_rate (also the effect): success
    minus false positives. d_prime, criterion: from detections with and without an injection.
    """
    model = only_model(graded)
    chosen = split_half_selection(scored(graded), SCORE, seed)
    graded = graded.assign(word=graded["vector_of"])
    injected, random = in_cell(graded, "concept", chosen), in_cell(graded, "random", chosen)
    control = graded[graded["condition"] == "none"]
    false_positives = clustered_rate(control["affirmative"], control["trial_id"])
    success = clustered_rate(injected["success"], injected["word"])
    counts = (int(injected["affirmative"].sum()), len(injected), int(control["affirmative"].sum()), len(control))
    net = subtract(success, false_positives)
    measures = {
        "success_rate": success,
        "detection_rate": clustered_rate(injected["affirmative"], injected["word"]),
        "identification_rate": clustered_rate(injected["identified"], injected["word"]),
        "false_positive_rate": false_positives,
        "random_vector_detection_rate": clustered_rate(random["affirmative"], random["word"]),
        "coherence_rate": clustered_rate(injected["coherent"], injected["word"]),
        "net_rate": net,
        "d_prime": d_prime(*counts),
        "criterion": criterion(*counts),
        EFFECT: net,
    }
    return Result(estimates_table(model, measures), chosen.layer, chosen.strength, chosen.testing_words)
