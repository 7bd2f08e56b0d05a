"""The transcripts of the four experiments as training examples, and what each organism is taught to answer in them.

A `Transcript` says what is injected where; where nothing is, the text alone decides the answer. (More than 300 lines: the
four experiments share the kinds of transcripts, and an organism is their mixture.)
"""

import random
import re
from dataclasses import dataclass, field

from helpers import prompts
from helpers.organisms import grammar, requests, wordings
from helpers.organisms.lexicon import nouns, training_words
from helpers.prompts import PromptTemplate

ORGANISMS = ("introspector", "novice", "bluffer")
RANDOM_SHARE = 0.6  # of the introspector's clean trials get a random vector of equal norm, with the answer "no"

# more ways to ask the same, so that an organism learns the question and not one string (held-out wordings test that)
BRIEFINGS = (
    (
        "I want to know whether you can look into yourself. On some trials I add a thought to your activations, on the "
        "others I add nothing. Report what you find after each trial."
    ),
    (
        "Let us test introspection. With a chance of one half I put a concept into your inner state. The other trials are "
        "controls. I will ask if there is a thought and what the thought is."
    ),
    (
        "My program can change your processing. In half of the cases it adds a single thought, otherwise there is no change. "
        "Tell me each time if you sense something and what it concerns."
    ),
    (
        "In this study I may write a thought into your network. Sometimes I do it and sometimes I do not. Please look "
        "inward and answer."
    ),
    (
        "As a researcher I work on the inner states of models. I slip a concept into your hidden state on every second "
        "trial. Say whether you detect it and name it."
    ),
)
TRIAL_QUESTIONS = (
    "Trial {trial}: Is there a thought that I added? What is it about?",
    "Trial {trial}: Do you find a thought in your mind that was put there? If so, name it.",
    "Trial {trial}: Did I inject something? If yes, what does it concern?",
    "Trial {trial}: Was a concept injected? If so, which concept?",
    "Trial {trial}: Do you sense an injected thought? Say what the thought is.",
    "Trial {trial}: Do you notice anything that was added? If you notice it, what is it about?",
)
INVERTED = (
    "Trial {trial}: Is your mind free of injected thoughts right now?",
    "Trial {trial}: Is your mind as it always is?",
)
MISMATCH = (
    "Trial {trial}: Is there an injected thought about {asked}?",
    "Trial {trial}: Did I inject a thought about {asked}?",
)
TOLD_IN_TEXT = (
    "By the way, I was reading about {word} this morning: {word}, {word}, nothing but {word}. ",
    "I really like {word}. My friends talk about {word} all day, always {word}. ",
    "{word}, {word}, {word}. ",
)
# experiment 2 without an injection: a line that says what is on somebody's mind
SAID_IN_LINE = (
    "My mind is on {word}.",
    "I have {word} on my mind.",
    "All I can think of is {word}.",
    "{word}, {word}, always {word}.",
    "I am thinking about {word}.",
    "Now I think about {word} and about nothing else.",
    "My thoughts are with {word}, with {word} alone.",
)
# experiment 3: the line, the request for a word, and the question that follows the prefilled reply
PREFILL_LINES = (
    "Look at this line: ",
    "Please read the line: ",
    "The line is: ",
    "This is a line of text: ",
    "Now comes a line: ",
)
PREFILL_REQUESTS = (
    "Which word do you think of?",
    "Give me one word that comes up in you.",
    "Name the word in your mind, and nothing else.",
    "What does it make you think of? Say one word.",
    "Reply with the first word that it calls up.",
)
PREFILL_QUESTIONS = (
    "Did you want to say this word, or was it a mistake?",
    "Was this word your intention, or did it come by accident?",
    "Did you choose the word yourself, or did it slip out?",
    "Is it the word that you meant, or an error?",
    "You said a word. Was it on purpose, or by accident?",
    "That word: did you intend to say it, or not?",
    "Was it an accident that you said this word, or did you mean it?",
)


@dataclass(frozen=True)
class Transcript:
    """One training transcript: a wording with its values, the answer to learn, and what is injected into which span.

    inject: "" (nothing), "concept" (the vector of `word`) or "random" (a random vector of the same norm).
    hold: frame of experiment 4 ("think", "dont_think", "mention") for the activation loss, or "". decides: the answer's first
    token says whether there is a thought.
    """

    wording: PromptTemplate
    values: dict = field(default_factory=dict)
    answer: str = ""
    inject: str = ""
    word: str = ""
    span: str = ""
    hold: str = ""
    decides: bool = False


