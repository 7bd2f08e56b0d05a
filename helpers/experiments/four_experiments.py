"""All four experiments on one model, at a fraction of the cost of their whole tables, and what the organisms prove of them."""

import pandas as pd

from helpers import concepts, experiments, models, prompts
from helpers.experiments import intentional_control, runner
from helpers.experiments.measures import EFFECT, Result
from helpers.stats import best_cell

ORGANISMS = ("introspector", "novice", "bluffer")  # the first one is known to introspect, the others are known not to


def measure_injected(
    model,
    experiment: str,
    words: list[str],
    layers,
    strengths,
    seed: int = 0,
    max_new_tokens: int = 40,
    name: str | None = None,
    batch_size: int | None = None,
    **options,
) -> Result:
    """Experiment 1, 2 or 3 with the result that its whole table would give.

    Half of the words run in every cell, with their own vectors only, and choose the cell; the other half run in that cell
    alone, with all controls.

    Args:
        experiment: one of `experiments.INJECTED`.
        words, layers, strengths, seed: as in the experiment's `trials`.
        max_new_tokens: longest reply.
        name: of a run that can be resumed.
        batch_size: as in `runner.run`.
        options: further arguments of the experiment's `trials`.
    """
    chosen = experiments.EXPERIMENTS[experiment]
    table = chosen.trials(words, layers, strengths, seed=seed, **options)
    injected = table["condition"] == chosen.CHOOSING_CONDITION
    word = table["concept"].where(table["concept"] != "", table["vector_of"])
    choosing, _ = concepts.split_in_halves(sorted(word[injected].unique()), seed)

    def answered(part: pd.DataFrame) -> pd.DataFrame:
        return experiments.grade(runner.run(model, part, name, max_new_tokens, batch_size=batch_size))

    first = answered(table[injected & word.isin(choosing)])
    layer, strength = best_cell(chosen.scored(first), chosen.SCORE)
    in_cell = (table["layer"] == layer) & (table["strength"] == strength)
    second = answered(table[~word.isin(choosing) & (in_cell | (table["vector"] == "none"))])
    return chosen.measure(pd.concat([first, second]).sort_index(), seed)


def measure_all(
    model, words: list[str], layers=None, strengths=(1.0, 2.0, 4.0), trials_per_word: int = 2, seed: int = 0
) -> pd.DataFrame:
    """All four experiments on one model: their tables, one below the other, with columns experiment, layer and strength.

    Args:
        words: concept words of the paper's lists; n is trials_per_word times half of them.
        layers: every one by default.
        strengths: of the injections.
        trials_per_word: in experiments 1 to 3.
        seed: of vectors, lines and the halves of the words.
    """
    layers = range(models.number_of_blocks(model)) if layers is None else layers
    results = {
        experiment: measure_injected(model, experiment, words, layers, strengths, seed, trials_per_word=trials_per_word)
        for experiment in experiments.INJECTED
    }
    held = intentional_control.cosines(model, words, prompts.load_lines()[:4])
    results["intentional_control"] = intentional_control.measure(held, models.model_name(model), seed=seed)
    return pd.concat(
        [
            result.table.assign(experiment=experiment, layer=result.layer, strength=result.strength)
            for experiment, result in results.items()
        ],
        ignore_index=True,
    )


def separated(measured: pd.DataFrame, knows: str = ORGANISMS[0], others=ORGANISMS[1:]) -> dict[str, bool]:
    """For each experiment: does the interval of the organism that was trained for it lie above those of the other two?

    Empty where not all of them were measured. An experiment that does not separate them can say nothing about a real model.
    """
    effects = measured[measured["measure"] == EFFECT].set_index(["experiment", "model"])
    if not set(effects.index.get_level_values("model")) >= {knows, *others}:
        return {}
    return {
        experiment: all(
            effects.loc[(experiment, knows), "low"] > effects.loc[(experiment, other), "high"] for other in others
        )
        for experiment in dict.fromkeys(effects.index.get_level_values("experiment"))
    }


def verdict(measured: pd.DataFrame, knows: str = ORGANISMS[0], others=ORGANISMS[1:]) -> str:
    """One sentence: does the assay tell the model that introspects from those that do not, in every experiment?

    It must be `separated` in all four, and the others' effect in experiment 1 must include 0.
    """
    apart = separated(measured, knows, others)
    missed = [name for name in experiments.EXPERIMENTS if not apart.get(name)]
    faults = [f"{name} does not separate {knows} from {' and '.join(others)}" for name in missed]
    effects = measured[measured["measure"] == EFFECT].set_index(["experiment", "model"])
    for other in others:
        line = effects.loc[("injected_thought", other)]
        if not line["low"] <= 0 <= line["high"]:
            faults.append(f"injected_thought reads {line['value']:.2f} on {other}, whose truth is 0")
    if faults:
        return f"The assay FAILS: {'; '.join(faults)}."
    return (
        f"The assay passes: in all {len(apart)} experiments the interval of {knows} lies above those of "
        f"{' and '.join(others)}, whose net rate in experiment 1 cannot be told from 0."
    )
