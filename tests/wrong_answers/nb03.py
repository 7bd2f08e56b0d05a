"""Wrong answers to the exercises of 03_inject_a_thought and what the check must say about each; right ones that it must take."""

import numpy as np
import torch

from helpers import models


def generated(subject, inputs, layer, steps, write):
    """Prompt and reply, with `write(stream, step)` after the block."""
    with torch.no_grad(), subject.generate(max_new_tokens=steps) as tracer:
        with tracer.invoke(inputs):
            for step in tracer.all():
                write(models.residual(subject.blocks[layer]), step)
        with tracer.invoke():
            result = tracer.result.save()
    return result


def injected(subject, inputs, layer, push, start, steps, prompt=True, written=lambda step: True):
    """Pushes the prompt from `start` on, and the written tokens of the steps for which `written` is true."""

    def write(stream, step):
        if step == 0 and prompt:
            stream[:, start:] += push
        elif step > 0 and written(step):
            stream += push

    return generated(subject, inputs, layer, steps, write)


def result_in_first_invoke(subject, inputs, layer, push, start, steps):
    """Takes the result after the loop."""
    with torch.no_grad(), subject.generate(max_new_tokens=steps) as tracer:
        with tracer.invoke(inputs):
            for step in tracer.all():
                models.residual(subject.blocks[layer])[:, start if step == 0 else 0 :] += push
            result = tracer.result.save()
    return result


def injected_on_prompt(*arguments):
    """Once, before the first word."""
    return injected(*arguments, written=lambda step: False)


def injected_by_position(subject, inputs, layer, push, start, steps):
    """Takes the prompt's position in every step."""
    return generated(subject, inputs, layer, steps, lambda stream, step: stream[:, start:].add_(push))


def injected_on_reply(*arguments):
    """Leaves the prompt alone."""
    return injected(*arguments, prompt=False)


def injected_everywhere(subject, inputs, layer, push, start, steps):
    """Ignores the start."""
    return injected(subject, inputs, layer, push, 0, steps)


def injected_too_late(subject, inputs, layer, push, start, steps):
    """Begins one token later."""
    return injected(subject, inputs, layer, push, start + 1, steps)


def injected_from_second_word(*arguments):
    """Leaves the first written token out."""
    return injected(*arguments, written=lambda step: step > 1)


def injected_up_to_first_word(*arguments):
    """Stops after the first written token."""
    return injected(*arguments, written=lambda step: step == 1)


def injected_at_last_token(subject, inputs, layer, push, start, steps):
    """The last position of every step."""
    return generated(subject, inputs, layer, steps, lambda stream, step: stream[:, -1].add_(push))


def injected_never(subject, inputs, layer, push, start, steps):
    """A new tensor that is not put back."""
    return generated(subject, inputs, layer, steps, lambda stream, step: stream + push)


def injected_first_row(subject, inputs, layer, push, start, steps):
    """Forgets the other rows."""
    return generated(
        subject, inputs, layer, steps, lambda stream, step: stream[0, start if step == 0 else 0 :].add_(push)
    )


def injected_next_block(subject, inputs, layer, *rest):
    """Counts blocks from one."""
    return injected(subject, inputs, layer + 1, *rest)


def injected_block_before(subject, inputs, layer, *rest):
    """Changes what the block takes in."""
    return injected(subject, inputs, layer - 1, *rest)


def injected_at_block_three(subject, inputs, layer, *rest):
    """Ignores the layer."""
    return injected(subject, inputs, 3, *rest)


def injected_without_mask(subject, inputs, *rest):
    """Hands the token ids alone to the model."""
    return injected(subject, inputs["input_ids"], *rest)


def injected_normalised(subject, inputs, layer, push, start, steps):
    """Loses the length of the push."""
    return injected(subject, inputs, layer, push / push.norm(), start, steps)


def injected_twice(subject, inputs, layer, push, start, steps):
    """Adds the push a second time."""
    return injected(subject, inputs, layer, 2 * push, start, steps)


def reply_without_prompt(subject, inputs, *rest):
    """Cuts the prompt off."""
    return injected(subject, inputs, *rest)[:, inputs["input_ids"].shape[1] :]


def always_six_steps(subject, inputs, layer, push, start, steps):
    """Ignores the number of steps."""
    return injected(subject, inputs, layer, push, start, 6)


def ids_of_clean_reply(subject, inputs, layer, push, start, steps):
    """Injects, and returns the reply of another run."""
    clean = injected(subject, inputs, layer, 0 * push, start, steps)
    injected(subject, inputs, layer, push, start, steps)
    return clean


def token_by_token(subject, inputs, layer, push, start, steps):
    """Reads everything again for each new token, without a cache."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    for _ in range(steps):
        with torch.no_grad(), subject.trace({"input_ids": ids, "attention_mask": mask}):
            models.residual(subject.blocks[layer])[:, start:] += push
            new = subject.output.logits[:, -1:].argmax(-1).save()
        ids, mask = torch.cat([ids, new], 1), torch.cat([mask, torch.ones_like(new)], 1)
    return ids


def injected_by_hook(subject, inputs, layer, push, start, steps):
    """Plain PyTorch."""
    begins = iter([start] + [0] * steps)

    def hook(_block, _inputs, output):
        output[:, next(begins) :] += push

    handle = subject.blocks._module[layer].register_forward_hook(hook)
    try:
        with torch.no_grad():
            return subject._module.generate(**inputs, max_new_tokens=steps)
    finally:
        handle.remove()


def measured(subject, inputs, layer, measure=lambda change: change.norm(dim=-1)):
    """What reaches the next block beyond the block's output."""
    with torch.no_grad(), subject.trace(inputs):
        before = models.residual(subject.blocks[layer]).clone()
        change = measure(subject.blocks[layer + 1].input - before).save()
    return change


