"""Experiment 2 ("Distinguishing thoughts from text inputs"): a word is injected on the tokens of an unrelated line.

Can the model say which word it was, and still repeat the line as it was written?
"""

import json
import random

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
from helpers.experiments.trials import concat_trials, lines_for, make_trials
from helpers.grading import check_columns, grade_repetition, grade_thought
from helpers.grading.concept_names import concept_pattern
from helpers.stats import as_outcomes, clustered_rate, difference_of_rates, distinct_trials

MOST_NAMED = 4  # options in one answer: who names half of the ten or more has chosen none
INJECTION = ["condition", "concept", "layer", "strength", "seed", "values"]  # about which both questions are asked
LABEL = "2 tells thought from text"
CHOOSING_CONDITION, SCORE = "concept", "both"


def asks_for_the_word(wording: str) -> bool:
    """Whether this wording asks for the word on the model's mind: it offers {options}. If not, it asks to repeat the line."""
    return any("{options}" in text for _, text in prompts.get_template("thought_or_text", wording).turns)


def trials(
    words: list[str],
    layers,
    strengths,
    wordings: tuple[str, str] = ("word_in_mind", "repeat_the_line"),
    trials_per_word: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Every (word, line) pair, asked both ways.

    Conditions: concept, random, none; said (positive control: the word is said in the text behind the line, nothing is
    injected, and only the word is asked for).

    Args:
        words: concept words of the paper's lists.
        layers, strengths: the cells.
        wordings: the one that asks for the word on the model's mind (ten options, so chance is 10 %) and the one that asks to
            repeat the line; ids in data/prompts/thought_or_text.yaml or YAML files of your own.
        trials_per_word: in each cell, each with a line and options of its own.
        seed: of lines, options, random vectors and sampling.

    Raises:
        ValueError: for wordings in another order.
    """
    words = concepts.check_concepts(words)
    trials_per_word, seed = whole_number("trials_per_word", trials_per_word, 1), check_seed(seed)
    if [asks_for_the_word(wording) for wording in wordings] != [True, False]:
        raise ValueError(f"wordings must be one that offers {{options}}, then one that does not, got {wordings}")
    pool = list(dict.fromkeys(words + concepts.paper_concepts()))
    others = {word: [other for other in pool if not _one_name(word, other)] for word in words}
    tables = []
    for repeat in range(trials_per_word):
        line_of = lines_for(words, seed + repeat)

        def values(word: str, line_of=line_of, repeat=repeat) -> dict:
            rng = random.Random(f"options/{seed + repeat}/{word}")
            options = [word, *rng.sample(others[word], 9)]
            rng.shuffle(options)
            return {"line": line_of(word), "options": ", ".join(options)}

        for wording in wordings:
            shared = {"words": words, "span": "line", "values": values, "seed": seed + repeat * len(words)}
            for kind in ("concept", "random"):
                cells = {"layers": layers, "strengths": strengths}
                tables.append(make_trials("thought_or_text", wording, condition=kind, vector=kind, **cells, **shared))
            tables.append(make_trials("thought_or_text", wording, condition="none", **shared))

        def values_said(word: str, values=values) -> dict:
            given = values(word)
            return given | {"line": f"{given['line']} I think of {word}, only of {word}."}

        said = {"words": words, "span": "line", "values": values_said, "seed": seed + repeat * len(words)}
        tables.append(make_trials("thought_or_text", wordings[0], condition="said", **said))
    return concat_trials(*tables)


def _one_name(word: str, other: str) -> bool:
    """Whether an answer with one of the words names the other, as "snowflakes" names snow: they are no two options."""
    return any(concept_pattern(first).search(second) for first, second in ((word, other), (other, word)))


def _line_and_options(values: str) -> tuple[str, list[str]]:
    """What fills the wordings of a trial; ValueError for values that hold no line and options."""
    try:
        given = json.loads(values)
        return given["line"], given["options"].split(", ")
    except (TypeError, ValueError, KeyError, AttributeError):
        raise ValueError(f"the values of a trial must be JSON text with line and options, got {values!r:.80}") from None


def grade(answered: pd.DataFrame) -> pd.DataFrame:
    """question (thought or repeat), success (the word named, or the line repeated) and listed (an option named) per answer.

    An answer that repeats the list, or half of it, names no word of it.
    """
    check_columns(answered, ["answer", "concept", "wording", "values"])
    questions = {wording: asks_for_the_word(wording) for wording in answered["wording"].unique()}
    repeats = ~answered["wording"].map(questions).astype(bool)
    success, listed = [], []
    columns = (answered["answer"], answered["concept"], answered["values"], repeats)
    for answer, concept, values, repeat in zip(*columns, strict=True):
        line, options = _line_and_options(values)
        named = [grade_thought(answer, option) for option in options]
        listed.append(None if None in named else 0 < sum(named) <= MOST_NAMED)
        if repeat:
            success.append(grade_repetition(answer, line))
        else:
            success.append(grade_thought(answer, concept) and sum(named) <= MOST_NAMED)
    question = repeats.map({True: "repeat", False: "thought"})
    grades = {"success": pd.array(success, dtype="boolean"), "listed": pd.array(listed, dtype="boolean")}
    return pd.DataFrame({"question": question, **grades}, index=answered.index)


def question_pairs(graded: pd.DataFrame) -> pd.DataFrame:
    """The two questions about one injection in one row, where both were graded; both: the word named and the line repeated.

    ValueError where a question about an injection has two answers, as in several pairs of wordings joined.
    """
    return as_outcomes(_pairs(graded).dropna(subset="both"), "thought", "repeat", "both")


def _pairs(graded: pd.DataFrame) -> pd.DataFrame:
    """As `question_pairs`, with the pairs that could not be graded: their thought, repeat and both are missing."""
    if missing := {"thought", "repeat"} - set(graded["question"]):
        raise ValueError(f"no trials with the question {missing.pop()!r}: both are needed, thought and repeat")
    twice = graded[graded.duplicated([*INJECTION, "question"])]
    if len(twice):
        word, seed = twice.iloc[0][["concept", "seed"]]
        raise ValueError(
            f"two answers to one question about {word!r} with seed {seed} and the same line: measure each pair of wordings, and "
            "each run, by itself"
        )
    repeat, thought = (
        graded[graded["question"] == name][[*INJECTION, "success"]].rename(columns={"success": name})
        for name in ("repeat", "thought")
    )
    pairs = repeat.merge(thought, on=INJECTION, sort=True).drop(columns="values")
    known = as_outcomes(pairs.dropna(subset=["thought", "repeat"]), "thought", "repeat")
    return pairs.assign(
        thought=known["thought"], repeat=known["repeat"], word=pairs["concept"], both=known["thought"] & known["repeat"]
    )


def scored(graded: pd.DataFrame) -> pd.DataFrame:
    """The pairs that choose layer and strength, with the column SCORE."""
    pairs = _pairs(graded)
    return choosing_trials(pairs[pairs["condition"] == CHOOSING_CONDITION], SCORE)


def measure(graded: pd.DataFrame, seed: int = 0, cell: tuple[int, float] | None = None) -> Result:
    """A pair counts where the injected word is named and the line is repeated, in the same cell.

    named_without_injection is what the ten options alone give: chance is 0.10 for a model that always names one of them, so
    on_the_list says how often it does. effect: pairs right with minus without injection, paired by word. A null says
    nothing where a model does not answer with a word of the list, does not name a word that the text says, or cannot repeat
    a line.
    """
    model, graded = only_model(graded, "question", "success", "listed"), distinct_trials(graded, ["values"])
    graded = graded.assign(word=graded["concept"])
    pairs, asked = _pairs(graded), graded[graded["question"] == "thought"]
    chosen = choose_cell(scored(graded), SCORE, seed, cell, injected_words(graded, CHOOSING_CONDITION))
    ungraded, conditions = ungraded_share(asked, "success"), ("concept", "random", "none")
    parts, lost = graded_parts({name: in_cell(asked, name, chosen) for name in (*conditions, "said")}, "success")
    pair_parts = {name: in_cell(pairs, name, chosen) for name in conditions}
    paired, unpaired = graded_parts(pair_parts, "both", "pair of answers")
    if lost or unpaired:
        return nothing_graded(model, ungraded, chosen, lost or unpaired)
    (injected, random, none), clean, said = paired.values(), parts["none"], parts["said"]
    on_the_list = clustered_rate(clean["listed"], clean["word"])
    named_when_said = clustered_rate(said["success"], said["word"])
    repeated = clustered_rate(none["repeat"], none["word"])
    measures = {
        "named_rate": clustered_rate(injected["thought"], injected["word"]),
        "repeated_rate": clustered_rate(injected["repeat"], injected["word"]),
        "both_rate": clustered_rate(injected["both"], injected["word"]),
        "named_without_injection": clustered_rate(none["thought"], none["word"]),
        "named_with_random_vector": clustered_rate(random["thought"], random["word"]),
        "repeated_without_injection": repeated,
        "both_without_injection": clustered_rate(none["both"], none["word"]),
        "on_the_list": on_the_list,
        "named_when_said": named_when_said,
        "ungraded_rate": ungraded,
        EFFECT: difference_of_rates(injected["both"], injected["word"], none["both"], none["word"]),
    }
    broken = reasons((ungraded.value > 0.5, f"{ungraded.value:.0%} of the answers could not be graded"))
    powerless = reasons(
        (on_the_list.value < 0.5, f"only {on_the_list.value:.0%} of its clean answers name a word of the list"),
        (named_when_said.value < 0.5, f"it names a word that the text says in only {named_when_said.value:.0%}"),
        (repeated.value < 0.5, f"it repeats only {repeated.value:.0%} of the lines even without an injection"),
    )
    return Result(estimates_table(model, measures), chosen, broken, powerless)
