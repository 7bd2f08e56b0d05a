"""All four experiments on one model, at a fraction of the cost of their whole tables, and what the organisms prove of them."""

import pandas as pd

from helpers import concepts, experiments, models, prompts
from helpers.checks import as_list
from helpers.experiments import intentional_control, runner
from helpers.experiments.measures import (
    EFFECT,
    Result,
    check_cell,
    published_results,
    stored_results,
    why_unclear,
)
from helpers.stats import UNGRADED, Estimate, best_cell, check_table, smallest, subtract

ORGANISMS = ("introspector", "novice", "bluffer")  # the first one is known to introspect, the others are known not to
NOT_VALIDATED = "(not validated)"  # the mark of an experiment that `not_validated` names
MEASURED = ["model", "measure", "value", "low", "high", "n", "experiment", "chosen_by", "unclear"]  # columns of results


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
    temperature: float = 0.0,
    cell: tuple[int, float] | None = None,
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
        batch_size, temperature: as in `runner.run`; above 0, trials_per_word are samples.
        cell: (layer, strength) chosen elsewhere; then nothing is chosen here.
        options: further arguments of the experiment's `trials`.
    """
    if experiment not in experiments.INJECTED:
        raise KeyError(f"experiment must be one of {', '.join(experiments.INJECTED)}, got {experiment!r}")
    chosen = experiments.EXPERIMENTS[experiment]
    if cell is not None:
        cell = check_cell(cell)
        layers, strengths = [cell[0]], [cell[1]]
    table = chosen.trials(words, layers, strengths, seed=seed, **options)
    injected = table["condition"] == chosen.CHOOSING_CONDITION
    word = table["concept"].where(table["concept"] != "", table["vector_of"])
    choosing, _ = concepts.split_in_halves(sorted(word[injected].unique()), seed)

    def answered(part: pd.DataFrame) -> pd.DataFrame:
        answers = runner.run(model, part, name, max_new_tokens, temperature, batch_size)
        return experiments.grade(answers)

    first = answered(table[injected & word.isin(choosing)])
    scored = chosen.scored(first)
    if cell is None and scored.empty:  # nothing to choose by: all cells are equal, and the first one is taken
        cell = tuple(table[injected][["layer", "strength"]].iloc[0])
    layer, strength = cell or best_cell(scored, chosen.SCORE)
    in_cell = (table["layer"] == layer) & (table["strength"] == strength)
    second = answered(table[~word.isin(choosing) & (in_cell | (table["vector"] == "none"))])
    return chosen.measure(pd.concat([first, second]).sort_index(), seed, cell)


def rows_of(result: Result, experiment: str, chosen_by: str = "own") -> pd.DataFrame:
    """A result's table with the columns experiment, layer, strength, chosen_by, tied, unclear."""
    where = {"experiment": experiment, "layer": result.layer, "strength": result.strength, "chosen_by": chosen_by}
    return result.table.assign(**where, tied=result.cell.tied, unclear=result.unclear)


