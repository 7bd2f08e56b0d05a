"""Which trials run together, and how a batch of them is laid out in columns:

    [ shared prefix | padding | rest of the prompt | generated tokens ]

so that all prompts end in the same column; without a shared prefix this is ordinary left padding.
"""

from dataclasses import dataclass

import torch

from helpers.engine.trial import Trial

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

    def steering_vectors(self) -> dict[int, torch.Tensor]:
        """Layer -> [row, 1, width]: strength x vector, zero for the trials of other layers. Layers in forward order."""
        added = {}
        for row, trial in enumerate(self.trials):
            if trial.vector is not None:
                if trial.layer not in added:
                    added[trial.layer] = torch.zeros(len(self.trials), 1, len(trial.vector))
                added[trial.layer][row, 0] = trial.strength * trial.vector.float().cpu()
        return dict(sorted(added.items()))


def common_length(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """Number of tokens with which both sequences begin."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


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
    prefix = trials[0].shareable_prefix if share_prefix else ()
    for trial in trials[1:]:
        prefix = prefix[: common_length(prefix, trial.shareable_prefix)]
    rows, columns = len(trials), max(len(trial.prompt.token_ids) for trial in trials)
    ids, mask = torch.full((rows, columns), pad_id), torch.zeros(rows, columns, dtype=torch.long)
    start, end = torch.zeros(rows, dtype=torch.long), torch.zeros(rows, dtype=torch.long)
    ids[:, : len(prefix)], mask[:, : len(prefix)] = torch.tensor(prefix), 1
    for row, trial in enumerate(trials):
        rest = trial.prompt.token_ids[len(prefix) :]
        ids[row, columns - len(rest) :], mask[row, columns - len(rest) :] = torch.tensor(rest), 1
        if trial.vector is not None:
            padding = columns - len(trial.prompt.token_ids)  # lies before the span, which no prefix reaches
            start[row] = trial.span[0] + padding
            end[row] = torch.iinfo(torch.long).max if trial.span[1] is None else trial.span[1] + padding
    return Batch(trials, prefix, ids, mask, start, end)
