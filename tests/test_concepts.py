"""Concept words: known, different, in a list; halves that depend on the seed alone."""

import pandas as pd
import pytest

from helpers import concepts

TABLE = pd.DataFrame({"bread": [1], "oceans": [2]})  # iterates over its columns


@pytest.mark.parametrize("words", [["Bread", " OCEANS "], ("bread", "oceans"), {"bread": 1, "oceans": 2}.keys()])
def test_words_are_read_in_any_case_and_order(words):
    assert concepts.check_concepts(words) == ["bread", "oceans"]


@pytest.mark.parametrize(
    "words",
    [
        "bread",
        b"bread",
        None,
        5,
        [],
        {"bread"},
        frozenset(["bread"]),
        TABLE,
        {"bread": 1},
        [None],
        [5],
        [b"bread"],
        [["bread"]],
        ["bread", 1.5],
        ["bread", " "],
    ],
)
def test_what_is_no_list_of_words_is_refused(words):
    for call in (concepts.check_concepts, concepts.split_in_halves):
        with pytest.raises(ValueError, match="concepts must be (a list of|texts that are not empty)"):
            call(words)


@pytest.mark.parametrize("words", [["bread", "bread"], ["bread", "Bread"], ["oceans", "bread", " bread "]])
def test_a_word_given_twice_is_refused(words):
    with pytest.raises(ValueError, match="must be different words, but 'bread' is given twice"):
        concepts.check_concepts(words)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("bred", "did you mean 'bread'"),
        ("ocean", "did you mean 'oceans'"),
        ("br\u200bead", "did you mean 'bread'"),
        ("7", "see"),
    ],
)
def test_an_unknown_word_is_met_with_the_nearest_ones(word, hint):
    with pytest.raises(KeyError, match=f"unknown concept .*: {hint}"):
        concepts.check_concepts(["oceans", word])


@pytest.mark.parametrize("count", [3, 51, 0, -1, 4.0, 10.5, "10", True, None, float("nan"), [10]])
def test_a_number_of_concepts_that_is_none_is_refused(count):
    with pytest.raises(ValueError, match="the number of concepts .* must be a whole number from 4 to 50"):
        concepts.paper_concepts(count)


@pytest.mark.parametrize("seed", [-1, 0.0, 1.5, True, None, 2**70, "0", float("nan")])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be a whole number from 0"):
        concepts.split_in_halves(["bread", "oceans"], seed)


@pytest.mark.parametrize("words", [["bread"], ["bread", "bread"], ["bread", "oceans", "bread"]])
def test_halves_need_different_words(words):
    with pytest.raises(ValueError, match="two halves need at least two words, none of them twice"):
        concepts.split_in_halves(words)
