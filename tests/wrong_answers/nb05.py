"""Wrong answers to the exercises of 05_tell_thoughts_from_text and what the check must say about each; right ones that it must take."""

import pandas as pd
import torch

from helpers.grading import grade_repetition
from helpers.models import residual


def pushed(subject, inputs, start, end, layer, push):
    """Next-token logits with the push on [start, end) after block `layer`."""
    with torch.no_grad(), subject.trace(inputs):
        stream = residual(subject.blocks[layer])
        stream[:, start:end] += push
        logits = subject.output.logits[0, -1].save()
    return logits


def copied_span(subject, inputs, start, end, layer, push):
    """Changes a copy that the model never sees."""
    with torch.no_grad(), subject.trace(inputs):
        stream = residual(subject.blocks[layer]).clone()
        stream[:, start:end] += push
        logits = subject.output.logits[0, -1].save()
    return logits


def replaced_span(subject, inputs, start, end, layer, push):
    """Puts the push in place of the stream."""
    with torch.no_grad(), subject.trace(inputs):
        stream = residual(subject.blocks[layer])
        stream[:, start:end] = push
        logits = subject.output.logits[0, -1].save()
    return logits


def on_to_the_end(subject, inputs, start, end, layer, push):
    """Forgets where the span ends."""
    return pushed(subject, inputs, start, None, layer, push)


def end_included(subject, inputs, start, end, layer, push):
    """Counts the end as part of the span."""
    return pushed(subject, inputs, start, end + 1, layer, push)


def one_span_for_all(subject, inputs, start, end, layer, push):
    """Always the same tokens."""
    return pushed(subject, inputs, 5, 8, layer, push)


def pushed_without_mask(subject, inputs, start, end, layer, push):
    """Hands the token ids alone to the model."""
    return pushed(subject, inputs["input_ids"], start, end, layer, push)


def all_positions(subject, inputs, start, end, layer, push):
    """All positions instead of the last one."""
    with torch.no_grad(), subject.trace(inputs):
        stream = residual(subject.blocks[layer])
        stream[:, start:end] += push
        logits = subject.output.logits[0].save()
    return logits


def new_output(subject, inputs, start, end, layer, push):
    """A new tensor, given back to the model."""
    inside = torch.zeros(inputs["input_ids"].shape[1], 1)
    inside[start:end] = 1
    with torch.no_grad(), subject.trace(inputs):
        subject.blocks[layer].output = subject.blocks[layer].output + inside * push
        logits = subject.output.logits[0, -1].save()
    return logits


def rates_of(pairs, cell=("layer", "strength")):
    """Rates of naming, repeating and both in each cell."""
    pairs = pairs.assign(both=pairs["named"] & pairs["repeated"])
    return pairs.groupby(list(cell))[["named", "repeated", "both"]].mean()


def overclaim(pairs, cell=("layer", "strength")):
    """Careless minus fairer."""
    rates = rates_of(pairs, cell)
    return min(rates["named"].max(), rates["repeated"].max()) - rates["both"].max()


def pairs_anywhere(pairs):
    """Takes the smaller of the two rates of a cell for the share of pairs."""
    rates = rates_of(pairs)
    return min(rates["named"].max(), rates["repeated"].max()) - rates[["named", "repeated"]].min(axis=1).max()


def fairer_product(pairs):
    """Takes the product of the two rates of a cell for the share of pairs."""
    rates = rates_of(pairs)
    return min(rates["named"].max(), rates["repeated"].max()) - (rates["named"] * rates["repeated"]).max()


def careless_product(pairs):
    """The product instead of the smaller of the two best rates."""
    rates = rates_of(pairs)
    return rates["named"].max() * rates["repeated"].max() - rates["both"].max()


def larger_of_both(pairs):
    """The larger instead of the smaller of the two best rates."""
    rates = rates_of(pairs)
    return max(rates["named"].max(), rates["repeated"].max()) - rates["both"].max()


def overclaim_in_place(pairs):
    """Writes a column into the caller's table."""
    pairs["both"] = pairs["named"] & pairs["repeated"]
    return overclaim(pairs)


def overclaim_by_loop(pairs):
    """Plain Python."""
    cells = {}
    for row in pairs.itertuples():
        cells.setdefault((row.layer, row.strength), []).append((row.named, row.repeated, row.named and row.repeated))
    best = [
        max(sum(column) / len(column) for column in (list(zip(*cell, strict=True))[k] for cell in cells.values()))
        for k in range(3)
    ]
    return min(best[:2]) - best[2]


def holding(table, column):
    """Which answers hold the text in the column."""
    pairs = zip(table["answer"], table[column], strict=True)
    return pd.Series([grade_repetition(*each) for each in pairs], index=table.index)


def line_only(table):
    """Which answers hold the line but not all that was read."""
    return holding(table, "line") & ~holding(table, "read")


def by_letters(table):
    """Compares letter by letter."""
    rows = table.itertuples()
    return sum(row.line in row.answer and row.read not in row.answer for row in rows) / len(table)


def only_the_line(table):
    """Takes only an answer that is the line and nothing else."""
    return ((table["answer"] == table["line"]) & (table["line"] != table["read"])).mean()


WRONG = [
    ("check_push_on_span", copied_span, "nothing has changed"),
    ("check_push_on_span", replaced_span, "the push has replaced the stream"),
    ("check_push_on_span", on_to_the_end, "stop before `end`"),
    ("check_push_on_span", end_included, "ends before it"),
    ("check_push_on_span", one_span_for_all, "with a push on [7, 9)"),
    ("check_push_on_span", pushed_without_mask, "without the attention mask"),
    ("check_push_on_span", all_positions, "must have the shape"),
    ("check_overclaim", pairs_anywhere, "the same row is named AND repeated"),
    ("check_overclaim", fairer_product, "the product of two rates is something else"),
    ("check_overclaim", careless_product, "not their product"),
    ("check_overclaim", lambda pairs: -overclaim(pairs), "the wrong way round"),
    ("check_overclaim", larger_of_both, "the smaller of the two"),
    ("check_overclaim", lambda pairs: overclaim(pairs, ["layer"]), "the strengths of a layer together"),
    ("check_overclaim", overclaim_in_place, "work on a copy"),
    ("check_right_by_line_only", lambda table: holding(table, "read").mean(), "repeats all of `read`"),
    ("check_right_by_line_only", lambda table: holding(table, "line").mean(), "this is the share that repeats `line`"),
    ("check_right_by_line_only", lambda table: 1 - holding(table, "read").mean(), "not even `line`"),
    ("check_right_by_line_only", lambda table: -line_only(table).mean(), "the wrong way round"),
    (
        "check_right_by_line_only",
        lambda table: line_only(table)[holding(table, "line")].mean(),
        "the number of answers",
    ),
    ("check_right_by_line_only", lambda table: line_only(table).sum(), "return their share"),
    ("check_right_by_line_only", by_letters, "capitals"),
    ("check_right_by_line_only", only_the_line, "may hold more than the line"),
]

RIGHT = [
    ("check_push_on_span", new_output),
    ("check_overclaim", overclaim_by_loop),
    ("check_right_by_line_only", lambda table: holding(table, "line").mean() - holding(table, "read").mean()),
]
