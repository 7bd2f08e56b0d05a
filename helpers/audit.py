"""The injection audit: measure where the residual stream really changed, and raise if that is not what was asked for.

Silent injection failures are common (a hook that fires on the prompt only, a span shifted by left padding, a row missed):
the answers then look like a model that notices nothing. The audit compares, at every layer, position and decoding step,
what a block put out with what the next block received. The difference must be strength x vector inside the span of the
row's own prompt tokens (and generated tokens) and zero everywhere else. Who changed it, nnsight or a foreign hook, is all
the same to the audit.
"""

import pandas as pd
import torch


class InjectionError(AssertionError):
    """The residual stream did not change where, or by as much as, the trials say."""


class Recorder:
    """Collects, during one batch, the tokens fed and the change of the residual stream after every block, pass by pass.

    A pass may be made in parts, some rows at a time; what nobody showed to the recorder counts as a stream that did not change.

    batch: an `injection.Batch`. Only the trials' own specification (prompt tokens, span, strength, vector, layer) is used
    to say what is expected; columns are mapped to prompt tokens anew, from the tokens the model was really fed.
    """

    def __init__(self, batch, end_ids):
        self.batch = batch
        self.end_ids = set(end_ids)
        self.tokens = []  # per pass: [row, position]
        self.changes = []  # per pass: layer -> (size, error, expected size, tolerance), each [row, position]
        self.columns_seen = len(batch.prefix)
        self.asked = {}  # layer -> what the trials ask for after this block, [row, width]
        for i, row in enumerate(batch.rows):
            if row.vector is not None:
                push = row.strength * row.vector.double().cpu()
                self.asked.setdefault(row.layer, push.new_zeros(len(batch.rows), len(push)))[i] = push

    def begins_pass(self, positions: int) -> None:
        """A forward pass over so many positions begins."""
        self.columns_seen += self.tokens[-1].shape[1] if self.tokens else 0
        self.tokens.append(torch.full((len(self.batch.rows), positions), -1))
        self.inside = self.expected_inside(positions)
        self.changes.append({layer: self.no_change(layer) for layer in self.asked})

    def saw_tokens(self, ids: torch.Tensor, rows=slice(None)) -> None:
        """The token ids that these rows were fed in this pass, [row, position]."""
        self.tokens[-1][rows] = ids.detach().cpu()

    def expected_inside(self, fed: int) -> torch.Tensor:
        """[row, position] of the current pass: True where the trial asks for an injection."""
        inside = torch.zeros(len(self.batch.rows), fed, dtype=torch.bool)
        for i, row in enumerate(self.batch.rows):
            if row.vector is None:
                continue
            mask = self.batch.mask[i].tolist()
            real_index = sum(mask[: self.columns_seen]) + max(0, self.columns_seen - len(mask))
            for position in range(fed):
                column = self.columns_seen + position
                if column < len(mask) and mask[column] == 0:
                    continue  # padding: nothing may change there
                start, end = row.span
                inside[i, position] = start <= real_index and (end is None or real_index < end)
                real_index += 1
        return inside

    def push(self, layer: int) -> torch.Tensor:
        """What is asked for after this block, [row, width] (or [row, 1], zeros)."""
        return self.asked.get(layer, torch.zeros(len(self.batch.rows), 1, dtype=torch.double))

    def no_change(self, layer: int) -> tuple[torch.Tensor, ...]:
        """What stands in the record of a pass until the change is seen."""
        asked = self.inside * self.push(layer).norm(dim=-1, keepdim=True)
        return torch.zeros_like(asked), asked.clone(), asked, 1e-3 * asked

    def saw_change(self, layer: int, before: torch.Tensor, after: torch.Tensor, rows=slice(None)) -> None:
        """What block `layer` put out and what the next block received of these rows, [row, position, width] each."""
        before, after = before.detach(), after.detach()
        change = (after.double() - before.double()).cpu()
        push = self.inside[rows][..., None] * self.push(layer)[rows, None]
        size, error, asked = change.norm(dim=-1), (change - push).norm(dim=-1), push.norm(dim=-1)
        rounding = torch.finfo(after.dtype).eps * (before.double().cpu().norm(dim=-1) + 2 * asked)
        record = self.changes[-1].setdefault(layer, self.no_change(layer))
        for part, seen in zip(record, (size, error, asked, rounding + 1e-3 * asked), strict=True):
            part[rows] = seen

    def check_tokens(self) -> torch.Tensor:
        """Check that each row was fed its own prompt, once; return [row, column] True up to the row's end of turn."""
        fed = torch.cat(self.tokens, dim=1)
        columns = self.batch.ids.shape[1] - len(self.batch.prefix)
        alive = torch.ones_like(fed, dtype=torch.bool)
        for i, row in enumerate(self.batch.rows):
            kept = self.batch.mask[i, len(self.batch.prefix) :].bool()
            read = (*self.batch.prefix, *fed[i, :columns][kept].tolist())
            if read != row.prompt.token_ids:
                raise InjectionError(
                    f"row {i} was not fed its own prompt: {len(read)} tokens read, first difference inside"
                )
            generated = fed[i, columns:].tolist()
            stop = next((step for step, token in enumerate(generated) if token in self.end_ids), len(generated))
            alive[i, columns + stop :] = False
        return alive

    def report(self) -> pd.DataFrame:
        """One line a row and layer where a change was asked for or seen, with how many positions were asked for, changed, wrong.

        Columns: row, layer, asked (positions), changed (positions), wrong (positions), first_wrong (token counted from the
        row's first fed column), asked_size (|strength x vector|), measured_size (median), verifiable (False where the push is smaller than
        the rounding of the model's dtype).
        """
        alive = self.check_tokens()
        lines = []
        for layer in sorted(set().union(*self.changes)):
            passes = [
                changes.get(layer) or [torch.zeros(tokens.shape)] * 4
                for changes, tokens in zip(self.changes, self.tokens, strict=True)
            ]
            size, error, asked, tolerance = (torch.cat(parts, dim=1) for parts in zip(*passes, strict=True))
            wrong, changed = (error > tolerance) & alive, (size > tolerance) & alive
            for i, row in enumerate(self.batch.rows):
                meant = row.vector is not None and row.layer == layer
                if not meant and not changed[i].any():
                    continue
                inside = (asked[i] > 0) & alive[i]
                lines.append(
                    {
                        "row": i,
                        "layer": layer,
                        "asked": int(inside.sum()),
                        "changed": int(changed[i].sum()),
                        "wrong": int(wrong[i].sum()),
                        "first_wrong": int(wrong[i].nonzero()[0]) if wrong[i].any() else None,
                        "asked_size": float(asked[i].max()),
                        "measured_size": float(size[i][inside].median()) if inside.any() else float("nan"),
                        "verifiable": bool((asked[i] > tolerance[i])[inside].all()),
                    }
                )
        columns = "row layer asked changed wrong first_wrong asked_size measured_size verifiable".split()
        return pd.DataFrame(lines, columns=columns)

    def verdict(self) -> pd.DataFrame:
        """The report, or InjectionError with the first lines that went wrong."""
        report = self.report()
        faults = report[report["wrong"] > 0]
        if len(faults):
            raise InjectionError(
                f"the injection audit failed in {len(faults)} of {len(self.batch.rows)} rows: the residual stream changed "
                "elsewhere, not at all, or by another amount than strength x vector.\n"
                + faults.head(5).to_string(index=False)
            )
        return report
