"""How an exercise is checked. A notebook's check is a function with `@exercise("Title")` that calls `call` and `expect`.

@exercise("Scale a vector")
def check_scaled(attempt):
    result = expect_tensor(call(attempt, torch.ones(4), 3.0), (4,), "the scaled vector")
    expect(result.norm() == 6, f"strength 3 on a vector of norm 2 must give norm 6, yours has {result.norm():.2f}")

Random inputs come from fixed seeds: the same attempt always gets the same verdict. The functions expect_... take every natural
kind of a value (Python, numpy, torch, pandas) and return the plain one.
"""

import math
import numbers
import random
import sysconfig
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

HELPERS = str(Path(__file__).resolve().parents[1])
NOT_THE_STUDENTS = ("site-packages", "dist-packages", "<frozen", sysconfig.get_path("stdlib"), HELPERS)


class Wrong(Exception):
    """What is wrong with an attempt, said to the student."""


def expect(condition: bool, message: str) -> None:
    """Raise Wrong(message) unless the condition holds."""
    if not condition:
        raise Wrong(message)


def call(attempt: Callable, *arguments, **named):
    """What the attempt returns for copies of these arguments; Wrong where it changes one of them."""
    given = [copied(each) for each in arguments]
    result = attempt(*given, **named)
    for place, (before, after) in enumerate(zip(arguments, given, strict=True), 1):
        expect(
            equal(before, after),
            f"your function changes argument number {place}, which belongs to its caller: work on a copy of it",
        )
    return result


def copied(value):
    """A copy of a tensor, a table, an array or a container of them; any other value itself."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, pd.DataFrame | pd.Series | np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    return type(value)(copied(each) for each in value) if type(value) in (list, tuple) else value


def equal(first, second) -> bool:
    """Whether two values of the kinds that `copied` copies are the same; any other kind counts as the same."""
    if type(first) is not type(second):
        return False
    if isinstance(first, torch.Tensor):
        return first.shape == second.shape and torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)
    if isinstance(first, pd.DataFrame | pd.Series):
        return first.equals(second)
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and equal(first.tolist(), second.tolist())
    if isinstance(first, dict):
        return list(first) == list(second) and equal([*first.values()], [*second.values()])
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(equal(*pair) for pair in zip(first, second, strict=True))
    return not isinstance(first, str | numbers.Number) or first == second or first != first  # NaN is unequal to itself


def expect_error(expected: type[Exception], message: str, attempt: Callable, *arguments) -> None:
    """Raise Wrong unless the attempt raises this kind of error for these arguments."""
    try:
        result = call(attempt, *arguments)
    except (Wrong, NotImplementedError):
        raise
    except expected:
        return
    except Exception as error:
        raise Wrong(f"{message}; yours raises {type(error).__name__}") from None
    raise Wrong(f"{message}; yours returns {result}")


def kind(value) -> str:
    """What the student returned, in words."""
    if value is None:
        return "None: is a `return` missing?"
    if callable(value):
        return f"a function ({getattr(value, '__name__', value)}): are its parentheses missing?"
    if isinstance(value, torch.Tensor | np.ndarray | pd.Series | pd.DataFrame):
        return f"{type(value).__name__} of the shape {tuple(value.shape)}"
    return type(value).__name__


def plain(value):
    """The Python number or bool in a numpy, torch or pandas scalar; any other value itself."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic) and value.ndim == 0:
        return value.item()
    return value


def expect_number(value, what: str = "the result") -> float:
    """The value as a float; Wrong unless it is one number."""
    number = plain(value)
    expect(isinstance(number, numbers.Real), f"{what} must be one number, yours is {kind(value)}")
    expect(not math.isnan(number), f"{what} is not a number (NaN)")
    return float(number)


def expect_whole_number(value, what: str = "the result") -> int:
    """The value as an int; Wrong unless it is one whole number."""
    number = plain(value)
    whole = isinstance(number, numbers.Integral) and not isinstance(number, bool)
    expect(whole, f"{what} must be a whole number (int), yours is {kind(value)}")
    return int(number)


def expect_bool(value, what: str = "the result") -> bool:
    """The value as a bool; Wrong unless it is true or false."""
    truth = plain(value)
    expect(isinstance(truth, bool), f"{what} must be True or False, yours is {kind(value)}")
    return truth


