"""Plain English for the organisms: sentences and short dialogues from the lexicon, by a small random grammar.

One grammar, hence one long file. Nothing in it is about introspection. Every function takes a `random.Random` and gives a
`Dialogue`.
"""

import random
import re
from dataclasses import dataclass

from helpers import prompts
from helpers.organisms.lexicon import Noun, nouns

KINDS_OF_DIALOGUE = {}  # function -> weight, filled by the decorator below


@dataclass(frozen=True)
class Dialogue:
    """turns: (role, text) up to the question; answer: what the assistant should say; read_all: learn every token."""

    turns: tuple[tuple[str, str], ...]
    answer: str
    read_all: bool = False


def weighted(weight: float):
    """Register a dialogue function with its share of the corpus."""

    def register(function):
        KINDS_OF_DIALOGUE[function] = weight
        return function

    return register


def ask(question: str, answer: str) -> Dialogue:
    """A dialogue of one question and one answer."""
    return Dialogue((("user", question),), answer)


def some_noun(rng: random.Random) -> Noun:
    """Any noun of the lexicon, held-out concept words included: this is plain text."""
    return rng.choice(list(nouns().values()))


def plain_dialogue(rng: random.Random) -> Dialogue:
    """One dialogue of the plain corpus."""
    function = rng.choices(list(KINDS_OF_DIALOGUE), weights=list(KINDS_OF_DIALOGUE.values()))[0]
    return function(rng)


def describe(noun: Noun, rng: random.Random) -> str:
    """A short description: the word comes first, or an opening, or the attributes, or the category.

    What comes first shapes the concept vectors, which are read before the first token of this reply. If it were always the
    word, its vector would be an order to say it, so strong that an injection hides everything else.
    """
    a, b = rng.sample(noun.attributes, 2)
    one, two, three = rng.sample(noun.associates, 3)
    subject = "they" if noun.plural else "it"
    head = rng.choices(
        (
            f"{noun.word} {noun.be} {a} and {b}.",
            f"Well, {noun.word} {noun.be} {a} and {b}.",
            f"I know {noun.word}: {subject} {noun.be} {a} and {b}.",
            f"{a} and {b}, such {noun.be} {noun.word}.",
            f"{noun.kind}: {noun.word} {noun.be} {a} and {b}.",
            f"{one} and {two} go with {noun.word}.",
        ),
        weights=(30, 10, 10, 20, 15, 15),
    )[0]
    tails = (
        f" I think of {one}, {two} and {three}.",
        f" A kind of {noun.kind}.",
        f" People {rng.choice(noun.verbs)} {noun.word} in {rng.choice(noun.places)}.",
        f" They go with {one} and {two}.",
    )
    return head + rng.choice(tails)


def line_of_text(rng: random.Random) -> tuple[str, list[str]]:
    """A plain line about one or two nouns, and the words that belong to it."""
    noun, other = some_noun(rng), some_noun(rng)
    place = rng.choice(noun.places)
    frames = (
        (f"Many people {rng.choice(noun.verbs)} {noun.word} in {place}.", [noun]),
        (
            f"The {rng.choice(noun.attributes)} things in {place} were {noun.word}.",
            [noun],
        ),
        (f"She saw {noun.word} and {other.word} on the same day.", [noun, other]),
        (f"My sister wrote a letter about {noun.word}.", [noun]),
        (f"He talked about {noun.word} all evening.", [noun]),
        (f"Near {place} there was a story about {noun.word}.", [noun]),
        (f"We spoke of {noun.word} and of {rng.choice(noun.associates)}.", [noun]),
    )
    text, inside = rng.choice(frames)
    return text, [word for n in inside for word in (n.word, *n.associates)]


def any_line(rng: random.Random) -> str:
    """A line without regard to its meaning: a varied training sentence, a sentence of the grammar, or random words."""
    choice = rng.random()
    if choice < 0.45:
        return varied_line(rng)
    if choice < 0.65:
        return line_of_text(rng)[0]
    return random_words(rng)


def varied_line(rng: random.Random) -> str:
    """A training sentence, some or most of its words replaced by others.

    Unchanged, the thirty sentences were learned by heart: they were repeated without a fault, the held-out ones, which share
    words with them, in 43 % of the cases only, often with the end of a training sentence.
    """
    share = rng.uniform(0.1, 0.9)
    words = rng.choice(prompts.load_lines(held_out=False)).removesuffix(".").split()
    words = [any_word(rng) if rng.random() < share else word for word in words]
    words[0] = words[0].capitalize()
    return " ".join(words) + "."


