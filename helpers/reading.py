"""Reading the prompts of a batch into the key-value cache, no part of them oftener than the injections make necessary.

Up to the block after which its vector is added, a row computes what every row with the same prompt computes. So each prompt
is read once as it is, and a row reads it again in the blocks above its layer only, from the stream with its vector added. A
control row needs nothing more. (What stands before the first injected token is the same for all: see `shared_prefix`.)
"""

import inspect
from dataclasses import dataclass
from itertools import groupby

import torch

from helpers.layout import blocks_unchanged
from helpers.models import addition, number_of_blocks, residual, write_residual
from helpers.shared_prefix import SharedLayer, joined, taken_over

TOGETHER = 128  # rows that are read in one pass


@dataclass(frozen=True)
class Part:
    """Rows that are read in one pass. rows: their places in the batch; depth: how many blocks they take over from `Once`."""

    rows: torch.Tensor
    depth: int


@dataclass(frozen=True)
class Once:
    """The different prompts of a batch, each read once without any vector.

    number: [row], which of them a row has. cache: of these prompts. tokens: [prompt, position], as the model was fed them.
    outputs: layer -> what the block put out, for the layers that are injected at.
    """

    number: torch.Tensor
    cache: object
    tokens: torch.Tensor
    outputs: dict


def read_prompts(model, batch, added, prefixes, apart: bool, recorder=None):
    """The cache of all rows after their prompts but for the last token, which is left for generating.

    batch: a `layout.Batch` with a shared prefix. added: layer -> [row, 1, width], what is added inside the columns that the batch
    says. prefixes: a `PrefixCache`; apart as in `spread`. recorder: an `audit.Recorder`.
    """
    positions = batch.ids.shape[1] - 1 - len(batch.prefix)
    if positions == 0:
        return prefixes.for_rows(batch.prefix, len(batch.rows), apart)
    if recorder:
        recorder.begins_pass(positions)
    blocks = number_of_blocks(model)
    parts, once = plan_parts(batch, blocks, prefixes.ways.once), None
    if not prefixes.ways.once:
        cache = prefixes.for_rows(batch.prefix, len(batch.rows), apart)
        _read(model, batch, parts[0], cache, added, once, recorder)
        return cache
    if any(part.depth for part in parts):
        once = _read_once(model, batch, parts, prefixes, apart)
    whole = prefixes.for_rows(batch.prefix, 0, apart)
    for layer in whole.layers:
        if isinstance(layer, SharedLayer):
            layer.reserve(len(batch.rows), positions)
    caches, done = [], 0
    for part in parts:
        cache = prefixes.for_rows(batch.prefix, len(part.rows), apart)
        here = slice(done, done := done + len(part.rows))
        for place, layer in enumerate(whole.layers):
            if isinstance(layer, SharedLayer):
                cache.layers[place] = layer.part(here)
        if part.depth < blocks or recorder:  # what is added after the last block changes nothing in the cache
            _read(model, batch, part, cache, added, once, recorder)
        for place in range(part.depth):
            cache.layers[place] = taken_over(cache.layers[place], once.cache.layers[place], once.number[part.rows])
        caches.append(cache)
    for place, layer in enumerate(whole.layers):
        whole.layers[place] = joined([cache.layers[place] for cache in caches], layer)
        for cache in caches:
            cache.layers[place] = None  # memory is short here
    order = torch.cat([part.rows for part in parts])
    if order.tolist() != list(range(len(order))):
        whole.batch_select_indices(order.argsort())
    return whole


def plan_parts(batch, blocks: int, once: bool) -> list[Part]:
    """The passes in which a batch is read. once: whether rows can take over what was read without a vector; else all are one part."""
    if not once:
        return [Part(torch.arange(len(batch.rows)), 0)]
    depths = [min(blocks, blocks_unchanged(row)) for row in batch.rows]
    prompts = len({row.prompt.token_ids for row in batch.rows})
    if prompts * max(depths) >= sum(depths):  # reading the prompts by themselves first would cost more than it saves
        depths = [0] * len(depths)
    order = sorted(range(len(depths)), key=depths.__getitem__)
    parts = []
    for depth, group in groupby(order, key=depths.__getitem__):
        parts += [Part(rows, depth) for rows in torch.tensor(list(group)).split(TOGETHER)]
    return parts


def _read_once(model, batch, parts: list[Part], prefixes, apart: bool) -> Once:
    """Read every prompt of the batch without any vector, up to the highest block that a row takes over."""
    numbers = {}
    number = torch.tensor([numbers.setdefault(row.prompt.token_ids, len(numbers)) for row in batch.rows])
    rows = torch.tensor([number.tolist().index(each) for each in numbers.values()])  # one for each prompt
    cache = prefixes.for_rows(batch.prefix, len(rows), apart)
    depths = sorted({part.depth for part in parts if part.depth})
    tokens, outputs = [], {}  # filled inside the trace, like the cache
    inputs = {"input_ids": _own(batch, rows, batch.ids), **_where(model, batch, rows)}
    with torch.no_grad(), model.trace(past_key_values=cache, use_cache=True) as tracer:
        with tracer.invoke(inputs):
            tokens.append(model.embed.input.cpu())
            for depth in depths:
                outputs[depth - 1] = model.blocks[depth - 1].output
            tracer.stop()  # the blocks above and the logits are not needed
    return Once(number, cache, tokens[0], outputs)


def _read(model, batch, part: Part, cache, added, once: Once | None, recorder) -> None:
    """Read the prompts of one part into its cache, in the blocks that it does not take over."""
    blocks, last = model.blocks, number_of_blocks(model) - 1
    injected = {layer: push[part.rows] for layer, push in added.items() if push[part.rows].any()}
    inside = batch.inside(part.rows, torch.arange(len(batch.prefix), batch.ids.shape[1] - 1))
    if part.depth:
        output, number = once.outputs[part.depth - 1], once.number[part.rows]
        stream = (output[0] if isinstance(output, tuple) else output)[number]
        start = {"inputs_embeds": stream}  # not looked at: the first blocks are skipped
    else:
        start = {"input_ids": _own(batch, part.rows, batch.ids)}
    with torch.no_grad(), model.trace(past_key_values=cache, use_cache=True) as tracer:
        with tracer.invoke({**start, **_where(model, batch, part.rows)}):
            if recorder:
                recorder.saw_tokens(once.tokens[number] if part.depth else model.embed.input, part.rows)
            for layer in range(part.depth):
                blocks[layer].skip((stream,) if isinstance(output, tuple) else stream)
            watched = range(max(0, part.depth - 1), last + 1) if recorder else sorted({*injected, last})
            for layer in watched:
                stream = residual(blocks[layer])  # [row, position, width]
                before = stream.clone() if recorder else None
                if layer in injected:
                    write_residual(blocks[layer], stream + addition(stream, inside, injected[layer]))
                if recorder:
                    following = blocks[layer + 1] if layer < last else model.final_norm
                    recorder.saw_change(layer, before, following.input, part.rows)
            tracer.stop()  # the logits are not needed


def _own(batch, rows: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The columns that these rows read here: behind the prefix, without the last one."""
    return table[rows, len(batch.prefix) : -1]


def _where(model, batch, rows: torch.Tensor) -> dict:
    """What tells attention where the tokens stand."""
    places = (batch.mask.cumsum(1) - 1).clamp(min=0)
    takes_places = "position_ids" in inspect.signature(model._module.forward).parameters
    placed = {"position_ids": _own(batch, rows, places)} if takes_places else {}
    return {"attention_mask": batch.mask[rows, :-1], **placed}
