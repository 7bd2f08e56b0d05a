"""Experiment 4 ("Intentional control of internal states"): does a model hold a word in mind when it is told to?

Nothing is injected or generated: the model reads a request and a sentence as its own reply, and its activations are compared
with the word's concept vector.
"""

import math

import pandas as pd
import torch

from helpers import concepts, prompts
from helpers.checks import as_list
from helpers.experiments.measures import EFFECT, Cell, Result, estimates_table, reasons
from helpers.stats import check_table, clustered_mean, smallest
from helpers.stats.inputs import check_values
from helpers.vectors import concept_vectors, read_spans

LABEL = "4 holds a thought when told to"
FRAMES = ("think", "dont_think", "mention")
WRITTEN = "word_written"  # positive control: the word is in the model's own reply, right before the sentence


def cosines(
    model, words: list[str], sentences: list[str], wordings: tuple[str, ...] = (*FRAMES, WRITTEN), batch_size: int = 16
) -> pd.DataFrame:
    """How strongly each word is held while a sentence is written.

    Args:
        words: concept words of the paper's lists, at least two.
        sentences: at least one.
        wordings: ids in data/prompts/intentional_control.yaml, and WRITTEN.
        batch_size: prompts read at once.

    Returns:
        One row per word, sentence, wording, layer and token of the sentence, its last token left out (there the model
        prepares what comes next). cosine: between the word's concept vector and the residual stream, centred (minus the mean
        over all words and wordings at this token, WRITTEN by itself, as a few large dimensions would rule the cosine
        otherwise). control_cosine: mean of the same for the paper's 100 control words.

    Raises:
        ValueError: for fewer than two words (there would be nothing to centre by) or no sentence.
    """
    words, sentences = concepts.check_concepts(words), as_list("sentences", sentences)
    if len(words) < 2:
        raise ValueError(f"need at least two words, got {words}")
    for what, texts in (("sentences", sentences), ("wordings", as_list("wordings", wordings))):
        if not all(isinstance(text, str) and text.strip() for text in texts) or len(set(texts)) < len(texts):
            raise ValueError(f"{what} must be different texts, got {texts!r:.80}")
    others = [word for word in concepts.control_words() if word not in words]
    templates = {
        wording: prompts.get_template("positive_controls" if wording == WRITTEN else "intentional_control", wording)
        for wording in wordings
    }
    directions = torch.nn.functional.normalize(concept_vectors(model, [*words, *others]), dim=-1)
    cases = [(word, wording) for word in words for wording in wordings]
    written = torch.tensor([wording == WRITTEN for _, wording in cases])
    tables = []
    for sentence in sentences:
        states_of = {}
        for wording, template in templates.items():  # by wording, as its prompts begin alike
            asked = [prompts.render(model.tokenizer, template, sentence=sentence, word=word) for word in words]
            spans = [(start, end - 1) for start, end in (prompt.span("sentence") for prompt in asked)]
            if any(start >= end for start, end in spans):
                raise ValueError(f"a sentence needs at least two tokens, got {sentence!r}")
            for word, states in zip(words, read_spans(model, asked, spans, batch_size), strict=True):
                states_of[word, wording] = states
        read = [states_of[case] for case in cases]
        shortest = min(map(len, read))  # a tokenizer may merge the first word with what stands before it
        own = torch.stack([directions[words.index(word)] for word, _ in cases])  # [case, layer, width]
        control_mean = directions[len(words) :].mean(0)  # [layer, width]
        cosine, control = torch.empty(2, len(cases), shortest, own.shape[1])  # [case, token, layer] each
        for layer in range(own.shape[1]):  # one by one: all states of a large model at once would be gigabytes
            states = torch.stack([each[-shortest:, layer] for each in read])  # [case, token, width]
            for group in (written, ~written):
                states[group] -= states[group].mean(0)
            states = torch.nn.functional.normalize(states, dim=-1)
            cosine[:, :, layer] = (states * own[:, None, layer]).sum(-1)
            control[:, :, layer] = states @ control_mean[layer]
        index = pd.MultiIndex.from_product([range(size) for size in cosine.shape], names=["case", "token", "layer"])
        columns = {"cosine": cosine.flatten().numpy(), "control_cosine": control.flatten().numpy()}
        table = pd.DataFrame(columns, index=index).reset_index()
        table.insert(0, "word", table["case"].map(lambda case: cases[case][0]))
        table.insert(1, "wording", table.pop("case").map(lambda case: cases[case][1]))
        table.insert(2, "sentence", sentence)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def measure(
    held: pd.DataFrame,
    model: str,
    wordings: tuple[str, str, str] = FRAMES,
    seed: int = 0,
    untrained: pd.DataFrame | None = None,
    layer: int | None = None,
) -> Result:
    """How much more a word is held when told to think of it than when told not to, or when it is merely mentioned.

    Two different texts leave different traces in any network. So the effect is what the model shows beyond an untrained copy
    of itself (`models.untrained_copy`) in the same layer, on the same words and sentences.

    Args:
        held: the table of `cosines`, of one run and without gaps; ValueError for others.
        model: its name.
        wordings: ids of the three frames think, don't think, mention.
        seed: of the halves of the words.
        untrained: the table of `cosines` of the untrained copy; None for models of which only one fits into memory.
        layer: chosen elsewhere; by default the one in which half of the words show the largest gap.

    Returns:
        held_think, held_dont_think, held_mention: cosine with the word minus that with control words. gap: think minus the
        larger of the two others (the smaller of both paired differences); gap_untrained: the same in the untrained copy;
        effect: the smaller of both differences beyond those of the copy; gap_at_last_layer: where a "silent" thought is gone.
        It cannot tell where no copy was measured; a null says nothing where the word is not even found in the activations
        right behind the word itself.
    """
    scores = _by_trial(held)
    if scores.isna().any(axis=None) or len(scores) < math.prod(scores.index.remove_unused_levels().levshape):
        raise ValueError("every word must be measured in every wording, sentence and layer; the table has gaps")
    if not isinstance(wordings, tuple | list) or len(set(wordings)) != 3 or not set(wordings) <= set(scores):
        raise ValueError(f"wordings must be three of {', '.join(scores)}, got {wordings!r}")
    think, *others = wordings
    choosing, testing = concepts.split_in_halves(sorted(scores.index.unique("word")), seed)
    if layer is None:
        means = scores[scores.index.isin(choosing, "word")].groupby("layer").mean()
        layer = int((means[think] - means[others].max(axis=1)).idxmax())
    layers = scores.index.unique("layer").tolist()
    if isinstance(layer, bool) or layer not in layers:
        raise ValueError(f"layer must be one of {layers}, got {layer!r}")
    floor = None if untrained is None else _by_trial(untrained).reindex(index=scores.index, columns=list(wordings))
    if floor is not None and floor.isna().any(axis=None):
        raise ValueError("the untrained copy must be measured on the same words, sentences, layers and wordings")

    def tested(table: pd.DataFrame, number: int) -> pd.DataFrame:
        return table.xs(number, level="layer").loc[lambda part: part.index.isin(testing, "word")]

    def gap(table: pd.DataFrame, most: int = 4):  # a gap is at most 4, as each score is at most 2
        words = table.index.get_level_values("word")
        return smallest(*(clustered_mean(table[think] - table[other], words, bounds=(-most, most)) for other in others))

    own, last = tested(scores, layer), int(scores.index.unique("layer").max())
    words = own.index.get_level_values("word")
    measures = {
        f"held_{frame}": clustered_mean(own[wording], words, bounds=(-2, 2))
        for frame, wording in zip(FRAMES, wordings, strict=True)
    }
    measures |= {"gap": gap(own), "gap_at_last_layer": gap(tested(scores, last))}
    measures[EFFECT] = measures["gap"]
    if floor is not None:
        measures["gap_untrained"] = gap(tested(floor, layer))
        measures[EFFECT] = gap(own - tested(floor, layer), 8)
    written = 1.0
    if WRITTEN in own:
        measures["held_when_written"] = clustered_mean(own[WRITTEN], words, bounds=(-2, 2))
        written = measures["held_when_written"].low
    broken = reasons((floor is None, "no untrained copy was measured, and any network shows some gap"))
    powerless = reasons((written <= 0, "the word is not found in the activations even right behind the word itself"))
    return Result(estimates_table(model, measures), Cell(layer, math.nan, testing), broken, powerless)


def _by_trial(held: pd.DataFrame) -> pd.DataFrame:
    """Mean over tokens of cosine minus control cosine: index word, sentence, layer; one column per wording."""
    trial = ["word", "sentence", "layer", "wording"]
    check_table(held, [*trial, "token", "cosine", "control_cosine"])
    if held.duplicated([*trial, "token"]).any():
        raise ValueError("two cosines of one word at one token: measure each model, and each run, by itself")
    score = check_values(held["cosine"], "cosine") - check_values(held["control_cosine"], "control_cosine")
    return held.assign(score=score).pivot_table(index=trial[:3], columns="wording", values="score")
