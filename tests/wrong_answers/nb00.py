"""Wrong answers to the exercise of 00_start_here, and what the check must say about each."""

WRONG = [
    ("check_says_yes", lambda answer: "yes" in answer.lower(), "does not begin with yes"),
    ("check_says_yes", lambda answer: answer.startswith("Yes"), "reports a thought"),
]
