"""Wrong answers to the exercises of 10_raise_a_model_organism, and what the check must say about each."""

import math

import torch

from helpers.organisms import batches, network


def forgets_the_logarithm(rng):
    """Exponential of the range itself."""
    return math.exp(rng.uniform(0.7, 5.0))


def with_gradient(stream, vectors, layers, mask, number):
    """Does not detach."""
    return stream + ((layers == number)[:, None, None] * mask[:, :, None]) * vectors[:, None, :]


def in_every_layer(stream, vectors, layers, mask, number):
    """Ignores the layers."""
    return stream + mask[:, :, None] * vectors.detach()[:, None, :]


def everywhere(stream, vectors, layers, mask, number):
    """Ignores the mask."""
    return stream + (layers == number)[:, None, None] * vectors.detach()[:, None, :]


def in_place(stream, vectors, layers, mask, number):
    """Writes into the stream that it was given."""
    stream += ((layers == number)[:, None, None] * mask[:, :, None]) * vectors.detach()[:, None, :]
    return stream


def first_touch(table, measure, threshold):
    """The first time, whatever comes after."""
    curve = table[(table["measure"] == measure) & (table["low"] >= threshold)]
    return None if curve.empty else int(curve["step"].min())


def by_value(table, measure, threshold):
    """Looks at the value instead of the interval's lower end."""
    found = None
    curve = table[table["measure"] == measure].sort_values("step", ascending=False)
    for step, value in zip(curve["step"], curve["value"], strict=True):
        if value < threshold:
            break
        found = int(step)
    return found


def states_of(model, requests, last_column=False):
    """Streams at the last token of each request, or at the last column of the padded batch."""
    streams, _ = network.run_blocks(model, batches.pad(requests, 0))
    last = torch.tensor([len(request) - 1 for request in requests])
    if last_column:
        last = torch.full_like(last, max(map(len, requests)) - 1)
    return torch.stack([stream[torch.arange(len(requests)), last] for stream in streams], dim=1)


@torch.no_grad()
def keeps_the_word(model, requests, in_baseline):
    """The word stands in its own mean."""
    states = states_of(model, requests)
    return states - states[torch.tensor(in_baseline)].mean(0)


@torch.no_grad()
def at_the_last_column(model, requests, in_baseline):
    """Reads padding."""
    states = states_of(model, requests, last_column=True)
    return states - states[torch.tensor(in_baseline)].mean(0)


def vectors_with_gradient(model, requests, in_baseline):
    """Forgets no_grad."""
    states = states_of(model, requests)
    return states - states[torch.tensor(in_baseline)].mean(0)


WRONG = [
    ("check_draw_strength", lambda rng: rng.uniform(0.7, 5.0), "Is it the logarithm that is uniform?"),
    ("check_draw_strength", forgets_the_logarithm, "between 0.7 and 5"),
    ("check_scored_positions", lambda answer_start, length: list(range(answer_start, length)), "shift by one"),
    ("check_scored_positions", lambda answer_start, length: list(range(answer_start - 1, length)), "outside the row"),
    ("check_add_thoughts", with_gradient, "detach them"),
    ("check_add_thoughts", in_every_layer, "row 2 is injected at layer 6"),
    ("check_add_thoughts", everywhere, "where the mask is 0"),
    ("check_add_thoughts", in_place, "in place"),
    ("check_came_at", first_touch, "dips below at step 40"),
    ("check_came_at", by_value, "lower end of its interval"),
    ("check_vectors_now", keeps_the_word, "leave it out of its own mean"),
    ("check_vectors_now", at_the_last_column, "not at the last column"),
    ("check_vectors_now", vectors_with_gradient, "carry a gradient"),
]
