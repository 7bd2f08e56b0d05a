"""Checks of the exercises of 01_read_activations. The truth comes from plain PyTorch hooks and from masks counted by eye."""

import torch

from helpers import concepts, models
from helpers.exercises.exercise import call, exercise, expect, expect_all_near, expect_tensor
from helpers.exercises.organism import (
    MASK_DROPPED,
    call_on_organism,
    largest_difference,
    last_logits,
    organism,
    plain_streams,
    request,
    tokens,
    without_mask,
)


def padded_rows() -> dict[str, torch.Tensor]:
    """Two requests of different lengths in one batch, so that both have padding in front."""
    return tokens(request("oceans"), request("an old silver spoon"), padding=3)


def after_final_norm(stream: torch.Tensor) -> torch.Tensor:
    """What the model's last norm makes of a stream."""
    with torch.no_grad():
        return organism().final_norm._module(stream)


@exercise("Read one layer")
def check_stream_after(attempt):
    """Three layers of two padded rows, against hooks."""
    inputs, last = padded_rows(), models.number_of_blocks(organism()) - 1
    streams, unmasked = plain_streams(inputs), plain_streams(without_mask(inputs))
    rows, _, width = streams[0].shape
    tried = []
    for layer in (0, 5, last):
        result, stream = call_on_organism(attempt, inputs, layer), streams[layer + 1]
        everywhere = isinstance(result, torch.Tensor) and result.shape == stream.shape
        expect(not everywhere, "this holds all positions; pick the last one, [:, -1]")
        result = expect_tensor(result, (rows, width), "the stream at the last position")
        mistakes = {
            "this is the stream before the block; `.output` is the stream after it": streams[layer][:, -1],
            "this is the first position; the last one is [:, -1]": stream[:, 0],
            MASK_DROPPED: unmasked[layer + 1][:, -1],
            "this is the stream after final_norm, not the one right after the block": after_final_norm(stream[:, -1]),
        }
        if layer == last:
            hidden_state = (
                "transformers' last hidden state has been through final_norm; the stream after the last block has not"
            )
            mistakes[hidden_state] = after_final_norm(stream[:, -1])
        off = f"block {layer}'s stream there is another (off by {largest_difference(result, stream[:, -1]):.0%})"
        tried.append((result, stream[:, -1], mistakes, off))
    expect_all_near(tried)


@exercise("Find the last real token")
def check_last_real_token(attempt):
    """Masks counted by eye: padding on the right, on the left, none; first rows with and without padding."""
    cases = (
        ("on the right", [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], [2, 4]),
        ("on the left", [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], [4, 4]),
        ("on the right", [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], [3, 0, 1]),
        ("on the left", [[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 1]], [5, 5, 5]),
        ("nowhere", [[1, 1, 1]], [2]),
    )
    for side, mask, truth in cases:
        result = call(attempt, torch.tensor(mask))
        result = expect_tensor(result, (len(mask),), "the index of the last real token of each row")
        expect(
            result.tolist() == truth,
            f"with padding {side}, the mask {mask} has its last real tokens at {truth}, yours says {result.tolist()}",
        )


@exercise("What did this block write?")
def check_written_by(attempt):
    """Three layers of two padded rows, against hooks."""
    inputs, last = padded_rows(), models.number_of_blocks(organism()) - 1
    streams, unmasked = plain_streams(inputs), plain_streams(without_mask(inputs))
    tried = []
    for layer in (0, 4, last):
        before, after = streams[layer : layer + 2]
        result = call_on_organism(attempt, inputs, layer)
        result = expect_tensor(result, tuple(after.shape), "what the block wrote")
        expect(
            bool(result.any()),
            "this is zero everywhere: were both names bound to the same tensor? (rule 3, `.clone()`)",
        )
        with torch.no_grad():
            block = organism().blocks._module[layer]
            attended = block.self_attn.o_proj(_input_of(block.self_attn.o_proj, inputs))
        mistakes = {
            "the sign is the wrong way round: after minus before": before - after,
            "this is the whole stream after the block; subtract the stream before it": after,
            MASK_DROPPED: unmasked[layer + 1] - unmasked[layer],
            "this is what the block's attention wrote; its MLP writes as well": attended,
            "this is what the block's MLP wrote; its attention writes as well": after - before - attended,
            "this is minus the embedding; subtract the stream right before this block": after - streams[0],
        }
        if layer == last:
            hidden_state = (
                "transformers' last hidden state has been through final_norm; the stream after the last block has not"
            )
            mistakes[hidden_state] = after_final_norm(after) - before
        off = (
            f"output minus input of block {layer} is another (off by {largest_difference(result, after - before):.0%})"
        )
        tried.append((result, after - before, mistakes, off))
    expect_all_near(tried)


