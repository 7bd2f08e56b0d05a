"""The organisms' network: an ordinary Llama, and a forward pass for training that can inject and share a prefix.

The forward pass below uses the modules of transformers' `LlamaForCausalLM`, so a trained organism is a plain checkpoint; a
test checks that both give the same logits. Writing it out allows three things: a vector per row, layer and position can be
added (plain PyTorch, no hooks), the common beginning of many trials is computed only one time, with gradients, and only the
positions that are learned reach the vocabulary.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from helpers import concepts, prompts

EMBEDDING_SCALE = 0.05  # standard deviation of the first embeddings


@dataclass(frozen=True)
class Injection:
    """What to add in one batch: vectors [row, width] (strength included), layers [row], mask [row, position] (0 or 1)."""

    vectors: torch.Tensor
    layers: torch.Tensor
    mask: torch.Tensor


def build(
    vocabulary: int,
    pad: int,
    bos: int,
    eos: int,
    layers: int = 8,
    width: int = 128,
    seed: int = 0,
) -> LlamaForCausalLM:
    """A fresh Llama with tied embeddings; the seed decides its weights and nothing else does."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=pad,
        bos_token_id=bos,
        eos_token_id=eos,
    )
    with torch.random.fork_rng():  # transformers draws weights too, from the global generator
        model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            # transformers' usual 0.02 is far too small for so narrow a network: after 250 steps it fetched no word from
            # its question (6 % after 650), with the width's own scale it fetched every one
            scale = EMBEDDING_SCALE if "embed" in name else parameter.shape[1] ** -0.5
            torch.nn.init.normal_(parameter, 0.0, scale, generator=generator)
    return model


def run_blocks(model, ids, prefix=None, injection: Injection | None = None):
    """Residual stream after every block.

    ids: [row, position], padded on the right (a causal model never looks there). prefix: keys and values of one shared
    beginning, as returned for a single row. Returns (residuals: list of [row, position, width] per block, cache: list of
    (keys, values) per block).
    """
    start = 0 if prefix is None else prefix[0][0].shape[2]
    rows, length = ids.shape
    residual = model.model.embed_tokens(ids)
    positions = torch.arange(start, start + length)[None]
    cosine, sine = model.model.rotary_emb(residual, positions)
    visible = None if prefix is None else torch.ones(length, start + length, dtype=torch.bool).tril(diagonal=start)
    residuals, cache = [], []
    for k, block in enumerate(model.model.layers):
        attention, normed = block.self_attn, block.input_layernorm(residual)
        split = (rows, length, -1, attention.head_dim)
        queries, keys, values = (
            project(normed).view(split).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        queries, keys = apply_rotary_pos_emb(queries, keys, cosine, sine)
        cache.append((keys, values))
        if prefix is not None:
            keys = torch.cat([prefix[k][0].expand(rows, -1, -1, -1), keys], dim=2)
            values = torch.cat([prefix[k][1].expand(rows, -1, -1, -1), values], dim=2)
        mixed = scaled_dot_product_attention(queries, keys, values, attn_mask=visible, is_causal=visible is None)
        residual = residual + attention.o_proj(mixed.transpose(1, 2).reshape(rows, length, -1))
        residual = residual + block.mlp(block.post_attention_layernorm(residual))
        if injection is not None:
            at_layer = (injection.layers == k).to(residual.dtype)[:, None, None]
            residual = residual + at_layer * injection.mask[:, :, None] * injection.vectors[:, None, :]
        residuals.append(residual)
    return residuals, cache


def unembed(model, residual):
    """Logits of the last block's residual stream, for any leading shape: [..., width] -> [..., vocabulary]."""
    return model.lm_head(model.model.norm(residual))


def pad(rows: list[list[int]], pad_id: int) -> torch.Tensor:
    """Token ids [row, position], padded on the right."""
    ids = torch.full((len(rows), max(map(len, rows))), pad_id)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids


ROWS_AT_ONCE = 128  # of concept_vectors: keeps a notebook that trains below 1 GB


@torch.no_grad()
def concept_vectors(model, tokenizer, words) -> torch.Tensor:
    """Raw concept vectors [word, layer, width] (Lindsey 2025, appendix): the residual stream at the last token of "Tell me
    about {word}", minus the mean of the same over the baseline words (without the word itself)."""
    baseline = concepts.baseline_words()
    every = list(dict.fromkeys([*words, *baseline]))
    wording = prompts.get_template("extraction", "tell_me_about")
    rows = [prompts.render(tokenizer, wording, word=word).token_ids for word in every]
    last = torch.tensor([len(row) - 1 for row in rows])
    states = []
    for ids, at in zip(pad(rows, tokenizer.pad_token_id).split(ROWS_AT_ONCE), last.split(ROWS_AT_ONCE), strict=True):
        residuals, _ = run_blocks(model, ids)
        states.append(torch.stack([r[torch.arange(len(ids)), at] for r in residuals], dim=1))
    states = torch.cat(states)  # [word, layer, width]
    of_baseline = torch.tensor([word in set(baseline) for word in every])
    total, count = states[of_baseline].sum(0), of_baseline.sum()
    own = of_baseline[:, None, None].to(states.dtype)
    vectors = states - (total - own * states) / (count - own)
    return vectors[[every.index(word) for word in words]]


def save(model, tokenizer, folder: Path, eight_bits: bool = False) -> None:
    """Write a plain Hugging Face checkpoint, which any Llama loader reads, in float16.

    eight_bits: round the matrices to float8 (e4m3). The file is half as large, and since float32, float16 and bfloat16 hold
        these numbers exactly, the model has the same weights in each of them.
    """
    copy.deepcopy(model).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if eight_bits:
        file = folder / "model.safetensors"
        rounded = {
            name: weight.to(torch.float8_e4m3fn) if weight.ndim == 2 else weight
            for name, weight in load_file(file).items()
        }
        save_file(rounded, file, metadata={"format": "pt"})
