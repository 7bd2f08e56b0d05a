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


@lru_cache(maxsize=4096)
def _readings(term: str) -> frozenset[str]:
    """The term and all that it may be the plural of ('lenses' -> 'lens', 'lense'); a reading that is no word does no harm."""
    head, space, word = term.rpartition(" ")
    readings = {word}
    if word in _irregular():
        readings.add(_irregular()[word])
    elif len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        readings.add(word[:-1])
        if word.endswith("ies") and len(word) > 4:
            readings.add(word[:-3] + "y")
        elif re.search(r"(?:ch|sh|x|z|..[so])es$", word):  # two letters before -oes, -ses: "toes" is no plural of "to"
            readings.add(word[:-2])
            if re.search(r"..(?:ss|zz)es$", word):  # quizzes
                readings.add(word[:-3])
    return frozenset(head + space + reading for reading in readings)


def _pattern_of(term: str, verbs: bool) -> str:
    """Pattern for a term and its plural, with `verbs` also for its forms as a verb (avalanche, avalanches, avalanching)."""
    *front, word = term.split()
    verbs = verbs and not front and len(word) > 2
    stem, nouns, endings = word, ["", "s"], ["ed", "ing"]
    if word.endswith("y") and len(word) > 2:
        stem, nouns, endings = word[:-1], ["y", "ys", "ies"], ["ied", "ying"]
    elif word.endswith("e") and len(word) > 4:
        stem, nouns = word[:-1], ["e", "es"]
    elif re.search(r"(?:ch|sh|[sxzo])$", word):
        nouns = ["", *(["s"] if word[-1] in "ho" else []), "es", *([word[-1] + "es"] if word[-1] in "sz" else [])]
    if re.fullmatch(r"[^aeiou]+[aeiou][^aeiouwxy]", word):  # swim, swimming; "hated" is no form of "hat"
        endings = [word[-1] + ending for ending in endings]
    forms = [re.escape(stem) + ending for ending in nouns + (endings if verbs else [])]
    forms += [re.escape(many) for many, one in _irregular().items() if one == word]
    return "[ _-]{1,2}".join([*map(re.escape, front), f"(?:{'|'.join(forms)})"])


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
    own = {reading for term in terms for reading in _readings(term)}
    synonyms = [words for word, words in _synonyms().items() if own & _readings(word)]
    names = [_pattern_of(term, verbs=True) for term in sorted(own)]
    names += [_pattern_of(term, verbs=False) for words in synonyms for term in words]
    return re.compile(rf"(?<![^\W\d_])(?:{'|'.join(names)})(?![^\W\d_])")
