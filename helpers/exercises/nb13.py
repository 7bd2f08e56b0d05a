"""Checks of the exercises of 13_scale_to_giants: counted bytes, properties of a placement, and a scale for what a trace saves."""

import threading

import torch
from nnsight.tracing import tracer as tracing
from nnsight.tracing.backend import Backend

from helpers.exercises.exercise import exercise, expect, expect_tensor
from helpers.exercises.organism import organism, plain_streams, request, tokens


@exercise("Gigabytes")
def check_gigabytes_of(attempt):
    """Round cases."""
    for billions, bits, truth in ((70, 8, 70.0), (70, 16, 140.0), (8, 32, 32.0), (405, 4, 202.5)):
        value = float(attempt(billions, bits))
        expect(value != billions * bits, "these are gigabits; a byte has eight bits")
        expect(
            bits == 8 or value != billions * 8 / bits,
            "more bits must take more memory; multiply by the bits, divide by 8",
        )
        expect(
            abs(value - truth * 1e9 / 2**30) > 1e-6 * truth,
            "these are gibibytes (2³⁰ bytes); a gigabyte has 10⁹ bytes",
        )
        expect(
            abs(value - truth) < 1e-9 * truth,
            f"{billions} billion weights at {bits} bits take {truth:g} GB, yours gives {value:g}",
        )


@exercise("How many tokens fit?")
def check_tokens_that_fit(attempt):
    """Against the cache of the shipped model, whose bytes are counted."""
    subject, inputs = organism(), tokens(request("oceans"))
    with torch.no_grad():
        cache = subject._module(**inputs, use_cache=True).past_key_values
    counted = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    length, blocks, at_once = inputs["input_ids"].numel(), len(cache.layers), cache.layers[0].keys
    key_value_width = at_once.shape[1] * at_once.shape[3]
    value = attempt(counted, blocks, key_value_width, 32)
    expect(value != 2 * length, "you counted keys or values, not both: a factor of two is missing")
    expect(value != length // 8, "the bits must become bytes: divide by 8")
    expect(
        value == length,
        f"in {counted:,} bytes the cache of exactly {length} tokens was counted; yours says {value}",
    )
    less = attempt(counted - 1, blocks, key_value_width, 32)
    expect(less == length - 1, f"with one byte less, {length} tokens no longer fit: round down; yours says {less}")
    expect(isinstance(value, int), f"return a whole number (int), yours is {type(value).__name__}")


@exercise("What stays at home?")
def check_stays_at_home(attempt):
    """A lock, one hidden deep inside, a generator; and what travels: tensors, functions without a name, text."""
    scale = 3
    values = {
        "vector": torch.ones(3),
        "lock": threading.Lock(),
        "scaled": lambda number: number * scale,
        "name": "oceans",
        "settings": {"deep": [{"inside": threading.Lock()}]},
        "numbers": (number for number in range(3)),
        "nothing": None,
    }
    result = attempt(dict(values))
    expect(isinstance(result, list), f"return a list of names, yours is {type(result).__name__}")
    expect("scaled" not in result, "a function without a name travels as code: pack with cloudpickle, not with pickle")
    expect("lock" in result, "a lock cannot be packed, yours lets it pass")
    expect("settings" in result, "'settings' holds a lock deep inside: try to pack the whole value")
    expect("numbers" in result, "a generator cannot be packed: its state belongs to this process")
    expect(
        result == ["lock", "settings", "numbers"], f"these three stay at home: lock, settings, numbers; yours: {result}"
    )
    expect(attempt({}) == [], "of no values none stays at home: an empty list")


@exercise("Fill the GPUs")
def check_place_blocks(attempt):
    """Order, fullness, whole blocks, equality with cases placed by hand, and the error."""
    result = attempt(5, 2.0, [5.0, 3.9, 100.0])
    expect(isinstance(result, list) and len(result) == 5, f"five blocks need a list of five GPUs, yours is {result!r}")
    expect(
        result == sorted(result),
        f"neighbouring blocks belong together: fill one GPU after the other, yours jumps: {result}",
    )
    held = [result.count(gpu) * 2.0 for gpu in range(3)]
    expect(
        held[0] <= 5.0 and held[1] <= 3.9,
        f"GPU 0 has 5 GB free and GPU 1 has 3.9, you put {held[0]:g} and {held[1]:g} there: whole blocks, rounded down",
    )
    expect(
        result == [0, 0, 1, 2, 2],
        f"each GPU takes as many as fit before the next is used: [0, 0, 1, 2, 2], yours {result}",
    )
    expect(attempt(2, 1.0, [10.0, 10.0]) == [0, 0], "two blocks that fit on the first GPU stay there; none is invented")
    expect(attempt(3, 2.0, [1.0, 6.0]) == [1, 1, 1], "a GPU too small for one block is passed over")
    try:
        placed = attempt(4, 2.0, [4.0, 2.0])
    except ValueError as error:
        expect("1" in str(error), f"say how many blocks are left over (here 1); yours says {str(error)!r}")
    else:
        expect(False, f"four blocks do not fit here: raise a ValueError; yours returned {placed}")


class Scale(Backend):
    """Runs a block in place and weighs what it saves."""

    def __init__(self):
        self.bytes, self.runs = 0, 0

    def __call__(self, tracer) -> None:
        tracer.execute(tracer.info.code)
        saved = [value for value in tracer.info.frame.f_locals.values() if id(value) in tracing._saves()]
        self.runs += 1
        for value in saved:
            parts = value if isinstance(value, list | tuple) else [value]
            self.bytes += sum(part.nbytes for part in parts if isinstance(part, torch.Tensor))


@exercise("Only the answer comes back")
def check_nearest_by_layer(attempt):
    """Against hooks; here and packed; and what was saved is weighed."""
    subject, inputs = organism(), tokens(request("silver"))
    streams = torch.stack([each[0, -1] for each in plain_streams(inputs)[1:]])  # [layer, width]
    noise = torch.randn(20, *streams.shape, generator=torch.Generator().manual_seed(2))
    order = torch.arange(20).roll(3)[: len(streams)]  # another word is the nearest one in each layer
    noise[order, torch.arange(len(streams))] += 0.5 * streams / streams.norm(dim=-1, keepdim=True) * 20
    long = noise * torch.linspace(0.1, 10, 20)[:, None, None]
    truth = torch.cosine_similarity(streams[None], long, dim=-1).argmax(0)
    scale = Scale()
    for place in ({}, {"remote": "local"}, {"backend": scale}):
        result = attempt(subject, dict(inputs), long.clone(), **place)
        expect_tensor(result, (len(streams),), "the nearest words, one for each layer")
        by_dot = (streams[None] * long).sum(-1).argmax(0)
        expect(not torch.equal(result, by_dot), "these are the largest dot products: a long vector wins; take cosines")
        expect(
            torch.equal(result.long(), truth),
            f"the nearest words by layer are {truth.tolist()}, yours are {result.tolist()}",
        )
    expect(scale.runs > 0, "hand `place` on to the trace: subject.trace(inputs, **place)")
    expect(
        scale.bytes <= 8 * len(streams),
        f"your block saves {scale.bytes:,} bytes; the answer is {8 * len(streams)}: save the result alone",
    )
