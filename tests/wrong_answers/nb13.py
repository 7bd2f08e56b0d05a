"""Wrong answers to the exercises of 13_scale_to_giants, and what the check must say about each."""

import pickle

import nnsight
import torch

from helpers.models import residual


def standard_pickle(values):
    """Refuses functions without a name."""
    names = []
    for name, value in values.items():
        try:
            pickle.dumps(value)
        except Exception:
            names.append(name)
    return names


def by_type(values):
    """Looks at the outside only."""
    return [name for name, value in values.items() if type(value).__name__ in ("lock", "generator")]


def everything_travels(values):
    """Optimistic."""
    return []


def in_turn(blocks, block_gb, free_gb):
    """One block on each GPU in turn."""
    return [block % len(free_gb) for block in range(blocks)]


def rounded(blocks, block_gb, free_gb):
    """Rounds to the nearest number of blocks."""
    placed = []
    for gpu, free in enumerate(free_gb):
        placed += [gpu] * min(round(free / block_gb), blocks - len(placed))
    return placed


def no_error(blocks, block_gb, free_gb):
    """What does not fit goes to the last one."""
    placed = []
    for gpu, free in enumerate(free_gb):
        placed += [gpu] * min(int(free // block_gb), blocks - len(placed))
    return placed + [len(free_gb) - 1] * (blocks - len(placed))


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


def dot_products(subject, inputs, vectors, **place):
    """Long vectors win."""
    with torch.no_grad():
        with subject.trace(inputs, **place):
            found = []
            for layer, block in enumerate(subject.blocks):
                found.append((vectors[:, layer] @ residual(block)[0, -1]).argmax())
            result = torch.stack(found).save()
    return result


WRONG = [
    ("check_gigabytes_of", lambda billions, bits: billions * bits, "gigabits"),
    ("check_gigabytes_of", lambda billions, bits: billions * bits / 8 * 1e9 / 2**30, "gibibytes"),
    ("check_gigabytes_of", lambda billions, bits: billions * 2, "take 70 GB"),
    ("check_tokens_that_fit", lambda free, blocks, width, bits: int(free // (blocks * width * bits / 8)), "not both"),
    (
        "check_tokens_that_fit",
        lambda free, blocks, width, bits: int(free // (2 * blocks * width * bits)),
        "divide by 8",
    ),
    (
        "check_tokens_that_fit",
        lambda free, blocks, width, bits: round(free / (blocks * width * bits / 4)),
        "round down",
    ),
    ("check_stays_at_home", standard_pickle, "cloudpickle, not with pickle"),
    ("check_stays_at_home", by_type, "deep inside"),
    ("check_stays_at_home", everything_travels, "a lock cannot be packed"),
    ("check_place_blocks", in_turn, "one GPU after the other"),
    ("check_place_blocks", rounded, "whole blocks, rounded down"),
    ("check_place_blocks", no_error, "raise a ValueError"),
    ("check_nearest_by_layer", streams_come_back, "save the result alone"),
    ("check_nearest_by_layer", place_forgotten, "hand `place` on"),
    ("check_nearest_by_layer", dot_products, "take cosines"),
]
