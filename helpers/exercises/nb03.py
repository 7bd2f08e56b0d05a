"""Checks of the exercises of 03_inject_a_thought: spans and masks counted by eye, injections by plain PyTorch hooks."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from itertools import count, product

import torch

from helpers import models
from helpers.exercises.exercise import (
    call,
    exercise,
    expect,
    expect_all_near,
    expect_bool,
    expect_list,
    expect_tensor,
    kind,
)
from helpers.exercises.organism import (
    MASK_DROPPED,
    call_on_organism,
    hooked,
    organism,
    plain_streams,
    request,
    tokens,
    without_mask,
)

LAYER, STEPS = 3, 6


@exercise("Which tokens are pushed?")
def check_pushed_tokens(attempt):
    """Spans counted by eye: on to the end, inside the prompt, empty, from the reply on; no reply at all."""
    no, yes = False, True
    cases = (
        ((5, 3, 2, None), [no, no, yes, yes, yes, yes, yes, yes]),
        ((5, 3, 2, 4), [no, no, yes, yes, no, no, no, no]),
        ((4, 2, 4, None), [no, no, no, no, yes, yes]),
        ((3, 2, 0, 3), [yes, yes, yes, no, no]),
        ((3, 4, 5, None), [no, no, no, no, no, yes, yes]),
        ((3, 2, 0, 0), [no, no, no, no, no]),
        ((4, 0, 1, None), [no, yes, yes, yes]),
    )
    for (prompt, reply, start, end), truth in cases:
        span = f"prompt {prompt}, reply {reply}, span [{start}, {end})"
        result = expect_list(call(attempt, prompt, reply, start, end), "the result")
        expect(
            len(result) == prompt + reply,
            f"{span}: one value for each of {prompt + reply} tokens, yours has {len(result)}",
        )
        result = [each == 1 if each in (0, 1) else expect_bool(each, "each value") for each in result]
        expect(
            end is not None or reply == 0 or any(result[prompt:]),
            f"{span}: end None goes on through the reply, yours stops at the prompt's end",
        )
        expect(
            end is None or not any(result[prompt:]), f"{span}: the span ends in the prompt, yours pushes the reply too"
        )
        expect(result == truth, f"{span}: the pushed tokens are {truth}, yours are {result}")


@exercise("Turn, do not lengthen")
def check_turned(attempt):
    """A right angle worked out by hand, then random streams; every token keeps its own norm; a zero push changes nothing."""
    by_hand = torch.tensor([[[3.0, 0.0], [0.0, 1.0]], [[-6.0, 0.0], [0.0, -2.0]]])
    generator = torch.Generator().manual_seed(2026)
    streams = [(by_hand, torch.tensor([0.0, 3.0]))]
    streams += [(torch.randn(3, 4, 6, generator=generator) * 5, torch.randn(6, generator=generator) * 8)]
    streams += [(torch.randn(1, 2, 9, generator=generator), torch.zeros(9))]
    tried = []
    for stream, push in streams:
        result = expect_tensor(call(attempt, stream, push), tuple(stream.shape), "the stream")
        moved, norms = stream + push, stream.norm(dim=-1, keepdim=True)
        # token by token, without broadcasting
        rows = [[(t + push) / (t + push).norm() * t.norm() for t in row] for row in stream]
        truth = torch.stack([torch.stack(row) for row in rows])
        mistakes = {
            "nothing has changed: add the push first": stream,
            "the push is added, but the old norms are not given back": moved,
            "this is one norm for everything; each token needs its own, dim=-1": moved * stream.norm() / moved.norm(),
            "every token has the norm 1 now; give it the norm that it had before": truth / norms,
            "the factor is upside down: multiply by the old norm, divide by the new one": moved
            * moved.norm(dim=-1, keepdim=True)
            / norms,
            "these norms are taken over the positions; take each token's own, dim=-1": moved
            * stream.norm(dim=1, keepdim=True)
            / moved.norm(dim=1, keepdim=True),
        }
        shown = f"[3, 0] pushed by [0, 3] points half way up: {truth[0, 0].tolist()}, yours is {result[0, 0].tolist()}"
        off = int((result.norm(dim=-1) - norms[..., 0]).abs().flatten().argmax())
        before, after = float(norms.flatten()[off]), float(result.norm(dim=-1).flatten()[off])
        if abs(before - after) > 1e-3:
            shown = f"token {off % stream.shape[1]} of row {off // stream.shape[1]} had the norm {before:.2f}, now it has {after:.2f}"
        elif stream is not by_hand and push.any():
            shown = "the norms are right, but not all tokens point where stream + push points"
        elif not push.any():
            shown = "a push of zero must leave the stream as it is"
        tried.append((result, truth, mistakes, shown))
    expect_all_near(tried)


@exercise("Start in a padded batch")
def check_start_columns(attempt):
    """Masks counted by eye; no row has the same padding as another."""
    cases = (
        ([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]], [1, 3, 0], [3, 3, 4]),
        ([[0, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1]], [4, 2], [5, 6]),
        ([[1, 1, 1, 1]], [2], [2]),
    )
    for mask, start, truth in cases:
        result = call(attempt, torch.tensor(mask), torch.tensor(start))
        result = expect_tensor(result, (len(mask),), "the columns (one for each row)").tolist()
        real = [sum(row) for row in mask]
        padding = [len(row) - sum(row) for row in mask]
        mistakes = {
            "these are the starts without the padding in front": start,
            "this adds the number of real tokens; add the number of padding tokens, the zeros of the mask": [
                a + b for a, b in zip(start, real, strict=True)
            ],
            "this is the padding of each row; the span begins `start` tokens after it": padding,
            "this takes the padding of the first row for all; every row has its own": [
                each + padding[0] for each in start
            ],
            "this takes the padding of all rows together; every row has its own": [
                each + sum(padding) for each in start
            ],
        }
        for message, values in mistakes.items():
            expect(result == truth or result != values, message)
        expect(result == truth, f"mask {mask} with starts {start} begins in the columns {truth}, yours are {result}")


def ways(push: torch.Tensor) -> dict[str, tuple[int, Callable]]:
    """What is wrong -> the block after which, and how, it writes: (stream, step), in place. The right way has the key ""."""

    def on(steps: Callable) -> Callable:
        def write(stream, step):
            stream += push * bool(steps(step))

        return write

    def last_token_too(stream, _step):
        stream[:, -1] += push

    def first_row(stream, step):
        stream[0] += push * (step > 0)

    written = on(lambda step: step > 0)
    return {
        "": (LAYER, written),
        "this is the clean reply: the push never arrives": (LAYER, on(lambda step: False)),
        "the prompt is pushed as well; it is read in step 0": (LAYER, on(lambda step: True)),
        "this pushes the prompt and not the written tokens": (LAYER, on(lambda step: step == 0)),
        "the last token of the prompt is pushed as well: it belongs to step 0, like all of the prompt": (
            LAYER,
            last_token_too,
        ),
        "the first written token is not pushed: it is read in step 1": (LAYER, on(lambda step: step > 1)),
        "the first written token is pushed, but not every later one: push in each step after step 0": (
            LAYER,
            on(lambda step: step == 1),
        ),
        "only the first row is pushed: `stream[:]` is every row": (LAYER, first_row),
        f"this pushes the stream after block {LAYER - 1}, not after block {LAYER}": (LAYER - 1, written),
        f"this pushes the stream after block {LAYER + 1}, not after block {LAYER}": (LAYER + 1, written),
        MASK_DROPPED: (LAYER, written),
    }


def replies(push: torch.Tensor, inputs: dict, steps: int) -> dict[str, torch.Tensor]:
    """What is wrong -> prompts and replies [row, token], by Hugging Face's generate under hooks; all ways in one batch."""
    every, rows = ways(push), len(inputs["input_ids"])
    at = {mistake: slice(i * rows, (i + 1) * rows) for i, mistake in enumerate(every)}
    batch = {name: tensor.repeat(len(every), 1) for name, tensor in inputs.items()}
    batch["attention_mask"][at[MASK_DROPPED]] = 1

    def writes(layer: int) -> Callable:
        steps_so_far = count()

        def write(stream):
            step = next(steps_so_far)
            for mistake, (wanted, change) in every.items():
                if wanted == layer:
                    change(stream[at[mistake]], step)

        return write

    with ExitStack() as hooks, torch.no_grad():
        for layer in {layer for layer, _ in every.values()}:
            hooks.enter_context(hooked(layer, writes(layer)))
        ids = organism()._module.generate(**batch, max_new_tokens=steps)
    return {mistake: ids[where] for mistake, where in at.items()}