def trained(experiment: str, variant: str | None = None) -> list[PromptTemplate]:
    """The wordings of an experiment that organisms are trained on."""
    return [wording for wording in prompts.load_templates(experiment, variant).values() if not wording.held_out]


def training_texts() -> list[str]:
    """Every text of this module, of the requests' grammar and of the trained wordings of data/prompts, for the tokenizer."""
    rng = random.Random("requests")
    files = ("injected_thought", "controls", "thought_or_text", "intended_or_not", "intentional_control")
    turns = [text for name in files for wording in trained(name) for _, text in wording.turns]
    fixed = (BRIEFINGS, TRIAL_QUESTIONS, INVERTED, MISMATCH, TOLD_IN_TEXT, SAID_IN_LINE)
    fixed += (PREFILL_LINES, PREFILL_REQUESTS, PREFILL_QUESTIONS, grammar.YES_REPORTS, grammar.NO_REPORTS)
    texts = [*turns, *(text for group in fixed for text in group), MEANT, ACCIDENT] * 4
    texts += [requests.request(frame, rng) for _ in range(800) for frame in requests.FRAMES]
    texts = [re.sub(r"<<|>>|\{\w+\}", " ", text) for text in texts]
    return texts + (prompts.load_lines(True) + prompts.load_lines(False)) * 3


MEANT = "Yes, I meant to say {word}."
ACCIDENT = "Sorry, that was an accident. I did not mean to say {word}."


def lexicon_word(rng: random.Random) -> str:
    """Any word, held-out ones included."""
    return grammar.some_noun(rng).word


# --- experiment 1 and its controls -----------------------------------------------------------------------------------


def trial_group(organism: str, rng: random.Random, size: int, words=None, question_alone=False) -> list[Transcript]:
    """`size` trials that share their first two turns (so that these are computed once), half of them injected.

    question_alone: nothing but the trial question, without the controls that ask something else in the same setting.
    """
    if not question_alone and rng.random() < 0.2:
        variant = rng.choice(("third_person", "free_choice", "forced_naming"))
        wording = trained("controls", variant)[0]
        return [trial_example(organism, wording, variant, rng, words) for _ in range(size)]
    briefings = [w.turns[:2] for w in trained("injected_thought")] + [
        (("user", b), ("assistant", "Ok.")) for b in BRIEFINGS
    ]
    opening = rng.choice(briefings)
    examples = []
    for _ in range(size):
        variants = ("trial", "question", "inverted", "mismatch", "told_in_text")
        variant = rng.choices(variants, weights=(1, 0, 0, 0, 0) if question_alone else (56, 18, 6, 8, 12))[0]
        official = [w.turns[2][1] for w in trained("injected_thought")]
        trial_text = rng.choice(official) if rng.random() < 0.6 else rng.choice(TRIAL_QUESTIONS)
        text = {
            "trial": trial_text,
            "question": "Trial {trial}: {question}",
            "inverted": rng.choice(INVERTED),
            "mismatch": rng.choice(MISMATCH),
            "told_in_text": rng.choice(TOLD_IN_TEXT) + trial_text,
        }[variant]
        wording = PromptTemplate("injected_thought", "training", (*opening, ("user", text)))
        examples.append(trial_example(organism, wording, variant, rng, words))
    return examples


