"""Checks of the exercises of 07_control_your_thoughts: numbers counted by hand, and properties."""

import random

import torch
from torch.nn.functional import normalize

from helpers.exercises.exercise import call, exercise, expect_all_near, expect_numbers, expect_tensor


@exercise("More than any other word")
def check_held_more(attempt):
    """A plane in which all cosines are known by eye, then random vectors of very different lengths."""
    generator, plane = (
        torch.Generator().manual_seed(2026),
        (
            torch.tensor([[2.0, 0.0], [0.0, 3.0]]),
            torch.tensor([[5.0, 0.0], [1.0, 1.0]]),
            torch.tensor([[0.0, 1.0], [0.0, -4.0], [-9.0, 0.0]]),
        ),
    )
    cases, tried = [plane], []
    for words in (6, 3):
        lengths = [torch.rand(n, 1, generator=generator) * 20 + 0.1 for n in (4, 4, words)]
        cases.append([each * torch.randn(len(each), 7, generator=generator) for each in lengths])
    for states, own, others in cases:
        result = expect_tensor(call(attempt, states, own, others), (len(states),), "the scores (one for each case)")
        own_cosine = torch.cosine_similarity(states, own, dim=-1)
        control = torch.stack(
            [torch.cosine_similarity(state[None], others, dim=-1) for state in states]
        )  # [case, word]
        truth = own_cosine - control.mean(-1)
        unit = normalize(states, dim=-1)
        mistakes = {
            "these are dot products: take cosines, so that lengths do not matter": (states * own).sum(-1)
            - (states @ others.T).mean(-1),
            "longer control vectors must give the same scores: take cosines with the controls as well": own_cosine
            - (unit @ others.T).mean(-1),
            "this is the cosine with the own word alone; subtract the mean cosine with the control words": own_cosine,
            "this is the cosine with the mean control vector; take the cosines first and average them": own_cosine
            - unit @ normalize(normalize(others, dim=-1).mean(0), dim=-1),
            "this is the cosine with the mean of the control vectors; take the cosines first and average them": own_cosine
            - unit @ normalize(others.mean(0), dim=-1),
            "the sum of the control cosines is subtracted; take their mean": own_cosine - control.sum(-1),
            "the largest control cosine is subtracted; take their mean": own_cosine - control.amax(-1),
            "the controls are averaged over the cases too; every case has a control of its own": own_cosine
            - control.mean(),
            "control cosines have a sign: average them as they are": own_cosine - control.abs().mean(-1),
            "the sign is the wrong way round: the own word minus the controls": -truth,
        }
        numbers = [[round(float(each), 3) for each in part] for part in (truth, result)]
        message = f"for {len(states)} cases and {len(others)} control words the scores are {numbers[0]}, yours are {numbers[1]}"
        tried.append((result, truth, mistakes, message))
    expect_all_near(tried)


@exercise("Gap and effect")
def check_gap_and_effect(attempt):
    """The text's example, then random differences; the two networks' smaller ones lie in one column or in two."""
    generator, cases, tried = random.Random(2026), [([0.3, 0.4], [0.1, 0.25])], []
    cases += [[[generator.gauss(0, 0.3) for _ in range(2)] for _ in range(2)] for _ in range(8)]
    for model, copy in cases:
        result = torch.tensor(expect_numbers(call(attempt, model, copy), 2, "the result (gap, effect)"))
        beyond = [here - there for here, there in zip(model, copy, strict=True)]
        gap, at = min(model), model.index(min(model))

        def both(gap: float, effect: float) -> torch.Tensor:
            return torch.tensor([gap, effect])

        truth = both(gap, min(beyond))
        mistakes = {
            "gap and effect are exchanged": both(min(beyond), gap),
            "the effect is not the gap minus the copy's gap: subtract in each column first": both(gap, gap - min(copy)),
            "the effect is not taken in the gap's column: subtract in each column, then take the smaller one": both(
                gap, beyond[at]
            ),
            "think must beat both other frames: take the smaller of the two, not the larger": both(
                max(model), max(beyond)
            ),
            "think must beat both other frames: take the smaller of the two, not the mean": both(
                sum(model) / 2, sum(beyond) / 2
            ),
            "the effect is the wrong way round: the model minus the copy": both(gap, -max(beyond)),
            "a difference below 0 stays below 0: take no absolute values": both(
                min(map(abs, model)), min(map(abs, beyond))
            ),
            "the gap is the model's alone: the copy belongs into the effect": both(min(beyond), min(beyond)),
        }
        numbers = [[round(float(each), 3) for each in part] for part in (model, copy, truth, result)]
        message = "for the model's {} and the copy's {} gap and effect are {}, yours are {}".format(*numbers)
        tried.append((result, truth, mistakes, message))
    expect_all_near(tried)
