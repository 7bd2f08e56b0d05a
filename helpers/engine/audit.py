"""The injection audit: measure where the residual stream really changed, and raise if that is not what was asked for.

Silent injection failures are common (a hook that fires on the prompt only, a span shifted by left padding, a trial missed):
the answers then look like a model that notices nothing. The audit compares, after every block, what the block put out with
what the next one received. The difference must be strength x vector inside the trial's span and zero everywhere else,
whoever made it: nnsight or somebody else's hooks.
"""

from collections import Counter

import numpy as np
import pandas as pd
import torch

AUDITED_TRIALS = 8  # per batch of a sweep
AUDITED_STEPS = 2  # the prompt and the first written token; again when rows have left (recorded: one step then)
MEASURED = ("size", "error", "asked_size", "tolerance")


class InjectionError(AssertionError):
    """The residual stream did not change where, or by as much as, the trials say."""


def sample_trials(trials) -> list[int]:
    """Up to AUDITED_TRIALS indices, as evenly as possible from every layer and from the control trials."""
    met, turns = Counter(), []
    for i, trial in enumerate(trials):
        layer = None if trial.vector is None else trial.layer
        turns.append((met[layer], i))  # index within its layer
        met[layer] += 1
    return sorted(i for _, i in sorted(turns)[:AUDITED_TRIALS])


class Recorder:
    """Watches one batch: which tokens were fed, and how the residual stream changed after every block.

    Only the trials themselves (prompt, span, strength, vector, layer) say what is expected; positions are counted anew, not
    taken from the columns that the engine worked out.

    Args:
        batch: a `batch.Batch`.
        rows: the trials to watch at AUDITED_STEPS; None watches all of them at every step.
    """

    def __init__(self, batch, rows: list[int] | None = None):
        self.batch, self.every_step = batch, rows is None
        self.rows = range(len(batch.trials)) if rows is None else rows
        self.columns = range(len(batch.prefix))  # of the current pass
        self.watched, self.places = [], []  # the trials watched in the current pass, and their rows in it
        self.records = []  # (trials, layer, columns, what `saw_change` measured: [MEASURED, trial, position])

    def begins_pass(self, rows: torch.Tensor, tokens: torch.Tensor, step: int) -> bool:
        """A forward pass over token ids [row, position] of these trials begins; returns whether it is to be watched.

        step: number of passes since the batch last lost rows.
        """
        self.columns = range(self.columns.stop, self.columns.stop + tokens.shape[1])
        if step >= AUDITED_STEPS and not self.every_step:
            return False
        self.places = [place for place, trial in enumerate(rows.tolist()) if trial in self.rows]
        self.watched = rows[self.places].tolist()
        if not self.watched:
            return False
        for place, trial in zip(self.places, self.watched, strict=True):
            self.check_prompt(trial, tokens[place].tolist())
        self.asked_inside = torch.stack([self.expected_inside(trial) for trial in self.watched])
        return True

    def check_prompt(self, trial: int, fed: list[int]) -> None:
        """Raise InjectionError unless the prompt's tokens in this pass are the trial's own."""
        mask = self.batch.mask[trial, self.columns.start :].tolist()
        read = (*self.batch.prefix, *(token for token, real in zip(fed, mask, strict=False) if real))
        if mask and read != self.batch.trials[trial].prompt.token_ids:
            raise InjectionError(
                f"trial {trial} of the batch was not fed its own prompt ({len(read)} tokens were read)"
            )

    def expected_inside(self, trial: int) -> torch.Tensor:
        """[position] of the current pass: True where the trial asks for its vector."""
        own, mask = self.batch.trials[trial], torch.ones(self.columns.stop, dtype=torch.long)
        prompt = self.batch.mask[trial, : self.columns.stop]
        mask[: len(prompt)] = prompt
        number = mask.cumsum(0) - 1  # of each column's token, counted in the trial's own prompt and reply
        start, end = own.span
        inside = (mask == 1) & (number >= start) & (number < (len(mask) if end is None else end))
        return inside[self.columns.start :] & (own.vector is not None)

    def sample(self, stream: torch.Tensor) -> torch.Tensor:
        """A copy of the watched rows of a stream, [trial, position, width], where the stream is: fetching it stops a GPU."""
        rows = stream[torch.tensor(self.places, device=stream.device)].detach()
        return (rows.cpu() if rows.device.type == "mps" else rows).double()  # MPS has no float64

    def saw_change(self, layer: int, before: torch.Tensor, after: torch.Tensor, eps: float) -> None:
        """What block `layer` put out and what the next one received (see `sample`); eps: precision of the model's dtype."""
        asked, after = torch.zeros_like(before), after.to(before)  # the next block may live on another device
        for i, trial in enumerate(self.batch.trials[trial] for trial in self.watched):
            if trial.vector is not None and trial.layer == layer:
                asked[i] = self.asked_inside[i][:, None].to(before) * (
                    trial.strength * trial.vector.detach().to(before)
                )
        size, error = (after - before).norm(dim=-1), (after - before - asked).norm(dim=-1)
        asked = asked.norm(dim=-1)
        tolerance = eps * (before.norm(dim=-1) + 2 * asked) + 1e-3 * asked
        self.records.append((self.watched, layer, self.columns, torch.stack([size, error, asked, tolerance])))

    def report(self) -> pd.DataFrame:
        """One line per trial and layer where a change was asked for or seen.

        Columns: trial (row of the batch), layer, asked, changed, wrong (numbers of positions), first_wrong (column), asked_size
        (|strength x vector|), measured_size (median), verifiable (False where the vector is smaller than the rounding of
        the model's dtype).
        """
        tables = []
        for trials, layer, columns, measured in self.records:
            places = {"trial": np.repeat(trials, len(columns)), "layer": layer, "column": np.tile(columns, len(trials))}
            tables.append(pd.DataFrame(places | dict(zip(MEASURED, measured.flatten(1).cpu().numpy(), strict=True))))
        seen = pd.concat(tables, ignore_index=True)
        inside, wrong = seen["asked_size"] > 0, ~(seen["error"] <= seen["tolerance"])  # NaN is wrong
        seen = seen.assign(
            asked=inside,
            changed=seen["size"] > seen["tolerance"],
            wrong=wrong,
            first_wrong=seen["column"].where(wrong),
            measured_size=seen["size"].where(inside),
            verifiable=~inside | (seen["asked_size"] > seen["tolerance"]),
        )
        how = {"asked": "sum", "changed": "sum", "wrong": "sum", "first_wrong": "min", "asked_size": "max"}
        report = seen.groupby(["trial", "layer"]).agg(how | {"measured_size": "median", "verifiable": "all"})
        return report[report[["asked", "changed", "wrong"]].any(axis=1)].reset_index()

    def verdict(self, columns: int) -> None:
        """Raise InjectionError where anything is wrong. columns: how many the model has read in all."""
        if self.columns.stop != columns:
            raise InjectionError(f"only {self.columns.stop} of {columns} columns were injected into: a step was missed")
        report = self.report()
        faults = report[report["wrong"] > 0]
        if len(faults):
            raise InjectionError(
                f"the injection audit failed in {faults['trial'].nunique()} of {len(self.rows)} trials: the residual stream "
                "changed elsewhere, not at all, or by another amount than strength x vector.\n"
                + faults.head(5).to_string(index=False)
            )
