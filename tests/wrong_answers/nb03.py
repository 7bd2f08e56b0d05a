"""Wrong answers to the exercises of 03_inject_a_thought, and what the check must say about each."""

import torch

from helpers import models


def prompt_part_only(prompt_length, reply_length, start, end):
    """Stops at the prompt's end."""
    stop = prompt_length if end is None else end
    return [start <= token < stop for token in range(prompt_length + reply_length)]


def reply_always(prompt_length, reply_length, start, end):
    """Pushes the reply whatever the span says."""
    stop = prompt_length if end is None else end
    return [start <= token < stop or token >= prompt_length for token in range(prompt_length + reply_length)]


def end_included(prompt_length, reply_length, start, end):
    """Counts the end in."""
    length = prompt_length + reply_length
    return [start <= token <= (length if end is None else end) for token in range(length)]


def one_norm(stream, push):
    """One norm for the whole stream."""
    return (stream + push) * stream.norm() / (stream + push).norm()


def in_place(stream, push):
    """Writes into the stream it was given."""
    norm = stream.norm(dim=-1, keepdim=True)
    stream += push
    return stream * norm / stream.norm(dim=-1, keepdim=True)


def generated(subject, inputs, layer, steps, write):
    """Prompt and reply, with `write(stream, step)` after the block."""
    with torch.no_grad(), subject.generate(max_new_tokens=steps) as tracer:
        with tracer.invoke(inputs):
            for step in tracer.all():
                write(models.residual(subject.blocks[layer]), step)
        with tracer.invoke():
            result = tracer.result.save()
    return result


def pushed_everywhere(subject, inputs, layer, push, steps):
    """Prompt and reply."""
    return generated(subject, inputs, layer, steps, lambda stream, step: stream.add_(push))


def pushed_from_last_token(subject, inputs, layer, push, steps):
    """The last position of every step."""
    return generated(subject, inputs, layer, steps, lambda stream, step: stream[:, -1].add_(push))


def pushed_never(subject, inputs, layer, push, steps):
    """A new tensor that nobody puts back."""
    return generated(subject, inputs, layer, steps, lambda stream, step: stream + push)


def reply_without_prompt(subject, inputs, layer, push, steps):
    """Cuts the prompt off."""
    ids = generated(subject, inputs, layer, steps, lambda stream, step: stream.add_(push * (step > 0)))
    return ids[:, inputs["input_ids"].shape[1] :]


def not_cloned(subject, inputs, layer):
    """Compares a tensor with itself."""
    with torch.no_grad(), subject.trace(inputs):
        before = models.residual(subject.blocks[layer])
        change = (subject.blocks[layer + 1].input - before).norm(dim=-1).save()
    return change


def what_the_block_wrote(subject, inputs, layer):
    """Compares with the block's own input."""
    with torch.no_grad(), subject.trace(inputs):
        before = subject.blocks[layer].input.clone()
        change = (subject.blocks[layer + 1].input - before).norm(dim=-1).save()
    return change


def difference_without_norm(subject, inputs, layer):
    """Forgets the norm."""
    with torch.no_grad(), subject.trace(inputs):
        before = models.residual(subject.blocks[layer]).clone()
        change = (subject.blocks[layer + 1].input - before).save()
    return change


WRONG = [
    ("check_pushed_tokens", prompt_part_only, "goes on through the reply"),
    ("check_pushed_tokens", reply_always, "pushes the reply too"),
    ("check_pushed_tokens", end_included, "the pushed tokens are"),
    ("check_turned", lambda stream, push: stream + push, "old norms are not given back"),
    ("check_turned", one_norm, "each token needs its own"),
    ("check_turned", in_place, "has changed"),
    ("check_start_columns", lambda mask, start: start, "without the padding"),
    ("check_start_columns", lambda mask, start: start + mask.sum(1), "number of real tokens"),
    ("check_start_columns", lambda mask, start: mask.argmax(1), "begins in the columns"),
    ("check_written_pushed", pushed_everywhere, "the prompt is pushed as well"),
    ("check_written_pushed", pushed_from_last_token, "last token of the prompt is pushed"),
    ("check_written_pushed", pushed_never, "the push never arrives"),
    ("check_written_pushed", reply_without_prompt, "prompt's ids must stand before"),
    ("check_smuggled", not_cloned, "compare the same tensor with itself"),
    ("check_smuggled", what_the_block_wrote, "was measured as"),
    ("check_smuggled", difference_without_norm, "take its norm"),
]
