"""Which trials run together, and how a batch of them is laid out in columns:

    [ shared prefix | padding | rest of the prompt | generated tokens ]

so that all prompts end in the same column; without a shared prefix this is ordinary left padding.
"""

from dataclasses import dataclass
from os.path import commonprefix  # of any sequences

import numpy as np
import torch

from helpers.engine.trial import Trial

FOREVER = torch.iinfo(torch.long).max  # a column that is never reached
NO_LAYER = -1  # of a trial to which nothing is added
WORTH_A_BATCH = 16  # trials that run as a batch of their own rather than share less with those that follow


@dataclass(frozen=True)
class Batch:
    """Trials in columns. ids, mask: [row, column]; start, end: [row], columns in which a vector is added (0, 0: none)."""

    trials: list[Trial]
    prefix: tuple[int, ...]
    ids: torch.Tensor
    mask: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor

    def steering(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where and what each trial adds: its layer, [row] (NO_LAYER: none), and strength x vector, [row, 1, width]."""
        steered = [trial for trial in self.trials if trial.vector is not None]
        vectors = torch.zeros(len(self.trials), 1, len(steered[0].vector) if steered else 1)
        for row, trial in enumerate(self.trials):
            if trial.vector is not None:
                vectors[row, 0] = trial.strength * trial.vector.float()
        layers = [NO_LAYER if trial.vector is None else int(trial.layer) for trial in self.trials]
        return torch.tensor(layers), vectors


def common_length(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """Number of tokens with which both sequences begin."""
    return len(commonprefix([first, second]))


def plan_batches(trials: list[Trial], batch_size: int, token_limit: float = float("inf"), max_new_tokens: int = 0):
    """Put trials whose prompts begin alike into the same batch, so that the beginning is read once.

    Args:
        batch_size: rows per batch at most.
        token_limit: rows x columns per batch at most, generated tokens included.
        max_new_tokens: tokens that each reply may have, for the limit.

    Returns:
        Indices of trials, a list per batch.
    """

    def place(i: int):
        tokens = trials[i].prompt.token_ids
        return tokens[: trials[i].span[0]], tokens, i  # sorted, controls lie among the injected trials of their prompt

    batches, shared, longest = [], (), 0
    for i in sorted(range(len(trials)), key=place):
        prefix, length = trials[i].shareable_prefix, len(trials[i].prompt.token_ids)
        kept, rows = common_length(shared, prefix), len(batches[-1]) if batches else batch_size
        full = rows == batch_size or (rows + 1) * (max(longest, length) + max_new_tokens) > token_limit
        if full or (kept < len(shared) // 2 and rows >= min(batch_size // 4, WORTH_A_BATCH)):
            batches.append([i])
            shared, longest = prefix, length
        else:
            batches[-1].append(i)
            shared, longest = shared[:kept], max(longest, length)
    return batches


def collate(trials: list[Trial], pad_id: int, share_prefix: bool = True) -> Batch:
    """Lay trials out in columns: shared prefix, padding, rest of the prompt (see the module's docstring)."""
    prefix = commonprefix([trial.shareable_prefix for trial in trials]) if share_prefix else ()
    columns = max(len(trial.prompt.token_ids) for trial in trials)
    ids, mask, start, end = [], [], [], []
    for trial in trials:
        rest = trial.prompt.token_ids[len(prefix) :]
        padding = columns - len(trial.prompt.token_ids)
        ids.append([*prefix, *[pad_id] * padding, *rest])
        mask.append([1] * len(prefix) + [0] * padding + [1] * len(rest))
        first, stop = trial.span if trial.vector is not None else (-padding, -padding)
        start.append(first + padding)  # the padding lies before the span, which no prefix reaches
        end.append(FOREVER if stop is None else stop + padding)
    # numpy reads long lists faster than torch does
    return Batch(trials, prefix, *(torch.from_numpy(np.array(part)) for part in (ids, mask, start, end)))
