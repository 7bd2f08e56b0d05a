"""Read a checkpoint's files: safetensors only, none of its code, and one sentence for whatever is wrong with them."""

import json
import math
import re
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file

from helpers.models.architecture import check_architecture, model_class

TEMPLATE_FILE = "chat_template.json"  # of some models that also see pictures; their tokenizers do not read it
JSON_FILES = "config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", TEMPLATE_FILE
JSON_FILES += (SAFE_WEIGHTS_INDEX_NAME,)
ON_DISK = "device_map puts the embedding, or what shares its weights, on the disk: they must lie in memory"
PLAINER = {  # words of transformers that name no cause, or a wrong one -> what is meant
    "`tiktoken` is required": "its tokenizer.model cannot be read: pip install sentencepiece protobuf (or tiktoken)",
    "Couldn't instantiate the backend tokenizer": "its tokenizer is missing, or needs: pip install sentencepiece protobuf",
    "named model.safetensors": "it has no whole weights as safetensors; those in .bin files, which can run code, are not read",
} | dict.fromkeys(("is on the meta device", "device string: disk"), ON_DISK)
PARSING = (json.JSONDecodeError, UnicodeDecodeError, SafetensorError)


@contextmanager
def in_words(name: str, elsewhere: Callable[[], str] = lambda: ""):
    """Raise what the block raises as one sentence: ValueError for a model that cannot be used, OSError for its files.

    Args:
        name: of the model.
        elsewhere: says where it was looked for, if it was not found.
    """
    try:
        yield
    except Exception as error:  # files can be damaged in more ways than transformers has errors for
        whole = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError) or "out of memory" in whole.lower():
            raise
        if isinstance(error, OSError | ValueError | ImportError) and not isinstance(error, PARSING):
            kind, reason = ValueError if isinstance(error, ValueError) else OSError, str(error).strip().splitlines()[0]
        else:
            kind, reason = OSError, f"a file of the checkpoint is damaged, or an option wrong ({whole:.200})"
        reason = next((plainer for words, plainer in PLAINER.items() if words in whole), reason)
        if looked := elsewhere():
            raise OSError(f"cannot load the model {name!r}. {looked} Reason given: {reason}") from error
        raise kind(f"cannot load the model {name!r}: {reason}") from error


def read_checkpoint(path: str, dtype: torch.dtype, options: dict):
    """Tokenizer and network of a folder or hub id. Raises OSError or ValueError that says what is wrong with it."""
    source = {key: options[key] for key in ("local_files_only", "revision", "token", "cache_dir") if key in options}
    source["trust_remote_code"] = False
    config = read_config(path, source, options.get("attn_implementation"))
    check_weight_files(path, source)
    tokenizer = AutoTokenizer.from_pretrained(path, **source)
    tokenizer.split_special_tokens = False  # it may be set to cut them into pieces, and words at random, as in training
    if getattr(tokenizer, "is_fast", False) and getattr(tokenizer.backend_tokenizer.model, "dropout", None):
        tokenizer.backend_tokenizer.model.dropout = None
    if not tokenizer.chat_template:
        beside = cached_file(path, TEMPLATE_FILE, _raise_exceptions_for_missing_entries=False, **source)
        tokenizer.chat_template = json.loads(Path(beside).read_text("utf-8"))["chat_template"] if beside else None
    stored = sum(file.stat().st_size for file in Path(path).glob("*.safetensors")) or math.inf  # unknown of a hub id
    check_architecture(config, tokenizer.vocab_size, stored)
    network, loading = model_class(config).from_pretrained(
        path,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # what does not fit is named below
        **{key: value for key, value in options.items() if key != "trust_remote_code"} | source,
    )
    check_weights(network, loading)
    return tokenizer, network


def check_weights(network, loading: dict) -> None:
    """Raise ValueError where the `loading` info of `from_pretrained` names weights that are missing or have another shape, or
    that are left unread: numbers of a layer that the network has (scales, a bias), or a whole block more of its kind."""
    if wrong := loading.get("mismatched_keys"):
        name, found, wanted = sorted(wrong)[0]
        raise ValueError(f"{name} has the shape {tuple(found)}, but the configuration asks for {tuple(wanted)}")
    if missing := sorted(loading["missing_keys"]):
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ValueError(f"the weights are incomplete, these would be random: {', '.join(missing[:5])}{more}")
    layer_of = partial(re.sub, r"\.\d+(?=\.)|\.[^.]*$", "")  # without the number of its block
    layers = {layer_of(name) for name, _ in network.named_parameters()}
    unread = sorted(name for name in loading.get("unexpected_keys", ()) if layer_of(name) in layers)
    if unread and not getattr(network, "is_quantized", False):  # a known way of quantising has names of its own
        why = "the configuration is not that of these weights, or transformers does not know how they are quantised"
        raise ValueError(f"{unread[0]} would not be read: {why}")


def read_config(path: str, source: dict, attention: str | None = None) -> PreTrainedConfig:
    """The configuration of a checkpoint whose files are whole; code, kernels and weight files that it names are ignored.

    Args:
        path: folder or hub id.
        source: of `AutoConfig.from_pretrained`: revision, local_files_only ...
        attention: the attention implementation, None for transformers' own choice.
    """
    check_files(Path(path))
    config = AutoConfig.from_pretrained(path, **source | {"trust_remote_code": False})
    config._attn_implementation, config._experts_implementation, config.transformers_weights = attention, None, None
    return config


def check_files(folder: Path) -> None:
    """Raise OSError, naming the file, for one that is damaged, not to be read, or no more than a pointer to the real one."""

    def hint(file: Path) -> str:
        pointer = file.is_file() and file.stat().st_size < 1000 and b"git-lfs" in file.read_bytes()
        return "; it is a pointer of Git LFS: fetch the file itself with git lfs pull" if pointer else ""

    for file in (folder / name for name in JSON_FILES):
        try:
            whole = not file.exists() or isinstance(json.loads(file.read_text("utf-8")), dict)
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            raise OSError(f"{file.name} is damaged: it holds no JSON object in UTF-8{hint(file)}")
    for file in sorted(folder.glob("*.safetensors")):
        file.open("rb").close()  # safetensors calls a file missing that it is not allowed to read
        try:
            with safe_open(file, "pt"):
                pass
        except (OSError, SafetensorError) as error:
            raise OSError(f"{file.name} holds no weights ({error}){hint(file)}") from error


def check_weight_files(path: str, source: dict) -> None:
    """Raise ValueError where the list of a checkpoint's weight files names any but safetensors files beside it.

    Args:
        path: folder or hub id.
        source: of transformers' `cached_file`: revision, local_files_only ...
    """
    index = cached_file(path, SAFE_WEIGHTS_INDEX_NAME, _raise_exceptions_for_missing_entries=False, **source)
    if index is None or (Path(path) / SAFE_WEIGHTS_NAME).is_file():
        return
    listed = json.loads(Path(index).read_text(encoding="utf-8")).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise ValueError(f"{SAFE_WEIGHTS_INDEX_NAME} is damaged: it must list the weights under weight_map")
    if wrong := [name for name in listed.values() if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", str(name))]:
        raise ValueError(
            f"{SAFE_WEIGHTS_INDEX_NAME} names the file {wrong[0]!r:.80}; only safetensors files beside it are read"
        )