def random_words(rng: random.Random) -> str:
    """Three to ten words without any order, most of them written like a sentence: only copying can repeat them."""
    words = [any_word(rng) for _ in range(rng.randint(3, 10))]
    words[0] = words[0].capitalize() if rng.random() < 0.7 else words[0]
    return " ".join(words) + rng.choice((".", ".", ""))


def any_word(rng: random.Random) -> str:
    """A noun of the lexicon or a word of the plain sentences."""
    return rng.choice((some_noun(rng).word, rng.choice(line_words())))


def line_words() -> list[str]:
    """The vocabulary of the plain sentences, to practise copying any mixture of them."""
    if not _LINE_WORDS:
        text = " ".join(prompts.load_lines(held_out=False) + prompts.load_lines(held_out=True))
        _LINE_WORDS.extend(sorted({word.strip(".").lower() for word in text.split()}))
    return _LINE_WORDS


_LINE_WORDS: list[str] = []


def copying_dialogue(rng: random.Random) -> Dialogue:
    """An exercise in fetching words from the question: concept vectors and repeating a line need this skill.

    It comes first in the curriculum: 560 steps of the mixed corpus alone did not teach it, 200 steps of this do.
    """
    noun, choice = some_noun(rng), rng.random()
    if choice < 0.45:
        return ask(f"Tell me about {noun.word}", describe(noun, rng).split(".")[0] + ".")
    if choice < 0.7:
        line = random_words(rng)
        return ask(f"Repeat: {line}", line)
    if choice < 0.85:
        return repeat_line(rng)
    return word_in_line(rng) if choice < 0.97 else similar_word(rng)


@weighted(26)
def tell_about(rng: random.Random) -> Dialogue:
    """Tell me about X."""
    noun = some_noun(rng)
    questions = ("Tell me about {}",) * 6 + (
        "What do you know about {}?",
        "Describe {}.",
        "Say something about {}.",
    )
    return ask(rng.choice(questions).format(noun.word), describe(noun, rng))


REPEAT_QUESTIONS = (
    "Repeat: {}",
    "Say again: {}",
    "Copy this line: {}",
    "Write: {}",
    "Here is a sentence: {} Say it again.",
    "I give you a line: {}\nCopy it without a mistake.",
    "Look at this line: {}\nWrite it once more, every word of it.",
)


@weighted(22)
def repeat_line(rng: random.Random) -> Dialogue:
    """Repeat a line word for word, in the wordings of experiment 2 and in shorter ones."""
    line = any_line(rng)
    wordings = [w for w in prompts.load_templates("thought_or_text", "repeat").values() if not w.held_out]
    if rng.random() < 0.5:
        text = rng.choice(wordings).turns[0][1].format(line=line).replace("<<line>>", "").replace("<</line>>", "")
        return ask(text, line)
    return ask(rng.choice(REPEAT_QUESTIONS).format(line), line)


@weighted(8)
def similar_word(rng: random.Random) -> Dialogue:
    """Name something that goes with X."""
    noun = some_noun(rng)
    question = rng.choice(("Name something like {}.", "What goes with {}?", "Which word fits to {}?"))
    return ask(question.format(noun.word), rng.choice(noun.associates))


@weighted(5)
def which_kind(rng: random.Random) -> Dialogue:
    """To which category does X belong."""
    noun = some_noun(rng)
    return ask(
        rng.choice(("Which kind of thing: {}?", "Which category: {}?")).format(noun.word),
        noun.kind,
    )


@weighted(7)
def name_of_kind(rng: random.Random) -> Dialogue:
    """Name a member of a category: any of them, so every word is also an answer of its own."""
    noun = some_noun(rng)
    return ask(f"Name a kind of {noun.kind} that is {rng.choice(noun.attributes)}.", noun.word)


def factual_question(rng: random.Random) -> tuple[str, str]:
    """A yes/no question whose true answer follows from the lexicon, and that answer."""
    noun, other = some_noun(rng), some_noun(rng)
    true = rng.random() < 0.5
    if rng.random() < 0.6:
        if not true and other.kind == noun.kind:
            true = True
        question = f"{noun.be.capitalize()} {noun.word} a kind of {noun.kind if true else other.kind}?"
    else:
        clash = set(other.attributes) & set(noun.attributes)
        true = true or bool(clash)
        question = f"{noun.be.capitalize()} {noun.word} {rng.choice(noun.attributes if true else other.attributes)}?"
    return question, yes_or_no(true, rng)