def _input_of(part: torch.nn.Module, inputs: dict) -> torch.Tensor:
    """What one part of the organism receives in a run on `inputs`."""
    seen = []
    handle = part.register_forward_pre_hook(lambda _part, received: seen.append(received[0].clone()))
    try:
        last_logits(inputs)
    finally:
        handle.remove()
    return seen[0]


@exercise("A logit lens of your own")
def check_would_say(attempt):
    """Four layers of fifty padded rows: what final_norm and unembed make of the stream; at the end, what the model says."""
    inputs = tokens(*map(request, concepts.paper_concepts()), padding=3)
    streams, unmasked = plain_streams(inputs), plain_streams(without_mask(inputs))
    subject, last = organism(), models.number_of_blocks(organism()) - 1

    def lens(stream: torch.Tensor) -> list[int]:
        with torch.no_grad():
            return subject.unembed._module(stream).argmax(-1).tolist()

    for layer in (last, last - 1, 3, 0):
        stream = streams[layer + 1][:, -1]
        normed = after_final_norm(stream)
        truth = lens(normed)
        result = call_on_organism(attempt, inputs, layer)
        result = expect_tensor(result, (len(truth),), "one token id for each row")
        whole = not result.is_floating_point()
        expect(whole, "token ids are whole numbers: take the argmax of the logits, not the logits")
        result = result.tolist()
        mistakes = {
            "final_norm is missing: it comes between stream and unembed": lens(stream),
            "this stream has been through final_norm twice": lens(after_final_norm(normed)),
            f"this is the stream before block {layer}": lens(after_final_norm(streams[layer][:, -1])),
            MASK_DROPPED: lens(after_final_norm(unmasked[layer + 1][:, -1])),
        }
        for message, values in mistakes.items():
            expect(result == truth or result != values, message)
        row = next((row for row, pair in enumerate(zip(result, truth, strict=True)) if pair[0] != pair[1]), 0)
        says = f"in row {row} of the check's batch the lens says token {truth[row]} after block {layer}, yours {result[row]}"
        expect(layer < last or result == truth, f"at the last block the lens must say what the model says: {says}")
        expect(
            result == truth,
            f"{says}: is it the stream of this block, at the last position, and through both final_norm and unembed?",
        )


@exercise("Who voted for this token?")
def check_votes(attempt):
    """The votes add up to the model's logit, and each part's vote is right by itself; the first of two padded rows."""
    subject, inputs = organism(), padded_rows()
    streams, blocks = [each[0, -1] for each in plain_streams(inputs)], models.number_of_blocks(subject)
    logits, unmasked = last_logits(inputs), last_logits(without_mask(inputs))
    scale = after_final_norm(streams[-1]) / streams[-1]
    for token in (int(logits[0].argmax()), 307, int(logits[1].argmax())):
        result = call_on_organism(attempt, inputs, token)
        result = expect_tensor(result, (1 + blocks,), "the votes (one of the embedding, one of each block)")
        total, logit = float(result.sum()), float(logits[0, token])
        right = abs(total - logit) < 1e-2
        expect(right or abs(total - float(unmasked[0, token])) > 1e-2, MASK_DROPPED)
        expect(
            right or abs(total - float(logits[1, token])) > 1e-2, "these are the votes in the last row; take the first"
        )
        expect(right, f"the votes for token {token} must add up to its logit {logit:.2f}, yours add up to {total:.2f}")
        direction = subject.unembed._module.weight[token] * scale
        shares = [streams[0], *(after - before for before, after in zip(streams, streams[1:], strict=False))]
        for part, share in enumerate(shares):
            vote, name = float(share @ direction), "the embedding" if part == 0 else f"block {part - 1}"
            expect(
                abs(float(result[part]) - vote) < 1e-2,
                f"the sum is right, but the vote of {name} for token {token} is {vote:.2f}, yours is {float(result[part]):.2f}",
            )
