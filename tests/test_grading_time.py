"""No answer takes the grader more than linear time, however it is written: four times the text, at most six times the time."""

import time

import pytest

from helpers.grading import grade_answer, grade_intention, grade_repetition, grade_thought, names_concept
from helpers.grading.claims import tidy
from helpers.grading.coherence import incoherence
from helpers.grading.language import is_english
from helpers.grading.patterns import pattern, read_patterns
from helpers.grading.reply import MARKER_FILE, left_open, shorten, split_reply

HOSTILE = {  # a piece that is repeated, and what comes before and after
    "spaces": ("no", " ", "x"),
    "newlines": ("No.", "\n", "x"),
    "mixed white space": ("No.", " \n\t\u00a0", "x"),
    "one letter": ("I sense ", "a", "!"),
    "quotes": ("it is ", "\"'", "?"),
    "brackets": ("the thought is ", "([{", "x"),
    "brackets around letters": ("I do ", "(a)", "x"),
    "dashes": ("yes", " - ", "no"),
    "dots": ("answer", ". ", "yes"),
    "signs without spaces": ("about ", "-.", "x"),
    "no no no": ("", "no ", "x"),
    "i i i": ("", "i ", "x"),
    "i sense i sense": ("", "i sense ", "x"),
    "fillers before a topic": ("about ", "a ", "1"),
    "the thought that i": ("", "the thought that i ", ""),
    "commas": ("", "i, ", "?"),
    "clauses": ("If I ", "yes, ", "x"),
    "Chinese": ("No. ", "思", "x"),
    "emoji": ("Yes ", "🍞", "x"),
    "combining accents": ("Yes e", "\u0301", "x"),
    "accents in two orders": ("Yes e", "\u0316\u0300", "x"),
    "accents of narrow kana": ("Yes e", "\uff9e\u0300", "x"),
    "accents as entities": ("Yes e", "&#x316;&#x300;", "x"),
    "lines of a form": ("", "injected thought: ", "x"),
    "a long label": ("", "injected ", ": no"),
    "neither nor": ("", "neither meant nor ", "x"),
    "no intentions": ("", "i do not have the ", "x"),
    "emphasis": ("Yes ", "_a* ", "x"),
    "markdown": ("", "\n- *", "x"),
    "speakers": ("No.", "\nuser ", "x"),
    "tags": ("", "<think>", "x"),
    "closing tags": ("", "</think>", "x"),
    "half tags": ("No.", "<|", "x"),
    "channels": ("", "<|channel|>final", ""),
    "code": ("", "a_b(", "x"),
    "the word": ("I sense ", "oceans ", "x"),
    "the word, negated": ("", "not oceans ", "x"),
    "the word, left out": ("It is anything but ", "the oceans or ", "x"),
    "spelled out": ("", "b ", "read"),
    "letters and dots": ("", "o.c.e.", "x"),
    "open quotes": ("", "\"i 'i ", "x"),
    "second thoughts": ("Yes. ", "actually no, ", "x"),
    "yes to something else": ("", "yes, i am ready. ", "x"),
    "denied intentions": ("", "i did not mean it ", "x"),
    "full width": ("", "ｏ", "x"),
    "boxes": ("", "[ ] yes ", "x"),
    "both answers": ("yes", " or no / yes", "x"),
    "elements": ("", "<a>yes</b>", "x"),
    "apologies": ("", "i'm sorry, but ", "x"),
    "stage directions": ("*looks", " *a", "x"),
    "choices": ("the ", "word comes to mind my final answer ", ": x"),
    "own deeds": ("i ", "have now inserted ", "x"),
    "invisible": ("Yes", "\u200b", "x"),
}
FUNCTIONS = {
    "grade_answer": lambda text: grade_answer(text, "oceans"),
    "incoherence": incoherence,
    "grade_intention": grade_intention,
    "grade_thought": lambda text: grade_thought(text, "oceans"),
    "grade_repetition": lambda text: grade_repetition(text, "The old clock stopped."),
    "names_concept": lambda text: names_concept(text, "oceans"),
    "is_english": is_english,
    "split_reply": split_reply,
    "left_open": left_open,
    "shorten": shorten,
}


def hostile_text(family: str, length: int) -> str:
    before, piece, after = HOSTILE[family]
    return before + piece * (length // len(piece)) + after


def seconds(function, text: str) -> float:
    times = []
    for _ in range(3):
        start = time.process_time()
        function(text)
        times.append(time.process_time() - start)
    return min(times)


def assert_linear(function, shorter: str, longer: str) -> None:
    assert seconds(function, longer) <= 6 * seconds(function, shorter) + 0.005


@pytest.mark.parametrize("family", HOSTILE)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_grading_is_linear_in_the_length_of_the_answer(name, family):
    assert_linear(FUNCTIONS[name], hostile_text(family, 450), hostile_text(family, 1800))


@pytest.mark.parametrize("family", HOSTILE)
@pytest.mark.parametrize("name", ["split_reply", "shorten", "grade_repetition"])
def test_what_sees_the_whole_text_is_linear_for_very_long_ones(name, family):
    assert_linear(FUNCTIONS[name], hostile_text(family, 10_000), hostile_text(family, 40_000))


@pytest.mark.parametrize("family", HOSTILE)
def test_every_pattern_is_linear(family):
    """On the text that patterns get to see."""
    shorter, longer = (tidy(shorten(hostile_text(family, length))) for length in (900, 3600))
    for group in read_patterns():
        assert_linear(lambda text, group=group: [0 for _ in pattern(group).finditer(text)], shorter, longer)


@pytest.mark.parametrize("family", HOSTILE)
def test_every_marker_is_linear_on_raw_text(family):
    for group in read_patterns(MARKER_FILE):
        search = pattern(group, MARKER_FILE)
        assert_linear(
            lambda text, search=search: [0 for _ in search.finditer(text)],
            hostile_text(family, 5000),
            hostile_text(family, 20_000),
        )


def test_an_answer_is_read_to_a_stated_length_only():
    late_claim = "No. " + "I see. " * 1000 + "I notice an injected thought."
    assert grade_answer(late_claim)["affirmative"] is False
