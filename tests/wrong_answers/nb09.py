"""Wrong answers to the exercises of 09_rule_out_boring_explanations, and what the check must say about each."""

import torch


def trial_shift_only(trial_with, trial_without, fact_with, fact_without):
    """Forgets the factual question."""
    return float((trial_with - trial_without).mean())


def reversed_shift(trial_with, trial_without, fact_with, fact_without):
    """Fact minus trial."""
    return float(((fact_with - fact_without) - (trial_with - trial_without)).mean())


def naive_entropy(logits):
    """Logarithm of a probability that has become 0."""
    p = logits.softmax(-1)
    return -(p * p.log()).sum(-1)


def entropy_in_bits(logits):
    """Base two."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1) / torch.log(torch.tensor(2.0))


def only_random(concept, seed):
    """A random vector that still holds some of the word."""
    noise = torch.randn(concept.shape, generator=torch.Generator().manual_seed(seed))
    return noise / noise.norm() * concept.norm()


def norm_too_early(concept, seed):
    """Sets the norm before the component is taken out."""
    noise, unit = only_random(concept, seed), concept / concept.norm()
    return noise - (noise @ unit) * unit


def raw_rate(injected, guessed):
    """No correction."""
    return sum(a == b for a, b in zip(injected, guessed, strict=True)) / len(injected)


def uniform_prior(injected, guessed):
    """Takes every word for equally likely."""
    return raw_rate(injected, guessed) - 1 / len(set(injected))


def same_only(verdicts, one, another):
    """Forgets that "cannot tell" separates nothing."""
    return list(verdicts.index[verdicts[one] == verdicts[another]])


def first_unclear_only(verdicts, one, another):
    """Looks for "cannot tell" in the first model only."""
    return list(verdicts.index[(verdicts[one] == verdicts[another]) | (verdicts[one] == "cannot tell")])


WRONG = [
    ("check_shift_left", trial_shift_only, "what it does to the fact is still in it"),
    ("check_shift_left", reversed_shift, "the wrong way round"),
    ("check_entropy", naive_entropy, "log_softmax"),
    ("check_entropy", entropy_in_bits, "in bits"),
    ("check_push_without_word", only_random, "take its component out"),
    ("check_push_without_word", norm_too_early, "the norm must be the concept's"),
    ("check_corrected_identification", raw_rate, "subtract the prior"),
    ("check_corrected_identification", uniform_prior, "must give 0"),
    ("check_cannot_separate", same_only, "'cannot tell' for one of the two"),
    ("check_cannot_separate", first_unclear_only, "also the second one"),
]
