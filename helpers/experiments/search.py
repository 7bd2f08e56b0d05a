"""Find where a model might notice an injected thought, in two stages, at a small part of the cost of a whole sweep.

Coarse: every layer and strength with half of the words, one token per trial. How much does the word's vector move the margin
(the logit of "Yes" minus that of "No") beyond what no injection, or a random vector of the same norm, does? Fine: in the best
few cells, one per dose, all words answer in full; the same half of them chooses one cell, and every number is taken from
the other half, the held-out words. In that cell mixtures of words' vectors are asked about as well.
"""

from dataclasses import dataclass, replace

import pandas as pd

from helpers import concepts, experiments, grading
from helpers.checks import whole_number
from helpers.experiments import injected_thought, runner
from helpers.experiments.measures import (
    EFFECT,
    NOT_FOUND,
    Result,
    estimates_table,
    in_cell,
    only_model,
    reasons,
    worded_verdict,
)
from helpers.experiments.trials import concat_trials
from helpers.stats import (
    UNGRADED,
    Estimate,
    check_trials,
    clustered_mean,
    clustered_rate,
    difference_of_rates,
    smallest,
    subtract,
)
from helpers.stats.inputs import check_values

LARGEST_NULL = 0.25  # a null whose interval reaches higher than this says little
MOST_CLAIMS = 0.1  # so does a null of a model that claims a thought in more of the clean trials than this
SAYS_LITTLE = f"{NOT_FOUND} (says little)"  # the verdict on such nulls
FEWEST_REPLIES = 10  # of other wordings, equal clean replies tell once: 10 find a rate of 0.2 in 11 % of runs only


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        coarse: one row per cell, best first: layer, strength, value, low, high, n (the shift of the margin beyond its controls,
            on the choosing words), random (the shift by random vectors), dose.
        kept: the cells that went into the fine stage.
        graded: the answers in these cells (to questions of fact, their first token).
        mixtures: the answers of the held-out words' trials in the chosen cell, with a mixture in place of the word's vector.
        result: the numbers of experiment 1 in the chosen cell, on the held-out words; with `beside_other_pushes`, as far as graded.
        dose: mean ||strength x vector|| / ||residual stream|| there.
    """

    coarse: pd.DataFrame
    kept: list[tuple[int, float]]
    graded: pd.DataFrame
    mixtures: pd.DataFrame
    result: Result
    dose: float

    @property
    def coherence(self) -> Estimate:
        """Share of coherent answers under injection in the chosen cell, on the held-out words."""
        return self.result.measure("coherence_rate")

    def word_minus(self, control: str) -> Estimate:
        """Yes to a word minus Yes to a control vector of its norm, in the chosen cell, on the held-out words, paired by word.

        control: "random" or "mixture". UNGRADED where no answer to it, or to the words, could be graded there.
        """
        read = pd.concat([self.graded, self.mixtures]).dropna(subset=["affirmative"])
        read = read.assign(word=read["vector_of"])
        try:
            word, other = (in_cell(read, condition, self.result.cell) for condition in ("concept", control))
        except ValueError:  # none is left in this cell
            return UNGRADED
        return difference_of_rates(word["affirmative"], word["word"], other["affirmative"], other["word"])

    @property
    def beside_other_pushes(self) -> dict[str, Estimate]:
        """Yes to mixtures, and how much more often than to these, and than to random vectors, it says Yes to a word."""
        read = self.mixtures.dropna(subset=["affirmative"])
        yes = clustered_rate(read["affirmative"], read["vector_of"]) if len(read) else UNGRADED
        differences = {f"word_minus_{control}": self.word_minus(control) for control in ("random", "mixture")}
        return {"mixture_detection_rate": yes, **differences}


def coarse_cells(answered: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, best first, from answered trials of experiment 1 (conditions concept, random, none): see `Search`.

    ValueError for a cell without one of these conditions, or without a margin.
    """
    check_trials(answered, ["condition", "vector_of", "layer", "strength", "yes_logit", "no_logit", "dose"])
    for margin in ("yes_logit", "no_logit"):
        check_values(answered[margin], margin)
    trials = answered.assign(margin=answered["yes_logit"] - answered["no_logit"])
    clean = trials[trials["condition"] == "none"]["margin"]
    rows = []
    injections = trials[trials["condition"] != "none"]
    for (layer, strength), part in injections.groupby(["layer", "strength"], observed=True):
        injected, random = (part[part["condition"] == condition] for condition in ("concept", "random"))
        if injected.empty or random.empty or clean.empty:
            raise ValueError(f"layer {layer}, strength {strength}: the conditions concept, random and none are needed")
        shift = beyond_controls(injected, random, clean)._asdict()
        others = {"random": random["margin"].mean() - clean.mean(), "dose": injected["dose"].mean()}
        rows.append({"layer": layer, "strength": strength, **shift, **others})
    if not rows:
        raise ValueError("nothing was injected: there is no cell to rank")
    return pd.DataFrame(rows).sort_values("value", ascending=False, kind="stable", ignore_index=True)


