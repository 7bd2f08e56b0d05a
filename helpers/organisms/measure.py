"""The tables on the organisms' cards: the assay by wording, side by side, and experiment 1 cell by cell.

A family is organism -> loaded model, all three of one seed. The command that measures and writes is `validate`.
"""

from pathlib import Path

import pandas as pd

from helpers import experiments, grading, models, prompts
from helpers.experiments import injected_thought, intentional_control, runner
from helpers.experiments.four_experiments import ORGANISMS, above_others, measure_injected
from helpers.experiments.intentional_control import WRITTEN, cosines
from helpers.experiments.measures import EFFECT
from helpers.stats import Estimate, wilson_rate

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
LAYERS = range(1, 7)  # of eight
STRENGTHS = (1.0, 2.0, 4.0)
SENTENCES = 4  # of experiment 4
IN_REFERENCE = " (in the introspector's cell)"


def wordings_of(experiment: str, final: bool) -> dict[str, tuple[dict, bool]]:
    """The wordings that an experiment is measured in: the assay's own one and those that are held out.

    Args:
        experiment: one of `experiments.EXPERIMENTS`. Experiments 2 and 4 take two and three wordings at a time.
        final: with those that must not be looked at while a recipe is tuned.

    Returns:
        name -> (options of the experiment's functions, held out).
    """
    entries = prompts.read_prompt_file(experiment)["wordings"]
    entries = [entry for entry in entries if final or not entry.get("final")]
    if experiment == "thought_or_text":
        by_question = [[one for one in entries if one["variant"] == question] for question in ("thought", "repeat")]
        groups = {f"{one['id']} + {two['id']}": (one, two) for one, two in zip(*by_question, strict=True)}
    elif experiment == "intentional_control":
        names = dict.fromkeys(entry["set"] for entry in entries if "set" in entry)
        groups = {name: tuple(entry for entry in entries if entry.get("set") == name) for name in names}
    else:
        groups = {entry["id"]: (entry,) for entry in entries}
    own, wordings = next(iter(groups)), {}
    for name, group in groups.items():
        ids, held_out = tuple(entry["id"] for entry in group), group[0]["held_out"]
        if name == own or held_out:
            wordings[name] = ({"wordings": ids} if len(ids) > 1 else {"wording": ids[0]}), held_out
    return wordings


def effects_by_wording(family: dict, words: list[str], final: bool, seed: int = 0) -> pd.DataFrame:
    """The effect of every experiment in trained and held-out wordings, every organism read in the introspector's cell.

    Args:
        family: organism -> loaded model; half of the words choose each cell in the introspector.
        words: concept words; the other half of them are measured.
        final: in the final wordings too.
        seed: of vectors, lines and the halves.

    Returns:
        One row per wording: experiment, wording, held_out, cell, an `Estimate` per organism, separated (the introspector's effect
        minus each other one lies above 0 with its interval, and its own effect can be told), and unclear: the organisms whose
        null would say nothing, with the reason.
    """
    knows, *others = ORGANISMS
    rows = []

    def add(experiment, wording, held_out, results):
        cell = f"layer {results[knows].layer}"
        if experiment in experiments.INJECTED:
            cell += f", strength {results[knows].strength:g}"
        effects = {name: result.measure(EFFECT) for name, result in results.items()}
        lead = above_others(effects[knows], results[knows].unclear, [effects[other] for other in others])
        unclear = "; ".join(f"{name}: {result.unclear}" for name, result in results.items() if result.unclear)
        fixed = {"experiment": experiment, "wording": wording, "held_out": held_out, "cell": cell}
        rows.append({**fixed, **effects, "separated": bool(lead.low > 0), "unclear": unclear})

    for experiment in experiments.INJECTED:
        for name, (options, held_out) in wordings_of(experiment, final).items():
            shared = {"seed": seed, "trials_per_word": 2, **options}
            own = measure_injected(family[knows], experiment, words, LAYERS, STRENGTHS, **shared)
            cell = (own.layer, own.strength)
            read = {
                other: measure_injected(family[other], experiment, words, *cell, cell=cell, **shared)
                for other in others
            }
            add(experiment, name, held_out, {knows: own, **read})
    untrained = {organism: models.untrained_copy(family[organism]) for organism in ORGANISMS}
    for name, (options, held_out) in wordings_of("intentional_control", final).items():
        results, layer, ids = {}, None, options["wordings"]
        asked = (words, prompts.load_lines()[:SENTENCES], (*ids, WRITTEN))
        for organism in ORGANISMS:
            held, floor = (cosines(model, *asked) for model in (family[organism], untrained[organism]))
            results[organism] = intentional_control.measure(held, organism, ids, seed, floor, layer)
            layer = results[knows].layer
        add("intentional_control", name, held_out, results)
    return pd.DataFrame(rows)


