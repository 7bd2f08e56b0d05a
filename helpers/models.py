"""Load a chat model as an nnsight model, with the same names for the same parts on every architecture.

`model.blocks[k].output` is the residual stream after block k (0-based), `model.final_norm`, `model.embed` and
`model.unembed` are what surrounds the blocks. The renaming is nnsight's own (`rename=`); nothing here wraps it.
"""

import copy
import hashlib
import importlib.util
import math
from numbers import Real
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import nnsight
import torch
from huggingface_hub import constants
from nnsight import TransformersModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig

from helpers.paths import ROOT

ORGANISM_FOLDER = ROOT / "data" / "organisms"

# where each family keeps its parts -> the one name used in this collection
COMMON_NAMES = {
    "model.layers": "blocks",
    "transformer.h": "blocks",
    "gpt_neox.layers": "blocks",
    "model.decoder.layers": "blocks",
    "model.norm": "final_norm",
    "transformer.ln_f": "final_norm",
    "gpt_neox.final_layer_norm": "final_norm",
    "model.decoder.final_layer_norm": "final_norm",
    "model.embed_tokens": "embed",
    "transformer.wte": "embed",
    "transformer.word_embeddings": "embed",
    "gpt_neox.embed_in": "embed",
    "model.decoder.embed_tokens": "embed",
    "lm_head": "unembed",
    "embed_out": "unembed",
}

