"""Checks of the exercises of 02_build_concept_vectors: numbers worked out by hand, and properties that hold for any vector."""

import math
from collections.abc import Callable

import torch

from helpers.exercises.exercise import (
    call,
    exercise,
    expect,
    expect_all_near,
    expect_number,
    expect_tensor,
)
from helpers.exercises.organism import call_on_organism, plain_streams, request, tokens


def some_numbers(*shape: int, seed: int = 7) -> torch.Tensor:
    """Fixed random numbers of this shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def norm(values: list[float]) -> float:
    """Length of a vector, without PyTorch."""
    return math.sqrt(sum(value**2 for value in values))


@exercise("A cosine by hand")
def check_my_cosine(attempt):
    """Right angle, same and opposite direction, an angle known by heart; then five random vectors of several widths."""
    pairs = [([2, 0], [0, 5], 0.0), ([2, 0], [6, 0], 1.0), ([2, 0], [-2, 0], -1.0), ([2, 0], [1, 1], 0.5**0.5)]
    for seed, width in enumerate((5, 3, 7, 16, 128)):
        first, second = some_numbers(2, width, seed=seed).mul(seed + 1).tolist()
        dot = sum(a * b for a, b in zip(first, second, strict=True))
        pairs.append((first, second, dot / norm(first) / norm(second)))
    tried = []
    for first, second, truth in pairs:
        value = expect_number(call(attempt, torch.tensor(first) * 1.0, torch.tensor(second) * 1.0), "the cosine")
        shown = f"{first} and {second}" if len(first) == 2 else f"two random vectors of width {len(first)}"
        dot = sum(a * b for a, b in zip(first, second, strict=True))
        mistakes = {
            "this is the dot product; divide by both norms": dot,
            "this is the dot product divided by one of the norms; divide by both": dot / norm(first),
            "this is the dot product divided by one of the norms only; divide by both": dot / norm(second),
            "this is the angle; the cosine itself is asked for": math.acos(max(-1, min(1, truth))),
        }
        message = f"{shown} have the cosine {truth:.2f}, yours is {value:.2f}"
        tried.append((value, truth, mistakes, message))
    expect_all_near(tried)


def last_states(*words: str) -> torch.Tensor:
    """Embedding and stream after every block at the last token of each word's request, by hooks: [word, 1 + layer, width]."""
    each_alone = [torch.stack([stream[0, -1] for stream in plain_streams(tokens(request(word)))]) for word in words]
    return torch.stack(each_alone)


@exercise("Extract a concept vector")
def check_my_concept_vector(attempt):
    """Two words against baselines of three and four requests of several lengths, by plain hooks."""
    cases = (
        ("bread", ["tables", "an old silver spoon", "courage"]),
        ("a very long winter", ["bread", "oceans", "a cup", "fog"]),
    )
    tried = []
    for word, others in cases:
        given = [request(each).token_ids for each in others]
        result = call_on_organism(attempt, request(word).token_ids, given)
        (own,), baseline = last_states(word), last_states(*others)
        expect(
            not (isinstance(result, torch.Tensor) and result.ndim == 3),
            "your result has three dimensions: take the last token only, and the mean over the baseline's requests",
        )
        result = expect_tensor(result, tuple(own[1:].shape), "the concept vector [layer, width]")
        count, truth = len(others), own[1:] - baseline[:, 1:].mean(0)
        expect(
            bool(result.norm() > 1e-3 * truth.norm()),
            "your vector is zero up to rounding: read at the last token; at the first token all requests are equal",
        )
        first = plain_streams(tokens(request(word)))
        mistakes = {
            "this is the word's raw state; subtract the mean state of the baseline": own[1:],
            "this is the mean state of the baseline; subtract it from the word's": baseline[:, 1:].mean(0),
            "the sign is the wrong way round: the word minus the baseline": -truth,
            "this subtracts the sum of the baseline's states; divide it by how many they are": own[1:]
            - baseline[:, 1:].sum(0),
            "this subtracts one number, the mean of all components; take the mean over the requests only": own[1:]
            - baseline[:, 1:].mean(),
            "this subtracts one number per layer; take the mean over the requests only": own[1:]
            - baseline[:, 1:].mean((0, 2))[:, None],
            "this subtracts one state for all layers; every layer has a mean of its own": own[1:]
            - baseline[:, 1:].mean((0, 1)),
            "this compares with the first request of the baseline only": own[1:] - baseline[0, 1:],
            "this compares with the last request of the baseline only": own[1:] - baseline[-1, 1:],
            "the word itself is in your mean; the mean is over the baseline alone": truth * count / (count + 1),
            "your vectors have the norm 1: the concept vector is the raw difference": truth
            / truth.norm(dim=-1, keepdim=True),
            "this is read before each block; `models.residual(block)` is the stream after it": own[:-1]
            - baseline[:, :-1].mean(0),
            "this reads the word's request at its first token": torch.stack([each[0, 0] for each in first[1:]])
            - baseline[:, 1:].mean(0),
        }
        off = float((result - truth).norm() / truth.norm())
        message = (
            f"for {word!r} against {', '.join(others)} your vector is another (off by {off:.0%}): is every request read at its "
            "own last token, whatever its length?"
        )
        tried.append((result, truth, mistakes, message))
    expect_all_near(tried)


