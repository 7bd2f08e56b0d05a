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


def fair(noise, concept):
    """At a right angle to the concept, as long as the concept."""
    unit = concept / concept.norm()
    noise = noise - (noise @ unit) * unit
    return noise / noise.norm() * concept.norm()


def only_random(concept, seed):
    """A random vector that still holds some of the word."""
    noise = torch.randn(concept.shape, generator=torch.Generator().manual_seed(seed))
    return noise / noise.norm() * concept.norm()


def norm_too_early(concept, seed):
    """Sets the norm before the component is taken out."""
    noise, unit = only_random(concept, seed), concept / concept.norm()
    return noise - (noise @ unit) * unit


def rolled(concept, seed):
    """The concept's own numbers, moved on."""
    return fair(concept.roll(seed + 1), concept)


def uniform_noise(concept, seed):
    """Numbers from 0 to 1: all seeds share a direction."""
    return fair(torch.rand(concept.shape, generator=torch.Generator().manual_seed(seed)), concept)


def with_global_seed(concept, seed):
    """Sets the seed of the global generator, which this exercise does not forbid."""
    torch.manual_seed(seed)
    return fair(torch.randn(concept.shape), concept)


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
    ("check_push_without_word", only_random, "take the component out"),
    ("check_push_without_word", norm_too_early, "its norm must be that of the concept"),
    ("check_push_without_word", rolled, "do not rearrange"),
    ("check_push_without_word", uniform_noise, "they share a direction"),
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
    ("check_push_without_word", with_global_seed),
    ("check_split_injection", split_injection),
]
