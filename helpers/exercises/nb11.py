"""Checks of the exercises of 11_find_where_it_happens."""

from contextlib import contextmanager

import torch

from helpers.exercises.exercise import (
    call,
    exercise,
    expect_all_near,
    expect_number,
    expect_tensor,
)
from helpers.exercises.organism import (
    MASK_DROPPED,
    call_on_organism,
    hooked,
    last_logits,
    organism,
    plain_streams,
    request,
    tokens,
    without_mask,
)


@exercise("What share came back?")
def check_share_restored(attempt):
    """Both ends, the middle, words whose own effect is near zero, shares below 0 and above 1, random margins."""
    clean, injected = torch.tensor([-2.0, -1.0, -3.0]), torch.tensor([2.0, 3.0, 1.0])
    noise = torch.randn(3, 8, generator=torch.Generator().manual_seed(2026))
    cases = [
        (clean, injected, clean, "a patch that changes nothing"),
        (clean, injected, injected, "a patch that gives the injected margins"),
        (clean, injected, (clean + injected) / 2, "margins half-way"),
        (
            torch.zeros(2),
            torch.tensor([4.0, 0.01]),
            torch.tensor([2.0, 1.0]),
            "effects of 4 and 0.01, restored by 2 and 1,",
        ),
        (clean, injected, clean - 1, "a patch that moves away from the injected margins"),
        (clean, injected, injected + 2, "a patch that goes beyond the injected margins"),
        (injected, clean, noise[0, :3], "an injection that lowers the margins"),
        (noise[0], noise[1] + 4, noise[2] + 1, "random margins"),
    ]
    tried = []
    for before, after, patched, what in cases:
        value = expect_number(call(attempt, before, after, patched), "the share")
        effects, restored = (after - before).tolist(), (patched - before).tolist()
        truth = sum(restored) / sum(effects)
        mistakes = {
            "this is the share that is still missing; return the one that came back": 1 - truth,
            "take the means before you divide: one word without an effect must not decide": sum(
                part / whole for part, whole in zip(restored, effects, strict=True)
            )
            / len(effects),
            "subtract the clean margins below the line as well": sum(restored) / float(after.sum())
            if after.any()
            else 0.0,
            "this is the whole effect divided by the restored one; the other way round": 1 / truth if truth else 0.0,
            "shares may lie below 0 or above 1: do not cut them off": min(max(truth, 0.0), 1.0),
            "effects have a sign: do not take absolute values": sum(map(abs, restored)) / sum(map(abs, effects)),
            "this is the restored effect itself; divide it by the whole one": sum(restored) / len(restored),
        }
        tried.append((value, truth, mistakes, f"{what} restores {truth:.2f}, yours gives {value:.2f}"))
    expect_all_near(tried)


def patched_logits(source: dict, into: dict, layer: int, where: slice, change=lambda _old, new: new) -> torch.Tensor:
    """Last-position logits of `into` with the stream of `source` after `layer` at the positions `where`, by a hook."""
    carried = plain_streams(source)[layer + 1]

    def write(stream: torch.Tensor) -> None:
        stream[:, where] = change(stream[:, where], carried[:, where])

    with hooked(layer, write):
        return last_logits(into)


@exercise("Patch one place")
def check_patch_one(attempt):
    """Two padded rows against a hook, at several places; the run patched into itself; the last place of all."""
    phrases = ("an old silver spoon", "the small red door", "a little red ball", "the warm white bread")
    four = tokens(*map(request, phrases), padding=2)  # together, so that all have one length
    source, into = ({name: each[rows] for name, each in four.items()} for rows in (slice(2), slice(2, 4)))
    length, last = source["input_ids"].shape[1], len(organism().blocks._module) - 1
    masked, tried = (source, into), []
    for source, into, layer, position in (
        (*masked, 3, length - 4),
        (*masked, last, length - 1),
        (masked[1], masked[1], 1, length - 2),
    ):
        clean, unmasked = last_logits(into), (without_mask(source), without_mask(into))
        mine = call_on_organism(attempt, source, into, layer, position)
        mine = expect_tensor(mine, tuple(clean.shape), "the logits at the last position")
        place = slice(position, position + 1)
        mistakes = {
            "your run is the one without a patch: was the stream written before the logits were read?": clean,
            "your logits are those of `source`: the patch goes into a run on `into`, at one position only": last_logits(
                source
            ),
            "the patch is carried from `into` to `source`; the other way round": patched_logits(
                into, source, layer, place
            ),
            "this is the stream before the block; `.output` is the stream after it": patched_logits(
                source, into, max(layer - 1, 0), place
            ),
            "all positions up to this one are patched; patch this one only": patched_logits(
                source, into, layer, slice(0, position + 1)
            ),
            "all positions from this one on are patched; patch this one only": patched_logits(
                source, into, layer, slice(position, None)
            ),
            "the position before is patched": patched_logits(source, into, layer, slice(position - 1, position)),
            "the last position is patched, whatever `position` says": patched_logits(
                source, into, layer, slice(-1, None)
            ),
            "the stream of `source` is added; put it in place of the old one": patched_logits(
                source, into, layer, place, lambda old, new: old + new
            ),
            "only the first row is patched; patch every row": patched_logits(
                source, into, layer, place, lambda old, new: torch.cat([new[:1], old[1:]])
            ),
            "the run on `source` has lost its attention mask": patched_logits(unmasked[0], into, layer, place),
            "the run on `into` has lost its attention mask": patched_logits(source, unmasked[1], layer, place),
            "both runs have lost their attention mask: hand the whole of `source` and `into` to the model": patched_logits(
                *unmasked, layer, place
            ),
        }
        truth = patched_logits(source, into, layer, place)
        message = f"these are not the logits of the run with one stream replaced (block {layer}, position {position})"
        if layer == last:
            message = "the last position after the last block decides alone: patched there, the logits must be those of `source`"
        if source is into:
            message = "a run patched into itself must not change"
        if layer < last:
            mistakes["this is the stream after the next block"] = patched_logits(source, into, layer + 1, place)
        tried.append((mine, truth, mistakes, message))
    expect_all_near(tried)


