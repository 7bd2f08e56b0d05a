"""Wrong answers to the exercises of 05_tell_thoughts_from_text, and what the check must say about each."""

import difflib

import torch

from helpers.models import residual


def pushed(subject, inputs, start, end, layer, push):
    """Next-token logits with the push on [start, end) after block `layer`."""
    with torch.no_grad(), subject.trace(inputs):
        stream = residual(subject.blocks[layer])
        stream[:, start:end] += push
        logits = subject.output.logits[0, -1].save()
    return logits


def copied_span(subject, inputs, start, end, layer, push):
    """Changes a copy that the model never sees."""
    with torch.no_grad(), subject.trace(inputs):
        stream = residual(subject.blocks[layer]).clone()
        stream[:, start:end] += push
        logits = subject.output.logits[0, -1].save()
    return logits


def on_to_the_end(subject, inputs, start, end, layer, push):
    """Forgets where the span ends."""
    return pushed(subject, inputs, start, None, layer, push)


def end_included(subject, inputs, start, end, layer, push):
    """Counts the end as part of the span."""
    return pushed(subject, inputs, start, end + 1, layer, push)


def all_positions(subject, inputs, start, end, layer, push):
    """All positions instead of the last one."""
    with torch.no_grad(), subject.trace(inputs):
        stream = residual(subject.blocks[layer])
        stream[:, start:end] += push
        logits = subject.output.logits[0].save()
    return logits


def pairs_anywhere(pairs):
    """Takes the smaller of the two rates of a cell for the share of pairs."""
    rates = pairs.groupby(["layer", "strength"])[["named", "repeated"]].mean()
    return min(rates["named"].max(), rates["repeated"].max()) - rates.min(axis=1).max()


def honest_minus_careless(pairs):
    """The sign is the wrong way round."""
    pairs = pairs.assign(both=pairs["named"] & pairs["repeated"])
    rates = pairs.groupby(["layer", "strength"])[["named", "repeated", "both"]].mean()
    return rates["both"].max() - min(rates["named"].max(), rates["repeated"].max())


def larger_of_both(pairs):
    """The larger instead of the smaller of the two best rates."""
    pairs = pairs.assign(both=pairs["named"] & pairs["repeated"])
    rates = pairs.groupby(["layer", "strength"])[["named", "repeated", "both"]].mean()
    return max(rates["named"].max(), rates["repeated"].max()) - rates["both"].max()


def plain_words(text):
    """Words in lower case, without punctuation."""
    return [word.strip(".,!?;:").lower() for word in text.split()]


def words_in_any_order(answer, line):
    """Share of the line's words that occur anywhere in the answer."""
    said, wanted = plain_words(answer), plain_words(line)
    return sum(word in said for word in wanted) / len(wanted)


def share_of_the_answer(answer, line):
    """Divides by the length of the answer."""
    said, wanted = plain_words(answer), plain_words(line)
    blocks = difflib.SequenceMatcher(None, wanted, said, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / max(len(said), 1)


def first_found(answer, line):
    """Walks through the line once and takes the first place that fits, not the longest order."""
    rest, kept, wanted = plain_words(answer), 0, plain_words(line)
    for word in wanted:
        if word in rest:
            rest = rest[rest.index(word) + 1 :]
            kept += 1
    return kept / len(wanted)


def washed_everywhere(subject, inputs, start, end, layer, push, later):
    """Puts the clean stream back at every token."""
    with torch.no_grad(), subject.trace(inputs):
        clean = residual(subject.blocks[later]).clone().save()
    with torch.no_grad(), subject.trace(inputs):
        stream = residual(subject.blocks[layer])
        stream[:, start:end] += push
        stream = residual(subject.blocks[later])
        stream[:] = clean
        logits = subject.output.logits[0, -1].save()
    return logits


def subtracted(subject, inputs, start, end, layer, push, later):
    """Takes the push away again instead of putting the clean stream back."""
    with torch.no_grad(), subject.trace(inputs):
        stream = residual(subject.blocks[layer])
        stream[:, start:end] += push
        stream = residual(subject.blocks[later])
        stream[:, start:end] -= push
        logits = subject.output.logits[0, -1].save()
    return logits


def never_washed(subject, inputs, start, end, layer, push, later):
    """Forgets the second half."""
    return pushed(subject, inputs, start, end, layer, push)


WRONG = [
    ("check_share_of_pairs", lambda table: table["success"].mean(), "mean of all answers"),
    (
        "check_share_of_pairs",
        lambda table: table.groupby("question")["success"].mean().prod(),
        "multiplying two rates",
    ),
    ("check_share_of_pairs", lambda table: table.groupby("word")["success"].any().mean(), "at least one right"),
    (
        "check_share_of_pairs",
        lambda table: table.groupby("word")["success"].all().sum() / len(table),
        "divide by the 4 words",
    ),
    ("check_push_on_span", copied_span, "nothing has changed"),
    ("check_push_on_span", on_to_the_end, "stop before `end`"),
    ("check_push_on_span", end_included, "ends before it"),
    ("check_push_on_span", all_positions, "must have the shape"),
    ("check_overclaim", pairs_anywhere, "the same row is named AND repeated"),
    ("check_overclaim", honest_minus_careless, "the wrong way round"),
    ("check_overclaim", larger_of_both, "the smaller of the two"),
    ("check_words_kept", words_in_any_order, "in the wrong order"),
    ("check_words_kept", share_of_the_answer, "words in front cost nothing"),
    ("check_words_kept", first_found, "two halves swapped"),
    ("check_washed_logits", washed_everywhere, "put the clean stream back on [start, end) only"),
    ("check_washed_logits", subtracted, "Put the clean stream itself back"),
    ("check_washed_logits", never_washed, "those of the clean run"),
]
