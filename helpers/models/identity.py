"""Which model is this? A hash of everything that its answers depend on, and the name for tables."""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType

import numpy as np
import torch
from accelerate.utils.modeling import get_state_dict_offloaded_model
from nnsight import Envoy
from nnsight.intervention.source import Controller
from torch.nn.modules import module as torch_modules
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from helpers.models.streams import check_that_injection_works

CHUNK = 1 << 18  # numbers that are hashed at a time, so that the copy stays small
# names of files; what is returned beside logits; ids that `end_of_turn_ids` counts or masks hide; what training, accelerate, nnsight
# and hooks that only record leave behind
NOT_IN_ANSWERS = (
    "_name_or_path name_or_path _commit_hash transformers_version architectures output_hidden_states output_attentions use_cache "
    "eos_token_id pad_token_id gradient_checkpointing _gradient_checkpointing_func _require_grads_hook _require_grads_hooks "
    "_is_hf_initialized hf_device_map _hf_hook _old_forward __nnsight__ max_seq_len_cached _output_capturing_hooks_installed"
).split()
# what of their functions is replaced counts
LIBRARIES = {*sys.stdlib_module_names, *"torch transformers accelerate nnsight huggingface_hub safetensors".split()}
# their hooks record, move weights, or ask for gradients
OBSERVERS = ("transformers.utils", "transformers.modeling_utils", "accelerate.hooks")
ROTARY_STATE = ("dynamic", "longrope")  # kinds of rotary positions whose frequencies every forward pass computes anew


def model_name(model) -> str:
    """The hub id, or the folder's name for a local checkpoint; the class where the weights came from no file."""
    name = getattr(model._module, "name_or_path", "") or type(model._module).__name__
    return Path(name).name if Path(name).is_absolute() or Path(name).is_dir() else name


def changes_from_outside(model) -> list[str]:
    """What somebody has attached to the model and no checkpoint shows: hooks on a module or on all, a replaced forward, edits."""
    found = []
    for name, module in model._module.named_modules():
        hf = vars(module).get("_hf_hook")  # of accelerate, which takes hooks of others too
        hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values(), *getattr(hf, "hooks", [hf])]
        if not all(str(getattr(hook, "__module__", "")).startswith(OBSERVERS) for hook in hooks if hook):
            found.append(f"a forward hook on {name or 'the model'}")
        if _forward(module) is not type(module).forward:
            found.append(f"a replaced forward of {name or 'the model'}")
    if torch_modules._global_forward_hooks or torch_modules._global_forward_pre_hooks:
        found.append("a forward hook on every module")
    return found + (["an nnsight edit"] if model._edits else [])


def _forward(module):
    """The function that a module computes with: nnsight and accelerate keep it behind their own."""
    own = vars(module)
    forward = own.get("_old_forward", own.get("forward", type(module).forward))
    forward = forward.state.original if isinstance(forward, Controller) else forward
    return forward.__func__ if getattr(forward, "__self__", None) is module else forward


def fingerprint(model) -> str:
    """A hash of every weight (those that accelerate keeps on the CPU or on disk, too), the configuration and the dtype.

    Two models of one name that differ in a single number have different fingerprints.
    """
    network = model._module
    offloaded = any(parameter.is_meta for parameter in network.parameters())
    weights = get_state_dict_offloaded_model(network) if offloaded else network.state_dict()
    return hashlib.sha256(describe([network.config, network.dtype, weights]).encode()).hexdigest()[:16]


def check_that_reading_changes_nothing(model) -> None:
    """Raise ValueError for weights that are others after they were read, as bitsandbytes' 4 bits on some CPUs."""
    before = fingerprint(model)
    check_that_injection_works(model)  # a forward pass, at which they may be packed anew
    if fingerprint(model) != before:
        raise ValueError(
            "its quantised weights change on this machine when they are read: take 8bit, or another device"
        )


