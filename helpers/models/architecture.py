"""Where each family keeps its parts, and what its configuration says before any weight is read."""

import math
from numbers import Real

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from helpers.checks import as_list, is_number, whole_number

# the one name used in this collection -> where each family keeps the part; model.language_model: the text part of models that
# also see pictures (Gemma 3 from 4B, Mistral Small)
PARTS = {
    "blocks": "model.layers model.language_model.layers transformer.h gpt_neox.layers model.decoder.layers transformer.blocks "
    "backbone.layers",
    "final_norm": "model.norm model.final_norm model.final_layernorm model.embedding_norm transformer.norm_f model.norm_f "
    "model.language_model.norm model.language_model.embedding_norm transformer.ln_f gpt_neox.final_layer_norm "
    "model.decoder.final_layer_norm backbone.norm_f",
    "embed": "model.embed_tokens model.language_model.embed_tokens transformer.wte transformer.word_embeddings "
    "gpt_neox.embed_in model.decoder.embed_tokens model.embeddings backbone.embeddings",
    "unembed": "lm_head embed_out",
}
COMMON_NAMES = {path: name for name, paths in PARTS.items() for path in paths.split()}
LARGEST = {"num_hidden_layers": 1000, "hidden_size": 10**6, "vocab_size": 10**8, "max_position_embeddings": 10**9}


def model_class(config: PreTrainedConfig):
    """The class that loads a model of this configuration: a text model, or one that also sees pictures.

    ValueError for anything else (encoders, speech models, types that this version of transformers does not know).
    """
    if "Classification" in str(config.architectures):
        raise ValueError(
            "the checkpoint gives marks, as a reward model does; it does not write text, so it cannot be asked"
        )
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return AutoModelForCausalLM
    if config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return AutoModelForImageTextToText
    raise ValueError(f"models of the type {config.model_type!r} do not write text, so they cannot be asked")


def check_architecture(config: PreTrainedConfig, vocabulary: int = 0, stored: float = math.inf) -> int:
    """The number of parameters, before any weight is read; ValueError for a model that cannot be read or injected into.

    Args:
        config: of the checkpoint.
        vocabulary: number of tokens that the tokenizer knows, without those added later; 0 where it is not read.
        stored: bytes of the checkpoint's weights, where they are known.
    """
    text = config.get_text_config()
    if getattr(text, "altup_num_inputs", 1) > 1:
        raise ValueError(
            f"{config.model_type} hands on {text.altup_num_inputs} versions of the residual stream from block to block; this "
            "collection can read and inject into a single stream only"
        )
    if config.model_type == "nanochat":
        raise ValueError("nanochat uses its final norm before the blocks, too: an injection cannot be audited there")
    if not getattr(text, "num_hidden_layers", 1):
        raise ValueError("the model has 0 blocks: there is nothing to inject into")
    for size, largest in LARGEST.items():  # no real model comes near them
        if (value := getattr(text, size, None)) is not None:
            whole_number(f"{size} of the configuration", value, 1, largest)
    if vocabulary > text.vocab_size:
        raise ValueError(
            f"the tokenizer knows {vocabulary} tokens, but the model only {text.vocab_size}: they do not belong together"
        )
    with torch.device("meta"):  # the whole network without its weights
        network = model_class(config).from_config(config, trust_remote_code=False)
    parameters = network.num_parameters()
    if parameters > max(4 * stored, 10**8):  # two parameters per byte where they are quantised to 4 bits
        raise ValueError(f"the configuration asks for {parameters:,} parameters, but the weights have {stored:,} bytes")
    check_parts(network)
    return parameters


def check_parts(network) -> None:
    """Raise ValueError, naming what is missing, for a network whose parts are kept under unknown names."""
    modules = dict(network.named_modules())
    found = {name for path, name in COMMON_NAMES.items() if path in modules}
    missing = [part for part in PARTS if part not in found]
    if missing:
        raise ValueError(
            f"{type(network).__name__} keeps its {' and '.join(missing)} under a name this collection does not know; "
            "add it to helpers.models.architecture.PARTS"
        )


def number_of_blocks(model) -> int:
    """How many transformer blocks the model has; layers are numbered 0 to this number minus 1."""
    return len(model.blocks._module)


def width(model) -> int:
    """Number of dimensions of the residual stream."""
    return model.config.get_text_config().hidden_size


def context_length(model) -> float:
    """Longest prompt plus answer, in tokens, that the model was built for; infinite where its positions have no end."""
    config = model.config.get_text_config()
    names = "max_position_embeddings", "n_positions", "seq_length", "max_seq_len"
    return next((length for name in names if (length := getattr(config, name, None))), math.inf)


def attention_window(model) -> float:
    """How many tokens back attention looks in the layer that looks least far; infinite where every layer sees all."""
    config = model.config.get_text_config()
    windows = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size"))
    return min((window for window in windows if window), default=math.inf)


def check_layer(model, layer: int) -> int:
    """Return `layer` if the model has such a block; ValueError with the allowed range otherwise."""
    blocks = number_of_blocks(model)
    if not is_number(layer) or layer not in range(blocks):
        named = layer if isinstance(layer, Real) else repr(layer)  # np.int64(9) reads as 9
        kind = "" if is_number(layer) else ", and a layer is a whole number"
        raise ValueError(
            f"layer {named} does not exist: this model has {blocks} blocks, numbered 0 to {blocks - 1}{kind}"
        )
    return int(layer)


def check_tokens(model, tokens, new: int = 0) -> None:
    """Raise ValueError for a prompt's tokens that the model does not know, or that leave its context no room for `new` more."""
    room, known = context_length(model), model.embed._module.num_embeddings
    if not len(tokens):
        raise ValueError("the prompt has no tokens")
    if len(tokens) + new > room:
        more = f" and {new} are to be generated" if new else ""
        raise ValueError(f"the prompt has {len(tokens)} tokens{more}, but the model's context holds {room}")
    if wrong := [token for token in (min(tokens), max(tokens)) if not 0 <= token < known]:
        raise ValueError(f"the prompt holds the token {wrong[0]}, but the model knows only {known}")


def layers_at(model, depths) -> list[int]:
    """The layers at these shares of the model's depth (0 is the first block, 1 the last). ValueError for any other number."""
    depths = as_list("depths", depths)
    wrong = [depth for depth in depths if not is_number(depth) or not 0 <= depth <= 1]
    if wrong:
        raise ValueError(f"depths must be shares of the model's depth, from 0 to 1, got {wrong}")
    return sorted({round(depth * (number_of_blocks(model) - 1)) for depth in depths})