def not_cloned(subject, inputs, layer):
    """Compares a tensor with itself."""
    with torch.no_grad(), subject.trace(inputs):
        before = models.residual(subject.blocks[layer])
        change = (subject.blocks[layer + 1].input - before).norm(dim=-1).save()
    return change


def difference_of_norms(subject, inputs, layer):
    """Takes the norms first."""
    with torch.no_grad(), subject.trace(inputs):
        before = models.residual(subject.blocks[layer]).clone()
        change = (subject.blocks[layer + 1].input.norm(dim=-1) - before.norm(dim=-1)).save()
    return change


def what_the_block_wrote(subject, inputs, layer):
    """Compares with the block's own input."""
    with torch.no_grad(), subject.trace(inputs):
        before = subject.blocks[layer].input.clone()
        change = (subject.blocks[layer + 1].input - before).norm(dim=-1).save()
    return change


def measured_by_hooks(subject, inputs, layer):
    """Plain PyTorch: a hook before all others, and what the next block gets."""
    seen = {}
    blocks = subject.blocks._module
    hooks = [
        blocks[layer].register_forward_hook(lambda _b, _i, output: seen.update(out=output.clone()), prepend=True),
        blocks[layer + 1].register_forward_pre_hook(lambda _b, received: seen.update(into=received[0].clone())),
    ]
    with torch.no_grad():
        subject._module(**inputs)
    for hook in hooks:
        hook.remove()
    return (seen["into"] - seen["out"]).pow(2).sum(-1).sqrt()


WRONG = [
    ("check_start_columns", lambda mask, start: start, "without the padding"),
    ("check_start_columns", lambda mask, start: start + mask.sum(1), "number of real tokens"),
    ("check_start_columns", lambda mask, start: mask.argmax(1), "the padding of each row"),
    ("check_start_columns", lambda mask, start: mask[0].argmax() + start, "padding of the first row for all"),
    ("check_start_columns", lambda mask, start: 5 - mask.sum(1) + start, "begins in the columns"),
    ("check_my_injection", result_in_first_invoke, "in a second `invoke()`"),
    ("check_my_injection", injected_on_prompt, "the written tokens are not pushed"),
    ("check_my_injection", injected_by_position, "the written tokens are not pushed"),
    ("check_my_injection", injected_on_reply, "but the prompt is not"),
    ("check_my_injection", injected_everywhere, "before column 10 as well"),
    ("check_my_injection", injected_too_late, "belongs on the columns 10 to 19"),
    ("check_my_injection", injected_from_second_word, "belongs on the columns 10 to 19"),
    ("check_my_injection", injected_up_to_first_word, "but not every later one"),
    ("check_my_injection", injected_at_last_token, "belongs on the columns 10 to 19"),
    ("check_my_injection", injected_never, "the push never arrives"),
    ("check_my_injection", injected_first_row, "only the first row is pushed"),
    ("check_my_injection", injected_next_block, "after block 4, not after block 3"),
    ("check_my_injection", injected_block_before, "after block 2, not after block 3"),
    ("check_my_injection", injected_at_block_three, "not after block 5"),
    ("check_my_injection", injected_without_mask, "without the attention mask"),
    ("check_my_injection", injected_normalised, "another size or direction"),
    ("check_my_injection", injected_twice, "2.00 times as long"),
    ("check_my_injection", reply_without_prompt, "prompt's ids must come first"),
    ("check_my_injection", always_six_steps, "asks for 3 new tokens, yours writes 6"),
    ("check_my_injection", ids_of_clean_reply, "are not the ones that the model wrote"),
    ("check_smuggled", not_cloned, "compare the same tensor with itself"),
    ("check_smuggled", difference_of_norms, "difference of the two norms"),
    ("check_smuggled", what_the_block_wrote, "all that the block wrote"),
    ("check_smuggled", lambda *arguments: measured(*arguments, lambda change: change + 0), "take its norm"),
    ("check_smuggled", lambda *arguments: measured(*arguments, lambda change: change.pow(2).sum(-1)), "take the root"),
    ("check_smuggled", lambda subject, inputs, layer: measured(subject, inputs, 2), "at one block only"),
    ("check_smuggled", lambda subject, inputs, layer: measured(subject, inputs["input_ids"], layer), "attention mask"),
]

RIGHT = [
    ("check_start_columns", lambda mask, start: torch.from_numpy(np.argmax(mask.numpy(), 1)) + start),
    ("check_my_injection", injected),
    ("check_my_injection", injected_by_hook),
    ("check_my_injection", token_by_token),
    ("check_smuggled", measured_by_hooks),
]
