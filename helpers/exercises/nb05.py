"""Checks of the exercises of 05_tell_thoughts_from_text. The truth comes from counting by eye and from plain PyTorch hooks."""

import random
from contextlib import ExitStack
from itertools import product

import pandas as pd
import torch

from helpers import models
from helpers.exercises.exercise import call, exercise, expect_all_near, expect_number, expect_tensor
from helpers.exercises.organism import (
    MASK_DROPPED,
    call_on_organism,
    hooked,
    largest_difference,
    last_logits,
    organism,
    request,
    tokens,
    without_mask,
)


def hooked_logits(inputs: dict, changes: list) -> torch.Tensor:
    """Next-token logits of the first row, [vocabulary], by hooks. changes: (block, changes the stream in place) in order."""
    with ExitStack() as hooks:
        for block, change in changes:
            hooks.enter_context(hooked(block, change))
        return last_logits(inputs)[0]


def adds(push: torch.Tensor, start: int, end: int | None):
    """A change that adds `push` on [start, end)."""

    def change(stream: torch.Tensor) -> None:
        stream[:, start:end] += push

    return change


def puts(values: torch.Tensor, start: int, end: int | None):
    """A change that writes `values` [row, position, width] on [start, end)."""

    def change(stream: torch.Tensor) -> None:
        stream[:, start:end] = values[:, start:end]

    return change


def big_push() -> torch.Tensor:
    """A fixed random vector, [width], large enough to change the logits at any layer."""
    return 4 * torch.randn(models.width(organism()), generator=torch.Generator().manual_seed(5))


@exercise("A thought on a few tokens")
def check_push_on_span(attempt):
    """Three layers and spans of a padded prompt against hooks; what nearly right pushes would give is told apart."""
    inputs, push = tokens(request("an old silver spoon"), padding=3), big_push()
    length, last = inputs["input_ids"].shape[1], models.number_of_blocks(organism()) - 1
    clean = hooked_logits(inputs, [])
    tried = []
    for layer, start, end in ((1, 5, 8), (4, 7, 9), (last, 5, 8)):
        result = call_on_organism(attempt, inputs, start, end, layer, push)
        result = expect_tensor(result, tuple(clean.shape), "the logits of the next token")
        truth = hooked_logits(inputs, [(layer, adds(push, start, end))])
        neighbours = {
            "nothing has changed: the push does not reach the model (change the stream in place)": [],
            "you added the push on every token from `start` on; stop before `end`": [(layer, adds(push, start, None))],
            "you added the push on every token; only [start, end) gets it": [(layer, adds(push, 0, None))],
            "token `end` got the push too; the range [start, end) ends before it": [
                (layer, adds(push, start, end + 1))
            ],
            "token `end - 1` got no push; the range [start, end) holds it": [(layer, adds(push, start, end - 1))],
            "token `start` got no push; the range [start, end) begins with it": [(layer, adds(push, start + 1, end))],
            "only token `start` got the push; all of [start, end) gets it": [(layer, adds(push, start, start + 1))],
            "the push is subtracted; add it": [(layer, adds(-push, start, end))],
            "the push has replaced the stream; add it to what is there": [
                (layer, puts(push.expand(1, length, -1), start, end))
            ],
            "this is the stream before the block; `.output` is the stream after it": [
                (layer - 1, adds(push, start, end))
            ],
        }
        if layer < last:
            neighbours["this is the stream after the next block"] = [(layer + 1, adds(push, start, end))]
        mistakes = {message: hooked_logits(inputs, changes) for message, changes in neighbours.items()}
        mistakes[MASK_DROPPED] = hooked_logits(without_mask(inputs), [(layer, adds(push, start, end))])
        mistakes["these are logarithms of probabilities; the logits themselves are asked for"] = truth.log_softmax(-1)
        mistakes["these are probabilities; the logits themselves are asked for"] = truth.softmax(-1)
        off = largest_difference(result, truth)
        message = f"with a push on [{start}, {end}) after block {layer} the logits must be others (off by {off:.0%})"
        if layer == last:
            message = (
                "after the last block nothing reads the line's tokens any more, so the logits must stay as they were"
            )
        tried.append((result, truth, mistakes, message))
    expect_all_near(tried)


def overclaimed(rows: list[tuple[int, float, bool, bool]]) -> tuple[float, float]:
    """(smaller of the best naming and repetition rates, best rate of pairs), counted cell by cell."""
    cells: dict = {}
    for layer, strength, named, repeated in rows:
        cells.setdefault((layer, strength), []).append((named, repeated, named and repeated))
    best = [max(sum(pair[which] for pair in cell) / len(cell) for cell in cells.values()) for which in range(3)]
    return min(best[:2]), best[2]