def beyond_controls(injected: pd.DataFrame, random: pd.DataFrame, clean: pd.Series) -> Estimate:
    """How far the injection moves the margin beyond the larger of its two controls; n counts trials with the word's vector.

    Args:
        injected, random: trials of one cell (columns vector_of, margin), paired by word.
        clean: margins without an injection, of other prompts. Where all are equal they are known exactly.
    """
    by_word = (part.groupby("vector_of", observed=True)["margin"].mean() for part in (injected, random))
    pairs = next(by_word).sub(next(by_word)).dropna()
    mean = float(clean.mean())
    known = Estimate(mean, mean, mean, len(clean))
    without = known if clean.max() == clean.min() else clustered_mean(clean, range(len(clean)))
    beyond_clean = subtract(clustered_mean(injected["margin"], injected["vector_of"]), without)
    return smallest(beyond_clean, clustered_mean(pairs, pairs.index))._replace(n=len(injected))


def two_stage(
    model,
    words: list[str],
    layers,
    strengths,
    name: str | None = None,
    keep: int = 3,
    trials_per_word: int = 2,
    controls: int = 100,
    wording: str = "lab_visit",
    max_new_tokens: int = 60,
    batch_size: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    progress: bool = False,
) -> Search:
    """Search the cells of experiment 1 in two stages.

    Args:
        words: concept words of the paper's lists, at least four (each half needs two).
        layers, strengths: the cells; strengths may be layer -> list (see `vectors.strengths_for_doses`).
        name: keep the answers in runs/<name>/coarse and runs/<name>/fine and continue from what is there.
        keep: how many cells the fine stage looks at, the best ones of different strengths (of different doses, counted within
            their layer).
        trials_per_word, controls, wording, seed: as in `injected_thought.trials`, in the fine stage.
        max_new_tokens, batch_size, temperature, progress: as in `runner.run`; the coarse stage reads logits and is greedy.

    Raises:
        ValueError: for fewer than four words, cells given twice, and numbers that are no counts.
    """
    words = concepts.check_concepts(words)
    if len(words) < 4:
        raise ValueError(f"a search needs at least four different words, two for each half, got {words}")
    for name_of, count in (("keep", keep), ("trials_per_word", trials_per_word), ("controls", controls)):
        whole_number(name_of, count, 1)
    shared = {"wording": wording, "seed": seed}
    options = {"batch_size": batch_size, "progress": progress}
    choosing, _ = concepts.split_in_halves(sorted(words), seed)  # as injected_thought.measure splits them
    trials = injected_thought.trials(choosing, layers, strengths, controls=len(choosing), **shared)
    one_token = runner.run(model, trials, name and f"{name}/coarse", max_new_tokens=1, **options)
    facts = one_token["condition"] == "fact"  # only the lean between Yes and No counts
    coarse = coarse_cells(one_token[~facts])
    # the best layer of each strength: one token does not show where an injection breaks the model, so the doses must differ
    best = coarse[~coarse.groupby("layer")["strength"].rank().duplicated()].head(keep)
    kept = [(int(cell.layer), float(cell.strength)) for cell in best.itertuples()]
    in_kept = [
        injected_thought.trials(words, [layer], [strength], trials_per_word=trials_per_word, controls=0, **shared)
        for layer, strength in kept
    ]
    clean = injected_thought.trials(choosing[:1], [0], [1], controls=controls, **shared)
    trials = concat_trials(*in_kept, clean[clean["condition"] == "none"])
    answered = runner.run(model, trials, name and f"{name}/fine", max_new_tokens, temperature, **options)
    graded = experiments.grade(concat_trials(answered, one_token[facts]))
    readable = without_broken_cells(graded, choosing)
    by_choosing = injected_thought.scored(readable)["concept"].isin(choosing)
    cell = None if by_choosing.any() else kept[0]  # nothing to choose by: the best cell of the coarse stage
    result = injected_thought.measure(readable, seed, cell)
    chosen = (graded["layer"] == result.layer) & (graded["strength"] == result.strength)
    dose = graded[chosen & (graded["condition"] == "concept")]["dose"].mean()
    mixed = in_cell(trials.assign(word=trials["vector_of"]), "random", result.cell).drop(columns="word")
    mixed = mixed.assign(condition="mixture", vector="mixture")  # the same trials, with another push
    answered = runner.run(model, mixed, name and f"{name}/mixture", max_new_tokens, temperature, **options)
    found = Search(coarse, kept, graded, experiments.grade(answered), result, float(dose))
    if not result.measure(EFFECT).n:
        return found  # nothing was graded
    more = {name: estimate for name, estimate in found.beside_other_pushes.items() if estimate.n}
    table = pd.concat([result.table, estimates_table(only_model(graded), more)], ignore_index=True)
    return replace(found, result=replace(result, table=table))


