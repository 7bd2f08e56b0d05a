"""Wrong answers to the exercises of 09_rule_out_boring_explanations and what the check must say about each; right ones."""

import numpy as np
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


def naive_entropy(logits):
    """Logarithm of a probability that has become 0."""
    p = logits.softmax(-1)
    return -(p * p.log()).sum(-1)


def entropy(logits, base=1.0):
    """The entropy divided by something."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1) / base


def surprise_of_the_best(logits):
    """Minus the logarithm of the largest probability."""
    return -logits.log_softmax(-1).amax(-1)


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


def shares(words):
    """How often each word occurs."""
    return {word: words.count(word) / len(words) for word in set(words)}


def raw_rate(injected, guessed):
    """No correction."""
    return sum(a == b for a, b in zip(injected, guessed, strict=True)) / len(injected)


def uniform_prior(injected, guessed):
    """Takes every word for equally likely."""
    return raw_rate(injected, guessed) - 1 / len(set(injected))


def corrected(injected, guessed, total=None):
    """Right minus expected; `total` may replace the number of trials below the line."""
    n = total or len(injected)
    return raw_rate(injected, guessed) - sum(injected.count(w) / n * guessed.count(w) / n for w in set(injected))


def prior_of_injected(injected, guessed):
    """Takes the guesses for as frequent as the words."""
    return raw_rate(injected, guessed) - sum(share**2 for share in shares(injected).values())


def every_guess_with_every_word(injected, guessed):
    """numpy: all pairs of a word and a guess."""
    injected, guessed = np.array(injected), np.array(guessed)
    return (injected == guessed).mean() - (injected[:, None] == guessed[None]).mean()


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
    ("check_entropy", naive_entropy, "log_softmax"),
    ("check_entropy", lambda logits: entropy(logits, 0.6931472), "in bits"),
    ("check_entropy", surprise_of_the_best, "weighted by probability"),
    ("check_entropy", lambda logits: entropy(logits.clamp(-50, 50)), "logits of 1000 and 999"),
    ("check_push_without_word", only_random, "take the component out"),
    ("check_push_without_word", norm_too_early, "its norm must be that of the concept"),
    ("check_push_without_word", rolled, "do not rearrange"),
    ("check_push_without_word", uniform_noise, "they share a direction"),
    ("check_corrected_identification", raw_rate, "subtract the prior"),
    ("check_corrected_identification", uniform_prior, "words are not equally likely"),
    ("check_corrected_identification", prior_of_injected, "is guessed counts as well"),
    ("check_corrected_identification", lambda *lists: corrected(*lists, total=4), "both count"),
    ("check_cannot_separate", same_only, "'cannot tell' for one of the two"),
    ("check_cannot_separate", first_unclear_only, "also the second one"),
    ("check_cannot_separate", same_then_unclear, "in the table's order"),
    ("check_cannot_separate", column_added, "work on a copy"),
]

RIGHT = [
    ("check_shift_left", shift_left),
    ("check_entropy", lambda logits: torch.distributions.Categorical(logits=logits).entropy()),
    ("check_entropy", lambda logits: torch.special.entr(logits.softmax(-1)).sum(-1)),
    ("check_push_without_word", with_global_seed),
    ("check_corrected_identification", every_guess_with_every_word),
    ("check_cannot_separate", not_separated),
]
