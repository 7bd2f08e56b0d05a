"""Wrong answers to the exercises of 02_build_concept_vectors and what the check must say about each; right ones that it must take."""

import nnsight
import numpy as np
import torch
from torch.nn.functional import normalize

from helpers import models


def fair(noise, vector):
    """At a right angle to the vector, as long as the vector."""
    unit = vector / vector.norm()
    noise = noise - (noise @ unit) * unit
    return noise / noise.norm() * vector.norm()


def noise(vector, seed):
    """Gaussian noise from a generator."""
    return torch.randn(vector.shape, generator=torch.Generator().manual_seed(seed))


def random_with_overlap(vector, seed):
    """Leaves the vector's direction in."""
    return noise(vector, seed) / noise(vector, seed).norm() * vector.norm()


def random_too_short(vector, seed):
    """Sets the norm before taking the direction out."""
    unit = vector / vector.norm()
    overlapping = random_with_overlap(vector, seed)
    return overlapping - (overlapping @ unit) * unit


def random_from_global_numbers(vector, seed):
    """Sets the global seed."""
    torch.manual_seed(seed)
    return fair(torch.randn(vector.shape), vector)


def one_component(vector, seed):
    """A single component, not a random direction."""
    axis = torch.zeros_like(vector)
    axis[seed % len(vector)] = 1
    return fair(axis, vector)


def positive_noise(vector, seed):
    """Uniform numbers from 0 to 1: all seeds share a direction."""
    return fair(torch.rand(vector.shape, generator=torch.Generator().manual_seed(seed)), vector)


def rolled(vector, seed):
    """The vector's own numbers, moved on."""
    return fair(vector.roll(seed + 1), vector)


