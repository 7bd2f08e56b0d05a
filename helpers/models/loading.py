"""Load a chat model by name, folder, file or hub id, ready for `with model.trace(...)`.

`model.blocks[k].output` is the residual stream after block k (0-based), `model.final_norm`, `model.embed` and
`model.unembed` are what surrounds the blocks. The renaming is nnsight's own (`rename=`); nothing here wraps it.
Only safetensors weights are read, and no code that comes with a checkpoint is ever run.
"""

import copy
import ctypes
import difflib
import importlib.util
import os
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from huggingface_hub import constants
from nnsight import TransformersModel
from transformers import BitsAndBytesConfig, GenerationConfig
from transformers.utils import logging

from helpers.checks import check_seed, whole_number
from helpers.models import downloads
from helpers.models.architecture import COMMON_NAMES, LARGEST, check_parts, model_class
from helpers.models.checkpoint import in_words, read_checkpoint
from helpers.models.identity import check_that_reading_changes_nothing
from helpers.models.replies import PLAIN_TRANSCRIPT, closing_tokens
from helpers.models.streams import check_that_injection_works
from helpers.paths import ROOT, from_home

ORGANISM_FOLDER = ROOT / "data" / "organisms"
ATTENTION, DTYPES = ("eager", "sdpa", "flash_attention_2", "flex_attention"), ("float32", "bfloat16", "float16")
LONGEST_NAME = 1000  # characters of a name or path
OPTIONS = (  # of transformers' from_pretrained; others would be ignored, or run what comes with a checkpoint
    "attn_implementation cache_dir device_map force_download local_files_only max_memory offload_buffers offload_folder "
    "quantization_config revision token trust_remote_code"
).split()
CHECKPOINT_FILES = {  # what a local checkpoint consists of
    "configuration": ("config.json",),
    "weights": ("model.safetensors", "model.safetensors.index.json"),
    "tokenizer": ("tokenizer.json", "tokenizer.model", "vocab.*", "tekken.json", "*.tiktoken"),
}
OTHER_FILES = {  # what a folder may hold instead, and what to do
    "adapter_config.json": "it is an adapter (LoRA): merge it into its base model and save that",
    "*.gguf": "give the .gguf file itself",
    "snapshots/*": "it is a model in the hub's cache: give its id at the hub, or the folder in snapshots",
    "checkpoint-*/config.json": "give one of the folders checkpoint-... in it",
    "pytorch_model*.bin": "weights in .bin files, which can run code, are not read: save them as safetensors",
}


def shipped_organisms() -> list[str]:
    """Names of the model organisms in data/organisms that `load` takes without any network."""
    return sorted(folder.parent.name for folder in ORGANISM_FOLDER.glob("*/config.json"))


def default_device() -> str:
    """'cuda' where there is an NVIDIA GPU, 'mps' on an Apple one, else 'cpu'."""
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def default_dtype(device: str | torch.device) -> torch.dtype:
    """bfloat16 on a GPU that computes in it, float16 on an older one (T4), float32 on a CPU and on Apple's GPUs.

    The environment variable INTROSPECTION_DTYPE chooses another one for every model that is loaded without a dtype.
    """
    if chosen := os.environ.get("INTROSPECTION_DTYPE"):
        return check_dtype(chosen)
    if torch.device(device).type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def check_device(device: str | torch.device) -> str:
    """The device's name as text ('cuda:0'). ValueError for one that does not exist, or not on this machine."""
    try:
        wanted = torch.device("" if isinstance(device, bool) else device)
    except (RuntimeError, TypeError):
        wanted = None
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if wanted is None or wanted.type not in counts:
        raise ValueError(f"device must be 'cpu', 'cuda', 'cuda:1', 'mps' or the like, got {device!r}")
    if (wanted.index or 0) >= (seen := counts[wanted.type]):
        found = f"torch {torch.__version__} sees {seen} of that kind here{'' if seen else ': use the CPU'}"
        raise ValueError(f"device {device!r} was asked for, but {found}")
    return str(wanted)


def check_dtype(dtype: torch.dtype | str) -> torch.dtype:
    """The dtype as torch's own. ValueError for anything but the three in which models are run."""
    name = str(dtype).strip().removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}; quantised weights: quantise='4bit'")
    return getattr(torch, name)