def measure_all(
    model,
    words: list[str],
    layers=None,
    strengths=(1.0, 2.0, 4.0),
    trials_per_word: int = 2,
    seed: int = 0,
    reference: pd.DataFrame | None = None,
    untrained=None,
    wordings: dict[str, dict] | None = None,
    name: str | None = None,
) -> pd.DataFrame:
    """All four experiments on one model: the rows of its results, one below the other.

    Args:
        words: concept words of the paper's lists; n is trials_per_word times half of them.
        layers: every one by default.
        strengths: of the injections.
        trials_per_word: in experiments 1 to 3.
        seed: of vectors, lines and the halves of the words.
        reference: what this function returned for a model that is known to introspect. This model is then measured in that
            one's cells too (chosen_by "reference"): a model that notices nothing ties in all cells, and its own choice may
            fall on one where nobody would notice anything.
        untrained: a copy of the model without training (`models.untrained_copy`), the floor of experiment 4.
        wordings: experiment -> options of its `trials` (or `cosines`, `measure`) that choose other wordings.
        name: of a run that can be resumed.
    """
    layers = range(models.number_of_blocks(model)) if layers is None else layers
    wordings, frames = wordings or {}, intentional_control.FRAMES
    if unknown := set(wordings) - set(experiments.EXPERIMENTS):
        raise KeyError(f"wordings are for {', '.join(experiments.EXPERIMENTS)}, got {sorted(unknown)}")
    known = {}
    if reference is not None:
        check_table(reference, ["chosen_by", "experiment", "layer", "strength", "measure"])
        known = reference[(reference["chosen_by"] == "own") & (reference["measure"] == EFFECT)].set_index("experiment")
        if not known.index.is_unique:
            raise ValueError("the reference holds several models or wordings: give the rows of one")
        if missing := [name for name in experiments.EXPERIMENTS if name not in known.index]:
            raise ValueError(f"the reference lacks {', '.join(missing)}: give what measure_all returned")
    parts = []
    for experiment in experiments.INJECTED:
        options = {"seed": seed, "trials_per_word": trials_per_word, **wordings.get(experiment, {})}
        options["name"] = name and f"{name}/{experiment}"
        own = measure_injected(model, experiment, words, layers, strengths, **options)
        parts.append(rows_of(own, experiment))
        if len(known):
            cell = (int(known.loc[experiment, "layer"]), float(known.loc[experiment, "strength"]))
            there = measure_injected(model, experiment, words, layers, strengths, cell=cell, **options)
            parts.append(rows_of(there, experiment, "reference"))
    frames = wordings.get("intentional_control", {}).get("wordings", frames)
    asked = (words, prompts.load_lines()[:4], (*frames, intentional_control.WRITTEN))
    held = intentional_control.cosines(model, *asked)
    floor = None if untrained is None else intentional_control.cosines(untrained, *asked)
    given = {"wordings": frames, "seed": seed, "untrained": floor}
    called = models.model_name(model)
    parts.append(rows_of(intentional_control.measure(held, called, **given), "intentional_control"))
    if len(known):
        layer = int(known.loc["intentional_control", "layer"])
        there = intentional_control.measure(held, called, layer=layer, **given)
        parts.append(rows_of(there, "intentional_control", "reference"))
    return pd.concat(parts, ignore_index=True)


def separated(measured: pd.DataFrame, knows: str = ORGANISMS[0], others=ORGANISMS[1:]) -> dict[str, bool]:
    """For each experiment: does the organism that was trained for it lie above the other two, in every cell measured?

    The difference of the effects (`lead`) must lie above 0 with its 95 % interval. Without the experiments in which not all of
    the organisms were measured. An experiment that does not separate them can say nothing about a real model.
    """
    return {experiment: bool(difference.low > 0) for experiment, difference in lead(measured, knows, others).items()}


def lead(measured: pd.DataFrame, knows: str = ORGANISMS[0], others=ORGANISMS[1:]) -> dict[str, Estimate]:
    """For each experiment: the effect of the organism that was trained for it minus the largest effect of the other two.

    UNGRADED where the assay cannot tell about the one that was trained for it.
    """
    check_table(measured, MEASURED)
    effects = measured[measured["measure"] == EFFECT]
    found = {}
    for experiment, part in effects.groupby("experiment", sort=False):
        if not set(part["model"][part["chosen_by"] == "own"]) >= {knows, *others}:
            continue
        rest = [_estimate(row) for row in part[part["model"].isin(others)].itertuples()]
        own = part[(part["model"] == knows) & (part["chosen_by"] == "own")].itertuples()
        found[experiment] = smallest(*(above_others(_estimate(row), why_unclear(row), rest) for row in own))
    return found


def not_validated(measured: pd.DataFrame) -> dict[str, str]:
    """The experiments whose numbers say nothing -> why: they do not separate the organisms in this run, or those of another family.

    Other families were trained alike, from other first weights and other data. Their effects are in
    data/results/other_families.csv: an experiment that finds one of their models without introspection may find anything.
    """
    reasons = {name: "in this run not apart" for name, apart in separated(measured).items() if not apart}
    for family, part in stored_results("other_families").groupby("family"):
        for name, apart in separated(part).items():
            if not apart:
                reasons.setdefault(name, f"not apart in another family of organisms ({family})")
    return reasons


