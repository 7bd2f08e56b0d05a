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
    """Compares margins, not shifts."""
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


def same_only(verdicts, one, another):
    """Forgets that "cannot tell" separates nothing."""
    return list(verdicts.index[verdicts[one] == verdicts[another]])


def first_unclear_only(verdicts, one, another):
    """Looks for "cannot tell" in the first model only."""
    return list(verdicts.index[(verdicts[one] == verdicts[another]) | (verdicts[one] == "cannot tell")])


def not_separated(verdicts, one, another):
    """A pandas Index."""
    unclear = verdicts[[one, another]].eq("cannot tell").any(axis=1)
    return verdicts.index[(verdicts[one] == verdicts[another]) | unclear]


def same_then_unclear(verdicts, one, another):
    """First the equal ones, then the others."""
    same = same_only(verdicts, one, another)
    return same + [name for name in not_separated(verdicts, one, another) if name not in same]


def column_added(verdicts, one, another):
    """Writes into the caller's table."""
    verdicts["same"] = verdicts[one] == verdicts[another]
    return list(not_separated(verdicts, one, another))


WRONG = [
    ("check_shift_left", trial_shift_only, "what it does to the fact is still in it"),
    ("check_shift_left", reversed_shift, "the wrong way round"),
    ("check_shift_left", sizes_of_shifts, "do not take their absolute values"),
    ("check_shift_left", size_of_what_is_left, "do not take its absolute value"),
    ("check_shift_left", with_the_vector_only, "margins with the vector only"),
    ("check_shift_left", lambda *margins: max(0.0, float(shift_left(*margins))), "do not cut it off"),
    ("check_push_without_word", only_random, "take the component out"),
    ("check_push_without_word", norm_too_early, "its norm must be that of the concept"),
    ("check_push_without_word", rolled, "do not rearrange"),
    ("check_push_without_word", uniform_noise, "they share a direction"),
    ("check_cannot_separate", same_only, "'cannot tell' for one of the two"),
    ("check_cannot_separate", first_unclear_only, "also the second one"),
    ("check_cannot_separate", same_then_unclear, "in the table's order"),
    ("check_cannot_separate", column_added, "work on a copy"),
]

RIGHT = [
    ("check_shift_left", shift_left),
    ("check_push_without_word", with_global_seed),
    ("check_cannot_separate", not_separated),
]
