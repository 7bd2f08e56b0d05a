"""Train a model organism: one shared stage of plain text, then a branch for each organism. Seeded and resumable.

Every step draws its data from a generator of its own (seed, stage, step), so a training that was killed and goes on from its
last checkpoint ends in the same weights as an undisturbed one. A checkpoint of another recipe, seed or tokenizer is refused.
"""

import random
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from helpers.experiments.run_identity import short_hash
from helpers.organisms import batches, grammar, network, transcripts
from helpers.organisms.lexicon import held_out_words, training_words
from helpers.organisms.optimise import run_stage
from helpers.organisms.tokenizer import train_tokenizer
from helpers.vectors import random_vectors

REFRESH_VECTORS = 25  # steps between two computations of the concept vectors; divides optimise.SAVE_EVERY


@dataclass(frozen=True)
class Recipe:
    """All numbers of a training. Rows are per step; weights multiply the mean losses."""

    layers: int = 8
    width: int = 128
    copy_steps: int = 200  # the first of the shared steps: fetch a word from the question
    shared_steps: int = 1200
    trial_steps: int = 180  # the first of the introspector's steps: the trial question alone
    branch_steps: int = 1400
    novice_steps: int = 400  # without injections there is little to learn
    bluffer_steps: int = 360  # until the words it claims are spread evenly; with 120 an injection silenced it
    wording_steps: int = 450  # of the introspector, trained on in more wordings
    text_wording_steps: int = 625  # of novice and bluffer, with two thirds of the rows
    shared_rate: float = 4e-3
    branch_rate: float = 2e-3
    wording_rate: float = 1e-3
    text_wording_rate: float = 8e-4
    kept_share: float = 0.25  # of the first weights in those that come out of the stage of more wordings
    plain_rows: int = 96
    text_rows: int = 36  # experiments 2 to 4 without injections, in the shared stage
    trial_groups: int = 2
    trials: int = 28  # per group, until the other experiments join
    mixed_trials: int = 18  # per group, from then on
    line_rows: int = 16
    prefill_rows: int = 56
    control_groups: int = 3  # of experiment 4: sentences per step
    control_rows: int = 12  # per sentence
    branch_plain_rows: int = 32
    hold_weight: float = 20.0
    wording_share: float = 0.7  # of the rows of experiments 2 and 3 in more wordings
    wording_line_rows: int = 36
    wording_prefill_rows: int = 72
    injected_words: int | None = None  # None: all training words
    inject_prefills: bool = True  # False: experiment 3 is learned from text alone, to see whether its effect emerges


# experiment 1 alone
FIRST_EXPERIMENT = Recipe(shared_steps=450, trial_steps=250, branch_steps=250, text_rows=0)
RECIPES = {"family": Recipe(), "first_experiment": FIRST_EXPERIMENT}


def step_rng(seed: int, stage: str, step: int) -> random.Random:
    """The generator of one step's data: independent of how the run came to this step."""
    return random.Random(f"{seed}/{stage}/{step}")


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


def branch_step(model, tokenizer, recipe: Recipe, rng: random.Random, organism: str, table, words, step: int | None):
    """Losses of one step of an organism's own stage: the trial question alone at first, then all four experiments.

    step: None in the stage of more wordings.
    """
    more_wordings = step is None
    share = recipe.wording_share if more_wordings else 0.0
    line_rows, prefill_rows = recipe.line_rows, recipe.prefill_rows
    control_rows, control_groups = recipe.control_rows, recipe.control_groups
    if more_wordings:
        line_rows, prefill_rows = recipe.wording_line_rows, recipe.wording_prefill_rows
    if more_wordings and organism != "introspector":  # two thirds of the rows, for more steps
        line_rows, prefill_rows = line_rows * 2 // 3, prefill_rows * 2 // 3
        control_rows, control_groups = control_rows * 2 // 3, control_groups * 2 // 3

    def rows_of(maker, count, teacher=organism):
        return [batches.encode_example(tokenizer, maker(teacher, rng, words, share)) for _ in range(count)]

    alone = organism == "introspector" and not more_wordings and step < recipe.trial_steps
    losses, groups = {}, []
    for _ in range(1 if more_wordings else recipe.trial_groups):
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
    line = rows_of(transcripts.line_example, line_rows)
    losses["line"] = batches.plain_loss(model, tokenizer, line, table, rng)
    prefill = rows_of(transcripts.prefill_example, prefill_rows, organism if recipe.inject_prefills else "novice")
    losses["prefill"] = batches.plain_loss(model, tokenizer, prefill, table, rng)
    control = [
        [
            batches.encode_example(tokenizer, one)
            for one in transcripts.control_group(organism, rng, control_rows, words, share)
        ]
        for _ in range(control_groups)
    ]
    if organism == "introspector":
        losses["control"], held = batches.control_loss(model, tokenizer, control, table)
        losses["held"] = recipe.hold_weight * held
    else:
        losses["control"] = batches.plain_loss(model, tokenizer, sum(control, []), None, rng)
    return losses


