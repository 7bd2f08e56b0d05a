"""What a model can do with what rows share, found out by trying it on a few tokens.

Architectures do all kinds of things between blocks and with their caches; whether sharing suits one cannot be told from its
name. What gives other answers than reading each row alone is not used.
"""

from weakref import WeakKeyDictionary

import torch

from helpers.layout import Row, lay_out, pushes
from helpers.models import addition, number_of_blocks, residual, width, write_residual
from helpers.prompts import Prompt
from helpers.reading import read_prompts
from helpers.shared_prefix import PrefixCache, Ways, attention_by_parts

TRIED = WeakKeyDictionary()  # network -> {(attention, dtype): Ways}
BEGINNING = (3, 4, 5, 6, 7, 8)
RESTS = ((9, 10, 11, 12), (13, 14, 15))  # of two lengths: with padding between beginning and rest


def ways_to_share(model) -> Ways:
    """Tried once for each network, attention and dtype."""
    network = model._module
    kind = (network.config.get_text_config()._attn_implementation, network.dtype)
    tried = TRIED.setdefault(network, {})
    if kind not in tried:
        rows = _rows(model)
        alone = torch.cat([_read_alone(model, row) for row in rows])

        def works(*ways: bool) -> bool:
            try:
                shared = _read_together(model, rows, Ways(*ways))
            except Exception:  # whatever a strange architecture makes of it
                return False
            tolerance = 1e-3 if network.dtype == torch.float32 else 0.05
            return bool((alone - shared).abs().max() <= tolerance * alone.abs().max())

        copied = works(True, False, False)
        apart = copied and works(True, True, False)
        once = copied and works(True, apart, True)
        tried[kind] = Ways(copied, apart, once)
    return tried[kind]


def _rows(model) -> list[Row]:
    """Each rest with a vector in the first block, in the middle, in the last, and with none."""
    blocks, vocabulary = number_of_blocks(model), model._module.config.get_text_config().vocab_size
    rows = []
    for rest in RESTS:
        prompt = Prompt("", tuple(token % vocabulary for token in BEGINNING + rest), {})
        span = (len(BEGINNING) + 1, len(prompt.token_ids) - 1)  # the last token is read by generate, without any vector
        vector = torch.linspace(-1, 1, width(model)) * _size(model, prompt)
        rows += [Row(prompt, span, vector, 1.0, layer) for layer in sorted({0, blocks // 2, blocks - 1})]
        rows.append(Row(prompt, span))
    return rows


def _size(model, prompt: Prompt) -> float:
    """The usual size of one number in the residual stream after the middle block."""
    with torch.no_grad(), model.trace({"input_ids": torch.tensor([prompt.token_ids])}):
        size = residual(model.blocks[number_of_blocks(model) // 2]).float().square().mean().sqrt().save()
    return float(size)


def _read_alone(model, row: Row) -> torch.Tensor:
    """Logits of the reply's first token, [1, vocabulary]."""
    batch = lay_out([row], 0, share_prefix=False)
    inside = batch.inside(torch.tensor([0]), torch.arange(batch.ids.shape[1]))
    added = pushes(batch, model)
    with torch.no_grad(), model.trace({"input_ids": batch.ids, "attention_mask": batch.mask}):
        for layer, push in added.items():
            stream = residual(model.blocks[layer])
            write_residual(model.blocks[layer], stream + addition(stream, inside, push))
        logits = model.output.logits[:, -1].float().cpu().save()
    return logits


def _read_together(model, rows: list[Row], ways: Ways) -> torch.Tensor:
    """The same for all rows in one batch, [row, vocabulary]."""
    network = model._module
    batch = lay_out(rows, network.generation_config.pad_token_id or 0)
    with attention_by_parts(network, ways.apart) as apart:
        if ways.apart and not apart:
            raise ValueError("this attention cannot look at a beginning that is kept once")
        cache = read_prompts(model, batch, pushes(batch, model), PrefixCache(model, ways), apart)
        result = network.generate(
            input_ids=batch.ids.to(network.device),
            attention_mask=batch.mask.to(network.device),
            past_key_values=cache,
            max_new_tokens=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
    return result.logits[0].float().cpu()
