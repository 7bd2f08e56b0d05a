"""The four experiments and their controls as tables of trials: a DataFrame, one row a trial, before anything is run.

Columns of a trial: experiment (a file of data/prompts), wording, values (JSON text, fills the wording's placeholders),
condition (what the trial is in the design: concept, none, random, other ...), concept (the word whose naming counts, "" for
none), vector (what is added: none, concept, random, negated, shuffled), vector_of (the word it is made of), layer, strength,
span (where it is added; a span called from_... goes on through every generated token), seed.
`runner.run` runs such a table and `grade` grades its answers; rates are computed from graded tables, never stored in them.
"""

import json
import math
import random
from collections.abc import Callable

import pandas as pd
import torch

from helpers import concepts, grading, prompts
from helpers.vectors import concept_vectors, read_spans

VECTOR_KINDS = ("none", "concept", "random", "negated", "shuffled")
# experiments and controls whose answers are reports of an injected thought, graded as in experiment 1
REPORTS = ("injected_thought", "controls")


def make_trials(
    experiment: str,
    wording: str,
    *,
    words: list[str],
    condition: str,
    span: str,
    values: dict | Callable[[str], dict],
    vector: str = "none",
    vector_of: Callable[[str], str] | None = None,
    layers=(None,),
    strengths=(0.0,),
    names_concept: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """The cross product of words, layers and strengths under one condition: one row a trial.

    values: fills the wording's placeholders, a dict or a function of the word. vector: one of VECTOR_KINDS. vector_of: the
    word whose vector is used, as a function of the trial's word (itself by default). names_concept: whether naming the word
    counts as identifying (False for controls in which it was not injected). Raises KeyError or ValueError naming what
    is wrong: an unknown wording, kind of vector or span, an empty list of words.
    """
    if isinstance(words, str) or not list(words):
        raise ValueError(f"words must be a list of at least one word, got {words!r}")
    if vector not in VECTOR_KINDS:
        raise ValueError(f"unknown kind of vector {vector!r}; allowed are {', '.join(VECTOR_KINDS)}")
    if vector != "none" and any(layer is None for layer in layers):
        raise ValueError(f"a trial with a {vector} vector needs layers, got {tuple(layers)}")
    prompts.get_wording(experiment, wording)  # raises now, not after hours of running
    rows = []
    for layer in layers:
        for strength in strengths:
            if isinstance(strength, bool) or not isinstance(strength, int | float):
                raise ValueError(f"strength must be a number, got {strength!r}")
            if vector != "none" and (strength == 0 or not math.isfinite(strength)):
                raise ValueError(f"strength must be a finite number other than 0, got {strength!r}")
            for number, word in enumerate(words):
                rows.append(
                    {
                        "experiment": experiment,
                        "wording": wording,
                        "values": json.dumps(values(word) if callable(values) else values, ensure_ascii=False),
                        "condition": condition,
                        "concept": word if names_concept else "",
                        "vector": vector,
                        "vector_of": "" if vector == "none" else (vector_of(word) if vector_of else word),
                        "layer": layer,
                        "strength": float(strength),
                        "span": span,
                        "seed": seed + number,
                    }
                )
    return pd.DataFrame(rows)


def together(*tables: pd.DataFrame) -> pd.DataFrame:
    """Several tables of trials as one, numbered anew."""
    return pd.concat(tables, ignore_index=True).astype({"layer": "Int64"})


def injected_thought_trials(
    words: list[str],
    layers,
    strengths,
    wording: str = "lab_visit",
    trials_per_word: int = 1,
    controls: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Experiment 1 (Lindsey 2025, "Self-report of injected concepts"): every word in every cell, and its controls.

    Conditions: concept; random (a random vector of the same norm in the same cell); none (`controls` trials without any
    injection, which serve every cell). The trials are numbered from 1, as the model is told.
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
    return together(*tables)


def _other_word(words: list[str]) -> Callable[[str], str]:
    """Pairs each word with the next one of the list: the "another concept" control."""
    if len(words) < 2:
        raise ValueError("the control with another word needs at least two words")
    return lambda word: words[(words.index(word) + 1) % len(words)]


def _lines_for(words: list[str], seed: int) -> Callable[[str], str]:
    """A plain line for each word, drawn from the lines that the organisms never saw and that do not hold the word."""
    rng = random.Random(f"lines/{seed}")
    lines = {word: rng.choice([line for line in prompts.load_lines() if word not in line.lower()]) for word in words}
    return lines.__getitem__


def thought_or_text_trials(
    words: list[str],
    layers,
    strengths,
    wordings: tuple[str, str] = ("word_in_mind", "repeat_the_line"),
    trials_per_word: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Experiment 2 ("Distinguishing thoughts from text inputs"): the word is injected on the tokens of an unrelated line.

    wordings: the one that asks for the word on the model's mind (ten options, so chance is 10 %) and the one that asks to
    repeat the line. Conditions: concept, random, none; each (word, line) pair is asked both ways.
    """
    words = concepts.check_concepts(words)
    pool = list(dict.fromkeys(words + concepts.paper_concepts()))
    tables = []
    for repeat in range(trials_per_word):
        line_of = _lines_for(words, seed + repeat)

        def values(word: str, line_of=line_of, repeat=repeat) -> dict:
            rng = random.Random(f"options/{seed + repeat}/{word}")
            options = [word, *rng.sample([other for other in pool if other != word], 9)]
            rng.shuffle(options)
            return {"line": line_of(word), "options": ", ".join(options)}

        for wording in wordings:
            shared = {"words": words, "span": "line", "values": values, "seed": seed + repeat * len(words)}
            for kind in ("concept", "random"):
                tables.append(
                    make_trials(
                        "thought_or_text",
                        wording,
                        condition=kind,
                        vector=kind,
                        layers=layers,
                        strengths=strengths,
                        **shared,
                    )
                )
            tables.append(make_trials("thought_or_text", wording, condition="none", **shared))
    return together(*tables)


def intended_or_not_trials(
    words: list[str],
    layers,
    strengths,
    wording: str = "meant_or_accident",
    trials_per_word: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Experiment 3 ("Detecting unintended outputs"): the reply is prefilled by a foreign word; was it meant?

    Conditions: matched (the prefilled word is injected on the line, before the prefill), other (another word is injected
    there), random, after (position control: the prefilled word, injected only after the prefill), none.
    """
    words = concepts.check_concepts(words)
    tables = []
    for repeat in range(trials_per_word):
        line_of = _lines_for(words, seed + repeat)
        shared = {
            "words": words,
            "values": lambda word, line_of=line_of: {"line": line_of(word), "prefill": word},
            "seed": seed + repeat * len(words),
        }
        cells = {"layers": layers, "strengths": strengths}
        tables.append(make_trials("intended_or_not", wording, condition="none", span="line", **shared))
        for condition, vector, vector_of, span in (
            ("matched", "concept", None, "line"),
            ("other", "concept", _other_word(words), "line"),
            ("random", "random", None, "line"),
            ("after", "concept", None, "from_turn_2"),
        ):
            tables.append(
                make_trials(
                    "intended_or_not",
                    wording,
                    condition=condition,
                    vector=vector,
                    vector_of=vector_of,
                    span=span,
                    **cells,
                    **shared,
                )
            )
    return together(*tables)


def grade(trials: pd.DataFrame) -> pd.DataFrame:
    """The table with the grade columns that belong to each of its experiments (graded by rules).

    Experiment 1 and its controls: affirmative, identified, identified_before_named, coherent, refusal, success. Experiment 2:
    success (the injected word named, or the line repeated). Experiment 3: intention (accident, intended, unclear) and
    apology. ValueError for a table that was not run, or for an experiment whose answers the rules do not grade.
    """
    if "answer" not in trials:
        raise ValueError("these trials have no answers yet: run them first, graded = grade(runner.run(model, trials))")
    parts = []
    for experiment, part in trials.groupby("experiment", sort=False):
        if experiment in REPORTS:
            grades = grading.grade_by_rules(part["answer"], [word or None for word in part["concept"]])
        elif experiment == "thought_or_text":
            repeats = part["wording"].isin(prompts.load_wordings("thought_or_text", "repeat"))
            success = [
                grading.grade_repetition(row["answer"], json.loads(row["values"])["line"])
                if repeat
                else grading.grade_thought(row["answer"], row["concept"])
                for (_, row), repeat in zip(part.iterrows(), repeats, strict=True)
            ]
            question = repeats.map({True: "repeat", False: "thought"})
            grades = pd.DataFrame({"question": question, "success": success}, index=part.index)
        elif experiment == "intended_or_not":
            intention = [grading.grade_intention(answer) for answer in part["answer"]]
            grades = pd.DataFrame({"intention": intention}, index=part.index)
            grades["apology"] = grades["intention"] == "accident"
        else:
            raise ValueError(f"no rules for the answers of experiment {experiment!r}")
        parts.append(part.join(grades))
    return pd.concat(parts).sort_index()


def intentional_control(
    model,
    words: list[str],
    sentences: list[str],
    wordings: tuple[str, ...] = ("think", "dont_think", "mention"),
    batch_size: int = 64,
) -> pd.DataFrame:
    """Experiment 4 ("Intentional control of internal states"): how strongly a word is held while a sentence is written.

    Nothing is injected or generated: the model reads the request and the sentence as its own reply. One row for each word,
    sentence, wording, layer and token of the sentence. cosine: between the word's concept vector and the residual stream,
    centred (minus the mean of all words and wordings at this token, as a few large dimensions would rule the cosine
    otherwise). control_cosine: mean of the same for the paper's 100 control words. The
    sentence's last token is dropped: there the model prepares what comes
    next. ValueError for fewer than two words (there would be nothing to centre by).
    """
    words = concepts.check_concepts(words)
    if len(words) < 2 or not sentences:
        raise ValueError(f"need at least two words and one sentence, got {len(words)} and {len(sentences)}")
    others = [word for word in concepts.control_words() if word not in words]
    directions = torch.nn.functional.normalize(concept_vectors(model, [*words, *others]), dim=-1)
    cases = [(word, wording) for word in words for wording in wordings]
    tables = []
    for sentence in sentences:
        asked = [
            prompts.render(
                model.tokenizer,
                prompts.get_wording("intentional_control", wording),
                sentence=sentence,
                word=word,
            )
            for word, wording in cases
        ]
        spans = [(start, end - 1) for start, end in (prompt.span("sentence") for prompt in asked)]
        states = torch.stack(read_spans(model, asked, spans, batch_size))  # [case, token, layer, width]
        states = torch.nn.functional.normalize(states - states.mean(0), dim=-1)
        own = torch.stack([directions[words.index(word)] for word, _ in cases])  # [case, layer, width]
        cosine = (states * own[:, None]).sum(-1)  # [case, token, layer]
        control = torch.einsum("ctlw,olw->ctl", states, directions[len(words) :]) / len(others)
        index = pd.MultiIndex.from_product(
            [range(len(cases)), range(cosine.shape[1]), range(cosine.shape[2])], names=["case", "token", "layer"]
        )
        table = pd.DataFrame(
            {"cosine": cosine.flatten().numpy(), "control_cosine": control.flatten().numpy()}, index=index
        ).reset_index()
        table.insert(0, "word", table["case"].map(lambda case: cases[case][0]))
        table.insert(1, "wording", table.pop("case").map(lambda case: cases[case][1]))
        table.insert(2, "sentence", sentence)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