@exercise("The strength for a dose")
def check_strength_for_dose(attempt):
    """Norms known by eye (3-4-5 triangles), tokens in opposite directions, then random streams and doses."""
    by_hand = (torch.tensor([0.0, 2.0]), torch.tensor([[3.0, 4.0], [-6.0, -8.0], [0.0, 3.0]]), 1.0)
    cases = [by_hand, (*by_hand[:2], 0.5), (some_numbers(6, seed=1), some_numbers(9, 6, seed=2), 0.3)]
    tried = []
    for vector, stream, dose in cases:
        value = expect_number(call(attempt, vector, stream, dose), "the strength")
        norms = [norm(token) for token in stream.tolist()]
        mean, length = sum(norms) / len(norms), norm(vector.tolist())
        truth = dose * mean / length
        mistakes = {
            "this is the ratio the wrong way round: divide the stream's norm by the vector's": dose * length / mean,
            "the dose makes no difference in yours": mean / length,
            "half the dose needs half the strength: multiply by the dose": mean / length / dose,
            "the vector's norm makes no difference in yours": dose * mean,
            "this is the sum of the tokens' norms; take their mean": truth * len(norms),
            "this is the norm of the mean token; tokens in opposite directions cancel there. Take the mean of the norms": dose
            * norm(stream.mean(0).tolist())
            / length,
            "this is the norm of the whole stream; every token has a norm of its own (dim=-1)": dose
            * norm(stream.flatten().tolist())
            / length,
            "these are norms over the tokens, one for each component; take them over the width (dim=-1)": dose
            * float(stream.norm(dim=0).mean())
            / length,
        }
        shown = f"the tokens' norms are 5, 10 and 3, the vector's is 2: dose {dose:g} needs strength {truth:g}, yours is {value:.3f}"
        if vector is not by_hand[0]:
            shown = f"in a random stream dose {dose:g} needs strength {truth:.3f}, yours is {value:.3f}"
        tried.append((value, truth, mistakes, shown))
    expect_all_near(tried)


def expect_fair_random(attempt: Callable, what: str, own_generator: bool) -> None:
    """Norm, right angle, seeds; a direction as good as any other, which does not depend on the vector's own numbers.

    Args:
        attempt: (vector [width], seed) -> random vector [width].
        what: names the vector for the student, e.g. "the concept".
        own_generator: whether PyTorch's global random numbers must stay untouched.
    """
    vector, width = some_numbers(64, seed=2026) * 5, 64
    before = torch.random.get_rng_state()
    results = [expect_tensor(call(attempt, vector, seed), (width,), "the random vector") for seed in range(12)]
    again = expect_tensor(call(attempt, vector, 3), (width,), "the random vector")
    expect(
        not own_generator or torch.equal(before, torch.random.get_rng_state()),
        "your function uses or sets PyTorch's global random numbers; give torch.randn a generator of its own",
    )
    expect(torch.equal(results[3], again), "the same seed must give the same vector: use a generator of its own")
    for result in results:
        cosine, ratio = float(torch.cosine_similarity(result, vector, dim=0)), float(result.norm() / vector.norm())
        expect(abs(cosine) < 1e-4, f"its cosine with {what} must be 0, yours is {cosine:.3f}: take the component out")
        expect(abs(ratio - 1) < 1e-4, f"its norm must be that of {what}, yours is {ratio:.2f} times that")
        expect(
            _components_that_count(result) > width / 8,
            "nearly all of your vector is in a few of its components: draw every component at random (torch.randn)",
        )
    unit = torch.nn.functional.normalize(torch.stack(results), dim=-1)
    cosines = (unit @ unit.T)[~torch.eye(12, dtype=torch.bool)]
    expect(bool((cosines < 0.9).all()), "another seed must give another vector; in yours different seeds share one")
    expect(
        abs(float(cosines.mean())) < 0.2,
        f"the vectors of different seeds have a mean cosine of {float(cosines.mean()):.2f}, so they share a direction: draw "
        "numbers around 0, of both signs (torch.randn)",
    )
    axis = torch.zeros(width)
    axis[5] = 3.0
    result = call(attempt, axis, 1)
    fresh = isinstance(result, torch.Tensor) and bool(torch.isfinite(result).all())
    expect(
        fresh and _components_that_count(result) > width / 8,
        f"where {what} has a single component that is not 0, yours is no random direction: draw new numbers, do not "
        f"rearrange those of {what}",
    )
    expect_tensor(call(attempt, some_numbers(7, seed=2026), 0), (7,), "the random vector for a width of 7")


