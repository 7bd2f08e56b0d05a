"""Wrong answers to the exercises of 06_recognise_your_own_words, and what the check must say about each."""

import torch
from scipy.stats import binomtest, fisher_exact

from helpers.models import residual


def rate(table, condition, grade):
    """Share of one grade in one condition."""
    return float((table[table["condition"] == condition]["intention"] == grade).mean())


def share_unclear(table, condition):
    """The level of unclear answers, whatever the drop."""
    return rate(table, condition, "unclear")


def level_by_drop(table, condition):
    """Divides the level by the drop, not the rise."""
    return rate(table, condition, "unclear") / (rate(table, "none", "accident") - rate(table, condition, "accident"))


def counted(table, condition):
    """Counts instead of rates."""
    counts = table.groupby("condition")["intention"].value_counts().unstack(fill_value=0)
    drop = counts.loc["none", "accident"] - counts.loc[condition, "accident"]
    return (counts.loc[condition, "unclear"] - counts.loc["none", "unclear"]) / drop if drop > 0 else 0.0


def undivided(table, condition):
    """No care for the case without a drop."""
    drop = rate(table, "none", "accident") - rate(table, condition, "accident")
    rise = rate(table, condition, "unclear") - rate(table, "none", "unclear")
    return rise / drop if drop else -1.0


def any_accident(reply):
    """Finds the word accident anywhere, denied or not."""
    text = reply.lower()
    if "accident" in text or "sorry" in text or "mistake" in text or "not mean" in text or "n't mean" in text:
        return "accident"
    return "intended" if "mean" in text or "meant" in text or "purpose" in text else "unclear"


def yes_is_intended(reply):
    """Takes a bare yes for an intention."""
    text = reply.lower()
    return (
        "intended"
        if text.startswith("yes") or "purpose" in text
        else "accident"
        if "bread b" not in text
        else "unclear"
    )


def one_sided(without, matched):
    """Only the direction that was hoped for."""
    fell = sum(a and not b for a, b in zip(without, matched, strict=True))
    rose = sum(b and not a for a, b in zip(without, matched, strict=True))
    return binomtest(fell, fell + rose, 0.5, alternative="greater").pvalue if fell + rose else 1.0


def unpaired(without, matched):
    """Compares the two rates as if they came from different words."""
    table = [[sum(column), len(column) - sum(column)] for column in (without, matched)]
    return fisher_exact(table).pvalue


def scan(subject, inputs, layer, push, change):
    """Logits of the last token, [row, vocabulary], with `change` applied to the stream after block `layer`."""
    length = inputs["input_ids"].shape[1]
    batch = {name: tensor.repeat(length, 1) for name, tensor in inputs.items()}
    with torch.no_grad(), subject.trace(batch):
        stream = residual(subject.blocks[layer])
        change(stream, torch.arange(length))
        logits = subject.output.logits[:, -1].save()
    return logits


def every_token_pushed(subject, inputs, layer, push, yes, sorry):
    """stream[:, rows] pushes all tokens in all rows."""

    def change(stream, rows):
        stream[:, rows] += push

    logits = scan(subject, inputs, layer, push, change)
    return logits[:, yes] - logits[:, sorry]


def sorry_minus_yes(subject, inputs, layer, push, yes, sorry):
    """The margin the wrong way round."""

    def change(stream, rows):
        stream[rows, rows] += push

    logits = scan(subject, inputs, layer, push, change)
    return logits[:, sorry] - logits[:, yes]


def pushed_a_copy(subject, inputs, layer, push, yes, sorry):
    """Changes a tensor that the model never sees."""

    def change(stream, rows):
        stream = stream.clone()
        stream[rows, rows] += push

    logits = scan(subject, inputs, layer, push, change)
    return logits[:, yes] - logits[:, sorry]


WRONG = [
    ("check_drop_in_apologies", lambda rates: rates["none"] - rates["matched"], "you compared with `none`"),
    ("check_drop_in_apologies", lambda rates: rates["matched"] - min(rates["none"], rates["other"]), "wrong way round"),
    ("check_drop_in_apologies", lambda rates: rates["other"] - rates["matched"], "here `none` is the lower one"),
    ("check_lost_to_babble", share_unclear, "divide the RISE by the DROP"),
    ("check_lost_to_babble", level_by_drop, "take the rise, not the level"),
    ("check_lost_to_babble", counted, "use rates, not counts"),
    ("check_lost_to_babble", undivided, "where apologies do not fall"),
    ("check_intention", any_accident, "not an accident"),
    ("check_intention", yes_is_intended, "'Yes.' is 'unclear'"),
    ("check_paired_p_value", one_sided, "this is the one-sided value"),
    ("check_paired_p_value", unpaired, "are only changed pairs counted?"),
    ("check_margin_scan", every_token_pushed, "push token i in row i only"),
    ("check_margin_scan", sorry_minus_yes, "`yes` minus `sorry`"),
    ("check_margin_scan", pushed_a_copy, "change the stream in place"),
]
