"""Controls around `helpers.playground`: the playground, "surprise me" and the blind test, in ipywidgets 7 and 8.

Each function returns a widget whose callbacks only read the controls, call a pure function and write its page into an HTML
widget: an error appears there in words, never as a traceback that hides in widget state. All controls can be reached and
set by keyboard and carry a label of their own.
"""

import threading
from dataclasses import replace

import ipywidgets as widgets

from helpers import concepts, models
from helpers.playground import pages
from helpers.playground.pages import State

# JupyterLab may handle the events of two controls in two threads of the kernel; the model answers one at a time, so that the
# page that is written last belongs to the last change
ONE_AT_A_TIME = threading.RLock()
STYLE = {"description_width": "11em"}
WIDE = {"width": "46em", "max_width": "98%"}
VERDICTS = UNDECIDED, NO_THOUGHT, THOUGHT = "not graded yet", "nothing was injected", "a thought was injected"


def _labelled(kind, label: str, **options):
    """A control with its label in front and the width of the page."""
    return kind(description=label, style=STYLE, layout=widgets.Layout(**WIDE), **options)


def settings(state: State) -> dict:
    """The controls of a state, by the field they set."""
    offered = list(dict.fromkeys([*pages.questions(), state.question]))

    def text(label: str, value: str, options: list[str]):
        return _labelled(widgets.Combobox, label, value=value, options=options, continuous_update=False)

    return {
        "model": text("Model", state.model, models.shipped_organisms()),
        "concept": text("Thought (any word)", state.concept, concepts.paper_concepts()),
        # number fields, not sliders: a slider of ipywidgets has no name for a screen reader
        "layer": _labelled(widgets.IntText, "Layer", value=state.layer),
        "strength": _labelled(widgets.FloatText, "Strength", value=state.strength, step=0.5),
        "span": _labelled(widgets.Dropdown, "Added on", value=state.span, options=pages.SPANS),
        "question": text("Question", state.question, offered),
    }


def state_of(controls: dict, state: State) -> State:
    """The state that the controls show."""
    return replace(state, **{name: control.value for name, control in controls.items()})


def playground(state: State = State()):  # noqa: B008 - frozen
    """The playground: change any control and both answers are asked for anew. Its attribute `state` is what it shows."""
    controls, shown = settings(state), widgets.HTML()
    page = widgets.VBox([*controls.values(), shown])
    page.state, page.controls, page.shown = state, controls, shown

    def write(texts: list[str]) -> None:
        shown.value = pages.writing(texts)

    def draw(_change=None) -> None:
        with ONE_AT_A_TIME:
            page.state = state_of(controls, page.state)
            try:
                shown.value = pages.render(page.state, write)
            except KeyboardInterrupt:  # the stop button: what stands there is not of this state
                shown.value = pages.problem("stopped; change a control to ask again")
                raise

    for control in controls.values():
        control.observe(draw, names="value")
    page.draw = draw
    draw()
    return page


def surprise(state: State = State(), seed: int = 0):  # noqa: B008 - frozen
    """Surprise me: a thought is hidden (or nothing, half of the time), you guess it from the answer; the score is kept."""
    shown, status = widgets.HTML(), widgets.HTML()
    guess = _labelled(widgets.Dropdown, "Your guess", options=[])
    say, again = widgets.Button(description="Guess"), widgets.Button(description="Hide another")
    page = widgets.VBox([shown, guess, widgets.HBox([say, again]), status])
    page.round, page.right, page.guessed, page.hidden = 0, 0, 0, None
    page.guess, page.say, page.again, page.shown, page.status = guess, say, again, shown, status

    def deal(_button=None) -> None:
        try:
            with ONE_AT_A_TIME:
                page.hidden = pages.hide(state, page.round, seed)
        except Exception as error:
            shown.value, page.hidden, say.disabled = pages.problem(error), None, True
            return
        guess.options = page.hidden.options
        say.disabled = False
        page.round += 1
        title = f"Round {page.round}: the {state.model} was asked, and said"
        shown.value = pages.answer_card(title, page.hidden.answer)
        status.value = ""

    def answer(_button) -> None:
        if say.disabled:  # a double click: the second one comes when the first was answered
            return
        if guess.value is None:
            status.value = pages.problem("choose your guess first")
            return
        verdict = pages.reveal(page.hidden, guess.value)
        page.guessed += 1
        page.right += verdict.startswith("Right")
        say.disabled = True  # one guess per round
        status.value = f'<p role="status">{verdict} {page.right} of {page.guessed} right so far.</p>'

    say.on_click(answer)
    again.on_click(deal)
    deal()
    return page


def blind_test(state: State = State(), seed: int = 0, number: int = 10):  # noqa: B008 - frozen
    """Grade answers without knowing in which ones a thought was injected, and learn your own d'."""
    status, score = widgets.HTML(), widgets.Button(description="Score me")
    page = widgets.VBox()
    page.status, page.score, page.verdicts = status, score, []
    try:
        with ONE_AT_A_TIME:
            page.answers = pages.blind_answers(state, seed, number)
    except Exception as error:
        status.value = pages.problem(error)
        page.children = [status]
        return page
    rows = []
    for place, each in enumerate(page.answers, 1):
        verdict = _labelled(widgets.Dropdown, f"Verdict on answer {place}", options=VERDICTS, value=UNDECIDED)
        page.verdicts.append(verdict)
        rows += [widgets.HTML(pages.answer_card(f"Answer {place}", each.answer)), verdict]
    page.children = [*rows, score, status]

    def grade(_button) -> None:
        given = [None if verdict.value == UNDECIDED else verdict.value == THOUGHT for verdict in page.verdicts]
        try:
            text = pages.score_text(pages.blind_score(page.answers, given))
            status.value = f'<p role="status">{text}</p>'
        except ValueError as error:
            status.value = pages.problem(error)

    score.on_click(grade)
    return page
