"""Wrong answers to the exercises of 07_control_your_thoughts and what the check must say about each; right ones that it must take."""

import torch
from torch.nn.functional import normalize


def dots(states, own, others):
    """Dot products."""
    return (states * own).sum(-1) - (states @ others.T).mean(-1)


def own_only(states, own, others):
    """Forgets the control words."""
    return (normalize(states, dim=-1) * normalize(own, dim=-1)).sum(-1)


def mean_vector_first(states, own, others):
    """One cosine with the mean of the control vectors."""
    mean = normalize(normalize(others, dim=-1).mean(0), dim=-1)
    return own_only(states, own, others) - normalize(states, dim=-1) @ mean


def bare_controls(states, own, others):
    """Cosine with the own word, dot products with the controls."""
    return own_only(states, own, others) - (normalize(states, dim=-1) @ others.T).mean(-1)


def scores_by_broadcasting(states, own, others):
    """Every case with every word."""
    control = torch.cosine_similarity(states[:, None], others[None], dim=-1).mean(1)
    return torch.cosine_similarity(states, own, dim=-1) - control


def effect_by_parts(model, copy):
    """Subtracts column by column, with a list as the result."""
    over_dont_think, over_mention = (here - there for here, there in zip(model, copy, strict=True))
    return [sorted(model)[0], over_mention if over_mention < over_dont_think else over_dont_think]


def beyond(model, copy):
    """The differences that the copy does not have."""
    return [here - there for here, there in zip(model, copy, strict=True)]


WRONG = [
    ("check_held_more", dots, "these are dot products"),
    ("check_held_more", own_only, "the own word alone"),
    ("check_held_more", mean_vector_first, "average them"),
    ("check_held_more", bare_controls, "take cosines with the controls as well"),
    (
        "check_gap_and_effect",
        lambda model, copy: (min(model), min(model) - min(copy)),
        "not the gap minus the copy's gap",
    ),
    ("check_gap_and_effect", lambda *case: (min(case[0]), beyond(*case)[case[0].index(min(case[0]))]), "gap's column"),
    ("check_gap_and_effect", lambda *case: (max(case[0]), max(beyond(*case))), "not the larger"),
    ("check_gap_and_effect", lambda *case: (sum(case[0]) / 2, sum(beyond(*case)) / 2), "not the mean"),
    ("check_gap_and_effect", lambda *case: (min(beyond(*case)), min(case[0])), "are exchanged"),
    ("check_gap_and_effect", lambda model, copy: (min(model), min(beyond(copy, model))), "the model minus the copy"),
]

RIGHT = [
    ("check_held_more", scores_by_broadcasting),
    ("check_gap_and_effect", effect_by_parts),
]