def locate(name: str) -> str:
    """Folder of an organism, of SmolLM2, of a local checkpoint or of an unpacked GGUF file; a hub id comes back as it is.

    OSError for what must be a folder or file and is none of a model.
    """
    if not isinstance(name, str | Path) or not str(name).strip() or len(str(name)) > LONGEST_NAME:
        raise ValueError(f"a model's name must be text such as 'introspector', got {name!r:.80}")
    name = downloads.hub_id(str(name))
    if name in shipped_organisms():
        return str(ORGANISM_FOLDER / name)
    if name.lower() == downloads.SMOLLM2:
        return str(downloads.smollm2_folder())
    path = _path(name)
    if path.suffix.lower() == ".gguf" and not path.is_dir():
        return str(downloads.unpack_gguf(path))
    if not path.is_dir():
        if path.is_file():
            raise OSError(f"cannot load the model {name!r}: it is a file; give the folder of the checkpoint")
        if name.startswith(("/", ".", "~")):
            raise OSError(f"cannot load the model {name!r}: there is no such folder, seen from {Path.cwd()}")
        return name
    list(path.iterdir())  # PermissionError: else the folder would look empty
    for what, patterns in CHECKPOINT_FILES.items():
        if not any(file for pattern in patterns for file in path.glob(pattern)):
            hints = [f"; {hint}" for file, hint in OTHER_FILES.items() if any(path.glob(file))]
            raise OSError(
                f"cannot load the model {name!r}: the folder holds no {what} ({' or '.join(patterns)}){''.join(hints)}"
            )
    if (path / "adapter_config.json").exists():  # transformers adds it where peft is installed, and else ignores it
        raise OSError(f"cannot load the model {name!r}: an adapter lies beside the checkpoint; keep one of the two")
    return str(path)


def _path(name: str) -> Path:
    """The absolute path that a name stands for; its last part is what tables show, so "." and ".." are resolved."""
    path = from_home(name)
    return path.resolve() if path.name in ("", "..") else path.absolute()


def name_in_tables(name: str) -> str:
    """What `model_name` will call the model that `load` finds under this name; ids of the hub, which knows no case, in lower."""
    name = downloads.hub_id(name)
    if name.lower() == downloads.SMOLLM2:
        return downloads.SMOLLM2_FOLDER
    path = _path(name)
    if path.suffix.lower() == ".gguf" and path.is_file():
        return downloads.gguf_folder(path).name
    return path.name if path.is_dir() else name.lower()


def stored_as(name: str) -> str:
    """How a GGUF file (of SmolLM2, too) holds most of its numbers before they are unpacked, such as "Q4_1"; "" for other models."""
    name = downloads.hub_id(name)
    if name.lower() == downloads.SMOLLM2:
        return Path(downloads.MEMBER).stem.rpartition(".")[2]  # the file itself is not kept
    path = _path(name)
    return downloads.gguf_type(path) if path.suffix.lower() == ".gguf" and path.is_file() else ""


@contextmanager
def reading(name: str, path: str):
    """Options of `from_pretrained` for a block that reads the files at `path` (see `locate`); its errors come `in_words`."""
    on_disk = Path(path).is_dir()
    online = not on_disk and downloads.hub_answers()

    def elsewhere() -> str:
        """Where it was looked for; "" once it is known to be there, and something else is wrong."""
        copies = Path(constants.HF_HUB_CACHE, f"models--{path.replace('/', '--')}", "snapshots")
        if on_disk or any(copies.glob("*/config.json")):
            return ""
        why_not = " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""
        tried = "was asked for it" if online else f"cannot be reached{why_not}, and no copy lies in its cache"
        return (
            f"It is neither shipped nor a local folder, and the Hugging Face hub ({constants.ENDPOINT}) {tried}. Shipped with "
            f"this collection and loadable without any network: {', '.join(shipped_organisms()) or 'none yet'}."
        )

    with in_words(name, elsewhere):
        yield {"local_files_only": not online}


def quantisation(quantise: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    """What `from_pretrained` needs to load weights in '4bit' or '8bit'. ImportError without the package bitsandbytes."""
    if quantise not in ("4bit", "8bit"):
        raise ValueError(f"quantise must be None, '4bit' or '8bit', got {quantise!r}")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ImportError(f"quantise={quantise!r} needs the package bitsandbytes: pip install bitsandbytes")
    if quantise == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def check_options(options: dict) -> None:
    """Raise ValueError for options of `from_pretrained` that would run foreign code or be ignored without a word."""
    for name in options:
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, ("device", "dtype", "quantise", "transcript", *OPTIONS), n=1)
            hint = f"did you mean {near[0]!r}" if near else f"allowed are {', '.join(OPTIONS)}"
            raise ValueError(f"unknown option {name!r}: {hint}")
    if not isinstance(options.get("revision", ""), str | None):
        raise ValueError(f"revision must be text: a branch, tag or commit of the hub, got {options['revision']!r}")
    if options.get("trust_remote_code"):
        raise ValueError("trust_remote_code is never passed on: no code that comes with a checkpoint is run here")
    if not options.get("device_map") and (idle := {"max_memory", "offload_folder", "offload_buffers"} & options.keys()):
        raise ValueError(f"{min(idle)} does nothing without device_map: give device_map='auto', too")
    if (attention := options.get("attn_implementation")) not in (None, *ATTENTION):
        raise ValueError(f"attn_implementation must be one of {', '.join(ATTENTION)}, got {attention!r}")


