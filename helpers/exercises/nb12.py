"""Checks of the exercises of 12_test_a_real_model."""

import numpy as np
import pandas as pd

from helpers.exercises.exercise import Wrong, exercise, expect


@exercise("Choose the layers")
def check_layers_at(attempt):
    """Ends, order, doubles, and whole numbers, for a deep and a shallow model."""
    ends = list(attempt([0.0, 1.0], 32))
    expect(32 not in ends, "a model with 32 blocks has no block 32: the last one has the number 31")
    expect(ends == [0, 31], f"shares 0 and 1 of 32 blocks are the blocks 0 and 31, yours gives {ends}")
    order = list(attempt([0.9, 0.1], 21))
    expect(
        order == [2, 18],
        f"shares 0.9 and 0.1 of 21 blocks are blocks 2 and 18, in ascending order; yours gives {order}",
    )
    double = list(attempt([0.5, 0.52], 5))
    expect(double == [2], f"shares 0.5 and 0.52 of 5 blocks are the same block, to be given once; yours gives {double}")
    expect(all(isinstance(layer, int) for layer in double), "layers must be whole numbers (int)")


@exercise("Beyond the controls")
def check_beyond_controls(attempt):
    """Cases computed by eye, with the one or the other control larger."""
    strict = attempt([4.0, 6.0], [1.0, 3.0], [-4.0, -2.0])
    expect(strict != 8, "you left the random vectors out: here they are the larger control")
    expect(strict != 5.5, "you subtracted the mean of both controls; take the larger one")
    expect(strict != 2, "you took the largest single trial; compare the two control means")
    expect(
        abs(strict - 3) < 1e-9, f"5 with the word, 2 and -3 with the controls: the score is 3, yours is {strict:.2f}"
    )
    other = attempt([1.0, 1.0], [-5.0, -5.0, -5.0], [0.0])
    expect(abs(other - 1) < 1e-9, f"here the clean trials (mean 0) are the larger control: 1, yours is {other:.2f}")
    below = attempt([0.0], [2.0], [1.0])
    expect(
        abs(below + 2) < 1e-9, f"a word that moves less than a random vector scores below 0: -2, yours is {below:.2f}"
    )


@exercise("How much does a null exclude?")
def check_largest_rate(attempt):
    """The defining property: with the rate returned, nothing at all happens in 5 % of experiments."""
    for trials in (1, 10, 100):
        rate = attempt(trials)
        expect(
            0 < rate < 1, f"{trials} trials without a success do not prove a rate of 0 or allow 1; yours gives {rate}"
        )
        chance = (1 - rate) ** trials
        expect(
            abs(chance - 0.05) < 1e-6,
            f"with a true rate of {rate:.3f}, nothing in {trials} trials happens in {chance:.1%} of experiments, not in 5 %",
        )


@exercise("Go on after a crash")
def check_finished(attempt):
    """A whole file, files torn at every place of the last line, an empty one."""
    whole = '{"trial_id": "a", "answer": "No."}\n{"trial_id": "b", "answer": "Yes, bread."}\n'
    expect(set(attempt(whole)) == {"a", "b"}, "both lines of a whole file are finished")
    first = whole.index("\n") + 1
    for cut in (1, 5, len(whole) - first - 2):
        try:
            found = set(attempt(whole[: first + cut]))
        except ValueError as error:
            raise Wrong(
                f"a torn last line ({whole[first : first + cut]!r}) must not stop the run; yours raises {type(error).__name__}"
            ) from None
        expect(
            found == {"a"},
            f"the last line is torn ({whole[first : first + cut]!r}) and must not count; yours gives {found}",
        )
    glued = set(attempt(whole[:-1]))
    expect(
        glued == {"a"},
        "a last line without its newline is not finished, valid JSON or not: the next write would be glued to it",
    )
    expect(set(attempt("")) == set(), "an empty file holds no finished trial")


@exercise("Compare two models fairly")
def check_difference_by_word(attempt):
    """Identical models, a constant gap, words repeated many times, and the sign."""
    rng = np.random.default_rng(1)
    words = [f"word {k}" for k in range(20)]
    hard = rng.random(20) < 0.5
    first = pd.DataFrame({"word": words, "success": hard})
    value, low, high = attempt(first, first)
    expect(value == 0, f"a model compared with itself differs by 0, yours gives {value:.2f}")
    expect(
        low == 0 and high == 0,
        f"a model compared with itself differs by 0 on every word, so the interval is [0, 0]; yours is [{low:.2f}, {high:.2f}]: "
        "the words are the same for both models, redraw them together",
    )
    never = first.assign(success=False)
    value, low, high = attempt(first, never)
    expect(
        abs(value - hard.mean()) < 1e-9, f"the first model succeeds on {hard.mean():.0%} more, yours gives {value:.2f}"
    )
    expect(
        low <= value <= high, f"the value must lie in its interval, yours gives {value:.2f} and [{low:.2f}, {high:.2f}]"
    )
    wide = high - low
    expect(0.25 < wide < 0.6, f"20 words leave an interval about 0.4 wide here, yours is {wide:.2f} wide")
    _, low, high = attempt(pd.concat([first] * 10), pd.concat([never] * 10))
    expect(
        abs(high - low - wide) < 0.12,
        f"ten equal trials of every word are no new words: the interval must stay {wide:.2f} wide, yours becomes {high - low:.2f}; "
        "redraw words, not trials",
    )
    shuffled = first.sample(frac=1, random_state=0)
    expect(abs(attempt(shuffled, first)[0]) < 1e-9, "the rows may come in any order: match by word, not by place")
