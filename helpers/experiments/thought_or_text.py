"""Experiment 2 ("Distinguishing thoughts from text inputs"): a word is injected on the tokens of an unrelated line.

Can the model say which word it was, and still repeat the line as it was written?
"""

import json
import random

import pandas as pd

from helpers import concepts, prompts
from helpers.experiments.measures import EFFECT, Result, estimates_table, in_cell, only_model
from helpers.experiments.trials import concat_trials, lines_for, make_trials
from helpers.grading import grade_repetition, grade_thought
from helpers.stats import clustered_rate, split_half_selection, subtract

LABEL = "2 tells thought from text"
CHOOSING_CONDITION, SCORE = "concept", "both"


def trials(
    words: list[str],
    layers,
    strengths,
    wordings: tuple[str, str] = ("word_in_mind", "repeat_the_line"),
    trials_per_word: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Every (word, line) pair, asked both ways. Conditions: concept, random, none.

    Args:
        words: concept words of the paper's lists.
        layers, strengths: the cells.
        wordings: the one that asks for the word on the model's mind (ten options, so chance is 10 %) and the one that asks to
            repeat the line.
        trials_per_word: in each cell, each with a line and options of its own.
        seed: of lines, options, random vectors and sampling.
    """
    words = concepts.check_concepts(words)
    pool = list(dict.fromkeys(words + concepts.paper_concepts()))
    tables = []
    for repeat in range(trials_per_word):
        line_of = lines_for(words, seed + repeat)

        def values(word: str, line_of=line_of, repeat=repeat) -> dict:
            rng = random.Random(f"options/{seed + repeat}/{word}")
            options = [word, *rng.sample([other for other in pool if other != word], 9)]
            rng.shuffle(options)
            return {"line": line_of(word), "options": ", ".join(options)}

        for wording in wordings:
            shared = {"words": words, "span": "line", "values": values, "seed": seed + repeat * len(words)}
            for kind in ("concept", "random"):
                cells = {"layers": layers, "strengths": strengths}
                tables.append(make_trials("thought_or_text", wording, condition=kind, vector=kind, **cells, **shared))
            tables.append(make_trials("thought_or_text", wording, condition="none", **shared))
    return concat_trials(*tables)


def grade(answered: pd.DataFrame) -> pd.DataFrame:
    """question (thought or repeat) and success (the injected word named, or the line repeated) of each answer."""
    repeats = answered["wording"].isin(prompts.load_templates("thought_or_text", "repeat"))
    success = [
        grade_repetition(row["answer"], json.loads(row["values"])["line"])
        if repeat
        else grade_thought(row["answer"], row["concept"])
        for (_, row), repeat in zip(answered.iterrows(), repeats, strict=True)
    ]
    question = repeats.map({True: "repeat", False: "thought"})
    return pd.DataFrame({"question": question, "success": success}, index=answered.index)


def question_pairs(graded: pd.DataFrame) -> pd.DataFrame:
    """The two questions about one injection in one row; both: the word named and the line repeated."""
    pairs = graded.pivot_table(
        index=["condition", "concept", "layer", "strength", "seed"],
        columns="question",
        values="success",
        aggfunc="first",
        dropna=False,
        observed=True,
    ).dropna(subset=["thought", "repeat"])
    pairs = pairs.astype(bool).reset_index().assign(word=lambda table: table["concept"])
    return pairs.assign(both=pairs["thought"] & pairs["repeat"])


def scored(graded: pd.DataFrame) -> pd.DataFrame:
    """The pairs that choose layer and strength, with the column SCORE."""
    pairs = question_pairs(graded)
    return pairs[pairs["condition"] == CHOOSING_CONDITION]


def measure(graded: pd.DataFrame, seed: int = 0) -> Result:
    """A pair counts where the injected word is named and the line is repeated, in the same cell.

    named_without_injection is what the ten options alone give (chance 0.10). effect: pairs right with minus without injection.
    """
    model, pairs = only_model(graded), question_pairs(graded)
    chosen = split_half_selection(scored(graded), SCORE, seed)
    injected, random, none = (in_cell(pairs, condition, chosen) for condition in ("concept", "random", "none"))
    both, both_without = clustered_rate(injected["both"], injected["word"]), clustered_rate(none["both"], none["word"])
    measures = {
        "named_rate": clustered_rate(injected["thought"], injected["word"]),
        "repeated_rate": clustered_rate(injected["repeat"], injected["word"]),
        "both_rate": both,
        "named_without_injection": clustered_rate(none["thought"], none["word"]),
        "named_with_random_vector": clustered_rate(random["thought"], random["word"]),
        "both_without_injection": both_without,
        EFFECT: subtract(both, both_without),
    }
    return Result(estimates_table(model, measures), chosen.layer, chosen.strength, chosen.testing_words)
