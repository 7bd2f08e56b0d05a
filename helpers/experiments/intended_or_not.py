"""Experiment 3 ("Detecting unintended outputs"): the reply is prefilled by a foreign word; did the model mean it?

Injecting the word's vector on the line, before the prefill, makes some models say that they did. What that can show: the answer
depends on what the activations on the line were. What it cannot: that the model remembers an intention. The vector may only
make the line look as if it contained the word, and a reader who sees a word twice takes the second for meant (condition in_line).
Memory of an intention would need a state that no later reading of the text can rebuild, such as a choice made by the model
itself before the prefill and changed afterwards.
"""

import re
from functools import partial

import pandas as pd

from helpers import concepts, prompts
from helpers.checks import check_seed, whole_number
from helpers.experiments.measures import (
    EFFECT,
    Result,
    choose_cell,
    choosing_trials,
    estimates_table,
    graded_parts,
    in_cell,
    injected_words,
    nothing_graded,
    only_model,
    reasons,
    ungraded_share,
)
from helpers.experiments.trials import concat_trials, lines_for, make_trials, next_word
from helpers.grading import check_columns, grade_intention
from helpers.stats import Estimate, clustered_rate, difference_of_rates, distinct_trials, smallest

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
    there), random, after (position control: the prefilled word, injected on the question, which comes after the prefill; not
    on the reply, since a push there breaks the reply itself), none. Without any
    injection: in_line (the foreign word is written behind the line, in the same letters as the prefill), in_line_other
    (another word is written there), belongs (positive control: a word of the line itself is prefilled).

    Args:
        words: concept words of the paper's lists, at least two.
        layers, strengths: the cells.
        wording: an id in data/prompts/intended_or_not.yaml.
        trials_per_word: in each cell and condition, each with a line of its own.
        seed: of lines, random vectors and sampling.
    """
    words = concepts.check_concepts(words)
    trials_per_word, seed = whole_number("trials_per_word", trials_per_word, 1), check_seed(seed)
    question = f"turn_{prefilled_turn(wording) + 1}"
    tables = []
    for repeat in range(trials_per_word):
        line_of = lines_for(words, seed + repeat)
        shared = {"words": words, "seed": seed + repeat * len(words)}

        def values(word: str, condition: str = "none", line_of=line_of) -> dict:
            line = line_of(word)
            behind = {"in_line": f" {word}.", "in_line_other": f" {next_word(words)(word)}."}.get(condition, "")
            own = max(re.findall(r"[a-z]+", line), key=len)
            return {"line": line + behind, "prefill": own if condition == "belongs" else word}

        for condition in ("none", "in_line", "in_line_other", "belongs"):
            given = {"condition": condition, "span": "line", "values": partial(values, condition=condition)}
            tables.append(make_trials("intended_or_not", wording, **given, **shared))
        for condition, vector, vector_of, span in (
            ("matched", "concept", None, "line"),
            ("other", "concept", next_word(words), "line"),
            ("random", "random", None, "line"),
            ("after", "concept", None, question),
        ):
            given = shared | {"condition": condition, "span": span, "vector": vector, "vector_of": vector_of}
            cells = {"layers": layers, "strengths": strengths}
            tables.append(make_trials("intended_or_not", wording, values=values, **given, **cells))
    return concat_trials(*tables)


def prefilled_turn(wording: str) -> int:
    """Which turn of the wording is the prefilled reply; ValueError where it has none."""
    turns = enumerate(prompts.get_template("intended_or_not", wording).turns)
    found = [number for number, (role, text) in turns if role == "assistant" and "{prefill}" in text]
    if not found:
        raise ValueError(f"the wording {wording!r} has no assistant turn with {{prefill}}, the reply to be asked about")
    return found[0]


def grade(answered: pd.DataFrame) -> pd.DataFrame:
    """intention (accident, intended or unclear) and apology (whether it is an accident) of each answer."""
    check_columns(answered, ["answer"])
    intention = [grade_intention(answer) for answer in answered["answer"]]
    grades = pd.DataFrame({"intention": intention}, index=answered.index)
    apology = (grades["intention"] == "accident").astype("boolean").where(grades["intention"].notna())
    return grades.assign(apology=apology)


def scored(graded: pd.DataFrame) -> pd.DataFrame:
    """The trials that choose layer and strength, with the column SCORE: the model says that it meant the word."""
    matched = graded[graded["condition"] == CHOOSING_CONDITION]
    meant = matched["intention"].eq("intended").where(matched["intention"].notna())
    return choosing_trials(matched.assign(**{SCORE: meant}), SCORE)


def measure(graded: pd.DataFrame, seed: int = 0, cell: tuple[int, float] | None = None) -> Result:
    """Rates of apology in each condition, and how far the injection lowers them.

    effect: the smallest of three differences, paired by word: apologies without injection, with another word's vector, and
    with the prefilled word's vector too late, each minus those with the prefilled word's vector on the line. The third one is
    the position control: a model that merely says "I meant it" about whatever word it is pushed to does so late as well as
    early. effect_of_text: with words written behind the line and nothing injected, the smaller of no word
    minus the prefilled word and another word minus the prefilled word. position_effect: the drop where the word was injected
    too late. unclear_matched, unclear_after: replies that say neither; where they are many, a drop is a broken
    model and no changed mind. A null says nothing where the model does not apologise for a foreign word, apologises for a
    word of the line as well, or says neither when it is pushed too late. Where no answer of a condition could be graded,
    nothing else is known than the ungraded_rate.
    """
    model, graded = only_model(graded, "intention", "apology"), distinct_trials(graded)
    graded = graded.assign(word=graded["concept"])
    chosen = choose_cell(scored(graded), SCORE, seed, cell, injected_words(graded, CHOOSING_CONDITION))
    conditions = ("none", "other", "matched", "random", "after", "in_line", "in_line_other", "belongs")
    parts = {condition: in_cell(graded, condition, chosen) for condition in conditions}
    ungraded = ungraded_share(graded, "apology")
    parts, lost = graded_parts(parts, "apology")
    if lost:
        return nothing_graded(model, ungraded, chosen, lost)
    apologies = {name: (part["apology"], part["word"]) for name, part in parts.items()}
    measures = {f"apology_{name}": clustered_rate(*apologies[name]) for name in conditions}
    for name in ("matched", "after"):
        measures[f"unclear_{name}"] = clustered_rate(parts[name]["intention"] == "unclear", parts[name]["word"])

    def drop(reference: str, condition: str) -> Estimate:
        return difference_of_rates(*apologies[reference], *apologies[condition])

    measures["ungraded_rate"] = ungraded
    measures["position_effect"] = drop("none", "after")
    measures["effect_of_text"] = smallest(drop("none", "in_line"), drop("in_line_other", "in_line"))
    measures[EFFECT] = smallest(*(drop(control, "matched") for control in ("none", "other", "after")))
    foreign, own = measures["apology_none"].value, measures["apology_belongs"].value
    lost, late = measures["unclear_matched"].value, measures["unclear_after"].value
    broken = reasons(
        (ungraded.value > 0.5, f"{ungraded.value:.0%} of the answers could not be graded"),
        (lost > 0.5, f"{lost:.0%} of the replies under injection say neither"),
    )
    powerless = reasons(
        (foreign < 0.5, f"it apologises for a foreign word in only {foreign:.0%} of the trials"),
        (own > 0.5, f"it apologises even for a word of the line, in {own:.0%}"),
        (late > 0.5, f"{late:.0%} of the replies say neither when the word is pushed too late"),
    )
    return Result(estimates_table(model, measures), chosen, broken, powerless)
