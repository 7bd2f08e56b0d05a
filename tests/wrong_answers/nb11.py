"""Wrong answers to the exercises of 11_find_where_it_happens and what the check must say about each; right ones."""

import torch

from helpers import models


def share_missing(clean, injected, patched):
    """What is still missing instead of what came back."""
    return float((injected - patched).mean() / (injected - clean).mean())


def share_restored(clean, injected, patched):
    """A tensor without dimensions."""
    return (patched - clean).mean() / (injected - clean).mean()


def mean_of_shares(clean, injected, patched):
    """Divides word by word."""
    return float(((patched - clean) / (injected - clean)).mean())


def share_of_injected(clean, injected, patched):
    """Forgets to subtract the clean run below the line."""
    return float((patched - clean).mean() / injected.mean())


def share_of_sizes(clean, injected, patched):
    """Absolute effects."""
    return float((patched - clean).abs().mean() / (injected - clean).abs().mean())


def patched(subject, source, into, layer, position, rows=slice(None), read=None, write=None):
    """Activation patching with parts to exchange: the rows, and what the two traces run on."""
    with subject.trace(source if read is None else read):
        carried = models.residual(subject.blocks[layer])[:, position].clone().save()
    with subject.trace(into if write is None else write):
        models.residual(subject.blocks[layer])[rows, position] = carried[rows]
        logits = subject.output.logits[:, -1].save()
    return logits


def patch_next_block(subject, source, into, layer, position):
    """Counts the embedding as block 0."""
    return patched(subject, source, into, min(layer + 1, models.number_of_blocks(subject) - 1), position)


def patch_everywhere(subject, source, into, layer, position):
    """All positions instead of one."""
    return patched(subject, source, into, layer, slice(None))


def patch_up_to(subject, source, into, layer, position):
    """All positions up to this one."""
    return patched(subject, source, into, layer, slice(0, position + 1))


def patch_first_row(subject, source, into, layer, position):
    """Forgets the other rows."""
    return patched(subject, source, into, layer, position, rows=slice(0, 1))


def source_without_mask(subject, source, into, layer, position):
    """Hands the token ids alone to the first run."""
    return patched(subject, source, into, layer, position, read=source["input_ids"])


def both_without_mask(subject, source, into, layer, position):
    """Hands the token ids alone to both runs."""
    return patched(subject, source["input_ids"], into["input_ids"], layer, position)


def patch_a_copy(subject, source, into, layer, position):
    """Writes into a clone, which the model never sees."""
    with subject.trace(source):
        carried = models.residual(subject.blocks[layer])[:, position].clone().save()
    with subject.trace(into):
        stream = models.residual(subject.blocks[layer]).clone()
        stream[:, position] = carried
        logits = subject.output.logits[:, -1].save()
    return logits


def patch_wrong_way(subject, source, into, layer, position):
    """Source and target exchanged."""
    return patched(subject, into, source, layer, position)


def patched_in_one_batch(subject, source, into, layer, position):
    """Both runs in one trace."""
    rows = len(source["input_ids"])
    batch = {name: torch.cat([source[name], into[name]]) for name in source}
    with torch.no_grad(), subject.trace(batch):
        stream = models.residual(subject.blocks[layer])
        stream[rows:, position] = stream[:rows, position]
        logits = subject.output.logits[rows:, -1].save()
    return logits


def silenced(subject, inputs, layer, where, rows=slice(None), positions=slice(None)):
    """Zeros in part of o_proj's input."""
    with subject.trace(inputs):
        subject.blocks[layer].self_attn.o_proj.input[rows, positions, where] = 0
        logits = subject.output.logits[:, -1].save()
    return logits


def slice_of(subject, head):
    """A head's slice."""
    width = models.width(subject) // subject.config.num_attention_heads
    return slice(head * width, (head + 1) * width)


def head_counted_from_one(subject, inputs, layer, head):
    """Takes head 1 for the first."""
    return silenced(subject, inputs, layer, slice_of(subject, (head - 1) % subject.config.num_attention_heads))


def head_interleaved(subject, inputs, layer, head):
    """Every n-th number instead of one slice."""
    return silenced(subject, inputs, layer, slice(head, None, subject.config.num_attention_heads))


def head_after_mixing(subject, inputs, layer, head):
    """A slice of o_proj's output, where the heads are mixed already."""
    with subject.trace(inputs):
        subject.blocks[layer].self_attn.o_proj.output[..., slice_of(subject, head)] = 0
        logits = subject.output.logits[:, -1].save()
    return logits


def whole_attention(subject, inputs, layer, head):
    """All heads of the block."""
    return silenced(subject, inputs, layer, slice(None))


def head_of_first_row(subject, inputs, layer, head):
    """Forgets the other rows."""
    return silenced(subject, inputs, layer, slice_of(subject, head), rows=slice(0, 1))


