"""The shipped model on which checks try an attempt, and the truth about it from plain PyTorch hooks, without nnsight."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import lru_cache

import torch

from helpers import models, prompts
from helpers.exercises.exercise import call, expect
from helpers.prompts import Prompt


@lru_cache(maxsize=1)
def organism():
    """The shipped introspector on the CPU, loaded once per session."""
    return models.load("introspector", device="cpu")


@lru_cache(maxsize=1)
def shipped_weights() -> list[torch.Tensor]:
    """Copies of the organism's weights."""
    return [parameter.detach().clone() for parameter in organism()._module.parameters()]


def hooks_of_others() -> dict[tuple[int, int], dict]:
    """Hooks on the organism that no library put there: (number of their dictionary, key) -> that dictionary."""
    parts = list(organism()._module.modules())
    found = {}
    for number, hooks in enumerate(
        [each._forward_hooks for each in parts] + [each._forward_pre_hooks for each in parts]
    ):
        for key, hook in hooks.items():
            library = getattr(hook, "func", hook).__module__.split(".")[0]
            if library not in ("transformers", "nnsight", "accelerate", "torch"):
                found[number, key] = hooks
    return found


def call_on_organism(attempt: Callable, *arguments, **named):
    """What the attempt returns for the organism and these arguments; Wrong where it leaves weights or hooks changed."""
    weights, before = shipped_weights(), hooks_of_others()
    try:
        result = call(attempt, organism(), *arguments, **named)
    finally:
        left = {place: hooks for place, hooks in hooks_of_others().items() if place not in before}
        for (_, key), hooks in left.items():
            del hooks[key]
        pairs = zip(organism()._module.parameters(), weights, strict=True)
        changed = [pair for pair in pairs if not torch.equal(*pair)]
        with torch.no_grad():
            for parameter, weight in changed:
                parameter.copy_(weight)
    expect(
        not left, "your function leaves a hook on the model: remove it, in a `finally:`, when you have read the model"
    )
    expect(not changed, "your function leaves the model with other weights: whoever uses it next gets another model")
    return result


def request(word: str) -> Prompt:
    """'Tell me about {word}', rendered for the organism."""
    return prompts.render(organism().tokenizer, prompts.get_template("extraction", "tell_me_about"), word=word)


def tokens(*wanted: Prompt, padding: int = 0) -> dict[str, torch.Tensor]:
    """Prompts as the model takes them: input_ids and attention_mask, [row, position], padded on the left.

    Args:
        wanted: one prompt per row.
        padding: how many masked tokens the longest row has in front; above 0, an attempt that drops the mask is found out.
    """
    length = max(len(prompt.token_ids) for prompt in wanted) + padding
    pad = organism().tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (length - len(prompt.token_ids)) + list(prompt.token_ids) for prompt in wanted])
    padded = torch.tensor([[0] * (length - len(each.token_ids)) + [1] * len(each.token_ids) for each in wanted])
    return {"input_ids": ids, "attention_mask": padded}


def without_mask(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the model reads where the attention mask is dropped: padding counts as text."""
    return {**inputs, "attention_mask": torch.ones_like(inputs["attention_mask"])}


MASK_DROPPED = "this is what comes out without the attention mask: hand the whole of `inputs` to the model"


@contextmanager
def hooked(layer: int, write: Callable):
    """Inside, `write(stream)` may change the stream [row, position, width] after block `layer`, in place."""

    def hook(_block, _inputs, output) -> None:
        write(output[0] if isinstance(output, tuple) else output)

    handle = organism().blocks._module[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def last_logits(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits at the last position, [row, vocabulary], from the model alone (and the hooks that are on it)."""
    with torch.no_grad():
        return organism()._module(**inputs).logits[:, -1]


def plain_streams(inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """The embedding and the residual stream after every block, each [row, position, width], by hooks."""
    subject, seen = organism(), []
    parts = [subject.embed._module, *subject.blocks._module]
    hooks = [part.register_forward_hook(lambda _part, _args, output: seen.append(output.clone())) for part in parts]
    try:
        with torch.no_grad():
            subject._module(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def largest_difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """As a share of the second one's largest component; 0 for two tensors that agree."""
    return float((first - second).abs().max() / second.abs().max().clamp_min(1e-12))
