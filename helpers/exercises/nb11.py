"""Checks of the exercises of 11_find_where_it_happens."""

from contextlib import contextmanager

import torch

from helpers.exercises.exercise import exercise, expect, expect_tensor
from helpers.exercises.organism import largest_difference, organism, plain_streams, request, tokens

LAYER, HEAD = 3, 1
CLOSE = 1e-4  # as a share of the largest component


def logits_of(inputs: dict) -> torch.Tensor:
    """Last position, [row, vocabulary], from the model alone."""
    with torch.no_grad():
        return organism()._module(**inputs).logits[:, -1]


@contextmanager
def replaced(layer: int, position: int, value: torch.Tensor):
    """The stream after a block holds `value` at one position, by a hook."""

    def hook(_block, _args, output):
        output = output.clone()
        output[:, position] = value
        return output

    handle = organism().blocks._module[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


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


def slots() -> tuple[int, torch.Tensor]:
    """Number of heads, and the head to which each column of o_proj's weight belongs."""
    number = organism()._module.config.num_attention_heads
    columns = organism().blocks._module[LAYER].self_attn.o_proj.in_features
    return number, torch.arange(columns) // (columns // number)


@exercise("What share came back?")
def check_share_restored(attempt):
    """Both ends, the middle, and words whose own effect is near zero."""
    clean, injected = torch.tensor([-2.0, -1.0, -3.0]), torch.tensor([2.0, 3.0, 1.0])
    value = attempt(clean, injected, clean)
    expect(isinstance(value, float), f"return one number (a float), yours is a {type(value).__name__}")
    expect(value != 1, "a patch that changes nothing restores 0, yours gives 1: is it the share that is still missing?")
    expect(abs(value) < 1e-6, f"a patch that changes nothing restores 0, yours gives {value:.2f}")
    full, half = attempt(clean, injected, injected), attempt(clean, injected, (clean + injected) / 2)
    expect(abs(full - 1) < 1e-6, f"a patch that gives the injected margins restores 1, yours gives {full:.2f}")
    expect(abs(half - 0.5) < 1e-6, f"margins half-way restore 0.5, yours gives {half:.2f}")
    uneven = attempt(torch.zeros(2), torch.tensor([4.0, 0.01]), torch.tensor([2.0, 1.0]))
    expect(
        abs(uneven - 3 / 4.01) < 1e-4,
        f"effects of 4 and 0.01, restored by 2 and 1, are 3 of 4.01 in all, so 0.75; yours gives {uneven:.2f}. "
        "Take the means before you divide: one word without an effect must not decide",
    )


@exercise("Patch one place")
def check_patch_one(attempt):
    """Against a hook, in both kinds of place; the run patched into itself; the last place of all."""
    source, into = tokens(request("oceans")), tokens(request("bread"))
    streams, position = plain_streams(source), source["input_ids"].shape[1] - 2
    clean, last = logits_of(into), len(organism().blocks._module) - 1
    mine = attempt(organism(), source, into, LAYER, position)
    expect_tensor(mine, tuple(clean.shape), "the logits at the last position")
    expect(
        largest_difference(mine, clean) > CLOSE,
        "your run is the one without a patch: was the stream written before the logits were read?",
    )
    expect(
        largest_difference(mine, logits_of(source)) > CLOSE,
        "your logits are those of `source`: the patch goes into a run on `into`, at one position only",
    )
    for number in (LAYER - 1, LAYER + 1):
        with replaced(number, position, streams[number + 1][:, position]):
            expect(largest_difference(mine, logits_of(into)) > CLOSE, f"you patched block {number}, not block {LAYER}")
    with replaced(LAYER, position, streams[LAYER + 1][:, position]):
        truth = logits_of(into)
    expect(largest_difference(mine, truth) < CLOSE, "these are not the logits of the run with one stream replaced")
    same = attempt(organism(), into, into, LAYER, position)
    expect(largest_difference(same, clean) < CLOSE, "a run patched into itself must not change")
    end = attempt(organism(), source, into, last, position + 1)
    expect(
        largest_difference(end, logits_of(source)) < CLOSE,
        "the last position after the last block decides alone: patched there, the logits must be those of `source`",
    )


@exercise("Silence one head")
def check_without_head(attempt):
    """Against the model with the columns of o_proj's weight that read this head set to zero."""
    inputs = tokens(request("oceans"))
    number, owner = slots()
    clean = logits_of(inputs)
    mine = attempt(organism(), inputs, LAYER, HEAD)
    expect_tensor(mine, tuple(clean.shape), "the logits at the last position")
    expect(largest_difference(mine, clean) > CLOSE, "nothing has changed: is o_proj's input itself written to?")
    with only_columns(LAYER, owner < 0):
        expect(largest_difference(mine, logits_of(inputs)) > CLOSE, "you silenced all heads of the block")
    for head in range(number):
        with only_columns(LAYER, owner != head):
            truth = logits_of(inputs)
        right = largest_difference(mine, truth) < CLOSE
        expect(head == HEAD or not right, f"asked for head {HEAD}, you silenced head {head}; the first is head 0")
        expect(
            head != HEAD or right,
            f"head {HEAD} owns one slice of o_proj's input, at every position; you changed something else",
        )


@exercise("A fairer set of random heads")
def check_matched_random_heads(attempt):
    """Counts per block, nothing chosen, no repetition, seeded, and every other head has its chance."""
    chosen, heads = [(4, 0), (4, 3), (6, 1)], 6
    drawn = attempt(chosen, heads, 0)
    expect(isinstance(drawn, list), f"return a list of (block, head) pairs, yours is a {type(drawn).__name__}")
    expect(attempt(chosen, heads, 0) == drawn, "the same seed must give the same set: draw from a generator with it")
    seen, sets = set(), set()
    for seed in range(60):
        drawn = [tuple(map(int, pair)) for pair in attempt(chosen, heads, seed)]
        blocks = sorted(block for block, _ in drawn)
        expect(len(set(drawn)) == len(drawn), f"seed {seed}: a head is drawn twice: {drawn}")
        expect(not set(drawn) & set(chosen), f"seed {seed}: {drawn} holds a chosen head; leave those out")
        expect(blocks == [4, 4, 6], f"the chosen heads lie in the blocks [4, 4, 6], yours in {blocks}")
        expect(all(0 <= head < heads for _, head in drawn), f"heads are numbered 0 to {heads - 1}, yours are {drawn}")
        seen |= set(drawn)
        sets.add(tuple(sorted(drawn)))
    others = {(block, head) for block in (4, 6) for head in range(heads)} - set(chosen)
    expect(len(sets) > 1, "every seed gives the same set: draw at random")
    expect(seen == others, f"in 60 draws some heads are never drawn: {sorted(others - seen)}")
    crowded = attempt([(5, 0), (5, 1), (5, 2)], 4, 0)
    expect(
        [tuple(map(int, pair)) for pair in crowded] == [(5, 3)],
        "three of four heads are chosen: only head 3 is left in block 5, take that one",
    )


@exercise("What does a head write?")
def check_head_writes(attempt):
    """The sum is the attention's output; each part is what is left when all other heads are silent."""
    inputs, seen = tokens(request("oceans")), []
    number, owner = slots()
    attention = organism().blocks._module[LAYER].self_attn
    handle = attention.register_forward_hook(lambda _part, _args, output: seen.append(output[0][0, -1].clone()))
    try:
        logits_of(inputs)
        for head in range(number):
            with only_columns(LAYER, owner == head):
                logits_of(inputs)
    finally:
        handle.remove()
    whole, parts = seen[0], torch.stack(seen[1:])
    mine = attempt(organism(), inputs, LAYER)
    expect_tensor(mine, tuple(parts.shape), "what each head writes")
    expect(
        largest_difference(mine.sum(0), whole) < CLOSE,
        "the parts of all heads must add up to what self_attn puts out at the last position; yours do not",
    )
    expect(
        largest_difference(mine, parts) < CLOSE,
        "the sum is right, but not each head's part: a head's slice meets the columns of o_proj's weight with the same numbers",
    )
