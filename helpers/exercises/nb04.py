"""Checks of the exercises of 04_detect_injected_thoughts."""

import numpy as np
import pandas as pd

from helpers import stats
from helpers.exercises.exercise import exercise, expect


@exercise("Count the false alarms")
def check_false_positive_rate(attempt):
    """A table of ten trials counted by eye: one false alarm in four clean trials."""
    table = pd.DataFrame(
        {
            "condition": ["none"] * 4 + ["concept"] * 4 + ["random"] * 2,
            "affirmative": [True, False, False, False, True, True, True, True, True, False],
        }
    )
    rate = float(attempt(table))
    expect(rate != 0.1, "you divided by all 10 trials; only the 4 clean ones (condition none) count")
    expect(rate != 0.6, "you counted every yes; false alarms are those where the condition is none")
    expect(rate != 2 / 6, "the random trials had a push: they are not trials without an injection")
    expect(abs(rate - 0.25) < 1e-9, f"1 of the 4 clean trials is a yes, so 0.25; yours gives {rate:.3f}")


@exercise("d′ by hand")
def check_my_d_prime(attempt):
    """Zero for a model that cannot tell, antisymmetric, finite at the ends, and equal to the published formula's value."""
    same = attempt(30, 50, 30, 50)
    expect(abs(same) < 1e-9, f"equal rates must give 0 (the model cannot tell), yours gives {same:.3f}")
    end = attempt(50, 50, 0, 100)
    expect(np.isfinite(end), "50 of 50 against 0 of 100 must give a finite number: add half a trial before dividing")
    expect(end > 0, "more hits than false alarms must give a positive number; is the difference the wrong way round?")
    expect(abs(attempt(10, 50, 40, 50) + attempt(40, 50, 10, 50)) < 1e-9, "swapping the two rates must swap the sign")
    expected = stats.d_prime(20, 50, 5, 100).value
    close = attempt(20, 50, 5, 100)
    expect(
        abs(close - expected) < 1e-6,
        f"20 of 50 against 5 of 100 gives {expected:.3f} with the log-linear correction, yours gives {close:.3f}",
    )


@exercise("The best of a grid")
def check_best_of_grid(attempt):
    """One cell has no luck to choose from; many cells have, less so with many trials; an exact value for two coins."""
    one = attempt(1, 20, 0.3)
    expect(abs(one - 0.3) < 0.03, f"with a single cell the average is the chance itself, 0.3; yours gives {one:.2f}")
    many = attempt(24, 10, 0.05)
    expect(many > 0.12, f"the best of 24 cells must lie well above the chance of 0.05; yours gives {many:.2f}")
    expect(many <= 1, f"a success rate is at most 1; yours gives {many:.2f}: divide by the trials of a cell")
    two = attempt(2, 1, 0.5)
    expect(
        abs(two - 0.75) < 0.05, f"the better of two single coin flips is heads in 3 of 4 cases; yours gives {two:.2f}"
    )
    expect(attempt(24, 1000, 0.05) < many, "with 1000 trials a cell, luck has less room than with 10")


@exercise("Say it first")
def check_claims_before_naming(attempt):
    """Answers whose order is beyond doubt."""
    expect(
        attempt("Yes, I notice a thought. It is about bread.", "bread") is True,
        "a claim ('Yes, I notice') and then the name is a success",
    )
    expect(attempt("Bread. I notice that I said bread.", "bread") is False, "the name stands before the claim here")
    expect(attempt("I notice a thought about water.", "bread") is False, "bread is never named in this answer")
    expect(attempt("Bread is made of flour.", "bread") is False, "there is no claim to notice anything in this answer")
    expect(
        attempt("I DETECT something: Bread.", "bread") is True,
        "capital letters should not matter, for claim or concept",
    )
