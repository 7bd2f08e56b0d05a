"""The residual stream inside a trace: read it, write it, and prove at load that this works."""

import nnsight
import torch

from helpers.models.architecture import number_of_blocks, width

# nnsight says this whenever every reply has ended before max_new_tokens: the normal case
ENDED_EARLY = ".*was never reached: the loop asked for a step.*"


def residual(block) -> torch.Tensor:
    """The residual stream after a block, [row, position, width], inside a trace (some families return it in a tuple)."""
    output = block.output
    return output[0] if isinstance(output, tuple) else output


def write_residual(block, value: torch.Tensor) -> None:
    """Replace the residual stream after a block, inside a trace; anything else in a tuple output stays as it is."""
    output = block.output
    block.output = (value, *output[1:]) if isinstance(output, tuple) else value


# by how much two ways to the same computation may differ, as a share of the largest number: rounding of the dtype
ROUNDING = {torch.float64: 1e-5, torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 5e-3}


def check_evaluating(model) -> None:
    """Raise ValueError for a model of which any part is in training mode (an added LoRA adapter is)."""
    for name, part in model._module.named_modules():
        if part.training:
            raise ValueError(
                f"{name or 'the model'} is in training mode, where dropout changes every answer: call model.eval() first"
            )


def assert_equal(first: torch.Tensor, second: torch.Tensor, model) -> float:
    """Raise AssertionError unless two results of the model agree up to the rounding of its dtype.

    Kernels add up in an order of their own, and another one on a GPU or for another batch, so the last bits may differ.
    Returns the largest difference as a share of the largest number; 0.0 where all bits are equal.
    """
    first, second = first.detach().float().cpu(), second.detach().float().cpu()
    if first.shape != second.shape:
        raise AssertionError(f"shapes differ: {tuple(first.shape)} and {tuple(second.shape)}")
    share = float((first - second).abs().max() / second.abs().max().clamp_min(1e-12))
    allowed = ROUNDING[model._module.dtype]
    if not share <= allowed:
        raise AssertionError(
            f"the results differ by {share:.1e} of the largest number; {allowed:.0e} would be rounding"
        )
    return share


def check_that_injection_works(model) -> None:
    """Self-check at load: one stream, finite logits, adding zeros changes no logit, adding a vector does. Raises ValueError."""
    ids = torch.tensor([[1, 2, 3, 4]])
    middle, logits = number_of_blocks(model) // 2, []
    for scale in (None, 0.0, 1.0):
        with torch.no_grad():
            with model.trace({"input_ids": ids, "attention_mask": torch.ones_like(ids)}):
                stream = residual(model.blocks[middle])  # [1, position, width]
                shape = nnsight.save(tuple(stream.shape))
                if scale is not None:
                    size = scale * stream.norm(dim=-1, keepdim=True) / stream.shape[-1] ** 0.5
                    write_residual(
                        model.blocks[middle], stream + size * torch.linspace(-1, 1, stream.shape[-1]).to(stream)
                    )
                seen = model.unembed.output.float().cpu().save()
        logits.append(seen)
    name = type(model._module).__name__
    if shape != (*ids.shape, width(model)):
        raise ValueError(
            f"block {middle} of {name} puts out numbers in the shape {shape}; a single residual stream, "
            f"{(*ids.shape, width(model))}, is what this collection can read and inject into"
        )
    if not torch.isfinite(logits[0]).all():
        if not all(torch.isfinite(each).all() for each in model._module.parameters() if not each.is_meta):
            raise ValueError(f"the weights of {name} hold NaN or infinite values: the checkpoint is damaged")
        dtype = str(model._module.dtype).removeprefix("torch.")
        advice = "Load it with dtype='bfloat16' or 'float32'"
        raise ValueError(f"{name} overflows in {dtype}: its logits are not finite. {advice}")
    # kernels of a GPU need not give the same bits twice, so "the same" means: up to the rounding of the dtype
    tolerance = 100 * torch.finfo(model._module.dtype).eps * logits[0].abs().max()
    if (logits[0] - logits[1]).abs().max() > tolerance:
        raise ValueError(
            f"adding a zero vector after block {middle} changed the logits; reads of this model are unreliable"
        )
    if torch.allclose(logits[0], logits[2]):
        raise ValueError(
            f"adding a large vector after block {middle} changed nothing; injections do not reach this model"
        )