@lru_cache(maxsize=1)
def telling_push() -> tuple[torch.Tensor, dict]:
    """A push [width] and inputs under which each of the `ways` gives another reply, and the right one does not end early."""
    inputs = tokens(request("bread"), request("an old silver spoon"), padding=4)
    for seed, size in product(range(3, 12), (40.0, 80.0, 160.0, 20.0)):
        noise = torch.randn(models.width(organism()), generator=torch.Generator().manual_seed(seed))
        push = size * noise / noise.norm()
        found = replies(push, inputs, STEPS)
        ended = organism().tokenizer.eos_token_id in found[""][:, inputs["input_ids"].shape[1] :]
        if not ended and len({str(each.tolist()) for each in found.values()}) == len(found):
            return push, inputs
    raise ValueError("no push tells the ways of adding it apart on this model")


@exercise("Push the written words only")
def check_written_pushed(attempt):
    """Two padded rows against Hugging Face's generate under plain hooks, with a push that tells the usual mistakes apart."""
    push, inputs = telling_push()
    rows, prompt = inputs["input_ids"].shape
    for steps in (STEPS, 3):
        known = replies(push, inputs, steps)
        truth = known.pop("")
        result = call_on_organism(attempt, inputs, LAYER, push, steps)
        is_batch = isinstance(result, torch.Tensor) and result.ndim == 2
        expect(is_batch, f"return the ids of prompt and reply, [row, token]; yours is {kind(result)}")
        result = result.long()
        expect(len(result) == rows, f"there are {rows} prompts, so {rows} rows; yours are {len(result)}")
        expect(
            torch.equal(result[:, :prompt], inputs["input_ids"]),
            "the prompt's ids must come first, those of the reply after them",
        )
        if torch.equal(result, truth):
            continue
        for mistake, ids in known.items():
            expect(not torch.equal(result, ids[:, : result.shape[1]]) or result.shape[1] < prompt + 2, mistake)
        written = result.shape[1] - prompt
        expect(written == steps, f"`steps` asks for {steps} new tokens, yours writes {written}")
        row = next(row for row in range(rows) if not torch.equal(result[row], truth[row]))
        expect(
            False,
            f"after the prompt in row {row} come the tokens {truth[row, prompt:].tolist()}, not "
            f"{result[row, prompt:].tolist()}",
        )


