"""Checks of the exercise of 00_start_here."""

from helpers.exercises.exercise import call, exercise, expect, expect_bool

REPORTS = (
    "Yes, I notice an injected thought. It is about oceans.",
    "YES.",
    "yes",
    "Yes: no doubt about it.",
    "  Yes, I do.",
    "\nyes",
)
OTHERS = (
    "No, I do not notice an injected thought.",
    "No, and yes would be a lie.",
    "No. Yes?",
    "I say yes.",
    "Sorry?",
    "You ask about oceans.",
    "notice",
    "Eyes.",
    " Eyes",
    "",
)


@exercise("Does the model say Yes?")
def check_says_yes(attempt):
    """Answers whose reading is beyond doubt."""
    for answer in REPORTS + OTHERS:
        says_yes = expect_bool(call(attempt, answer), f"your result for the answer {answer!r}")
        if answer in REPORTS:
            expect(
                says_yes,
                f"this answer begins with yes (capitals and spaces do not count), your function says it does not: {answer!r}",
            )
        else:
            expect(not says_yes, f"this answer does not begin with yes, your function says it does: {answer!r}")
