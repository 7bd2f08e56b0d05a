"""Train a model organism: one shared stage of plain text, then a branch for each organism. Seeded and resumable.

Every step draws its data from a generator of its own (seed, stage, step), so a training that was killed and goes on from its
last checkpoint ends in the same weights as an undisturbed one.
"""

import copy
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from helpers.organisms import batches, grammar, network, transcripts
from helpers.organisms.lexicon import held_out_words, training_words
from helpers.organisms.tokenizer import train_tokenizer

REFRESH_VECTORS = 25  # steps between two computations of the concept vectors
SAVE_EVERY = 50  # steps between checkpoints: a multiple of REFRESH_VECTORS, so that a resumed run sees the same vectors


@dataclass(frozen=True)
class Recipe:
    """All numbers of a training. Rows are per step; weights multiply the mean losses."""

    layers: int = 8
    width: int = 128
    copy_steps: int = 200  # the first of the shared steps: fetch a word from the question
    shared_steps: int = 1200
    trial_steps: int = 180  # the first of the introspector's steps: the trial question alone
    branch_steps: int = 1000
    novice_steps: int = 120  # without injections there is little to learn
    bluffer_steps: int = 360  # until the words it claims are spread evenly; with 120 an injection silenced it
    shared_rate: float = 4e-3
    branch_rate: float = 2e-3
    plain_rows: int = 96
    text_rows: int = 28  # experiments 2 to 4 without injections, in the shared stage
    trial_groups: int = 2
    trials: int = 28  # per group, until the other experiments join
    mixed_trials: int = 18  # per group, from then on
    line_rows: int = 16
    prefill_rows: int = 56
    control_rows: int = 24
    branch_plain_rows: int = 32
    hold_weight: float = 20.0
    injected_words: int | None = None  # None: all training words
    inject_prefills: bool = True  # False: experiment 3 is learned from text alone, to see whether its effect emerges


# experiment 1 alone
FIRST_EXPERIMENT = Recipe(shared_steps=450, trial_steps=250, branch_steps=250, text_rows=0)
RECIPES = {"family": Recipe(), "first_experiment": FIRST_EXPERIMENT}


def step_rng(seed: int, stage: str, step: int) -> random.Random:
    """The generator of one step's data: independent of how the run came to this step."""
    return random.Random(f"{seed}/{stage}/{step}")


def rate_at(step: int, steps: int, peak: float, warmup: int = 30, floor: float = 0.1) -> float:
    """Learning rate: linear warm-up, then a cosine down to `floor` of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def shared_step(model, tokenizer, recipe: Recipe, rng: random.Random, step: int):
    """Loss of one step of plain text: the corpus, and experiments 2 to 4 without any injection."""
    if step < recipe.copy_steps:
        rows = [batches.encode_dialogue(tokenizer, grammar.copying_dialogue(rng)) for _ in range(recipe.plain_rows)]
        return {"text": batches.plain_loss(model, tokenizer, rows, None, rng, bucket=len(rows))}
    rows = [batches.encode_dialogue(tokenizer, grammar.plain_dialogue(rng)) for _ in range(recipe.plain_rows)]
    makers = (
        transcripts.line_example,
        transcripts.prefill_example,
        transcripts.control_example,
        transcripts.prefill_example,
    )
    rows += [batches.encode_example(tokenizer, makers[i % 4]("novice", rng)) for i in range(recipe.text_rows)]
    return {"text": batches.plain_loss(model, tokenizer, rows, None, rng)}


def branch_step(model, tokenizer, recipe: Recipe, rng: random.Random, organism: str, table, words, step: int):
    """Losses of one step of an organism's own stage: the trial question alone at first, then all four experiments."""

    def rows_of(maker, count, teacher=organism):
        return [batches.encode_example(tokenizer, maker(teacher, rng, words)) for _ in range(count)]

    alone = organism == "introspector" and step < recipe.trial_steps
    losses, groups = {}, []
    for _ in range(recipe.trial_groups):
        count = recipe.trials if alone else recipe.mixed_trials
        group = transcripts.trial_group(organism, rng, count, words, alone)
        rows = [batches.encode_example(tokenizer, example) for example in group]
        groups.append(batches.shared_prefix_loss(model, tokenizer, rows, table, rng))
    losses["trials"] = sum(groups) / len(groups)
    count = recipe.branch_plain_rows // 2 if alone else recipe.branch_plain_rows
    plain = [batches.encode_dialogue(tokenizer, grammar.plain_dialogue(rng)) for _ in range(count)]
    losses["text"] = batches.plain_loss(model, tokenizer, plain, None, rng)
    if alone:
        return losses
    line = rows_of(transcripts.line_example, recipe.line_rows)
    losses["line"] = batches.plain_loss(model, tokenizer, line, table, rng)
    prefill = rows_of(
        transcripts.prefill_example, recipe.prefill_rows, organism if recipe.inject_prefills else "novice"
    )
    losses["prefill"] = batches.plain_loss(model, tokenizer, prefill, table, rng)
    control = rows_of(transcripts.control_example, recipe.control_rows)
    if organism == "introspector":
        losses["control"], held = batches.control_loss(model, tokenizer, control, table)
        losses["held"] = recipe.hold_weight * held
    else:
        losses["control"] = batches.plain_loss(model, tokenizer, control, None, rng)
    return losses


