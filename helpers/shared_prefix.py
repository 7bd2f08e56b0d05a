"""The beginning that all prompts of a batch share: read once, kept once, looked at by every row.

Hugging Face's cache holds the keys and values of every row, so that a beginning shared by 64 rows stands there 64 times and
is fetched from memory 64 times for each new token. Here the rows keep only what is their own; for a new token, all rows'
questions to the shared part are one matrix product. Attention itself is what the model computes anyway.
"""

import copy
from contextlib import contextmanager

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_shared_prefix"  # how transformers calls the attention function below
ROOM = 16  # new tokens for which a row's cache gets memory at a time
CHUNK = 64  # rows whose keys are copied at a time while prompts are read, so that the copy stays small


class SharedLayer(DynamicLayer):
    """One block's cache: keys and values of the shared beginning, [1, head, position, size], and of each row, [row, head, ...].

    New tokens are written into memory set aside for ROOM of them at a time, where the parent copies all earlier ones each step.
    """

    def __init__(self, shared: DynamicLayer, rows: int):
        super().__init__()
        self.shared, self.seen = (shared.keys, shared.values), 0
        self.memory = [part.new_empty(rows, part.shape[1], 0, part.shape[3]) for part in self.shared]
        self.dtype, self.device, self.is_initialized = shared.dtype, shared.device, True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_args, **_kwargs):
        until = self.seen + key_states.shape[-2]
        if until > self.memory[0].shape[2]:
            more = until - self.memory[0].shape[2] + ROOM
            self.memory = [torch.nn.functional.pad(memory, (0, 0, 0, more)) for memory in self.memory]
        for memory, new in zip(self.memory, (key_states, value_states), strict=True):
            memory[..., self.seen : until, :] = new
        self.seen = until
        keys, values = (memory[..., :until, :] for memory in self.memory)
        keys.shared = self.shared  # for `attend`, which gets no cache to look at
        return keys, values

    def get_seq_length(self) -> int:
        return self.shared[0].shape[-2] + self.seen

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.memory = [memory[indices] for memory in self.memory]


def attend(module, query, key, value, attention_mask, scaling=None, **options):
    """Attention over the shared beginning and each row's own tokens; over ordinary keys, what "sdpa" does.

    query: [row, head, position, size]; attention_mask: [row, 1, position, shared + own] or None, True where a token is seen.
    """
    if not hasattr(key, "shared"):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    shared_key, shared_value = key.shared
    rows, heads, positions, size = query.shape
    if positions > 1:  # reading prompts: the fused kernel is faster, and keys are copied once, not at every step
        read = []
        for first in range(0, rows, CHUNK):
            some = slice(first, first + CHUNK)
            keys, values = (
                torch.cat([shared.expand(len(own[some]), -1, -1, -1), own[some]], dim=2)
                for shared, own in ((shared_key, key), (shared_value, value))
            )
            mask = None if attention_mask is None else attention_mask[some]
            read.append(sdpa_attention_forward(module, query[some], keys, values, mask, scaling=scaling, **options)[0])
        return torch.cat(read), None
    groups, columns = shared_key.shape[1:3]  # heads of one group look at the same keys
    each = heads // groups
    query = query.reshape(rows, groups, each, size) * (size**-0.5 if scaling is None else scaling)
    own = query @ key.transpose(2, 3)  # [row, group, head, own]
    by_group = query.transpose(0, 1).reshape(groups, rows * each, size)
    shared = (by_group @ shared_key[0].transpose(1, 2)).view(groups, rows, each, columns).transpose(0, 1)
    scores = torch.cat([shared, own], dim=3)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, -torch.inf)
    weights = scores.softmax(3, dtype=torch.float32).to(query.dtype)
    shared, own = weights.split([columns, own.shape[3]], dim=3)
    shared = shared.transpose(0, 1).reshape(groups, rows * each, columns) @ shared_value[0]
    mixed = own @ value + shared.view(groups, rows, each, -1).transpose(0, 1)
    return mixed.reshape(rows, 1, heads, -1), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def shared_attention(network):
    """Let the network's attention go through `attend`, where it would be "sdpa"; yields whether that is so."""
    config = network.config.get_text_config()
    before = config._attn_implementation
    able = before == "sdpa" and network._supports_attention_backend
    if able:
        config._attn_implementation = NAME
    try:
        yield able
    finally:
        config._attn_implementation = before


class PrefixCache:
    """Key-value caches of shared beginnings, computed once for each model and beginning."""

    def __init__(self, model):
        self.network = model._module
        self.kept = {}

    def for_rows(self, prefix: tuple[int, ...], rows: int, apart: bool):
        """A fresh cache of the prefix for that many rows (generate consumes it); None for an empty prefix.

        apart: keep the prefix once, for `attend`; else (and in layers of sliding windows and the like) every row gets a copy.
        """
        if not prefix:
            return None
        if prefix not in self.kept:
            ids = torch.tensor([prefix], device=self.network.device)
            with torch.no_grad():
                self.kept = {prefix: self.network(ids, use_cache=True, logits_to_keep=1).past_key_values}
        cache = copy.deepcopy(self.kept[prefix])
        for place, layer in enumerate(cache.layers):
            if apart and type(layer) is DynamicLayer:
                cache.layers[place] = SharedLayer(layer, rows)
            else:
                layer.batch_repeat_interleave(rows)
        return cache
