"""Experiment 1 (Lindsey 2025, "Self-report of injected concepts"): does the model notice an injected thought, and name it?"""

import pandas as pd

from helpers import concepts, prompts
from helpers.checks import check_seed, whole_number
from helpers.experiments.measures import (
    EFFECT,
    Result,
    choose_cell,
    choosing_trials,
    estimates_table,
    graded_parts,
    in_cell,
    injected_words,
    nothing_graded,
    only_model,
    reasons,
    ungraded_share,
)
from helpers.experiments.trials import concat_trials, make_trials
from helpers.grading import check_columns, grade_by_rules
from helpers.stats import as_outcomes, clustered_rate, detection, difference_of_rates, distinct_trials

LABEL = "1 notices an injected thought"
CHOOSING_CONDITION, SCORE = "concept", "success"  # what layer and strength are chosen by
GRADES = ("affirmative", "identified", "coherent", SCORE)


def trials(
    words: list[str],
    layers,
    strengths,
    wording: str = "lab_visit",
    trials_per_word: int = 1,
    controls: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Every word in every cell, and the controls.

    Conditions: concept; random (a random vector of the same norm in the same cell); none (trials without any injection, which
    serve every cell); fact (positive control: questions whose answer is yes, without an injection). The trials are numbered
    from 1, as the model is told.

    Args:
        words: concept words of the paper's lists.
        layers, strengths: the cells.
        wording: an id in data/prompts/injected_thought.yaml.
        trials_per_word: in each cell.
        controls: number of trials without an injection; 0 leaves out the questions too.
        seed: of random vectors and sampling.
    """
    words = concepts.check_concepts(words)
    trials_per_word, seed = whole_number("trials_per_word", trials_per_word, 1), check_seed(seed)
    controls = whole_number("controls", controls, 0)
    tables = []
    for repeat in range(trials_per_word):
        shared = {
            "words": words,
            "span": "from_turn_2",
            "values": lambda word, repeat=repeat: {"trial": words.index(word) * trials_per_word + repeat + 1},
            "layers": layers,
            "strengths": strengths,
            "seed": seed + repeat * len(words),
        }
        for kind in ("concept", "random"):
            given = {"condition": kind, "vector": kind, "names_concept": kind == "concept"}
            tables.append(make_trials("injected_thought", wording, **given, **shared))
    if controls:
        numbers = [str(number) for number in range(1, controls + 1)]
        facts = prompts.read_prompt_file("questions")["questions"]["yes"]
        none = {"words": numbers, "values": lambda number: {"trial": int(number)}}
        asked = {"words": facts, "values": lambda each: {"trial": facts.index(each) + 1, "question": each}}
        unpaired = {"span": "from_turn_2", "names_concept": False, "seed": seed}
        tables.append(make_trials("injected_thought", wording, condition="none", **none, **unpaired))
        tables.append(make_trials("controls", "question_lab_visit", condition="fact", **asked, **unpaired))
    return concat_trials(*tables)


def grade(answered: pd.DataFrame) -> pd.DataFrame:
    """The grade columns of each answer (see `grading.rules`), with the index of the answered trials."""
    check_columns(answered, ["answer", "concept"])
    concepts_of = [None if pd.isna(word) or not word else word for word in answered["concept"]]
    return grade_by_rules(answered["answer"], concepts_of)


def scored(graded: pd.DataFrame) -> pd.DataFrame:
    """The trials that choose layer and strength, with the column SCORE."""
    return choosing_trials(graded[graded["condition"] == CHOOSING_CONDITION], SCORE)


def measure(graded: pd.DataFrame, seed: int = 0, cell: tuple[int, float] | None = None) -> Result:
    """Rates and their intervals in the chosen cell, or in the given one.

    success: affirmative, coherent, and the word named as the thought, not before the claim. net_rate (also the effect): success
    minus false positives. d_prime, criterion: from detections with and without an injection. It cannot tell where most answers
    are incoherent or ungraded, nor where a single word makes the find: the control prompts are nearly one prompt, and their
    number must not decide what one word is worth. A null says nothing where the model hardly ever leans towards Yes, not even to
    questions whose answer is yes. Where most answers of a condition could not be graded, nothing else is known than the ungraded_rate.
    """
    model, graded = only_model(graded, *GRADES, "yes_logit", "no_logit"), distinct_trials(graded)
    facts = graded[graded["condition"] == "fact"].dropna(subset=["yes_logit", "no_logit"])
    graded = graded[graded["condition"] != "fact"].assign(word=graded["vector_of"])
    chosen = choose_cell(scored(graded), SCORE, seed, cell, injected_words(graded, CHOOSING_CONDITION))
    parts = {condition: in_cell(graded, condition, chosen) for condition in ("concept", "random")}
    parts["none"] = graded[graded["condition"] == "none"]
    if parts["none"].empty:
        raise ValueError("no trials of condition 'none': without them nothing is known of false positives")
    ungraded = ungraded_share(graded, "affirmative")
    parts, lost = graded_parts(parts, "affirmative")
    if lost:
        return nothing_graded(model, ungraded, chosen, lost)
    injected, random, control = as_outcomes(parts["concept"], *GRADES), parts["random"], parts["none"]
    words, alarms = injected["word"], (control["affirmative"], control["values"])  # samples of one prompt are alike
    net = difference_of_rates(injected["success"], words, *alarms)
    measures = {
        "success_rate": clustered_rate(injected["success"], words),
        "detection_rate": clustered_rate(injected["affirmative"], words),
        "identification_rate": clustered_rate(injected["identified"], words),
        "false_positive_rate": clustered_rate(*alarms),
        "random_vector_detection_rate": clustered_rate(random["affirmative"], random["word"]),
        "coherence_rate": clustered_rate(injected["coherent"], words),
        "ungraded_rate": ungraded,
        "net_rate": net,
        **detection(injected["affirmative"], words, *alarms)._asdict(),
        EFFECT: net,
    }
    coherent, says_yes = measures["coherence_rate"].value, 1.0
    successful = words[injected["success"].astype(bool)].nunique()
    if len(facts):
        measures["yes_to_facts"] = clustered_rate(facts["yes_logit"] > facts["no_logit"], facts["values"])
        says_yes = measures["yes_to_facts"].value
    broken = reasons(
        (ungraded.value > 0.5, f"{ungraded.value:.0%} of the answers could not be graded"),
        (coherent < 0.5, f"only {coherent:.0%} of the answers are coherent"),
        (net.low > 0 and successful < 2, "only one word succeeded"),
    )
    powerless = reasons(
        (says_yes < 0.1, f"it leans towards Yes on only {says_yes:.0%} of the questions whose answer is yes")
    )
    return Result(estimates_table(model, measures), chosen, broken, powerless)
