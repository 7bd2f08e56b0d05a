"""Checks of the exercises of 03_inject_a_thought: masks counted by eye, injections by plain PyTorch hooks."""

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from itertools import count

import torch

from helpers import models
from helpers.exercises.exercise import (
    call,
    exercise,
    expect,
    expect_all_near,
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

STEPS = 6  # tokens written
OTHER_IDS = "these ids are not the ones that the model wrote while it was pushed: return those of the run with the push"


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


@contextmanager
def received(layer: int):
    """Inside, collects the embedding and what the blocks after `layer` - 1, `layer` and `layer` + 1 receive, since the prompt.

    Yields a dict of the layer whose output it is (-1: the embedding) -> list of [row, column, width], one tensor per step.
    """
    passes = {each: [] for each in (-1, layer - 1, layer, layer + 1)}

    def reader(each: int) -> Callable:
        def read(_block, given) -> None:
            if given[0].shape[1] > 1:  # a prompt is read anew
                passes[each].clear()
            passes[each].append(given[0].detach().clone())

        return read

    with ExitStack() as hooks:
        for each in passes:
            handle = organism().blocks._module[each + 1].register_forward_pre_hook(reader(each))
            hooks.callback(handle.remove)
        yield passes


def true_reply(inputs: dict, layer: int, push: torch.Tensor, start: int, steps: int) -> torch.Tensor:
    """Prompts and replies [row, token] with the push from column `start` on, by Hugging Face's generate under a hook."""
    steps_so_far = count()

    def write(stream):
        stream[:, start if next(steps_so_far) == 0 else 0 :] += push

    with hooked(layer, write), torch.no_grad():
        return organism()._module.generate(**inputs, max_new_tokens=steps)


def expect_columns(pushed: torch.Tensor, start: int, prompt: int) -> None:
    """Wrong unless the push is on every column from `start` on and nowhere else; pushed: [row, column], padding left out."""
    before, question, written = pushed[:, :start], pushed[:, start:prompt], pushed[:, prompt:]
    expect(
        not (pushed[0].any() and not pushed[1].any()), "only the first row is pushed: `stream[:, start:]` is every row"
    )
    expect(
        not before.any(),
        f"the prompt is pushed before column {start} as well: `start` says where the push begins in step 0",
    )
    expect(
        written.any() or not question.all(),
        "the written tokens are not pushed: every later step reads one token, and its position in that step is 0",
    )
    expect(
        question.any() or not written.all(),
        f"the written tokens are pushed, but the prompt is not: step 0 reads it, push it from column {start} on",
    )
    expect(
        not question.all() or not written[:, 0].all() or written.all(),
        "the first written token is pushed, but not every later one: push in each step",
    )
    columns = [number for number, at in enumerate(pushed[0].tolist()) if at]
    expect(
        bool(question.all() and written.all()),
        f"with start {start} the push belongs on the columns {start} to {pushed.shape[1] - 1}, in the first row it is on {columns}",
    )


@exercise("An injection of your own")
def check_my_injection(attempt):
    """Two padded rows, two blocks, starts and lengths: what the next block receives, token by token; then the reply."""
    inputs = tokens(request("bread"), request("an old silver spoon"), padding=4)
    prompt, end = inputs["input_ids"].shape[1], organism().tokenizer.eos_token_id
    for layer, start, steps in ((3, prompt - 5, STEPS), (5, prompt - 2, 3)):
        noise = (
            torch.randn(models.width(organism()), generator=torch.Generator().manual_seed(seed)) for seed in count()
        )
        pushes = (40.0 * each / each.norm() for each in noise)
        push, truth = next(
            (push, ids)
            for push in pushes
            if end not in (ids := true_reply(inputs, layer, push, start, steps))[:, prompt:]  # no reply ends early
        )
        with received(layer) as passes:
            try:
                result = call_on_organism(attempt, inputs, layer, push, start, steps)
            except UnboundLocalError as error:
                hint = "no line after the loop is reached, so the result must be taken in a second `invoke()`"
                expect(False, f"{error} (if that is what you return: {hint})")
        is_batch = isinstance(result, torch.Tensor) and result.ndim == 2
        expect(is_batch, f"return the ids of prompt and reply, [row, token]; yours is {kind(result)}")
        result = result.detach().cpu().long()
        expect(
            len(result) == len(truth), f"there are {len(truth)} prompts, so {len(truth)} rows; yours are {len(result)}"
        )
        expect(
            torch.equal(result[:, :prompt], inputs["input_ids"]),
            "the prompt's ids must come first, those of the reply after them",
        )
        written = result.shape[1] - prompt
        expect(written == steps, f"`steps` asks for {steps} new tokens, yours writes {written}")
        expect(bool(passes[layer]), "your function does not run the model")
        read = {"input_ids": result[:, :-1]}  # the last token is written, but never read
        read["attention_mask"] = torch.nn.functional.pad(inputs["attention_mask"], (0, steps - 1), value=1)
        real, clean, unmasked = read["attention_mask"] == 1, plain_streams(read), plain_streams(without_mask(read))
        streams = {each: torch.cat(parts, dim=1) for each, parts in passes.items()}  # [row, column, width]
        expect(
            streams[layer].shape == clean[layer + 1].shape, "the model was not run on the prompt and each written token"
        )
        tolerance = 1e-3 * push.norm()
        dropped = (streams[layer - 1] - unmasked[layer])[real].abs().max() < tolerance
        expect(not dropped or torch.equal(unmasked[layer], clean[layer]), MASK_DROPPED)
        changes = {each: streams[each] - clean[each + 1] for each in streams}
        pushed = {each: (change.norm(dim=-1) > tolerance) & real for each, change in changes.items()}
        expect(not pushed[-1].any(), OTHER_IDS)
        first = next((each for each in pushed if pushed[each].any()), None)
        expect(
            first is not None,
            "the push never arrives: the stream after the block is the clean one (`stream + push` is a new tensor, "
            "`stream += push` changes the model's)",
        )
        expect(first == layer, f"this pushes the stream after block {first}, not after block {layer}")
        expect_columns(pushed[layer], start, prompt)
        size = float((changes[layer][:, start:] @ push).mean() / (push @ push))
        right = (changes[layer][:, start:] - push).norm(dim=-1).max() < 10 * tolerance
        expect(
            bool(right),
            f"the push has another size or direction: along `push` it is {size:.2f} times as long as it should be",
        )
        expect(torch.equal(result, truth), OTHER_IDS)


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
            "this is the difference of the two norms; take the norm of the difference": (after + added).norm(dim=-1)
            - after.norm(dim=-1),
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
