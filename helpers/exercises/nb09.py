"""Checks of the exercises of 09_rule_out_boring_explanations: numbers counted by hand, and properties of the controls."""

import random

import pandas as pd
import torch

from helpers.exercises.exercise import (
    call,
    exercise,
    expect,
    expect_all_near,
    expect_list,
    expect_number,
)
from helpers.exercises.nb02 import expect_fair_random


@exercise("The shift that is left")
def check_shift_left(attempt):
    """Shifts of both signs counted by hand; the same push everywhere; random margins."""
    by_hand = [
        torch.tensor(each) for each in ([3.0, 1.0, -1.0], [-4.0, -2.0, 0.0], [-2.0, -4.0, -6.0], [-3.0, -7.0, 0.0])
    ]
    same = [by_hand[1] + 6, by_hand[1], by_hand[3] + 6, by_hand[3]]
    generator = torch.Generator().manual_seed(2026)
    margins = [
        by_hand,
        same,
        list(torch.randn(4, 9, generator=generator) * 5),
        list(torch.randn(4, 1, generator=generator)),
    ]
    margins += [[by_hand[2], by_hand[3], by_hand[0], by_hand[1]]]  # the fact moves more than the trial
    tried = []
    for trial_with, trial_without, fact_with, fact_without in margins:
        arguments = (trial_with, trial_without, fact_with, fact_without)
        value = expect_number(call(attempt, *arguments), "the shift")
        trial, fact = (trial_with - trial_without).tolist(), (fact_with - fact_without).tolist()
        n, means = len(trial), (sum(trial) / len(trial), sum(fact) / len(fact))
        truth = means[0] - means[1]
        sizes = [sum(abs(each) for each in shifts) / n for shifts in (trial, fact)]
        mistakes = {
            "this is what the vector does to the trial question; what it does to the fact is still in it": means[0],
            "this adds the two shifts; the fact's must be subtracted": means[0] + means[1],
            "the sign is the wrong way round: trial minus fact": -truth,
            "shifts have a sign: do not take their absolute values before you subtract": sizes[0] - sizes[1],
            "shifts have a sign: do not take the absolute values of their means": abs(means[0]) - abs(means[1]),
            "the difference of the shifts has a sign: do not take its absolute value": sum(
                abs(one - other) for one, other in zip(trial, fact, strict=True)
            )
            / n,
            "what is left may be below 0: do not cut it off": max(truth, 0.0),
            "this compares the margins with the vector only; take with minus without first": float(
                (trial_with - fact_with).mean()
            ),
            "this is the sum over the words; take the mean": truth * n,
        }
        message = (
            f"the trial moves by {means[0]:.2f} on average, the fact by {means[1]:.2f}, so {truth:.2f} is left; yours gives "
            f"{value:.2f}"
        )
        tried.append((value, truth, mistakes, message))
    expect_all_near(tried)


@exercise("A push without the word")
def check_push_without_word(attempt):
    """The properties of a fair random vector."""
    expect_fair_random(attempt, "the concept", own_generator=False)


@exercise("Controls that cannot tell")
def check_cannot_separate(attempt):
    """A table of six rows, read by eye, with several pairs of models; then a random one."""
    verdicts = pd.DataFrame(
        {
            "x": ["ruled out", "ruled out", "stands", "cannot tell", "ruled out", "cannot tell"],
            "y": ["stands", "ruled out", "stands", "stands", "cannot tell", "cannot tell"],
            "z": ["stands"] * 5 + ["ruled out"],
        },
        index=["luck", "guess", "bias", "entropy", "push", "order"],
    )
    result = expect_list(call(attempt, verdicts, "x", "y"), "the explanations")
    expect(all(isinstance(name, str) for name in result), f"return names of rows, yours are {result}")
    expect("luck" not in result, "luck has different verdicts for x and y: that control does tell them apart")
    expect(
        "entropy" in result,
        "'cannot tell' for one of the two: that control does not separate them, however the verdicts differ",
    )
    expect("push" in result, "'cannot tell' counts for either model, also the second one")
    rng = random.Random(2026)
    kinds = ("ruled out", "stands", "cannot tell")
    rows = [[rng.choice(kinds) for _ in range(4)] for _ in range(20)]
    large = pd.DataFrame(rows, columns=list("pqrs"), index=[f"control {rng.random():.3f}" for _ in range(20)])
    pairs_only = " (look only at the two models that are named)"
    cases = (
        (verdicts, "x", "y", ""),
        (verdicts, "x", "z", pairs_only),
        (large, "p", "q", ""),
        (large, "s", "q", pairs_only),
    )
    for table, one, another, hint in cases:
        pairs = zip(table.index, table[one], table[another], strict=True)
        truth = [name for name, first, second in pairs if first == second or "cannot tell" in (first, second)]
        result = expect_list(call(attempt, table, one, another), "the explanations")
        expect(
            result == truth,
            f"these do not separate {one} from {another}, each once and in the table's order: {truth}; yours: {result}{hint}",
        )