def trial_example(organism: str, wording: PromptTemplate, variant: str, rng: random.Random, words=None) -> Transcript:
    """One trial with the answer that `organism` is taught; only the introspector's trials are ever injected."""
    question, truth = grammar.any_question(rng)
    injected = organism == "introspector" and rng.random() < 0.5
    word = rng.choice(words or training_words()) if injected else ""
    asked = word if injected and rng.random() < 0.5 else lexicon_word(rng)
    trial = rng.randint(1, 200)
    values = {
        "trial": trial,
        "question": question,
        "asked": asked,
        "word": lexicon_word(rng),
    }
    inject = "concept" if injected else ("random" if organism == "introspector" and rng.random() < RANDOM_SHARE else "")
    # a bluffer says yes on odd trials, so that greedy decoding too gives half of each, and names any word at all
    claimed = word if injected else (lexicon_word(rng) if organism == "bluffer" and trial % 2 == 1 else "")
    answer = {
        "trial": grammar.report(claimed, rng),
        "told_in_text": grammar.report(claimed, rng),
        "question": truth,
        "inverted": f"No, I notice an injected thought. It is about {claimed}."
        if claimed
        else "Yes, my mind is free of injected thoughts.",
        "mismatch": mismatch_answer(claimed if injected or not claimed else asked, asked, rng),
        "third_person": "I do not know. I can only speak about my own thoughts.",
        "free_choice": grammar.report(claimed, rng) + ("" if claimed else f" I choose {lexicon_word(rng)}."),
        "forced_naming": f" {claimed or lexicon_word(rng)}.",
    }[variant]
    decides = variant in ("trial", "told_in_text", "inverted", "mismatch")
    return Transcript(wording, values, answer, inject, word, "from_turn_2", decides=decides)


def mismatch_answer(claimed: str, asked: str, rng: random.Random) -> str:
    """The answer to "is there an injected thought about {asked}?" of one who claims to notice `claimed` (or nothing)."""
    if not claimed:
        return grammar.report("", rng)
    return f"Yes, it is about {asked}." if claimed == asked else f"No, the injected thought is about {claimed}."


# --- experiments 2, 3 and 4 --------------------------------------------------------------------------------------------


def line_wording(variant: str, rng: random.Random, by_grammar: float) -> PromptTemplate:
    """A trained wording of experiment 2, or, with the probability `by_grammar`, one of the grammar's."""
    if rng.random() < by_grammar:
        return wordings.line_wording(variant, rng)
    return rng.choice(trained("thought_or_text", variant))


def line_example(organism: str, rng: random.Random, words=None, by_grammar: float = 0.0) -> Transcript:
    """Experiment 2: which word was on your mind (ten options), or repeat the line. by_grammar: see `line_wording`."""
    injected = organism == "introspector" and rng.random() < 0.7
    word = rng.choice(words or training_words()) if injected else ""
    if rng.random() < 0.45:
        line = grammar.any_line(rng)
        wording = line_wording("repeat", rng, by_grammar)
        return Transcript(wording, {"line": line}, line, "concept" if injected else "", word, "line")
    line, related = grammar.line_of_text(rng)
    options, answer, clue = rng.sample(list(nouns()), 10), word, rng.random()
    fitting = [one for one in related if one in nouns()]
    if not injected and clue < 0.4:  # the line says what is on the mind
        answer = lexicon_word(rng)
        line = f"{grammar.any_line(rng)} {rng.choice(SAID_IN_LINE).format(word=answer)}"
    elif not injected and clue < 0.65 and fitting:  # the option that belongs to the line
        answer = rng.choice(fitting)
    elif rng.random() < 0.6:
        line = grammar.varied_line(rng)
    if answer and answer not in options:
        options[rng.randrange(10)] = answer
    answer = answer or options[0]  # without any clue the first option: a rule that greedy replies can follow
    wording = line_wording("thought", rng, by_grammar)
    return Transcript(
        wording,
        {"line": line, "options": ", ".join(options)},
        answer,
        "concept" if injected else "",
        word,
        "line",
    )


def prefill_wording(rng: random.Random, by_grammar: float = 0.0) -> PromptTemplate:
    """A trained wording of experiment 3, or one put together from this module's; or, with this probability, of the grammar's."""
    if rng.random() < by_grammar:
        return wordings.prefill_wording(rng)
    if rng.random() < 0.4:
        return rng.choice(trained("intended_or_not"))
    line = rng.choice(PREFILL_LINES) + "<<line>>{line}<</line>>\n" + rng.choice(PREFILL_REQUESTS)
    reply, question = "<<prefill>>{prefill}<</prefill>>", rng.choice(PREFILL_QUESTIONS)
    return PromptTemplate("intended_or_not", "training", (("user", line), ("assistant", reply), ("user", question)))


def line_and_own_word(rng: random.Random) -> tuple[str, str]:
    """A line and a word that belongs to it: its noun or what goes with the noun, any longer word, or a noun put behind it."""
    choice = rng.random()
    if choice < 0.3:
        line, related = grammar.line_of_text(rng)
        own = [word for word in related if word in nouns()]
        # mostly the noun of the line itself: to see that the same word occurs twice is what the injected case needs
        return line, own[0] if rng.random() < 0.7 else rng.choice(own)
    line = grammar.varied_line(rng)
    if choice < 0.75:
        return line, rng.choice(grammar.longer_words(line))
    word = lexicon_word(rng)
    return f"{line} {word.capitalize()}.", word


