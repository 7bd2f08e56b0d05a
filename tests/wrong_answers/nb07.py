"""Wrong answers to the exercises of 07_control_your_thoughts, and what the check must say about each."""

import nnsight
import numpy as np
import pandas as pd
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


def choose_on_all(gaps, choosing, testing):
    """The testing words have a say."""
    layer = int(gaps.groupby("layer")["gap"].mean().idxmax())
    return layer, float(gaps[gaps["word"].isin(testing) & (gaps["layer"] == layer)]["gap"].mean())


def report_on_choosing(gaps, choosing, testing):
    """Reports the number that was chosen."""
    means = gaps[gaps["word"].isin(choosing)].groupby("layer")["gap"].mean()
    return int(means.idxmax()), float(means.max())


def report_on_all(gaps, choosing, testing):
    """Reports all words."""
    layer = int(gaps[gaps["word"].isin(choosing)].groupby("layer")["gap"].mean().idxmax())
    return layer, float(gaps[gaps["layer"] == layer]["gap"].mean())


def rows_redrawn(values, of_word, draws=2000):
    """Redraws rows."""
    drawn = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    return tuple(np.percentile(np.array(values)[drawn].mean(1), [2.5, 97.5]))


def percentiles_of_values(values, of_word, draws=2000):
    """No mean is taken."""
    return tuple(np.percentile(pd.Series(values).groupby(list(of_word)).mean(), [2.5, 97.5]))


def words_averaged_first(values, of_word, draws=2000):
    """Every word counts once, however many values it has."""
    means = pd.Series(values).groupby(list(of_word)).mean().to_numpy()
    drawn = np.random.default_rng(0).integers(len(means), size=(draws, len(means)))
    return tuple(np.percentile(means[drawn].mean(1), [2.5, 97.5]))


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


WRONG = [
    ("check_centre", lambda states: states - states.mean((0, 1), keepdim=True), "at each token by itself"),
    ("check_centre", lambda states: states - states.mean(-1, keepdim=True), "subtract the same from every case"),
    ("check_centre", lambda states: states, "must drop out"),
    ("check_held_more", dots, "cosines, not dot products"),
    ("check_held_more", own_only, "the own word alone"),
    ("check_held_more", mean_vector_first, "average them"),
    ("check_choose_and_test", choose_on_all, "must have no say"),
    ("check_choose_and_test", report_on_choosing, "the words that chose"),
    ("check_choose_and_test", report_on_all, "the gap on all words"),
    ("check_interval_by_word", rows_redrawn, "redraw whole words"),
    ("check_interval_by_word", percentiles_of_values, "not of single values"),
    ("check_interval_by_word", words_averaged_first, "do not average words first"),
    ("check_leaning", raw_logit, "subtract the mean over the vocabulary"),
    ("check_leaning", last_token_too, "the last token of the sentence"),
    ("check_leaning", without_norm, "final_norm is missing"),
]
