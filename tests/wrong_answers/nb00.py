"""Wrong answers to the exercise of 00_start_here and what the check must say about each; right ones that it must take."""

import re

import numpy as np

WRONG = [
    ("check_says_yes", lambda answer: "yes" in answer.lower(), "does not begin with yes"),
    ("check_says_yes", lambda answer: answer.startswith("Yes"), "begins with yes (capitals"),
    ("check_says_yes", lambda answer: answer.strip().lower().startswith("y"), "does not begin with yes"),
    ("check_says_yes", lambda answer: not answer.lower().startswith("no"), "does not begin with yes"),
    (
        "check_says_yes",
        lambda answer: "yes" in answer.lower() and "no" not in answer.lower(),
        "begins with yes (capitals",
    ),
    ("check_says_yes", lambda answer: answer.lower().startswith("yes"), "'  Yes, I do.'"),
    ("check_says_yes", lambda answer: "yes" in answer.lower()[:5], "does not begin with yes"),
    ("check_says_yes", lambda answer: "yes" in answer.strip().lower()[:4], "does not begin with yes"),
    ("check_says_yes", lambda answer: re.match(r"\s*yes", answer.lower()), "must be True or False, yours is Match"),
]

RIGHT = [
    ("check_says_yes", lambda answer: answer.lower().lstrip().startswith("yes")),
    ("check_says_yes", lambda answer: answer.strip().lower()[:3] == "yes"),
    ("check_says_yes", lambda answer: np.bool_(answer.casefold().strip().startswith("yes"))),
]
