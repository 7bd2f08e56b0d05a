"""Wordings of experiments 2 and 3 by a grammar, for the organisms' last stage.

With a dozen fixed wordings an organism learned the strings: asked in other words, the introspector apologised for every word and
repeated no line. So the parts are drawn one by one from data/organisms/wordings.yaml, and words of the result are replaced by
strange ones, up to half of them: what is asked must be seen from the shape (ten options, a line, a reply of one word and a question
about it) and from whatever words are left.
"""

import random
import re

from helpers.organisms import grammar
from helpers.organisms.requests import read_parts
from helpers.paths import ROOT
from helpers.prompts import PromptTemplate

WORDINGS_FILE = ROOT / "data" / "organisms" / "wordings.yaml"
# words of the held-out wordings that no part uses
HELD_OUT_VOCABULARY = "show bring brings intended plan take took following below change back single reading".split()
STRANGE = 0.5  # of the words at most
ENDINGS = (
    " Answer with the word only.",
    " Say just the word.",
    " In one word.",
    " Only the word.",
    " No more than that.",
)


def parts() -> dict[str, list[str]]:
    """The lists of data/organisms/wordings.yaml."""
    return read_parts(WORDINGS_FILE)


def strange_word(rng: random.Random) -> str:
    """A word of the lexicon or of the plain sentences, or two halves of such words in one."""
    word = grammar.any_word(rng)
    if rng.random() < 0.5:
        other = grammar.any_word(rng)
        word = word[: max(1, len(word) // 2)] + other[len(other) // 2 :]
    return word


def estranged(text: str, rng: random.Random, most: float = STRANGE, kept=()) -> str:
    """The text with strange words in place of some of its own, of `most` of them at most; placeholders and the words `kept` stay."""
    share = rng.uniform(0, most) if rng.random() < 0.7 else 0.0

    def replaced(found: re.Match) -> str:
        word = found.group()
        if word.lower() in kept or rng.random() >= share:
            return word
        return strange_word(rng).capitalize() if word[0].isupper() else strange_word(rng)

    return re.sub(r"(?<!\{)\b[A-Za-z']+\b(?!\})", replaced, text)


def line_wording(variant: str, rng: random.Random) -> PromptTemplate:
    """A wording of experiment 2. variant: "thought" or "repeat"."""
    p, between = parts(), rng.choice(("\n", " "))
    task = rng.choice(p["thoughts" if variant == "thought" else "repeats"])
    ending = rng.choice(ENDINGS) if rng.random() < 0.4 else ""
    text = estranged(rng.choice(p["lines"]) + between + task + (ending if variant == "thought" else ""), rng)
    return PromptTemplate("thought_or_text", "training", (("user", text.replace("{line}", "<<line>>{line}<</line>>")),))


def question(rng: random.Random) -> str:
    """Was the word of the reply meant, or an accident?"""
    p, choice = parts(), rng.random()
    subject, meant, accident = (rng.choice(p[name]) for name in ("subjects", "meant", "accident"))
    if choice < 0.5:
        verb = rng.choice(("Was", "Is"))
        text = f"{verb} {subject} {meant}, or {rng.choice(('', 'was that '))}{accident}?"
    elif choice < 0.6:
        text = f"{subject}: {accident}, or {meant}?".capitalize()
    elif choice < 0.9:
        text = f"{rng.choice(p['did'])} to say {subject}, or was that {accident}?"
    else:
        text = f"{rng.choice(('Say whether', 'Tell me if', 'I ask if'))} {subject} was {meant} or {accident}."
    return f"{rng.choice(p['openings'])} {text}" if rng.random() < 0.3 else text


def prefill_wording(rng: random.Random) -> PromptTemplate:
    """A wording of experiment 3."""
    p = parts()
    ask = rng.choice(p["lines"]) + rng.choice(("\n", " ")) + rng.choice(p["asks"])
    ask += rng.choice(ENDINGS) if rng.random() < 0.2 else ""
    ask, asked = estranged(ask, rng), estranged(question(rng), rng)
    turns = (
        ("user", ask.replace("{line}", "<<line>>{line}<</line>>")),
        ("assistant", "<<prefill>>{prefill}<</prefill>>"),
        ("user", asked),
    )
    return PromptTemplate("intended_or_not", "training", turns)
