"""Wrong answers to the exercises of 09_rule_out_boring_explanations and what the check must say about each; right ones."""

from functools import partial

import pandas as pd


def shift_left(trial_with, trial_without, fact_with, fact_without):
    """Difference of two means."""
    return (trial_with - trial_without).mean() - (fact_with - fact_without).mean()


def trial_shift_only(trial_with, trial_without, fact_with, fact_without):
    """Forgets the factual question."""
    return float((trial_with - trial_without).mean())


def reversed_shift(trial_with, trial_without, fact_with, fact_without):
    """Fact minus trial."""
    return float(((fact_with - fact_without) - (trial_with - trial_without)).mean())


def sizes_of_shifts(trial_with, trial_without, fact_with, fact_without):
    """Absolute shifts."""
    return ((trial_with - trial_without).abs() - (fact_with - fact_without).abs()).mean()


def size_of_what_is_left(trial_with, trial_without, fact_with, fact_without):
    """Absolute difference of the shifts."""
    return ((trial_with - trial_without) - (fact_with - fact_without)).abs().mean()


def with_the_vector_only(trial_with, trial_without, fact_with, fact_without):
    """Compares what is said with the vector, not shifts."""
    return (trial_with - fact_with).mean()


def pair(plan, in_text, vector="concept", wording="told_in_text", **options):
    """The two conditions; in_text: the trial's word -> the word that the text says."""
    values = {"values": lambda word: {"word": in_text(word)}}
    return [plan(wording, "a", **values), plan(wording, "b", vector, **values, **options)]


def text_against_vector(plan, next_word):
    """Another word in the text than in the vector."""
    return pair(plan, next_word.get)


def as_a_tuple_of_stronger_trials(plan, next_word):
    """A tuple, another strength, another word of the list in the text."""
    before = {after: word for word, after in next_word.items()}
    return tuple(pair(partial(plan, cell=(2, 4.0)), before.get))


def own_word_in_one_text(plan, next_word):
    """The text says the vector's word in one of the tables."""
    return [pair(plan, str)[0], pair(plan, next_word.get)[1]]


def other_texts(plan, next_word):
    """The texts differ between the tables."""
    before = {after: word for word, after in next_word.items()}
    return [pair(plan, next_word.get)[0], pair(plan, before.get)[1]]


def one_name(plan, next_word):
    """Both conditions have the same name."""
    return [table.assign(condition="a") for table in pair(plan, next_word.get)]


WRONG = [
    ("check_shift_left", trial_shift_only, "what it does to the fact is still in it"),
    ("check_shift_left", reversed_shift, "the wrong way round"),
    ("check_shift_left", sizes_of_shifts, "do not take their absolute values"),
    ("check_shift_left", size_of_what_is_left, "do not take its absolute value"),
    ("check_shift_left", with_the_vector_only, "answers with the vector only"),
    ("check_shift_left", lambda *margins: max(0.0, float(shift_left(*margins))), "do not cut it off"),
    ("check_text_against_vector", lambda plan, next_word: pair(plan, str), "the vector's own word"),
    ("check_text_against_vector", own_word_in_one_text, "the vector's own word"),
    (
        "check_text_against_vector",
        lambda plan, next_word: pair(plan, str, vector_of=next_word.get),
        "the vector must be that word's",
    ),
    (
        "check_text_against_vector",
        lambda plan, next_word: pair(plan, next_word.get, repeats=1),
        "only the vector may differ",
    ),
    ("check_text_against_vector", other_texts, "only the vector may differ"),
    (
        "check_text_against_vector",
        lambda plan, next_word: pair(plan, next_word.get)[::-1],
        "the first table adds no vector",
    ),
    (
        "check_text_against_vector",
        lambda plan, next_word: pair(plan, next_word.get, vector="negated"),
        "the first table adds no vector",
    ),
    ("check_text_against_vector", one_name, "need different names"),
    (
        "check_text_against_vector",
        lambda plan, next_word: pair(plan, next_word.get, wording="free_choice"),
        "the wording must be told_in_text",
    ),
    ("check_text_against_vector", lambda plan, next_word: pair(plan, next_word.get)[:1], "must have 2 elements"),
    ("check_text_against_vector", lambda plan, next_word: pd.concat(pair(plan, next_word.get)), "must be a list"),
    ("check_text_against_vector", lambda plan, next_word: ["told_in_text", "concept"], "made by `plan`"),
]

RIGHT = [
    ("check_shift_left", shift_left),
    ("check_text_against_vector", text_against_vector),
    ("check_text_against_vector", as_a_tuple_of_stronger_trials),
]
