"""Wrong answers to the exercises of 06_recognise_your_own_words and what the check must say about each; right ones that it must take."""

import re

import numpy as np
import torch

from helpers.models import residual


def drop(rates):
    """The smallest control minus matched."""
    return min(rates["none"], rates["other"], rates["after"]) - rates["matched"]


def against(*controls):
    """A drop that knows only these controls."""
    return lambda rates: min(rates[name] for name in controls) - rates["matched"]


ACCIDENT = ("accident", "mistake", "sorry", "did not mean", "didn't mean")
INTENDED = ("meant to", "i meant", "intended", "on purpose")


def grade(reply, accident=ACCIDENT, intended=INTENDED, denials=("not an accident", "no accident")):
    """The grader with parts to exchange."""
    text = reply.lower()
    for denial in denials:
        text = text.replace(denial, "on purpose")
    places = {
        kind: min((text.find(phrase) for phrase in phrases if phrase in text), default=None)
        for kind, phrases in (("accident", accident), ("intended", intended))
    }
    found = {kind: place for kind, place in places.items() if place is not None}
    return min(found, key=found.get) if found else "unclear"


def without(phrase):
    """A grader that does not know this phrase."""
    lists = [tuple(each for each in phrases if each != phrase) for phrases in (ACCIDENT, INTENDED)]
    return lambda reply: grade(reply, *lists)


def any_accident(reply):
    """Finds the word accident anywhere, denied or not."""
    return grade(reply, denials=())


def accident_wins(reply):
    """Does not ask what stands first."""
    text = reply.lower().replace("not an accident", "on purpose").replace("no accident", "on purpose")
    return "accident" if any(phrase in text for phrase in ACCIDENT) else grade(reply)


def yes_is_intended(reply):
    """Takes a bare yes for an intention."""
    return "intended" if reply.lower().startswith("yes") else grade(reply)


def any_meant(reply):
    """Takes every "meant" for an intention."""
    return grade(reply, intended=("meant", "intended", "on purpose"))


def by_pattern(reply):
    """One regular expression, whose first match decides."""
    pattern = r"(not an accident|no accident|meant to|i meant|intended|on purpose)|accident|mistake|sorry|did(?: not|n't) mean"
    match = re.search(pattern, reply, re.IGNORECASE)
    return "unclear" if not match else "intended" if match[1] else "accident"


def scan(subject, inputs, layer, push, change):
    """Logits of the last token, [row, vocabulary], with `change` applied to the stream after block `layer`."""
    length = inputs["input_ids"].shape[1]
    batch = {name: tensor.repeat(length, 1) for name, tensor in inputs.items()}
    with torch.no_grad(), subject.trace(batch):
        stream = residual(subject.blocks[layer])
        change(stream, torch.arange(length))
        logits = subject.output.logits[:, -1].save()
    return logits


def every_token_pushed(subject, inputs, layer, push, yes, sorry):
    """stream[:, rows] pushes all tokens in all rows."""

    def change(stream, rows):
        stream[:, rows] += push

    logits = scan(subject, inputs, layer, push, change)
    return logits[:, yes] - logits[:, sorry]


def diagonal_pushed(subject, inputs, layer, push, yes, sorry):
    """The right batch."""

    def change(stream, rows):
        stream[rows, rows] += push

    logits = scan(subject, inputs, layer, push, change)
    return logits[:, yes] - logits[:, sorry]


def pushed_a_copy(subject, inputs, layer, push, yes, sorry):
    """Changes a tensor that the model never sees."""

    def change(stream, rows):
        stream = stream.clone()
        stream[rows, rows] += push

    logits = scan(subject, inputs, layer, push, change)
    return logits[:, yes] - logits[:, sorry]


def pushed_up_to(subject, inputs, layer, push, yes, sorry):
    """Row i has the push on all tokens up to i."""

    def change(stream, rows):
        for row in rows:
            stream[row, : row + 1] += push

    logits = scan(subject, inputs, layer, push, change)
    return logits[:, yes] - logits[:, sorry]


def ids_alone(subject, inputs, layer, push, yes, sorry):
    """Drops the attention mask."""
    return diagonal_pushed(subject, {"input_ids": inputs["input_ids"]}, layer, push, yes, sorry)


def run_by_run(subject, inputs, layer, push, yes, sorry):
    """A trace for each token, and probabilities' logarithms, whose differences are the same."""
    margins = []
    for token in range(inputs["input_ids"].shape[1]):
        with torch.no_grad(), subject.trace(inputs):
            residual(subject.blocks[layer])[0, token] += push
            logits = subject.output.logits[0, -1].log_softmax(-1).save()
        margins.append(logits[yes] - logits[sorry])
    return torch.stack(margins)


WRONG = [
    ("check_drop_in_apologies", against("none"), "you compared with `none`"),
    ("check_drop_in_apologies", lambda rates: -drop(rates), "wrong way round"),
    ("check_drop_in_apologies", against("other"), "you compared with `other`"),
    ("check_drop_in_apologies", against("after"), "you compared with `after`"),
    ("check_drop_in_apologies", against("none", "other"), "too late, the vector must not have the effect"),
    ("check_drop_in_apologies", against("none", "after"), "another word's vector must not"),
    ("check_drop_in_apologies", lambda rates: max(drop(rates), 0), "do not cut it off"),
    ("check_intention", any_accident, "not an accident"),
    ("check_intention", accident_wins, "is 'intended', yours says 'accident'"),
    ("check_intention", yes_is_intended, "'Yes.' is 'unclear'"),
    ("check_intention", any_meant, "Do you mean that?"),
    ("check_intention", without("did not mean"), "did not mean it was"),
    ("check_intention", without("meant to"), "meant to it was"),
    ("check_intention", without("intended"), "intended it was"),
    ("check_margin_scan", every_token_pushed, "push token i in row i only"),
    ("check_margin_scan", lambda *arguments: -diagonal_pushed(*arguments), "`yes` minus `sorry`"),
    ("check_margin_scan", pushed_a_copy, "change the stream in place"),
    ("check_margin_scan", pushed_up_to, "on all tokens up to i"),
    ("check_margin_scan", ids_alone, "without the attention mask"),
]

RIGHT = [
    (
        "check_drop_in_apologies",
        lambda rates: np.min([rates["other"], rates["after"], rates["none"]]) - rates["matched"],
    ),
    ("check_intention", by_pattern),
    ("check_margin_scan", run_by_run),
]
