"""Wrong answers to the exercises of 07_control_your_thoughts and what the check must say about each; right ones that it must take."""

import nnsight
import torch
from torch.nn.functional import normalize

from helpers.models import residual


def dots(states, own, others):
    """Dot products."""
    return (states * own).sum(-1) - (states @ others.T).mean(-1)


def own_only(states, own, others):
    """Forgets the control words."""
    return (normalize(states, dim=-1) * normalize(own, dim=-1)).sum(-1)


def mean_vector_first(states, own, others):
    """One cosine with the mean of the control vectors."""
    mean = normalize(normalize(others, dim=-1).mean(0), dim=-1)
    return own_only(states, own, others) - normalize(states, dim=-1) @ mean


def bare_controls(states, own, others):
    """Cosine with the own word, dot products with the controls."""
    return own_only(states, own, others) - (normalize(states, dim=-1) @ others.T).mean(-1)


def scores_by_broadcasting(states, own, others):
    """Every case with every word."""
    control = torch.cosine_similarity(states[:, None], others[None], dim=-1).mean(1)
    return torch.cosine_similarity(states, own, dim=-1) - control


def chosen(gaps, choosing, testing, how="mean", report="mean"):
    """The choice, with the two averages to exchange."""
    part = gaps[gaps["word"].isin(choosing)]
    layer = int(part.groupby("layer")["gap"].agg(how).idxmax())
    return layer, float(gaps[gaps["word"].isin(testing) & (gaps["layer"] == layer)]["gap"].agg(report))


def choose_on_all(gaps, choosing, testing):
    """The testing words have a say."""
    layer = chosen(gaps, list(gaps["word"]), testing)[0]
    return layer, float(gaps[gaps["word"].isin(testing) & (gaps["layer"] == layer)]["gap"].mean())


def report_on_choosing(gaps, choosing, testing):
    """Reports the number that was chosen."""
    return chosen(gaps, choosing, choosing)


def report_on_all(gaps, choosing, testing):
    """Reports all words."""
    return chosen(gaps, choosing, list(gaps["word"]))


def report_on_the_rest(gaps, choosing, testing):
    """Reports every word that did not choose."""
    return chosen(gaps, choosing, [word for word in gaps["word"] if word not in choosing])


def layer_of_one_row(gaps, choosing, testing):
    """The layer of the largest single gap."""
    part = gaps[gaps["word"].isin(choosing)]
    layer = int(part.loc[part["gap"].idxmax(), "layer"])
    return layer, float(gaps[gaps["word"].isin(testing) & (gaps["layer"] == layer)]["gap"].mean())


def place_of_layer(gaps, choosing, testing):
    """The layer's place in the list instead of its name."""
    layers = sorted(gaps["layer"].unique())
    layer, gap = chosen(gaps, choosing, testing)
    return layers.index(layer), gap


def chosen_from_wide_table(gaps, choosing, testing):
    """A row per word, a column per layer; a list with numpy's numbers."""
    wide = gaps.pivot_table(index="word", columns="layer", values="gap")
    layer = wide.loc[choosing].mean().idxmax()
    return [layer, wide.loc[testing, layer].mean()]


def lens(subject, prompt, keep, through_norm=True, minus_mean=True, token=0):
    """A logit lens with one of its parts left out."""
    ids = torch.tensor([prompt.token_ids])
    with torch.no_grad(), subject.trace({"input_ids": ids, "attention_mask": torch.ones_like(ids)}):
        leads = nnsight.save([])
        for block in subject.blocks:
            stream = residual(block)[0, keep]
            logits = subject.unembed(subject.final_norm(stream) if through_norm else stream)
            leads.append((logits[:, token] - (logits.mean(-1) if minus_mean else 0)).mean())
    return torch.stack(list(leads))


def sentence(prompt, without_last=1):
    """The sentence's tokens."""
    start, end = prompt.span("sentence")
    return slice(start, end - without_last)


def raw_logit(subject, prompt, token):
    """Does not subtract the vocabulary's mean."""
    return lens(subject, prompt, sentence(prompt), minus_mean=False, token=token)


def last_token_too(subject, prompt, token):
    """Keeps the full stop."""
    return lens(subject, prompt, sentence(prompt, 0), token=token)


def without_norm(subject, prompt, token):
    """Leaves final_norm out."""
    return lens(subject, prompt, sentence(prompt), through_norm=False, token=token)


def log_probability(subject, prompt, token):
    """The logarithm of the probability."""
    ids = torch.tensor([prompt.token_ids])
    with torch.no_grad(), subject.trace({"input_ids": ids, "attention_mask": torch.ones_like(ids)}):
        found = nnsight.save([])
        for block in subject.blocks:
            logits = subject.unembed(subject.final_norm(residual(block)[0, sentence(prompt)]))
            found.append(logits.log_softmax(-1)[:, token].mean())
    return torch.stack(list(found))


def leads_by_hooks(subject, prompt, token):
    """Plain PyTorch."""
    seen = []
    hooks = [
        block.register_forward_hook(lambda _b, _i, output: seen.append(output[0])) for block in subject.blocks._module
    ]
    with torch.no_grad():
        subject._module(torch.tensor([prompt.token_ids]))
        for hook in hooks:
            hook.remove()
        logits = subject.unembed._module(subject.final_norm._module(torch.stack(seen)[:, sentence(prompt)]))
    return (logits[..., token] - logits.mean(-1)).mean(-1)


WRONG = [
    ("check_centre", lambda states: states - states.mean((0, 1), keepdim=True), "at each token by itself"),
    ("check_centre", lambda states: states - states.mean(-1, keepdim=True), "this is the mean over the width"),
    ("check_centre", lambda states: states, "nothing is subtracted"),
    ("check_centre", lambda states: states.sub_(states.mean(0)), "work on a copy"),
    ("check_held_more", dots, "these are dot products"),
    ("check_held_more", own_only, "the own word alone"),
    ("check_held_more", mean_vector_first, "average them"),
    ("check_held_more", bare_controls, "take cosines with the controls as well"),
    ("check_choose_and_test", choose_on_all, "must have no say"),
    ("check_choose_and_test", report_on_choosing, "the words that chose"),
    ("check_choose_and_test", report_on_all, "the gap on all words;"),
    ("check_choose_and_test", report_on_the_rest, "all words that did not choose"),
    ("check_choose_and_test", layer_of_one_row, "chosen by a single row"),
    ("check_choose_and_test", lambda *case: chosen(*case, how="median"), "chosen by the median"),
    ("check_choose_and_test", lambda *case: chosen(*case, report="median"), "that is reported is a median"),
    ("check_choose_and_test", place_of_layer, "not its place in a list"),
    ("check_leaning", raw_logit, "subtract the mean over the vocabulary"),
    ("check_leaning", last_token_too, "the last token of the sentence"),
    ("check_leaning", without_norm, "final_norm is missing"),
    ("check_leaning", log_probability, "the logarithm of the probability"),
]

RIGHT = [
    ("check_centre", lambda states: torch.stack([case - sum(states) / len(states) for case in states])),
    ("check_held_more", scores_by_broadcasting),
    ("check_choose_and_test", chosen_from_wide_table),
    ("check_leaning", leads_by_hooks),
]
