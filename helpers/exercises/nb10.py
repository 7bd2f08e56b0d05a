"""Checks of the exercises of 10_raise_a_model_organism: properties, and a tiny random network read by PyTorch hooks."""

import random

import pandas as pd
import torch

from helpers.exercises.exercise import (
    call,
    exercise,
    expect,
    expect_all_near,
    expect_list,
    expect_near,
    expect_tensor,
    expect_whole_number,
)
from helpers.organisms import network


@exercise("Which logits are scored")
def check_scored_positions(attempt):
    """Rows counted by hand: the position before each token of the answer."""
    for start, length in ((5, 9), (1, 2), (3, 4), (1, 6), (12, 20)):
        result = expect_list(call(attempt, start, length), "the positions")
        answer = list(range(start, length))
        truth = [token - 1 for token in answer]
        expect(
            result != answer,
            "these are the answer's own positions; the logits at position p predict token p + 1, so shift by one",
        )
        expect(
            length - 1 not in result,
            f"position {length - 1} is the row's last token: what it predicts lies outside the row",
        )
        expect(
            result == truth,
            f"an answer of the tokens {start} to {length - 1} is predicted at the positions {truth}, yours are {result}",
        )


@exercise("A push without a gradient")
def check_add_thoughts(attempt):
    """Three layers, masks with gaps; every stream computed row by row; gradients stop at the vectors, not at the stream."""
    generator = torch.Generator().manual_seed(0)
    stream = torch.randn(4, 5, 6, generator=generator, requires_grad=True)
    vectors = torch.randn(4, 6, generator=generator, requires_grad=True)
    layers, mask = (
        torch.tensor([2, 2, 6, 4]),
        torch.tensor([[0.0, 0, 1, 1, 0], [1, 0, 1, 0, 1], [1] * 5, [0, 1, 1, 1, 1]]),
    )
    tried = []
    for number in (2, 6, 5):
        result = call(attempt, stream, vectors, layers, mask, number)
        moved = expect_tensor(result, tuple(stream.shape), "the stream") - stream.detach()
        ours = (layers == number).float()[:, None, None]
        push, masked = vectors.detach()[:, None, :], mask[:, :, None]
        truth = ours * masked * push
        mistakes = {
            "nothing is added": 0 * truth,
            "the layers make no difference: a row is pushed only where `layers` is `number`": masked * push,
            "a row is pushed from its layer on; push it at that layer only": (layers <= number)[:, None, None]
            * masked
            * push,
            "all rows are pushed or none; each row has a layer of its own": (
                masked * push if bool(ours.all()) else 0 * truth
            ),
            "positions where the mask is 0 must stay as they are, yours move": ours * push.expand_as(truth),
            "the mask is the wrong way round: 1 is pushed, 0 is not": ours * (1 - masked) * push,
            "only the first position of each mask is pushed; push them all": ours
            * ((mask.cumsum(1) == 1) * mask)[:, :, None]
            * push,
            "the vector has replaced the stream; add it": ours * masked * (push - stream.detach()),
            "the vector is subtracted; add it": -truth,
            "every row must get its own vector": ours * masked * push[:1],
        }
        row, position = divmod(int((moved - truth).abs().sum(-1).argmax()), mask.shape[1])
        message = (
            f"for number {number}, row {row} (layer {int(layers[row])}) moves at position {position} (mask "
            f"{int(mask[row, position])}) by another vector than asked for"
        )
        tried.append((moved, truth, mistakes, message))
    expect_all_near(tried)
    result = attempt(stream.clone(), vectors, layers, mask, 2)
    expect(result.requires_grad, "the gradient must still flow through the stream, or the model cannot learn")
    result.sum().backward()
    expect(stream.grad is not None, "the gradient must still flow through the stream, or the model cannot learn")
    expect(vectors.grad is None, "a gradient flows into the vectors: detach them")


