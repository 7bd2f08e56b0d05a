"""The trials as the engine sees them: rows, which rows run together in a batch, and how a batch is laid out in columns:

    [ shared prefix | padding | rest of the prompt | generated tokens ]

so that the prompts end in the same column; without a shared prefix this is ordinary left padding.
"""

import math
from collections import Counter
from dataclasses import dataclass
from numbers import Real

import torch

from helpers.models import check_layer, context_length, width
from helpers.prompts import Prompt

WORTH_A_BATCH = 16  # rows that are run as a batch of their own rather than share less with those that follow
AUDITED = 32  # rows that are run first and audited: watching every block at every step takes far longer than the step


@dataclass(frozen=True)
class Row:
    """One trial as the engine sees it.

    span: token range [start, end) of the prompt on which strength x vector is added to the output of block `layer`;
    end None means on through every generated token. vector None: a control row, nothing is added.
    vector: [width], raw (not normalised). seed: used when sampling (temperature > 0), one generator a row.
    """

    prompt: Prompt
    span: tuple[int, int | None]
    vector: torch.Tensor | None = None
    strength: float = 0.0
    layer: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """Rows laid out in columns. ids, mask: [row, column], prefix included. start, end: [row] column range of the injection."""

    rows: list[Row]
    prefix: tuple[int, ...]
    ids: torch.Tensor
    mask: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor

    def inside(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """[row, column] True where something is added to these rows."""
        return (columns >= self.start[rows, None]) & (columns < self.end[rows, None])


def check_row(model, row: Row, max_new_tokens: int) -> None:
    """Raise ValueError for a row that cannot be run, naming the value and what is allowed."""
    length = len(row.prompt.token_ids)
    if length == 0:
        raise ValueError("the prompt has no tokens")
    room = context_length(model)
    if length + max_new_tokens > room:
        raise ValueError(
            f"the prompt has {length} tokens and {max_new_tokens} are to be generated, but the model's context holds {room}"
        )
    start, end = row.span
    if not 0 <= start < (length if end is None else end) <= length:
        raise ValueError(f"span {row.span} does not lie in the prompt's {length} tokens")
    if isinstance(row.strength, bool) or not isinstance(row.strength, Real) or not math.isfinite(row.strength):
        raise ValueError(f"strength must be a finite number, got {row.strength!r}")
    if row.vector is None:
        return
    if row.layer is None:
        raise ValueError("a row with a vector needs the layer to inject at")
    check_layer(model, row.layer)
    if not isinstance(row.vector, torch.Tensor):
        raise ValueError(f"the vector must be a torch tensor, got {type(row.vector).__name__}")
    if tuple(row.vector.shape) != (width(model),):
        raise ValueError(
            f"the vector has shape {tuple(row.vector.shape)}; this model's residual stream is ({width(model)},)"
        )
    if not torch.isfinite(row.vector).all():
        raise ValueError("the vector holds NaN or infinite values")


def common_prefix(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """Number of tokens with which both sequences begin."""
    shared = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        shared += 1
    return shared


def free_prefix(row: Row) -> tuple[int, ...]:
    """The prompt's tokens that an injection cannot reach: those before its span (all but the last for a control row)."""
    before = row.span[0] if row.vector is not None else len(row.prompt.token_ids)
    return row.prompt.token_ids[: min(before, len(row.prompt.token_ids) - 1)]


def blocks_unchanged(row: Row) -> float:
    """How many blocks read the row's prompt as they would without a vector: those up to its layer, all for a control row."""
    return math.inf if row.vector is None else row.layer + 1


def plan_batches(
    rows: list[Row], batch_size: int, tokens: int | None = None, max_new_tokens: int = 0, audit: bool = False
) -> list[list[int]]:
    """Indices of rows, in batches of neighbours: rows with equal beginnings stand together, so that prefixes are shared, and
    among them rows of one layer, which are read in one pass (see `reading`).

    tokens: how many of them a batch may hold at most, new ones and padding included, the shared prefix not. audit: let the
    first batch have AUDITED rows at most, of all layers and controls. ValueError for a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")

    def place(i: int):
        row = rows[i]
        return row.prompt.token_ids[: row.span[0]], blocks_unchanged(row), row.prompt.token_ids, i

    order = sorted(range(len(rows)), key=place)
    batches, shared, longest = [], (), 0
    for i in order:
        prefix, length = free_prefix(rows[i]), len(rows[i].prompt.token_ids)
        kept = common_prefix(shared, prefix)
        full = not batches or len(batches[-1]) == batch_size
        if not full and tokens is not None:
            full = (len(batches[-1]) + 1) * (max(longest, length) - kept + max_new_tokens) > tokens
        if full or (kept < len(shared) // 2 and len(batches[-1]) >= min(batch_size // 4, WORTH_A_BATCH)):
            batches.append([i])
            shared, longest = prefix, length
        else:
            batches[-1].append(i)
            shared, longest = shared[:kept], max(longest, length)
    if audit and batches:
        batches[:1] = filter(None, split_off_audited(rows, batches[0]))
    return batches


def split_off_audited(rows: list[Row], batch: list[int]) -> tuple[list[int], list[int]]:
    """A batch in two: AUDITED rows, as evenly as can be from every layer and from the controls, and the others."""
    met, turns = Counter(), []  # the how-manieth row of its layer each row is
    for i in batch:
        layer = None if rows[i].vector is None else rows[i].layer
        turns.append((met[layer], i))
        met[layer] += 1
    audited = {i for _, i in sorted(turns)[:AUDITED]}
    return [i for i in batch if i in audited], [i for i in batch if i not in audited]


def lay_out(rows: list[Row], pad_id: int, share_prefix: bool = True) -> Batch:
    """Put rows into columns: shared prefix, padding, rest of the prompt (see the module's docstring)."""
    prefix = free_prefix(rows[0]) if share_prefix else ()
    for row in rows[1:]:
        prefix = prefix[: common_prefix(prefix, free_prefix(row))]
    columns = max(len(row.prompt.token_ids) for row in rows)
    ids = torch.full((len(rows), columns), pad_id)
    mask = torch.zeros(len(rows), columns, dtype=torch.long)
    start, end = torch.zeros(len(rows), dtype=torch.long), torch.zeros(len(rows), dtype=torch.long)
    ids[:, : len(prefix)] = torch.tensor(prefix)
    mask[:, : len(prefix)] = 1
    for i, row in enumerate(rows):
        rest = row.prompt.token_ids[len(prefix) :]
        padding = columns - len(row.prompt.token_ids)
        ids[i, columns - len(rest) :] = torch.tensor(rest)
        mask[i, columns - len(rest) :] = 1
        if row.vector is not None:
            start[i] = row.span[0] + padding
            end[i] = torch.iinfo(torch.long).max if row.span[1] is None else row.span[1] + padding
    return Batch(rows, prefix, ids, mask, start, end)


def pushes(batch: Batch, model) -> dict[int, torch.Tensor]:
    """What is added at each layer that any row uses: layer -> [row, 1, width], strength x vector, zero for other rows."""
    added = {}
    for i, row in enumerate(batch.rows):
        if row.vector is not None:
            if row.layer not in added:
                added[row.layer] = torch.zeros(len(batch.rows), 1, width(model))
            added[row.layer][i, 0] = row.strength * row.vector.float().cpu()
    return dict(sorted(added.items()))