def every_second_seed(vector, seed):
    """Two seeds give the same vector."""
    return fair(noise(vector, seed // 2), vector)


def random_by_numpy(vector, seed):
    """Another generator, another precision."""
    drawn = np.random.default_rng(seed).standard_normal(len(vector))
    return fair(torch.tensor(drawn), vector.double())


def doctor(vectors, mean_cosine=None, threshold=0.5, shortest=1e-3):
    """The diagnosis with parts to exchange."""
    if not torch.isfinite(vectors).all():
        return "not finite"
    if (vectors.norm(dim=-1) < shortest).any():
        return "zero"
    unit, n = normalize(vectors, dim=-1), len(vectors)
    cosines = unit @ unit.T
    mean = mean_cosine(cosines) if mean_cosine else (cosines.sum() - n) / (n * (n - 1))
    return "baseline not subtracted" if mean > threshold else "healthy"


def off_diagonal(cosines):
    """Every cosine of two different words."""
    return cosines[~torch.eye(len(cosines), dtype=torch.bool)]


def doctor_with_diagonal(vectors):
    """Counts each vector's cosine with itself."""
    return doctor(vectors, lambda cosines: cosines.mean())


def doctor_of_absolute_cosines(vectors):
    """Takes opposite vectors for alike."""
    return doctor(vectors, lambda cosines: off_diagonal(cosines).abs().mean())


def doctor_of_any_pair(vectors):
    """One pair alike is enough."""
    return doctor(vectors, lambda cosines: off_diagonal(cosines).max())


def doctor_of_first_row(vectors):
    """Compares with the first word only."""
    return doctor(vectors, lambda cosines: cosines[0, 1:].mean())


def doctor_by_median(vectors):
    """The median instead of the mean."""
    return doctor(vectors, lambda cosines: off_diagonal(cosines).median())


def doctor_with_other_threshold(vectors):
    """0.6 in place of 0.5."""
    return doctor(vectors, threshold=0.6)


def doctor_blind_to_nan(vectors):
    """Tests for zero first."""
    if (vectors.norm(dim=-1) < 1e-3).any():
        return "zero"
    return "not finite" if torch.isnan(vectors).any() else doctor(vectors)


def doctor_of_components(vectors):
    """Takes one component of 0 for a zero vector."""
    if not torch.isfinite(vectors).all():
        return "not finite"
    return "zero" if (vectors.abs() < 1e-3).any() else doctor(vectors)


def state_of(subject, ids):
    """The stream after every block at the last token."""
    with subject.trace(torch.tensor([ids])):
        layers = nnsight.save([])
        for block in subject.blocks:
            layers.append(models.residual(block)[0, -1].clone())
    return torch.stack(list(layers))


def extracted(subject, request, baseline, combine=lambda own, others: own - others.mean(0), state=state_of):
    """State of the request [layer, width] and states of the baseline [request, layer, width], combined."""
    return combine(state(subject, request), torch.stack([state(subject, each) for each in baseline]))


def extracting(combine, state=state_of):
    """An attempt that combines the states in its own way."""
    return lambda subject, request, baseline: extracted(subject, request, baseline, combine, state)


def state_before(subject, ids):
    """The stream that each block takes in."""
    with subject.trace(torch.tensor([ids])):
        layers = nnsight.save([])
        for block in subject.blocks:
            layers.append(block.input[0, -1].clone())
    return torch.stack(list(layers))


def state_at(position):
    """The stream after every block at a fixed position."""

    def state(subject, ids):
        with torch.no_grad():
            found = subject._module(torch.tensor([ids]), output_hidden_states=True).hidden_states[1:]
        return torch.stack([each[0, position] for each in found])

    return state


def with_itself(subject, request, baseline):
    """Counts the word among the baseline."""
    return extracted(subject, request, [*baseline, request])


def extracted_by_hooks(subject, request, baseline):
    """Plain PyTorch, in double precision."""

    def state(subject, ids):
        seen = []
        hooks = [
            block.register_forward_hook(lambda _block, _inputs, output: seen.append(output[0, -1].double()))
            for block in subject.blocks._module
        ]
        with torch.no_grad():
            subject._module(torch.tensor([ids]))
        for hook in hooks:
            hook.remove()
        return torch.stack(seen)

    return extracted(subject, request, baseline, state=state)


WRONG = [
    ("check_my_concept_vector", extracting(lambda own, others: own), "raw state"),
    ("check_my_concept_vector", extracting(lambda own, others: others.mean(0)), "subtract it from the word's"),
    ("check_my_concept_vector", extracting(lambda own, others: others.mean(0) - own), "the wrong way round"),
    ("check_my_concept_vector", extracting(lambda own, others: own - others.sum(0)), "divide it by how many"),
    ("check_my_concept_vector", extracting(lambda own, others: own - others.mean()), "one number, the mean of all"),
    ("check_my_concept_vector", extracting(lambda own, others: own - others.mean((0, 1))), "for all layers"),
    ("check_my_concept_vector", extracting(lambda own, others: own - others[0]), "the first request of the baseline"),
    ("check_my_concept_vector", extracting(lambda own, others: own - others[-1]), "the last request of the baseline"),
    ("check_my_concept_vector", extracting(lambda own, others: normalize(own - others.mean(0), dim=-1)), "the norm 1"),
    ("check_my_concept_vector", extracting(lambda own, others: (own - others.mean(0))[3]), "must have the shape"),
    ("check_my_concept_vector", extracting(lambda own, others: own - others), "three dimensions"),
    ("check_my_concept_vector", extracting(lambda own, others: own - others.median(0).values), "off by"),
    (
        "check_my_concept_vector",
        extracting(lambda own, others: own - others.mean(0), state_before),
        "before each block",
    ),
    (
        "check_my_concept_vector",
        extracting(lambda own, others: own - others.mean(0), state_at(0)),
        "at the first token",
    ),
    (
        "check_my_concept_vector",
        extracting(lambda own, others: own - others.mean(0), state_at(7)),
        "its own last token",
    ),
    ("check_my_concept_vector", with_itself, "the word itself is in your mean"),
    ("check_my_cosine", lambda first, second: float(first @ second), "divide by both norms"),
    ("check_my_cosine", lambda first, second: float(first @ second / second.norm()), "one of the norms"),
    (
        "check_my_cosine",
        lambda first, second: float((first @ second).abs() / first.norm() / second.norm()),
        "have the cosine -1.00",
    ),
    (
        "check_my_cosine",
        lambda first, second: float(torch.arccos((first @ second / first.norm() / second.norm()).clamp(-1, 1))),
        "this is the angle",
    ),
    ("check_my_cosine", lambda first, second: first * second / (first.norm() * second.norm()), "must be one number"),
    ("check_my_cosine", lambda first, second: first.div_(first.norm()) @ second / second.norm(), "work on a copy"),
    (
        "check_strength_for_dose",
        lambda vector, stream, dose: float(dose * stream.mean(0).norm() / vector.norm()),
        "norm of the mean token",
    ),
    (
        "check_strength_for_dose",
        lambda vector, stream, dose: float(dose * vector.norm() / stream.norm(dim=-1).mean()),
        "the ratio the wrong way round",
    ),
    (
        "check_strength_for_dose",
        lambda vector, stream, dose: float(stream.norm(dim=-1).mean() / vector.norm()),
        "the dose makes no difference",
    ),
    ("check_fair_random", random_with_overlap, "take the component out"),
    ("check_fair_random", random_too_short, "times that"),
    ("check_fair_random", random_from_global_numbers, "generator of its own"),
    ("check_fair_random", one_component, "in a few of its components"),
    ("check_fair_random", positive_noise, "they share a direction"),
    ("check_fair_random", rolled, "do not rearrange"),
    ("check_fair_random", every_second_seed, "another seed must give another vector"),
    ("check_diagnose", doctor_with_diagonal, "leave the diagonal out"),
    ("check_diagnose", doctor_blind_to_nan, "NaNs beside a zero vector"),
    ("check_diagnose", doctor_of_absolute_cosines, "cosines have a sign"),
    ("check_diagnose", doctor_of_any_pair, "two groups in opposite directions"),
    ("check_diagnose", doctor_of_first_row, "the same in another order"),
    ("check_diagnose", doctor_by_median, "(not the median)"),
    ("check_diagnose", doctor_with_other_threshold, "cosine 0.52, above 0.5"),
    ("check_diagnose", doctor_of_components, "a component that is 0"),
]

RIGHT = [
    ("check_my_concept_vector", extracted),
    ("check_my_concept_vector", extracted_by_hooks),
    (
        "check_my_cosine",
        lambda first, second: np.float32(
            np.dot(first.numpy(), second.numpy()) / np.linalg.norm(first) / np.linalg.norm(second)
        ),
    ),
    ("check_my_cosine", lambda first, second: torch.cosine_similarity(first, second, dim=0)),
    ("check_strength_for_dose", lambda vector, stream, dose: dose * stream.norm(dim=-1).mean() / vector.norm()),
    ("check_fair_random", random_by_numpy),
    ("check_diagnose", doctor),
]
