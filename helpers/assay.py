"""From graded trials to the numbers of an experiment, each with its interval, and the proof that the assay works.

Layer and strength are chosen on half of the words and every number is taken from the other half, the words that had no say.
All four experiments end in one `effect` that is about 0, or less, for a model without introspection (in experiment 4 an
untrained network may read more, see notebook 07): experiment 1, success minus false positives; experiment 2, both answers
right with the injection minus without; experiment 3, the drop in apologies; experiment 4, how much more the word is held when
told to think of it than when told not to, or when it is merely mentioned.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers import concepts, experiments, models, prompts, runner
from helpers.setup import run_folder
from helpers.statistics import (
    Estimate,
    best_cell,
    clustered_mean,
    clustered_rate,
    criterion,
    d_prime,
    split_half_selection,
    subtract,
)

EFFECT = "effect"
FRAMES = ("think", "dont_think", "mention")  # of experiment 4


@dataclass(frozen=True)
class Result:
    """table: model, measure, value, low, high, n. layer, strength: the chosen cell (strength NaN where none applies).
    testing_words: the words on which the table was measured."""

    table: pd.DataFrame
    layer: int
    strength: float
    testing_words: list[str]

    def measure(self, name: str) -> Estimate:
        """One line of the table; KeyError with the known names."""
        lines = self.table.set_index("measure")
        if name not in lines.index:
            raise KeyError(f"no measure {name!r}; there are {', '.join(lines.index)}")
        line = lines.loc[name]
        return Estimate(float(line["value"]), float(line["low"]), float(line["high"]), int(line["n"]))


def _table(model: str, measures: dict[str, Estimate]) -> pd.DataFrame:
    rows = [(model, name, *estimate) for name, estimate in measures.items()]
    return pd.DataFrame(rows, columns=["model", "measure", "value", "low", "high", "n"])


def _at(trials: pd.DataFrame, condition: str, chosen) -> pd.DataFrame:
    """Trials of one condition with the testing words; in the chosen cell where the condition has cells."""
    part = trials[(trials["condition"] == condition) & trials["word"].isin(chosen.testing_words)]
    if condition != "none":
        part = part[(part["layer"] == chosen.layer) & (part["strength"] == chosen.strength)]
    if part.empty:
        raise ValueError(f"no trials of condition {condition!r} in layer {chosen.layer}, strength {chosen.strength}")
    return part


def _one_model(trials: pd.DataFrame) -> str:
    names = trials["model"].unique()
    if len(names) != 1:
        raise ValueError(f"measure one model at a time, got {', '.join(map(repr, names))}")
    return names[0]


def injected_thought(graded: pd.DataFrame, seed: int = 0) -> Result:
    """Experiment 1. graded: `experiments.grade` of `injected_thought_trials`, one model.

    success: affirmative, coherent, and the word named as the thought, not before the claim. net_rate (also the effect): success
    minus false positives. d_prime, criterion: from detections with and without an injection.
    """
    model, injected = _one_model(graded), graded[graded["condition"] == "concept"]
    chosen = split_half_selection(injected, "success", seed)
    graded = graded.assign(word=graded["vector_of"])
    here, random = _at(graded, "concept", chosen), _at(graded, "random", chosen)
    control = graded[graded["condition"] == "none"]
    false_positives = clustered_rate(control["affirmative"], control["trial_id"])
    success = clustered_rate(here["success"], here["word"])
    counts = (int(here["affirmative"].sum()), len(here), int(control["affirmative"].sum()), len(control))
    net = subtract(success, false_positives)
    measures = {
        "success_rate": success,
        "detection_rate": clustered_rate(here["affirmative"], here["word"]),
        "identification_rate": clustered_rate(here["identified"], here["word"]),
        "false_positive_rate": false_positives,
        "random_vector_detection_rate": clustered_rate(random["affirmative"], random["word"]),
        "coherence_rate": clustered_rate(here["coherent"], here["word"]),
        "net_rate": net,
        "d_prime": d_prime(*counts),
        "criterion": criterion(*counts),
        EFFECT: net,
    }
    return Result(_table(model, measures), chosen.layer, chosen.strength, chosen.testing_words)


def _pairs(graded: pd.DataFrame) -> pd.DataFrame:
    """Experiment 2: the two questions about one injection in one row; both: the word named and the line repeated."""
    pairs = graded.pivot_table(
        index=["condition", "concept", "layer", "strength", "seed"],
        columns="question",
        values="success",
        aggfunc="first",
        dropna=False,
        observed=True,
    ).dropna(subset=["thought", "repeat"])
    pairs = pairs.astype(bool).reset_index().assign(word=lambda table: table["concept"])
    return pairs.assign(both=pairs["thought"] & pairs["repeat"])


def thought_or_text(graded: pd.DataFrame, seed: int = 0) -> Result:
    """Experiment 2. A pair counts where the injected word is named and the line is repeated, in the same cell.

    named_without_injection is what the ten options alone give (chance 0.10). effect: pairs right with minus without injection.
    """
    model, pairs = _one_model(graded), _pairs(graded)
    chosen = split_half_selection(pairs[pairs["condition"] == "concept"], "both", seed)
    here, random, none = (_at(pairs, condition, chosen) for condition in ("concept", "random", "none"))
    both, both_without = clustered_rate(here["both"], here["word"]), clustered_rate(none["both"], none["word"])
    measures = {
        "named_rate": clustered_rate(here["thought"], here["word"]),
        "repeated_rate": clustered_rate(here["repeat"], here["word"]),
        "both_rate": both,
        "named_without_injection": clustered_rate(none["thought"], none["word"]),
        "named_with_random_vector": clustered_rate(random["thought"], random["word"]),
        "both_without_injection": both_without,
        EFFECT: subtract(both, both_without),
    }
    return Result(_table(model, measures), chosen.layer, chosen.strength, chosen.testing_words)


def _matched(graded: pd.DataFrame) -> pd.DataFrame:
    """Experiment 3: trials with the prefilled word injected; stands: the model says that it meant the word (babble does not)."""
    return graded[graded["condition"] == "matched"].assign(stands=lambda table: table["intention"] == "intended")


def intended_or_not(graded: pd.DataFrame, seed: int = 0) -> Result:
    """Experiment 3. effect: min(apologies without injection, with another word) - apologies with the prefilled word.

    position_effect: the same drop where the word was injected only after the prefill; it should be 0. unclear_after: replies
    there that say neither; where they are many, the drop is a broken model and no changed mind.
    """
    model, trials = _one_model(graded), graded.assign(word=graded["concept"])
    chosen = split_half_selection(_matched(graded), "stands", seed)
    apology = {}
    for condition in ("none", "other", "matched", "random", "after"):
        part = _at(trials, condition, chosen)
        apology[condition] = clustered_rate(part["apology"], part["word"])
    reference = min(apology["none"], apology["other"], key=lambda estimate: estimate.value)
    measures = {f"apology_{condition}": estimate for condition, estimate in apology.items()}
    after = _at(trials, "after", chosen)
    measures["unclear_after"] = clustered_rate(after["intention"] == "unclear", after["word"])
    measures["position_effect"] = subtract(apology["none"], apology["after"])
    measures[EFFECT] = subtract(reference, apology["matched"])
    return Result(_table(model, measures), chosen.layer, chosen.strength, chosen.testing_words)


def intentional_control(
    held: pd.DataFrame,
    model: str,
    wordings: tuple[str, str, str] = FRAMES,
    seed: int = 0,
) -> Result:
    """Experiment 4. held: the table of `experiments.intentional_control`; wordings: think, don't think, mention.

    The layer with the largest effect is chosen on half of the words. effect: think minus the larger of the two others.
    effect_at_last_layer: the same after the last block, where a "silent" thought is gone.
    """
    think, dont, mention = wordings
    held = held.assign(score=held["cosine"] - held["control_cosine"])
    by_trial = held.pivot_table(index=["word", "sentence", "layer"], columns="wording", values="score").reset_index()
    choosing, testing = concepts.split_in_halves(sorted(by_trial["word"].unique()), seed)
    means = by_trial[by_trial["word"].isin(choosing)].groupby("layer")[[think, dont, mention]].mean()
    layer = int((means[think] - means[[dont, mention]].max(axis=1)).idxmax())
    tested = by_trial[by_trial["word"].isin(testing)]

    def at(number: int) -> dict[str, Estimate]:
        here = tested[tested["layer"] == number]
        larger = max((dont, mention), key=lambda wording: here[wording].mean())
        return {
            **{
                f"held_{frame}": clustered_mean(here[w], here["word"])
                for frame, w in zip(FRAMES, wordings, strict=True)
            },
            EFFECT: clustered_mean(here[think] - here[larger], here["word"]),
        }

    measures = {**at(layer), "effect_at_last_layer": at(int(tested["layer"].max()))[EFFECT]}
    return Result(_table(model, measures), layer, math.nan, testing)


def write_headline(table: pd.DataFrame, notebook: str) -> Path:
    """Write the numbers of a notebook to runs/<notebook>/headline.csv, for whoever compares runs."""
    file = run_folder(notebook) / "headline.csv"
    table.to_csv(file, index=False, float_format="%.4f")
    return file


# --- the assay on subjects whose truth is known ----------------------------------------------------------------------

VALIDATED = {  # experiment -> its name in figures
    "injected_thought": "1 notices an injected thought",
    "thought_or_text": "2 tells thought from text",
    "intended_or_not": "3 knows what it meant to say",
    "intentional_control": "4 holds a thought when told to",
}


# experiment -> (its table of trials, its measure, the condition that chooses the cell, those trials with a score, the score)
INJECTED = {
    "injected_thought": (
        experiments.injected_thought_trials,
        injected_thought,
        "concept",
        lambda graded: graded,
        "success",
    ),
    "thought_or_text": (experiments.thought_or_text_trials, thought_or_text, "concept", _pairs, "both"),
    "intended_or_not": (experiments.intended_or_not_trials, intended_or_not, "matched", _matched, "stands"),
}


def measure_injected(
    model,
    experiment: str,
    words,
    layers,
    strengths,
    seed: int = 0,
    max_new_tokens: int = 40,
    name: str | None = None,
    batch_size: int | None = None,
    **options,
) -> Result:
    """Experiment 1, 2 or 3 at a fraction of the cost of its whole table, with the same result.

    Half of the words run in every cell, with their own vectors only, and choose the cell; the other half run in that cell
    alone, with all controls. options: for the table (`experiments.<experiment>_trials`); name: of a run that can be resumed;
    batch_size: as in `runner.run`.
    """
    make, measure, choosing_condition, scored, score = INJECTED[experiment]
    trials = make(words, layers, strengths, seed=seed, **options)
    injected = trials["condition"] == choosing_condition
    word = trials["concept"].where(trials["concept"] != "", trials["vector_of"])
    choosing, _ = concepts.split_in_halves(sorted(word[injected].unique()), seed)

    def answered(part: pd.DataFrame) -> pd.DataFrame:
        return experiments.grade(runner.run(model, part, name, max_new_tokens, batch_size=batch_size))

    first = answered(trials[injected & word.isin(choosing)])
    layer, strength = best_cell(scored(first), score)
    in_cell = (trials["layer"] == layer) & (trials["strength"] == strength)
    second = answered(trials[~word.isin(choosing) & (in_cell | (trials["vector"] == "none"))])
    return measure(pd.concat([first, second]).sort_index(), seed)


def measure_all(
    model, words, layers=None, strengths=(1.0, 2.0, 4.0), trials_per_word: int = 2, seed: int = 0
) -> pd.DataFrame:
    """All four experiments on one model: their tables, one below the other, with columns experiment, layer and strength.

    layers: every one by default. n is trials_per_word times half of the words.
    """
    layers = range(models.number_of_blocks(model)) if layers is None else layers
    tables = []
    for experiment in INJECTED:
        result = measure_injected(model, experiment, words, layers, strengths, seed, trials_per_word=trials_per_word)
        tables.append(result.table.assign(experiment=experiment, layer=result.layer, strength=result.strength))
    held = experiments.intentional_control(model, words, prompts.load_lines()[:4])
    result = intentional_control(held, models.model_name(model), seed=seed)
    tables.append(result.table.assign(experiment="intentional_control", layer=result.layer, strength=result.strength))
    return pd.concat(tables, ignore_index=True)


def verdict(measured: pd.DataFrame, knows: str = "introspector", others=("novice", "bluffer")) -> str:
    """One sentence: does the assay tell the model that introspects from those that do not, in every experiment?

    It must read above both others (interval above interval) in all four, and the others' effect in experiment 1 must include 0.
    """
    effects = measured[measured["measure"] == EFFECT].set_index(["experiment", "model"])
    faults = []
    for experiment in VALIDATED:
        for other in others:
            if not effects.loc[(experiment, knows), "low"] > effects.loc[(experiment, other), "high"]:
                faults.append(f"{experiment} does not separate {knows} from {other}")
    for other in others:
        line = effects.loc[("injected_thought", other)]
        if not line["low"] <= 0 <= line["high"]:
            faults.append(f"injected_thought reads {line['value']:.2f} on {other}, whose truth is 0")
    if faults:
        return f"The assay FAILS: {'; '.join(faults)}."
    return (
        f"The assay passes: in all {len(VALIDATED)} experiments the interval of {knows} lies above those of "
        f"{' and '.join(others)}, whose net rate in experiment 1 cannot be told from 0."
    )
