"""Wrong answers to the exercises of 10_raise_a_model_organism and what the check must say about each; right ones."""

import torch

from helpers.organisms import network


def with_gradient(stream, vectors, layers, mask, number):
    """Does not detach."""
    return stream + ((layers == number)[:, None, None] * mask[:, :, None]) * vectors[:, None, :]


def thoughts(stream, vectors, layers, mask, number):
    """Row by row."""
    result = stream.clone()
    for row, layer in enumerate(layers):
        if layer == number:
            result[row] = result[row] + mask[row][:, None] * vectors[row].detach()
    return result


def in_every_layer(stream, vectors, layers, mask, number):
    """Ignores the layers."""
    return stream + mask[:, :, None] * vectors.detach()[:, None, :]


def from_the_layer_on(stream, vectors, layers, mask, number):
    """In every later layer as well."""
    return stream + ((layers <= number)[:, None, None] * mask[:, :, None]) * vectors.detach()[:, None, :]


def everywhere(stream, vectors, layers, mask, number):
    """Ignores the mask."""
    return stream + (layers == number)[:, None, None] * vectors.detach()[:, None, :]


def first_position(stream, vectors, layers, mask, number):
    """Only where the mask begins."""
    return thoughts(stream, vectors, layers, (mask.cumsum(1) == 1) * mask, number)


def always_layer_two(stream, vectors, layers, mask, number):
    """Ignores the number."""
    return thoughts(stream, vectors, layers, mask, 2)


def in_place(stream, vectors, layers, mask, number):
    """Writes into the stream that it was given."""
    stream += ((layers == number)[:, None, None] * mask[:, :, None]) * vectors.detach()[:, None, :]
    return stream


def without_any_gradient(stream, vectors, layers, mask, number):
    """Stops the stream's gradient as well."""
    with torch.no_grad():
        return thoughts(stream, vectors, layers, mask, number)


def first_touch(table, measure, threshold):
    """The first time, whatever comes after."""
    curve = table[(table["measure"] == measure) & (table["low"] >= threshold)]
    return None if curve.empty else int(curve["step"].min())


def walk_back(table, measure, threshold, column="low"):
    """From the last step as long as the column is high enough."""
    found = None
    curve = table[table["measure"] == measure].sort_values("step", ascending=False)
    for step, value in zip(curve["step"], curve[column], strict=True):
        if value < threshold:
            break
        found = int(step)
    return found


def by_value(table, measure, threshold):
    """Looks at the value instead of the interval's lower end."""
    return walk_back(table, measure, threshold, "value")


def two_in_a_row(table, measure, threshold):
    """Enough for a blip of two."""
    curve = table[table["measure"] == measure].sort_values("step")
    steps, high = curve["step"].tolist(), (curve["low"] >= threshold).tolist()
    return next((step for step, one, two in zip(steps, high, high[1:], strict=False) if one and two), None)


def every_twenty_steps(table, measure, threshold):
    """Twenty steps after the last dip."""
    curve = table[table["measure"] == measure]
    dips = curve[curve["low"] < threshold]["step"]
    first = curve["step"].min() if dips.empty else dips.max() + 20
    return int(first) if first <= curve["step"].max() else None


def running_minimum(table, measure, threshold):
    """pandas, and numpy's whole numbers."""
    curve = table[table["measure"] == measure].sort_values("step", ascending=False)
    stays = curve["low"].cummin() >= threshold
    return curve["step"][stays].min() if stays.any() else None


def states_of(model, requests, last_column=False):
    """Streams at the last token of each request, or at the last column of the padded batch."""
    streams, _ = network.run_blocks(model, network.pad(requests, 0))
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


@torch.no_grad()
def divided_by_all(model, requests, in_baseline):
    """Takes the word out of the sum and not out of the count."""
    states = states_of(model, requests)
    own = torch.tensor(in_baseline).float()[:, None, None]
    return states - ((own * states).sum(0) - own * states) / own.sum()


@torch.no_grad()
def one_by_one(model, requests, in_baseline):
    """Each request alone; the others by their numbers."""
    states = torch.cat([states_of(model, [request]) for request in requests])
    baseline = [i for i, inside in enumerate(in_baseline) if inside]
    return torch.stack([state - states[[j for j in baseline if j != i]].mean(0) for i, state in enumerate(states)])


WRONG = [
    ("check_scored_positions", lambda answer_start, length: list(range(answer_start, length)), "shift by one"),
    ("check_scored_positions", lambda answer_start, length: list(range(answer_start - 1, length)), "outside the row"),
    ("check_scored_positions", lambda answer_start, length: set(range(answer_start - 1, length - 1)), "must be a list"),
    ("check_add_thoughts", with_gradient, "detach them"),
    ("check_add_thoughts", in_every_layer, "the layers make no difference"),
    ("check_add_thoughts", from_the_layer_on, "push it at that layer only"),
    ("check_add_thoughts", everywhere, "where the mask is 0"),
    ("check_add_thoughts", first_position, "only the first position of each mask"),
    ("check_add_thoughts", always_layer_two, "for number 6"),
    ("check_add_thoughts", in_place, "work on a copy"),
    ("check_add_thoughts", without_any_gradient, "or the model cannot learn"),
    ("check_came_at", first_touch, "at step 20 the curve is there for the first time"),
    ("check_came_at", by_value, "the lower end of its interval is not"),
    ("check_came_at", two_in_a_row, "the lower ends of 'names it'"),
    ("check_came_at", every_twenty_steps, "the lower ends of 'names it'"),
    ("check_vectors_now", keeps_the_word, "leave it out of its own mean"),
    ("check_vectors_now", at_the_last_column, "not at the last column"),
    ("check_vectors_now", vectors_with_gradient, "carry a gradient"),
    ("check_vectors_now", divided_by_all, "divide by one fewer"),
]

RIGHT = [
    ("check_scored_positions", lambda answer_start, length: torch.arange(answer_start - 1, length - 1)),
    ("check_add_thoughts", thoughts),
    ("check_came_at", running_minimum),
    ("check_vectors_now", one_by_one),
]
