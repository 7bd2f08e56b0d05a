"""Concept vectors: directions of the residual stream that stand for a word, read off the model itself.

Source: Lindsey 2025, appendix on concept vectors. The vector of a word at a layer is the residual stream at the last token
of the request "Tell me about {word}" (just before the reply), minus the mean of the same over the baseline words. It is
the raw difference, not normalised: replications that normalise get other strengths, so report the dose too (`residual_norms`).
"""

import hashlib
import json
import warnings
from contextlib import suppress
from os.path import commonprefix  # of any sequences

import nnsight
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch.nn.utils.rnn import pad_sequence

from helpers import concepts, prompts
from helpers.checks import (
    as_list,
    as_texts,
    check_different,
    check_seed,
    check_span,
    check_tensor,
    finite_number,
    whole_number,
)
from helpers.jsonl import write_whole
from helpers.models import changes_from_outside, check_layer, check_tokens, computation, fingerprint
from helpers.models.identity import hash_of_numbers
from helpers.models.prefix_cache import PrefixCache
from helpers.models.streams import assert_equal, check_evaluating, residual
from helpers.paths import run_folder
from helpers.prompts import Prompt

# prompts' tokens on a CPU: more are not faster, and what a model of 135 million parameters computes would take 0.4 GB
TOKENS_READ_AT_ONCE, TOKENS_KEPT_AT_ONCE = 1024, 4096  # kept: with the keys and values of a shared beginning
WORTH_SHARING = 16  # tokens with which all prompts begin that are read once; fewer cost what they save
# changes a seed for random directions: networks are often drawn from small seeds too, and the organisms' first embeddings are,
# number for number, what a generator with their seed gives first
NOT_OF_WEIGHTS = 0x5EED


