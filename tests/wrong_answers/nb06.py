"""Wrong answers to the exercises of 06_recognise_your_own_words and what the check must say about each; right ones that it must take."""

import numpy as np

CONTROLS = ("none", "other", "after")


def smallest(*controls):
    """The smallest value, low and high end of the drops below these controls."""
    return lambda drops: tuple(min(drops[name][place] for name in controls) for place in range(3))


def own_interval(drops):
    """The smallest drop with the interval that it has."""
    return min(drops[name] for name in CONTROLS)


def largest_high(drops):
    """The interval from the lowest low end to the highest high end."""
    return (*smallest(*CONTROLS)(drops)[:2], max(drops[name][2] for name in CONTROLS))


def draw(trials, by="said"):
    """Within each word of this column, another word drawn minus this one drawn."""
    same = (trials["drawn"] == trials["said"]).rename("same")
    rates = trials.groupby([by, same])["accident"].mean().unstack()
    return rates[False] - rates[True]


def pooled_draw(trials):
    """All answers at once, whatever was said."""
    same = trials["drawn"] == trials["said"]
    return trials["accident"][~same].mean() - trials["accident"][same].mean()


def weighted_draw(trials):
    """Words that were said more often count more."""
    return (draw(trials) * trials["said"].value_counts(normalize=True)).sum()


def draw_word_by_word(trials):
    """A loop over the said words."""
    differences = []
    for said, part in trials.groupby("said"):
        kept = part["drawn"] == said
        differences.append(part["accident"][~kept].mean() - part["accident"][kept].mean())
    return np.mean(differences)


WRONG = [
    ("check_smallest_drop", own_interval, "this is the interval of the smallest drop"),
    ("check_smallest_drop", largest_high, "the smallest of the high ends, not the largest"),
    ("check_smallest_drop", lambda drops: smallest(*drops)(drops), "`random` does not count"),
    ("check_smallest_drop", smallest("none", "other"), "too late, the vector must not have the effect"),
    ("check_smallest_drop", smallest("none", "after"), "another word's vector must not"),
    ("check_smallest_drop", lambda drops: [max(end, 0) for end in smallest(*CONTROLS)(drops)], "do not cut it off"),
    ("check_smallest_drop", lambda drops: smallest(*CONTROLS)(drops)[0], "must be a list"),
    ("check_follows_the_draw", pooled_draw, "different texts"),
    ("check_follows_the_draw", lambda trials: draw(trials, "drawn").mean(), "within each drawn word"),
    ("check_follows_the_draw", lambda trials: -draw(trials).mean(), "wrong way round"),
    ("check_follows_the_draw", lambda trials: draw(trials).sum(), "take the mean"),
    ("check_follows_the_draw", weighted_draw, "counts once"),
    ("check_follows_the_draw", lambda trials: draw(trials).abs().mean(), "do not take absolute values"),
]

RIGHT = [
    ("check_smallest_drop", lambda drops: np.min([drops[name] for name in CONTROLS], axis=0)),
    ("check_follows_the_draw", draw_word_by_word),
]
