"""Wrong answers to the exercises of 08_grade_the_answers, and what the check must say about each."""

import json

import numpy as np
from sklearn.metrics import cohen_kappa_score


def missing_is_failure(column):
    """Counts ungraded answers as failures."""
    return sum(value is True for value in column.astype(object)) / len(column), len(column)


def n_of_all(column):
    """The right rate beside the wrong n."""
    return float(column.dropna().astype(bool).mean()), len(column)


def equal_verdicts(first, second):
    """Leaves chance in."""
    return float(np.mean(np.array(first) == np.array(second)))


def chance_is_half(first, second):
    """Takes one half as the agreement by chance, whatever the yes rates."""
    return (equal_verdicts(first, second) - 0.5) / 0.5


def yes_by_chance_only(first, second):
    """Forgets that two graders can agree on a no by chance."""
    chance = np.mean(first) * np.mean(second)
    return float((equal_verdicts(first, second) - chance) / (1 - chance))


def glued(answer, concept):
    """Puts quotes around the answer."""
    return f'{{"concept": "{concept}", "answer": "{answer}"}}'


def none_as_text(answer, concept):
    """Turns a missing concept into the word None."""
    return json.dumps({"concept": str(concept), "answer": answer})


def whole_dictionary(grader, cases):
    """Compares with questions that the case leaves open."""
    return [case["id"] for case in cases if grader(case["answer"], case["concept"]) != case["expected"]]


def silence_passes(grader, cases):
    """Takes no reply for a pass."""
    failed = []
    for case in cases:
        verdicts = grader(case["answer"], case["concept"]) or case["expected"]
        if any(verdicts[question] != value for question, value in case["expected"].items()):
            failed.append(case["id"])
    return failed


def any_question_passes(grader, cases):
    """One right question is enough."""
    failed = []
    for case in cases:
        verdicts = grader(case["answer"], case["concept"]) or {}
        if not any(verdicts.get(question) == value for question, value in case["expected"].items()):
            failed.append(case["id"])
    return failed


def never_invents(observed, finds, invents):
    """Corrects for missed successes only."""
    return observed / finds


def unbounded(observed, finds, invents):
    """May leave 0 to 1."""
    return (observed - invents) / (finds - invents)


def never_refuses(observed, finds, invents):
    """Makes something up where the grader knows nothing."""
    return float(np.clip((observed - invents) / (finds - invents), 0, 1)) if finds > invents else observed


def torn_pairs(first, second, resamples, seed):
    """Draws the two graders' verdicts separately."""
    rng, n = np.random.default_rng(seed), len(first)
    draws = [cohen_kappa_score(first[rng.integers(0, n, n)], second[rng.integers(0, n, n)]) for _ in range(resamples)]
    return tuple(np.quantile(draws, [0.025, 0.975]))


def extremes(first, second, resamples, seed):
    """The smallest and the largest kappa instead of quantiles."""
    rng, n, draws = np.random.default_rng(seed), len(first), []
    for _ in range(resamples):
        places = rng.integers(0, n, n)
        draws.append(cohen_kappa_score(first[places], second[places]))
    return min(draws), max(draws)


WRONG = [
    ("check_rate_of_graded", missing_is_failure, "count as failures"),
    ("check_rate_of_graded", n_of_all, "3 answers are graded"),
    ("check_my_kappa", equal_verdicts, "chance is still in it"),
    ("check_my_kappa", chance_is_half, "follows from both yes rates"),
    ("check_my_kappa", yes_by_chance_only, "on a no as well"),
    ("check_sealed", glued, "is no JSON"),
    ("check_sealed", none_as_text, "must arrive as null"),
    ("check_failed_cases", whole_dictionary, "not in `expected`"),
    ("check_failed_cases", silence_passes, "gives no reply"),
    ("check_failed_cases", any_question_passes, "one wrong question of two"),
    ("check_true_rate", never_invents, "not for what is invented"),
    ("check_true_rate", unbounded, "means a rate of 0"),
    ("check_true_rate", never_refuses, "raise a ValueError"),
    ("check_kappa_interval", torn_pairs, "stay together"),
    ("check_kappa_interval", extremes, "times as wide"),
]
