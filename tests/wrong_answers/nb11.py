"""Wrong answers to the exercises of 11_find_where_it_happens, and what the check must say about each."""

import torch

from helpers import models


def share_missing(clean, injected, patched):
    """What is still missing instead of what came back."""
    return float((injected - patched).mean() / (injected - clean).mean())


def mean_of_shares(clean, injected, patched):
    """Divides word by word."""
    return float(((patched - clean) / (injected - clean)).mean())


def share_of_injected(clean, injected, patched):
    """Forgets to subtract the clean run below the line."""
    return float((patched - clean).mean() / injected.mean())


def _patched(subject, source, into, layer, position):
    with subject.trace(source):
        carried = models.residual(subject.blocks[layer])[:, position].clone().save()
    with subject.trace(into):
        models.residual(subject.blocks[layer])[:, position] = carried
        logits = subject.output.logits[:, -1].save()
    return logits


def patch_next_block(subject, source, into, layer, position):
    """Counts the embedding as block 0."""
    return _patched(subject, source, into, min(layer + 1, models.number_of_blocks(subject) - 1), position)


def patch_everywhere(subject, source, into, layer, position):
    """All positions instead of one."""
    return _patched(subject, source, into, layer, slice(None))


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
    return _patched(subject, into, source, layer, position)


def _silenced(subject, inputs, layer, where):
    with subject.trace(inputs):
        subject.blocks[layer].self_attn.o_proj.input[..., where] = 0
        logits = subject.output.logits[:, -1].save()
    return logits


def head_counted_from_one(subject, inputs, layer, head):
    """Takes head 1 for the first."""
    width = models.width(subject) // subject.config.num_attention_heads
    return _silenced(subject, inputs, layer, slice((head - 1) * width, head * width))


def head_interleaved(subject, inputs, layer, head):
    """Every n-th number instead of one slice."""
    return _silenced(subject, inputs, layer, slice(head, None, subject.config.num_attention_heads))


def head_after_mixing(subject, inputs, layer, head):
    """A slice of o_proj's output, where the heads are mixed already."""
    width = models.width(subject) // subject.config.num_attention_heads
    with subject.trace(inputs):
        subject.blocks[layer].self_attn.o_proj.output[..., head * width : (head + 1) * width] = 0
        logits = subject.output.logits[:, -1].save()
    return logits


def whole_attention(subject, inputs, layer, head):
    """All heads of the block."""
    return _silenced(subject, inputs, layer, slice(None))


def unmatched(chosen, heads, seed):
    """Any blocks."""
    generator = torch.Generator().manual_seed(seed)
    others = [(block, head) for block in range(8) for head in range(heads) if (block, head) not in chosen]
    return [others[i] for i in torch.randperm(len(others), generator=generator)[: len(chosen)].tolist()]


def first_free(chosen, heads, seed):
    """The first heads that are free, the same for every seed."""
    drawn = []
    for block in sorted({block for block, _ in chosen}):
        taken = [head for at, head in chosen if at == block]
        drawn += [(block, head) for head in range(heads) if head not in taken][: len(taken)]
    return drawn


def chosen_not_left_out(chosen, heads, seed):
    """Draws from all heads of the block."""
    generator, drawn = torch.Generator().manual_seed(seed), []
    for block in sorted({block for block, _ in chosen}):
        count = sum(at == block for at, _ in chosen)
        drawn += [(block, head) for head in torch.randperm(heads, generator=generator)[:count].tolist()]
    return drawn


def _read(subject, inputs, layer):
    with subject.trace(inputs):
        side_by_side = subject.blocks[layer].self_attn.o_proj.input[0, -1].clone().save()
    return side_by_side, subject.blocks[layer].self_attn.o_proj._module.weight


def equal_parts(subject, inputs, layer):
    """The whole, divided by the number of heads: the sum is right and no part is."""
    side_by_side, weight = _read(subject, inputs, layer)
    number = subject.config.num_attention_heads
    return (weight @ side_by_side / number).expand(number, -1)


def rows_for_columns(subject, inputs, layer):
    """Uses the weight's rows where its columns are meant."""
    side_by_side, weight = _read(subject, inputs, layer)
    parts = side_by_side.view(subject.config.num_attention_heads, -1)
    return torch.stack([part @ rows for part, rows in zip(parts, weight.split(parts.shape[1]), strict=True)])


def not_projected(subject, inputs, layer):
    """The slices themselves, before o_proj."""
    return _read(subject, inputs, layer)[0].view(subject.config.num_attention_heads, -1)


WRONG = [
    ("check_share_restored", share_missing, "still missing"),
    ("check_share_restored", mean_of_shares, "Take the means before you divide"),
    ("check_share_restored", share_of_injected, "restores 1"),
    ("check_patch_one", patch_next_block, "you patched block 4, not block 3"),
    ("check_patch_one", patch_everywhere, "at one position only"),
    ("check_patch_one", patch_a_copy, "without a patch"),
    ("check_patch_one", patch_wrong_way, "not the logits of the run"),
    ("check_without_head", head_counted_from_one, "you silenced head 0"),
    ("check_without_head", head_interleaved, "one slice"),
    ("check_without_head", head_after_mixing, "one slice"),
    ("check_without_head", whole_attention, "all heads"),
    ("check_matched_random_heads", unmatched, "the chosen heads lie in the blocks"),
    ("check_matched_random_heads", first_free, "every seed gives the same set"),
    ("check_matched_random_heads", chosen_not_left_out, "holds a chosen head"),
    ("check_head_writes", equal_parts, "not each head's part"),
    ("check_head_writes", rows_for_columns, "must add up"),
    ("check_head_writes", not_projected, "must have the shape"),
]
