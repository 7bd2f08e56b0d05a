"""Wrong answers to the exercises of 01_read_activations and what the check must say about each; right ones that it must take."""

import nnsight
import torch

from helpers import models


def mask_dropped(attempt):
    """The same attempt with the token ids alone."""
    return lambda subject, inputs, number: attempt(subject, inputs["input_ids"], number)


def stream(subject, inputs, layer):
    """The stream after a block at the last position."""
    with subject.trace(inputs):
        last = models.residual(subject.blocks[layer])[:, -1].save()
    return last


def stream_before(subject, inputs, layer):
    """Reads the input of the block."""
    with subject.trace(inputs):
        last = subject.blocks[layer].input[:, -1].save()
    return last


def stream_everywhere(subject, inputs, layer):
    """Forgets to pick a position."""
    with subject.trace(inputs):
        stream = models.residual(subject.blocks[layer]).save()
    return stream


def stream_at_first_token(subject, inputs, layer):
    """Reads the first token."""
    with subject.trace(inputs):
        first = models.residual(subject.blocks[layer])[:, 0].save()
    return first


def hidden_state(subject, inputs, layer):
    """transformers' hidden states: the last one has been through final_norm."""
    with torch.no_grad():
        return subject._module(**inputs, output_hidden_states=True).hidden_states[layer + 1][:, -1]


def leaves_a_hook(subject, inputs, layer):
    """Right, but its hook stays on the model."""
    seen = []
    subject.blocks._module[layer].register_forward_hook(lambda _block, _inputs, output: seen.append(output))
    with torch.no_grad():
        subject._module(**inputs)
    return seen[0][:, -1]


def stream_by_hook(subject, inputs, layer):
    """Plain PyTorch."""
    seen = []
    handle = subject.blocks._module[layer].register_forward_hook(lambda _block, _inputs, output: seen.append(output))
    with torch.no_grad():
        subject._module(**inputs)
    handle.remove()
    return seen[0][:, -1]


def side_by_first_row(mask):
    """Decides by the first row on which side the padding is."""
    ends = mask.sum(1) - 1
    return ends if mask[0, 0] == 1 else torch.full_like(ends, mask.shape[1] - 1)


def written(subject, inputs, layer):
    """What the block wrote."""
    with subject.trace(inputs):
        before = subject.blocks[layer].input
        change = (models.residual(subject.blocks[layer]) - before).save()
    return change


def whole_stream(subject, inputs, layer):
    """Forgets to subtract the input."""
    with subject.trace(inputs):
        after = models.residual(subject.blocks[layer]).clone().save()
    return after


def before_minus_after(subject, inputs, layer):
    """Subtracts the wrong way round."""
    return -written(subject, inputs, layer)


def mlp_alone(subject, inputs, layer):
    """Forgets the attention."""
    with subject.trace(inputs):
        change = subject.blocks[layer].mlp.output.save()
    return change


def difference_of_hidden_states(subject, inputs, layer):
    """The last hidden state has been through final_norm."""
    with torch.no_grad():
        states = subject._module(**inputs, output_hidden_states=True).hidden_states
    return states[layer + 1] - states[layer]


def both_parts(subject, inputs, layer):
    """What the attention wrote plus what the MLP wrote."""
    with torch.no_grad(), subject.trace(inputs):
        attended = subject.blocks[layer].self_attn.output[0]
        change = (attended + subject.blocks[layer].mlp.output).save()
    return change


def lens(subject, inputs, layer):
    """A logit lens."""
    with subject.trace(inputs):
        last = models.residual(subject.blocks[layer])[:, -1]
        tokens = subject.unembed(subject.final_norm(last)).argmax(-1).save()
    return tokens


def lens_without_norm(subject, inputs, layer):
    """Leaves final_norm out."""
    with subject.trace(inputs):
        tokens = subject.unembed(models.residual(subject.blocks[layer])[:, -1]).argmax(-1).save()
    return tokens


def lens_with_two_norms(subject, inputs, layer):
    """Norms the hidden state, which has been normed already at the end."""
    with torch.no_grad():
        state = hidden_state(subject, inputs, layer)
        return subject.unembed._module(subject.final_norm._module(state)).argmax(-1)


