"""Checks of the exercises of 10_raise_a_model_organism: properties, and a tiny random network read by PyTorch hooks."""

import random

import pandas as pd
import torch

from helpers.exercises.exercise import exercise, expect, expect_tensor
from helpers.organisms import network


@exercise("Draw a strength")
def check_draw_strength(attempt):
    """Inside the range, half of the draws below its geometric middle, decided by the generator it is given."""
    rng = random.Random(0)
    drawn = [float(attempt(rng)) for _ in range(4000)]
    outside = [value for value in drawn if not 0.7 - 1e-9 <= value <= 5 + 1e-9]
    expect(not outside, f"strengths lie between 0.7 and 5, yours gave {outside[:1] and round(outside[0], 2)}")
    expect(len(set(drawn)) > 1, "every draw gives the same strength: draw from the generator `rng` that you are given")
    below = sum(value < (0.7 * 5) ** 0.5 for value in drawn) / len(drawn)
    expect(
        abs(below - 0.5) < 0.05,
        f"half of the draws should lie below 1.87, which is as many doublings above 0.7 as below 5; yours: {below:.0%}. "
        "Is it the logarithm that is uniform?",
    )
    expect(
        attempt(random.Random(7)) == attempt(random.Random(7)), "the same generator state must give the same strength"
    )


@exercise("Which logits are scored")
def check_scored_positions(attempt):
    """Two rows counted by hand."""
    result = attempt(5, 9)
    expect(result is not None, "nothing is returned: is a `return` missing?")
    result = list(result)
    expect(
        result != [5, 6, 7, 8],
        "these are the answer's own positions; the logits at position p predict token p + 1, so shift by one",
    )
    expect(8 not in result, "position 8 is the row's last token: what it predicts lies outside the row")
    expect(len(result) == 4, f"the answer has 4 tokens (5 to 8), so 4 positions are scored; yours are {result}")
    expect(result == [4, 5, 6, 7], f"tokens 5 to 8 are predicted at positions 4 to 7, yours are {result}")
    expect(
        list(attempt(1, 2)) == [0], "an answer of one token after a question of one token is predicted at position 0"
    )


@exercise("A push without a gradient")
def check_add_thoughts(attempt):
    """Rows of another layer and masked positions stay, the others move by their vector; gradients stop at the vectors."""
    generator = torch.Generator().manual_seed(0)
    stream = torch.randn(3, 4, 5, generator=generator, requires_grad=True)
    vectors = torch.randn(3, 5, generator=generator, requires_grad=True)
    layers, mask = torch.tensor([2, 2, 6]), torch.tensor([[0.0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]])
    given = stream.detach().clone()
    result = attempt(stream.clone(), vectors, layers, mask, 2)
    expect_tensor(result, (3, 4, 5), "the stream")
    moved = (result - given).detach()
    expect(bool((moved[2].abs() < 1e-6).all()), "row 2 is injected at layer 6, but yours changes it at layer 2 already")
    clean = moved[:2][mask[:2] == 0]
    expect(bool((clean.abs() < 1e-6).all()), "positions where the mask is 0 must stay as they are, yours move")
    expect(
        torch.allclose(moved[0, 2], vectors[0].detach(), atol=1e-5)
        and torch.allclose(moved[1, 1], vectors[1].detach(), atol=1e-5),
        "where layer and mask fit, exactly the row's vector is added",
    )
    frozen = given.clone()
    attempt(frozen, vectors.detach(), layers, mask, 2)
    expect(torch.equal(frozen, given), "your function changes the stream it is given in place; return a new tensor")
    expect(result.requires_grad, "the gradient must still flow through the stream, or the model cannot learn")
    result.sum().backward()
    expect(vectors.grad is None, "a gradient flows into the vectors: detach them")


@exercise("When did it come?")
def check_came_at(attempt):
    """A curve with an early peak and a dip, in shuffled order, beside another measure."""
    steps, low = [0, 20, 40, 60, 80, 100], [0.0, 0.6, 0.3, 0.55, 0.7, 0.8]
    rows = [(s, "yes to a concept", bound + 0.15, bound, bound + 0.25) for s, bound in zip(steps, low, strict=True)]
    rows += [(s, "yes to nothing", 0.1, 0.0, 0.2) for s in steps]
    table = pd.DataFrame(rows, columns=["step", "measure", "value", "low", "high"]).sample(frac=1, random_state=1)
    result = attempt(table.copy(), "yes to a concept", 0.5)
    expect(result != 20, "at step 20 the curve is high for the first time, but it dips below at step 40 again")
    expect(
        attempt(table.copy(), "yes to a concept", 0.65) != 60,
        "at step 60 the value is above 0.65, but the lower end of its interval is not",
    )
    expect(result == 60, f"from step 60 on the lower end stays at or above 0.5; yours says {result!r}")
    never = attempt(table.copy(), "yes to nothing", 0.5)
    expect(never is None, f"'yes to nothing' never reaches 0.5, so the answer is None; yours says {never!r}")
    expect(
        attempt(table.copy(), "yes to nothing", 0.0) == 0, "a lower end equal to the threshold counts, from step 0 on"
    )


@exercise("Vectors from the current weights")
def check_vectors_now(attempt):
    """A tiny network, requests of different lengths, each read alone by hooks on transformers' own forward pass."""
    model = network.build(40, 0, 1, 2, layers=2, width=32, seed=3)
    rng = random.Random(0)
    requests = [[1, *(rng.randrange(3, 40) for _ in range(length))] for length in (3, 5, 4, 6, 3)]
    in_baseline = [False, True, True, True, False]
    states = torch.stack([_last_states(model, request) for request in requests])  # [word, layer, width]
    result = attempt(model, [list(request) for request in requests], list(in_baseline))
    expect_tensor(result, (5, 2, 32), "the vectors")
    expect(not result.requires_grad, "the vectors carry a gradient: compute them under torch.no_grad()")
    everyone = states - states[1:4].mean(0)
    new = [0, 4]  # words outside the baseline: their mean is the plain one
    expect(
        not torch.allclose(result[new], states[new], atol=1e-3),
        "this is the stream itself; subtract the baseline's mean",
    )
    expect(
        torch.allclose(result[new], everyone[new], atol=1e-3),
        "a word outside the baseline has another vector when its request is read alone. Did you read at the last token of "
        "each request, and not at the last column? Is the mean over the baseline words only?",
    )
    expect(
        not torch.allclose(result[1:4], everyone[1:4], atol=1e-3),
        "a baseline word is part of the mean that is subtracted from it; leave it out of its own mean",
    )
    alone = torch.stack([states[i] - states[[j for j in (1, 2, 3) if j != i]].mean(0) for i in (1, 2, 3)])
    expect(
        torch.allclose(result[1:4], alone, atol=1e-3),
        "the mean of a baseline word is that of the other two, divided by 2",
    )


def _last_states(model, request: list[int]) -> torch.Tensor:
    """Stream after every block at the last token of one request, [layer, width]."""
    seen = []
    hooks = [
        block.register_forward_hook(
            lambda _block, _args, output: seen.append((output[0] if isinstance(output, tuple) else output)[0, -1])
        )
        for block in model.model.layers
    ]
    try:
        with torch.no_grad():
            model(torch.tensor([request]))
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(seen)
