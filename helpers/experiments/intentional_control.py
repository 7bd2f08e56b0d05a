"""Experiment 4 ("Intentional control of internal states"): does a model hold a word in mind when it is told to?

Nothing is injected or generated: the model reads a request and a sentence as its own reply, and its activations are compared
with the word's concept vector.
"""

import math

import pandas as pd
import torch

from helpers import concepts, prompts
from helpers.experiments.measures import EFFECT, Result, estimates_table
from helpers.stats import Estimate, clustered_mean
from helpers.vectors import concept_vectors, read_spans

LABEL = "4 holds a thought when told to"
FRAMES = ("think", "dont_think", "mention")


def cosines(
    model, words: list[str], sentences: list[str], wordings: tuple[str, ...] = FRAMES, batch_size: int = 64
) -> pd.DataFrame:
    """How strongly each word is held while a sentence is written.

    Args:
        words: concept words of the paper's lists, at least two.
        sentences: at least one.
        wordings: ids in data/prompts/intentional_control.yaml.
        batch_size: prompts read at once.

    Returns:
        One row per word, sentence, wording, layer and token of the sentence, its last token left out (there the model
        prepares what comes next). cosine: between the word's concept vector and the residual stream, centred (minus the mean
        over all words and wordings at this token, as a few large dimensions would rule the cosine otherwise). control_cosine:
        mean of the same for the paper's 100 control words.

    Raises:
        ValueError: for fewer than two words (there would be nothing to centre by) or no sentence.
    """
    words = concepts.check_concepts(words)
    if len(words) < 2 or not sentences:
        raise ValueError(f"need at least two words and one sentence, got {len(words)} and {len(sentences)}")
    others = [word for word in concepts.control_words() if word not in words]
    directions = torch.nn.functional.normalize(concept_vectors(model, [*words, *others]), dim=-1)
    cases = [(word, wording) for word in words for wording in wordings]
    tables = []
    for sentence in sentences:
        rendered = [
            prompts.render(
                model.tokenizer, prompts.get_template("intentional_control", wording), sentence=sentence, word=word
            )
            for word, wording in cases
        ]
        spans = [(start, end - 1) for start, end in (prompt.span("sentence") for prompt in rendered)]
        states = torch.stack(read_spans(model, rendered, spans, batch_size))  # [case, token, layer, width]
        states = torch.nn.functional.normalize(states - states.mean(0), dim=-1)
        own = torch.stack([directions[words.index(word)] for word, _ in cases])  # [case, layer, width]
        cosine = (states * own[:, None]).sum(-1)  # [case, token, layer]
        control = torch.einsum("ctlw,olw->ctl", states, directions[len(words) :]) / len(others)
        index = pd.MultiIndex.from_product([range(size) for size in cosine.shape], names=["case", "token", "layer"])
        columns = {"cosine": cosine.flatten().numpy(), "control_cosine": control.flatten().numpy()}
        table = pd.DataFrame(columns, index=index).reset_index()
        table.insert(0, "word", table["case"].map(lambda case: cases[case][0]))
        table.insert(1, "wording", table.pop("case").map(lambda case: cases[case][1]))
        table.insert(2, "sentence", sentence)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def measure(held: pd.DataFrame, model: str, wordings: tuple[str, str, str] = FRAMES, seed: int = 0) -> Result:
    """How much more a word is held when told to think of it than when told not to, or when it is merely mentioned.

    Args:
        held: the table of `cosines`.
        model: its name.
        wordings: ids of the three frames think, don't think, mention.
        seed: of the halves of the words.

    Returns:
        held_think, held_dont_think, held_mention; effect: think minus the larger of the two others, in the layer in which
        half of the words show the largest effect; effect_at_last_layer: the same after the last block, where a "silent"
        thought is gone.
    """
    think, dont, mention = wordings
    held = held.assign(score=held["cosine"] - held["control_cosine"])
    by_trial = held.pivot_table(index=["word", "sentence", "layer"], columns="wording", values="score").reset_index()
    choosing, testing = concepts.split_in_halves(sorted(by_trial["word"].unique()), seed)
    means = by_trial[by_trial["word"].isin(choosing)].groupby("layer")[[think, dont, mention]].mean()
    layer = int((means[think] - means[[dont, mention]].max(axis=1)).idxmax())
    tested = by_trial[by_trial["word"].isin(testing)]

    def at(number: int) -> dict[str, Estimate]:
        part = tested[tested["layer"] == number]
        larger = max((dont, mention), key=lambda wording: part[wording].mean())
        frames = zip(FRAMES, wordings, strict=True)
        return {
            **{f"held_{frame}": clustered_mean(part[wording], part["word"]) for frame, wording in frames},
            EFFECT: clustered_mean(part[think] - part[larger], part["word"]),
        }

    measures = {**at(layer), "effect_at_last_layer": at(int(tested["layer"].max()))[EFFECT]}
    return Result(estimates_table(model, measures), layer, math.nan, testing)
