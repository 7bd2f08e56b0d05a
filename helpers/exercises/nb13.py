"""Checks of the exercises of 13_scale_to_giants: counted bytes, what can be packed, and a scale for what a trace saves."""

import threading

import torch
from nnsight.tracing import tracer as tracing
from nnsight.tracing.backend import Backend

from helpers.exercises.exercise import (
    Wrong,
    call,
    exercise,
    expect,
    expect_list,
    expect_tensor,
    expect_whole_number,
)
from helpers.exercises.organism import (
    MASK_DROPPED,
    call_on_organism,
    organism,
    plain_streams,
    request,
    tokens,
    without_mask,
)


@exercise("How many tokens fit?")
def check_tokens_that_fit(attempt):
    """Against the cache of the shipped model, whose bytes are counted, and against its sizes in other formats."""
    subject, inputs = organism(), tokens(request("oceans"))
    with torch.no_grad():
        cache = subject._module(**inputs, use_cache=True).past_key_values
    counted = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    length, blocks, keys = inputs["input_ids"].numel(), len(cache.layers), cache.layers[0].keys
    width = keys.shape[1] * keys.shape[3]
    cases = (  # the same cache with fewer bits, and one of a giant: 4 bytes per number, 2 x 126 x 1,024 numbers per token
        (counted, blocks, width, 32, length),
        (counted, blocks, width, 16, 2 * length),
        (counted, blocks, width, 4, 8 * length),
        (counted - 1, blocks, width, 32, length - 1),
        (516_096 * 19_000 + 516_095, 126, 1024, 16, 19_000),
        (1000.0, blocks, width, 32, 0),
    )
    for free, blocks, width, bits, truth in cases:
        value = expect_whole_number(call(attempt, free, blocks, width, bits), "the number of tokens")
        said = f"for {free:,} bytes, {blocks} blocks, a width of {width} and {bits} bits yours says {value:,}"
        wrong = value != truth
        expect(
            not wrong or value not in (2 * truth, 2 * truth + 1),
            f"{said}: keys and values are stored, a factor of two is missing",
        )
        expect(not wrong or value != truth // 8, f"{said}: the bits must become bytes, divide by 8")
        expect(not wrong or value != truth + 1, f"{said}: with one token more the memory is full, round down")
        expect(not wrong, f"{said}; it is {truth:,}")


class Stubborn:
    """A value that stops whoever packs it, with an unusual error."""

    def __reduce__(self):
        raise RuntimeError("this value does not want to be packed")


@exercise("What stays at home?")
def check_stays_at_home(attempt):
    """A lock, one hidden deep inside, a generator, odd errors; and what travels: tensors, functions without a name, text."""
    scale = 3
    values = {
        "vector": torch.ones(3),
        "lock": threading.Lock(),
        "scaled": lambda number: number * scale,
        "name": "oceans",
        "settings": {"deep": [{"inside": threading.Lock()}]},
        "numbers": (number for number in range(3)),
        "nothing": None,
        "a stubborn value": Stubborn(),
        "empty": [],
    }
    try:
        result = expect_list(call(attempt, values), "the names")
    except NotImplementedError:
        raise
    except (RuntimeError, TypeError) as error:
        raise Wrong(
            f"packing may raise any error: catch Exception; in yours a {type(error).__name__} gets out"
        ) from None
    expect("scaled" not in result, "a function without a name travels as code: pack with cloudpickle, not with pickle")
    expect("lock" in result, "a lock cannot be packed, yours lets it pass")
    expect("settings" in result, "'settings' holds a lock deep inside: try to pack the whole value")
    expect("numbers" in result, "a generator cannot be packed: its state belongs to this process")
    truth = ["lock", "settings", "numbers", "a stubborn value"]
    expect(result == truth, f"these stay at home, in the order of the dictionary: {truth}; yours: {result}")
    expect(expect_list(call(attempt, {}), "the names") == [], "of no values none stays at home: an empty list")


class Scale(Backend):
    """Runs a trace body in place and weighs what it saves under a name of its own; numbers: how many numbers that is."""

    def __init__(self):
        self.bytes, self.numbers, self.runs = 0, 0, 0

    def __call__(self, tracer) -> None:
        tracer.execute(tracer.info.code)
        saved = [value for value in tracer.info.frame.f_locals.values() if id(value) in tracing._saves()]
        self.runs += 1
        for value in saved:
            for part in value if isinstance(value, list | tuple) else [value]:
                if isinstance(part, torch.Tensor):
                    self.bytes, self.numbers = self.bytes + part.nbytes, self.numbers + part.numel()


@exercise("Only the answer comes back")
def check_nearest_by_layer(attempt):
    """Against hooks; here and packed; and what was saved is weighed. The first of two padded rows."""
    inputs = tokens(request("silver"), request("an old spoon"), padding=2)
    streams = torch.stack(plain_streams(inputs)[1:])  # [layer, row, position, width]
    unmasked = torch.stack(plain_streams(without_mask(inputs))[1:])
    ours, layers = streams[:, 0, -1], torch.arange(len(streams))
    unit = torch.nn.functional.normalize(ours, dim=-1)
    words = torch.randn(20, *ours.shape, generator=torch.Generator().manual_seed(2))
    order = torch.arange(20).roll(3)[: len(layers)]  # another word is the nearest one in each layer
    words[order, layers] += 10 * unit
    # another one points the opposite way, in every second layer more than the nearest one points this way
    words[order.roll(1), layers] -= torch.where(layers % 2 == 0, 40, 5)[:, None] * unit
    apart = torch.nn.functional.normalize(streams[:, 1, -1], dim=-1) - unit
    words[order.roll(2), layers] += 20 * apart  # nearest for the other row
    without = torch.nn.functional.normalize(unmasked[:, 0, -1], dim=-1)
    words[order.roll(3), layers] += 40 * (
        without - (without * unit).sum(-1, keepdim=True) * unit
    )  # nearest without the mask
    words *= torch.linspace(0.1, 10, 20)[:, None, None]

    def nearest(streams: torch.Tensor) -> list[int]:
        return torch.cosine_similarity(streams[None], words, dim=-1).argmax(0).tolist()

    truth = nearest(ours)
    cosines = torch.cosine_similarity(ours[None], words, dim=-1)  # [word, layer]
    mistakes = {
        "these are the largest dot products: a long vector wins; take cosines": (ours[None] * words)
        .sum(-1)
        .argmax(0)
        .tolist(),
        "a word in the opposite direction is not near: do not take absolute values": cosines.abs().argmax(0).tolist(),
        "these are the words with the lowest cosine; take the highest": cosines.argmin(0).tolist(),
        "this is the last row; take the first": nearest(streams[:, 1, -1]),
        "this is the first position; take the last one": nearest(streams[:, 0, 0]),
        "these are the streams before each block; take the ones after it": nearest(
            torch.stack(plain_streams(inputs)[:-1])[:, 0, -1]
        ),
        MASK_DROPPED: nearest(unmasked[:, 0, -1]),
    }
    scale = Scale()
    for place in ({}, {"remote": "local"}, {"backend": scale}):
        result = call_on_organism(attempt, inputs, words, **place)
        result = expect_tensor(result, (len(layers),), "the nearest words (one for each layer)").tolist()
        for mistake, values in mistakes.items():
            expect(result == truth or result != values, mistake)
        expect(result == truth, f"the nearest words by layer are {truth}, yours are {result}")
    expect(scale.runs > 0, "hand `place` on to the trace: subject.trace(inputs, **place)")
    expect(
        scale.numbers >= len(layers),
        f"{scale.numbers} of {len(layers)} answers are saved under a name in the trace body: a list from outside stays empty on NDIF",
    )
    expect(
        scale.bytes <= 8 * len(layers),
        f"your trace body saves {scale.bytes:,} bytes; the answer is {8 * len(layers)}: save the result alone",
    )
