"""Wrong answers to the exercises of 09_rule_out_boring_explanations and what the check must say about each; right ones."""


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
    ("check_split_injection", split_injection),
]
