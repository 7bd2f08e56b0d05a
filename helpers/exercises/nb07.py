"""Checks of the exercises of 07_control_your_thoughts: numbers counted by hand, properties, and plain PyTorch hooks."""

import numpy as np
import pandas as pd
import torch

from helpers import prompts
from helpers.exercises.exercise import exercise, expect, expect_tensor
from helpers.exercises.organism import largest_difference, organism, plain_streams, tokens


@exercise("Centre")
def check_centre(attempt):
    """What all cases share drops out, token by token; differences between cases stay."""
    states = torch.randn(5, 3, 2, 4, generator=torch.Generator().manual_seed(3))
    result = attempt(states.clone())
    expect_tensor(result, (5, 3, 2, 4), "the centred states")
    kept = result[0] - result[1]
    expect(
        torch.allclose(kept, states[0] - states[1], atol=1e-5),
        "the difference between two cases must stay what it was: subtract the same from every case, and do not scale",
    )
    shared = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(4))
    expect(
        torch.allclose(attempt(states + shared), result, atol=1e-4),
        "what all cases share at a token must drop out, yours changes with it: take the mean at each token by itself",
    )
    off = float(result.mean(0).abs().max())
    expect(off < 1e-4, f"the mean over the cases must be 0 at every token and layer, yours reaches {off:.2f}")


@exercise("More than any other word")
def check_held_more(attempt):
    """A plane in which all cosines are known by eye; lengths must not matter; one case does not see the other's word."""
    states = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    own = torch.tensor([[5.0, 0.0], [1.0, 1.0]])
    others = torch.tensor([[0.0, 1.0], [0.0, -4.0], [-9.0, 0.0]])
    result = attempt(states.clone(), own.clone(), others.clone())
    expect_tensor(result, (2,), "the scores, one for each case")
    longer = attempt(states * 7, own * 3, others * torch.tensor([[1.0], [2.0], [0.1]]))
    expect(
        torch.allclose(result, longer, atol=1e-5),
        "longer vectors in the same directions must give the same scores: cosines, not dot products, also for each control",
    )
    truth = torch.tensor([1 + 1 / 3, 0.5**0.5])
    expect(
        not torch.allclose(result, torch.tensor([1.0, 0.5**0.5]), atol=1e-4),
        "this is the cosine with the own word alone; subtract the mean cosine with the control words",
    )
    mean_first = torch.nn.functional.normalize(torch.nn.functional.normalize(others, dim=-1).mean(0), dim=-1)
    shared = truth.new_tensor([1.0, 0.5**0.5]) - torch.nn.functional.normalize(states, dim=-1) @ mean_first
    expect(
        not torch.allclose(result, shared, atol=1e-4),
        "this is the cosine with the mean control vector; take the cosines first and average them",
    )
    expect(
        torch.allclose(result, truth, atol=1e-4),
        f"for states {states.tolist()} the scores are {[round(t, 3) for t in truth.tolist()]}, "
        f"yours are {[round(r, 3) for r in result.tolist()]}",
    )


@exercise("Choose on one half")
def check_choose_and_test(attempt):
    """Two halves that disagree: layer 1 wins on the choosing words, layer 2 on the testing words and on all of them."""
    values = {"a": (0.1, 0.5, 0.2), "b": (0.1, 0.3, 0.4), "c": (0.0, 0.1, 0.9), "d": (0.0, 0.3, 0.7)}
    gaps = pd.DataFrame(
        [(word, layer, gap) for word, row in values.items() for layer, gap in enumerate(row)],
        columns=["word", "layer", "gap"],
    )
    result = attempt(gaps.copy(), ["a", "b"], ["c", "d"])
    expect(
        isinstance(result, tuple) and len(result) == 2,
        f"return two things, the layer and the mean gap; yours is {result!r}",
    )
    layer, value = int(result[0]), float(result[1])
    expect(layer != 2, "layer 2 is best on the testing words; they must have no say in the choice")
    expect(layer == 1, f"on the choosing words a and b layer 1 has the largest mean gap, yours is layer {layer}")
    expect(abs(value - 0.4) > 1e-6, "0.4 is the gap on the words that chose; report it on the testing words")
    expect(abs(value - 0.3) > 1e-6, "0.3 is the gap on all words; report it on the testing words alone")
    expect(abs(value - 0.2) < 1e-6, f"c and d have the mean gap 0.2 in layer 1, yours is {value:.3f}")


@exercise("Redraw words, not rows")
def check_interval_by_word(attempt):
    """Writing each word's value fifty times gains nothing; equal values leave no width; the interval holds the mean."""
    rng = np.random.default_rng(5)
    words, values = [f"word{i}" for i in range(12)], rng.normal(1.0, 0.5, 12)
    low, high = attempt(values.tolist(), words)
    expect(
        low < values.mean() < high,
        f"the interval must hold the mean {values.mean():.2f}, yours is {low:.2f} to {high:.2f}",
    )
    many_low, many_high = attempt(values.repeat(50).tolist(), [word for word in words for _ in range(50)])
    share = (many_high - many_low) / (high - low)
    expect(
        share > 0.7,
        f"fifty equal rows for each word are no new words, but your interval shrinks to {share:.0%}: redraw whole words",
    )
    spread = float(values.std(ddof=1) / 12**0.5)
    width = (high - low) / (2 * 1.96 * spread)
    expect(
        width < 1.5,
        f"your interval is {width:.1f} times as wide as expected: percentiles of the *means*, not of single values",
    )
    expect(width > 0.6, f"your interval is only {width:.1f} times as wide as expected: 2.5th to 97.5th percentile")
    low, high = attempt([2.0] * 6, ["a", "a", "b", "c", "c", "c"])
    expect(abs(low - 2) < 1e-9 and abs(high - 2) < 1e-9, "all values are 2, so the interval is 2 to 2")
    low, high = attempt([0.0] * 200 + [1.0] * 11, ["long"] * 200 + words[:11])
    expect(low < 0.2, "a word with many values counts with all of them when it is drawn; do not average words first")


@exercise("Does it reach the mouth?")
def check_leaning(attempt):
    """Two sentences against hooks; a token's lead over the vocabulary, layer by layer."""
    subject = organism()
    wording = prompts.get_template("intentional_control", "think")
    for word, sentence, token in (("bread", "A dog ran after the red ball.", 400), ("dust", "He slept all day.", 307)):
        prompt = prompts.render(subject.tokenizer, wording, word=word, sentence=sentence)
        start, end = prompt.span("sentence")
        streams = plain_streams(tokens(prompt))[1:]
        with torch.no_grad():
            logits = torch.stack([subject.unembed._module(subject.final_norm._module(each[0])) for each in streams])
            bare = torch.stack([subject.unembed._module(each[0]) for each in streams])  # [layer, position, vocabulary]
        lead = logits[..., token] - logits.mean(-1)
        result = attempt(subject, prompt, token)
        expect_tensor(result, (len(streams),), "the leads, one for each layer")
        wrong = {
            "this is the logit itself; subtract the mean over the vocabulary": logits[:, start : end - 1, token],
            "the last token of the sentence is still in it": lead[:, start:end],
            "this is taken over the whole transcript; only the sentence counts": lead,
            "final_norm is missing between stream and unembed": (bare[..., token] - bare.mean(-1))[:, start : end - 1],
        }
        for message, values in wrong.items():
            expect(largest_difference(result, values.mean(-1)) > 1e-4, message)
        off = largest_difference(result, lead[:, start : end - 1].mean(-1))
        expect(off < 1e-4, f"for {sentence!r} and token {token} the leads are others (off by {off:.0%} of the largest)")
