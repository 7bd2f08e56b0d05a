"""Wrong answers to the exercises of 02_build_concept_vectors, and what the check must say about each."""

import torch


def dot_product_names(target, vectors, names, k):
    """Dot products instead of cosines."""
    similar = vectors @ target
    similar[(vectors == target).all(-1)] = -1e9
    return [names[i] for i in similar.topk(k).indices.tolist()]


def names_with_itself(target, vectors, names, k):
    """Keeps the target."""
    similar = torch.cosine_similarity(vectors, target[None], dim=-1)
    return [names[i] for i in similar.topk(k).indices.tolist()]


def farthest_names(target, vectors, names, k):
    """Sorts the wrong way round."""
    similar = torch.cosine_similarity(vectors, target[None], dim=-1)
    similar[(vectors == target).all(-1)] = 2
    return [names[i] for i in similar.argsort()[:k].tolist()]


def random_with_overlap(vector, seed):
    """Leaves the vector's direction in."""
    noise = torch.randn(vector.shape, generator=torch.Generator().manual_seed(seed))
    return noise / noise.norm() * vector.norm()


def random_too_short(vector, seed):
    """Sets the norm before taking the direction out."""
    noise = random_with_overlap(vector, seed)
    unit = vector / vector.norm()
    return 0.9 * (noise - (noise @ unit) * unit)


def random_from_global_numbers(vector, seed):
    """Sets the global seed."""
    torch.manual_seed(seed)
    return torch.randn(vector.shape)


def mean_cosine(vectors, diagonal):
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    n = len(vectors)
    return (unit @ unit.T).mean() if diagonal else ((unit @ unit.T).sum() - n) / (n * (n - 1))


def doctor_with_diagonal(vectors):
    """Counts each vector's cosine with itself."""
    if not torch.isfinite(vectors).all():
        return "not finite"
    if (vectors.norm(dim=-1) < 1e-3).any():
        return "zero"
    return "baseline not subtracted" if mean_cosine(vectors, diagonal=True) > 0.49 else "healthy"


def doctor_blind_to_nan(vectors):
    """Tests for zero first."""
    if (vectors.norm(dim=-1) < 1e-3).any():
        return "zero"
    if torch.isnan(vectors).any():
        return "not finite"
    return "baseline not subtracted" if mean_cosine(vectors, diagonal=False) > 0.5 else "healthy"


WRONG = [
    ("check_my_cosine", lambda first, second: float(first @ second), "divide by both norms"),
    (
        "check_my_cosine",
        lambda first, second: float((first @ second).abs() / first.norm() / second.norm()),
        "have the cosine -1.00",
    ),
    ("check_minus_the_others", lambda states: states - states.mean(0), "over the others"),
    ("check_minus_the_others", lambda states: states.mean(0) - states, "the result is"),
    (
        "check_strength_for_dose",
        lambda vector, stream, dose: float(dose * stream.mean(0).norm() / vector.norm()),
        "norm of the mean token",
    ),
    (
        "check_strength_for_dose",
        lambda vector, stream, dose: float(dose * vector.norm() / stream.norm(dim=-1).mean()),
        "norm of one of the sums",
    ),
    ("check_nearest_names", dot_product_names, "wins by its length"),
    ("check_nearest_names", names_with_itself, "itself must be left out"),
    ("check_nearest_names", farthest_names, "from far to near"),
    ("check_fair_random", random_with_overlap, "take the direction out"),
    ("check_fair_random", random_too_short, "times that"),
    ("check_fair_random", random_from_global_numbers, "generator of its own"),
    ("check_diagnose", doctor_with_diagonal, "leave the diagonal out"),
    ("check_diagnose", doctor_blind_to_nan, "infinity in one component"),
]