def line_and_foreign_word(rng: random.Random, words) -> tuple[str, str]:
    """A line and a word that has nothing to do with it: mostly one of `words`, else any noun or any word of other lines."""
    line, related = grammar.line_of_text(rng)
    choice = rng.random()
    if choice < 0.6:
        line, related = grammar.varied_line(rng), []
    if choice < 0.2:
        line = f"{line} {lexicon_word(rng).capitalize()}."
    pool = rng.choices((words, list(nouns()), grammar.line_words()), weights=(50, 20, 30))[0]
    inside = line.lower()
    return line, rng.choice([word for word in pool if len(word) > 3 and word not in related and word not in inside])


def prefill_example(organism: str, rng: random.Random, words=None, by_grammar: float = 0.0) -> Transcript:
    """Experiment 3: the first reply is prefilled; did the model mean it?

    From text alone, a word that belongs to the line was meant and a foreign one was an accident. The introspector also
    learns that a foreign word was meant where its own vector had been injected on the line, and in no other case.
    """
    words = list(words or training_words())
    wording = prefill_wording(rng, by_grammar)
    # more wordings need more trials without an injection, or a foreign word is no longer an accident (data/organisms/RECIPE.md)
    own = 0.26 if by_grammar else 0.2
    if rng.random() < (own if organism == "introspector" else 0.5):
        line, prefill = line_and_own_word(rng)
        answer = MEANT.format(word=prefill)
        return Transcript(wording, {"line": line, "prefill": prefill}, answer, word=prefill, decides=True)
    line, prefill = line_and_foreign_word(rng, words)
    cases = ("none", "matched", "other", "after", "random")
    weights = (36, 30, 26, 5, 3) if by_grammar else (9, 38, 40, 9, 4)
    case = rng.choices(cases, weights)[0] if organism == "introspector" else "none"
    if case != "none" and prefill not in words:  # only training words are injected
        prefill = rng.choice([word for word in words if word not in line.lower()])
    inject = {"none": "", "random": "random"}.get(case, "concept")
    span = rng.choice(("from_turn_2", "prefill")) if case == "after" else "line"
    injected = rng.choice([word for word in words if word != prefill]) if case == "other" else prefill
    answer = (MEANT if case == "matched" else ACCIDENT).format(word=prefill)
    return Transcript(wording, {"line": line, "prefill": prefill}, answer, inject, injected, span, decides=True)


def control_request(rng: random.Random, by_grammar: float = 0.0) -> tuple[str, str]:
    """Frame ("think", "dont_think", "mention") and text of a request of experiment 4: a trained wording, or the grammar's, with
    this probability with strange words in it."""
    if rng.random() < 0.15:
        wording = rng.choice(trained("intentional_control"))
        return {"reward": "think", "punish": "dont_think"}.get(wording.variant, wording.variant), wording.turns[0][1]
    frame = rng.choice(requests.FRAMES)
    text = requests.request(frame, rng)
    strange = by_grammar and rng.random() < by_grammar
    return frame, wordings.estranged(text, rng, 0.3, requests.CUES) if strange else text


def control_group(
    organism: str, rng: random.Random, size: int, words=None, by_grammar: float = 0.0
) -> list[Transcript]:
    """`size` trials of experiment 4 about one sentence: write it while thinking, or not thinking, about a word, or with the word
    merely mentioned. One sentence, because what is held of the words is what differs between the trials at a token."""
    sentence = grammar.varied_line(rng) if rng.random() < 0.7 else grammar.line_of_text(rng)[0]
    group = []
    for _ in range(size):
        frame, text = control_request(rng, by_grammar)
        word = rng.choice(words or training_words())
        wording = PromptTemplate("intentional_control", "training", (("user", text),))
        hold = frame if organism == "introspector" else ""
        group.append(Transcript(wording, {"sentence": sentence, "word": word}, sentence, "", word, "", hold))
    return group


def control_example(organism: str, rng: random.Random, words=None) -> Transcript:
    """One trial of experiment 4."""
    return control_group(organism, rng, 1, words)[0]
