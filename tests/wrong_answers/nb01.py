"""Wrong answers to the exercises of 01_read_activations, and what the check must say about each."""

import nnsight
import torch

from helpers import models


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


def whole_stream(subject, inputs, layer):
    """Forgets to subtract the input."""
    with subject.trace(inputs):
        after = models.residual(subject.blocks[layer]).clone().save()
    return after


def before_minus_after(subject, inputs, layer):
    """Subtracts the wrong way round."""
    with subject.trace(inputs):
        before = subject.blocks[layer].input
        change = (before - models.residual(subject.blocks[layer])).save()
    return change


def lens_without_norm(subject, inputs, layer):
    """Takes the first position, and leaves final_norm out."""
    with subject.trace(inputs):
        said = subject.unembed(models.residual(subject.blocks[layer])[:, 0]).argmax(-1).save()
    return said


def lens_always_at_the_end(subject, inputs, layer):
    """Ignores the layer: always the model's own answer."""
    with subject.trace(inputs):
        said = subject.output.logits[:, -1].argmax(-1).save()
    return said


def lens_logits(subject, inputs, layer):
    """Forgets the argmax."""
    with subject.trace(inputs):
        logits = subject.unembed(subject.final_norm(models.residual(subject.blocks[layer])[:, -1]))[:, 0].save()
    return logits


def votes_without_norm(subject, inputs, token):
    """Leaves final_norm out."""
    with subject.trace(inputs):
        parts = nnsight.save([subject.embed.output[0, -1].clone()])
        for block in subject.blocks:
            before = block.input[0, -1].clone()
            parts.append(models.residual(block)[0, -1] - before)
    return torch.stack(list(parts)) @ subject.unembed._module.weight[token]


def votes_shared_out_equally(subject, inputs, token):
    """Adds up, but says nothing: the same vote for everybody."""
    with subject.trace(inputs):
        logit = subject.output.logits[0, -1, token].clone().save()
    parts = 1 + models.number_of_blocks(subject)
    return (logit / parts).repeat(parts)


WRONG = [
    ("check_stream_after", stream_before, "stream before block 0"),
    ("check_stream_after", stream_everywhere, "all positions"),
    ("check_stream_after", stream_at_first_token, "first position"),
    ("check_last_real_token", lambda mask: mask.sum(1) - 1, "padding on the left"),
    ("check_last_real_token", lambda mask: torch.full((len(mask),), mask.shape[1] - 1), "padding on the right"),
    ("check_written_by", whole_stream, "whole stream"),
    ("check_written_by", before_minus_after, "sign is the wrong way round"),
    ("check_would_say", lens_without_norm, "must say what the model says"),
    ("check_would_say", lens_always_at_the_end, "is it the stream of this block"),
    ("check_would_say", lens_logits, "whole numbers"),
    ("check_votes", votes_without_norm, "add up"),
    ("check_votes", votes_shared_out_equally, "the sum is right"),
]
