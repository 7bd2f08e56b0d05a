"""Memory and minutes, guessed before anything is loaded: what is no size, dtype, device or count is refused in words."""

import pytest

from helpers import resources

SIZE = 7e9


def test_a_larger_sweep_takes_longer_and_a_smaller_dtype_less_room():
    assert resources.minutes(SIZE, 200) == pytest.approx(2 * resources.minutes(SIZE, 100))
    assert resources.memory(SIZE, "4bit") < resources.memory(SIZE) < resources.memory(SIZE, "float32")
    assert list(resources.table(100, sizes={"mine": SIZE})["model"]) == ["mine"]


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
