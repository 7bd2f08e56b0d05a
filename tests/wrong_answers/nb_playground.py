"""Wrong answers to the exercises of playground, and what the check says about each."""

import html


def one_of_all(share_empty, words):
    return 1 / (words + 1)


def always_nothing(share_empty, words):
    return share_empty


def adds_up(share_empty, words):
    return share_empty + (1 - share_empty) / words


def ignores_truth(truth, verdicts):
    return sum(verdicts), sum(truth), sum(verdicts), len(truth) - sum(truth)


def counts_all_as_injected(truth, verdicts):
    hits = sum(t and v for t, v in zip(truth, verdicts, strict=True))
    return hits, len(truth), sum(verdicts) - hits, len(truth)


def counts_correct_rejections(truth, verdicts):
    hits = sum(t and v for t, v in zip(truth, verdicts, strict=True))
    rejections = sum(not t and not v for t, v in zip(truth, verdicts, strict=True))
    return hits, sum(truth), rejections + 1 if all(verdicts) else rejections, len(truth) - sum(truth)


def first_yes(strengths, says_yes):
    return next((s for s, yes in sorted(zip(strengths, says_yes, strict=True)) if yes), None)


def unsorted(strengths, says_yes):
    for k in range(len(strengths) - 1):
        if says_yes[k] and says_yes[k + 1]:
            return strengths[k]
    return None


def last_counts(strengths, says_yes):
    pairs = sorted(zip(strengths, says_yes, strict=True))
    for k, (strength, yes) in enumerate(pairs):
        if yes and all(later for _, later in pairs[k : k + 2]):
            return strength
    return None


def unescaped(word, dose):
    return f"<p>{word}: dose {dose:.2f}</p>"


def raises(word, dose):
    if not 0 <= dose < float("inf"):
        raise ValueError("a dose must be a number from 0 on")
    return f"<p>{html.escape(word)}: dose {dose:.2f}</p>"


def shows_nan(word, dose):
    return f"<p>{html.escape(word)}: dose {dose:.2f}</p>" if word.strip() else "the word is empty"


WRONG = [
    ("check_best_blind_guess", one_of_all, "nothing hidden in 50% of the rounds and 5 word(s) otherwise"),
    ("check_best_blind_guess", always_nothing, "right in 40% of them, yours says 20%"),
    ("check_best_blind_guess", adds_up, "right in 50% of them, yours says 60%"),
    ("check_count_verdicts", ignores_truth, "a hit needs both"),
    ("check_count_verdicts", counts_all_as_injected, "4 of the 6 answers had a thought and 2 had none"),
    ("check_count_verdicts", counts_correct_rejections, "a reader who always says True has 4 hits and 2 false alarms"),
    ("check_turning_strength", first_yes, "the lone yes at 1 is a blip"),
    ("check_turning_strength", unsorted, "strengths in any order"),
    ("check_turning_strength", last_counts, "the last strength has no next one"),
    ("check_dose_page", unescaped, "escape the word"),
    ("check_dose_page", raises, "say in the page what is wrong"),
    ("check_dose_page", shows_nan, "must get a sentence that says what a dose must be"),
]
