"""Predict, then look: what a reader guessed beside what was measured."""

from numbers import Integral, Real


def reveal(guess: float | None, measured: float, what: str) -> None:
    """Print the measured number beside the reader's guess.

    Args:
        guess: what the reader wrote, None for nothing.
        measured: what a cell found; an int (NumPy's too) is a count and has no decimals.
        what: of what, such as "share of words noticed".
    """
    decimals = "" if isinstance(measured, Integral) else ".2f"
    if guess is None:
        print(f"{what}: {measured:{decimals}}. You made no guess.")
        return
    if not isinstance(guess, Real):
        print(f"{what}: {measured:{decimals}}. Your guess must be a number, such as 0.3; it is {guess!r}.")
        return
    distance = abs(guess - measured)
    verdict = (
        "right" if distance < 0.05 else "close" if distance < 0.15 else "too low" if guess < measured else "too high"
    )
    print(f"{what}: {measured:{decimals}}. You guessed {guess:{decimals}}: {verdict}.")
