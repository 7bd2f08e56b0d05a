"""Checks of the exercises of 07_control_your_thoughts: numbers counted by hand, properties, and plain PyTorch hooks."""

import random

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import normalize

from helpers import prompts
from helpers.exercises.exercise import (
    call,
    exercise,
    expect,
    expect_all_near,
    expect_list,
    expect_number,
    expect_tensor,
    expect_whole_number,
    near,
)
from helpers.exercises.organism import call_on_organism, largest_difference, organism, plain_streams, tokens


@exercise("Centre")
def check_centre(attempt):
    """Random states in two shapes: what all cases share drops out, token by token and layer by layer."""
    generator, tried = torch.Generator().manual_seed(2026), []
    for shape in ((5, 3, 2, 4), (2, 1, 3, 6)):
        states = torch.randn(shape, generator=generator) + 3 * torch.randn(shape[1:], generator=generator)
        result = expect_tensor(call(attempt, states), shape, "the centred states")
        truth = states - sum(states) / len(states)
        mistakes = {
            "nothing is subtracted": states,
            "the sign is the wrong way round: the states minus their mean": -truth,
            "this is the mean itself; subtract it from every case": states - truth,
            "the tokens are averaged too; take the mean over the cases at each token by itself": states
            - states.mean((0, 1), keepdim=True),
            "the layers are averaged too; take the mean over the cases at each layer by itself": states
            - states.mean((0, 2), keepdim=True),
            "this is the mean over the tokens; take it over the cases, the first dimension": states
            - states.mean(1, keepdim=True),
            "this is the mean over the width; take it over the cases, the first dimension": states
            - states.mean(-1, keepdim=True),
            "this subtracts one number, the mean of everything; take the mean over the cases only": states
            - states.mean(),
            "the states are scaled as well; only subtract": truth / states.std(0),
        }
        off = float(result.mean(0).abs().max())
        same = near(result[0] - result[1], states[0] - states[1])
        message = f"the mean over the cases must be 0 at every token and layer, yours reaches {off:.2f}"
        if not same:
            message = "the difference between two cases must stay what it was: subtract the same from every case, do not scale"
        tried.append((result, truth, mistakes, message))
    expect_all_near(tried)


@exercise("More than any other word")
def check_held_more(attempt):
    """A plane in which all cosines are known by eye, then random vectors of very different lengths."""
    generator, plane = (
        torch.Generator().manual_seed(2026),
        (
            torch.tensor([[2.0, 0.0], [0.0, 3.0]]),
            torch.tensor([[5.0, 0.0], [1.0, 1.0]]),
            torch.tensor([[0.0, 1.0], [0.0, -4.0], [-9.0, 0.0]]),
        ),
    )
    cases, tried = [plane], []
    for words in (6, 3):
        lengths = [torch.rand(n, 1, generator=generator) * 20 + 0.1 for n in (4, 4, words)]
        cases.append([each * torch.randn(len(each), 7, generator=generator) for each in lengths])
    for states, own, others in cases:
        result = expect_tensor(call(attempt, states, own, others), (len(states),), "the scores (one for each case)")
        own_cosine = torch.cosine_similarity(states, own, dim=-1)
        control = torch.stack(
            [torch.cosine_similarity(state[None], others, dim=-1) for state in states]
        )  # [case, word]
        truth = own_cosine - control.mean(-1)
        unit = normalize(states, dim=-1)
        mistakes = {
            "these are dot products: take cosines, so that lengths do not matter": (states * own).sum(-1)
            - (states @ others.T).mean(-1),
            "longer control vectors must give the same scores: take cosines with the controls as well": own_cosine
            - (unit @ others.T).mean(-1),
            "this is the cosine with the own word alone; subtract the mean cosine with the control words": own_cosine,
            "this is the cosine with the mean control vector; take the cosines first and average them": own_cosine
            - unit @ normalize(normalize(others, dim=-1).mean(0), dim=-1),
            "this is the cosine with the mean of the control vectors; take the cosines first and average them": own_cosine
            - unit @ normalize(others.mean(0), dim=-1),
            "the sum of the control cosines is subtracted; take their mean": own_cosine - control.sum(-1),
            "the largest control cosine is subtracted; take their mean": own_cosine - control.amax(-1),
            "the controls are averaged over the cases too; every case has a control of its own": own_cosine
            - control.mean(),
            "control cosines have a sign: average them as they are": own_cosine - control.abs().mean(-1),
            "the sign is the wrong way round: the own word minus the controls": -truth,
        }
        numbers = [[round(float(each), 3) for each in part] for part in (truth, result)]
        message = f"for {len(states)} cases and {len(others)} control words the scores are {numbers[0]}, yours are {numbers[1]}"
        tried.append((result, truth, mistakes, message))
    expect_all_near(tried)