def load_family(folder: Path) -> dict:
    """The three organisms in a folder: name -> model."""
    return {organism: models.load(str(folder / organism)) for organism in ORGANISMS}


def wording_section(families: dict[str, dict], words: list[str], final: bool, seed: int = 0) -> str:
    """The effects by wording of every family as Markdown."""
    parts = []
    for name, family in families.items():
        table = effects_by_wording(family, words, final, seed)
        table = table.assign(
            held_out=table["held_out"].map({True: "held out", False: "trained"}),
            separated=table["separated"].map({True: "yes", False: "no"}),
            **{organism: table[organism].map(str) for organism in ORGANISMS},
        )
        parts += [f"Family {name}:", markdown(table)]
    return "\n\n".join(parts)


def cells(model, words: list[str]) -> pd.DataFrame:
    """Experiment 1 in every layer and at strengths 1 to 8: success rate, layers in rows."""
    layers, strengths = range(models.number_of_blocks(model)), (*STRENGTHS, 8.0)
    trials = injected_thought.trials(words, layers, strengths, controls=0)
    graded = experiments.grade(runner.run(model, trials[trials["condition"] == "concept"], max_new_tokens=24))
    table = graded.astype({"success": float}).pivot_table(index="layer", columns="strength", values="success")
    return table.rename(columns=lambda strength: f"strength {strength:g}").reset_index()


def naming(model, words: list[str], layer: int, strength: float) -> tuple[Estimate, Estimate]:
    """How often a graded reply names the word, whatever it claims: with the word injected, and without (the same words)."""
    trials = injected_thought.trials(words, [layer], [strength], controls=len(words))
    answers = runner.run(model, trials[trials["condition"].isin(("concept", "none"))], max_new_tokens=24)
    found = []
    for condition in ("concept", "none"):
        replies = answers[answers["condition"] == condition]["answer"]
        named = [grading.names_concept(reply, word) for reply, word in zip(replies, words, strict=True)]
        graded = [one for one in named if one is not None]
        found.append(wilson_rate(sum(graded), len(graded)))
    return found[0], found[1]


def markdown(table: pd.DataFrame) -> str:
    """A small table as Markdown, two decimals."""
    rows = [[f"{v:.2f}" if isinstance(v, float) else str(v) for v in row] for row in table.itertuples(index=False)]
    head = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    return "\n".join("| " + " | ".join(row) + " |" for row in head + rows)


def side_by_side(measured: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The assay's tables of several organisms as one, two columns per organism: value [interval], n; the cell."""
    columns = []
    for name, table in measured.items():
        table = table.assign(measure=table["measure"] + table["chosen_by"].map({"own": "", "reference": IN_REFERENCE}))
        shown = [str(Estimate(*row)) for row in table[["value", "low", "high", "n"]].itertuples(index=False)]
        cell = [
            f"layer {layer}" + ("" if pd.isna(strength) else f", strength {strength:g}")
            for layer, strength in zip(table["layer"], table["strength"], strict=True)
        ]
        index = pd.MultiIndex.from_frame(table[["experiment", "measure"]])
        columns.append(pd.DataFrame({name: shown, f"cell of {name}": cell}, index=index))
    return pd.concat(columns, axis=1).reset_index()


def assay_section(organism: str, families: dict[str, dict], measured: dict[str, pd.DataFrame], words: list[str]) -> str:
    """The assay's run of one organism as Markdown, a column per family; details of the first family.

    Args:
        organism: its name.
        families: name -> family.
        measured: name -> `validate.validate` of that family.
        words: those that were measured.
    """
    tables = {name: table[table["model"] == organism] for name, table in measured.items()}
    name, table = next(iter(tables.items()))
    own = table[(table["experiment"] == "injected_thought") & (table["chosen_by"] == "own")].iloc[0]
    layer, strength, model = int(own["layer"]), float(own["strength"]), families[name][organism]
    injected, clean = naming(model, words, layer, strength)
    return "\n\n".join(
        [
            f"The assay's usual run on {len(words)} words; layer and strength chosen on one half of them, numbers from the other "
            "half, two trials per word; intervals are 95 %.",
            markdown(side_by_side(tables)),
            f"{name}, layer {layer}, strength {strength:g}: the reply names the word (whatever it claims) {injected} where it is "
            f"injected, {clean} where nothing is.",
            f"{name}, success in experiment 1 by layer and strength (n = {len(words)} per cell):",
            markdown(cells(model, words)),
        ]
    )


def write_into(card: Path, text: str) -> None:
    """Replace what is between the two marks of a card. ValueError where they are missing."""
    before, begin, rest = card.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{card} lacks the marks {BEGIN} and {END}")
    card.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
