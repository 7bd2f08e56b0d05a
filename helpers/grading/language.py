"""Is an answer written in English? The offline grader reads nothing else, and must not take a German yes for a no.

Decided by scripts and by small words (data/grading/languages.yaml). When in doubt it is English: a bare name, a single word and
word salad of English words are graded, and only what is clearly another language is not.
"""

import re
from collections import Counter
from functools import lru_cache

import yaml

from helpers.paths import ROOT

LANGUAGE_FILE = ROOT / "data" / "grading" / "languages.yaml"
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
NOT_LATIN = re.compile(r"[^\W\d_a-z\u00aa-\u024f\u1e00-\u1eff]")  # letters of lower-case text in another script
SYLLABIC = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # one says what three do


@lru_cache
def small_words() -> tuple[dict[str, frozenset], dict[str, frozenset]]:
    """The lists of LANGUAGE_FILE: English words ("english", "shared", "topic") and "yes_no"; those of each other language."""
    table = yaml.safe_load(LANGUAGE_FILE.read_text(encoding="utf-8"))
    others = {language: frozenset(words.split()) for language, words in table["others"].items()}
    english = {name: frozenset(table[name].split()) for name in ("english", "shared", "topic")}
    return english | {"yes_no": frozenset(" ".join(table["yes_no"].values()).split())}, others


def function_words() -> frozenset[str]:
    """The small words that hold English sentences together."""
    return small_words()[0]["english"] | small_words()[0]["shared"]


def is_english(answer: str) -> bool:
    """False only for an answer that is clearly in another language."""
    text = answer.replace("’", "'").lower()
    known, others = small_words()
    words = WORD.findall(text)
    english = sum(word in known["english"] or word in known["topic"] for word in words)
    syllables = len(SYLLABIC.findall(text))
    share = (len(NOT_LATIN.findall(text)) + 2 * syllables) / max(sum(map(len, words)) + 2 * syllables, 1)
    if share >= 0.8 or (share >= 0.5 and not function_words().intersection(words)):
        return False
    opening = re.match(r"\W*(\w+)\s*(?:[^\w\s]|$)", text)  # "Ja, Brot." but not "Sim City"
    if len(words) <= 4 and not english and opening and opening.group(1) in known["yes_no"]:
        return False
    counts = Counter(words)
    for small in others.values():
        found = small & counts.keys()
        if len(found) >= 2 and sum(counts[word] for word in found) > english:
            return False
    accented = sum(word[0].islower() and not word.isascii() for word in WORD.findall(answer))  # an unlisted language
    return not (len(words) >= 6 and not english and accented >= len(words) / 5)