@exercise("When did it come?")
def check_came_at(attempt):
    """A curve with an early peak and a dip, in mixed order, beside another measure; then random curves."""
    steps, low = [0, 20, 40, 60, 80, 100], [0.0, 0.6, 0.3, 0.55, 0.7, 0.8]
    rows = [(s, "yes to a concept", bound + 0.15, bound, bound + 0.25) for s, bound in zip(steps, low, strict=True)]
    rows += [(s, "yes to nothing", 0.1, 0.0, 0.2) for s in steps]
    cases = [(rows, "yes to a concept", 0.5), (rows, "yes to a concept", 0.65), (rows, "yes to nothing", 0.5)]
    cases += [(rows, "yes to nothing", 0.0), (rows, "yes to a concept", 0.7), (rows, "yes to a concept", 0.3)]
    for seed in range(12):
        rng, random_rows = random.Random(seed), []
        for measure in ("names it", "yes to a concept"):
            for step in sorted(rng.sample(range(1000), 9)):
                bound = rng.choice((0.2, 0.4, 0.6, 0.8))
                random_rows.append((step, measure, bound + rng.random() / 5, bound, bound + 0.3))
        cases.append((random_rows, "names it", 0.4))
    for number, (rows, measure, threshold) in enumerate(cases):
        columns = ["step", "measure", "value", "low", "high"]
        table = pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=number)
        curve = sorted((step, bound) for step, name, _, bound, _ in rows if name == measure)
        values = sorted((step, value) for step, name, value, _, _ in rows if name == measure)
        from_then_on = [step for i, (step, _) in enumerate(curve) if all(bound >= threshold for _, bound in curve[i:])]
        truth = from_then_on[0] if from_then_on else None
        result = call(attempt, table, measure, threshold)
        if result is not None:
            result = expect_whole_number(result, "the step")
        if result == truth:
            continue
        lower_ends = f"the lower ends of {measure!r} are {curve}"
        first = next((step for step, bound in curve if bound >= threshold), None)
        by_value = [step for i, (step, _) in enumerate(values) if all(value >= threshold for _, value in values[i:])]
        if truth is None:
            why = "at the last step the curve is below the threshold, so the answer is None"
        elif result is None:
            why = f"from step {truth} on they stay at or above {threshold}"
        elif result == first:
            why = f"at step {first} the curve is there for the first time, but it dips below {threshold} again"
        elif by_value and result == by_value[0]:
            why = f"at step {result} the value is there to stay, but the lower end of its interval is not"
        else:
            why = f"from step {truth} on they stay at or above {threshold} (a lower end equal to the threshold counts)"
        expect(False, f"{lower_ends}: {why}; yours says {result!r}")


@exercise("Vectors from the current weights")
def check_vectors_now(attempt):
    """A tiny network, requests of different lengths, each read alone by hooks on transformers' own forward pass."""
    model = network.build(40, 0, 1, 2, layers=2, width=32, seed=3)
    rng = random.Random(0)
    requests = [[1, *(rng.randrange(3, 40) for _ in range(length))] for length in (3, 5, 4, 6, 3)]
    in_baseline = [False, True, True, True, False]
    states = torch.stack([_last_states(model, request) for request in requests])  # [word, layer, width]
    result = call(attempt, model, requests, in_baseline)
    carries_gradient = isinstance(result, torch.Tensor) and result.requires_grad
    expect(not carries_gradient, "the vectors carry a gradient: compute them under torch.no_grad()")
    result = expect_tensor(result, (len(requests), 2, 32), "the vectors")
    baseline = [i for i, inside in enumerate(in_baseline) if inside]

    def minus(means: list) -> torch.Tensor:
        return torch.stack([state - mean for state, mean in zip(states, means, strict=True)])

    def others(word: int, among: list[int]) -> torch.Tensor:
        return states[[i for i in among if i != word]]

    everyone = range(len(requests))
    mistakes = {
        "this is the stream itself; subtract the baseline's mean": states,
        "a baseline word is part of the mean that is subtracted from it; leave it out of its own mean": minus(
            [states[baseline].mean(0)] * len(requests)
        ),
        "the mean is over all words; take it over the baseline words only": minus(
            [others(i, everyone).mean(0) for i in everyone]
        ),
        "the mean is over all words, the word itself too; take it over the other baseline words": states
        - states.mean(0),
        "the mean is over the words outside the baseline": minus(
            [others(i, [j for j in everyone if j not in baseline]).mean(0) for i in everyone]
        ),
        "for a baseline word one state fewer is summed: divide by one fewer, too": minus(
            [others(i, baseline).sum(0) / len(baseline) for i in everyone]
        ),
        "for a word outside the baseline all baseline states are summed: divide by their full number": minus(
            [others(i, baseline).sum(0) / (len(baseline) - 1) for i in everyone]
        ),
    }
    expect_near(
        result,
        minus([others(i, baseline).mean(0) for i in everyone]),
        mistakes,
        "these are other vectors than each request gives when it is read alone. Did you read at the last token of each request, "
        "and not at the last column? Is the mean over the other baseline words?",
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