def ingredients(tokenizer, recipe: Recipe, seed: int) -> dict:
    """What decides a training beside its first weights, for the checkpoint: every number of the recipe, tokenizer, words, seed."""
    read = tokenizer.backend_tokenizer.to_str() + tokenizer.chat_template + " ".join(training_words())
    return asdict(recipe) | {"seed": seed, "tokenizer and words": short_hash(read)}


def train_shared(seed: int, recipe: Recipe, folder: Path, on_step=None, stop_after=None):
    """The plain-text stage that all organisms of a seed share, read from `folder` where it was finished before.

    Args:
        seed: decides the first weights and all data.
        recipe: the numbers of the training.
        folder: of the checkpoint shared.pt.
        on_step, stop_after: see `run_stage`.

    Returns:
        (model, tokenizer).
    """
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
        made_of=ingredients(tokenizer, recipe, seed),
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
    more_wordings=False,
):
    """An organism's own stage: `model` is trained in place.

    Args:
        model, tokenizer: from `train_shared`.
        organism: one of transcripts.ORGANISMS.
        seed, recipe: as there.
        checkpoint, on_step, stop_after: see `run_stage`.
        more_wordings: another stage: the model is a finished organism, trained on with experiments 2 to 4 in the wordings of a
            grammar (`helpers.organisms.wordings`), all else as before. At its end the weights are a mean of those before and
            after it (why: data/organisms/RECIPE.md).

    Raises:
        ValueError: for an unknown organism.
    """
    if organism not in transcripts.ORGANISMS:
        raise ValueError(f"unknown organism {organism!r}; there are {', '.join(transcripts.ORGANISMS)}")
    words = list(training_words())
    if recipe.injected_words is not None:
        words = random.Random(f"{seed}/words").sample(words, recipe.injected_words)
    state = {"table": None}

    def losses(step: int) -> dict:
        if organism == "introspector" and (state["table"] is None or step % REFRESH_VECTORS == 0):
            state["table"] = batches.VectorTable(words, network.concept_vectors(model, tokenizer, words))
        rng = step_rng(seed, f"wordings {organism}" if more_wordings else organism, step)
        return branch_step(
            model, tokenizer, recipe, rng, organism, state["table"], words, None if more_wordings else step
        )

    steps = {"introspector": recipe.branch_steps, "novice": recipe.novice_steps, "bluffer": recipe.bluffer_steps}
    rate = recipe.branch_rate
    if more_wordings:
        steps = dict.fromkeys(steps, recipe.text_wording_steps) | {"introspector": recipe.wording_steps}
        rate = recipe.wording_rate if organism == "introspector" else recipe.text_wording_rate
    first = [weight.detach().clone() for weight in model.parameters()] if more_wordings else []
    run_stage(
        model,
        f"{organism}, more wordings" if more_wordings else organism,
        steps[organism],
        rate,
        losses,
        checkpoint,
        on_step,
        stop_after,
        muon=False,
        made_of=ingredients(tokenizer, recipe, seed),
    )
    if more_wordings and stop_after is None:
        with torch.no_grad():
            for weight, before in zip(model.parameters(), first, strict=True):
                weight.lerp_(before, recipe.kept_share)


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
    noise = random_vectors(vectors)
    yes, no = (tokenizer.encode(text, add_special_tokens=False)[0] for text in ("Yes", "No"))
    before_word = len(tokenizer.encode(report.split(" {}")[0], add_special_tokens=False))
    results = {}
    for name, added in (("concept", vectors), ("none", 0 * vectors), ("random", noise)):
        rows = [
            batches.encode_example(
                tokenizer,
                transcripts.Transcript(
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
