"""Checks of the exercises of 02_build_concept_vectors: numbers worked out by hand, and properties that hold for any vector."""

import torch

from helpers.exercises.exercise import exercise, expect, expect_tensor


def some_numbers(*shape: int) -> torch.Tensor:
    """Fixed random numbers of this shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


@exercise("A cosine by hand")
def check_my_cosine(attempt):
    """Right angle, same and opposite direction, an angle known by heart, and no regard to length."""
    east, north = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 5.0])
    cases = ((east, north, 0.0), (east, 3 * east, 1.0), (east, -east, -1.0), (east, torch.tensor([1.0, 1.0]), 0.5**0.5))
    for first, second, truth in cases:
        value = float(attempt(first, second))
        expect(
            abs(value - truth) < 1e-5,
            f"{first.tolist()} and {second.tolist()} have the cosine {truth:.2f}, yours is {value:.2f}"
            + (": it is above 1, did you divide by both norms?" if value > 1.01 else ""),
        )


@exercise("Leave yourself out")
def check_minus_the_others(attempt):
    """Three words counted by hand; adding a constant to all words changes nothing."""
    states = torch.tensor([[3.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
    result = attempt(states.clone())
    expect_tensor(result, (3, 2), "what sets each word apart")
    kept_in = states - states.mean(0)
    expect(
        not torch.allclose(result, kept_in),
        "here every word is still part of the mean that is subtracted from it; the mean must be over the others",
    )
    expect(not torch.allclose(result, states - states.sum(0)), "divide the sum of the others by how many they are")
    truth = torch.tensor([[1.5, -3.0], [-1.5, 0.0], [0.0, 3.0]])
    expect(
        torch.allclose(result, truth, atol=1e-5),
        f"for the words {states.tolist()} the result is {truth.tolist()}, yours is {result.tolist()}",
    )
    numbers = some_numbers(5, 8)
    expect(
        torch.allclose(attempt(numbers + 100), attempt(numbers), atol=1e-3),
        "what all words share must drop out, yours changes when the same number is added to every state",
    )


@exercise("The strength for a dose")
def check_strength_for_dose(attempt):
    """Norms known by eye (3-4-5 triangles), tokens that point in opposite directions, and proportionality."""
    vector, stream = torch.tensor([0.0, 2.0]), torch.tensor([[3.0, 4.0], [-6.0, -8.0]])
    value = float(attempt(vector, stream, 1.0))
    expect(abs(value - 0.2667) > 1e-3, "you took the norm of one of the sums; average the norms of the tokens instead")
    expect(
        abs(value - 1.25) > 1e-3,
        "this is the norm of the mean token; tokens in opposite directions cancel there. Take the mean of the norms",
    )
    expect(
        abs(value - 3.75) < 1e-4,
        f"the tokens' norms are 5 and 10, the vector's is 2: dose 1 needs strength 3.75, yours is {value:.3f}",
    )
    half = float(attempt(vector, stream, 0.5))
    expect(abs(half - value / 2) < 1e-4, f"half the dose needs half the strength {value / 2:.3f}, yours is {half:.3f}")


@exercise("Nearest words")
def check_nearest_names(attempt):
    """Four vectors in a plane: one long and far, one short and near, the target itself, its opposite."""
    target = torch.tensor([1.0, 0.0])
    table = torch.tensor([[1.0, 0.0], [50.0, 50.0], [0.1, 0.01], [-1.0, 0.0]])
    names = ["itself", "long", "near", "opposite"]
    result = attempt(target, table.clone(), names, 2)
    expect(isinstance(result, list) and len(result) == 2, f"k = 2 asks for a list of two names, yours is {result!r}")
    expect("itself" not in result, "the target itself must be left out")
    expect(
        result[0] != "opposite" or result[1] != "long", "this is the order from far to near: the highest cosine first"
    )
    expect(result[0] != "long", "the long vector wins by its length; compare directions (cosines), not dot products")
    expect(result == ["near", "long"], f"nearest first it is ['near', 'long'], yours is {result}")


@exercise("A fair random control")
def check_fair_random(attempt):
    """Norm, right angle, seed; and no trace in PyTorch's own random numbers."""
    vector = some_numbers(64) * 5
    before = torch.random.get_rng_state()
    result = attempt(vector, 3)
    expect_tensor(result, (64,), "the random vector")
    expect(
        torch.equal(before, torch.random.get_rng_state()),
        "your function uses or sets PyTorch's global random numbers; give torch.randn a generator of its own",
    )
    cosine = float(torch.cosine_similarity(result, vector, dim=0))
    expect(abs(cosine) < 1e-4, f"its cosine with the vector must be 0, yours is {cosine:.3f}: take the direction out")
    ratio = float(result.norm() / vector.norm())
    expect(abs(ratio - 1) < 1e-4, f"its norm must be the vector's, yours is {ratio:.2f} times that")
    expect(torch.equal(result, attempt(vector, 3)), "the same seed must give the same vector")
    expect(not torch.allclose(result, attempt(vector, 4)), "another seed must give another vector")


@exercise("The vector doctor")
def check_diagnose(attempt):
    """Vectors made ill on purpose, one illness or two at a time."""
    healthy = some_numbers(12, 64)
    shared = healthy + 6 * torch.ones(64)
    zero, broken = healthy.clone(), healthy.clone()
    zero[3] = 0
    broken[5, 1] = float("inf")
    broken_and_zero = torch.where(zero == 0, zero, zero * float("nan"))
    pair = torch.stack([healthy[0], healthy[1] + 0.3 * healthy[0]])
    cases = (
        (healthy, "healthy", "twelve unrelated random vectors"),
        (-healthy, "healthy", "the same with the other sign"),
        (broken, "not finite", "an infinity in one component"),
        (broken_and_zero, "not finite", "NaNs beside a zero vector"),
        (zero, "zero", "one zero vector among twelve"),
        (1e-6 * healthy, "zero", "vectors that are nothing but rounding, with norms of a few millionths"),
        (shared, "baseline not subtracted", "vectors with a large part in common"),
        (healthy[:2] @ torch.ones(64, 64) + 9, "baseline not subtracted", "two vectors of one direction"),
        (pair, "healthy", "two vectors with a cosine of about 0.3: leave the diagonal out of the mean cosine"),
    )
    for vectors, truth, what in cases:
        result = attempt(vectors)
        expect(result == truth, f"{what}: the diagnosis is {truth!r}, yours is {result!r}")