def read_spans(
    model, asked: list[Prompt], spans: list[tuple[int, int]] | None = None, batch_size: int = 64
) -> list[torch.Tensor]:
    """Residual stream after every block on a token range of each prompt, without any injection.

    Args:
        model: an nnsight model.
        asked: prompts, read in batches padded on the right, where a causal model never looks. What they all begin with is
            read once, unless the model carries hooks or edits.
        spans: token range [start, end) of each prompt; end None means to its last token. By default the last token alone.
        batch_size: prompts read at once, fewer on a CPU where they are long.

    Returns:
        One tensor [token, layer, width] per prompt, float32, on the CPU.

    Raises:
        ValueError: for an empty list, a span outside its prompt, an unreadable prompt, or a model in training mode.
    """
    asked = as_list("prompts", asked)
    if spans is not None and len(asked) != len(spans):
        raise ValueError(f"need a span for each prompt, got {len(asked)} prompts and {len(spans)} spans")
    check_evaluating(model)
    batch_size = whole_number("batch_size", batch_size, 1)
    for prompt in asked:
        if not isinstance(prompt, Prompt):
            raise ValueError(f"a prompt must come from prompts.render, got {prompt!r:.80}")
        check_tokens(model, prompt.token_ids)
    if spans is None:
        spans = [(len(prompt.token_ids) - 1, None) for prompt in asked]
    spans = [check_span(span, len(prompt.token_ids)) for prompt, span in zip(asked, spans, strict=True)]
    prefix = commonprefix([prompt.token_ids[:start] for prompt, (start, _) in zip(asked, spans, strict=True)])
    longest = max(len(prompt.token_ids) for prompt in asked)
    if len(asked) == 1 or len(prefix) < WORTH_SHARING or not (prefixes := PrefixCache(model)).can_serve(longest):
        prefix = ()
    if model.device.type == "cpu":
        fit = min(TOKENS_READ_AT_ONCE // (longest - len(prefix)), TOKENS_KEPT_AT_ONCE // longest)
        batch_size = min(batch_size, max(1, fit))
    pad_id, found = model._module.generation_config.pad_token_id, []
    for first in range(0, len(asked), batch_size):
        batch, ranges = asked[first : first + batch_size], spans[first : first + batch_size]
        tokens = [torch.tensor(prompt.token_ids[len(prefix) :]) for prompt in batch]
        ids = pad_sequence(tokens, batch_first=True, padding_value=pad_id)
        mask = pad_sequence([torch.ones(len(prompt.token_ids), dtype=int) for prompt in batch], batch_first=True)
        row = torch.tensor([i for i, (start, end) in enumerate(ranges) for _ in range(start, end)])
        position = torch.tensor([p for start, end in ranges for p in range(start, end)]) - len(prefix)
        # all logits of a batch would take more memory than the model: only streams are read
        inputs = {"input_ids": ids, "attention_mask": mask, "logits_to_keep": 1}
        if prefix:
            inputs["past_key_values"] = prefixes.expand(prefix, len(batch))
        with torch.no_grad(), model.trace(inputs):
            layers = nnsight.save([])
            for block in model.blocks:  # in forward order, as a trace requires
                stream = residual(block)  # [row, position, width]
                layers.append(stream[row.to(stream.device), position.to(stream.device)].float().cpu())
        found += torch.stack(layers, dim=1).split([end - start for start, end in ranges])
    return found


def read_residuals(model, asked: list[Prompt], positions=None, batch_size: int = 64) -> torch.Tensor:
    """Residual stream after every block at one token of each prompt (its last one by default): [prompt, layer, width]."""
    spans = None if positions is None else [(position, position + 1) for position in as_list("positions", positions)]
    return torch.cat(read_spans(model, asked, spans, batch_size))


def _cached_residuals(model, identity: str, asked: list[Prompt], batch_size: int) -> torch.Tensor:
    """`read_residuals`, kept in runs/vectors/ under the model's identity ("": not kept) and the exact tokens of the prompts.

    A file that is damaged, or whose first prompt, read by itself, is not read as it was, is set aside; one that cannot be
    written is done without.
    """
    if not identity:
        return read_residuals(model, asked, batch_size=batch_size)
    key = json.dumps([identity, [prompt.token_ids for prompt in asked]])
    try:
        file = run_folder("vectors") / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"
    except OSError as error:
        warnings.warn(f"vectors are not kept for the next run: {error.strerror}", stacklevel=2)
        return read_residuals(model, asked, batch_size=batch_size)
    first = read_residuals(model, asked[:1])  # no hash sees all that a library does to the numbers
    if file.is_file():
        try:
            with safe_open(file, framework="pt") as handle:
                states = handle.get_tensor("states")
                if len(states) == len(asked) and handle.metadata()["hash"] == str(hash_of_numbers(states)):
                    assert_equal(handle.get_tensor("first"), first, model)
                    return states
            reason = "its numbers changed since they were written"
        except Exception as error:  # torn, of another kind, or written by an older version
            reason = str(error)
        warnings.warn(f"{file} cannot be used and is set aside ({reason}); its vectors are made anew", stacklevel=2)
        with suppress(OSError):  # a folder that may only be read
            file.replace(file.with_suffix(".damaged"))
    states = read_residuals(model, asked, batch_size=batch_size).contiguous()
    try:
        kept = {"states": states, "first": first.contiguous()}
        write_whole(file, save(kept, {"hash": str(hash_of_numbers(states))}))
    except OSError as error:
        warnings.warn(f"vectors are not kept for the next run: cannot write to {file.parent} ({error})", stacklevel=2)
    return states


def concept_vectors(model, words, batch_size: int = 64) -> torch.Tensor:
    """Raw concept vectors of any words, [word, layer, width], float32, on the CPU.

    A word of the baseline list is left out of its own mean. The states behind the vectors are cached on disk, unless
    somebody has attached hooks or edits to the model. ValueError for an empty list or an empty word.
    """
    words = [word.strip() for word in as_texts("words", words)]
    template = prompts.get_template("extraction", "tell_me_about")
    baseline = concepts.baseline_words()
    others = [word for word in dict.fromkeys(words) if word not in baseline]
    identity = "" if changes_from_outside(model) else f"{fingerprint(model)} {computation(model)}"

    def states_of(group: list[str]) -> torch.Tensor:  # [word, layer, width]
        asked = [prompts.render(model.tokenizer, template, word=word) for word in group]
        return _cached_residuals(model, identity, asked, batch_size)

    of_baseline = states_of(baseline)
    total, count = of_baseline.sum(0), len(baseline)
    vectors = {word: state - (total - state) / (count - 1) for word, state in zip(baseline, of_baseline, strict=True)}
    if others:
        vectors |= {word: state - total / count for word, state in zip(others, states_of(others), strict=True)}
    return torch.stack([vectors[word] for word in words])


def contrastive_vector(model, with_property: list[str], without: list[str]) -> torch.Tensor:
    """Vector of a property of texts, e.g. all capitals against the same in lower case: [layer, width].

    The mean over pairs of the residual stream at the last token of the one request minus the other. ValueError for lists of
    different or zero length.
    """
    with_property, without = as_texts("texts with the property", with_property), as_texts("texts without it", without)
    if len(with_property) != len(without):
        raise ValueError(
            f"need pairs of texts, got {len(with_property)} with the property and {len(without)} without it"
        )
    wording = prompts.PromptTemplate("contrast", "text", (("user", "{text}"),))
    asked = [prompts.render(model.tokenizer, wording, text=text) for text in (*with_property, *without)]
    states = read_residuals(model, asked)
    return states[: len(without)].mean(0) - states[len(without) :].mean(0)


def own_generator(seed: int | torch.Generator) -> torch.Generator:
    """A generator for directions that owe nothing to a model's weights; one that is given is used as it is."""
    if isinstance(seed, torch.Generator):
        return seed
    return torch.Generator().manual_seed(check_seed(seed) ^ NOT_OF_WEIGHTS)


def random_vectors(like: torch.Tensor, seed: int | torch.Generator = 0) -> torch.Tensor:
    """Random directions with the shape of `like` and, along the last dimension, its norms: the "any big push" control.

    In float32 at least, as a norm can be too large for float16.
    """
    check_tensor("like", like)
    # with a dtype of its own: the numbers are the same ones whatever torch's default is
    return with_norms_of(like, torch.randn(like.shape, generator=own_generator(seed), dtype=torch.float32))


def mixed_vectors(like: torch.Tensor, of: torch.Tensor, seed: int | torch.Generator = 0) -> torch.Tensor:
    """Random mixtures of the vectors `of`, [vector, width], with the shape and the norms of `like`.

    They stand for no one word, but lie along the directions in which these vectors differ (they have the same covariance): the "any
    push among the words" control. In float32 at least.
    """
    check_tensor("like", like)
    check_tensor("of", of)
    shape = (*like.shape[:-1], len(of))
    weights = torch.randn(shape, generator=own_generator(seed), dtype=torch.float32)
    return with_norms_of(like, weights @ (of - of.mean(0)).float().cpu())


def with_norms_of(like: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The directions of `noise`, each as long as its vector of `like`, on that one's device."""
    norms = like.norm(dim=-1, keepdim=True, dtype=torch.promote_types(like.dtype, noise.dtype))
    noise = noise.to(like.device)
    return noise / noise.norm(dim=-1, keepdim=True) * norms


def shuffled_vectors(like: torch.Tensor, seed: int | torch.Generator = 0) -> torch.Tensor:
    """The same components in another order (one order for all vectors): keeps norm and outliers, loses the direction."""
    check_tensor("like", like)
    return like[..., torch.randperm(like.shape[-1], generator=own_generator(seed))]


def residual_norms(model, prompt: Prompt, span: tuple[int, int | None]) -> torch.Tensor:
    """Mean norm ||h|| of the residual stream over a span's tokens, [layer]. The dose of an injection is ||s v|| / ||h||.

    A single token of very large norm ("massive activations", Sun et al. 2024) can hold most of this mean.
    """
    return read_spans(model, [prompt], [span])[0].norm(dim=-1).mean(0)  # [layer]


def strengths_for_doses(
    model, layers, doses, words, prompt: Prompt, span: tuple[int, int | None]
) -> dict[int, list[float]]:
    """The strengths that give these doses: layer -> list, for `trials.make_trials`.

    A dose is ||strength x vector|| / ||residual stream||. The same strength is another dose in every layer and model, so doses
    compare models where strengths do not.

    Args:
        layers: of the injection.
        doses: 0.5 pushes half as hard as the stream is long.
        words: whose vectors' mean norm counts.
        prompt, span: where the stream is measured.

    Raises:
        ValueError: for doses that are not above 0, and for an empty list or duplicates in one.
    """
    layers = check_different("layers", [check_layer(model, layer) for layer in as_list("layers", layers)])
    doses = check_different("doses", [finite_number("a dose", dose) for dose in as_list("doses", doses)])
    norms = concept_vectors(model, words).norm(dim=-1).mean(0)  # [layer]
    stream = residual_norms(model, prompt, span)  # [layer]
    exact = {layer: [float(dose * stream[layer] / norms[layer]) for dose in doses] for layer in layers}
    found = {  # four decimals, or four digits where decimals would be too coarse
        layer: [round(each, 4) if each > 0.1 else float(f"{each:.4g}") for each in exact[layer]] for layer in layers
    }
    if wrong := [
        dose for each in found.values() for dose, strength in zip(doses, each, strict=True) if not 0 < strength < 1e9
    ]:
        raise ValueError(
            f"a dose must be a share of the stream's length, such as 0.5, with a strength between 0 and 1e9, got {wrong[0]}"
        )
    return found
