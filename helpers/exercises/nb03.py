"""Checks of the exercises of 03_inject_a_thought: spans and masks counted by eye, injections by plain PyTorch hooks."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import lru_cache
from itertools import count

import torch

from helpers import models
from helpers.exercises.exercise import exercise, expect, expect_tensor
from helpers.exercises.organism import largest_difference, organism, request, tokens

LAYER, STEPS = 3, 6


@contextmanager
def hooked(layer: int, write: Callable):
    """Inside, `write(stream, step)` may change the stream [row, position, width] after block `layer`, in place."""
    steps = count()
    block = organism().blocks._module[layer]
    handle = block.register_forward_hook(lambda _block, _inputs, output: write(output, next(steps)))
    try:
        yield
    finally:
        handle.remove()


def ids_with(write: Callable, inputs: dict) -> torch.Tensor:
    """Prompt and reply [row, token] by Hugging Face's generate, with `write` after block LAYER."""
    with hooked(LAYER, write), torch.no_grad():
        return organism()._module.generate(**inputs, max_new_tokens=STEPS)


@lru_cache(maxsize=1)
def noise() -> torch.Tensor:
    """A fixed direction [width] of norm 1."""
    numbers = torch.randn(models.width(organism()), generator=torch.Generator().manual_seed(3))
    return numbers / numbers.norm()


@lru_cache(maxsize=1)
def telling_push() -> torch.Tensor:
    """A push [width] under which each of the `ways` gives another reply."""
    inputs = tokens(request("bread"))
    for size in (20.0, 40.0, 80.0, 160.0, 320.0, 640.0):
        push = size * noise()
        replies = {tuple(ids_with(write, inputs)[0].tolist()) for write in ways(push).values()}
        if len(replies) == len(ways(push)):
            return push
    raise ValueError("no push tells the ways of adding it apart on this model")


def ways(push: torch.Tensor) -> dict[str, Callable]:
    """What is wrong -> how it writes. The right way has the key ""."""

    def everywhere(stream, _step):
        stream += push

    def prompt_only(stream, step):
        stream += push * (step == 0)

    def last_token_too(stream, _step):
        stream[:, -1] += push

    def written(stream, step):
        stream += push * (step > 0)

    return {
        "": written,
        "this is the clean reply: the push never arrives": lambda stream, step: None,
        "the prompt is pushed as well; it is read in step 0": everywhere,
        "this pushes the prompt and not the written tokens": prompt_only,
        "the last token of the prompt is pushed as well: it belongs to step 0, like all of the prompt": last_token_too,
    }


@exercise("Which tokens are pushed?")
def check_pushed_tokens(attempt):
    """Spans counted by eye."""
    cases = (
        ((5, 3, 2, None), [False, False, True, True, True, True, True, True]),
        ((5, 3, 2, 4), [False, False, True, True, False, False, False, False]),
        ((4, 2, 4, None), [False, False, False, False, True, True]),
        ((3, 2, 0, 3), [True, True, True, False, False]),
    )
    for (prompt, reply, start, end), truth in cases:
        result = attempt(prompt, reply, start, end)
        said = f"prompt {prompt}, reply {reply}, span [{start}, {end})"
        expect(isinstance(result, list), f"return a list of true and false, yours is {type(result).__name__}")
        result = [bool(each) for each in result]
        expect(
            len(result) == prompt + reply,
            f"{said}: one value for each of {prompt + reply} tokens, yours has {len(result)}",
        )
        expect(
            end is not None or any(result[prompt:]),
            f"{said}: end None goes on through the reply, yours stops at the prompt's end",
        )
        expect(
            end is None or not any(result[prompt:]), f"{said}: the span ends in the prompt, yours pushes the reply too"
        )
        expect(result == truth, f"{said}: the pushed tokens are {truth}, yours are {result}")


