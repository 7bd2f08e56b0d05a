"""The shipped model on which checks try an attempt, and the truth about it from plain PyTorch hooks, without nnsight."""

from functools import lru_cache

import torch

from helpers import models, prompts
from helpers.prompts import Prompt


@lru_cache(maxsize=1)
def organism():
    """The shipped introspector on the CPU, loaded once a session."""
    return models.load("introspector", device="cpu")


def request(word: str) -> Prompt:
    """'Tell me about {word}', rendered for the organism."""
    return prompts.render(organism().tokenizer, prompts.get_template("extraction", "tell_me_about"), word=word)


def tokens(prompt: Prompt) -> dict[str, torch.Tensor]:
    """A prompt as the model takes it: input_ids and attention_mask, [1, position]."""
    ids = torch.tensor([prompt.token_ids])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


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