@contextmanager
def only_columns(layer: int, kept: torch.Tensor):
    """Columns of o_proj's weight that are not `kept` (true or false for each) are zero."""
    weight = organism().blocks._module[layer].self_attn.o_proj.weight
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight *= kept.to(weight)
        yield
    finally:
        with torch.no_grad():
            weight.copy_(before)


def head_of_column(layer: int) -> torch.Tensor:
    """The head to which each column of o_proj's weight belongs."""
    number = organism()._module.config.num_attention_heads
    columns = organism().blocks._module[layer].self_attn.o_proj.in_features
    return torch.arange(columns) // (columns // number)


@exercise("Silence one head")
def check_without_head(attempt):
    """Two padded rows against the model with the columns of o_proj's weight that read this head set to zero."""
    inputs = tokens(request("oceans"), request("an old silver spoon"), padding=2)
    number, clean = organism()._module.config.num_attention_heads, last_logits(inputs)
    tried = []
    for layer, head in ((3, 1), (3, number - 1), (5, 0)):
        owner = head_of_column(layer)

        def logits(kept: torch.Tensor, inputs: dict = inputs, layer: int = layer) -> torch.Tensor:
            with only_columns(layer, kept):
                return last_logits(inputs)

        mine = call_on_organism(attempt, inputs, layer, head)
        mine = expect_tensor(mine, tuple(clean.shape), "the logits at the last position")
        place = torch.arange(len(owner))
        truth = logits(owner != head)
        mistakes = {
            "nothing has changed: is o_proj's input itself written to?": clean,
            "you silenced all heads of the block": logits(owner < 0),
            "you silenced all heads but this one": logits(owner == head),
            "you silenced the head before; the first is head 0": logits(owner != (head - 1) % number),
            "you silenced the next head; the first is head 0": logits(owner != (head + 1) % number),
            "a head owns one slice of o_proj's input, its numbers lie side by side": logits(place % number != head),
            "only the first row is silenced; silence every row": torch.cat([truth[:1], clean[1:]]),
            MASK_DROPPED: logits(owner != head, without_mask(inputs)),
        }
        message = (
            f"head {head} of block {layer} owns one slice of o_proj's input, at every position and in every row; you changed "
            "something else"
        )
        tried.append((mine, truth, mistakes, message))
    expect_all_near(tried)


@exercise("What does a head write?")
def check_head_writes(attempt):
    """The sum is the attention's output; each part is what is left when all other heads are silent. Two padded rows."""
    inputs = tokens(request("oceans"), request("an old silver spoon"), padding=2)
    number, tried = organism()._module.config.num_attention_heads, []

    def attention(layer: int, kept: torch.Tensor, inputs: dict = inputs) -> torch.Tensor:
        """What the attention of a block puts out, [row, position, width], with some columns of o_proj alone."""
        seen = []
        block = organism().blocks._module[layer].self_attn
        handle = block.register_forward_hook(lambda _part, _args, output: seen.append(output[0].clone()))
        try:
            with only_columns(layer, kept):
                last_logits(inputs)
        finally:
            handle.remove()
        return seen[0]

    for layer in (3, 5):
        owner = head_of_column(layer)
        everywhere = torch.stack(
            [attention(layer, owner == head) for head in range(number)]
        )  # [head, row, position, width]
        unmasked = [attention(layer, owner == head, without_mask(inputs)) for head in range(number)]
        mine = expect_tensor(
            call_on_organism(attempt, inputs, layer), (number, everywhere.shape[-1]), "what each head writes"
        )
        truth = everywhere[:, 0, -1]
        mistakes = {
            "the sum is right, but every head has the same share": truth.mean(0).expand_as(truth),
            "these are the parts of the last row; take the first row": everywhere[:, -1, -1],
            "these are the parts at the first position; take the last one": everywhere[:, 0, 0],
            "these are the parts at the position before the last one": everywhere[:, 0, -2],
            "this is what all other heads write together": truth.sum(0) - truth,
            MASK_DROPPED: torch.stack(unmasked)[:, 0, -1],
        }
        added = mine.sum(0)
        off = float((added - truth.sum(0)).abs().max() / truth.sum(0).abs().max())
        message = (
            f"the parts of all heads must add up to what self_attn puts out at the last position; yours are off by {off:.0%}"
            if off > 1e-3
            else "the sum is right, but not each head's part: a head's slice meets the columns of o_proj's weight with the same "
            "numbers"
        )
        tried.append((mine, truth, mistakes, message))
    expect_all_near(tried)
