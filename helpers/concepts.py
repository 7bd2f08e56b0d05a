"""Concept sets: which words are injected, which ones form the baseline, and how they are split in halves.

The lists are those of Lindsey 2025 (appendix, word lists), stored in data/words/paper_words.json. Words are written in
lower case throughout, as in the paper's extraction prompt.
"""

import difflib
import json
from functools import lru_cache

import numpy as np

from helpers.checks import as_texts, check_seed, whole_number
from helpers.paths import ROOT

WORD_FILE = ROOT / "data" / "words" / "paper_words.json"
SPLIT_FILE = ROOT / "data" / "words" / "tuning_and_final.json"


@lru_cache(maxsize=1)
def _word_lists() -> dict:
    return json.loads(WORD_FILE.read_text(encoding="utf-8"))


def paper_concepts(count: int = 50) -> list[str]:
    """The first `count` of the paper's 50 concept words, lower case, in the published order.

    The organisms were never injected with them. ValueError for a count below 4 (two words to choose a cell, two to test it)
    or above 50.
    """
    count = whole_number("the number of concepts (the paper has 50)", count, 4, 50)
    return [word.lower() for word in _word_lists()["concept_words"][:count]]


def tuning_words() -> list[str]:
    """The 25 concept words that may be looked at while the recipe of the model organisms is tuned (published order)."""
    return list(json.loads(SPLIT_FILE.read_text(encoding="utf-8"))["tuning"])


def final_words() -> list[str]:
    """The other 25 concept words: measured once, when the recipe is final (published order)."""
    return list(json.loads(SPLIT_FILE.read_text(encoding="utf-8"))["final"])


def baseline_words() -> list[str]:
    """The paper's baseline words (99 different ones: the published list of 100 holds 'butterflies' twice)."""
    return list(dict.fromkeys(word.lower() for word in _word_lists()["baseline_words"]))


def control_words() -> list[str]:
    """The paper's 100 control words, to which experiment 4 compares the word thought about."""
    return [word.lower() for word in _word_lists()["control_words"]]


def category_words() -> dict[str, list[str]]:
    """The paper's five categories (famous_people, countries, concrete_nouns, abstract_nouns, verbs), as spelled there."""
    return {name: list(words) for name, words in _word_lists()["categories"].items()}


def known_words() -> list[str]:
    """Every single word of the lists above, lower case, without repetition."""
    words = paper_concepts() + baseline_words() + control_words()
    words += [word.lower() for group in category_words().values() for word in group]
    return list(dict.fromkeys(words))


def check_concepts(words) -> list[str]:
    """Return `words` in lower case after checking that each is in the lists, and none twice.

    Raises ValueError for what is no list of different words and KeyError for an unknown word, with the nearest known ones. (A
    word of your own needs no check: `vectors.concept_vectors` takes any text.)
    """
    words = [word.strip().lower() for word in as_texts("concepts", words)]
    known = known_words()
    for place, word in enumerate(words):
        if word not in known:
            near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
            hint = f"did you mean {', '.join(map(repr, near))}?" if near else "see helpers.concepts.known_words()"
            raise KeyError(f"unknown concept {word!r}: {hint}")
        if word in words[:place]:
            raise ValueError(f"concepts must be different words, but {word!r} is given twice")
    return words


def split_in_halves(words, seed: int = 0) -> tuple[list[str], list[str]]:
    """Split words at random into a half that chooses settings (layer, strength) and a half that tests them.

    Choosing the best cell and reporting it on the same words overstates it; hence two halves. Returns (choose, test).
    """
    words = as_texts("concepts", words)
    if len(words) < 2 or len(set(words)) < len(words):
        raise ValueError(f"two halves need at least two words, none of them twice, got {words!r:.80}")
    order = np.random.default_rng(check_seed(seed)).permutation(len(words))
    middle = len(words) // 2
    return [words[i] for i in sorted(order[:middle])], [words[i] for i in sorted(order[middle:])]
