"""The table of trials: a DataFrame, one row per trial, before anything is run. Every experiment makes such a table.

Columns (TRIAL_COLUMNS): experiment (a file of data/prompts), wording, values (JSON text, fills the wording's placeholders),
condition (what the trial is in the design: concept, none, random, other ...), concept (the word whose naming counts, "" for
none), vector (what is added: none, concept, random, mixture, negated, shuffled), vector_of (the word it is made of, or as long
as), layer, strength, span (where it is added; a span called from_... continues through every generated token), seed.
`runner.run` runs such a table; rates are computed from graded tables, never stored in them.
"""

import json
import random
from collections.abc import Callable
from operator import methodcaller

import pandas as pd

from helpers import prompts
from helpers.checks import LARGEST_SEED, as_list, as_texts, check_different, finite_number, layer_number, whole_number

TRIAL_COLUMNS = "experiment wording values condition concept vector vector_of layer strength span seed".split()
VECTOR_KINDS = ("none", "concept", "random", "mixture", "negated", "shuffled")


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
    """The cross product of words, layers and strengths under one condition: one row per trial.

    Args:
        experiment: a file of data/prompts.
        wording: an id in that file.
        words: at least one.
        condition: name of the condition in the design.
        span: where the vector is added, a span of the rendered prompt.
        values: fills the wording's placeholders; a dict or a function of the word.
        vector: one of VECTOR_KINDS.
        vector_of: the word whose vector is used, as a function of the trial's word (itself by default).
        layers: of the injection.
        strengths: of the injection; a list, or layer -> list (see `vectors.strengths_for_doses`).
        names_concept: whether naming the word counts as identifying (False where it is not injected).
        seed: of the first word's trial; each further word counts one up.

    Raises:
        KeyError, ValueError: naming what is wrong: an unknown wording or kind of vector, an empty list of words, a strength
            of 0 or NaN.
    """
    words = as_texts("words", words)
    layers = [None if each is None else layer_number("a layer", each) for each in as_list("layers", layers)]
    check_different("layers", layers)
    seed = whole_number("seed", seed, 0, LARGEST_SEED - len(words) + 1)  # so that the last word has a seed too
    if vector not in VECTOR_KINDS:
        raise ValueError(f"unknown kind of vector {vector!r}; allowed are {', '.join(VECTOR_KINDS)}")
    if vector != "none" and any(layer is None for layer in layers):
        raise ValueError(f"a trial with a {vector} vector needs layers, got {tuple(layers)}")
    prompts.get_template(experiment, wording)  # raises now, not after hours of running
    rows = []
    for layer in layers:
        given = strengths.get(layer) if isinstance(strengths, dict) else strengths
        given = as_list(f"strengths of layer {layer}", given)
        for strength in check_different("strengths", [finite_number("strength", strength) for strength in given]):
            if vector != "none" and strength == 0:
                raise ValueError(f"strength must be a finite number other than 0, got {strength!r}")
            for number, word in enumerate(words):
                filled = values(word) if callable(values) else values
                rows.append(
                    {
                        "experiment": experiment,
                        "wording": wording,
                        "values": json.dumps(filled, ensure_ascii=False, default=methodcaller("item")),  # numpy's too
                        "condition": condition,
                        "concept": word if names_concept else "",
                        "vector": vector,
                        "vector_of": "" if vector == "none" else (vector_of(word) if vector_of else word),
                        "layer": layer,
                        "strength": strength,
                        "span": span,
                        "seed": seed + number,
                    }
                )
    return pd.DataFrame(rows, columns=TRIAL_COLUMNS)


def concat_trials(*tables: pd.DataFrame) -> pd.DataFrame:
    """Several tables of trials as one, numbered anew."""
    return pd.concat(tables, ignore_index=True).astype({"layer": "Int64"})


def next_word(words: list[str]) -> Callable[[str], str]:
    """Pairs each word with the next one of the list: the "another concept" control. ValueError for fewer than two, or equal ones."""
    words = check_different("words", as_list("words", words))
    if len(words) < 2:
        raise ValueError("the control with another word needs at least two words")
    return lambda word: words[(words.index(word) + 1) % len(words)]


def lines_for(words: list[str], seed: int) -> Callable[[str], str]:
    """A plain line for each word, drawn from the lines that the organisms never saw and that do not hold the word."""
    rng, lines = random.Random(f"lines/{seed}"), prompts.load_lines()
    chosen = {word: rng.choice([line for line in lines if word.lower() not in line.lower()]) for word in words}
    return chosen.__getitem__
