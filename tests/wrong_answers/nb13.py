"""Wrong answers to the exercises of 13_scale_to_giants and what the check must say about each; right ones that it must take."""

import pickle

import cloudpickle
import nnsight
import numpy as np
import torch

from helpers.models import residual


def tokens(free, numbers_per_token, bits):
    """Whole tokens in so many bytes."""
    return int(free // (numbers_per_token * bits / 8))


def not_packed(values, errors=Exception, dumps=cloudpickle.dumps):
    """Names of the values whose packing raises one of these errors."""
    names = []
    for name, value in values.items():
        try:
            dumps(value)
        except errors:
            names.append(name)
    return names


def by_type(values):
    """Looks at the outside only."""
    return [name for name, value in values.items() if type(value).__name__ in ("lock", "generator")]


def everything_travels(values):
    """Optimistic."""
    return []


def streams_come_back(subject, inputs, vectors, **place):
    """Right, but all streams travel."""
    with torch.no_grad():
        with subject.trace(inputs, **place):
            streams = nnsight.save([])
            for block in subject.blocks:
                streams.append(residual(block)[0, -1].clone())
    return torch.cosine_similarity(torch.stack(list(streams))[None], vectors, dim=-1).argmax(0)


def place_forgotten(subject, inputs, vectors, **place):
    """Always runs here."""
    return streams_come_back(subject, inputs, vectors)


def nearest(subject, inputs, vectors, choose=None, row=0, **place):
    """The nearest words, with another way to choose or another row."""
    choose = choose or (lambda stream, words: torch.cosine_similarity(stream[None], words, dim=-1).argmax())
    with torch.no_grad():
        with subject.trace(inputs, **place):
            found = []
            for layer, block in enumerate(subject.blocks):
                found.append(choose(residual(block)[row, -1], vectors[:, layer]))
            result = torch.stack(found).save()
    return result


def dot_products(subject, inputs, vectors, **place):
    """Long vectors win."""
    return nearest(subject, inputs, vectors, lambda stream, words: (words @ stream).argmax(), **place)


def near_on_either_side(subject, inputs, vectors, **place):
    """Absolute cosines."""

    def choose(stream, words):
        return torch.cosine_similarity(stream[None], words, dim=-1).abs().argmax()

    return nearest(subject, inputs, vectors, choose, **place)


def last_row(subject, inputs, vectors, **place):
    """The last row instead of the first."""
    return nearest(subject, inputs, vectors, row=-1, **place)


def mask_dropped(subject, inputs, vectors, **place):
    """Hands the token ids alone to the model."""
    return nearest(subject, inputs["input_ids"], vectors, **place)


def outer_list(subject, inputs, vectors, named=False, **place):
    """Collects in a list from outside of the block, which stays empty on NDIF."""
    found = []
    with torch.no_grad():
        with subject.trace(inputs, **place):
            for layer, block in enumerate(subject.blocks):
                near = torch.cosine_similarity(residual(block)[0, -1][None], vectors[:, layer], dim=-1).argmax().save()
                found.append(near)
                if not named:
                    del near
    return torch.stack(found)


def outer_list_of_names(subject, inputs, vectors, **place):
    """As `outer_list`, and each answer has a name in the block: the last one's value is sent back under it."""
    return outer_list(subject, inputs, vectors, named=True, **place)


def list_made_inside(subject, inputs, vectors, **place):
    """Saves the list itself, which is made in the block."""
    with torch.no_grad():
        with subject.trace(inputs, **place):
            found = nnsight.save([])
            for layer, block in enumerate(subject.blocks):
                found.append(torch.cosine_similarity(residual(block)[0, -1][None], vectors[:, layer], dim=-1).argmax())
    return torch.stack(list(found))


def nearest_of_unit_vectors(subject, inputs, vectors, **place):
    """Normalises before the trace, and returns another kind of whole number."""
    units = torch.nn.functional.normalize(vectors, dim=-1)
    return nearest(subject, inputs, units, lambda stream, words: (words @ stream).argmax().int(), **place)


WRONG = [
    ("check_tokens_that_fit", lambda free, blocks, width, bits: tokens(free, blocks * width, bits), "a factor of two"),
    ("check_tokens_that_fit", lambda free, blocks, width, bits: tokens(free, 16 * blocks * width, bits), "divide by 8"),
    (
        "check_tokens_that_fit",
        lambda free, blocks, width, bits: round(free / (blocks * width * bits / 4)),
        "round down",
    ),
    ("check_tokens_that_fit", lambda free, blocks, width, bits: tokens(free, 2 * blocks * width, 32), "16 bits"),
    ("check_tokens_that_fit", lambda free, blocks, width, bits: tokens(free, 2 * 8 * 128, bits), "126 blocks"),
    ("check_stays_at_home", lambda values: not_packed(values, dumps=pickle.dumps), "cloudpickle, not with pickle"),
    ("check_stays_at_home", by_type, "deep inside"),
    ("check_stays_at_home", everything_travels, "a lock cannot be packed"),
    ("check_stays_at_home", lambda values: not_packed(values, TypeError), "catch Exception"),
    ("check_nearest_by_layer", streams_come_back, "save the result alone"),
    ("check_nearest_by_layer", place_forgotten, "hand `place` on"),
    ("check_nearest_by_layer", outer_list, "0 of 8 answers are saved under a name"),
    ("check_nearest_by_layer", outer_list_of_names, "1 of 8 answers"),
    ("check_nearest_by_layer", dot_products, "take cosines"),
    ("check_nearest_by_layer", near_on_either_side, "do not take absolute values"),
    ("check_nearest_by_layer", last_row, "this is the last row"),
    ("check_nearest_by_layer", mask_dropped, "without the attention mask"),
]

RIGHT = [
    ("check_tokens_that_fit", lambda free, blocks, width, bits: np.int64(free * 8) // (2 * blocks * width * bits)),
    ("check_stays_at_home", lambda values: tuple(not_packed(values))),
    ("check_nearest_by_layer", nearest_of_unit_vectors),
    ("check_nearest_by_layer", list_made_inside),
]