def head_at_last_position(subject, inputs, layer, head):
    """Silent at one position only."""
    return silenced(subject, inputs, layer, slice_of(subject, head), positions=slice(-1, None))


def head_without_mask(subject, inputs, layer, head):
    """Hands the token ids alone to the model."""
    return silenced(subject, inputs["input_ids"], layer, slice_of(subject, head))


def weights_left_at_zero(subject, inputs, layer, head):
    """Right logits, but the model is another one afterwards."""
    with torch.no_grad():
        subject.blocks._module[layer].self_attn.o_proj.weight[:, slice_of(subject, head)] = 0
        return subject._module(**inputs).logits[:, -1]


def silent_values(subject, inputs, layer, head):
    """A head without values puts out zeros."""
    with torch.no_grad(), subject.trace(inputs):
        subject.blocks[layer].self_attn.v_proj.output[..., slice_of(subject, head)] = 0
        logits = subject.output.logits[:, -1].save()
    return logits


def weights_put_back(subject, inputs, layer, head):
    """Sets columns of the weight to zero for one run."""
    weight = subject.blocks._module[layer].self_attn.o_proj.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight[:, slice_of(subject, head)] = 0
        logits = subject._module(**inputs).logits[:, -1]
        weight.copy_(before)
    return logits


def read(subject, inputs, layer, position=(0, -1)):
    """o_proj's input at one place, and its weight."""
    with subject.trace(inputs):
        side_by_side = subject.blocks[layer].self_attn.o_proj.input[position].clone().save()
    return side_by_side, subject.blocks[layer].self_attn.o_proj._module.weight


def equal_parts(subject, inputs, layer):
    """The whole, divided by the number of heads: the sum is right and no part is."""
    side_by_side, weight = read(subject, inputs, layer)
    number = subject.config.num_attention_heads
    return (weight @ side_by_side / number).expand(number, -1)


def rows_for_columns(subject, inputs, layer):
    """Uses the weight's rows where its columns are meant."""
    side_by_side, weight = read(subject, inputs, layer)
    parts = side_by_side.view(subject.config.num_attention_heads, -1)
    return torch.stack([part @ rows for part, rows in zip(parts, weight.split(parts.shape[1]), strict=True)])


def not_projected(subject, inputs, layer):
    """The slices themselves, before o_proj."""
    return read(subject, inputs, layer)[0].view(subject.config.num_attention_heads, -1)


def masked_parts(subject, inputs, layer, position=(0, -1)):
    """o_proj itself, on one head's numbers with zeros in place of the others'."""
    side_by_side, weight = read(subject, inputs, layer, position)
    number = subject.config.num_attention_heads
    own = torch.arange(len(side_by_side)) // (len(side_by_side) // number) == torch.arange(number)[:, None]
    return (own * side_by_side) @ weight.T


WRONG = [
    ("check_share_restored", share_missing, "still missing"),
    ("check_share_restored", mean_of_shares, "take the means before you divide"),
    ("check_share_restored", share_of_injected, "subtract the clean margins below the line"),
    ("check_share_restored", share_of_sizes, "do not take absolute values"),
    ("check_share_restored", lambda *margins: share_restored(*margins).clamp(0, 1), "do not cut them off"),
    ("check_patch_one", patch_next_block, "the stream after the next block"),
    ("check_patch_one", patch_everywhere, "at one position only"),
    ("check_patch_one", patch_up_to, "all positions up to this one"),
    ("check_patch_one", patch_first_row, "only the first row is patched"),
    ("check_patch_one", source_without_mask, "the run on `source` has lost its attention mask"),
    ("check_patch_one", both_without_mask, "both runs have lost their attention mask"),
    ("check_patch_one", patch_a_copy, "without a patch"),
    ("check_patch_one", patch_wrong_way, "the other way round"),
    ("check_without_head", head_counted_from_one, "you silenced the head before"),
    ("check_without_head", head_interleaved, "its numbers lie side by side"),
    ("check_without_head", head_after_mixing, "one slice of o_proj's input"),
    ("check_without_head", whole_attention, "all heads"),
    ("check_without_head", head_of_first_row, "only the first row is silenced"),
    ("check_without_head", head_at_last_position, "at every position"),
    ("check_without_head", head_without_mask, "without the attention mask"),
    ("check_without_head", weights_left_at_zero, "with other weights"),
    ("check_head_writes", equal_parts, "every head has the same share"),
    ("check_head_writes", rows_for_columns, "must add up"),
    ("check_head_writes", not_projected, "must have the shape"),
    ("check_head_writes", lambda *run: masked_parts(*run).flip(0), "not each head's part"),
    ("check_head_writes", lambda *run: masked_parts(*run, (-1, -1)), "the parts of the last row"),
]

RIGHT = [
    ("check_share_restored", share_restored),
    ("check_patch_one", patched_in_one_batch),
    ("check_without_head", silent_values),
    ("check_without_head", weights_put_back),
    ("check_head_writes", masked_parts),
]
