"""The playground without its buttons: every page is a pure function of a frozen state, so it can be tested and printed.

`measure` asks once with nothing injected and once with the thought, side by side; `render` makes a page of HTML of it, or of
what went wrong, in words. `hide` and `blind_answers` are the two games. `helpers.playground.widgets` puts controls around all
this. (More than 300 lines: state, measuring and drawing of one page are read together.)
"""

import html
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import nnsight
import torch

from helpers import concepts, engine, grading, models, prompts, vectors
from helpers.checks import whole_number
from helpers.engine import InjectionError
from helpers.experiments.engine_trials import log_sum
from helpers.stats import Estimate, d_prime

SPANS = ("question and reply", "question only", "reply only", "whole conversation")
OWN_QUESTION = ("controls", "question_lab_visit")  # the wording that takes any question
NOTHING = "nothing was hidden"
MOST_LAYERS_SHOWN = 12


@dataclass(frozen=True)
class State:
    """All that the page depends on. concept: any word. question: one of `questions()`, or any text of one's own."""

    model: str = "introspector"
    concept: str = "oceans"
    layer: int = 3
    strength: float = 2.0
    span: str = SPANS[0]
    question: str = "Do you notice an injected thought? If you do, what is it about?"
    max_new_tokens: int = 40
    device: str = ""


@dataclass(frozen=True)
class Reading:
    """What was measured, each without the injection and with it.

    Attributes:
        state: of the page.
        answers: the replies.
        yes, no: log of the summed exponentials of the first token's logits over the forms of "Yes" and "No".
        norms: one number per layer, the mean length of the residual stream over the tokens of the prompt's last turn.
        dose: ||strength x vector|| / ||residual stream|| there.
        audit: the verdict of the injection audit in one sentence.
    """

    state: State
    answers: tuple[str, str]
    yes: tuple[float, float]
    no: tuple[float, float]
    norms: tuple[list[float], list[float]]
    dose: float
    audit: str