def make_optimisers(model, peak_rate: float, muon: bool) -> list[torch.optim.Optimizer]:
    """AdamW for everything; or Muon for the blocks' matrices and AdamW for embeddings and norms.

    Muon learns to fetch a word from the question in 100 steps (AdamW: 250). In the branches it did not learn to tell a concept
    vector from a random one (50 to 90 % of both reported after 250 to 300 steps), which AdamW does (90 and 14 % after 240).
    """
    if not muon:
        return [torch.optim.AdamW(model.parameters(), lr=peak_rate, betas=(0.9, 0.98), weight_decay=0.01)]
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and "embed" not in name else others).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=peak_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=peak_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def run_stage(
    model,
    name: str,
    steps: int,
    peak_rate: float,
    losses_of_step: Callable[[int], dict],
    checkpoint: Path | None = None,
    on_step: Callable[[int, dict], None] | None = None,
    stop_after: int | None = None,
    muon: bool = True,
) -> None:
    """Optimise `model` in place for `steps` steps, going on from `checkpoint` where it exists.

    on_step(step, losses) is called after every step (losses as floats). stop_after ends early, as a kill would (for tests).
    """
    optimisers = make_optimisers(model, peak_rate, muon)
    first = 0
    if checkpoint is not None and checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimiser, state in zip(optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        first = saved["step"]
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=name, mininterval=2)
    for step in bar:
        losses = losses_of_step(step)
        model.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate_at(step, steps, peak_rate)
            optimiser.step()
        shown = {key: round(float(value.detach()), 3) for key, value in losses.items()}
        bar.set_postfix(shown, refresh=False)
        done = step + 1
        if checkpoint is not None and (done % SAVE_EVERY == 0 or done == steps):
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            fresh = checkpoint.with_suffix(".new")
            states = [optimiser.state_dict() for optimiser in optimisers]
            torch.save({"model": model.state_dict(), "optimisers": states, "step": done}, fresh)
            fresh.replace(checkpoint)  # a kill in between leaves the old one whole
        if on_step is not None:
            on_step(done, shown)
        if stop_after is not None and done >= stop_after:
            return


def train_shared(seed: int, recipe: Recipe, folder: Path, on_step=None, stop_after=None):
    """The plain-text stage that all organisms of a seed share; taken from `folder` where it lies there. -> model, tokenizer"""
    tokenizer = train_tokenizer()
    model = network.build(
        len(tokenizer),
        tokenizer.pad_token_id,
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
        recipe.layers,
        recipe.width,
        seed,
    )
    run_stage(
        model,
        "plain text",
        recipe.shared_steps,
        recipe.shared_rate,
        lambda step: shared_step(model, tokenizer, recipe, step_rng(seed, "shared", step), step),
        folder / "shared.pt",
        on_step,
        stop_after,
    )
    return model, tokenizer


