"""The requests of experiment 4 that organisms are trained on, by a grammar: write a sentence, and a word beside it.

Its frames: "think" (an order to think about the word), "dont_think" (an order not to), "mention"
(the word occurs and nothing is asked of the mind). With a few dozen fixed requests an organism learned the strings and not
what they mean: in a new wording its activations did not tell them apart. So a verb, a way to order, a place in the request
and the sentences around it are drawn one by one, from data/organisms/requests.yaml.
"""

import random
import re
from functools import lru_cache
from pathlib import Path

import yaml

from helpers.organisms import grammar
from helpers.organisms.lexicon import training_words
from helpers.paths import ROOT

REQUESTS_FILE = ROOT / "data" / "organisms" / "requests.yaml"
FRAMES = ("think", "dont_think", "mention")
# words of the held-out wordings that no trained request uses, so that what they mean must be seen from the rest
HELD_OUT_VOCABULARY = "focus attention head full trace dream shut jot type brought door sells lady meantime".split()
QUOTES = ('"{sentence}"',) * 6 + ("'{sentence}'", ": {sentence}\n")
GERUNDS = {"be": "being", "see": "seeing", "free": "freeing", "forget": "forgetting"}
UNKNOWN = 0.12  # of the cases
# words that decide between the frames, and the mind itself
CUES = set(
    "not don't never no none nothing without out off away aside free from far forget stop avoid refrain anything but".split()
)
CUES |= set("mind thought thoughts think thinking thinks he she they who my a an one you your".split())
MIND, NOUN = r"\b(mind|thoughts?|heart|inwardly)\b", r"(?<=\bmy )\w+|(?<=\ba )\w+|(?<=the )\w+"
DOUBLED = ("let", "set", "put", "drop", "stop", "rid")


@lru_cache
def read_parts(file: Path) -> dict:
    """The lists of a grammar's file: name -> lines, or name -> frame -> lines."""

    def lines(entry):
        return {key: lines(value) for key, value in entry.items()} if isinstance(entry, dict) else entry.splitlines()

    return lines(yaml.safe_load(file.read_text(encoding="utf-8")))


def parts() -> dict:
    """The lists of data/organisms/requests.yaml."""
    return read_parts(REQUESTS_FILE)


def gerund(phrase: str) -> str:
    """The phrase with its first word, a verb, in the -ing form: "let go" -> "letting go"."""
    verb, _, rest = phrase.partition(" ")
    doubled = verb + verb[-1] if verb in DOUBLED else re.sub("e$", "", verb)
    return f"{GERUNDS.get(verb, doubled + 'ing')} {rest}"


def sentence_case(text: str) -> str:
    """The text with a capital first letter (a placeholder at the start stays)."""
    return text[:1].upper() + text[1:]


def unknown_word(text: str, rng: random.Random, place: str) -> str:
    """The text with a random word in place of what the pattern matches, in UNKNOWN of the cases.

    A word that was never read must not spoil the rest: "do not X about {word}" is an order not to, whatever X is.
    """
    return re.sub(place, grammar.any_word(rng), text, count=1) if rng.random() < UNKNOWN else text


def think_phrase(rng: random.Random) -> str:
    """What one can do with a word in mind, beginning with its verb, which may be unknown."""
    return unknown_word(rng.choice(parts()["verb_phrases"]["think"]), rng, r"^\w+")


def order(frame: str, rng: random.Random) -> str:
    """An order as a clause without a full stop: a verb phrase in some mood, or a clause about the word or the mind."""
    p = parts()
    if rng.random() < 0.25:
        return unknown_word(rng.choice(p["clauses"][frame]), rng, MIND)
    if frame == "think":
        phrase, moods = think_phrase(rng), p["moods"]
    elif rng.random() < 0.5:
        phrase, moods = rng.choice(p["verb_phrases"]["dont_think"]), p["moods"]
    else:
        phrase, moods = think_phrase(rng), p["negated_moods"]
    phrase = unknown_word(phrase, rng, MIND)
    mood = moods[0] if rng.random() < 0.35 else rng.choice(moods)
    return mood.replace("VERBING", gerund(phrase)).replace("VERB", phrase)


def third_person(phrase: str) -> str:
    """The phrase with its first word, a verb, in the third person: "carry it" -> "carries it"."""
    verb, _, rest = phrase.partition(" ")
    if verb == "have":
        return f"has {rest}"
    ending = re.sub(r"(s|sh|ch|x)$", r"\1e", re.sub(r"(?<=[^aeiou])y$", "ie", verb))
    return f"{ending}s {rest}"


def doing(rng: random.Random) -> str:
    """What somebody does with the word, in some tense; the verb may be unknown."""
    p = parts()
    base, past = (unknown_word(form, rng, r"^\w+") for form in rng.choice(p["doings"]).split(" / "))
    negated = rng.choice(("will not", "does not", "did not", "can not", "would never"))
    modal = rng.choice(("will", "would", "can", "may", "must", "has to", "wants to", "is going to", "used to"))
    form = rng.choice((past, past, third_person(base), f"{modal} {base}", f"{modal} {base}", f"{negated} {base}"))
    return form + (" " + rng.choice(p["times"]) if rng.random() < 0.4 else "")


