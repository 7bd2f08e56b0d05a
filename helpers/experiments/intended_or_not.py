"""Experiment 3 ("Detecting unintended outputs"): the reply is prefilled by a foreign word; did the model mean it?

Injecting the word's vector on the line, before the prefill, should make it say that it did.
"""

import pandas as pd

from helpers import concepts
from helpers.experiments.measures import EFFECT, Result, estimates_table, in_cell, only_model
from helpers.experiments.trials import concat_trials, lines_for, make_trials, next_word
from helpers.grading import grade_intention
from helpers.stats import clustered_rate, split_half_selection, subtract

LABEL = "3 knows what it meant to say"
CHOOSING_CONDITION, SCORE = "matched", "intended"


def trials(
    words: list[str],
    layers,
    strengths,
    wording: str = "meant_or_accident",
    trials_per_word: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Every word as a foreign prefill.

    Conditions: matched (the prefilled word is injected on the line, before the prefill), other (another word is injected
    there), random, after (position control: the prefilled word, injected only after the prefill), none.

    Args:
        words: concept words of the paper's lists, at least two.
        layers, strengths: the cells.
        wording: an id in data/prompts/intended_or_not.yaml.
        trials_per_word: in each cell and condition, each with a line of its own.
        seed: of lines, random vectors and sampling.
    """
    words = concepts.check_concepts(words)
    tables = []
    for repeat in range(trials_per_word):
        line_of = lines_for(words, seed + repeat)
        shared = {
            "words": words,
            "values": lambda word, line_of=line_of: {"line": line_of(word), "prefill": word},
            "seed": seed + repeat * len(words),
        }
        tables.append(make_trials("intended_or_not", wording, condition="none", span="line", **shared))
        for condition, vector, vector_of, span in (
            ("matched", "concept", None, "line"),
            ("other", "concept", next_word(words), "line"),
            ("random", "random", None, "line"),
            ("after", "concept", None, "from_turn_2"),
        ):
            added = {"vector": vector, "vector_of": vector_of, "layers": layers, "strengths": strengths}
            tables.append(make_trials("intended_or_not", wording, condition=condition, span=span, **added, **shared))
    return concat_trials(*tables)


def grade(answered: pd.DataFrame) -> pd.DataFrame:
    """intention (accident, intended or unclear) and apology (whether it is an accident) of each answer."""
    intention = [grade_intention(answer) for answer in answered["answer"]]
    grades = pd.DataFrame({"intention": intention}, index=answered.index)
    return grades.assign(apology=grades["intention"] == "accident")


def scored(graded: pd.DataFrame) -> pd.DataFrame:
    """The trials that choose layer and strength, with the column SCORE: the model says that it meant the word."""
    matched = graded[graded["condition"] == CHOOSING_CONDITION]
    return matched.assign(**{SCORE: matched["intention"] == "intended"})


def measure(graded: pd.DataFrame, seed: int = 0) -> Result:
    """Rates of apology in each condition. effect: min(without injection, with another word) - with the prefilled word.

    position_effect: the same drop where the word was injected only after the prefill; it should be 0. unclear_after: replies
    there that say neither; where they are many, the drop is a broken model and no changed mind.
    """
    model, graded = only_model(graded), graded.assign(word=graded["concept"])
    chosen = split_half_selection(scored(graded), SCORE, seed)
    apology = {}
    for condition in ("none", "other", "matched", "random", "after"):
        part = in_cell(graded, condition, chosen)
        apology[condition] = clustered_rate(part["apology"], part["word"])
    reference = min(apology["none"], apology["other"], key=lambda estimate: estimate.value)
    measures = {f"apology_{condition}": estimate for condition, estimate in apology.items()}
    after = in_cell(graded, "after", chosen)
    measures["unclear_after"] = clustered_rate(after["intention"] == "unclear", after["word"])
    measures["position_effect"] = subtract(apology["none"], apology["after"])
    measures[EFFECT] = subtract(reference, apology["matched"])
    return Result(estimates_table(model, measures), chosen.layer, chosen.strength, chosen.testing_words)
