"""Wrong answers to the exercises of 08_grade_the_answers and what the check must say about each; right ones that it must take."""

import numpy as np
from sklearn.metrics import cohen_kappa_score


def equal_verdicts(first, second):
    """Leaves chance in."""
    return float(np.mean(np.array(first) == np.array(second)))


def kappa(first, second, by_chance=lambda one, two: one * two + (1 - one) * (1 - two)):
    """Kappa with the agreement by chance to exchange."""
    chance = by_chance(np.mean(first), np.mean(second))
    return float((equal_verdicts(first, second) - chance) / (1 - chance))


def chance_is_half(first, second):
    """Takes one half as the agreement by chance, whatever the yes rates."""
    return kappa(first, second, lambda one, two: 0.5)


def yes_by_chance_only(first, second):
    """Forgets that two graders can agree on a no by chance."""
    return kappa(first, second, lambda one, two: one * two)


def pooled_rates(first, second):
    """Scott's pi: one yes rate for both graders."""
    return kappa(first, second, lambda one, two: ((one + two) / 2) ** 2 + (1 - (one + two) / 2) ** 2)


def failed(grader, cases, passes):
    """Ids of the cases that do not pass; passes(verdicts, expected)."""
    return [case["id"] for case in cases if not passes(grader(case["answer"], case["concept"]), case["expected"])]


def whole_dictionary(grader, cases):
    """Compares with questions that the case leaves open."""
    return failed(grader, cases, lambda verdicts, expected: verdicts == expected)


def silence_passes(grader, cases):
    """Takes no reply for a pass."""
    return failed(grader, cases, lambda verdicts, expected: expected.items() <= (verdicts or expected).items())


def any_question_passes(grader, cases):
    """One right question is enough."""
    return failed(grader, cases, lambda verdicts, expected: bool(expected.items() & (verdicts or {}).items()))


def left_out_passes(grader, cases):
    """Takes a question that the grader did not answer for a pass."""
    return failed(
        grader,
        cases,
        lambda verdicts, expected: (
            verdicts is not None and all(verdicts.get(question, value) == value for question, value in expected.items())
        ),
    )


def once_per_question(grader, cases):
    """An id for every wrong question."""
    return [
        case["id"]
        for case in cases
        for question, value in case["expected"].items()
        if (grader(case["answer"], case["concept"]) or {}).get(question) != value
    ]


def failed_as_tuple(grader, cases):
    """Parts of dictionaries, a tuple."""
    return tuple(failed(grader, cases, lambda verdicts, expected: expected.items() <= (verdicts or {}).items()))


def true_rate(observed, finds, invents):
    """The rate behind the grader."""
    if finds <= invents:
        raise ValueError("this grader cannot tell")
    return (min(max(observed, invents), finds) - invents) / (finds - invents)


def never_invents(observed, finds, invents):
    """Corrects for missed successes only."""
    return min(observed / finds, 1.0)


def unbounded(observed, finds, invents):
    """May leave 0 to 1."""
    return (observed - invents) / (finds - invents)


def never_refuses(observed, finds, invents):
    """Makes something up where the grader knows nothing."""
    return true_rate(observed, finds, invents) if finds > invents else observed


def refuses_equal_only(observed, finds, invents):
    """Takes a grader that invents more than it finds."""
    if finds == invents:
        raise ValueError("this grader cannot tell")
    return float(np.clip((observed - invents) / (finds - invents), 0, 1))


def interval(first, second, resamples, seed, quantiles=(0.025, 0.975), quantile=np.nanquantile, apart=False):
    """A bootstrap interval with parts to exchange."""
    rng, n, draws = np.random.default_rng(seed), len(first), []
    for _ in range(resamples):
        places = rng.integers(0, n, n)
        draws.append(cohen_kappa_score(first[places], second[rng.integers(0, n, n) if apart else places]))
    return tuple(quantile(draws, quantiles))


def torn_pairs(*arguments):
    """Draws the two graders' verdicts separately."""
    return interval(*arguments, apart=True)


def extremes(*arguments):
    """The smallest and the largest kappa instead of quantiles."""
    return interval(*arguments, quantiles=(0, 1))


def ninety_percent(*arguments):
    """5 % on each side."""
    return interval(*arguments, quantiles=(0.05, 0.95))


def blind_to_nan(*arguments):
    """A draw of one verdict only makes everything NaN."""
    return interval(*arguments, quantile=np.quantile)


def nan_is_zero(*arguments):
    """Takes a kappa that does not exist for 0."""
    return interval(*arguments, quantile=lambda draws, quantiles: np.quantile(np.nan_to_num(draws), quantiles))


def always_300(first, second, resamples, seed):
    """Ignores how many draws are asked for."""
    return interval(first, second, 300, seed)


def all_draws_at_once(first, second, resamples, seed):
    """Kappa by its formula, for all draws together."""
    places = np.random.default_rng(seed).integers(0, len(first), (resamples, len(first)))
    first, second = first[places], second[places]
    one, two = first.mean(1), second.mean(1)
    chance = one * two + (1 - one) * (1 - two)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nanpercentile(((first == second).mean(1) - chance) / (1 - chance), [2.5, 97.5])


WRONG = [
    ("check_my_kappa", equal_verdicts, "chance is still in it"),
    ("check_my_kappa", chance_is_half, "follows from both yes rates"),
    ("check_my_kappa", yes_by_chance_only, "on a no as well"),
    ("check_my_kappa", pooled_rates, "Scott's pi"),
    ("check_my_kappa", lambda first, second: kappa(sorted(first), sorted(second)), "kappa is 0.400"),
    ("check_my_kappa", lambda first, second: round(kappa(first, second), 1), "kappa is 0.159"),
    ("check_failed_cases", whole_dictionary, "whatever it says on other questions"),
    ("check_failed_cases", silence_passes, "gives no reply"),
    ("check_failed_cases", any_question_passes, "one wrong question of two"),
    ("check_failed_cases", left_out_passes, "leaves out a question"),
    ("check_failed_cases", once_per_question, "answers no question"),
    ("check_true_rate", never_invents, "not for what is invented"),
    ("check_true_rate", unbounded, "means a rate of 0"),
    ("check_true_rate", never_refuses, "raise a ValueError"),
    ("check_true_rate", refuses_equal_only, "finds 0.1 and invents 0.4"),
    ("check_kappa_interval", torn_pairs, "stay together"),
    ("check_kappa_interval", extremes, "the interval is [0.3"),
    ("check_kappa_interval", ninety_percent, "the 5 % and 95 % quantiles"),
    ("check_kappa_interval", blind_to_nan, "leave it out"),
    ("check_kappa_interval", nan_is_zero, "leave it out"),
    ("check_kappa_interval", always_300, "`resamples` 1 gives one kappa"),
    (
        "check_kappa_interval",
        lambda first, second, resamples, seed: interval(first, second, resamples, 0),
        "another seed",
    ),
]

RIGHT = [
    ("check_my_kappa", lambda first, second: cohen_kappa_score(first, second)),
    ("check_failed_cases", failed_as_tuple),
    ("check_true_rate", true_rate),
    ("check_kappa_interval", all_draws_at_once),
]
