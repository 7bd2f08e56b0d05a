"""Checks of the exercises of 09_rule_out_boring_explanations: numbers counted by hand, and properties of the controls."""

import torch

from helpers.exercises.exercise import (
    call,
    exercise,
    expect,
    expect_all_near,
    expect_list,
    expect_number,
    expect_whole_number,
)


@exercise("The shift that is left")
def check_shift_left(attempt):
    """Shifts of both signs counted by hand; the same push everywhere; random numbers."""
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
            "this compares the answers with the vector only; take with minus without first": float(
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


@exercise("Read or written")
def check_split_injection(attempt):
    """Prompts of several lengths; properties: together they are the trial's tokens, and only the last one written."""
    for start, length in ((75, 99), (0, 2), (12, 340)):
        parts = expect_list(call(attempt, start, length), "the result", 2)
        (first, end), (second, last) = (
            expect_list(part, name, 2) for part, name in zip(parts, ("read", "written"), strict=True)
        )
        where = f" (start {start}, length {length}: yours are {first} to {end} and {second} to {last})"
        expect(last is None, "the reply's tokens are not counted beforehand: the end of written is None" + where)
        first, end, second = (expect_whole_number(each, "a token's number") for each in (first, end, second))
        expect(first == start, "the injection begins at start, and so does what is read" + where)
        expect(
            end == second,
            "together the two are the whole injection, no token twice: written begins where read ends" + where,
        )
        expect(
            second < length,
            "the prompt's last token is not only read: there the model chooses the first word of the reply" + where,
        )
        expect(second == length - 1, "the tokens before the prompt's last one choose no word of the reply" + where)