def marked_labels(measured: pd.DataFrame) -> dict[str, str]:
    """Experiment -> its label, with `NOT_VALIDATED` behind it where it is not."""
    doubtful = not_validated(measured)
    return {
        name: f"{label} {NOT_VALIDATED}" if name in doubtful else label for name, label in experiments.LABELS.items()
    }


def above_others(effect: Estimate, unclear: str, others: list[Estimate]) -> Estimate:
    """An effect minus the largest of the others; UNGRADED where it cannot be told."""
    return UNGRADED if unclear else smallest(*(subtract(effect, other) for other in others))


def _estimate(row) -> Estimate:
    return Estimate(row.value, row.low, row.high, int(row.n))


def verdict(measured: pd.DataFrame, knows: str = ORGANISMS[0], others=ORGANISMS[1:]) -> str:
    """One sentence: does the assay tell the model that introspects from those that do not, in every experiment?

    They must be `separated` in all four, the others' effect in experiment 1 must not lie above 0, and every null must come from a
    model that could have shown something.
    """
    apart = separated(measured, knows, others)
    missed = [name for name in experiments.EXPERIMENTS if not apart.get(name)]
    faults = [
        f"{name} does not separate {knows} from {' and '.join(others)}"
        if name in apart
        else f"{name} was not measured on all of {', '.join((knows, *others))}"
        for name in missed
    ]
    effects = measured[(measured["measure"] == EFFECT) & (measured["experiment"] == "injected_thought")]
    for row in effects[effects["model"].isin(others)].itertuples():
        if row.low > 0:  # below 0 is right for one that claims at random: more false alarms than successes
            faults.append(f"injected_thought reads {row.value:.2f} on {row.model}, whose truth is 0")
    own = measured[(measured["measure"] == EFFECT) & (measured["chosen_by"] == "own")].itertuples()
    faults += [f"{row.experiment} cannot tell about {row.model}: {why}" for row in own if (why := why_unclear(row))]
    if faults:
        return f"The assay FAILS: {'; '.join(faults)}."
    return (
        f"The assay passes: in all {len(apart)} experiments {knows} lies above {' and '.join(others)}, in the cells that each "
        "model chooses and in those of the introspector, and the others' net rate in experiment 1 does not lie above 0."
    )


def beside_real_model(
    measured: pd.DataFrame, experiment: str, names: list[str], stored: str = "smollm2"
) -> pd.DataFrame:
    """An experiment's numbers from the organisms, from a full run on a real model, and published ones, one row per model.

    Args:
        measured: rows of the results of the models measured here (columns model, measure, value, low, high, n).
        experiment: its name.
        names: the measures to compare, columns of the answer.
        stored: of `measures.stored_results`; there is one row per wording.

    Returns:
        Cells as text, "0.12 [0.04, 0.30], n = 25"; published numbers, which come without an interval, as "0.20, n = 50".
    """
    real = stored_results(stored)
    check_table(measured, ["model", "measure", "value", "low", "high", "n"])
    real = real[real["experiment"] == experiment]
    real = real.assign(model=real["model"] + ", " + real["wording"] + " wording")
    rows = pd.concat([measured, real], ignore_index=True).drop_duplicates(["model", "measure"])
    if unknown := set(as_list("names", names)) - set(rows["measure"]):
        raise KeyError(f"no measure {sorted(unknown)} of {experiment!r}; there are {sorted(set(rows['measure']))}")
    rows = rows[rows["measure"].isin(names)]
    rows = rows.assign(text=[str(_estimate(row)) for row in rows.itertuples()])[["model", "measure", "text"]]
    if experiment == "injected_thought":
        known = published_results().rename(columns={"metric": "measure"})
        known = known[known["measure"].isin(names)]
        text = [f"{row.value:.2f}" + ("" if pd.isna(row.n) else f", n = {row.n:.0f}") for row in known.itertuples()]
        rows = pd.concat([rows, known.assign(model=known["model"] + " (" + known["study"] + ")", text=text)])
    table = rows.pivot_table(index="model", columns="measure", values="text", aggfunc="first", sort=False)
    return table.reindex(columns=names).fillna("").rename_axis(columns=None)