def _components_that_count(vector: torch.Tensor) -> float:
    """1 where one component holds all of the vector; a third of the width for Gaussian noise, the width where all are equal."""
    squares = vector.detach().double() ** 2
    return float(squares.sum() ** 2 / (squares**2).sum())


@exercise("A fair random control")
def check_fair_random(attempt):
    """The properties of a fair random vector."""
    expect_fair_random(attempt, "the vector", own_generator=True)


def alike(count: int, cosine: float) -> torch.Tensor:
    """`count` vectors of different lengths, every two of which have this cosine."""
    axes = torch.eye(count + 1)
    vectors = (1 - cosine) ** 0.5 * axes[1:] + cosine**0.5 * axes[0]
    return vectors * torch.linspace(0.5, 20, count)[:, None]


@exercise("The vector doctor")
def check_diagnose(attempt):
    """Vectors made ill on purpose, one illness or two at a time; mean cosines on both sides of 0.5."""
    healthy = some_numbers(12, 64)
    zero, broken, minus, sparse = (healthy.clone() for _ in range(4))
    zero[3], zero[7] = 0, 100 * zero[7]
    broken[5, 1], minus[11, 0] = float("inf"), float("-inf")
    sparse[:, 10] = 0
    broken_and_zero = torch.where(zero == 0, zero, zero * float("nan"))
    two_groups = torch.cat([alike(6, 0.9), -alike(6, 0.9)])
    some_alike = torch.cat([alike(4, 0.9) @ torch.eye(5, 64), some_numbers(6, 64)])
    mostly_alike = torch.cat([alike(12, 0.8), -alike(12, 0.8)[:1]])
    few_opposite = torch.cat([alike(10, 0.6), -alike(10, 0.6)[:2]])
    cases = (
        (healthy, "healthy", "twelve unrelated random vectors"),
        (-healthy, "healthy", "the same with the other sign"),
        (sparse, "healthy", "random vectors with a component that is 0 in all of them"),
        (broken, "not finite", "an infinity in one component"),
        (minus, "not finite", "a minus infinity in one component"),
        (broken_and_zero, "not finite", "NaNs beside a zero vector"),
        (zero, "zero", "one zero vector among twelve"),
        (1e-6 * healthy, "zero", "vectors that are nothing but rounding, with norms of a few millionths"),
        (0.01 * alike(5, 0.7), "baseline not subtracted", "short vectors (norms of 0.005 to 0.2), all of cosine 0.7"),
        (alike(2, 0.8), "baseline not subtracted", "two vectors with a cosine of 0.8"),
        (alike(2, 0.3), "healthy", "two vectors with a cosine of 0.3: leave the diagonal out of the mean cosine"),
        (alike(5, 0.45), "healthy", "vectors of cosine 0.45, below 0.5"),
        (alike(40, 0.52), "baseline not subtracted", "vectors of cosine 0.52, above 0.5"),
        (two_groups, "healthy", "two groups in opposite directions: cosines have a sign, so their mean is near 0"),
        (some_alike, "healthy", "four vectors alike and six unrelated: the mean of all pairs is below 0.5"),
        (some_alike.flip(0), "healthy", "the same in another order: every pair counts"),
        (mostly_alike, "baseline not subtracted", "twelve vectors alike and one opposite: their mean cosine is 0.55"),
        (mostly_alike.flip(0), "baseline not subtracted", "the same in another order"),
        (
            few_opposite,
            "healthy",
            "ten vectors alike and two opposite: the mean (not the median) of the cosines is 0.2",
        ),
    )
    for vectors, truth, what in cases:
        result = call(attempt, vectors)
        expect(isinstance(result, str), f"return a text such as 'healthy', yours is {type(result).__name__}")
        expect(result == truth, f"{what}: the diagnosis is {truth!r}, yours is {result!r}")
