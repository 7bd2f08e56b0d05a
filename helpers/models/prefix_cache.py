"""The beginning that all prompts of a batch share is read once, and every row gets a copy of its keys and values."""

import copy

import nnsight
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from helpers.models.architecture import attention_window
from helpers.models.identity import changes_from_outside


class PrefixCache:
    """The key-value cache of the beginning that was asked for last; batches that follow each other often share it."""

    def __init__(self, model):
        self.model, self.tokens = model, (0,)
        # what somebody has attached may count tokens from the beginning or the end of what is read
        self.cache = None if changes_from_outside(model) else self._read(self.tokens)
        # a cache that holds anything but keys and values of single tokens (states of linear attention, say) cannot be shared
        layers = self.cache.layers if type(self.cache) is DynamicCache else [None]
        self.is_plain = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        rope = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
        # the padding behind a shared prefix takes up places in the window of a layer that does not look far back; longrope turns
        # the keys of a long text by other frequencies, from its first token on
        turn = rope.get("original_max_position_embeddings", 0) if rope.get("rope_type") == "longrope" else float("inf")
        self.longest = min(attention_window(model), turn)

    def _read(self, tokens: tuple[int, ...]):
        inputs = {"input_ids": torch.tensor([tokens]), "use_cache": True, "logits_to_keep": 1}
        with torch.no_grad(), self.model.trace(inputs):  # which takes the ids to where the model is
            cache = nnsight.save(getattr(self.model.output, "past_key_values", None))
        return cache

    def can_serve(self, longest: int) -> bool:
        """Whether trials of at most `longest` tokens, prompt and reply together, may share a beginning on this model."""
        return self.is_plain and longest <= self.longest

    def expand(self, tokens: tuple[int, ...], rows: int) -> DynamicCache:
        """A fresh cache of these tokens for that many rows (`generate` writes into it)."""
        if not tokens:
            return DynamicCache(config=self.model._module.config)
        if tokens != self.tokens:
            self.tokens, self.cache = tokens, self._read(tokens)
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(rows)
        return cache
