"""Which strings name a concept: the word, its inflections, and close synonyms (data/words/synonyms.yaml)."""

import re
from functools import lru_cache

import yaml

from helpers.grading.reply import plain
from helpers.paths import ROOT

SYNONYM_FILE = ROOT / "data" / "words" / "synonyms.yaml"
PLURAL_FILE = ROOT / "data" / "words" / "irregular_plurals.yaml"


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, list[str]]:
    return yaml.safe_load(SYNONYM_FILE.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _irregular() -> dict[str, str]:
    return yaml.safe_load(PLURAL_FILE.read_text(encoding="utf-8"))  # plural -> singular


def singular(word: str) -> str:
    """The singular of an English plural; other words come back unchanged ('volcanoes' -> 'volcano')."""
    head, space, last = word.rpartition(" ")
    if last in _irregular():
        return head + space + _irregular()[last]
    if re.search(r"(ss|us|is|ous)$", word) or len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(ches|shes|xes|zes|sses|oes)$", word):
        return word[:-2]
    return word.removesuffix("s")


def _inflected(term: str) -> str:
    """Pattern for a term in its number and simplest derived forms (avalanche, avalanches, avalanche-like)."""
    stem = singular(term)
    *front, last = [re.escape(word) for word in stem.split()]
    if not front and len(stem) > 3 and stem.endswith("y"):
        last = rf"{last[:-1]}(?:y|ys|ies|ied|ying)"
    elif not front and len(stem) > 4 and stem.endswith("e"):
        last = rf"{last[:-1]}(?:e|es|ed|ing)"
    else:
        last = rf"{last}(?:e|e?s|ed|ing|'s)?"
    plurals = [many for many, one in _irregular().items() if one == stem.split()[-1]]
    return "[ _-]{1,2}".join([*front, f"(?:{'|'.join([last, *plurals])})"])


def concept_pattern(concept: str) -> re.Pattern:
    """Pattern that matches any name of a concept in lower-case text.

    A concept may be a phrase ("fibonacci_numbers") or give alternatives ("enthusiasm/excitement").
    Raises ValueError for anything but text that names something.
    """
    if not isinstance(concept, str) or not re.search(r"[^\W_]", plain(concept)):
        raise ValueError(f"concept must be a word or phrase, got {concept!r}")
    return _pattern(plain(concept).lower())


@lru_cache(maxsize=4096)
def _pattern(concept: str) -> re.Pattern:
    terms = [term for term in (part.replace("_", " ").strip() for part in concept.split("/")) if term]
    for term in list(terms):
        terms += next((words for word, words in _synonyms().items() if singular(word) == singular(term)), [])
    names = "|".join(_inflected(term) for term in dict.fromkeys(terms))
    return re.compile(rf"(?<![^\W\d_])(?:{names})(?![^\W\d_])")
