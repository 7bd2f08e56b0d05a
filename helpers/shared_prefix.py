"""The beginning that all prompts of a batch share: read once, and where attention allows it kept once, for every row.

Hugging Face's cache holds the keys and values of every row, so that a beginning shared by 64 rows stands there 64 times and
is fetched from memory 64 times for each new token. Here the rows keep only what is their own; for a new token, the questions
of all rows to the shared part are one matrix product. Whether a model can do with that is found out by trying (see
`ways_to_share`): some do more with keys and values than attend to them. They get the beginning copied for each row, or not
shared at all.
"""

import copy
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_shared_prefix"  # how transformers calls `attend`
ROOM = 16  # new tokens for which a row's cache gets memory at a time
CHUNK = 64  # rows whose keys are copied at a time while prompts are read, so that the copy stays small


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
        self.memory = [memory[indices] for memory in self.memory]


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
    scores = torch.cat([shared_scores, query @ key.transpose(2, 3)], dim=3)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, -torch.inf)
    shared_weights, own_weights = scores.softmax(3).split([columns, key.shape[2]], dim=3)
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


# -- what a model can do with a shared beginning, found out by trying -------------------------------------------------

TRIED = WeakKeyDictionary()  # network -> {(attention, dtype): (copied, apart)}
BEGINNING = (3, 4, 5, 6, 7, 8)
RESTS = (((9, 10, 11), (12,)), ((13,), (14,)))  # two batches: with padding between beginning and rest, and without any


def ways_to_share(network) -> tuple[bool, bool]:
    """(copied, apart): does the network answer as it should when it gets the beginning as copies, or kept once?

    Tried once for each network on a few tokens, against reading each row alone.
    """
    kind = (network.config.get_text_config()._attn_implementation, network.dtype)
    tried = TRIED.setdefault(network, {})
    if kind not in tried:
        copied = apart = False
        try:
            alone, cache = _tried(network), read_beginning(network, _valid(network, BEGINNING))
            copied = _agree(alone, _tried(network, cache))
            with attention_by_parts(network, copied) as able:
                apart = able and _agree(alone, _tried(network, cache, apart=True))
        except Exception:  # whatever a strange architecture makes of it: it cannot share
            pass
        tried[kind] = (copied, apart)
    return tried[kind]


def _valid(network, tokens: tuple[int, ...]) -> list[int]:
    return [token % network.config.get_text_config().vocab_size for token in tokens]


@torch.no_grad()
def _tried(network, cache=None, apart: bool = False) -> torch.Tensor:
    """Logits [row, step, vocabulary] of new tokens in both batches; without the cache of BEGINNING, of every row alone.

    Two steps; one in half precision, whose rounding may turn the token that the second step reads.
    """
    pad, found = network.generation_config.pad_token_id or 0, []
    steps = 2 if network.dtype == torch.float32 else 1
    for rests in RESTS:
        for batch in [(rest,) for rest in rests] if cache is None else [rests]:
            columns = max(map(len, batch))
            padding = [columns - len(rest) for rest in batch]
            rows = zip(padding, batch, strict=True)
            ids = [[*_valid(network, BEGINNING), *[pad] * n, *_valid(network, rest)] for n, rest in rows]
            mask = [[1] * len(BEGINNING) + [0] * n + [1] * (columns - n) for n in padding]
            result = network.generate(
                input_ids=torch.tensor(ids, device=network.device),
                attention_mask=torch.tensor(mask, device=network.device),
                past_key_values=None if cache is None else spread(cache, len(batch), apart),
                max_new_tokens=steps,
                min_new_tokens=steps,
                output_logits=True,
                return_dict_in_generate=True,
            )
            found.append(torch.stack(result.logits, dim=1).to(network.dtype).cpu())
    return torch.cat(found)


def _agree(alone: torch.Tensor, shared: torch.Tensor) -> bool:
    """Equal up to rounding."""
    tolerance = 1e-3 if alone.dtype == torch.float32 else 0.05
    return bool((alone - shared).abs().max() <= tolerance * alone.abs().max())


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
    """The key-value cache of the beginning that was asked for last; batches that follow each other often share it.

    copied, apart: what `ways_to_share` says of the model.
    """

    def __init__(self, model):
        self.network = model._module
        self.copied, self.apart = ways_to_share(self.network)
        self.tokens, self.cache = (), None

    def for_rows(self, tokens: tuple[int, ...], rows: int, apart: bool):
        """A fresh cache of the beginning for that many rows, as `spread` makes it; None for an empty beginning."""
        if not tokens:
            return None
        if tokens != self.tokens:
            self.tokens, self.cache = tokens, read_beginning(self.network, tokens)
        return spread(self.cache, rows, apart)
