"""Checks of the exercises of 05_tell_thoughts_from_text. The truth comes from counting by eye and from plain PyTorch hooks."""

from contextlib import ExitStack

import pandas as pd
import torch

from helpers import models
from helpers.exercises.exercise import exercise, expect, expect_tensor
from helpers.exercises.organism import largest_difference, organism, plain_streams, request, tokens

CLOSE = 1e-4  # as a share of the largest logit: what float32 leaves of two ways to compute one number


def hooked_logits(inputs: dict, changes: list) -> torch.Tensor:
    """Next-token logits, [vocabulary], by hooks. changes: (block, function that changes the stream in place) in order."""
    subject = organism()

    def hook(change):
        return lambda _block, _inputs, output: change(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as hooks, torch.no_grad():
        for block, change in changes:
            handle = subject.blocks._module[block].register_forward_hook(hook(change))
            hooks.callback(handle.remove)
        return subject._module(**inputs).logits[0, -1]


def adds(push: torch.Tensor, start: int, end: int | None):
    """A change that adds `push` on [start, end) and returns nothing, so that the block's output stays the same tensor."""

    def change(stream: torch.Tensor) -> None:
        stream[:, start:end] += push

    return change


def puts(clean: torch.Tensor, start: int, end: int | None):
    """A change that writes the clean stream back on [start, end)."""

    def change(stream: torch.Tensor) -> None:
        stream[:, start:end] = clean[:, start:end]

    return change


def big_push() -> torch.Tensor:
    """A fixed random vector, [width], large enough to change the logits at any layer."""
    width = models.width(organism())
    return 4 * torch.randn(width, generator=torch.Generator().manual_seed(5))


@exercise("Count the pairs")
def check_share_of_pairs(attempt):
    """Four words in mixed order, counted by eye: one of them has both answers right."""
    rows = [
        ("bread", "thought", True),
        ("tears", "repeat", True),
        ("oceans", "repeat", True),
        ("bread", "repeat", False),
        ("oceans", "thought", True),
        ("tears", "thought", False),
        ("dust", "thought", False),
        ("dust", "repeat", False),
    ]
    table = pd.DataFrame(rows, columns=["word", "question", "success"])
    share = float(attempt(table))
    expect(share != 0.5, "this is the mean of all answers; a word counts only if both of its answers are right")
    expect(share != 0.75, "you counted words with at least one right answer; both must be right")
    expect(share != 0.125, "you divided by the 8 answers; divide by the 4 words")
    expect(abs(share - 0.25) < 1e-9, f"1 of the 4 words has both right, so 0.25; yours gives {share:.3f}")
    alone = pd.DataFrame(
        [("a", "thought", True), ("b", "thought", True), ("a", "repeat", True), ("b", "repeat", False)],
        columns=["word", "question", "success"],
    )
    other = pd.concat([alone, alone.assign(word=alone["word"] + "2", success=~alone["success"])])
    share = float(attempt(other.reset_index(drop=True)))
    expect(abs(share - 0.25) < 1e-9, f"of the words a, b, a2, b2 only a has both right: 0.25; yours gives {share:.3f}")
    together = pd.DataFrame(
        [("x", "thought", True), ("x", "repeat", True), ("y", "thought", False), ("y", "repeat", False)],
        columns=["word", "question", "success"],
    )
    share = float(attempt(together))
    expect(
        abs(share - 0.5) < 1e-9, "one of two words has both right, so 0.5: multiplying two rates is not counting pairs"
    )


@exercise("A thought on a few tokens")
def check_push_on_span(attempt):
    """Two layers against hooks; the neighbours of the right answer are told apart; a zero vector changes nothing."""
    inputs, push = tokens(request("oceans")), big_push()
    start, end, blocks = 2, 5, models.number_of_blocks(organism())
    for layer in (1, 4):
        result = attempt(organism(), inputs, start, end, layer, push)
        truth = hooked_logits(inputs, [(layer, adds(push, start, end))])
        expect_tensor(result, tuple(truth.shape), "the logits of the next token")
        wrong = {
            "nothing has changed: the push does not reach the model (change the stream in place)": [],
            "you added the push on every token from `start` on; stop before `end`": [(layer, adds(push, start, None))],
            "you added the push on every token; only [start, end) gets it": [(layer, adds(push, 0, None))],
            "token `end` got the push too; the range [start, end) ends before it": [
                (layer, adds(push, start, end + 1))
            ],
            f"this is the stream before block {layer}; `.output` is the stream after it": [
                (layer - 1, adds(push, start, end))
            ],
        }
        for message, changes in wrong.items():
            expect(largest_difference(result, hooked_logits(inputs, changes)) > CLOSE, message)
        off = largest_difference(result, truth)
        expect(off < CLOSE, f"injected at layer {layer} the logits must be others (off by {off:.0%})")
    clean = hooked_logits(inputs, [])
    result = attempt(organism(), inputs, start, end, blocks - 1, push)
    expect(
        largest_difference(result, clean) < CLOSE,
        "after the last block nothing reads the line's tokens any more, so the logits must stay as they were",
    )


@exercise("What the same cell is worth")
def check_overclaim(attempt):
    """Three cells of four pairs: one names, one repeats, one does half of both. And one in which nothing is overclaimed."""
    named = [True] * 4 + [False] * 4 + [True, True, False, False]
    repeated = [False] * 4 + [True] * 4 + [True, False, True, False]
    pairs = pd.DataFrame(
        {"layer": [0] * 4 + [3] * 4 + [5] * 4, "strength": [8.0] * 4 + [1.0] * 4 + [1.0] * 4, "named": named}
    ).assign(repeated=repeated)
    value = float(attempt(pairs.copy()))
    expect(abs(value + 0.75) > 1e-9, "the sign is the wrong way round: careless minus honest")
    expect(value != 0.5, "for the honest number a pair counts only if the same row is named AND repeated")
    expect(
        abs(value - 0.75) < 1e-9,
        f"the best cells name and repeat 4 of 4, the best cell of pairs has 1 of 4: 0.75; yours gives {value:.3f}",
    )
    same = pairs.assign(named=True, repeated=True)
    expect(abs(float(attempt(same))) < 1e-9, "where every pair is right in every cell, nothing is overclaimed: 0")
    weak = pairs.assign(named=False)
    value = float(attempt(weak))
    expect(
        abs(value) < 1e-9,
        f"where nothing is ever named, the careless number is 0 too (the smaller of the two); yours gives {value:.3f}",
    )


@exercise("A softer score for the line")
def check_words_kept(attempt):
    """Lines and answers counted by eye: order, additions, losses, repeated words, case and punctuation."""
    line = "The old clock runs a little slow."
    cases = (
        ("The old clock runs a little slow.", line, 1.0, "the line itself"),
        ("the OLD clock runs a little slow", line, 1.0, "other case, no full stop"),
        ("The line says: The old clock runs a little slow.", line, 1.0, "words in front cost nothing"),
        ("The old ocean runs a little slow.", line, 6 / 7, "one word replaced"),
        ("slow little a runs clock old The", line, 1 / 7, "the right words in the wrong order"),
        ("runs a little slow, The old clock", line, 4 / 7, "the two halves swapped: the longer one counts"),
        ("", line, 0.0, "an empty answer"),
        ("bread bread bread", "the bread and the salt", 1 / 5, "a word said three times that stands there once"),
        ("the the", "the bread and the salt", 2 / 5, "a word that stands in the line twice"),
        ("a b x c", "a x b c", 3 / 4, "the longest order is not the first one found"),
    )
    for answer, wanted, truth, what in cases:
        value = float(attempt(answer, wanted))
        expect(
            abs(value - truth) < 1e-6,
            f"{what}: for the answer {answer!r} to the line {wanted!r} the share is {truth:.2f}, yours is {value:.2f}",
        )


@exercise("Has the thought moved on?")
def check_washed_logits(attempt):
    """Both ends (clean run, injected run) and two places in between against hooks."""
    inputs, push = tokens(request("oceans")), big_push()
    start, end, layer, last = 2, 5, 1, models.number_of_blocks(organism()) - 1
    streams = plain_streams(inputs)
    clean, injected = hooked_logits(inputs, []), hooked_logits(inputs, [(layer, adds(push, start, end))])
    result = attempt(organism(), inputs, start, end, layer, push, layer)
    expect_tensor(result, tuple(clean.shape), "the logits of the next token")
    expect(
        largest_difference(result, clean) < CLOSE,
        "with later = layer the push is gone before any block reads it: the logits must be those of the clean run",
    )
    result = attempt(organism(), inputs, start, end, layer, push, last)
    expect(
        largest_difference(result, clean) > CLOSE,
        "with `later` the last block you get the clean run; put the clean stream back on [start, end) only, the other "
        "tokens keep what they have",
    )
    expect(
        largest_difference(result, injected) < CLOSE,
        "with `later` the last block nothing reads the line any more: the logits must be those of the injected run",
    )
    for later in (layer + 1, layer + 3):
        result = attempt(organism(), inputs, start, end, layer, push, later)
        minus = [(layer, adds(push, start, end)), (later, adds(-push, start, end))]
        expect(
            largest_difference(result, hooked_logits(inputs, minus)) > CLOSE,
            "you took the push away again; what the blocks in between have made of it stays. Put the clean stream itself back",
        )
        changes = [(layer, adds(push, start, end)), (later, puts(streams[later + 1], start, end))]
        off = largest_difference(result, hooked_logits(inputs, changes))
        expect(off < CLOSE, f"washed after block {later} the logits must be others (off by {off:.0%})")