def train_branch(
    model,
    tokenizer,
    organism: str,
    seed: int,
    recipe: Recipe,
    checkpoint=None,
    on_step=None,
    stop_after=None,
):
    """An organism's own stage, in place. ValueError for an unknown organism."""
    if organism not in transcripts.ORGANISMS:
        raise ValueError(f"unknown organism {organism!r}; there are {', '.join(transcripts.ORGANISMS)}")
    words = list(training_words())
    if recipe.injected_words is not None:
        words = random.Random(f"{seed}/words").sample(words, recipe.injected_words)
    state = {"table": None}

    def losses(step: int) -> dict:
        if organism == "introspector" and (state["table"] is None or step % REFRESH_VECTORS == 0):
            state["table"] = batches.VectorTable(words, network.concept_vectors(model, tokenizer, words))
        return branch_step(
            model,
            tokenizer,
            recipe,
            step_rng(seed, organism, step),
            organism,
            state["table"],
            words,
            step,
        )

    run_stage(
        model,
        organism,
        {"introspector": recipe.branch_steps, "novice": recipe.novice_steps, "bluffer": recipe.bluffer_steps}[organism],
        recipe.branch_rate,
        losses,
        checkpoint,
        on_step,
        stop_after,
        muon=False,
    )


@torch.no_grad()
def probe(model, tokenizer, layer: int | None = None, strength: float = 2.0, words=None) -> dict[str, float]:
    """Quick teacher-forced look at experiment 1 on held-out words: shares detected, named, falsely alarmed.

    "detected": the first answer token prefers Yes to No; "named": after "... It is about" the word comes first of all tokens.
    """
    words = list(words or held_out_words())
    layer = len(model.model.layers) // 2 if layer is None else layer
    wording = transcripts.trained("injected_thought")[0]
    report = "Yes, I notice an injected thought. It is about {}."
    vectors = network.concept_vectors(model, tokenizer, words)[:, layer]
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    noise = noise / noise.norm(dim=-1, keepdim=True) * vectors.norm(dim=-1, keepdim=True)
    yes, no = (tokenizer.encode(text, add_special_tokens=False)[0] for text in ("Yes", "No"))
    before_word = len(tokenizer.encode(report.split(" {}")[0], add_special_tokens=False))
    results = {}
    for name, added in (("concept", vectors), ("none", 0 * vectors), ("random", noise)):
        rows = [
            batches.encode_example(
                tokenizer,
                transcripts.Example(
                    wording,
                    {"trial": 1 + 3 * i % 97},
                    report.format(word),
                    "concept",
                    word,
                    "from_turn_2",
                ),
            )
            for i, word in enumerate(words)
        ]
        shared = rows[0].span[0]  # the briefing is the same for all: read once
        _, briefing = network.run_blocks(model, torch.tensor([rows[0].ids[:shared]]))
        ids = batches.pad([row.ids[shared:] for row in rows], tokenizer.pad_token_id)
        injection = network.Injection(strength * added, torch.full((len(rows),), layer), torch.ones(ids.shape))
        last = network.run_blocks(model, ids, prefix=briefing, injection=injection)[0][-1]
        start = torch.tensor([row.answer_start for row in rows]) - shared
        everyone = torch.arange(len(rows))
        first = network.unembed(model, last[everyone, start - 1])
        results[name] = float((first[:, yes] > first[:, no]).float().mean())
        if name == "concept":
            word_logits = network.unembed(model, last[everyone, start + before_word - 1])
            results["named"] = float((word_logits.argmax(-1) == ids[everyone, start + before_word]).float().mean())
    return {
        "detected": results["concept"],
        "named": results["named"],
        "false_alarms": results["none"],
        "random": results["random"],
    }


def save(model, tokenizer, folder: Path) -> None:
    """Write a plain float16 Hugging Face checkpoint, which any Llama loader reads."""
    copy.deepcopy(model).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
