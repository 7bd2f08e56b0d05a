"""Which model is this? A hash of everything that its answers depend on, and the name for tables."""

import hashlib
import json
from pathlib import Path

import torch
from accelerate.utils.modeling import get_state_dict_offloaded_model

CHUNK = 1 << 18  # numbers that are hashed at a time, so that the copy stays small
NOT_IN_ANSWERS = ("_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "architectures")


def model_name(model) -> str:
    """The hub id, or the folder's name for a local checkpoint; the class where the weights came from no file."""
    name = getattr(model._module, "name_or_path", "") or type(model._module).__name__
    return Path(name).name if Path(name).is_dir() else name


def changes_from_outside(model) -> list[str]:
    """What somebody has attached to the model and no checkpoint shows: forward hooks, nnsight edits. Empty for most."""
    hooked = [
        f"a forward hook on {name or 'the model'}"
        for name, module in model._module.named_modules()
        if module._forward_hooks or module._forward_pre_hooks
    ]
    return hooked + (["an nnsight edit"] if model._edits else [])


def fingerprint(model) -> str:
    """A hash of every weight, the configuration, the dtype and the attention implementation.

    Two models of one name that differ in a single number have different fingerprints. Weights that accelerate keeps on the
    CPU or on disk count too.
    """
    network = model._module
    offloaded = any(parameter.is_meta for parameter in network.parameters())
    weights = get_state_dict_offloaded_model(network) if offloaded else network.state_dict()
    config = {key: value for key, value in network.config.to_dict().items() if key not in NOT_IN_ANSWERS}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(f"{network.dtype} {network.config.get_text_config()._attn_implementation}".encode())
    for name, weight in sorted(weights.items()):
        if isinstance(weight, torch.Tensor):
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype} {hash_of_numbers(weight)}".encode())
    return digest.hexdigest()[:16]


def hash_of_numbers(weight: torch.Tensor) -> int:
    """A 64-bit hash of all bits of a tensor and their places, computed where the tensor is.

    The sum of each number's bits times an odd pseudo-random factor of its place, modulo 2^64: no single change cancels out.
    """
    integer = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()]
    bits, total = weight.detach().contiguous().flatten().view(integer), 0
    for first in range(0, len(bits), CHUNK):
        part = bits[first : first + CHUNK].to(torch.int64)
        factor = torch.arange(first + 1, first + 1 + len(part), device=bits.device) * -7046029254386353131
        total += int((part * ((factor ^ (factor >> 29)) | 1)).sum())
    return total % 2**64