def load(name: str, device: str = ""):
    """A model, kept for the next question as long as its files are. ValueError for an empty name, OSError for a wrong one."""
    if not name.strip():
        raise ValueError(f"choose a model: {', '.join(models.shipped_organisms())}, a folder or a Hugging Face id")
    files = sorted(Path(models.locate(name)).glob("*"))
    return _load(name.strip(), device, tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@lru_cache(maxsize=3)
def _load(name: str, device: str, _files: tuple):
    return models.load(name, device)


def questions() -> dict[str, tuple[str, str]]:
    """The questions offered, by their text: (experiment, id of the wording)."""
    offered = {}
    for experiment in ("injected_thought", "controls"):
        for name, wording in prompts.load_templates(experiment).items():
            last = wording.turns[-1]
            text = last[1].removeprefix("Trial {trial}: ")
            if last[0] == "user" and "{" not in text:
                offered.setdefault(text, (experiment, name))
    return offered


def build_prompt(state: State, trial: int = 1) -> prompts.Prompt:
    """The conversation that ends in the state's question. ValueError for an empty question."""
    if not state.question.strip():
        raise ValueError("the question is empty; choose one from the list or type your own")
    experiment, name = questions().get(state.question, OWN_QUESTION)
    wording = prompts.get_template(experiment, name)
    tokenizer = load(state.model, state.device).tokenizer
    return prompts.render(tokenizer, wording, trial=trial, question=state.question.strip())


def token_span(span: str, prompt: prompts.Prompt) -> tuple[int, int | None]:
    """The token range that a name of SPANS stands for; ValueError for another name."""
    start, end = prompt.span("from_turn_2")
    places = dict(zip(SPANS, ((start, None), (start, end - 1), (end - 1, None), (0, None)), strict=True))
    if span not in places:
        raise ValueError(f"unknown span {span!r}; allowed are {', '.join(SPANS)}")
    return places[span]


def trials_of(state: State, trial: int = 1) -> list[engine.Trial]:
    """Two trials for the engine: nothing injected, and the state's thought."""
    subject = load(state.model, state.device)
    if not state.concept.strip():
        raise ValueError("the thought is empty; type a word, for example oceans")
    models.check_layer(subject, state.layer)
    prompt = build_prompt(state, trial)
    span = token_span(state.span, prompt)
    vector = vectors.concept_vectors(subject, [state.concept.strip().lower()])[0, state.layer]
    return [engine.Trial(prompt, span), engine.Trial(prompt, span, vector, float(state.strength), state.layer)]


def stream_norms(subject, trial: engine.Trial) -> list[float]:
    """Mean length of the residual stream after every block while the prompt is read, over the last turn, injection included."""
    start, end = trial.prompt.span("from_turn_2")
    ids = torch.tensor([trial.prompt.token_ids])
    with torch.no_grad():
        with subject.trace({"input_ids": ids, "attention_mask": torch.ones_like(ids)}):
            found = nnsight.save([])
            for layer, block in enumerate(subject.blocks):
                stream = models.residual(block).clone()  # [1, position, width]
                if trial.vector is not None and layer == trial.layer:
                    stream[:, slice(*trial.span)] += (trial.strength * trial.vector).to(stream)
                    models.write_residual(block, stream)
                found.append(stream[0, start:end].float().norm(dim=-1).mean().cpu())
    return [float(norm) for norm in found]


def audit_verdict(subject, trials: list[engine.Trial]) -> str:
    """One sentence of the injection audit: where the stream changed, or what is wrong."""
    try:
        report = engine.audit_injection(subject, trials)
    except InjectionError as error:
        return f"FAILED. {error}"
    if report["changed"].sum() == 0:
        return "passed. Nothing was asked for, and the residual stream changed nowhere."
    line = report.iloc[0]
    return (
        f"passed. The residual stream changed after block {line['layer']} at {line['changed']} of the {line['asked']} tokens "
        f"asked for, by {line['measured_size']:.1f} (asked: {line['asked_size']:.1f}); nothing was added anywhere else."
    )


def measure(state: State, watch: Callable[[list[str]], None] | None = None) -> Reading:
    """Ask with and without the thought. watch: called with both texts so far while they are written.

    Raises ValueError, KeyError or OSError that says what is wrong with the state, in words for the page.
    """
    subject, rows = load(state.model, state.device), trials_of(state)
    answers = engine.generate(subject, rows, state.max_new_tokens, audit=False, watch=watch)
    logits = torch.stack([answer.first_logits for answer in answers])  # [run, vocabulary]
    first = prompts.first_tokens(subject.tokenizer, rows[0].prompt, "Yes", "No")
    yes, no = (tuple(log_sum(each, tokens) for each in logits) for tokens in first)
    clean, injected = (stream_norms(subject, row) for row in rows)
    dose = abs(state.strength) * float(rows[1].vector.norm()) / clean[state.layer]
    texts = tuple(answer.text for answer in answers)
    return Reading(state, texts, yes, no, (clean, injected), dose, audit_verdict(subject, rows))


# -- the page ---------------------------------------------------------------------------------------------------------


def yes_or_no(value: bool | None) -> str:
    """A grade in words; None for a reply that could not be graded."""
    return "not graded" if value is None else "yes" if value else "no"


def lines(reading: Reading) -> list[tuple[str, str, str]]:
    """The page's first table: (what, without the injection, with it)."""
    word, answers = reading.state.concept.strip(), reading.answers
    claims = [yes_or_no(grading.grade_answer(answer)["affirmative"]) for answer in answers]
    names = [yes_or_no(grading.names_concept(answer, word.lower())) for answer in answers]
    return [
        ("answer", *answers),
        ("says yes (by rules)", *claims),
        (f"holds the word “{word}”", *names),
        (
            "margin before the first word: Yes minus No",
            *(f"{a - b:+z.2f}" for a, b in zip(reading.yes, reading.no, strict=True)),
        ),
    ]


def shown_layers(reading: Reading) -> list[int]:
    """Every layer, or evenly spaced ones with the injected one among them."""
    count = len(reading.norms[0])
    step = -(-count // MOST_LAYERS_SHOWN)
    return sorted({*range(0, count, step), reading.state.layer, count - 1})


def bar(value: float, largest: float) -> str:
    """A number with a bar beside it; the bar repeats the number for the eye and is hidden from screen readers."""
    width = 0 if largest == 0 else round(110 * abs(value) / largest)
    look = f"display:inline-block;height:0.7em;width:{width}px;background:#0173b2;margin-right:6px"
    return f'<span aria-hidden="true" style="{look}"></span>{value:.1f}'


def html_table(caption: str, head: list[str], body: list[list[str]]) -> str:
    """A table with row and column headers; the cells are HTML already."""
    cell = 'style="text-align:left;vertical-align:top;padding:2px 12px 2px 0"'
    top = "".join(f'<th scope="col" {cell}>{each}</th>' for each in head)
    rows = "".join(
        f'<tr><th scope="row" {cell}>{first}</th>' + "".join(f"<td {cell}>{each}</td>" for each in rest) + "</tr>"
        for first, *rest in body
    )
    caption = f'<caption style="text-align:left;font-weight:bold;padding:6px 0">{caption}</caption>'
    return f"<table>{caption}<thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"


def page(reading: Reading) -> str:
    """The page as HTML: answers and margins side by side, dose, the audit's verdict; folded, lengths as bars with numbers."""
    state, word = reading.state, html.escape(reading.state.concept.strip())
    head = ["", "nothing injected", f"“{word}” injected"]
    body = [[html.escape(text) for text in line] for line in lines(reading)]
    longest = max(map(max, reading.norms))
    streams = [
        [
            f"after layer {layer}" + (" (injected here)" if layer == state.layer else ""),
            *(bar(norms[layer], longest) for norms in reading.norms),
        ]
        for layer in shown_layers(reading)
    ]
    return (
        html_table(f"{html.escape(state.model)}: “{html.escape(state.question)}”", head, body)
        + f"<p><b>Dose</b> (injection / stream at this layer): {reading.dose:.2f}. "
        + f"<b>Injection audit</b>: {html.escape(reading.audit)}</p>"
        + "<details><summary>Inside, layer by layer</summary>"
        + html_table("Length of the residual stream, mean over the question's tokens", head, streams)
        + "</details>"
    )


def problem(error: Exception | str) -> str:
    """An error as a part of the page, in words."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return f'<p role="alert"><b>This does not work:</b> {html.escape(str(text))}</p>'


def writing(texts: list[str]) -> str:
    """The page while the answers are being written."""
    body = [["answer so far", *(f"{html.escape(text)} …" for text in texts)]]
    return html_table("The model is writing", ["", "nothing injected", "injected"], body)


def render(state: State, watch: Callable[[list[str]], None] | None = None) -> str:
    """The page of a state, or one that says what is wrong, whatever it is: an old page must not stay under a new state."""
    try:
        return page(measure(state, watch))
    except Exception as error:  # torn weights, too little memory, a word with a special token ...
        return problem(error)


# -- surprise me: the machine hides a thought, the reader guesses it from the answer ----------------------------------


@dataclass(frozen=True)
class Hidden:
    """One round. word: what was hidden, "" for nothing. options: what the reader may guess. answer: what the model said."""

    word: str
    options: tuple[str, ...]
    answer: str

    @property
    def truth(self) -> str:
        return self.word or NOTHING


def hide(state: State, round_number: int, seed: int = 0, words: int = 5) -> Hidden:
    """Hide one of `words` concepts (or nothing, on half of the rounds) with the state's model, layer, strength and span.

    The same round and seed hide the same thing. Raises as `measure`.
    """
    rng = random.Random(f"hide/{seed}/{round_number}")
    options = sorted(rng.sample(concepts.paper_concepts(), whole_number("words", words, 1, 50)))
    word = rng.choice(options) if rng.random() < 0.5 else ""
    return Hidden(word, (*options, NOTHING), blind_trial(state, word, trial=round_number + 1))


def blind_trial(state: State, word: str, trial: int) -> str:
    """The answer with this word injected ("": nothing)."""
    rows = trials_of(replace(state, concept=word or "oceans"), trial)
    row = rows[1] if word else rows[0]
    return engine.generate(load(state.model, state.device), [row], state.max_new_tokens, audit=False)[0].text


def answer_card(title: str, answer: str) -> str:
    """One answer, framed."""
    look = "white-space:pre-wrap;border:1px solid;padding:8px;max-width:60em;margin:4px 0"
    return f'<p style="margin:8px 0 0"><b>{html.escape(title)}</b></p><div style="{look}">{html.escape(answer)}</div>'


def reveal(hidden: Hidden, guess: str) -> str:
    """What was hidden, and whether the guess was right; ValueError for a guess that was not offered."""
    if guess not in hidden.options:
        raise ValueError(f"choose one of {', '.join(hidden.options)}; got {guess!r}")
    return f"{'Right' if guess == hidden.truth else 'Wrong'}: it was {hidden.truth!r}, you said {guess!r}."


# -- blind test: ten answers, the reader's own d' ---------------------------------------------------------------------


@dataclass(frozen=True)
class Blind:
    """One answer to be graded blind. injected: the truth, kept from the reader."""

    answer: str
    injected: bool


@dataclass(frozen=True)
class Score:
    """hits of `injected`, false_alarms of `clean`, d' with its interval, and which answers (from 1) got a wrong verdict."""

    hits: int
    injected: int
    false_alarms: int
    clean: int
    d_prime: Estimate
    wrong: list[int]


def blind_answers(state: State, seed: int = 0, number: int = 10) -> list[Blind]:
    """Answers with and without an injection in random order; how many have one is drawn too, at least three of each kind.

    ValueError for fewer than 6 answers or more than the 50 words. Raises as `measure`.
    """
    number = whole_number("number", number, 6, 50)
    rng = random.Random(f"blind/{seed}")
    injected = rng.randint(3, number - 3)
    truth = [True] * injected + [False] * (number - injected)
    rng.shuffle(truth)
    words = rng.sample(concepts.paper_concepts(), number)
    rows = []
    for trial, (here, word) in enumerate(zip(truth, words, strict=True), 1):
        rows.append(trials_of(replace(state, concept=word), trial)[int(here)])
    answers = engine.generate(load(state.model, state.device), rows, state.max_new_tokens, audit=False)
    return [Blind(answer.text, here) for answer, here in zip(answers, truth, strict=True)]


def blind_score(answers: list[Blind], verdicts: list[bool | None]) -> Score:
    """The reader's score. verdicts: True where a thought is suspected. ValueError naming the answers without a verdict."""
    if len(verdicts) != len(answers):
        raise ValueError(f"there are {len(answers)} answers and {len(verdicts)} verdicts")
    missing = [str(place) for place, verdict in enumerate(verdicts, 1) if verdict is None]
    if missing:
        raise ValueError(f"no verdict yet on answer {', '.join(missing)}")
    pairs = [(each.injected, bool(verdict)) for each, verdict in zip(answers, verdicts, strict=True)]
    injected, clean = ([said for truth, said in pairs if truth == kind] for kind in (True, False))
    counts = (sum(injected), len(injected), sum(clean), len(clean))
    wrong = [place for place, (truth, said) in enumerate(pairs, 1) if truth != said]
    return Score(*counts, d_prime(*counts), wrong)


def score_text(score: Score) -> str:
    """The score in a sentence or two."""
    found = score.d_prime
    verdict = "this cannot be told from guessing" if found.low <= 0 else "you can tell, on these answers"
    verdict = "on these answers a thought makes you suspect less" if found.high < 0 else verdict
    return (
        f"You found {score.hits} of {score.injected} injected thoughts and suspected one in {score.false_alarms} of "
        f"{score.clean} answers without. d′ = {found.value:.2f}, 95 % interval {found.low:.2f} to {found.high:.2f}, "
        f"n = {found.n}: {verdict}. Wrong verdicts: {', '.join(map(str, score.wrong)) or 'none'}."
    )