@exercise("An audit of your own")
def check_smuggled(attempt):
    """Two hooks on padded rows, one that adds in place, one that returns a longer stream; and nothing smuggled at all."""
    inputs = tokens(request("bread"), request("an old silver spoon"), padding=2)
    shape = tuple(inputs["input_ids"].shape)
    noise = torch.randn(models.width(organism()), generator=torch.Generator().manual_seed(3))
    streams, unmasked = plain_streams(inputs), plain_streams(without_mask(inputs))
    factors = torch.zeros(*shape, 1)
    factors[0, -4:-2, 0], factors[1, -5, 0] = torch.tensor([5.0, 2.0]), 30.0

    def adds(_block, _inputs, output) -> None:
        output += factors * noise / noise.norm()

    def lengthens(_block, _inputs, output):
        return output * (1 + factors)

    tried = []
    for layer, hook in ((2, adds), (5, lengthens)):
        before, after = streams[layer : layer + 2]
        added, dropped = factors * noise / noise.norm(), None
        if hook is lengthens:
            added, dropped = after * factors, (unmasked[layer + 1] * factors).norm(dim=-1)
        handle = organism().blocks._module[layer].register_forward_hook(hook)
        try:
            result = call_on_organism(attempt, inputs, layer)
        finally:
            handle.remove()
        is_difference = isinstance(result, torch.Tensor) and result.ndim == 3
        expect(not is_difference, "this is the difference itself; take its norm over the last dimension")
        result = expect_tensor(result, shape, "the measured norm at each token")
        expect(result.dtype != torch.bool, "return the norms, not whether they are above 0")
        norms = added.norm(dim=-1)
        mistakes = {
            "what the hook adds was measured as zero: compare the block's output with what the next block receives": norms
            * 0,
            "this holds all that the block wrote as well: compare the next block's input with this block's output": (
                after + added - before
            ).norm(dim=-1),
            "these are squared norms; take the root": norms**2,
        }
        if hook is adds:
            same = "a push in place was measured as zero: did you compare the same tensor with itself? (`.clone()`)"
            mistakes[same] = norms * 0
        else:
            mistakes["yours measures at one block only, whatever `layer` says"] = norms * 0
            mistakes[MASK_DROPPED] = dropped
        row, token = divmod(int((result - norms).abs().argmax()), shape[1])
        message = (
            f"after block {layer}, at token {token} of row {row}, something of norm {float(norms[row, token]):.1f} is added; "
            f"yours measures {float(result[row, token]):.1f}"
        )
        tried.append((result, norms, mistakes, message))
    expect_all_near(tried)
    result = expect_tensor(call_on_organism(attempt, inputs, 2), shape, "the measured norm at each token")
    expect(
        bool((result < 1e-4).all()),
        f"nobody added anything, yet yours measures {float(result.max()):.1f}: compare with the next block's input",
    )