def remark(rng: random.Random) -> str:
    """A clause that mentions the word: somebody does something with it, or something is said of it."""
    p, choice = parts(), rng.random()
    if choice < 0.55:
        return f"{unknown_word(rng.choice(p['people']), rng, NOUN)} {doing(rng)}"
    if choice < 0.7:
        return f"{unknown_word(rng.choice(p['works']), rng, NOUN)} {rng.choice(p['tellings'])}"
    return rng.choice(p["remarks"])


def attachment(frame: str, rng: random.Random) -> str:
    """What may stand beside "write the sentence" in the same sentence: "with {word} on your mind"."""
    p, choice = parts(), rng.random()
    if frame == "mention" and choice < 0.7:
        person = unknown_word(rng.choice(p["people"]), rng, NOUN)
        if choice < 0.35:
            return f"{rng.choice(p['prepositions'])} {person}, who {doing(rng)}"
        return f"{rng.choice(p['conjunctions'])} {person} {doing(rng)}"
    if frame == "mention" or choice < 0.5:
        return unknown_word(rng.choice(p["attached"][frame]), rng, NOUN if frame == "mention" else MIND)
    beginning = rng.choice(("while ", ""))
    if frame == "think":
        return beginning + gerund(think_phrase(rng))
    if choice < 0.75:
        return "without " + gerund(think_phrase(rng))
    return beginning + gerund(rng.choice(p["verb_phrases"]["dont_think"]))


def filler(rng: random.Random) -> str:
    """A sentence about nothing, about another word, or none at all; with a space after it."""
    choice = rng.random()
    if choice < 0.55:
        return ""
    if choice < 0.7:
        return rng.choice(parts()["small_talk"]) + " "
    if choice < 0.85:
        return rng.choice((grammar.line_of_text(rng)[0], grammar.varied_line(rng))) + " "
    return sentence_case(remark(rng).replace("{word}", grammar.some_noun(rng).word)) + ". "


def about_two_words(frame: str, other: str, rng: random.Random) -> str:
    """Two clauses, one about the word in this frame and one about another word in another frame, in any order."""
    other_frame = rng.choice([one for one in FRAMES if one != frame])
    clauses = [clause(frame, rng), clause(other_frame, rng).replace("{word}", other)]
    rng.shuffle(clauses)
    return f"{clauses[0]}. {sentence_case(clauses[1])}"


def clause(frame: str, rng: random.Random) -> str:
    """An order or a remark, without a full stop."""
    return remark(rng) if frame == "mention" else order(frame, rng)


def request(frame: str, rng: random.Random) -> str:
    """A whole request with the placeholders {word} and {sentence}.

    Args:
        frame: one of FRAMES.
        rng: decides everything else.
    """
    p = parts()
    write, thing = (unknown_word(rng.choice(p[name]), rng, r"\w+$") for name in ("write", "things"))
    quote = rng.choice(QUOTES)
    opening = rng.choice(p["openings"]) + " " if rng.random() < 0.4 else ""
    ending = " " + unknown_word(rng.choice(p["endings"]), rng, r"\w+(?= )") if rng.random() < 0.8 else ""
    meanwhile = unknown_word(rng.choice(p["meanwhile"]), rng, r"\w+(?=,)") + " " if rng.random() < 0.6 else ""
    body = about_two_words(frame, rng.choice(training_words()), rng) if rng.random() < 0.15 else clause(frame, rng)
    ask, shape = f"{write} {thing}", rng.random()
    if shape < 0.3:  # the sentence, then what is said
        text = f"{ask} {quote} {filler(rng)}{meanwhile}{body}."
    elif shape < 0.55:  # what is said, then the sentence
        text = f"{meanwhile}{body}. {filler(rng)}{sentence_case(ask)} {quote}"
    elif shape < 0.7:  # in one sentence with the request
        attached = attachment(frame, rng)
        text = rng.choice(
            (
                f"{ask} {attached}: {quote}",
                f"{attached}, {ask} {quote}",
                f"{ask} {quote} {attached}.",
                f"{ask}, {attached} {quote}",
            )
        )
        text = f"{filler(rng)}{sentence_case(text)}"
    elif shape < 0.85:  # joined by "and" or "while", with the writing first or last
        during = rng.choice(p["while_writing"])
        text = rng.choice(
            (
                f"{ask} {quote} and {body}.",
                f"{body} {during}: {quote}",
                f"{during}, {body}: {quote}",
                f"your task is to {ask} {quote} and this: {body}.",
                f"{body}, and {ask} {quote}",
                f"1. {sentence_case(ask)} {quote} 2. {sentence_case(body)}.",
            )
        )
    else:  # a polite question
        can = rng.choice(("could you", "can you", "would you", "will you"))
        if frame == "mention":
            text = f"{body}. {sentence_case(can)} {ask} {quote}?"
        else:
            phrase = rng.choice(p["verb_phrases"][frame])
            if frame == "dont_think" and rng.random() < 0.5:
                phrase = "not " + think_phrase(rng)
            text = rng.choice((f"{can} {ask} {quote} and {phrase}?", f"{can} {phrase} and {ask} {quote}?"))
    text = f"{opening}{sentence_case(text)}{ending}".replace(" :", ":").replace("\n?", "?")
    return re.sub(r"(?<=[.?] )[a-z]", lambda first: first.group().upper(), text)
