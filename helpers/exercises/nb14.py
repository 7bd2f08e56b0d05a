"""Checks of the exercises of 14_find_what_a_claim_needs: angles, lengths and parts along directions, counted anew."""

import torch

from helpers.exercises.exercise import call, exercise, expect, expect_tensor
from helpers.exercises.nb02 import expect_fair_random, some_numbers


@exercise("Partly the word")
def check_push_with_cosine(attempt):
    """A fair random vector at a cosine of 0; norm and cosine at others; the word itself at 1; new noise with a new seed."""
    expect_fair_random(lambda concept, seed: attempt(concept, 0.0, seed), "the concept", own_generator=False)
    for width, cosine in ((64, 0.25), (64, 0.6), (200, -0.5), (200, 0.95), (33, 1.0)):
        concept = some_numbers(width, seed=2026) * 3
        pushes = [expect_tensor(call(attempt, concept, cosine, seed), (width,), "the push") for seed in (1, 2)]
        for push in pushes:
            found, ratio = float(torch.cosine_similarity(push, concept, dim=0)), float(push.norm() / concept.norm())
            expect(
                abs(found - cosine) < 1e-3,
                f"asked for a cosine of {cosine:g} your push has one of {found:.3f}: its part along the concept must be that "
                "share of its whole length",
            )
            expect(abs(ratio - 1) < 1e-3, f"its norm must be that of the concept, yours is {ratio:.2f} times that")
        same = torch.allclose(*pushes, atol=1e-4)
        expect(same == (cosine == 1), "what is not the word must be a new random direction with each seed")


@exercise("Inside the directions")
def check_keep_inside(attempt):
    """Directions that are turned axes: nothing of the push may be left off them, what is along them keeps its shape and sign."""
    for width, count in ((6, 2), (64, 18), (33, 1), (40, 40)):
        turned = torch.linalg.qr(some_numbers(width * width, seed=count).reshape(width, width)).Q
        directions, others = turned[:, :count], turned[:, count:]
        push = some_numbers(width, seed=2026 + width) * 3
        part = expect_tensor(call(attempt, push, directions), (width,), "the part")
        left = float((others.T @ part).norm() / push.norm())
        expect(
            left < 1e-3,
            f"of a push of length 1, a length of {left:.2f} at right angles to all directions is still in it",
        )
        along = directions.T @ push
        same = float(torch.cosine_similarity(directions.T @ part, along, dim=0))
        expect(
            same > 0.999,
            f"along the directions it must be what the push is there; the cosine of the two is {same:.2f} for {count} directions",
        )
        ratio = float(part.norm() / push.norm())
        expect(abs(ratio - 1) < 1e-3, f"it must be as long as the push, yours is {ratio:.2f} times that")


@exercise("Hold and vary")
def check_hold_and_vary(attempt):
    """Numbers by hand, with ends that count and an order that differs from that of all; random numbers."""
    by_hand = ([5.0, 2.0, 9.0, 3.0, 4.0, 1.0], [-3.0, 7.0, 0.0, -5.0, 6.0, 8.0], 2.0, 5.0)
    generator = torch.Generator().manual_seed(2026)
    drawn = [torch.randn(200, generator=generator).tolist() for _ in range(2)]
    for held, varied, low, high in (by_hand, (*drawn, -0.3, 0.8), (*drawn, 5.0, 6.0)):
        found = call(attempt, torch.tensor(held), torch.tensor(varied), low, high)
        places = sorted((i for i, each in enumerate(held) if low <= each <= high), key=lambda i: varied[i])
        found = expect_tensor(found, (len(places),), f"the places of those from {low:g} to {high:g}").tolist()
        where = f"held {held[:6]}, varied {varied[:6]}, {low:g} to {high:g}: " if len(held) == 6 else ""
        within = [sorted(places).index(place) for place in places]
        expect(
            not places or found != within, where + "these count within the chosen ones; a place counts among all pushes"
        )
        expect(found != places[::-1] or len(places) < 2, where + "the smallest comes first")
        expect(sorted(found) == sorted(places), where + f"the places must be {sorted(places)[:9]}, in some order")
        expect(found == places, where + "in the order of what varies: not yet sorted by it")
