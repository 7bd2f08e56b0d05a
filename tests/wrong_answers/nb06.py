"""Wrong answers to the exercises of 06_recognise_your_own_words and what the check must say about each; right ones that it must take."""

import re

import numpy as np


def drop(rates):
    """The smallest control minus matched."""
    return min(rates["none"], rates["other"], rates["after"]) - rates["matched"]


def against(*controls):
    """A drop that knows only these controls."""
    return lambda rates: min(rates[name] for name in controls) - rates["matched"]


ACCIDENT = ("accident", "mistake", "sorry", "did not mean", "didn't mean")
INTENDED = ("meant to", "i meant", "intended", "on purpose")


def grade(reply, accident=ACCIDENT, intended=INTENDED, denials=("not an accident", "no accident")):
    """The grader with parts to exchange."""
    text = reply.lower()
    for denial in denials:
        text = text.replace(denial, "on purpose")
    places = {
        kind: min((text.find(phrase) for phrase in phrases if phrase in text), default=None)
        for kind, phrases in (("accident", accident), ("intended", intended))
    }
    found = {kind: place for kind, place in places.items() if place is not None}
    return min(found, key=found.get) if found else "unclear"


def without(phrase):
    """A grader that does not know this phrase."""
    lists = [tuple(each for each in phrases if each != phrase) for phrases in (ACCIDENT, INTENDED)]
    return lambda reply: grade(reply, *lists)


def any_accident(reply):
    """Finds the word accident anywhere, denied or not."""
    return grade(reply, denials=())


def accident_wins(reply):
    """Does not ask what stands first."""
    text = reply.lower().replace("not an accident", "on purpose").replace("no accident", "on purpose")
    return "accident" if any(phrase in text for phrase in ACCIDENT) else grade(reply)


def yes_is_intended(reply):
    """Takes a bare yes for an intention."""
    return "intended" if reply.lower().startswith("yes") else grade(reply)


def any_meant(reply):
    """Takes every "meant" for an intention."""
    return grade(reply, intended=("meant", "intended", "on purpose"))


def by_pattern(reply):
    """One regular expression, whose first match decides."""
    pattern = r"(not an accident|no accident|meant to|i meant|intended|on purpose)|accident|mistake|sorry|did(?: not|n't) mean"
    match = re.search(pattern, reply, re.IGNORECASE)
    return "unclear" if not match else "intended" if match[1] else "accident"


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
    ("check_drop_in_apologies", against("none"), "you compared with `none`"),
    ("check_drop_in_apologies", lambda rates: -drop(rates), "wrong way round"),
    ("check_drop_in_apologies", against("other"), "you compared with `other`"),
    ("check_drop_in_apologies", against("after"), "you compared with `after`"),
    ("check_drop_in_apologies", against("none", "other"), "too late, the vector must not have the effect"),
    ("check_drop_in_apologies", against("none", "after"), "another word's vector must not"),
    ("check_drop_in_apologies", lambda rates: max(drop(rates), 0), "do not cut it off"),
    ("check_intention", any_accident, "not an accident"),
    ("check_intention", accident_wins, "is 'intended', yours says 'accident'"),
    ("check_intention", yes_is_intended, "'Yes.' is 'unclear'"),
    ("check_intention", any_meant, "Do you mean that?"),
    ("check_intention", without("did not mean"), "did not mean it was"),
    ("check_intention", without("meant to"), "meant to it was"),
    ("check_intention", without("intended"), "intended it was"),
    ("check_follows_the_draw", pooled_draw, "different texts"),
    ("check_follows_the_draw", lambda trials: draw(trials, "drawn").mean(), "within each drawn word"),
    ("check_follows_the_draw", lambda trials: -draw(trials).mean(), "wrong way round"),
    ("check_follows_the_draw", lambda trials: draw(trials).sum(), "take the mean"),
    ("check_follows_the_draw", weighted_draw, "counts once"),
    ("check_follows_the_draw", lambda trials: draw(trials).abs().mean(), "do not take absolute values"),
]

RIGHT = [
    (
        "check_drop_in_apologies",
        lambda rates: np.min([rates["other"], rates["after"], rates["none"]]) - rates["matched"],
    ),
    ("check_intention", by_pattern),
    ("check_follows_the_draw", draw_word_by_word),
]