def lens_always_at_the_end(subject, inputs, layer):
    """Ignores the layer: always the model's own answer."""
    with subject.trace(inputs):
        tokens = subject.output.logits[:, -1].argmax(-1).save()
    return tokens


def lens_logits(subject, inputs, layer):
    """Forgets the argmax."""
    with subject.trace(inputs):
        logits = subject.unembed(subject.final_norm(models.residual(subject.blocks[layer])[:, -1]))[:, 0].save()
    return logits


def lens_by_max(subject, inputs, layer):
    """All positions first, another kind of whole number."""
    with torch.no_grad(), subject.trace(inputs):
        logits = subject.unembed(subject.final_norm(subject.blocks[layer].output)).save()
    return logits[:, -1].max(-1).indices.int()


def votes_without_norm(subject, inputs, token):
    """Leaves final_norm out."""
    with subject.trace(inputs):
        parts = nnsight.save([subject.embed.output[0, -1].clone()])
        for block in subject.blocks:
            before = block.input[0, -1].clone()
            parts.append(models.residual(block)[0, -1] - before)
    return torch.stack(list(parts)) @ subject.unembed._module.weight[token]


def votes(subject, inputs, token):
    """The RMS norm written out; streams subtracted at the end."""
    with torch.no_grad(), subject.trace(inputs):
        streams = nnsight.save([subject.embed.output[0, -1].clone()])
        for block in subject.blocks:
            streams.append(models.residual(block)[0, -1].clone())
    streams = torch.stack(list(streams))
    parts = torch.cat([streams[:1], streams.diff(dim=0)])
    scale = torch.rsqrt(streams[-1].pow(2).mean() + 1e-6) * subject.final_norm._module.weight
    with torch.no_grad():
        return subject.unembed._module(parts * scale)[:, token]


def votes_of_last_row(subject, inputs, token):
    """The last row instead of the first."""
    return votes(subject, {name: tensor.flip(0) for name, tensor in inputs.items()}, token)


def votes_in_wrong_order(subject, inputs, token):
    """From the last block down to the embedding."""
    return votes(subject, inputs, token).flip(0)


WRONG = [
    ("check_stream_after", stream_before, "stream before the block"),
    ("check_stream_after", stream_everywhere, "all positions"),
    ("check_stream_after", stream_at_first_token, "first position"),
    ("check_stream_after", mask_dropped(stream), "without the attention mask"),
    ("check_stream_after", hidden_state, "transformers' last hidden state"),
    ("check_stream_after", leaves_a_hook, "leaves a hook on the model"),
    ("check_last_real_token", lambda mask: mask.sum(1) - 1, "padding on the left"),
    ("check_last_real_token", lambda mask: torch.full((len(mask),), mask.shape[1] - 1), "padding on the right"),
    ("check_last_real_token", side_by_first_row, "padding on the left"),
    ("check_written_by", whole_stream, "whole stream"),
    ("check_written_by", before_minus_after, "sign is the wrong way round"),
    ("check_written_by", mask_dropped(written), "without the attention mask"),
    ("check_written_by", mlp_alone, "its attention writes as well"),
    ("check_written_by", difference_of_hidden_states, "transformers' last hidden state"),
    ("check_would_say", lens_without_norm, "final_norm is missing"),
    ("check_would_say", lens_with_two_norms, "through final_norm twice"),
    ("check_would_say", lens_always_at_the_end, "is it the stream of this block"),
    ("check_would_say", lens_logits, "whole numbers"),
    ("check_would_say", mask_dropped(lens), "without the attention mask"),
    ("check_votes", votes_without_norm, "add up"),
    ("check_votes", votes_in_wrong_order, "the sum is right"),
    ("check_votes", mask_dropped(votes), "without the attention mask"),
    ("check_votes", votes_of_last_row, "votes in the last row"),
]

RIGHT = [
    ("check_stream_after", stream_by_hook),
    ("check_last_real_token", lambda mask: mask.shape[1] - 1 - mask.flip(1).argmax(1)),
    ("check_last_real_token", lambda mask: torch.tensor([row.nonzero().max() for row in mask])),
    ("check_written_by", both_parts),
    ("check_would_say", lens_by_max),
    ("check_votes", votes),
]
