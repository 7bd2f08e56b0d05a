"""One stage of a training: optimisers, learning rate, progress bar, and checkpoints from which a killed run goes on."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm.auto import tqdm

from helpers.experiments.run_identity import short_hash
from helpers.models.identity import hash_of_numbers

SAVE_EVERY = (
    50  # steps between checkpoints: a multiple of train.REFRESH_VECTORS, so that a resumed run sees the same vectors
)


def rate_at(step: int, steps: int, peak: float, warmup: int = 30, floor: float = 0.1) -> float:
    """Learning rate: linear warm-up, then a cosine down to `floor` of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


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


def read_progress(file: Path, made_of: dict) -> dict:
    """What `run_stage` wrote into the file; ValueError where that is damaged, or made of something else."""
    way_out = "Move it away to train anew"
    try:
        saved = torch.load(file, weights_only=True)
        before = {name: saved.get("made_of", {}).get(name, "not recorded") for name in made_of}
    except Exception as error:  # torn, or no checkpoint at all
        raise ValueError(f"the checkpoint {file} cannot be read ({type(error).__name__}). {way_out}") from error
    names = [name for name in made_of if before[name] != made_of[name]]
    if changed := [f"{name} was {before[name]!s:.40} and is {made_of[name]!s:.40}" for name in names]:
        raise ValueError(f"the checkpoint {file} was made of something else ({'; '.join(changed)}). {way_out}")
    return saved


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
    made_of: dict | None = None,
) -> None:
    """Optimise `model` in place for `steps` steps, going on from `checkpoint` where it exists.

    Args:
        model: trained in place.
        name: of the progress bar.
        steps: of the whole stage.
        peak_rate: highest learning rate.
        losses_of_step: step -> losses by name; their sum is minimised.
        checkpoint: file, written every SAVE_EVERY steps.
        on_step: called after every step with its number and the losses as floats.
        stop_after: ends early, as a kill would (for tests).
        muon: see `make_optimisers`.
        made_of: what decides the training beside these arguments: numbers and texts by name, kept in the checkpoint.

    Raises:
        ValueError: for a checkpoint that is damaged, or was made of something else.
    """
    made_of = {"stage": name, "steps": steps, "peak_rate": peak_rate, "muon": muon} | (made_of or {})
    weights = {name: hash_of_numbers(weight) for name, weight in model.state_dict().items()}
    made_of["first weights"] = short_hash(str(weights))
    optimisers = make_optimisers(model, peak_rate, muon)
    first = 0
    if checkpoint is not None and checkpoint.is_file():
        saved = read_progress(checkpoint, made_of)
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
            torch.save({"model": model.state_dict(), "optimisers": states, "step": done, "made_of": made_of}, fresh)
            fresh.replace(checkpoint)  # a kill in between leaves the old one whole
        if on_step is not None:
            on_step(done, shown)
        if stop_after is not None and done >= stop_after:
            return
