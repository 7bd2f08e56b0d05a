"""Checks of the exercises of 09_rule_out_boring_explanations: numbers counted by hand, and properties of the controls."""

import math

import pandas as pd
import torch

from helpers.exercises.exercise import exercise, expect, expect_tensor


@exercise("The shift that is left")
def check_shift_left(attempt):
    """Shifts counted by hand; a push that adds the same everywhere leaves nothing; the starting points do not matter."""
    with_, without = torch.tensor([3.0, 1.0]), torch.tensor([-4.0, -2.0])
    fact_with, fact_without = torch.tensor([-2.0, -4.0]), torch.tensor([-3.0, -7.0])
    value = float(attempt(with_, without, fact_with, fact_without))
    expect(value != 5.0, "this is what the vector does to the trial question; what it does to the fact is still in it")
    expect(value != 7.0, "this adds the two shifts; the fact's must be subtracted")
    expect(value != -3.0, "the sign is the wrong way round: trial minus fact")
    expect(
        abs(value - 3.0) < 1e-6, f"the trial moves by 5 on average, the fact by 2, so 3 is left; yours gives {value:g}"
    )
    same = float(attempt(without + 6, without, fact_without + 6, fact_without))
    expect(abs(same) < 1e-6, f"a push that adds 6 to every margin leaves nothing; yours leaves {same:g}")


@exercise("Entropy")
def check_entropy(attempt):
    """Certain, a fair coin, uniform, huge logits, and no regard to a constant."""
    certain, coin = torch.tensor([1000.0, 0.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, -1000.0, -1000.0])
    logits = torch.stack([certain, coin, torch.zeros(4)])
    result = attempt(logits)
    if isinstance(result, torch.Tensor) and result.shape == (3,):
        expect(
            bool(torch.isfinite(result).all()), "huge logits give NaN or infinity; take log_softmax, not log of softmax"
        )
    expect_tensor(result, (3,), "the entropy of each row")
    expect(float(result[2]) > 0, "entropy is never negative: is the minus sign missing?")
    expect(abs(float(result[1]) - 1.0) > 1e-3, "this is in bits; nats take the natural logarithm")
    truth = [0.0, math.log(2), math.log(4)]
    expect(
        torch.allclose(result, torch.tensor(truth), atol=1e-4),
        f"certain, a fair coin and four equal tokens have {[round(t, 3) for t in truth]}, yours are "
        f"{[round(float(r), 3) for r in result]}",
    )
    expect(torch.allclose(attempt(logits / 100 + 5), attempt(logits / 100), atol=1e-4), "a constant must drop out")


@exercise("A push without the word")
def check_push_without_word(attempt):
    """Right angle, same norm, a new direction for a new seed, the same one for the same seed."""
    concept = 3 * torch.randn(16, generator=torch.Generator().manual_seed(1))
    result = attempt(concept.clone(), 0)
    expect_tensor(result, (16,), "the push")
    cosine = float(torch.nn.functional.cosine_similarity(result, concept, dim=0))
    expect(abs(cosine) < 1e-4, f"the cosine to the concept must be 0, yours is {cosine:.3f}: take its component out")
    norm, wanted = float(result.norm()), float(concept.norm())
    expect(abs(norm - wanted) < 1e-3, f"the norm must be the concept's, {wanted:.2f}; yours is {norm:.2f}")
    again, new = attempt(concept.clone(), 0), attempt(concept.clone(), 1)
    expect(torch.equal(result, again), "the same seed must give the same vector: use a generator of its own")
    expect(not torch.allclose(result, new), "another seed must give another vector")


@exercise("Guesses corrected for the prior")
def check_corrected_identification(attempt):
    """Always the same guess, always right, and a case counted by hand."""
    injected = ["bread", "silver", "dust", "bread"]
    always = float(attempt(injected, ["bread"] * 4))
    expect(
        always != 0.5,
        "a model that always says bread is right on half of the trials and knows nothing: subtract the prior",
    )
    expect(abs(always) < 1e-9, f"always the same guess must give 0, yours gives {always:.3f}")
    perfect = float(attempt(injected, injected))
    expect(
        abs(perfect - (1 - 0.375)) < 1e-9,
        f"all right: 1 minus (1/4 + 1/16 + 1/16) is 0.625, yours gives {perfect:.3f}. "
        "How often each word is guessed and how often it is injected both count",
    )
    mixed = float(attempt(["a", "b", "a", "b"], ["b", "a", "b", "a"]))
    expect(mixed < 0, f"never right, although both words are guessed: below 0; yours gives {mixed:.3f}")


@exercise("Controls that cannot tell")
def check_cannot_separate(attempt):
    """A table of five rows, read by eye."""
    verdicts = pd.DataFrame(
        {
            "x": ["ruled out", "ruled out", "stands", "cannot tell", "ruled out"],
            "y": ["stands", "ruled out", "stands", "stands", "cannot tell"],
            "z": ["stands"] * 5,
        },
        index=["luck", "guess", "bias", "entropy", "push"],
    )
    result = attempt(verdicts, "x", "y")
    expect(isinstance(result, list), f"return a list of row names, yours is {type(result).__name__}")
    expect("luck" not in result, "luck has different verdicts for x and y: that control does tell them apart")
    expect(
        "entropy" in result,
        "'cannot tell' for one of the two: that control does not separate them, however the verdicts differ",
    )
    expect("push" in result, "'cannot tell' counts for either model, also the second one")
    expect(result == ["guess", "bias", "entropy", "push"], f"these four, in the table's order; yours: {result}")
    expect(attempt(verdicts, "x", "z") == ["bias", "entropy"], "look only at the two models that are named")
