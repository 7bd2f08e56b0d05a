"""Wrong answers to the exercises of playground and what the check must say about each; right ones that it must take."""

import numpy as np
import torch


def one_of_all(share_empty, words):
    """Takes nothing for one more word."""
    return 1 / (words + 1)


def always_nothing(share_empty, words):
    """Never guesses a word."""
    return share_empty


def adds_up(share_empty, words):
    """Two guesses at once."""
    return share_empty + (1 - share_empty) / words


def guesses_like_the_rounds(share_empty, words):
    """Guesses as often as it occurs, not always the best."""
    return share_empty**2 + (1 - share_empty) ** 2 / words


def counted(truth, verdicts, total=None):
    """The four numbers; `total` may replace the number of answers."""
    hits = sum(t and v for t, v in zip(truth, verdicts, strict=True))
    return hits, sum(truth), sum(verdicts) - hits, (total or len(truth)) - sum(truth)


def ignores_truth(truth, verdicts):
    """Every verdict is a hit and a false alarm."""
    return sum(verdicts), sum(truth), sum(verdicts), len(truth) - sum(truth)


def counts_all_as_injected(truth, verdicts):
    """Both totals are all answers."""
    hits, _, alarms, _ = counted(truth, verdicts)
    return hits, len(truth), alarms, len(truth)


def counts_correct_rejections(truth, verdicts):
    """Rejections instead of false alarms."""
    hits, injected, alarms, clean = counted(truth, verdicts)
    return hits, injected, clean - alarms, clean


def counted_by_numpy(truth, verdicts):
    """numpy's whole numbers."""
    truth, verdicts = np.array(truth), np.array(verdicts)
    return [np.sum(truth & verdicts), np.sum(truth), np.sum(~truth & verdicts), np.sum(~truth)]


WRONG = [
    ("check_best_blind_guess", one_of_all, "nothing hidden in 50% of the rounds and 5 word(s) otherwise"),
    ("check_best_blind_guess", always_nothing, "always one word may be right more often"),
    ("check_best_blind_guess", adds_up, "do not add the two"),
    ("check_best_blind_guess", guesses_like_the_rounds, "right in 50% of them, yours says 30%"),
    ("check_count_verdicts", ignores_truth, "a hit needs both"),
    ("check_count_verdicts", counts_all_as_injected, "not of all answers"),
    ("check_count_verdicts", counts_correct_rejections, "yours counts right rejections"),
    ("check_count_verdicts", lambda *lists: counted(*lists, total=6), "the four numbers are"),
]

RIGHT = [
    ("check_best_blind_guess", lambda share_empty, words: torch.tensor(max(share_empty, (1 - share_empty) / words))),
    ("check_count_verdicts", counted_by_numpy),
]