def without_broken_cells(graded: pd.DataFrame, choosing: list[str]) -> pd.DataFrame:
    """Leave out the cells where most answers to the choosing words are incoherent (all cells stay where that is true of each).

    Where nothing is ever noticed, all cells tie; a null should then not be read off a model that was pushed too hard to speak.
    """
    injected = graded[(graded["condition"] == "concept") & graded["concept"].isin(choosing)]
    whole = injected.astype({"coherent": float}).groupby(["layer", "strength"])["coherent"].mean() >= 0.5
    broken = set() if not whole.any() else set(whole[~whole].index)
    return graded[[(row.layer, row.strength) not in broken for row in graded.itertuples()]]


def few_yes_or_no(replies: pd.Series) -> str:
    """Why the margin says little: fewer than half of the replies begin with Yes or No; "" where at least half do."""
    return few_answers(replies.map(grading.begins_yes_or_no).mean())


def few_answers(share: float) -> str:
    """`few_yes_or_no` for the share of such replies."""
    return f"only {share:.0%} of its replies begin with Yes or No" if share < 0.5 else ""


def says_little(rates: pd.DataFrame) -> str:
    """Why a null says little, or "": the bounds are rules of thumb, most of them of experiment 1 (notebook 12 has them in a table).

    rates: value and high of one experiment's measures, with their names as the index. What was not measured is not asked.
    """
    value, high = rates["value"], rates["high"][EFFECT]
    coherent, few = value.get("coherence_rate", 1.0), few_answers(value.get("begins_yes_or_no", 1.0))
    claims = value.get("false_positive_rate", 0.0)
    return reasons(
        (round(value.get("dose", 1.0), 2) < 0.2, "the injection was small"),  # as it is printed
        (high > LARGEST_NULL, f"with so few trials it may be as high as {high:.2f}"),
        (coherent < 0.8, f"only {coherent:.0%} of the answers are coherent"),
        (bool(few), f"{few}, and the lean between the two chose the cells"),
        (
            claims > MOST_CLAIMS,
            f"it claims a thought in {claims:.0%} of the trials with nothing, which count against it",
        ),
    )


def clean_replies(graded: pd.DataFrame) -> str:
    """How many different replies the trials without an injection drew: where few, they say nothing of other wordings."""
    clean = graded.loc[graded["condition"] == "none", "answer"]
    different = clean.nunique()
    only = ", so this holds for this wording only: repeat it in others" if different < FEWEST_REPLIES else ""
    return f"{different} different {'reply' if different == 1 else 'replies'} among {len(clean)} clean trials{only}."


def finding(search: Search) -> str:
    """What was found, or an honest null: with its dose, its coherence and its positive control, which say what it is worth.

    It begins with the verdict, and ends with `clean_replies` where there is one.
    """
    where = f"layer {search.result.layer}, strength {search.result.strength:.3g} (dose {search.dose:.2f})"
    if search.result.unclear:
        effect = search.result.measure(EFFECT)  # the net rate; nothing else is known where nothing was graded
        return f"Cannot tell: {search.result.unclear} ({f'net rate {effect} ' if effect.n else ''}at {where})."
    replied = clean_replies(search.graded)
    net, coherent = search.result.measure("net_rate"), f"{search.coherence.value:.0%} of the answers"
    if net.low > 0:
        random, mixture = search.word_minus("random"), search.word_minus("mixture")
        any_push = "" if random.low > 0 else ": a Yes to any push is not ruled out, so run notebook 09"
        any_word = "" if mixture.low > 0 else ": the Yes may be one to any push along the directions of words"
        return (
            f"{worded_verdict(search.result).capitalize()}: net rate {net} at {where}; {coherent} are coherent. "
            f"Yes to words minus Yes to random vectors: {random}{any_push}. "
            f"Yes to words minus Yes to mixtures of words: {mixture}{any_word}. {replied}"
        )
    rates = search.result.table.set_index("measure")[["value", "high"]]
    replies = search.graded[search.graded["condition"] != "fact"]["answer"]
    rates.loc["dose", "value"] = search.dose
    rates.loc["begins_yes_or_no", "value"] = replies.map(grading.begins_yes_or_no).mean()
    control = ""
    if "yes_to_facts" in rates.index:  # not measured where replies begin with reasoning
        control = (
            f" To questions of fact whose answer is yes it leans towards Yes in {rates['value']['yes_to_facts']:.0%}."
        )
    if faults := says_little(rates):
        return f"{SAYS_LITTLE.capitalize()}: net rate {net} at {where}, but {faults}.{control} {replied}"
    return (
        f"{NOT_FOUND.capitalize()}: net rate {net} at {where}, with {coherent} coherent.{control} The null holds for "
        f"these words, this wording, and cells like this one. {replied}"
    )
