"""Checks of the exercises of playground."""

import random

from helpers.exercises.exercise import (
    call,
    exercise,
    expect_all_near,
    expect_number,
    expect_numbers,
)


@exercise("Guess without reading")
def check_best_blind_guess(attempt):
    """Shares known by counting: 10 rounds, so many of them empty, the others spread over the words."""
    tried = []
    for empty, words in ((5, 5), (2, 2), (0, 4), (10, 5), (1, 1), (3, 7), (4, 3)):
        share = empty / 10
        value = expect_number(call(attempt, share, words), "the share")
        one_word = (10 - empty) / words / 10
        truth = max(share, one_word)
        mistakes = {
            "always 'nothing' is one guess; always one word may be right more often": share,
            "always one word is one guess; always 'nothing' may be right more often": one_word,
            "take the better of the two guesses, not the worse": min(share, one_word),
            "a single guess cannot be 'nothing' and a word at once: do not add the two": share + one_word,
            "a word that is hidden is only one of `words`: always the same word is right in that part of the rounds": max(
                share, 1 - share
            ),
            "words are hidden only in the rounds that are not empty": max(share, 1 / words),
        }
        message = (
            f"with nothing hidden in {share:.0%} of the rounds and {words} word(s) otherwise, the best single guess is right in "
            f"{truth:.0%} of them, yours says {value:.0%}"
        )
        tried.append((value, truth, mistakes, message))
    expect_all_near(tried)


@exercise("Count your verdicts")
def check_count_verdicts(attempt):
    """Six answers counted by hand, the two constant readers, random verdicts."""
    truth = [True, True, True, False, False, True]
    cases = [(truth, [True, False, True, True, False, True]), (truth, [True] * 6), (truth, [False] * 6)]
    rng = random.Random(2026)
    cases += [([rng.random() < 0.7 for _ in range(n)], [rng.random() < 0.4 for _ in range(n)]) for n in (9, 25)]
    tried = []
    for injected, verdicts in cases:
        result = expect_numbers(call(attempt, injected, verdicts), 4, "the result")
        pairs = list(zip(injected, verdicts, strict=True))
        hits, misses, alarms = pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True))
        quiet, n = pairs.count((False, False)), len(pairs)
        right = [hits, hits + misses, alarms, alarms + quiet]
        mistakes = {
            "a hit needs both, the thought and the verdict": [hits + alarms, right[1], hits + alarms, right[3]],
            "the totals are those of the answers with a thought and of those without, not of all answers": [
                hits,
                n,
                alarms,
                n,
            ],
            "a false alarm is a verdict without a thought; yours counts right rejections": [
                hits,
                right[1],
                quiet,
                right[3],
            ],
            "a false alarm is a verdict without a thought; yours counts thoughts that were missed": [
                hits,
                right[1],
                misses,
                right[3],
            ],
            "a hit is a thought that was found; yours counts right rejections as well": [hits + quiet, *right[1:]],
            "the totals come from the truth, not from the verdicts": [hits, hits + alarms, alarms, misses + quiet],
            "truth and verdicts are exchanged": [hits, hits + alarms, misses, misses + quiet],
            "the order is hits, answers with a thought, false alarms, answers without": [
                hits,
                alarms,
                right[1],
                right[3],
            ],
        }
        shown = f"for the truth {injected} and the verdicts {verdicts} the four numbers are {right}"
        tried.append((result, right, mistakes, f"{shown}, yours are {[round(each, 2) for each in result]}"))
    expect_all_near(tried)
