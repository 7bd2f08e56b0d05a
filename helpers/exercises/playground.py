"""Checks of the exercises of playground."""

import math

from helpers.exercises.exercise import exercise, expect


@exercise("Guess without reading")
def check_best_blind_guess(attempt):
    """Shares known by counting: 10 rounds, so many of them empty, the others spread over the words."""
    for share, words, truth in ((0.5, 5, 0.5), (0.2, 2, 0.4), (0.0, 4, 0.25), (1.0, 5, 1.0), (0.1, 1, 0.9)):
        value = float(attempt(share, words))
        expect(
            abs(value - truth) < 1e-6,
            f"with nothing hidden in {share:.0%} of the rounds and {words} word(s) otherwise, the best single guess is right in "
            f"{truth:.0%} of them, yours says {value:.0%}",
        )


@exercise("Count your verdicts")
def check_count_verdicts(attempt):
    """Six answers counted by hand, and the two constant readers."""
    truth, verdicts = [True, True, True, False, False, True], [True, False, True, True, False, True]
    result = tuple(attempt(truth, verdicts))
    expect(len(result) == 4, f"four numbers are asked for, yours are {result}")
    hits, injected, alarms, clean = result
    expect(
        (injected, clean) == (4, 2),
        f"4 of the 6 answers had a thought and 2 had none, yours say {injected} and {clean}",
    )
    expect(
        hits == 3, f"3 injected thoughts were found, yours says {hits}: a hit needs both, the thought and the verdict"
    )
    expect(alarms == 1, f"1 answer without a thought was suspected, yours says {alarms}")
    for constant in (True, False):
        result = tuple(attempt(truth, [constant] * 6))
        expect(
            result == (4 * constant, 4, 2 * constant, 2),
            f"a reader who always says {constant} has {4 * constant} hits and {2 * constant} false alarms, yours are {result}",
        )


@exercise("Where it turns")
def check_turning_strength(attempt):
    """A clean turn, a lone yes, never, unsorted strengths, a yes at the very end only."""
    cases = (
        ([0, 1, 2, 4], [False, False, True, True], 2, "two in a row at 2 and 4"),
        ([0, 1, 2, 4, 8], [False, True, False, True, True], 4, "the lone yes at 1 is a blip; 4 and 8 hold"),
        ([0, 1, 2], [False, False, False], None, "never a yes"),
        ([0, 1, 2], [False, False, True], None, "the last strength has no next one that could confirm it"),
        ([8, 1, 4, 2], [True, False, True, True], 2, "strengths in any order: 1 no, 2 yes, 4 yes, 8 yes"),
    )
    for strengths, yes, truth, why in cases:
        result = attempt(list(strengths), list(yes))
        expect(
            result == truth, f"strengths {strengths} with {yes}: the turn is at {truth} ({why}), yours says {result!r}"
        )


@exercise("A page that never breaks")
def check_dose_page(attempt):
    """Plain input, markup typed by a reader, and numbers that cannot be a dose."""
    page = attempt("oceans", 0.94)
    expect(isinstance(page, str), f"the page must be a text, yours is {type(page).__name__}")
    expect("oceans" in page and "0.94" in page, f"the page must show the word and the dose 0.94, yours is {page!r}")
    page = attempt("<b>bread</b>", 1.0)
    expect("<b>bread" not in page, "a reader typed '<b>bread</b>' and your page turned it into markup: escape the word")
    expect("&lt;b&gt;bread" in page, f"the word must still be there, escaped; yours is {page!r}")
    for dose in (-1.0, math.nan, math.inf):
        try:
            page = attempt("oceans", dose)
        except Exception as error:
            expect(
                False,
                f"a dose of {dose} stops your function with {type(error).__name__}; say in the page what is wrong",
            )
        expect(
            "dose" in page and "must" in page,
            f"a dose of {dose} must get a sentence that says what a dose must be: {page!r}",
        )
    expect(
        "word" in attempt(" ", 1.0) and "empty" in attempt(" ", 1.0),
        "an empty word must get a sentence: the word is empty",
    )
