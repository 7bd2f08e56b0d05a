"""Checks of the exercises of 01_read_activations. The truth comes from plain PyTorch hooks and from masks counted by eye."""

import torch

from helpers import models
from helpers.exercises.exercise import exercise, expect, expect_tensor
from helpers.exercises.organism import largest_difference, organism, plain_streams, request, tokens

CLOSE = 1e-4  # as a share of the largest component: what float32 leaves of two ways to compute one number


def two_rows() -> dict[str, torch.Tensor]:
    """Two requests of equal length in one batch."""
    both = [tokens(request(word)) for word in ("oceans", "bread")]
    return {name: torch.cat([each[name] for each in both]) for name in both[0]}


@exercise("Read one layer")
def check_stream_after(attempt):
    """Two layers of two rows, against hooks."""
    inputs = two_rows()
    truth = plain_streams(inputs)
    for layer in (0, 5):
        result = attempt(organism(), inputs, layer)
        rows, width = truth[0].shape[0], truth[0].shape[2]
        if isinstance(result, torch.Tensor) and result.shape == truth[0].shape:
            expect(False, "this holds all positions; pick the last one, [:, -1]")
        expect_tensor(result, (rows, width), "the stream at the last position")
        below = largest_difference(result, truth[layer][:, -1])
        expect(below > CLOSE, f"this is the stream before block {layer}; `.output` is the stream after it")
        first = largest_difference(result, truth[layer + 1][:, 0])
        expect(first > CLOSE, "this is the first position; the last one is [:, -1]")
        off = largest_difference(result, truth[layer + 1][:, -1])
        expect(off < CLOSE, f"block {layer}'s output at the last position has other values (off by {off:.0%})")


@exercise("Find the last real token")
def check_last_real_token(attempt):
    """Masks counted by eye: padding left, right, none."""
    cases = {
        "right": (torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]), [2, 4]),
        "left": (torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]), [4, 4]),
    }
    for side, (mask, truth) in cases.items():
        result = attempt(mask)
        expect_tensor(result, (2,), "the index of the last real token of each row")
        expect(
            result.tolist() == truth,
            f"with padding on the {side}, the mask {mask.tolist()} has its last real tokens at {truth}, "
            f"yours says {result.tolist()}",
        )


@exercise("What did this block write?")
def check_written_by(attempt):
    """The written parts of all blocks and the embedding add up to the last stream, and each one is right by itself."""
    inputs = tokens(request("oceans"))
    truth = plain_streams(inputs)
    for layer in (0, 4):
        result = attempt(organism(), inputs, layer)
        expect_tensor(result, tuple(truth[0].shape), "what the block wrote")
        expect(
            bool(result.any()),
            "this is zero everywhere: were both names bound to the same tensor? (rule 3, `.clone()`)",
        )
        change = truth[layer + 1] - truth[layer]
        expect(largest_difference(result, -change) > CLOSE, "the sign is the wrong way round: after minus before")
        expect(
            largest_difference(result, truth[layer + 1]) > CLOSE,
            "this is the whole stream after the block; subtract the stream before it",
        )
        off = largest_difference(result, change)
        expect(off < CLOSE, f"output minus input of block {layer} has other values (off by {off:.0%})")


@exercise("A logit lens of your own")
def check_would_say(attempt):
    """At the last block the lens must say what the model says; below, what its own two parts make of the stream."""
    subject, inputs = organism(), two_rows()
    truth, last = plain_streams(inputs), models.number_of_blocks(subject) - 1
    with torch.no_grad():
        said = subject._module(**inputs).logits[:, -1].argmax(-1)
    result = attempt(subject, inputs, last)
    expect_tensor(result, (2,), "one token id for each row")
    expect(result.dtype == torch.long, "token ids are whole numbers: take the argmax of the logits")
    expect(
        torch.equal(result, said),
        f"at the last block the lens must say what the model says, {said.tolist()}; yours says {result.tolist()}",
    )
    for layer in (0, 2):
        with torch.no_grad():
            stream = truth[layer + 1][:, -1]
            truth_here = subject.unembed._module(subject.final_norm._module(stream)).argmax(-1)
        result = attempt(subject, inputs, layer)
        expect(
            torch.equal(result, truth_here),
            f"after block {layer} the lens says {truth_here.tolist()}, yours says {result.tolist()}: is it the stream of "
            "this block, and through both final_norm and unembed?",
        )


@exercise("Who voted for this token?")
def check_votes(attempt):
    """The votes add up to the model's logit, and a part's vote does not change with its neighbours' (linearity)."""
    subject, inputs = organism(), tokens(request("oceans"))
    truth, blocks = [each[0, -1] for each in plain_streams(inputs)], models.number_of_blocks(subject)
    with torch.no_grad():
        logits = subject._module(**inputs).logits[0, -1]
        scale = subject.final_norm._module(truth[-1]) / truth[-1]
    for token in (int(logits.argmax()), 307):
        result = attempt(subject, inputs, token)
        expect_tensor(result, (1 + blocks,), "the votes: one of the embedding, one of each block")
        total = float(result.sum())
        expect(
            abs(total - float(logits[token])) < 1e-2,
            f"the votes for token {token} must add up to its logit {float(logits[token]):.2f}, yours add up to {total:.2f}",
        )
        direction = subject.unembed._module.weight[token] * scale
        shares = [truth[0], *(after - before for before, after in zip(truth, truth[1:], strict=False))]
        for part, share in enumerate(shares):
            vote, name = float(share @ direction), "the embedding" if part == 0 else f"block {part - 1}"
            expect(
                abs(float(result[part]) - vote) < 1e-2,
                f"the sum is right, but the vote of {name} for token {token} is {vote:.2f}, yours is {float(result[part]):.2f}",
            )
