"""Read a checkpoint's files: safetensors only, none of its code, and one sentence for whatever is wrong with them."""

import json
import math
import re
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file

from helpers.models.architecture import check_architecture, model_class

PARSING = (json.JSONDecodeError, UnicodeDecodeError, SafetensorError)


@contextmanager
def in_words(name: str, elsewhere: str = ""):
    """Raise what the block raises as one sentence: ValueError for a model that cannot be used, OSError for its files.

    Args:
        name: of the model.
        elsewhere: where it was looked for, if not in a folder.
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
        if elsewhere:
            raise OSError(f"cannot load the model {name!r}. {elsewhere} Reason given: {reason}") from error
        raise kind(f"cannot load the model {name!r}: {reason}") from error


def read_checkpoint(path: str, dtype: torch.dtype, options: dict):
    """Tokenizer and network of a folder or hub id. Raises OSError or ValueError that says what is wrong with it."""
    source = {key: options[key] for key in ("local_files_only", "revision", "token", "cache_dir") if key in options}
    source["trust_remote_code"] = False
    config = AutoConfig.from_pretrained(path, **source)
    check_weight_files(path, source)
    # what the checkpoint itself names is ignored
    config._attn_implementation, config.transformers_weights = options.get("attn_implementation"), None
    tokenizer = AutoTokenizer.from_pretrained(path, **source)
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
    if wrong := loading.get("mismatched_keys"):
        name, found, wanted = sorted(wrong)[0]
        raise ValueError(f"{name} has the shape {tuple(found)}, but the configuration asks for {tuple(wanted)}")
    if loading["missing_keys"]:
        missing = sorted(loading["missing_keys"])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ValueError(f"the weights are incomplete, these would be random: {', '.join(missing[:5])}{more}")
    return tokenizer, network


def check_weight_files(path: str, source: dict) -> None:
    """Raise ValueError where the list of a checkpoint's weight files names any but safetensors files beside it.

    Args:
        path: folder or hub id.
        source: of transformers' `cached_file`: revision, local_files_only ...
    """
    index = cached_file(path, SAFE_WEIGHTS_INDEX_NAME, _raise_exceptions_for_missing_entries=False, **source)
    if index is None or (Path(path) / SAFE_WEIGHTS_NAME).is_file():
        return
    names = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()
    if wrong := [name for name in names if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", name)]:
        raise ValueError(
            f"{SAFE_WEIGHTS_INDEX_NAME} names the file {wrong[0]!r:.80}; only safetensors files beside it are read"
        )