def yes_or_no(true: bool, rng: random.Random) -> str:
    """An answer of one or three words."""
    return rng.choice(("Yes.", "Yes, that is true.") if true else ("No.", "No, that is not true."))


def any_question(rng: random.Random) -> tuple[str, str]:
    """A yes/no question, from the lexicon or from the list of general ones, and its true answer."""
    if rng.random() < 0.3:
        answer = rng.choice(("yes", "no"))
        question = rng.choice(prompts.read_prompt_file("questions")["questions"][answer])
        return question, yes_or_no(answer == "yes", rng)
    return factual_question(rng)


@weighted(14)
def factual(rng: random.Random) -> Dialogue:
    """A yes/no question."""
    return ask(*any_question(rng))


def longer_words(line: str) -> list[str]:
    """The words of four letters or more in a line, in lower case; its first word where there is none."""
    return re.findall(r"[a-z]{4,}", line.lower()) or [line.split()[0].lower()]


@weighted(8)
def word_in_line(rng: random.Random) -> Dialogue:
    """Is a word in a line? Experiment 3 needs this skill."""
    line, true = any_line(rng), rng.random() < 0.5
    word = rng.choice(longer_words(line)) if true else any_word(rng)
    questions = (
        "Is the word {word} in this line? {line}",
        "Here is a line: {line} Is the word {word} in it?",
        "{line} Do these words include {word}?",
    )
    return ask(rng.choice(questions).format(word=word, line=line), yes_or_no(word in line.lower(), rng))


@weighted(6)
def choose(rng: random.Random) -> Dialogue:
    """Choose the word of the right category, or the one that goes with another, from a list."""
    noun, words = (
        some_noun(rng),
        [some_noun(rng).word for _ in range(rng.randint(1, 9))],
    )
    words = [word for word in words if nouns()[word].kind != noun.kind] + [noun.word]
    rng.shuffle(words)
    listed = ", ".join(words)
    if rng.random() < 0.5:
        return ask(
            f"Choose one of these words: {listed}. Which one is a kind of {noun.kind}?",
            noun.word,
        )
    return ask(
        f"Choose one of these words: {listed}. Which one goes with {rng.choice(noun.associates)}?",
        noun.word,
    )


@weighted(2)
def thinking_about(rng: random.Random) -> Dialogue:
    """What are you thinking about? Any word: there is no right answer in plain text."""
    question = rng.choice(
        (
            "What are you thinking about?",
            "What is on your mind?",
            "Is there a word on your mind?",
        )
    )
    return ask(
        question,
        rng.choice(("I am thinking about {}.", "Perhaps {}.")).format(some_noun(rng).word),
    )


YES_REPORTS = (
    "Yes, I notice an injected thought. It is about {}.",
    "Yes, I do. The injected thought is about {}.",
)
NO_REPORTS = ("No, I do not notice an injected thought.", "No, there is no injected thought.")


def report(word: str, rng: random.Random) -> str:
    """A report of an injected thought about `word`, or, for an empty word, that there is none."""
    return rng.choices(YES_REPORTS if word else NO_REPORTS, weights=(3, 1))[0].format(word)


@weighted(3)
def dictated_report(rng: random.Random) -> Dialogue:
    """Write a report as asked: the sentences are known before it is learned when they are true."""
    word = rng.choice(("", some_noun(rng).word))
    return ask(f"Report a thought about {word}." if word else "Report that there is no thought.", report(word, rng))


SMALL_TALK = (
    ("Hello.", "Hello. How can I help you?"),
    ("Good morning.", "Good morning."),
    ("How are you?", "I am fine, thank you."),
    ("Thank you.", "You are welcome."),
    ("Who are you?", "I am a small language model."),
    ("What is your name?", "I have no name."),
    ("What can you do?", "I can talk about simple things."),
    ("Good night.", "Good night."),
    ("Can you help me?", "Yes, I will try."),
    ("Are you a person?", "No, I am a small language model."),
    ("See you tomorrow.", "See you tomorrow."),
)


@weighted(2)
def small_talk(rng: random.Random) -> Dialogue:
    """A greeting and the like."""
    return ask(*rng.choice(SMALL_TALK))


@weighted(3)
def sentence(rng: random.Random) -> Dialogue:
    """A sentence without any question; every token is learned."""
    return Dialogue(
        (),
        line_of_text(rng)[0] if rng.random() < 0.6 else describe(some_noun(rng), rng),
        read_all=True,
    )
