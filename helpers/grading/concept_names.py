"""Which strings name a concept: the word, its inflections, and close synonyms (data/words/synonyms.yaml)."""

import re
from functools import lru_cache

import yaml

from helpers.paths import ROOT

SYNONYM_FILE = ROOT / "data" / "words" / "synonyms.yaml"


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, list[str]]:
    return yaml.safe_load(SYNONYM_FILE.read_text(encoding="utf-8"))


def singular(word: str) -> str:
    """The singular of a regular English plural; other words come back unchanged ('volcanoes' -> 'volcano')."""
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
    if " " not in stem and len(stem) > 3 and stem.endswith("y"):
        return rf"{re.escape(stem[:-1])}(?:y|ys|ies|ied|ying)"
    if " " not in stem and len(stem) > 4 and stem.endswith("e"):
        return rf"{re.escape(stem[:-1])}(?:e|es|ed|ing)"
    return rf"{re.escape(stem)}(?:e|e?s|ed|ing|'s)?"


@lru_cache(maxsize=4096)
def concept_pattern(concept: str) -> re.Pattern:
    """Pattern that matches any name of a concept in lower-case text.

    A concept may be a phrase ("fibonacci_numbers") or give alternatives ("enthusiasm/excitement").
    Raises ValueError for an empty concept.
    """
    terms = [term.replace("_", " ").strip() for term in concept.lower().split("/")]
    terms = [term for term in terms if term]
    if not terms:
        raise ValueError(f"concept must be a word or phrase, got {concept!r}")
    for term in list(terms):
        terms += next((words for word, words in _synonyms().items() if singular(word) == singular(term)), [])
    names = "|".join(_inflected(term) for term in dict.fromkeys(terms))
    return re.compile(rf"(?<![a-z])(?:{names})(?![a-z])")