# what a local checkpoint consists of
CHECKPOINT_FILES = {
    "configuration": ("config.json",),
    "weights": ("*.safetensors",),
    "tokenizer": ("tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
}

# a conversation in plain text, for base models, which have no chat template; their reply ends where the next turn begins
PLAIN_TRANSCRIPT = (
    "{% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# nnsight says this whenever every reply has ended before max_new_tokens: the normal case
ENDED_EARLY = ".*was never reached: the loop asked for a step.*"
NEXT_TURNS = ("\nUser:", "\nAssistant:", "\nSystem:")


def shipped_organisms() -> list[str]:
    """Names of the model organisms in data/organisms that `load` takes without any network."""
    return sorted(folder.parent.name for folder in ORGANISM_FOLDER.glob("*/config.json"))


def default_device() -> str:
    """'cuda' where there is a GPU, else 'cpu'."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def default_dtype(device: str) -> torch.dtype:
    """float32 on a CPU; bfloat16 on a GPU that has it, else float16 (a T4)."""
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def hub_answers(seconds: float = 5.0) -> bool:
    """Whether the Hugging Face hub can be reached. Asked before a download: its own client tries again for most of a minute."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=seconds).close()
    except HTTPError:
        return True  # it refuses this request, but it is there
    except OSError:
        return False
    return True


def locate(name: str) -> str:
    """Folder of an organism, a local checkpoint, or the hub id itself. OSError for what must be a folder and is none of a model."""
    if name in shipped_organisms():
        return str(ORGANISM_FOLDER / name)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.startswith(("/", ".", "~")):
            raise OSError(f"cannot load the model {name!r}: there is no such folder, seen from {Path.cwd()}")
        return name
    for what, patterns in CHECKPOINT_FILES.items():
        if not any(file for pattern in patterns for file in folder.glob(pattern)):
            raise OSError(f"cannot load the model {name!r}: the folder holds no {what} ({' or '.join(patterns)})")
    return str(folder)


def check_device(device: str) -> None:
    """ValueError for a device that this machine does not have."""
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but torch {torch.__version__} sees no GPU here; use 'cpu'")


def quantisation(quantise: str, dtype: torch.dtype | str) -> BitsAndBytesConfig:
    """What `from_pretrained` needs to load weights in '4bit' or '8bit'. ImportError without the package bitsandbytes."""
    if quantise not in ("4bit", "8bit"):
        raise ValueError(f"quantise must be None, '4bit' or '8bit', got {quantise!r}")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ImportError(f"quantise={quantise!r} needs the package bitsandbytes: pip install bitsandbytes")
    if quantise == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def load(
    name: str,
    device: str | None = None,
    dtype: torch.dtype | str | None = None,
    quantise: str | None = None,
    transcript: str | None = None,
    **from_pretrained,
):
    """Load a model by organism name, local folder or Hugging Face hub id, ready for `with model.trace(...)`.

    device: 'cpu', 'cuda', ...; by default a GPU where there is one. dtype: by default float32 on a CPU, bfloat16 on a GPU.
    quantise: '4bit' or '8bit' (needs bitsandbytes). transcript: 'plain' writes conversations as "User: ... Assistant: ..." in
    place of the chat template, for base models, which have none.
    Further arguments go to `AutoModelForCausalLM.from_pretrained` (device_map, quantization_config, revision, ...).
    Only safetensors weights are read and no code from the hub is run. Raises OSError for a name that is neither shipped nor
    reachable, ValueError where the blocks cannot be found or an injection has no effect.
    """
    if transcript not in (None, "plain"):
        raise ValueError(f"transcript must be None (the model's chat template) or 'plain', got {transcript!r}")
    device = device or default_device()
    check_device(device)
    dtype = dtype or default_dtype(device)
    if quantise is not None:
        from_pretrained = {
            "quantization_config": quantisation(quantise, dtype),
            "device_map": {"": device},
        } | from_pretrained
    path = locate(name)
    on_disk = Path(path).is_dir()
    online = not on_disk and hub_answers()
    from_pretrained = {"local_files_only": not online} | from_pretrained
    wanted = {
        option: from_pretrained[option] for option in ("local_files_only", "revision") if option in from_pretrained
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **wanted)
        network = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, use_safetensors=True, **from_pretrained)
    except (OSError, ValueError) as error:
        if on_disk:
            raise
        why_not = " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""
        tried = "was asked for it" if online else f"cannot be reached{why_not}, and no copy lies in its cache"
        raise OSError(
            f"cannot load the model {name!r}. It is neither shipped nor a local folder, and the Hugging Face hub "
            f"({constants.ENDPOINT}) {tried}. Shipped with this collection and loadable without any network: "
            f"{', '.join(shipped_organisms()) or 'none yet'}. Reason given: {str(error).splitlines()[0]}"
        ) from error
    if transcript == "plain":
        tokenizer.chat_template = PLAIN_TRANSCRIPT
    return wrap(network.eval(), tokenizer, device=None if "device_map" in from_pretrained else device)


def wrap(network, tokenizer, device: str | None = None):
    """Make an nnsight model of a Hugging Face model and its tokenizer, with common names, and check that injecting works.

    Note that nnsight sets the tokenizer to left padding and gives it a pad token where it has none.
    """
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    # hub models bring sampling habits (repetition penalty, top-k ...) that would act beside ours: keep only the token ids
    habits = network.generation_config
    network.generation_config = GenerationConfig(
        bos_token_id=habits.bos_token_id,
        eos_token_id=habits.eos_token_id if habits.eos_token_id is not None else tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        do_sample=False,
    )
    placed = {} if device is None else {"device": device}
    model = TransformersModel(network, tokenizer=tokenizer, rename=COMMON_NAMES, **placed)
    missing = [part for part in ("blocks", "final_norm", "embed", "unembed") if not hasattr(model, part)]
    if missing:
        raise ValueError(
            f"{type(network).__name__} keeps its {' and '.join(missing)} under a name this collection does not know; "
            "add it to helpers.models.COMMON_NAMES"
        )
    check_that_injection_works(model)
    return model


def number_of_blocks(model) -> int:
    """How many transformer blocks the model has; layers are numbered 0 to this number minus 1."""
    return len(model.blocks._module)


def width(model) -> int:
    """Number of dimensions of the residual stream."""
    return model.embed._module.embedding_dim


def context_length(model) -> int:
    """Longest prompt plus answer, in tokens, that the model was built for."""
    config = model.config.get_text_config()
    return getattr(config, "max_position_embeddings", None) or config.n_positions


def attention_window(model) -> float:
    """How many tokens back attention looks in the layer that looks least far; infinite where every layer sees all."""
    config = model.config.get_text_config()
    windows = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size"))
    return min((window for window in windows if window), default=math.inf)


def check_layer(model, layer: int) -> int:
    """Return `layer` if the model has such a block; ValueError with the allowed range otherwise."""
    blocks = number_of_blocks(model)
    if isinstance(layer, bool) or not isinstance(layer, Real) or layer not in range(blocks):
        named = layer if isinstance(layer, Real) else repr(layer)  # np.int64(9) reads as 9
        raise ValueError(f"layer {named} does not exist: this model has {blocks} blocks, numbered 0 to {blocks - 1}")
    return int(layer)


def untrained_copy(model, seed: int = 0):
    """The same network with fresh random weights, the same tokenizer, dtype and device.

    Two different texts leave different traces in any network; what a comparison of two texts finds here, no training has put there.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(
            copy.deepcopy(model._module.config), dtype=model._module.dtype
        ).eval()
    network.name_or_path = "untrained copy"
    return wrap(network.to(model.device), model.tokenizer)


def layers_at(model, depths) -> list[int]:
    """The layers at these shares of the model's depth (0 is the first block, 1 the last). ValueError for any other number."""
    wrong = [depth for depth in depths if not 0 <= depth <= 1]
    if wrong or not depths:
        raise ValueError(f"depths must be shares of the model's depth, from 0 to 1, got {wrong or depths}")
    return sorted({round(depth * (number_of_blocks(model) - 1)) for depth in depths})


def model_name(model) -> str:
    """The hub id, or the folder's name for a local checkpoint; the class where the weights came from no file."""
    name = getattr(model._module, "name_or_path", "") or type(model._module).__name__
    return Path(name).name if Path(name).is_dir() else name


def fingerprint(model) -> str:
    """A short hash of the model's weights (a sample of every parameter) and their dtype: tells two models of one name apart."""
    digest = hashlib.sha256()
    for name, parameter in model._module.named_parameters():
        sample = parameter.detach().flatten()[:: max(1, parameter.numel() // 64)].float().cpu()
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode() + sample.numpy().tobytes())
    return digest.hexdigest()[:16]


def end_of_turn_ids(model) -> set[int]:
    """The tokens that end a reply."""
    ends = model._module.generation_config.eos_token_id
    return {end for end in (ends if isinstance(ends, list | tuple) else [ends]) if end is not None}


def own_turn(model, text: str) -> str:
    """A reply without the turns that a base model goes on to write for both sides of a plain transcript."""
    if model.tokenizer.chat_template == PLAIN_TRANSCRIPT:
        for turn in NEXT_TURNS:
            text = text.partition(turn)[0]
    return text


def residual(block) -> torch.Tensor:
    """The residual stream after a block, [row, position, width], inside a trace (some families return it in a tuple)."""
    output = block.output
    return output[0] if isinstance(output, tuple) else output


def write_residual(block, value: torch.Tensor) -> None:
    """Replace the residual stream after a block, inside a trace; anything else in a tuple output stays as it is."""
    output = block.output
    block.output = (value, *output[1:]) if isinstance(output, tuple) else value


def masked_add(stream: torch.Tensor, inside: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """The stream, [row, position, width], with vectors [row, 1, width] added where inside, [row, position], is True."""
    device = stream.device  # blocks may live on several devices
    return stream + (inside.to(device)[..., None] * vectors.to(device)).to(stream.dtype)


def check_that_injection_works(model) -> None:
    """Self-check at load: blocks put out one stream, adding zeros changes no logit, adding a vector does. Raises ValueError."""
    ids = torch.tensor([[1, 2, 3, 4]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    middle = number_of_blocks(model) // 2
    block = model.blocks[middle]
    logits = []
    for push in (None, 0.0, 1.0):
        with torch.no_grad():
            with model.trace(inputs):
                if push is None:
                    shape = tuple(residual(block).shape)
                    shape = nnsight.save(shape)
                else:
                    stream = residual(block)
                    scale = push * stream.norm(dim=-1, keepdim=True) / width(model) ** 0.5
                    write_residual(block, stream + scale * torch.linspace(-1, 1, width(model)).to(stream))
                seen = model.unembed.output.float().cpu().save()
        logits.append(seen)
    if shape != (*ids.shape, width(model)):
        raise ValueError(
            f"block {middle} of {type(model._module).__name__} puts out numbers in the shape {shape}; a single residual stream, "
            f"{(*ids.shape, width(model))}, is what this collection can read and inject into"
        )
    if not torch.equal(logits[0], logits[1]):
        raise ValueError(
            f"adding a zero vector after block {middle} changed the logits; reads of this model are unreliable"
        )
    if torch.allclose(logits[0], logits[2]):
        raise ValueError(
            f"adding a large vector after block {middle} changed nothing; injections do not reach this model"
        )
