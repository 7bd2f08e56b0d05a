"""Memory and minutes, guessed before anything is loaded: what is no size, dtype, device or count is refused in words."""

import pytest

from helpers import resources

SIZE = 7e9


def test_a_larger_sweep_takes_longer_and_a_smaller_dtype_less_room():
    assert resources.minutes(SIZE, 200) == pytest.approx(2 * resources.minutes(SIZE, 100))
    assert resources.memory(SIZE, "4bit") < resources.memory(SIZE) < resources.memory(SIZE, "float32")
    assert list(resources.table(100, sizes={"mine": SIZE})["model"]) == ["mine"]


@pytest.mark.parametrize(("dtype", "gib"), [("bfloat16", 14.96), ("8bit", 8.46), ("4bit", 5.65)])
def test_the_weights_of_an_8b_model_are_what_was_measured(dtype, gib):
    """Llama-3.1-8B, measured by nnsight's authors (docs/models/quantization.md)."""
    assert resources.weights(8.03e9, dtype) == pytest.approx(gib * 2**30 / 1e9, rel=0.01)


def test_fewer_bits_never_take_more_than_16():
    for size in (1e3, 1e6, 1e9, 1e12):
        assert 0.5 * size / 1e9 < resources.weights(size, "4bit") <= resources.weights(size, "8bit")
        assert resources.weights(size, "8bit") <= resources.weights(size)


def test_a_batch_of_a_large_gpu_is_within_a_factor_of_three_of_what_was_measured():
    """On the H100, per trial of 60 + 100 tokens; the table, with 32 rows, is far above it (tests/bench/RESULTS.md)."""
    for rows, measured in {64: 18.4, 256: 7.2, 512: 5.3}.items():
        took = 60_000 / rows * resources.minutes(7.6e9, rows, device="H100 80 GB", written=100, batch_size=rows)
        assert measured < took < 3 * measured


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf"), "7B", None, True, [SIZE]])
def test_a_size_that_is_none_is_refused(size):
    for call in (
        resources.memory,
        lambda each: resources.minutes(each, 10),
        lambda each: resources.table(10, 5, {"a": each}),
    ):
        with pytest.raises(ValueError, match="the number of parameters must be"):
            call(size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": -5}, "trials must be a whole number from 0"),
        ({"trials": 1.5}, "trials must be a whole number"),
        ({"trials": "5"}, "trials must be a whole number"),
        ({"trials": None}, "trials must be a whole number"),
        ({"dtype": "int8"}, "unknown dtype 'int8'; allowed are float32"),
        ({"dtype": None}, "unknown dtype None"),
        ({"device": "T5"}, "unknown device 'T5'; allowed are"),
        ({"read": -1}, "must be at least 0, got -1 and 60"),
        ({"written": float("nan")}, "written must be a finite number"),
        ({"written": "many"}, "written must be a finite number"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
    ],
)
def test_a_sweep_that_is_none_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        resources.minutes(SIZE, **{"trials": 10} | options)