@exercise("What the same cell is worth")
def check_overclaim(attempt):
    """Three cells counted by eye; nothing overclaimed; nothing named; random tables with cells of unequal size."""
    by_eye = (
        [(0, 8.0, True, False)] * 3 + [(0, 8.0, False, False), (3, 1.0, False, False)] + [(3, 1.0, False, True)] * 4
    )
    by_eye += (
        [(5, 1.0, True, True)] * 2 + [(5, 1.0, True, False)] + [(5, 1.0, False, True)] + [(5, 1.0, False, False)] * 3
    )
    cases = [by_eye, [(*row[:2], True, True) for row in by_eye], [(*row[:2], False, row[3]) for row in by_eye]]
    for seed in range(8):
        rng, rows = random.Random(seed), []
        for layer, strength in product((1, 2, 4), (1.0, 2.0, 4.0)):
            together = rng.random()  # how often a pair's two answers are alike
            for _ in range(rng.choice((7, 10, 13))):
                named = rng.random() < 0.5
                rows.append((layer, strength, named, named == (rng.random() < together)))
        rng.shuffle(rows)
        cases.append(rows)
    tried = []
    for rows in cases:
        table = pd.DataFrame(rows, columns=["layer", "strength", "named", "repeated"])
        value = expect_number(call(attempt, table), "the result")
        careless, fairer = overclaimed(rows)
        rates = table.groupby(["layer", "strength"])[["named", "repeated"]].mean()
        at_once = (rates["named"] * rates["repeated"]).max()
        by_layer = overclaimed([(layer, 0.0, *row) for layer, _, *row in rows])
        by_strength = overclaimed([(0, strength, *row) for _, strength, *row in rows])
        mistakes = {
            "the sign is the wrong way round: careless minus fairer": fairer - careless,
            "the careless number is the smaller of the two best rates": rates.max().max() - fairer,
            "for the fairer number a pair counts only if the same row is named AND repeated": careless
            - rates.min(axis=1).max(),
            "for the fairer number count rows that are both; the product of two rates is something else": careless
            - at_once,
            "the careless number is the smaller of the two best rates, not their product": rates.max().prod() - fairer,
            "the careless number takes each best rate from any cell, not both from one cell": rates.min(axis=1).max()
            - fairer,
            "a cell is a layer AND a strength; yours puts the strengths of a layer together": by_layer[0] - by_layer[1],
            "a cell is a layer AND a strength; yours puts the layers of a strength together": by_strength[0]
            - by_strength[1],
        }
        shown = f"careless {careless:.3f} minus fairer {fairer:.3f} is {careless - fairer:.3f}, yours gives {value:.3f}"
        tried.append((value, careless - fairer, mistakes, f"in a table of {len(rows)} pairs {shown}"))
    expect_all_near(tried)


@exercise("Grade strictly")
def check_right_by_line_only(attempt):
    """Repetitions whose kind is known: all that was read, the line alone, or neither; some in other letters, some in a frame."""
    lines = ("The boat lay low.", "A dog ran home.", "Our tea is cold.", "Two men sang.")
    forms = ("{line} There was {word}.", "{line} I saw {word}.", "{bare} {word}.", "{line}")
    tried = []
    for seed in range(6):
        rng, rows, kinds = random.Random(seed), [], []
        for line, form, kind in product(lines, forms, ("all", "line", "neither")):
            if rng.random() < 0.3:
                continue
            read = form.format(line=line, bare=line[:-1], word=rng.choice(("bread", "snow")))
            answer = {"all": read, "line": line, "neither": "Yes, I do."}[kind]
            answer = rng.choice((answer, answer.lower(), answer[:-1], f"It says: {answer}"))
            rows.append((answer, line, read))
            kinds.append("all" if kind == "line" and read == line else kind)
        table = pd.DataFrame(rows, columns=["answer", "line", "read"])
        share, count = expect_number(call(attempt, table), "the share"), len(rows)
        alone, whole = kinds.count("line"), kinds.count("all")
        letters = sum(line in answer and read not in answer for answer, line, read in rows)
        alike = sum(answer == line != read for answer, line, read in rows)
        mistakes = {
            "this is the share that repeats all of `read`; count those that hold `line` only": whole / count,
            "this is the share that repeats `line`; those that repeat all of `read` do not count": (alone + whole)
            / count,
            "an answer that holds not even `line` does not count": 1 - whole / count,
            "the sign is the wrong way round": -alone / count,
            "divide by the number of answers, not by those that hold `line`": alone / (alone + whole),
            "this is a number of answers; return their share": alone,
            "capitals and the last full stop must not matter: use `grade_repetition`": letters / count,
            'an answer may hold more than the line, such as "It says:"; use `grade_repetition`': alike / count,
        }
        message = f"{alone} of {count} answers hold the line only: {alone / count:.3f}; yours gives {share:.3f}"
        tried.append((share, alone / count, mistakes, message))
    expect_all_near(tried)
