"""Which model is this? A hash of everything that its answers depend on, and the name for tables."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import CodeType

import numpy as np
import torch
from accelerate.utils.modeling import get_state_dict_offloaded_model
from nnsight.intervention.source import Controller
from torch.nn.modules import module as torch_modules
from transformers import GenerationConfig, PreTrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

CHUNK = 1 << 18  # numbers that are hashed at a time, so that the copy stays small
NOT_IN_ANSWERS = ("_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "architectures")
# of a function of theirs the name says it all
LIBRARIES = ("torch", "transformers", "accelerate", "nnsight", "functools")
BOOKKEEPING = ("_is_hf_initialized", "hf_device_map", "_hf_hook", "_old_forward", "max_seq_len_cached")
# by hooks that were removed, or only record
LEFT_BEHIND = ("_is_full_backward_hook", "_output_capturing_hooks_installed")
OBSERVERS = ("transformers.utils", "accelerate.hooks")  # their hooks record outputs or move weights
ROTARY_STATE = ("dynamic", "longrope")  # kinds of rotary positions whose frequencies every forward pass computes anew


def model_name(model) -> str:
    """The hub id, or the folder's name for a local checkpoint; the class where the weights came from no file."""
    name = getattr(model._module, "name_or_path", "") or type(model._module).__name__
    return Path(name).name if Path(name).is_dir() else name


def changes_from_outside(model) -> list[str]:
    """What somebody has attached to the model and no checkpoint shows: hooks, a replaced forward, nnsight edits.

    Empty for most. Hooks on a module, and those that torch calls for every module of the process.
    """
    found = []
    for name, module in model._module.named_modules():
        hf = vars(module).get("_hf_hook")  # of accelerate, which takes hooks of others too
        hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values(), *getattr(hf, "hooks", [hf])]
        if not all(str(getattr(hook, "__module__", "")).startswith(OBSERVERS) for hook in hooks if hook):
            found.append(f"a forward hook on {name or 'the model'}")
        if vars(module).get("forward") and _forward(module).__module__ != type(module).forward.__module__:
            found.append(f"a replaced forward of {name or 'the model'}")
    if torch_modules._global_forward_hooks or torch_modules._global_forward_pre_hooks:
        found.append("a forward hook on every module")
    return found + (["an nnsight edit"] if model._edits else [])


def _forward(module):
    """The function that a module computes with: nnsight and accelerate keep it behind their own."""
    own = vars(module)
    if "_hf_hook" in own:
        return type(module).forward
    forward = own.get("forward", type(module).forward)
    return forward.state.original if isinstance(forward, Controller) else forward


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
        digest.update(f"{name} {describe(weight)}".encode())  # quantised weights may lie in tuples
    return digest.hexdigest()[:16]


def computation(model) -> str:
    """A hash of what a model computes with beside its weights, in any process the same.

    It holds, of every module, its class with its methods, the functions that its forward calls, its buffers, and those
    attributes that are numbers, texts, functions, tensors or configurations (generation settings too); the attention function;
    and the tokenizer's special tokens. So a change after loading, of an epsilon, an activation function or a rotary frequency,
    makes it another one.
    """
    kind, attention = model.device.type, model._module.config.get_text_config()._attn_implementation
    switches = [torch.get_float32_matmul_precision(), ALL_ATTENTION_FUNCTIONS.get(attention)]
    switches += [torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind)]
    switches += [model.tokenizer.special_tokens_map, model.tokenizer.clean_up_tokenization_spaces]
    digest = hashlib.sha256(describe(switches).encode())
    ignored = {*NOT_IN_ANSWERS, *BOOKKEEPING, *dir(torch.nn.Module)}  # accelerate wraps some methods of a module
    for name, module in model._module.named_modules(remove_duplicate=False):
        own = {key: each for key, each in vars(module).items() if key[0] != "_" or not isinstance(each, dict | set)}
        own |= module._buffers | dict.fromkeys(LEFT_BEHIND)
        if any(kind in str(own.get("rope_type")) for kind in ROTARY_STATE):
            own = {key: own[key] for key in own if key.endswith(("config", "rope_type", "original_inv_freq"))}
        settings = {key: own[key] for key in own if key not in ignored}
        forward = inspect.unwrap(_forward(module))
        names = getattr(getattr(forward, "__code__", None), "co_names", ())
        called = [*vars(type(module)).values(), *(forward.__globals__.get(each) for each in names)]
        digest.update(describe([name, type(module), forward, *filter(inspect.isroutine, called), settings]).encode())
    return digest.hexdigest()[:16]


def describe(value, closures: bool = True) -> str:
    """A value as text that is the same in every process; of an object of an unknown kind, its class.

    closures: whether to look at what a function has taken from around it (one level, as functions may hold each other).
    """
    if isinstance(value, bool | int | float | complex | str | bytes | torch.dtype | None):
        return repr(value)
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {tuple(value.shape)} {'' if value.is_meta else hash_of_numbers(value)}"
    if isinstance(value, np.generic | np.ndarray):
        return f"{value.dtype} {describe(value.tolist())}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(describe(each, closures) for each in value)}]"
    if isinstance(value, set | frozenset):
        return describe(sorted(describe(each, closures) for each in value))
    if isinstance(value, Mapping):
        return describe({(str(key), describe(value[key], closures)) for key in value})
    if isinstance(value, PreTrainedConfig | GenerationConfig):
        return describe({key: each for key, each in vars(value).items() if key not in NOT_IN_ANSWERS})
    if isinstance(value, partial):
        return describe([value.func, value.args, value.keywords], closures)
    if isinstance(value, CodeType):
        return describe([value.co_code, value.co_names, value.co_consts])
    named = value if hasattr(value, "__qualname__") else type(value)
    name, function = f"{named.__module__}.{named.__qualname__}", inspect.unwrap(value) if callable(value) else value
    if not inspect.isroutine(function) or name.partition(".")[0] in LIBRARIES:
        return name
    inside = inspect.getclosurevars(function) if closures and inspect.isfunction(function) else ()
    taken = [inside.nonlocals, inside.globals] if inside else []
    parts = [*(getattr(function, part, None) for part in ("__code__", "__defaults__", "__kwdefaults__")), taken]
    return f"{name} {describe(parts, closures=False)}"


def hash_of_numbers(weight: torch.Tensor) -> int:
    """A 64-bit hash of all bits of a tensor and their places, computed where the tensor is.

    The sum of each number's bits times an odd pseudo-random factor of its place, modulo 2^64: no single change cancels out.
    """
    weight = weight.dequantize() if weight.is_quantized else weight
    integer = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()]
    bits, total = weight.detach().contiguous().flatten().view(integer), 0
    for first in range(0, len(bits), CHUNK):
        part = bits[first : first + CHUNK].to(torch.int64)
        factor = torch.arange(first + 1, first + 1 + len(part), device=bits.device) * -7046029254386353131
        total += int((part * ((factor ^ (factor >> 29)) | 1)).sum())
    return total % 2**64
