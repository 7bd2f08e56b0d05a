"""How an exercise is checked. A notebook's check is a function with `@exercise("Title")` that calls `expect`.

@exercise("Scale a vector")
def check_scaled(attempt):
    result = attempt(torch.ones(4), 3.0)
    expect_tensor(result, (4,), "the scaled vector")
    expect(result.norm() == 6, f"strength 3 on a vector of norm 2 must give norm 6, yours has {result.norm():.2f}")
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch


class Wrong(Exception):
    """What is wrong with an attempt, said to the student."""


def expect(condition: bool, message: str) -> None:
    """Raise Wrong(message) unless the condition holds."""
    if not condition:
        raise Wrong(message)


def expect_tensor(value, shape: tuple[int, ...], what: str) -> None:
    """Raise Wrong unless `value` is a finite tensor of this shape; `what` names it for the student."""
    expect(
        isinstance(value, torch.Tensor),
        f"{what} must be a tensor, yours is {'None: is a `return` missing?' if value is None else type(value).__name__}",
    )
    expect(tuple(value.shape) == shape, f"{what} must have the shape {shape}, yours has {tuple(value.shape)}")
    expect(bool(torch.isfinite(value).all()), f"{what} holds NaN or infinite values")


def place_of(error: Exception) -> str:
    """The line of the student's own code (a notebook cell, not a library) in which the error arose, if there is one."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and frame.filename != __file__ and "/checks/" not in frame.filename
    ]
    return f", in your line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


@dataclass(frozen=True)
class Exercise:
    """A check that is called with the student's attempt, a function or a value; made by `exercise`."""

    title: str
    body: Callable

    def __call__(self, attempt) -> bool:
        """Print the verdict on the attempt; True where it is correct. Random numbers drawn here do not shift the notebook's."""
        try:
            with torch.random.fork_rng():
                verdict, correct = self.judge(attempt), True
        except Wrong as wrong:
            verdict, correct = f"not right yet. {wrong}", False
        except NotImplementedError as error:
            # PyTorch raises the same error, with a message, for what it cannot do
            verdict = f"raised {error}{place_of(error)}" if str(error) else "not yet: it is yours to write"
            correct = False
        except Exception as error:  # whatever the student's code raises is theirs to see, not a stop
            verdict, correct = f"stopped with {type(error).__name__}: {error}{place_of(error)}", False
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