@exercise("Turn, do not lengthen")
def check_turned(attempt):
    """A right angle worked out by hand; every token keeps its own norm; a zero push changes nothing."""
    stream = torch.tensor([[[3.0, 0.0], [0.0, 1.0]], [[-6.0, 0.0], [0.0, -2.0]]])
    handed, push = stream.clone(), torch.tensor([0.0, 3.0])
    result = attempt(handed, push)
    expect_tensor(result, (2, 2, 2), "the stream")
    expect(torch.equal(handed, stream), "the stream that was handed to you has changed: make a new tensor")
    expect(not torch.allclose(result, stream + push), "the push is added, but the old norms are not given back")
    whole = (stream + push) * stream.norm() / (stream + push).norm()
    expect(not torch.allclose(result, whole), "this is one norm for everything; each token needs its own, dim=-1")
    norms, wanted = result.norm(dim=-1), stream.norm(dim=-1)
    expect(
        torch.allclose(norms, wanted, atol=1e-4),
        f"the tokens' norms were {wanted.tolist()}, after your function they are {norms.tolist()}",
    )
    truth = [2.1213, 2.1213]
    expect(
        torch.allclose(result[0, 0], torch.tensor(truth), atol=1e-3),
        f"[3, 0] pushed by [0, 3] points half way up: {truth}, yours is {result[0, 0].tolist()}",
    )
    expect(torch.allclose(attempt(stream.clone(), 0 * push), stream), "a push of zero must leave the stream as it is")


@exercise("Start in a padded batch")
def check_start_columns(attempt):
    """Masks counted by eye; no row has the same padding as another."""
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]])
    start, truth = torch.tensor([1, 3, 0]), [3, 3, 4]
    result = attempt(mask, start)
    expect_tensor(result, (3,), "the columns, one for each row,")
    expect(result.tolist() != start.tolist(), "these are the starts without the padding in front")
    expect(
        result.tolist() != [4, 8, 1],
        "this adds the number of real tokens; add the number of padding tokens, the zeros of the mask",
    )
    expect(
        result.tolist() == truth,
        f"mask {mask.tolist()} with starts {start.tolist()} begins in the columns {truth}, yours are {result.tolist()}",
    )
    alone = attempt(torch.ones(1, 4, dtype=torch.long), torch.tensor([2]))
    expect(alone.tolist() == [2], f"without padding the column is the start itself, 2; yours is {alone.tolist()}")


@exercise("Push the written words only")
def check_written_pushed(attempt):
    """Against Hugging Face's generate under plain hooks, with a push that tells the usual mistakes apart."""
    inputs, push = tokens(request("bread")), telling_push()
    prompt = inputs["input_ids"].shape[1]
    result = attempt(organism(), inputs, LAYER, push, STEPS)
    expect(
        isinstance(result, torch.Tensor) and result.ndim == 2,
        f"return the ids of prompt and reply, [row, token], yours is {getattr(result, 'shape', type(result).__name__)}",
    )
    expect(
        torch.equal(result[:, :prompt], inputs["input_ids"]), "the prompt's ids must stand before those of the reply"
    )
    for mistake, write in ways(push).items():
        same = result[0].tolist() == ids_with(write, inputs)[0].tolist()
        if not mistake and same:
            return
        expect(not same, mistake)
    expect(
        False,
        f"after the prompt come {ids_with(ways(push)[''], inputs)[0, prompt:].tolist()}, not {result[0, prompt:].tolist()}",
    )


@exercise("An audit of your own")
def check_smuggled(attempt):
    """Nothing smuggled; a push of known norm on two tokens, in place and as a new tensor."""
    inputs, layer = tokens(request("bread")), 2
    shape = tuple(inputs["input_ids"].shape)
    truth = torch.zeros(shape)
    truth[:, 2:4] = 5.0

    def push_two(stream, _step):
        stream[:, 2:4] += 5 * noise()

    with hooked(layer, push_two):
        result = attempt(organism(), inputs, layer)
    if isinstance(result, torch.Tensor) and result.ndim == 3:
        expect(False, "this is the difference itself; take its norm over the last dimension")
    expect_tensor(result, shape, "the measured norm at each token")
    expect(
        bool(result.abs().max() > 1e-3),
        "a hook that adds a push of norm 5 was measured as zero: did you compare the same tensor with itself? `.clone()`",
    )
    off = largest_difference(result, truth)
    expect(
        off < 1e-3,
        f"a push of norm 5 on the tokens 2 and 3 was measured as {[round(each, 1) for each in result[0].tolist()]}",
    )
    result = attempt(organism(), inputs, layer)
    expect_tensor(result, shape, "the measured norm at each token")
    expect(
        bool((result == 0).all()),
        f"nobody added anything, yet yours measures {float(result.abs().max()):.1f}: compare with the next block's input",
    )
