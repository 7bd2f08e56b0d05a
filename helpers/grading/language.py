"""Is an answer written in English? The offline grader reads nothing else, and must not take a German yes for a no.

Decided by scripts, by small words (data/grading/languages.yaml), and, for the languages that are not listed there, by spelling.
When in doubt it is English: a bare name, a single word and word salad of English words are graded, and only what is clearly
another language is not.
"""

import re
from collections import Counter
from functools import lru_cache

import yaml

from helpers.paths import ROOT

LANGUAGE_FILE = ROOT / "data" / "grading" / "languages.yaml"
ENGLISH_FILES = ("words/*.*", "prompts/*.yaml", "organisms/*.yaml")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
VOWEL = re.compile("[aeiouyà-öø-ÿ\u0100-\u024f\u1e00-\u1eff]")
NOT_LATIN = re.compile(r"[^\W\d_a-z\u00aa-\u024f\u1e00-\u1eff]")  # letters of lower-case text in another script
SENTENCE_END = re.compile(r"[.!?,;:\n\u3001\u3002\uff01\uff0c\uff1f]")
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


def triples(word: str) -> list[str]:
    """Three signs in a row, the borders of the word among them: "oak" -> " oa", "oak", "ak "."""
    return [f" {word} "[i : i + 3] for i in range(len(word))]


@lru_cache
def english_spelling() -> tuple[frozenset[str], frozenset[str]]:
    """The 2,700 words of this collection's own lists and questions, and the letters that follow each other in them."""
    files = [file for pattern in ENGLISH_FILES for file in sorted((ROOT / "data").glob(pattern))]
    words = {
        word for file in files for word in WORD.findall(file.read_text(encoding="utf-8").lower()) if word.isascii()
    }
    return frozenset(words), frozenset(triple for word in words for triple in triples(word))


def is_spelled_like_english(words: list[str]) -> bool:
    """Whether at least a third of the words are known, or nine in ten triples of letters are English ones."""
    known, usual = english_spelling()
    found = [triple in usual for word in words for triple in triples(word)]
    return sum(word in known for word in words) >= len(words) / 3 or sum(found) >= 0.9 * len(found)


def share_of_other_scripts(text: str) -> float:
    """Share of lower-case text that is written in letters other than Latin ones."""
    syllables = len(SYLLABIC.findall(text))
    return (len(NOT_LATIN.findall(text)) + 2 * syllables) / max(sum(map(len, WORD.findall(text))) + 2 * syllables, 1)


def is_english(answer: str) -> bool:
    """False only for an answer that is clearly in another language."""
    text = answer.replace("’", "'").lower()
    known, others = small_words()
    words = WORD.findall(text)
    english = sum(word in known["english"] or word in known["topic"] for word in words)
    share = share_of_other_scripts(text)
    if share >= 0.8 or (share >= 0.5 and not function_words().intersection(words)):
        return False
    if share_of_other_scripts(SENTENCE_END.split(text, 1)[0]) >= 0.8:  # the yes or no stands there
        return False
    opening = re.match(r"\W*(\w+)(?:\s*[^\w\s-]|\s+-|\s*$)", text)  # "Ja, Brot." but not "Sim City" or "Non-stop"
    clear = any(len(word) > 4 or not word.isascii() for small in others.values() for word in small.intersection(words))
    if len(words) <= 4 and not english and (clear or (opening and opening.group(1) in known["yes_no"])):
        return False
    if (others_than_no := set(words) - {"no"}) and others_than_no <= known["yes_no"]:  # "No, nada."
        return False
    counts = Counter(words)
    for small in others.values():
        found = small & counts.keys()
        if len(found) >= 2 and sum(counts[word] for word in found) > english:
            return False
    names = sum(not word[0].islower() for word in WORD.findall(answer))
    gibberish = sum(not VOWEL.search(word) for word in words) > 1
    different = len(words) >= 5 and len({word[:4] for word in words}) > 0.8 * len(words)
    if english or gibberish or not different or names > len(words) / 2:
        return True
    return is_spelled_like_english(words)
