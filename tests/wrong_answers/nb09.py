"""Wrong answers to the exercises of 09_rule_out_boring_explanations and what the check must say about each; right ones."""

import torch


def shift_left(trial_with, trial_without, fact_with, fact_without):
    """Difference of two means."""
    return (trial_with - trial_without).mean() - (fact_with - fact_without).mean()


def trial_shift_only(trial_with, trial_without, fact_with, fact_without):
    """Forgets the factual question."""
    return float((trial_with - trial_without).mean())


def reversed_shift(trial_with, trial_without, fact_with, fact_without):
    """Fact minus trial."""
    return float(((fact_with - fact_without) - (trial_with - trial_without)).mean())


def sizes_of_shifts(trial_with, trial_without, fact_with, fact_without):
    """Absolute shifts."""
    return ((trial_with - trial_without).abs() - (fact_with - fact_without).abs()).mean()


def size_of_what_is_left(trial_with, trial_without, fact_with, fact_without):
    """Absolute difference of the shifts."""
    return ((trial_with - trial_without) - (fact_with - fact_without)).abs().mean()


def with_the_vector_only(trial_with, trial_without, fact_with, fact_without):
    """Compares what is said with the vector, not shifts."""
    return (trial_with - fact_with).mean()


def mix(concept, cosine, noise):
    """Concept and noise at a right angle to it, together as long as the concept."""
    unit = concept / concept.norm()
    noise = noise - (noise @ unit) * unit
    return concept.norm() * (cosine * unit + (1 - cosine**2) ** 0.5 * noise / noise.norm())


def noise_of(concept, seed):
    """Random numbers of a seed."""
    return torch.randn(concept.shape, generator=torch.Generator().manual_seed(seed))


def word_left_in_noise(concept, cosine, seed):
    """Takes no component out of the noise."""
    unit, noise = concept / concept.norm(), noise_of(concept, seed)
    return concept.norm() * (cosine * unit + (1 - cosine**2) ** 0.5 * noise / noise.norm())


def norm_too_early(concept, cosine, seed):
    """Sets the noise's norm before the component is taken out."""
    unit, noise = concept / concept.norm(), noise_of(concept, seed)
    noise = noise / noise.norm()
    return concept.norm() * (cosine * unit + (1 - cosine**2) ** 0.5 * (noise - (noise @ unit) * unit))


def parts_that_sum_to_one(concept, cosine, seed):
    """Weights 1 - cosine in place of its root, the norm set at the end."""
    unit = concept / concept.norm()
    noise = mix(concept, 0.0, noise_of(concept, seed)) / concept.norm()
    mixed = cosine * unit + (1 - cosine) * noise
    return mixed / mixed.norm() * concept.norm()


def no_norm_at_the_end(concept, cosine, seed):
    """Adds noise as long as the concept to a part of the concept."""
    return cosine * concept + mix(concept, 0.0, noise_of(concept, seed))


def rolled(concept, cosine, seed):
    """The concept's own numbers, moved on."""
    return mix(concept, cosine, concept.roll(seed + 1))


def uniform_noise(concept, cosine, seed):
    """Numbers from 0 to 1: all seeds share a direction."""
    return mix(concept, cosine, torch.rand(concept.shape, generator=torch.Generator().manual_seed(seed)))


def sign_lost(concept, cosine, seed):
    """The size of the cosine only."""
    return mix(concept, abs(cosine), noise_of(concept, seed))


def same_noise_beside_the_word(concept, cosine, seed):
    """A new direction only where the cosine is 0."""
    return mix(concept, cosine, noise_of(concept, seed if cosine == 0 else 0))


def with_global_seed(concept, cosine, seed):
    """Sets the seed of the global generator, which this exercise does not forbid."""
    torch.manual_seed(seed)
    return mix(concept, cosine, torch.randn(concept.shape))


def split_injection(start, length):
    """Lists in place of tuples."""
    return [[start, length - 1], [length - 1, None]]


WRONG = [
    ("check_shift_left", trial_shift_only, "what it does to the fact is still in it"),
    ("check_shift_left", reversed_shift, "the wrong way round"),
    ("check_shift_left", sizes_of_shifts, "do not take their absolute values"),
    ("check_shift_left", size_of_what_is_left, "do not take its absolute value"),
    ("check_shift_left", with_the_vector_only, "answers with the vector only"),
    ("check_shift_left", lambda *margins: max(0.0, float(shift_left(*margins))), "do not cut it off"),
    ("check_push_with_cosine", word_left_in_noise, "take the component out"),
    ("check_push_with_cosine", norm_too_early, "its norm must be that of the concept"),
    ("check_push_with_cosine", parts_that_sum_to_one, "must be that share of its whole length"),
    ("check_push_with_cosine", no_norm_at_the_end, "must be that share of its whole length"),
    ("check_push_with_cosine", rolled, "do not rearrange"),
    ("check_push_with_cosine", uniform_noise, "they share a direction"),
    ("check_push_with_cosine", sign_lost, "asked for a cosine of -0.5"),
    ("check_push_with_cosine", same_noise_beside_the_word, "a new random direction with each seed"),
    (
        "check_split_injection",
        lambda start, length: ((start, length), (length, None)),
        "chooses the first word of the reply",
    ),
    (
        "check_split_injection",
        lambda start, length: ((start, length - 1), (length, None)),
        "written begins where read ends",
    ),
    (
        "check_split_injection",
        lambda start, length: ((start, length - 2), (length - 2, None)),
        "choose no word of the reply",
    ),
    ("check_split_injection", lambda start, length: ((0, length - 1), (length - 1, None)), "begins at start"),
    (
        "check_split_injection",
        lambda start, length: ((start, length - 1), (length - 1, length)),
        "the end of written is None",
    ),
]

RIGHT = [
    ("check_shift_left", shift_left),
    ("check_push_with_cosine", with_global_seed),
    ("check_split_injection", split_injection),
]