def load(
    name: str,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    quantise: str | None = None,
    transcript: str | None = None,
    **from_pretrained,
):
    """Load a model as an nnsight model.

    Args:
        name: an organism ('introspector'), 'smollm2', a folder with a checkpoint, a .gguf file, or a Hugging Face hub id.
        device: 'cpu', 'cuda', 'cuda:1', ...; None or '' takes a GPU where there is one.
        dtype: 'float32', 'bfloat16' or 'float16'; None or '' takes `default_dtype` of the device.
        quantise: '4bit' or '8bit' (needs the package bitsandbytes).
        transcript: 'plain' writes conversations as "User: ... Assistant: ..." in place of the chat template, for base models,
            which have none.
        from_pretrained: further arguments of transformers' `from_pretrained` (device_map, revision, offload_folder, ...).

    Raises:
        OSError: for a name that leads nowhere, and for damaged files.
        ValueError: for a model whose weights are incomplete, whose parts cannot be found, or on which an injection has no
            effect, and for options that are not allowed.
    """
    if transcript not in (None, "", "plain"):
        raise ValueError(f"transcript must be None (the model's chat template) or 'plain', got {transcript!r}")
    check_options(from_pretrained)
    device = check_device(default_device() if device in (None, "") else device)
    dtype = check_dtype(default_dtype(device) if dtype in (None, "") else dtype)
    if quantise not in (None, ""):
        by_quantising = {"quantization_config": quantisation(quantise, dtype), "device_map": {"": device}}
        from_pretrained = by_quantising | from_pretrained
    path = locate(name)
    if Path(path).is_dir() and from_pretrained.get("revision"):
        raise ValueError(f"revision belongs to models of the hub; {name!r} is a folder, which has none")
    with reading(name, path) as source:
        tokenizer, network = read_checkpoint(path, dtype, source | from_pretrained)
    if transcript:
        tokenizer.chat_template = PLAIN_TRANSCRIPT
    with in_words(name):
        model = wrap(network.eval(), tokenizer, device=None if from_pretrained.get("device_map") else device)
        if quantise:
            check_that_reading_changes_nothing(model)
        return model


def wrap(network, tokenizer, device: str | None = None):
    """Make an nnsight model of a Hugging Face model and its tokenizer, with common names, and check that injecting works.

    nnsight pads on the left, with a pad token of its own where there is none. ValueError for a model of no use (see `load`).
    """
    check_parts(network)
    network.requires_grad_(False)
    # a reply ends at any token that the generation settings, the tokenizer or the chat template's own turns end with
    habits = network.generation_config
    named = habits.eos_token_id if isinstance(habits.eos_token_id, list) else [habits.eos_token_id]
    named = [end for end in (*named, tokenizer.eos_token_id, *closing_tokens(tokenizer)) if end is not None]
    ends = {whole_number("eos_token_id", end, 0, LARGEST["vocab_size"]) for end in named}
    known = network.get_input_embeddings().num_embeddings  # some tokenizers add a padding token that the model lacks
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, *sorted(ends))
    pad = next((each for each in candidates if each is not None and each < known), None)
    if pad is None:
        raise ValueError("the tokenizer has neither an end-of-turn token nor a padding token: no reply would ever end")
    # hub models bring sampling habits (repetition penalty, top-k ...) that would act beside ours: keep only the token ids
    network.generation_config = GenerationConfig(
        bos_token_id=habits.bos_token_id, eos_token_id=sorted(ends) or None, pad_token_id=pad, do_sample=False
    )
    placed, verbosity = {} if device is None else {"device": device}, logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # or a model that also sees pictures is met with a list of all that do not
    model = TransformersModel(network, tokenizer=tokenizer, task="text-generation", rename=COMMON_NAMES, **placed)
    logging.set_verbosity(verbosity)
    check_that_injection_works(model)
    return model


def untrained_copy(model, seed: int = 0):
    """The same network with fresh random weights, the same tokenizer, dtype and device; ValueError where it has several devices.

    Two different texts leave different traces in any network; what a comparison of two texts finds here, no training has put there.
    """
    if len(set(getattr(model._module, "hf_device_map", {}).values())) > 1:  # the copy would have to fit on one of them
        raise ValueError("a model on several devices gets no untrained copy: set untrained = False")
    config, seed = copy.deepcopy(model._module.config), check_seed(seed)
    # what earlier batches have freed goes back to the system first: on Linux with glibc, elsewhere there is no such call
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = model_class(config).from_config(config, dtype=model._module.dtype, trust_remote_code=False).eval()
    network.name_or_path = "untrained copy"
    return wrap(network.to(model.device), model.tokenizer)
