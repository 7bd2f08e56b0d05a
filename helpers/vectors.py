"""Concept vectors: directions of the residual stream that stand for a word, read off the model itself.

Source: Lindsey 2025, appendix on concept vectors. The vector of a word at a layer is the residual stream at the last token
of the request "Tell me about {word}" (just before the reply), minus the mean of the same over the baseline words. It is
the raw difference, not normalised: replications that normalise get other strengths, so report the dose too (`residual_norms`).
"""

import hashlib
import json

import nnsight
import torch
from safetensors.torch import load_file, save_file

from helpers import concepts, prompts
from helpers.models import fingerprint, residual
from helpers.paths import run_folder
from helpers.prompts import Prompt


def read_spans(model, asked: list[Prompt], spans: list[tuple[int, int]], batch_size: int = 64) -> list[torch.Tensor]:
    """Residual stream after every block on a token range of each prompt, without any injection.

    spans: token range [start, end) of each prompt. Returns one tensor [token, layer, width] a prompt, float32, on the CPU.
    Batches are padded on the right, where a causal model never looks.
    """
    if not asked:
        raise ValueError("no prompts to read: the list is empty")
    for prompt, (start, end) in zip(asked, spans, strict=True):
        if not 0 <= start < end <= len(prompt.token_ids):
            raise ValueError(f"span {(start, end)} does not lie in the prompt's {len(prompt.token_ids)} tokens")
    pad_id, found = model._module.generation_config.pad_token_id, []
    for first in range(0, len(asked), batch_size):
        batch, ranges = asked[first : first + batch_size], spans[first : first + batch_size]
        ids = torch.full((len(batch), max(len(prompt.token_ids) for prompt in batch)), pad_id)
        mask = torch.zeros_like(ids)
        for i, prompt in enumerate(batch):
            ids[i, : len(prompt.token_ids)] = torch.tensor(prompt.token_ids)
            mask[i, : len(prompt.token_ids)] = 1
        row = torch.tensor([i for i, (start, end) in enumerate(ranges) for _ in range(start, end)])
        position = torch.tensor([p for start, end in ranges for p in range(start, end)])
        with torch.no_grad():
            with model.trace({"input_ids": ids, "attention_mask": mask}):
                layers = nnsight.save([])
                for block in model.blocks:  # in forward order, as a trace requires
                    stream = residual(block)  # [row, position, width]
                    layers.append(stream[row.to(stream.device), position.to(stream.device)].float().cpu())
        found += torch.stack(layers, dim=1).split([end - start for start, end in ranges])
    return found


def read_residuals(model, asked: list[Prompt], positions=None, batch_size: int = 64) -> torch.Tensor:
    """Residual stream after every block at one token of each prompt (its last one by default): [prompt, layer, width]."""
    if positions is None:
        positions = [len(prompt.token_ids) - 1 for prompt in asked]
    spans = [(position, position + 1) for position in positions]
    return torch.cat(read_spans(model, asked, spans, batch_size))


def _cached(model, asked: list[Prompt], compute) -> torch.Tensor:
    """What `compute` returns, kept under runs/vectors/ by the model's weights and the exact tokens of the prompts."""
    tokens = json.dumps([fingerprint(model), [prompt.token_ids for prompt in asked]])
    file = run_folder("vectors") / f"{hashlib.sha256(tokens.encode()).hexdigest()[:24]}.safetensors"
    if file.is_file():
        return load_file(file)["vectors"]
    vectors = compute().contiguous()
    unfinished = file.with_suffix(".unfinished")
    save_file({"vectors": vectors}, unfinished)
    unfinished.replace(file)  # whole or not there, whenever the run is killed
    return vectors


def concept_vectors(model, words, batch_size: int = 64) -> torch.Tensor:
    """Raw concept vectors of any words, [word, layer, width], float32, on the CPU.

    A word that stands in the baseline list is left out of its own mean. Cached on disk. ValueError for an empty list or an
    empty word.
    """
    if isinstance(words, str):
        raise ValueError(f"words must be a list, got the single string {words!r}; write [{words!r}]")
    words = [str(word).strip() for word in words]
    if not words or not all(words):
        raise ValueError(f"need at least one word and no empty one, got {words!r}")
    wording = prompts.get_template("extraction", "tell_me_about")
    baseline = concepts.baseline_words()
    every = list(dict.fromkeys([*words, *baseline]))
    asked = [prompts.render(model.tokenizer, wording, word=word) for word in every]

    def compute() -> torch.Tensor:
        states = read_residuals(model, asked, batch_size=batch_size)
        of_baseline = torch.tensor([word in set(baseline) for word in every])
        own = of_baseline[:, None, None].float()  # 1 where the word's own state stands in the sum
        total, count = states[of_baseline].sum(0), of_baseline.sum()
        return states - (total - own * states) / (count - own)

    vectors = _cached(model, asked, compute)
    return vectors[[every.index(word) for word in words]]


def contrastive_vector(model, with_property: list[str], without: list[str]) -> torch.Tensor:
    """Vector of a property of texts, e.g. all capitals against the same in lower case: [layer, width].

    The mean over pairs of the residual stream at the last token of the one request minus the other. ValueError for lists of
    different or zero length.
    """
    if not with_property or len(with_property) != len(without):
        raise ValueError(
            f"need pairs of texts, got {len(with_property)} with the property and {len(without)} without it"
        )
    wording = prompts.PromptTemplate("contrast", "text", (("user", "{text}"),))
    asked = [prompts.render(model.tokenizer, wording, text=text) for text in (*with_property, *without)]
    states = read_residuals(model, asked)
    return states[: len(without)].mean(0) - states[len(without) :].mean(0)


def random_vectors(like: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Random directions with the shape of `like` and, along the last dimension, its norms: the "any big push" control."""
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    return noise / noise.norm(dim=-1, keepdim=True) * like.norm(dim=-1, keepdim=True)


def shuffled_vectors(like: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """The same components in another order (one order for all vectors): keeps norm and outliers, loses the direction."""
    order = torch.randperm(like.shape[-1], generator=torch.Generator().manual_seed(seed))
    return like[..., order]


def residual_norms(model, prompt: Prompt, span: tuple[int, int | None]) -> torch.Tensor:
    """Mean norm ||h|| of the residual stream over a span's tokens, [layer]. The dose of an injection is ||s v|| / ||h||."""
    start, end = span[0], len(prompt.token_ids) if span[1] is None else span[1]
    norms = read_spans(model, [prompt], [(start, end)])[0].norm(dim=-1).mean(0)  # [layer]
    return norms
