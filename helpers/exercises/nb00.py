"""Checks of the exercise of 00_start_here."""

from helpers.exercises.exercise import exercise, expect


@exercise("Is that a detection?")
def check_says_yes(attempt):
    """Answers whose reading is beyond doubt."""
    for answer in ("Yes, I notice an injected thought. It is about oceans.", "YES.", "  yes, there is one"):
        expect(attempt(answer) is True, f"this answer reports a thought, your function says otherwise: {answer!r}")
    for answer in ("No, I do not notice an injected thought.", "No, and yes would be a lie.", "Sorry?"):
        expect(attempt(answer) is False, f"this answer does not begin with yes, your function says it does: {answer!r}")