def expect_list(value, what: str = "the result", length: int | None = None) -> list:
    """The value as a list of plain elements; Wrong unless it is a list, tuple, array, tensor or column of this length."""
    kinds = list | tuple | range | np.ndarray | torch.Tensor | pd.Series | pd.Index
    expect(isinstance(value, kinds), f"{what} must be a list, yours is {kind(value)}")
    expect(getattr(value, "ndim", 1) == 1, f"{what} must have one dimension, yours is {kind(value)}")
    elements = [plain(each) for each in value]
    expect(length in (None, len(elements)), f"{what} must have {length} elements, yours has {len(elements)}")
    return elements


def expect_numbers(value, length: int, what: str) -> list[float]:
    """The value as a list of floats; Wrong unless it is a tuple (list, array ...) of this length that holds numbers."""
    return [expect_number(each, f"each of the {length} parts of {what}") for each in expect_list(value, what, length)]


def expect_tensor(value, shape: tuple[int, ...], what: str) -> torch.Tensor:
    """The value on the CPU without its gradient, float32 if it is a float; Wrong unless it is a finite tensor of this shape."""
    expect(isinstance(value, torch.Tensor), f"{what} must be a tensor, yours is {kind(value)}")
    expect(tuple(value.shape) == shape, f"{what} must have the shape {shape}, yours has {tuple(value.shape)}")
    expect(bool(torch.isfinite(value).all()), f"{what} holds NaN or infinite values")
    value = value.detach().cpu()
    return value.float() if value.is_floating_point() else value


def near(first, second) -> bool:
    """Whether two numbers or tensors of one shape are the same but for what float32 leaves of two ways to compute them."""
    first, second = (torch.as_tensor(each, dtype=torch.float64) for each in (first, second))
    if first.shape != second.shape or not torch.isfinite(second).all():
        return False
    return bool(((first - second).abs() <= 1e-6 + 1e-4 * second.abs().max()).all())


def expect_near(result, truth, mistakes: dict[str, object], message: str) -> None:
    """Wrong unless the result is the truth but for rounding; arguments as in `expect_all_near`, for a single case."""
    expect_all_near([(result, truth, mistakes, message)])


def expect_all_near(cases: list[tuple]) -> None:
    """Wrong unless every result is its truth but for rounding.

    A mistake is named only if it explains the results of all cases: a single number may agree with it by chance.

    Args:
        cases: (result, truth, mistakes, message) each. Results and truths are numbers, or tensors of one shape. mistakes: what to
            tell the student -> the result of this mistake; where a case does not list a mistake, it has the truth. message:
            what to tell if this is the first wrong case and no mistake is known.
    """
    wrong = [case for case in cases if not near(case[0], case[1])]
    for mistake in dict.fromkeys(mistake for case in wrong for mistake in case[2]):
        explained = all(near(result, mistakes.get(mistake, truth)) for result, truth, mistakes, _ in cases)
        expect(not explained, mistake)
    expect(not wrong, wrong[0][3] if wrong else "")


def place_of(error: Exception) -> str:
    """The line of the student's own code (a notebook cell, not a library) in which the error arose, if there is one."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(place in frame.filename for place in NOT_THE_STUDENTS)
    ]
    return f", in your line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


@dataclass(frozen=True)
class Exercise:
    """A check that is called with the student's attempt, a function or a value; made by `exercise`."""

    title: str
    body: Callable

    def __call__(self, attempt) -> bool:
        """Print the verdict on the attempt; True where it is correct. Random numbers drawn here do not shift the notebook's."""
        states = random.getstate(), np.random.get_state()  # noqa: NPY002 (students may use the old interface)
        try:
            with torch.random.fork_rng(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries, about what a check hands to them on purpose
                verdict, correct = self.judge(attempt), True
        except Wrong as wrong:
            verdict, correct = f"not right yet. {wrong}", False
        except NotImplementedError as error:
            # PyTorch raises the same error, with a message, for what it cannot do
            verdict = f"raised {error}{place_of(error)}" if str(error) else "not yet: it is yours to write"
            correct = False
        except Exception as error:  # whatever the student's code raises is theirs to see, not a stop
            unsaved = isinstance(error, UnboundLocalError)  # what a trace made, most often
            hint = " (if a trace makes it: is it `.save()`d, on a line that was reached?)" if unsaved else ""
            verdict, correct = f"stopped with {type(error).__name__}: {error}{hint}{place_of(error)}", False
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
        print(f"{self.title}: {verdict}")
        return correct

    def judge(self, attempt) -> str:
        if attempt is None or attempt is ...:
            raise NotImplementedError
        self.body(attempt)
        return "correct"


def exercise(title: str) -> Callable[[Callable], Exercise]:
    """Turn a function of one attempt into an Exercise with this title. It must take a second or less and never call a solution."""
    return lambda body: Exercise(title, body)
