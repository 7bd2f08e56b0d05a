"""The beginning that all prompts of a batch share: read once, and where attention allows it kept once, for every row.

Hugging Face's cache holds the keys and values of every row, so that a beginning shared by 64 rows stands there 64 times and
is fetched from memory 64 times for each new token. Here the rows keep only what is their own; for a new token, the questions
of all rows to the shared part are one matrix product. Whether a model can do with that is found out by trying (see
`ways_to_share`): some do more with keys and values than attend to them. They get the beginning copied for each row, or not
shared at all.
"""

import copy
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_shared_prefix"  # how transformers calls `attend`
ROOM = 16  # new tokens for which a row's cache gets memory at a time
CHUNK = 64  # rows whose keys are copied at a time while prompts are read, so that the copy stays small


@dataclass(frozen=True)
class Ways:
    """What a model can do with what rows share: get a copy of the beginning for each row; look at one that is kept once; take
    over the streams of a prompt that was read without any vector (see `reading`)."""

    copied: bool
    apart: bool
    once: bool


class SharedLayer(DynamicLayer):
    """One block's cache: keys and values of the shared beginning, [1, head, position, size], and of each row, [row, head, ...].

    New tokens are written into memory set aside for ROOM of them at a time, where the parent copies all earlier ones each step.
    Has what generating needs; what else the parent can do (cropping, moving away) is not supported.
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
        # `attend` gets no cache to look at, so the keys carry the shared part along. A model that computes other keys or values
        # from these loses it: `ways_to_share` finds out
        keys.shared = self.shared
        return keys, values

    def get_seq_length(self) -> int:
        return self.shared[0].shape[-2] + self.seen

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.memory = [memory.index_select(0, indices.to(memory.device)) for memory in self.memory]

    def reserve(self, rows: int, positions: int) -> None:
        """Set memory aside for that many rows which will have read so many tokens, and a few to come."""
        self.memory = [part.new_empty(rows, part.shape[1], positions + ROOM, part.shape[3]) for part in self.shared]

    def part(self, rows: slice) -> "SharedLayer":
        """These rows only, in the same memory."""
        other = copy.copy(self)
        other.memory = [memory[rows] for memory in self.memory]
        return other


def taken_over(layer, other, number: torch.Tensor):
    """The layer of a cache in which every row has seen what a row of the other layer has; number: which one."""
    if not isinstance(layer, SharedLayer):
        layer = copy.copy(other)
        layer.batch_select_indices(number)
        return layer
    layer.seen = other.seen
    for memory, taken in zip(layer.memory, other.memory, strict=True):
        memory[:, :, : layer.seen] = taken[:, :, : layer.seen].index_select(0, number.to(taken.device))
    return layer


def joined(layers: list, whole):
    """One layer with the rows of all; whole: the `SharedLayer` whose parts they are, if they are such."""
    if isinstance(whole, SharedLayer):
        whole.seen = layers[0].seen
        return whole
    whole = layers[0]
    whole.keys = torch.cat([layer.keys for layer in layers])
    whole.values = torch.cat([layer.values for layer in layers])
    return whole


def attend(module, query, key, value, attention_mask, scaling=None, **options):
    """Attention over the shared beginning and each row's own tokens; over ordinary keys, what "sdpa" does.

    query: [row, head, position, size]; attention_mask: [row, 1, position, shared + own] or None, True where a token is seen.
    """
    if not hasattr(key, "shared"):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    usual = attention_mask is None or attention_mask.dtype == torch.bool
    usual = usual and all(options.get(name) is None for name in ("softcap", "position_bias", "s_aux"))
    if query.shape[2] == 1 and usual:
        return one_token(query, key, value, attention_mask, scaling), None
    # reading prompts: the fused kernel is faster, and keys are copied once, not at every step
    outputs = []
    for first in range(0, len(query), CHUNK):
        rows = slice(first, first + CHUNK)
        keys, values = (
            torch.cat([shared.expand(len(own[rows]), -1, -1, -1), own[rows]], dim=2)
            for shared, own in zip(key.shared, (key, value), strict=True)
        )
        mask = None if attention_mask is None else attention_mask[rows]
        outputs.append(sdpa_attention_forward(module, query[rows], keys, values, mask, scaling=scaling, **options)[0])
    return torch.cat(outputs), None


def one_token(query, key, value, attention_mask, scaling) -> torch.Tensor:
    """Attention of one new token a row, [row, 1, head, size]. All rows' queries meet the shared keys in one matrix product."""
    shared_key, shared_value = (part[0] for part in key.shared)  # [group, shared, size]
    rows, heads, _, size = query.shape
    groups, columns, _ = shared_key.shape  # the heads of one group look at the same keys
    query = query.reshape(rows, groups, heads // groups, size) * (size**-0.5 if scaling is None else scaling)

    def together(parts: torch.Tensor) -> torch.Tensor:  # [row, group, head, x] -> [group, row and head, x]
        return parts.transpose(0, 1).reshape(groups, rows * heads // groups, -1)

    def apart(parts: torch.Tensor) -> torch.Tensor:  # and back
        return parts.view(groups, rows, heads // groups, -1).transpose(0, 1)

    shared_scores = apart(together(query) @ shared_key.transpose(1, 2))
    own_scores = query @ key.transpose(2, 3)
    if attention_mask is not None:  # of the shared part every row sees all
        own_scores = own_scores.masked_fill(~attention_mask[..., columns:], -torch.inf)
    weights = torch.cat([shared_scores, own_scores], dim=3).softmax(3)
    shared_weights, own_weights = weights.split([columns, key.shape[2]], dim=3)
    mixed = apart(together(shared_weights) @ shared_value) + own_weights @ value
    return mixed.reshape(rows, 1, heads, -1)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def attention_by_parts(network, wanted: bool = True):
    """Let attention go through `attend` where it would be "sdpa" in float32; yields whether that is so.

    In half precision `one_token` would round its scores, which the fused kernels do not.
    """
    config = network.config.get_text_config()
    able = config._attn_implementation == "sdpa" and network._supports_attention_backend
    if not (wanted and able and network.dtype == torch.float32):
        yield False
        return
    config._attn_implementation = NAME
    try:
        yield True
    finally:
        config._attn_implementation = "sdpa"


def read_beginning(network, tokens):
    """The key-value cache after these tokens, of one row."""
    ids = torch.tensor([tokens], device=network.device)
    with torch.no_grad():
        return network(ids, use_cache=True, logits_to_keep=1).past_key_values


def spread(cache, rows: int, apart: bool):
    """A copy of a one-row cache for many rows (generate writes into it).

    apart: keep the beginning once, for `attend`; else (and in layers of sliding windows and the like) every row gets a copy.
    """
    cache = copy.deepcopy(cache)
    for place, layer in enumerate(cache.layers):
        if apart and type(layer) is DynamicLayer:
            cache.layers[place] = SharedLayer(layer, rows)
        else:
            layer.batch_repeat_interleave(rows)
    return cache


class PrefixCache:
    """The key-value cache of the beginning that was asked for last; batches that follow each other often share it."""

    def __init__(self, model, ways: Ways):
        self.network, self.ways = model._module, ways
        self.tokens, self.cache = (), None

    def for_rows(self, tokens: tuple[int, ...], rows: int, apart: bool):
        """A fresh cache of the beginning for that many rows, as `spread` makes it; None for an empty beginning."""
        if not tokens:
            return None
        if tokens != self.tokens:
            self.tokens, self.cache = tokens, read_beginning(self.network, tokens)
        return spread(self.cache, rows, apart)