def computation(model) -> str:
    """A hash of what a model computes with beside its weights, in any process the same.

    It holds, of every module, its class, its buffers and all other attributes (settings, functions, generation settings); the
    attention function; functions that somebody has put into the classes and files that the network is made of, or into
    torch.nn.functional. So a change after loading, of an epsilon, an activation function or a rotary frequency, makes it
    another one.
    """
    kind, attention = model.device.type, model._module.config.get_text_config()._attn_implementation
    products = getattr(torch.backends, "cuda" if kind == "cuda" else "mkldnn").matmul
    switches = [products.fp32_precision.replace("ieee", "none"), ALL_ATTENTION_FUNCTIONS.get(attention)]
    parts = [*switches, torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind)]
    ignored, kinds = {*dir(torch.nn.Module), *vars(torch.nn.Module())} - {"training"}, set()
    for name, module in model._module.named_modules(remove_duplicate=False):
        kinds |= {each for each in type(module).mro() if _of_a_library(each)}
        own = {key: each for key, each in (vars(module) | module._buffers).items() if key not in ignored}
        if any(kind in str(own.get("rope_type")) for kind in ROTARY_STATE):
            own = {key: own[key] for key in own if key.endswith(("config", "rope_type", "original_inv_freq"))}
        parts.append([name, type(module), own])
    places = {torch.nn.functional, *kinds, *(sys.modules[each.__module__] for each in kinds)}
    found = {(place.__name__, name): each for place in places for name, each in vars(place).items()}
    replaced = {name: each for name, each in found.items() if inspect.isfunction(each) and not _of_a_library(each)}
    return hashlib.sha256(describe([parts, replaced]).encode()).hexdigest()[:16]


def _package(value) -> str:
    """Where a function or class was written, whatever it calls itself (`functools.wraps` copies names)."""
    named = value.__globals__.get("__name__") if isinstance(value, FunctionType) else getattr(value, "__module__", None)
    return str(named or "builtins").partition(".")[0]


def _of_a_library(value) -> bool:
    return _package(value) in LIBRARIES


def _installed(value) -> bool:
    """Whether a function or class belongs to an installed package: its name says it all."""
    file = getattr(sys.modules.get(_package(value)), "__file__", None) or ""
    return _of_a_library(value) or "site-packages" in file or "dist-packages" in file


def describe(value, within: tuple[int, ...] = ()) -> str:
    """A value as text, the same in every process: of an object what pickle would keep, of a function its code and what it takes
    from around it, of modules, of what is installed and of packages' own records (the last batch's, say) the name alone.
    within: the ids of what the value lies in.
    """
    if isinstance(value, bool | int | float | complex | str | bytes | None):
        return repr(value)
    if isinstance(value, torch.dtype):
        return repr(str(value).removeprefix("torch."))  # a configuration may hold either
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {tuple(value.shape)} {'' if value.is_meta else hash_of_numbers(value)}"
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype} {describe(value.tolist(), within)}"
    if id(value) in within:
        return "itself"

    def inside(*parts) -> str:
        return f"[{', '.join(describe(part, (*within, id(value))) for part in parts)}]"

    if isinstance(value, list | tuple):
        return inside(*value)
    if isinstance(value, set | frozenset):
        return str(sorted(map(inside, value)))
    if isinstance(value, Mapping):
        kept = [key for key in value if key not in NOT_IN_ANSWERS and value[key] is not None]
        return str(sorted(inside(str(key), value[key]) for key in kept))
    if isinstance(value, CodeType):
        return inside(value.co_code, value.co_names, value.co_consts)
    if isinstance(value, type) and not _installed(value):
        parts = {key: each for key, each in vars(value).items() if key[:2] != "__" or inspect.isfunction(each)}
        return inside(value.__qualname__, value.__bases__, parts)
    if isinstance(value, FunctionType) and not _installed(value):
        parts = [value.__code__, value.__defaults__, value.__kwdefaults__]
        with suppress(ValueError):  # a name around it has no value yet
            taken = inspect.getclosurevars(value)
            parts += [taken.nonlocals, taken.globals]
        return inside(*parts)
    for behind in ("__wrapped__", "__func__", "fget"):  # of decorators, methods and properties
        if hasattr(value, behind):
            return inside(getattr(value, behind), getattr(value, "__self__", None))
    record = _installed(type(value)) and not _of_a_library(type(value))
    if not record and not isinstance(value, torch.nn.Module | Envoy | type):
        with suppress(Exception):  # functions, locks and others cannot be pickled
            kept = value.__reduce_ex__(4)
            if not isinstance(kept, str):  # the name of a function that is built in
                return inside(*kept)
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{named.__qualname__}"


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