@exercise("Choose on one half")
def check_choose_and_test(attempt):
    """Halves that disagree, as a table of four words and as random tables; words in neither half, layers that are no positions."""
    by_eye = {"a": (0.1, 0.5, 0.2), "b": (0.1, 0.3, 0.4), "c": (0.0, 0.1, 0.9), "d": (0.0, 0.3, 0.7)}
    cases, tried = [([0, 1, 2], by_eye, ["a", "b"], ["c", "d"])], []
    for seed in range(6):
        rng = random.Random(seed)
        words = [f"word {i}" for i in range(13)]
        values = {word: [rng.gauss(0.2, 1) ** 3 for _ in range(4)] for word in words}
        rng.shuffle(words)
        cases.append(([2, 5, 7, 11], values, words[:5], words[5:10]))
    for number, (layers, values, choosing, testing) in enumerate(cases):
        rows = [(word, layer, gap) for word, gaps in values.items() for layer, gap in zip(layers, gaps, strict=True)]
        gaps = pd.DataFrame(rows, columns=["word", "layer", "gap"]).sample(frac=1, random_state=number)
        result = expect_list(call(attempt, gaps, choosing, testing), "the result (layer, mean gap)", 2)
        layer, value = expect_whole_number(result[0], "the layer"), expect_number(result[1], "the mean gap")
        expect(
            layer in layers, f"the layer must be one of {layers}, yours is {layer}: its name, not its place in a list"
        )
        table = np.array([values[word] for word in [*choosing, *testing]])  # [word, layer]
        chose, tested, everyone = table[: len(choosing)], table[len(choosing) :], np.array(list(values.values()))
        best = int(chose.mean(0).argmax())
        others = np.array([values[word] for word in values if word not in choosing])

        def outcome(place: int, gap: float, layers: list[int] = layers) -> torch.Tensor:
            return torch.tensor([layers[int(place)], 10 * gap], dtype=torch.float64)

        truth = outcome(best, tested[:, best].mean())
        mistakes = {
            "the testing words must have no say in the choice of the layer": outcome(
                everyone.mean(0).argmax(), tested[:, everyone.mean(0).argmax()].mean()
            ),
            "the choosing and the testing words are exchanged": outcome(
                tested.mean(0).argmax(), chose[:, tested.mean(0).argmax()].mean()
            ),
            "this is the gap on the words that chose; report it on the testing words": outcome(
                best, chose[:, best].mean()
            ),
            "this is the gap on all words; report it on the testing words alone": outcome(
                best, everyone[:, best].mean()
            ),
            "this is the gap on all words that did not choose; report it on the testing words": outcome(
                best, others[:, best].mean()
            ),
            "this is the best layer of the testing words' own choice; report the chosen layer": outcome(
                best, tested.mean(0).max()
            ),
            "the layer is chosen by a single row; average over the choosing words first": outcome(
                chose.max(0).argmax(), tested[:, chose.max(0).argmax()].mean()
            ),
            "the layer is chosen by the median; take the mean gap of the choosing words": outcome(
                np.median(chose, 0).argmax(), tested[:, np.median(chose, 0).argmax()].mean()
            ),
            "the gap that is reported is a median; take the mean": outcome(best, np.median(tested[:, best])),
            "a large negative gap is no large gap: do not take absolute values": outcome(
                abs(chose.mean(0)).argmax(), tested[:, abs(chose.mean(0)).argmax()].mean()
            ),
        }
        message = (
            f"with the mean gaps {dict(zip(layers, chose.mean(0).round(3).tolist(), strict=True))} on the choosing words the "
            f"layer is {layers[best]}, where the testing words have the mean {tested[:, best].mean():.3f}; yours says layer "
            f"{layer} and {value:.3f}"
        )
        tried.append((torch.tensor([layer, 10 * value], dtype=torch.float64), truth, mistakes, message))
    expect_all_near(tried)


@exercise("Does it reach the mouth?")
def check_leaning(attempt):
    """Two sentences against hooks; a token's lead over the vocabulary, layer by layer."""
    subject, tried = organism(), []
    template = prompts.get_template("intentional_control", "think")
    for word, sentence, token in (("bread", "A dog ran after the red ball.", 400), ("dust", "He slept all day.", 307)):
        prompt = prompts.render(subject.tokenizer, template, word=word, sentence=sentence)
        start, end = prompt.span("sentence")
        streams = torch.cat(plain_streams(tokens(prompt)))  # [embedding and blocks, position, width]
        with torch.no_grad():
            normed = subject.final_norm._module(streams)
            logits, bare = (
                subject.unembed._module(normed),
                subject.unembed._module(streams),
            )  # [layer, position, vocabulary]
            of_mean = subject.unembed._module(subject.final_norm._module(streams[1:, start : end - 1].mean(1)))
        lead = logits[..., token] - logits.mean(-1)
        inside = slice(start, end - 1)
        result = expect_tensor(
            call_on_organism(attempt, prompt, token), (len(lead) - 1,), "the leads (one for each layer)"
        )
        truth = lead[1:, inside].mean(-1)
        mistakes = {
            "this is the logit itself; subtract the mean over the vocabulary": logits[1:, inside, token].mean(-1),
            "this is the logarithm of the probability; subtract the mean logit of the vocabulary instead": logits.log_softmax(
                -1
            )[1:, inside, token].mean(-1),
            "this is a probability; the lead is a difference of logits": logits.softmax(-1)[1:, inside, token].mean(-1),
            "this is the distance to the largest logit; subtract the mean over the vocabulary": (
                logits[..., token] - logits.amax(-1)
            )[1:, inside].mean(-1),
            "the last token of the sentence is still in it": lead[1:, start:end].mean(-1),
            "the first token of the sentence is missing": lead[1:, start + 1 : end - 1].mean(-1),
            "the token before the sentence is in it": lead[1:, start - 1 : end - 1].mean(-1),
            "this is the last token of the sentence alone; take all the others": lead[1:, end - 1],
            "this is taken over the whole transcript; only the sentence counts": lead[1:].mean(-1),
            "final_norm is missing between stream and unembed": (bare[..., token] - bare.mean(-1))[1:, inside].mean(-1),
            "these are the streams before each block; take the ones after it": lead[:-1, inside].mean(-1),
            "this is the sum over the tokens; take the mean": lead[1:, inside].sum(-1),
            "the streams are averaged before final_norm; average the leads": of_mean[:, token] - of_mean.mean(-1),
            "the sign is the wrong way round: the token's logit minus the mean": -truth,
        }
        off = largest_difference(result, truth)
        message = f"for {sentence!r} and token {token} the leads are others (off by {off:.0%} of the largest)"
        tried.append((result, truth, mistakes, message))
    expect_all_near(tried)
