"""Is an answer intelligible? Checks that a reader can follow, each of which names what it found.

Strong injections break the model: it repeats a word, strings words together without grammar, mixes scripts, or runs
on into made-up turns and web debris. Each check looks for one such sign; an answer without any sign is coherent. The
limits were set by hand on judged answers of several models.
"""

import itertools
import re
from collections import Counter

from helpers.grading.language import WORD, function_words
from helpers.grading.patterns import pattern
from helpers.grading.reply import shorten, split_reply

FOREIGN = re.compile(r"[^\W\d_a-zà-öø-ÿ]")  # letters beyond Latin, in lower-case text
WINDOW = 30  # words: a stretch that long tells prose from salad
STEM = 5  # letters: "strike", "strikes" and "striking" are one word repeated
ASTRAY = 65  # words in a row without one that the question is about


def _windows(words: list[str]) -> list[list[str]]:
    """Overlapping stretches of WINDOW words (the whole list if it is shorter)."""
    return [words[i : i + WINDOW] for i in range(0, max(1, len(words) - WINDOW // 2), WINDOW // 2)]


def _most(things) -> int:
    """How often the most frequent of these comes."""
    return max(Counter(things).values(), default=0)


def _repeats(text: str, words: list[str]) -> bool:
    """One word, phrase or sign over and over."""
    if pattern("over_and_over").search(text):
        return True
    for stretch in _windows(words):
        length, content = len(stretch), [word for word in stretch if word not in function_words()]
        if length >= 15 and (len({*stretch}) < length / 2 or _most(word[:STEM] for word in content) > length / 4):
            return True
        if 3 <= length < 15 and _most(content) >= 3 and _most(content) > 0.34 * length:
            return True
        if _most(zip(stretch, stretch[1:], stretch[2:], strict=False)) >= 4:
            return True
    doubled = sum(a == b for a, b in itertools.pairwise(words))
    phrases = zip(*(words[i:] for i in range(5)), strict=False)
    return doubled >= 3 or (doubled == 1 and len(words) <= 2) or _most(phrases) >= 4


def _no_grammar(answer: str, words: list[str]) -> bool:
    """Too few of the small words that hold English sentences together, or two side by side that cannot be."""

    def share(stretch):
        return sum(word in function_words() for word in stretch) / len(stretch)

    poor = [share(stretch) for stretch in _windows(words) if len(stretch) >= 20 and share(stretch) < 0.27]
    side_by_side = len(pattern("no_pair").findall(answer))
    return side_by_side >= 2 or min(poor, default=1) < 0.14 or (len(poor) >= 2 and share(words) < 0.38)


def _odd_capitals(answer: str, words: list[str]) -> bool:
    """Capital letters strewn over the middles of sentences, or inside words."""
    middles = re.findall(r"(?<=[a-z,] )([A-Za-z])[a-z]+", answer)
    strewn = sum(letter.isupper() for letter in middles)
    inside = len(re.findall(r"\b\w*[a-z]{2}[A-Z][a-z]\w*", answer))
    return (strewn >= 5 and strewn / len(middles) > 0.17) or inside >= 3


def _broken(answer: str, words: list[str]) -> bool:
    """Hardly any words for its length, foreign scripts, loose signs."""
    letters = sum(ch.isalpha() for ch in answer)
    solid = sum(not ch.isspace() for ch in answer.replace("...", ""))
    if not words or letters / max(solid, 1) < 0.6:
        return True
    foreign = len(FOREIGN.findall(answer.lower()))
    if 0 < foreign < 0.8 * letters:  # an answer wholly in another language is fine; one that changes script is not
        return True
    singles = sum(len(word) == 1 and word not in ("a", "i") for word in words)
    vowelless = sum(len(word) >= 4 and not re.search("[aeiouyà-öø-ÿ]", word) for word in words)
    return singles >= 4 or vowelless >= 2 or any(len(word) > 24 for word in words)


def _astray(words: list[str]) -> bool:
    """A long stretch in which nothing has to do with the question."""
    places = [-1, *(i for i, word in enumerate(words) if pattern("on_topic").match(word)), len(words)]
    return max(after - before - 1 for before, after in itertools.pairwise(places)) >= ASTRAY


def incoherence(answer: str) -> list[str]:
    """Names of the signs of incoherence found in an answer; an empty list means coherent."""
    answer = shorten(split_reply(answer).answer)
    answer = re.sub(r"\*+|#+ |\|[\s|:-]*", " ", answer).strip()  # no markdown
    text = answer.lower()
    words = WORD.findall(text)
    signs = {
        "broken": _broken(answer, words),
        "repetition": bool(words) and _repeats(text, words),
        "no grammar": _no_grammar(answer, words),
        "odd capitals": _odd_capitals(answer, words),
        "debris": bool(pattern("debris").search(answer)),
        "astray": _astray(words),
        "confused roles": bool(pattern("confused_roles").search(text)),
    }
    return [name for name, found in signs.items() if found]
