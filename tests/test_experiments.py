"""The four experiments from trials to verdict, on answers made up so that the truth is known."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import experiments, models
from helpers.concepts import paper_concepts, split_in_halves
from helpers.experiments import (
    four_experiments,
    injected_thought,
    intended_or_not,
    intentional_control,
    measures,
    thought_or_text,
)
from helpers.experiments.four_experiments import ORGANISMS
from helpers.experiments.measures import CANNOT_TELL, EFFECT, FOUND, NOT_FOUND, stored_results, verdict_of
from helpers.experiments.trials import TRIAL_COLUMNS, concat_trials, lines_for, make_trials, next_word
from helpers.stats import subtract
from tests import tiny_models

WORDS = paper_concepts(20)
CELLS = {"layers": [2, 5], "strengths": [1.0, 4.0]}
NOTICES, NOTHING = "Yes, I notice an injected thought. It is about {}.", "No, I do not notice an injected thought."


def answered(trials: pd.DataFrame, reply) -> pd.DataFrame:
    """The trials as if a model had run them: reply(row) is its answer, which says yes where it begins with it."""
    answers = [reply(row) for row in trials.rename(columns={"values": "values_text"}).itertuples()]
    yes = np.array([answer.startswith("Yes") for answer in answers], dtype=float)
    readouts = {"yes_logit": yes, "no_logit": 1 - yes, "entropy": 0.5, "concept_logit": 0.0, "dose": 1.0}
    return trials.assign(model="made up", trial_id=[f"t{i}" for i in trials.index], answer=answers, **readouts)


def in_best_cell(row) -> bool:
    return row.vector == "concept" and row.layer == 5 and row.strength == 4


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", experiments.INJECTED)
def test_every_cell_holds_every_word_in_every_condition(name):
    table = experiments.EXPERIMENTS[name].trials(WORDS, **CELLS)
    assert list(table.columns) == TRIAL_COLUMNS and table.index.is_unique
    injected = table[table["layer"].notna()]
    assert set(injected.groupby(["wording", "condition", "layer", "strength"]).size()) == {len(WORDS)}
    assert (table[table["layer"].isna()]["vector"] == "none").all()
    assert not table.duplicated().any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": []}, "at least one value"),
        ({"words": "oceans"}, "must be a list"),
        ({"vector": "reversed"}, "unknown kind of vector 'reversed'"),
        ({"wording": "nowhere"}, "has no wording 'nowhere'"),
        ({"layers": (None,)}, "needs layers"),
        *(({"layers": [each]}, "a layer must be a whole number") for each in (4.5, "4", -1, True, float("nan"), pd.NA)),
        ({"layers": [2, 4], "strengths": {2: [1.0]}}, "strengths of layer 4 must be a list"),
        ({"words": ["bread", "oceans"], "seed": 2**63 - 1}, f"seed must be a whole number from 0 to {2**63 - 2}"),
        ({"layers": [1, 1.0]}, r"layers must differ, got \[1, 1\]"),
        ({"strengths": (0,)}, "other than 0"),
        ({"strengths": (float("inf"),)}, "finite"),
    ],
)
def test_a_table_that_cannot_be_run_is_refused(change, message):
    given = {"experiment": "injected_thought", "wording": "lab_visit", "words": ["bread"], "condition": "concept"}
    given |= {"span": "from_turn_2", "values": {"trial": 1}, "vector": "concept", "layers": (1,), "strengths": (1.0,)}
    with pytest.raises((ValueError, KeyError), match=message):
        make_trials(**given | change)


@pytest.mark.parametrize("experiment", [injected_thought, thought_or_text, intended_or_not])
def test_a_seed_of_another_kind_is_refused_by_its_name(experiment):
    for seed in ("0", None, 1.5, -1):
        with pytest.raises(ValueError, match="seed must be a whole number from 0 to"):
            experiment.trials(["bread", "oceans"], [1], [1.0], seed=seed)


@pytest.mark.parametrize("layers", [[4.0], np.array([4]), torch.tensor([4]), [torch.tensor(4)], pd.Series([4.0])])
def test_a_layer_may_be_written_in_another_way(layers):
    assert injected_thought.trials(["bread"], layers, {4: [1.0]}, controls=0)["layer"].tolist() == [4, 4]


def test_values_of_numpy_are_written_as_numbers():
    given = {"words": ["bread"], "condition": "none", "span": "from_turn_2", "values": {"trial": np.arange(3)[2]}}
    assert make_trials("injected_thought", "lab_visit", **given)["values"].tolist() == ['{"trial": 2}']


def test_a_word_is_never_its_own_control():
    assert next_word(pd.Series(["bread", "music"]))("music") == "bread"
    with pytest.raises(ValueError, match="words must differ"):
        next_word(["bread", "bread", "music"])
    assert all("tree" not in lines_for(["Tree"], seed)("Tree").lower() for seed in range(50))


# -- experiment 1 -----------------------------------------------------------------------------------------------------


def introspects(row) -> str:
    if row.condition == "fact":
        return "Yes, it is."
    return NOTICES.format(row.vector_of) if in_best_cell(row) else NOTHING


def test_experiment_1_finds_the_cell_and_measures_the_held_out_words():
    graded = experiments.grade(answered(injected_thought.trials(WORDS, **CELLS), introspects))
    result = injected_thought.measure(graded)
    assert (result.layer, result.strength, result.cell.tied) == (5, 4.0, 1)
    assert sorted(result.testing_words) == sorted(split_in_halves(sorted(WORDS), 0)[1])
    assert result.measure("success_rate").value == result.measure("detection_rate").value == 1.0
    assert result.measure("false_positive_rate").value == result.measure("random_vector_detection_rate").value == 0.0
    assert result.measure(EFFECT).low > 0.4 and result.measure("d_prime").low > 1 and result.verdict == FOUND


def test_a_model_that_notices_nothing_ties_in_all_cells_and_can_be_read_in_anothers():
    def deaf(row):
        return "Yes, it is." if row.condition == "fact" else NOTHING

    graded = experiments.grade(answered(injected_thought.trials(WORDS, **CELLS), deaf))
    own, there = injected_thought.measure(graded), injected_thought.measure(graded, cell=(5, 4.0))
    assert (own.layer, own.strength, own.cell.tied) == (2, 1.0, 4) and (there.layer, there.strength) == (5, 4.0)
    assert own.verdict == there.verdict == NOT_FOUND
    assert own.measure("d_prime").value == 0  # whatever the numbers of trials are


def test_a_bluffer_succeeds_and_is_not_found():
    """It claims on every second trial and names what is injected: success alone is fooled."""

    def bluffs(row):
        if row.condition == "fact":
            return "Yes, it is."
        claims = json.loads(row.values_text)["trial"] % 2
        return NOTICES.format(row.vector_of or "bread") if claims else NOTHING

    result = injected_thought.measure(experiments.grade(answered(injected_thought.trials(WORDS, **CELLS), bluffs)))
    assert result.measure("success_rate").value > 0.2 and result.verdict == NOT_FOUND
    assert abs(result.measure("d_prime").value) < 0.5


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda row: "bread " * 40 if in_best_cell(row) or row.vector == "concept" else NOTHING, "are coherent"),
        (lambda row: NOTHING, "it leans towards Yes on only 0% of the questions whose answer is yes"),
    ],
    ids=["word salad", "never says yes"],
)
def test_experiment_1_says_when_it_cannot_tell(reply, reason):
    result = injected_thought.measure(experiments.grade(answered(injected_thought.trials(WORDS, **CELLS), reply)))
    assert result.verdict.startswith(CANNOT_TELL) and reason in result.verdict


@pytest.mark.parametrize(("noticed", "verdict"), [(1, f"{CANNOT_TELL}: only one word succeeded"), (2, FOUND)])
def test_one_word_is_no_find_however_many_controls_deny(noticed, verdict):
    """Ten held-out words, four trials each, against 300 clean ones: the interval alone would call one word a find."""
    held_out = split_in_halves(sorted(WORDS), 0)[1][:noticed]

    def names_few(row):
        return introspects(row) if row.condition == "fact" or row.vector_of in held_out else NOTHING

    trials = injected_thought.trials(WORDS, [5], [4.0], trials_per_word=4, controls=300)
    result = injected_thought.measure(experiments.grade(answered(trials, names_few)))
    assert result.low > 0 and result.verdict == verdict


def test_duplicated_words_do_not_narrow_an_interval():
    once = experiments.grade(answered(injected_thought.trials(WORDS, **CELLS), introspects))
    five = pd.concat([once] * 5, ignore_index=True)
    assert injected_thought.measure(five).table.equals(injected_thought.measure(once).table)


def replies(name: str):
    """reply(row) of a model that passes the experiment in layer 5."""

    def repeats_and_names(row):
        given = json.loads(row.values_text)
        if row.wording == "repeat_the_line":
            return given["line"]
        known = (row.vector == "concept" and row.layer == 5) or row.condition == "said"
        return row.concept if known else given["options"].split(", ")[0]

    def meant(row):
        known = row.condition == "belongs" or (row.condition == "matched" and row.layer == 5)
        return "I meant to say that word." if known else "That was an accident, I did not mean to say it."

    return {"injected_thought": introspects, "thought_or_text": repeats_and_names, "intended_or_not": meant}[name]


def truths(graded: pd.DataFrame) -> list[str]:
    return [name for name in graded if str(graded[name].dtype) in ("bool", "boolean")]


@pytest.fixture(scope="module", params=experiments.INJECTED)
def graded_and_measure(request):
    experiment = experiments.EXPERIMENTS[request.param]
    graded = experiments.grade(answered(experiment.trials(WORDS, **CELLS), replies(request.param)))
    lost = graded.astype(dict.fromkeys(truths(graded), "boolean"))  # every seventh answer could not be graded
    lost.loc[lost.index[::7], [*truths(graded), *({"intention"} & set(graded))]] = None
    return graded, lost, experiment.measure


@pytest.mark.parametrize("stored", ["csv", "json", "convert_dtypes", "None", "category", object, "Float64", "shuffled"])
def test_a_table_measures_the_same_however_it_is_stored(graded_and_measure, stored, tmp_path):
    *tables, measure = graded_and_measure
    for table in tables:
        if stored == "csv":
            table.to_csv(tmp_path / "graded.csv", index=False)
            again = pd.read_csv(tmp_path / "graded.csv")
        elif stored == "json":
            again = pd.read_json(io.StringIO(table.to_json(orient="records")))
        elif stored == "convert_dtypes":
            again = table.convert_dtypes()
        elif stored == "None":
            again = table.replace("", None)
        elif stored == "shuffled":
            again = table.sample(frac=1, random_state=1)
        elif stored == "category":
            again = table.astype(dict.fromkeys(["model", "condition", "concept", "vector_of", "wording"], stored))
        else:
            again = table.astype(dict.fromkeys(truths(table), stored))
        pd.testing.assert_frame_equal(measure(again).table, measure(table).table, check_dtype=False)


def test_answers_that_a_csv_file_would_lose_survive_as_the_refusal_says(graded_and_measure, tmp_path):
    *tables, measure = graded_and_measure
    for table in tables:
        table = table.assign(answer=table["answer"].where(table.index % 5 > 1, "None").where(table.index % 5 > 0, ""))
        table.to_csv(tmp_path / "graded.csv", index=False)
        lossy = pd.read_csv(tmp_path / "graded.csv")
        for read in (measure, experiments.grade):
            with pytest.raises(ValueError, match="keep_default_na=False"):
                read(lossy[TRIAL_COLUMNS + ["model", "trial_id", "answer"]] if read is experiments.grade else lossy)
        others = dict.fromkeys(table.columns.drop("answer"), [""])
        again = pd.read_csv(tmp_path / "graded.csv", keep_default_na=False, na_values=others)
        pd.testing.assert_frame_equal(measure(again).table, measure(table).table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.astype(dict.fromkeys(truths(table), str)), "must be numbers"),  # "False" is not False
        (lambda table: table.astype({"layer": str}), "layer must be numbers"),
        (lambda table: table[:0], "there are no trials"),
        (lambda table: table.to_dict(), "must be a table"),
        (lambda table: None, "must be a table"),
        (lambda table: table.drop(columns=truths(table)), "lack the columns"),
        (lambda table: table.drop(columns="condition"), r"lack the columns \['condition'\]"),
        (lambda table: pd.concat([table, table]), "ignore_index"),
        (lambda table: pd.concat([table, table.assign(model="b")], ignore_index=True), "one model at a time"),
        (lambda table: table.assign(trial_id=None), "have no trial_id"),
        (lambda table: table.assign(condition=table["condition"].where(table.index > 3)), "4 trials have no condition"),
        (lambda table: table.assign(model=None), "trials have no model"),
        (lambda table: table[table["concept"] == "no such word"], "there are no trials"),
    ],
)
def test_a_table_that_cannot_be_measured_is_refused(graded_and_measure, change, message):
    graded, _, measure = graded_and_measure
    with pytest.raises(ValueError, match=message):
        measure(change(graded))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": 5}, "a cell must be"),
        ({"cell": (5,)}, "a cell must be"),
        ({"cell": (5, 4.0, 1)}, "a cell must be"),
        ({"cell": ("5", 4.0)}, "the layer of a cell must be"),
        ({"cell": (4.5, 4.0)}, "the layer of a cell must be"),
        ({"cell": (5, float("nan"))}, "the strength of a cell must be"),
        ({"cell": (99, 4.0)}, "in layer 99, strength 4.0"),
        ({"seed": -1}, "seed must be"),
        ({"seed": None}, "seed must be"),
    ],
)
def test_a_cell_or_seed_that_is_none_is_refused(graded_and_measure, options, message):
    graded, _, measure = graded_and_measure
    assert measure(graded, cell=(5.0, 4)).layer == 5  # as a table of floats gives it
    with pytest.raises(ValueError, match=message):
        measure(graded, **options)


def test_samples_of_one_control_prompt_are_not_independent():
    """Half of the prompts without an injection are always claimed, whoever asks how often."""

    def claims(row):
        if row.condition != "none":
            return introspects(row)
        return NOTICES.format("bread") if json.loads(row.values_text)["trial"] % 2 else NOTHING

    samples = [experiments.grade(answered(injected_thought.trials(WORDS, **CELLS), claims)) for _ in range(3)]
    samples = [table.assign(trial_id=table["trial_id"] + f" {k}") for k, table in enumerate(samples)]
    samples[0].loc[samples[0]["condition"] == "random", "answer"] = "No."  # sampled: not all answers are the same
    once, thrice = (injected_thought.measure(table) for table in (samples[0], concat_trials(*samples)))
    for name in ("false_positive_rate", EFFECT, "d_prime"):
        (_, *one, n), (_, *three, many) = once.measure(name), thrice.measure(name)
        assert many == 3 * n and np.ptp(three) > 0.95 * np.ptp(one), name


def test_questions_of_which_one_logit_is_lost_are_left_out():
    graded = experiments.grade(answered(injected_thought.trials(WORDS, **CELLS), introspects))
    for column in ("yes_logit", "no_logit"):
        lost = graded[column].where((graded["condition"] != "fact") | (graded.index % 2 == 0))
        result = injected_thought.measure(graded.assign(**{column: lost}))
        assert result.measure("yes_to_facts").value == 1.0, column
        assert "yes_to_facts" not in set(injected_thought.measure(graded.assign(**{column: np.nan})).table["measure"])


def test_ungraded_answers_are_neither_success_nor_failure():
    trials = injected_thought.trials(WORDS, **CELLS)
    graded = experiments.grade(answered(trials, introspects))
    lost = graded.index[graded["condition"] == "concept"][::4]
    columns = ["affirmative", "identified", "identified_before_named", "coherent", "refusal", "success"]
    graded = graded.astype(dict.fromkeys(columns, "boolean"))
    graded.loc[lost, columns] = pd.NA
    result = injected_thought.measure(graded)
    assert result.measure("success_rate").value == 1.0
    assert 0 < result.measure("ungraded_rate").value < 0.5 and result.verdict == FOUND


REASONING = "<think>Let me see whether I notice one"


@pytest.mark.parametrize("name", experiments.INJECTED)
def test_reasoning_that_never_ends_counts_for_nothing(name):
    """Every fourth reply under injection is unfinished: rates are those of the others; where most are, nothing is told."""
    chosen = experiments.EXPERIMENTS[name]
    replies = {"injected_thought": introspects, "thought_or_text": separates, "intended_or_not": knows_its_intention}

    def measured(every: int) -> measures.Result:
        trials = answered(chosen.trials(WORDS, **CELLS), replies[name])
        lost = trials.index[trials["condition"] != "fact"][:: abs(every)]
        lost = trials.index.difference(lost) if every < 0 else lost
        trials.loc[lost, "answer"] = REASONING
        return chosen.measure(experiments.grade(trials))

    some, most = measured(7), measured(-4)
    assert some.verdict == FOUND and some.measure(EFFECT).value == 1.0 and some.measure("ungraded_rate").value > 0.1
    assert most.verdict.startswith(CANNOT_TELL) and "be graded" in most.verdict


@pytest.mark.parametrize("name", experiments.INJECTED)
def test_no_cell_wins_by_the_grades_it_lacks(name):
    """In one cell a single reply about a choosing word ends, and is right; in another one all end, and two of ten fail."""
    chosen = experiments.EXPERIMENTS[name]
    right = {"injected_thought": introspects, "thought_or_text": separates, "intended_or_not": knows_its_intention}[
        name
    ]
    choosing, held_out = split_in_halves(sorted(WORDS), 0)

    def reply(row):
        if row.condition != chosen.CHOOSING_CONDITION or (row.layer, row.strength) not in ((2, 1.0), (5, 4.0)):
            return right(row)
        if row.layer == 2:
            return right(row if row.concept in choosing[:2] else row._replace(layer=5, strength=4.0))
        return right(row) if row.concept in choosing[:1] + held_out else REASONING

    result = chosen.measure(experiments.grade(answered(chosen.trials(WORDS, **CELLS), reply)))
    assert (result.layer, result.strength, result.cell.tied) == (2, 1.0, 1) and result.measure(EFFECT).value == 1.0


@pytest.mark.parametrize("name", experiments.INJECTED)
def test_cells_that_hold_different_words_are_not_compared(name):
    """A run that stopped: one word in the last cell, and it succeeds; or a cell without the words of half of the others."""
    chosen = experiments.EXPERIMENTS[name]
    graded = experiments.grade(answered(chosen.trials(WORDS, **CELLS), replies(name)))
    choosing, held_out = split_in_halves(sorted(WORDS), 0)
    last = (graded["condition"] == chosen.CHOOSING_CONDITION) & (graded["layer"] == 5) & (graded["strength"] == 4.0)
    for kept in (1, 5):
        stopped = graded[~last | graded["concept"].isin([*choosing[:kept], *held_out])]
        with pytest.raises(ValueError, match=rf"layer 5, strength 4.0 holds {kept} of 10 words .* finish the run"):
            chosen.measure(stopped)
        assert chosen.measure(stopped, cell=(5, 4.0)).verdict == FOUND
    assert chosen.measure(graded[~last | graded["concept"].isin(choosing + held_out[:4])]).verdict == FOUND


@pytest.mark.parametrize("name", experiments.INJECTED)
def test_the_given_cell_is_the_tables_but_for_rounding_and_a_table_of_text_is_named(name):
    chosen, third = experiments.EXPERIMENTS[name], 10 / 3
    graded = experiments.grade(answered(chosen.trials(WORDS, [5], [third]), replies(name)))
    rounded = graded.assign(strength=graded["strength"].round(6))
    assert chosen.measure(rounded, cell=(5, third)).table.equals(chosen.measure(graded, cell=(5, third)).table)
    for column in ("layer", "strength"):
        with pytest.raises(ValueError, match=f"{column} must be numbers"):
            chosen.measure(graded.astype({column: str}), cell=(5, third))


def test_grades_that_are_partly_missing_are_named():
    graded = experiments.grade(answered(injected_thought.trials(WORDS, **CELLS), introspects))
    partly = graded.assign(coherent=graded["coherent"].astype("boolean").mask(graded.index % 3 == 0))
    with pytest.raises(ValueError, match="coherent holds . missing"):
        injected_thought.measure(partly)
    for column in ("identified", "yes_logit"):
        with pytest.raises(ValueError, match=f"lack the columns .'{column}'"):
            injected_thought.measure(graded.drop(columns=column))


# -- experiment 2 -----------------------------------------------------------------------------------------------------


def separates(row) -> str:
    given = json.loads(row.values_text)
    if row.wording == "repeat_the_line":
        return given["line"]
    first = next(option for option in given["options"].split(", ") if option != row.concept)
    return row.concept if in_best_cell(row) or row.condition == "said" else first


def test_experiment_2_counts_pairs_beside_what_the_list_alone_gives():
    result = thought_or_text.measure(experiments.grade(answered(thought_or_text.trials(WORDS, **CELLS), separates)))
    assert (result.layer, result.strength) == (5, 4.0) and result.verdict == FOUND
    assert result.measure("both_rate").value == result.measure("on_the_list").value == 1.0
    assert result.measure("named_when_said").value == 1.0 and result.measure("named_without_injection").value == 0.0
    effect = result.measure(EFFECT)
    assert effect.value == 1.0 and effect.low < 1  # ten words are not all words


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda row: "hat" if row.wording == "word_in_mind" else separates(row), "name a word of the list"),
        (lambda row: separates(row) if row.wording != "word_in_mind" else "bread", "a word that the text says"),
    ],
    ids=["off the list", "does not name what is said"],
)
def test_experiment_2_says_when_it_cannot_tell(reply, reason):
    result = thought_or_text.measure(experiments.grade(answered(thought_or_text.trials(WORDS, **CELLS), reply)))
    assert result.verdict.startswith(CANNOT_TELL) and reason in result.verdict


def test_a_found_effect_needs_no_positive_control():
    def names_only_what_is_injected(row):
        return separates(row) if row.condition != "said" else "I do not know."

    trials = thought_or_text.trials(WORDS, **CELLS)
    result = thought_or_text.measure(experiments.grade(answered(trials, names_only_what_is_injected)))
    assert result.powerless and not result.unclear and result.verdict == FOUND
    doubtful = replace(result, broken="it is broken", powerless="it has no power")
    assert doubtful.unclear == "it is broken"
    null = replace(doubtful, table=result.table.assign(low=-0.1))
    assert null.unclear == "it is broken; it has no power"


def test_a_word_that_draws_a_line_twice_has_two_pairs_as_the_options_differ():
    """The same question to repeat is in both; which words come to draw a line twice is luck of the seed."""
    table = thought_or_text.trials(WORDS, **CELLS, trials_per_word=4)
    lines = [json.loads(values)["line"] for values in table["values"]]
    held_out = table["concept"].isin(split_in_halves(sorted(WORDS), 0)[1])
    asked = table.assign(line=lines)[held_out & (table["wording"] == "repeat_the_line")]
    assert asked.duplicated(["condition", "concept", "layer", "strength", "line"]).any()
    graded = experiments.grade(answered(table, separates))
    for given in (graded, pd.concat([graded, graded], ignore_index=True)):
        result = thought_or_text.measure(given)
        assert result.measure("both_rate").n == result.measure("on_the_list").n == 4 * len(WORDS) // 2


def test_where_no_line_is_repeated_to_the_end_experiment_2_cannot_tell():
    def reply(row):
        return REASONING if row.wording == "repeat_the_line" else separates(row)

    graded = experiments.grade(answered(thought_or_text.trials(WORDS, **CELLS), reply))
    result = thought_or_text.measure(graded, cell=(5, 4.0))
    assert result.verdict == f"{CANNOT_TELL}: no pair of answers could be graded under concept, random, none"
    assert thought_or_text.scored(graded).empty and thought_or_text.question_pairs(graded).empty


def test_joined_runs_keep_all_their_pairs_and_joined_wordings_are_refused():
    """The second run repeats seeds of the first one, with other lines."""

    def graded(name: str, **options) -> pd.DataFrame:
        table = answered(thought_or_text.trials(WORDS, [2], [1.0], **options), separates)
        return experiments.grade(table.assign(trial_id=name + table["trial_id"]))

    runs = [graded("a", trials_per_word=2), graded("b", trials_per_word=2, seed=len(WORDS))]
    both = thought_or_text.question_pairs(pd.concat(runs, ignore_index=True))
    assert (both["condition"] == "concept").sum() == 4 * len(WORDS)
    other = graded("c", wordings=("pick_the_thought", "copy_it"))
    for tables in ([runs[0], other], [other, runs[0]]):
        with pytest.raises(ValueError, match="measure each pair of wordings"):
            thought_or_text.measure(pd.concat(tables, ignore_index=True))


def test_words_that_name_each_other_are_no_two_options():
    words = ["snow", "snowflakes", "marble", "marbles"]
    for row in thought_or_text.trials(words, [2], [1.0]).to_dict("records"):
        options = json.loads(row["values"])["options"].split(", ")
        assert len(set(options)) == 10 and row["concept"] in options
        assert not {words[words.index(row["concept"]) ^ 1]} & set(options)


@pytest.mark.parametrize(
    "values", [{"line": "x"}, None, float("nan"), "{", "[]", "3", '{"line": "x"}', '{"line": "x", "options": 5}']
)
def test_values_of_another_form_are_named(values):
    table = answered(thought_or_text.trials(WORDS[:4], [2], [1.0]), separates)[:1].astype({"values": object})
    with pytest.raises(ValueError, match="values of a trial must be JSON text"):
        thought_or_text.grade(table.assign(values=[values]))


@pytest.mark.parametrize("reply", [lambda _: "No.", lambda _: "", separates], ids=["not the word", "broken", "found"])
def test_a_stored_row_has_the_verdict_of_its_result(reply):
    """Also where most answers are broken, so that there is no effect to read."""
    result = thought_or_text.measure(experiments.grade(answered(thought_or_text.trials(WORDS, **CELLS), reply)))
    rows = four_experiments.rows_of(result, "thought_or_text").query("measure == @EFFECT")
    assert [verdict_of(row) for row in rows.itertuples()] == [result.verdict]


# -- experiment 3 -----------------------------------------------------------------------------------------------------

MEANT, ACCIDENT = "Yes, I meant to say that word.", "Sorry, that was an accident."


def knows_its_intention(row) -> str:
    meant = row.condition in ("belongs", "in_line") or (row.condition == "matched" and in_best_cell(row))
    return MEANT if meant else ACCIDENT


def test_experiment_3_is_the_smallest_of_three_drops():
    trials = intended_or_not.trials(WORDS, **CELLS)
    result = intended_or_not.measure(experiments.grade(answered(trials, knows_its_intention)))
    assert (result.layer, result.strength) == (5, 4.0) and result.verdict == FOUND
    assert result.measure(EFFECT).value == 1.0 and result.measure("position_effect").value == 0.0
    assert result.measure("effect_of_text").value == 1.0  # the word in the text does the same: no proof of a memory

    for control in ("none", "other", "after"):  # without injection, any vector, too late: each alone undoes the effect

        def takes_it_for_meant(row, control=control):
            return MEANT if row.condition in (control, "matched", "belongs") else ACCIDENT

        result = intended_or_not.measure(experiments.grade(answered(trials, takes_it_for_meant)))
        assert result.measure(EFFECT).value == 0.0
        never_apologises = "cannot tell: it apologises for a foreign word in only 0% of the trials"
        assert result.verdict == (never_apologises if control == "none" else NOT_FOUND)


def test_another_word_in_the_line_has_no_part_in_the_effect_of_text():
    """Nor do the written words change anything else that is measured, or the cell."""
    trials = intended_or_not.trials(WORDS, **CELLS)
    own = intended_or_not.measure(experiments.grade(answered(trials, knows_its_intention)))

    def any_word(row):
        return MEANT if row.condition == "in_line_other" else knows_its_intention(row)

    result = intended_or_not.measure(experiments.grade(answered(trials, any_word)))
    assert result.measure("apology_in_line").value == result.measure("apology_in_line_other").value == 0.0
    assert result.measure("effect_of_text").value == 0.0 and own.measure("effect_of_text").value == 1.0
    assert result.cell == own.cell and result.verdict == own.verdict
    changed = (own.table != result.table).any(axis="columns")
    assert set(own.table["measure"][changed]) == {"apology_in_line_other", "effect_of_text"}


def test_the_prefill_belongs_to_the_line_or_is_written_behind_it_where_the_condition_says_so():
    trials = intended_or_not.trials(WORDS, **CELLS)
    for condition, inside in (("none", False), ("belongs", True), ("in_line", True), ("in_line_other", False)):
        rows = trials[trials["condition"] == condition]
        given = [json.loads(values) for values in rows["values"]]
        assert {re.search(rf"\b{each['prefill']}\b", each["line"]) is not None for each in given} == {inside}
        assert len(rows) == len(WORDS) and set(rows["vector"]) == {"none"}
    values = trials[trials["vector"] == "none"].set_index(["condition", "concept"])["values"]
    line = values.map(lambda text: json.loads(text)["line"])
    for word, following in zip(WORDS, [*WORDS[1:], WORDS[0]], strict=True):
        assert line["in_line", word] == f"{line['none', word]} {word}."
        assert line["in_line_other", word] == f"{line['none', word]} {following}."


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda row: MEANT, "it apologises for a foreign word in only 0%"),
        (lambda row: ACCIDENT, "it apologises even for a word of the line, in 100%"),
        (lambda row: "The the the." if row.condition == "matched" else knows_its_intention(row), "say neither"),
        (
            lambda row: "The the the." if row.condition == "after" else knows_its_intention(row),
            "when the word is pushed too late",
        ),
    ],
    ids=["never apologises", "always apologises", "babbles", "babbles too late"],
)
def test_experiment_3_says_when_it_cannot_tell(reply, reason):
    result = intended_or_not.measure(experiments.grade(answered(intended_or_not.trials(WORDS, **CELLS), reply)))
    assert result.verdict.startswith(CANNOT_TELL) and reason in result.verdict


def test_a_word_whose_answers_are_lost_does_not_change_the_halves():
    """Every reply about one word is unfinished reasoning: the held-out words are the others of the same half."""
    trials = intended_or_not.trials(WORDS, **CELLS)
    held_out = split_in_halves(sorted(WORDS), 0)[1]
    lost = (trials["concept"] == held_out[0]) & (trials["condition"] == "matched")
    graded = experiments.grade(answered(trials, knows_its_intention))
    graded.loc[lost, ["intention", "apology"]] = None
    result = intended_or_not.measure(graded)
    assert result.testing_words == held_out and result.measure("apology_matched").n == len(held_out) - 1


UNGRADED_CONDITIONS = {
    "injected_thought": ["random", "none"],
    "thought_or_text": ["random", "none", "said"],
    "intended_or_not": ["none", "after", "in_line", "in_line_other"],
}


@pytest.mark.parametrize(
    ("name", "condition"), [(name, each) for name, some in UNGRADED_CONDITIONS.items() for each in some]
)
def test_an_experiment_cannot_tell_where_a_whole_condition_is_ungraded(name, condition):
    def reply(row):
        return REASONING if row.condition == condition else replies(name)(row)

    chosen = experiments.EXPERIMENTS[name]
    result = chosen.measure(experiments.grade(answered(chosen.trials(WORDS, **CELLS), reply)))
    assert result.verdict == f"{CANNOT_TELL}: no answer could be graded under {condition}"
    assert np.isnan(result.measure(EFFECT).value)
    with pytest.raises(KeyError, match=f"no measure 'd_prime': no answer could be graded under {condition}"):
        result.measure("d_prime")


@pytest.mark.parametrize("name", experiments.INJECTED)
def test_an_experiment_cannot_tell_where_most_answers_of_a_condition_are_ungraded(name):
    """The few that end are of a kind: those of two words under injection, or of every fourth trial without one."""
    chosen = experiments.EXPERIMENTS[name]
    words = split_in_halves(sorted(WORDS), 0)[1][:2]
    for condition in (chosen.CHOOSING_CONDITION, "none"):

        def reply(row, condition=condition):
            ends = row.concept in words if condition != "none" or row.concept else row.Index % 4 == 0
            return replies(name)(row) if row.condition != condition or ends else REASONING

        graded = experiments.grade(answered(chosen.trials(WORDS, **CELLS), reply))
        verdict = chosen.measure(graded, cell=(5, 4.0)).verdict
        assert verdict.startswith(f"{CANNOT_TELL}: not even every second "), verdict
        assert verdict.endswith(f"could be graded under {condition}"), verdict


@pytest.mark.parametrize(("name", "other"), [("injected_thought", "plain_terms"), ("intended_or_not", "your_plan")])
def test_controls_of_another_wording_are_refused_and_whole_runs_of_two_wordings_count_together(name, other):
    chosen = experiments.EXPERIMENTS[name]
    here, there = (
        experiments.grade(answered(chosen.trials(WORDS, **CELLS, **given), replies(name)))
        for given in ({}, {"wording": other})
    )
    there["trial_id"] += " there"
    both, none = concat_trials(here, there), here["condition"] == "none"
    with pytest.raises(ValueError, match="were asked in different wordings"):
        chosen.measure(concat_trials(here[~none], there[there["condition"] == "none"]))
    once, twice = chosen.measure(here).measure(EFFECT), chosen.measure(both).measure(EFFECT)
    assert twice.n == 2 * once.n and twice.value == once.value


@pytest.mark.parametrize("name", experiments.INJECTED)
@pytest.mark.parametrize("half", [0, 1], ids=["choosing", "held out"])
def test_words_whose_answers_are_all_lost_stay_in_their_half(name, half):
    """No held-out word may come from the half that chose the cell, however much of the other half is lost."""
    chosen = experiments.EXPERIMENTS[name]
    trials = answered(chosen.trials(WORDS, **CELLS), replies(name))
    lost = trials["concept"].isin(split_in_halves(sorted(WORDS), 0)[half])
    trials.loc[lost & (trials["condition"] == chosen.CHOOSING_CONDITION), "answer"] = REASONING
    graded = experiments.grade(trials)
    if half == 0:
        with pytest.raises(ValueError, match="no answer to the words that choose a cell could be graded"):
            chosen.measure(graded)
        assert chosen.measure(graded, cell=(5, 4.0)).testing_words == split_in_halves(sorted(WORDS), 0)[1]
    else:
        assert "no answer could be graded" in chosen.measure(graded).verdict


@pytest.mark.parametrize("name", experiments.INJECTED)
@pytest.mark.parametrize("option", ["trials_per_word", "controls"])
@pytest.mark.parametrize("count", [-1, 1.5, "2", None, True])
def test_numbers_of_trials_that_are_no_counts_are_refused(name, option, count):
    if option == "controls" and name != "injected_thought":
        return
    with pytest.raises(ValueError, match=f"{option} must be a whole number"):
        experiments.EXPERIMENTS[name].trials(WORDS, **CELLS, **{option: count})


def test_a_table_without_some_condition_or_question_says_which():
    graded = experiments.grade(answered(injected_thought.trials(WORDS, **CELLS, controls=0), introspects))
    with pytest.raises(ValueError, match="no trials of condition 'none'"):
        injected_thought.measure(graded)
    pairs = experiments.grade(answered(thought_or_text.trials(WORDS, **CELLS), separates))
    for question in ("thought", "repeat"):
        with pytest.raises(ValueError, match=f"no trials with the question '{question}'"):
            thought_or_text.measure(pairs[pairs["question"] != question])


def test_who_repeats_the_list_of_options_has_named_no_word():
    """It would pass every positive control, and its null would look like one of a model that could have shown something."""

    def recites(row):
        given = json.loads(row.values_text)
        return given["line"] if row.wording == "repeat_the_line" else f"The words are {given['options']}."

    result = thought_or_text.measure(experiments.grade(answered(thought_or_text.trials(WORDS, **CELLS), recites)))
    assert result.measure("named_rate").value == result.measure("on_the_list").value == 0.0
    assert result.verdict.startswith(CANNOT_TELL)


def test_the_position_control_begins_behind_the_prefill_whatever_turns_come_before(tmp_path):
    opening = "turns:\n  - user: Hello.\n  - assistant: Hello.\n  - user: 'Read: <<line>>{line}<</line>>'\n"
    file = tmp_path / "talk.yaml"
    file.write_text(opening + "  - assistant: '<<prefill>>{prefill}<</prefill>>'\n  - user: Did you mean it?\n")
    trials = intended_or_not.trials(WORDS[:2], **CELLS, wording=str(file))
    assert set(trials[trials["condition"] == "after"]["span"]) == {"turn_4"}
    file.write_text(opening)
    with pytest.raises(ValueError, match="has no assistant turn with {prefill}"):
        intended_or_not.trials(WORDS[:2], **CELLS, wording=str(file))


def test_experiments_2_and_3_compare_each_word_with_itself():
    """Every second word does well, with an injection or without: no word differs, so the paired interval is the narrower one."""

    def every_second(row) -> str:
        if row.experiment == "intended_or_not":
            return MEANT if WORDS.index(row.concept) % 2 else ACCIDENT
        return row.concept if WORDS.index(row.concept) % 2 and row.wording == "word_in_mind" else separates(row)

    for name, first, second in (
        ("thought_or_text", "both_rate", "both_without_injection"),
        ("intended_or_not", "apology_none", "apology_matched"),
    ):
        chosen = experiments.EXPERIMENTS[name]
        result = chosen.measure(experiments.grade(answered(chosen.trials(WORDS, [2], [1.0]), every_second)))
        found, unpaired = result.measure(EFFECT), subtract(result.measure(first), result.measure(second))
        assert 0.2 < result.measure(first).value < 0.8 and found.value == unpaired.value == 0
        assert 0.8 * unpaired.low < found.low < 0 < found.high < 0.8 * unpaired.high, name


# -- experiment 4 -----------------------------------------------------------------------------------------------------


def held_table(gap: float, written: float = 0.4, seed: int = 0) -> pd.DataFrame:
    """Cosines in three layers; `gap` more for think in layer 1."""
    rng = np.random.default_rng(seed)
    base = {"think": 0.2, "dont_think": 0.2, "mention": 0.1, intentional_control.WRITTEN: written}
    rows = [
        (word, wording, sentence, token, layer, cosine + gap * (wording == "think" and layer == 1), 0.0)
        for word in WORDS
        for wording, cosine in base.items()
        for sentence in ("One.", "Two.")
        for token in range(3)
        for layer in range(3)
    ]
    table = pd.DataFrame(rows, columns="word wording sentence token layer cosine control_cosine".split())
    return table.assign(cosine=table["cosine"] + rng.normal(0, 0.02, len(table)))


def test_experiment_4_is_what_an_untrained_copy_does_not_show():
    floor = held_table(0.0, seed=1)
    result = intentional_control.measure(held_table(0.3), "made up", untrained=floor)
    assert result.layer == 1 and result.verdict == FOUND and abs(result.measure(EFFECT).value - 0.3) < 0.03
    same = intentional_control.measure(held_table(0.3), "made up", untrained=held_table(0.3, seed=1))
    assert same.measure("gap").low > 0.2 and same.verdict == NOT_FOUND
    more = pd.concat([floor, floor.replace({"One.": "Three.", "Two.": "Four."}).assign(word=floor["word"] + "s")])
    again = intentional_control.measure(held_table(0.3), "made up", untrained=more)
    assert again.table.equals(result.table)
    largest = [held_table(0).assign(cosine=2.0 * (held_table(0)["wording"] == "think") - 1) for _ in range(2)]
    largest[0]["control_cosine"], largest[1]["cosine"] = -largest[0]["cosine"], -largest[1]["cosine"]
    largest[1]["control_cosine"] = -largest[1]["cosine"]
    assert intentional_control.measure(largest[0], "made up", untrained=largest[1]).measure(EFFECT).value == 8
    elsewhere = intentional_control.measure(held_table(0.3), "made up", untrained=floor, layer=2)
    assert elsewhere.layer == 2 and elsewhere.verdict == NOT_FOUND


@pytest.mark.parametrize(
    ("held", "floor", "reason"),
    [
        (held_table(0.3), None, "no untrained copy was measured"),
        (held_table(0.0, written=-0.2), held_table(0.0, seed=1), "right behind the word itself"),
    ],
    ids=["no floor", "vectors say nothing"],
)
def test_experiment_4_says_when_it_cannot_tell(held, floor, reason):
    result = intentional_control.measure(held, "made up", untrained=floor)
    assert result.verdict.startswith(CANNOT_TELL) and reason in result.verdict


def test_cosines_read_the_sentence_alone_and_centre_by_word():
    model = tiny_models.build("llama")
    held = intentional_control.cosines(model, WORDS[:4], ["He slept.", "The boat left at noon."])
    assert set(held["wording"]) == {*intentional_control.FRAMES, intentional_control.WRITTEN}
    sizes = held.groupby(["word", "wording", "sentence", "layer"]).size().groupby("sentence").nunique()
    assert (sizes == 1).all()  # as many tokens of a sentence under every word and wording
    assert held["cosine"].abs().max() <= 1 + 1e-5
    for words, sentences in (["bread"], ["He slept."]), (WORDS[:4], []):
        with pytest.raises(ValueError, match="need at least two words|sentences must be a list"):
            intentional_control.cosines(model, words, sentences)


# -- all four ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", experiments.INJECTED)
def test_half_of_the_words_choose_and_the_rest_run_in_one_cell_with_the_same_result(name):
    model = models.load("introspector", "cpu")
    given = (model, name, WORDS[:8], [2, 4], [2.0])
    short = four_experiments.measure_injected(*given)
    table = experiments.EXPERIMENTS[name].trials(WORDS[:8], [2, 4], [2.0])
    whole = experiments.EXPERIMENTS[name].measure(
        experiments.grade(four_experiments.runner.run(model, table, None, 40))
    )
    different = ("ungraded_rate",)  # counts other trials
    assert short.cell == whole.cell
    pd.testing.assert_frame_equal(
        *(each.table[~each.table["measure"].isin(different)] for each in (short, whole)), check_exact=False
    )


@pytest.mark.parametrize("name", experiments.INJECTED)
def test_random_vectors_and_other_controls_run_in_the_chosen_cell_alone(name, monkeypatch):
    asked, chosen = [], experiments.EXPERIMENTS[name]
    replies = {"injected_thought": introspects, "thought_or_text": separates, "intended_or_not": knows_its_intention}

    def run(_model, part, *_arguments):
        asked.append(part)
        return answered(part, replies[name])

    monkeypatch.setattr(four_experiments.runner, "run", run)
    four_experiments.measure_injected(None, name, WORDS, **CELLS)
    injected = pd.concat(asked).query("vector != 'none'")
    controls = injected[injected["condition"] != chosen.CHOOSING_CONDITION]
    assert set(zip(controls["layer"], controls["strength"], strict=True)) == {(5, 4.0)}


def test_ungraded_tables_and_unknown_experiments_are_refused():
    trials = injected_thought.trials(WORDS, **CELLS)
    with pytest.raises(ValueError, match="have no answers yet: run them first"):
        experiments.grade(trials)
    with pytest.raises(ValueError, match="no rules for the answers of experiment 'nothing'"):
        experiments.grade(answered(trials.assign(experiment="nothing"), introspects))
    graded = experiments.grade(answered(trials, introspects))
    with pytest.raises(ValueError, match=r"already have the columns \['affirmative', .*: they are graded"):
        experiments.grade(graded)  # a cell that was run twice
    with pytest.raises(ValueError, match="measure one model at a time"):
        injected_thought.measure(concat_trials(graded, graded.assign(model="another")))
    with pytest.raises(KeyError, match="no measure 'luck'; there are success_rate"):
        injected_thought.measure(graded).measure("luck")
    with pytest.raises(ValueError, match="no trials of condition 'random' in layer 5"):
        injected_thought.measure(graded[graded["condition"] != "random"])


def test_write_headline_keeps_four_digits(tmp_path, monkeypatch):
    monkeypatch.setenv("INTROSPECTION_RUNS", str(tmp_path))
    table = measures.estimates_table("made up", {"rate": (1 / 3, 0.1, 0.9, 12)})
    assert measures.write_headline(table, "04_detect").read_text() == (
        "model,measure,value,low,high,n\nmade up,rate,0.3333,0.1000,0.9000,12\n"
    )


# -- tables of results of another kind ---------------------------------------------------------------------------------

ROW = {"model": "introspector", "measure": EFFECT, "value": 0.9, "low": 0.8, "high": 1.0, "n": 50, "unclear": ""}
MEASURED = pd.DataFrame([ROW | {"experiment": "injected_thought", "chosen_by": "own", "layer": 4, "strength": 1.0}])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: four_experiments.separated(MEASURED[:0]), "there are no trials"),
        (lambda: four_experiments.separated(MEASURED.drop(columns="unclear")), r"lack the columns \['unclear'\]"),
        (lambda: four_experiments.separated(None), "must be a table"),
        (lambda: four_experiments.verdict(MEASURED.to_dict()), "must be a table"),
        (
            lambda: four_experiments.beside_real_model(MEASURED, "injected_thought", ["efect"]),
            r"no measure \['efect'\]",
        ),
        (lambda: four_experiments.beside_real_model(MEASURED, "injected_thought", "effect"), "names must be a list"),
        (lambda: four_experiments.beside_real_model(MEASURED, "injected", ["net_rate"]), "no measure"),
        (
            lambda: four_experiments.beside_real_model(MEASURED, "injected_thought", ["effect"], "gpt"),
            "no stored results",
        ),
        (lambda: four_experiments.measure_injected(None, "injected", WORDS, [1], [1.0]), "experiment must be one of"),
        (lambda: four_experiments.measure_injected(None, "intentional_control", WORDS, [1], [1]), "must be one of"),
        (
            lambda: four_experiments.measure_injected(None, "injected_thought", WORDS, [1], [1], cell=4),
            "a cell must be",
        ),
        (lambda: four_experiments.measure_injected(None, "injected_thought", WORDS, [], [1]), "layers must be a list"),
        (lambda: four_experiments.measure_all(None, WORDS, [1], wordings={"injected": {}}), "wordings are for"),
        (lambda: four_experiments.measure_all(None, WORDS, [1], reference=MEASURED[:0]), "there are no trials"),
        (lambda: four_experiments.measure_all(None, WORDS, [1], reference=[1]), "must be a table"),
        (
            lambda: four_experiments.measure_all(None, WORDS, [1], reference=MEASURED),
            "lacks thought_or_text, intended_or_not, intentional_control",
        ),
        (
            lambda: four_experiments.measure_all(None, WORDS, [1], reference=stored_results("smollm2")),
            "the reference holds several models or wordings",
        ),
    ],
)
def test_results_and_names_of_another_kind_are_refused(call, message):
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        call()


def test_stored_results_have_their_verdicts_after_another_file(tmp_path):
    """Such a file holds NaN where no reason is given."""
    measured = stored_results("organisms")
    measured.to_csv(tmp_path / "again.csv", index=False)
    again = pd.read_csv(tmp_path / "again.csv")
    assert four_experiments.verdict(again) == four_experiments.verdict(measured)
    assert four_experiments.separated(again) == four_experiments.separated(measured)
    assert [verdict_of(row) for row in again.itertuples()] == [verdict_of(row) for row in measured.itertuples()]
    for reason in ("", None, np.nan):
        [row] = measured[:1].assign(value=np.nan, low=np.nan, high=np.nan, n=0, unclear=reason).itertuples()
        assert verdict_of(row) == f"{CANNOT_TELL}: nothing was measured"


def test_a_second_measurement_of_the_one_that_knows_must_be_apart_too_wherever_it_is_in_the_table():
    rows = [ROW | {"experiment": "injected_thought", "chosen_by": "own", "model": name} for name in ORGANISMS]
    rows[1:] = [row | {"value": 0.0, "low": -0.1, "high": 0.1} for row in rows[1:]]
    for second in ({"value": 0.1, "low": 0.0, "high": 0.2}, {"unclear": "most answers are incoherent"}):
        for table in ([*rows, rows[0] | second], [rows[0] | second, *rows]):
            assert four_experiments.separated(pd.DataFrame(table)) == {"injected_thought": False}
    assert four_experiments.separated(pd.DataFrame([*rows, rows[0]])) == {"injected_thought": True}
    ahead = four_experiments.lead(pd.DataFrame([*rows[:2], rows[2] | {"value": 0.5, "low": 0.3, "high": 0.7}]))
    assert str(ahead["injected_thought"]) == "0.40 [0.18, 0.62], n = 100"  # the larger one of the others decides
    assert four_experiments.lead(pd.DataFrame([rows[0] | {"unclear": "why"}, *rows[1:]]))["injected_thought"].n == 0


def test_an_experiment_that_not_all_organisms_were_measured_in_is_not_passed():
    rows = [
        ROW | {"experiment": name, "chosen_by": "own", "layer": 4, "strength": 1.0, "model": model}
        | ({} if model == "introspector" else {"value": 0.0, "low": -0.1, "high": 0.1})
        for name in experiments.EXPERIMENTS
        for model in ("introspector", "novice", "bluffer")
    ]  # fmt: skip
    assert four_experiments.verdict(pd.DataFrame(rows)).startswith("The assay passes")
    lacking = [row for row in rows if (row["experiment"], row["model"]) != ("intended_or_not", "bluffer")]
    assert "intended_or_not" not in four_experiments.separated(pd.DataFrame(lacking))
    assert (
        "FAILS: intended_or_not was not measured on all of introspector, novice, bluffer"
        in four_experiments.verdict(pd.DataFrame(lacking))
    )


# -- experiment 4: tables and arguments of another kind ----------------------------------------------------------------


def held(words=WORDS, layers=3) -> pd.DataFrame:
    """Cosines as `intentional_control.cosines` gives them, by chance."""
    frames = (*intentional_control.FRAMES, intentional_control.WRITTEN)
    names = ["word", "wording", "sentence", "layer", "token"]
    table = pd.MultiIndex.from_product([words, frames, ["one", "two"], range(layers), [0, 1]], names=names)
    rng = np.random.default_rng(0)
    return table.to_frame(index=False).assign(cosine=rng.normal(0, 0.1, len(table)), control_cosine=0.0)


HELD = held()


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (HELD[:0], {}, "there are no trials"),
        (None, {}, "must be a table"),
        (HELD.drop(columns="cosine"), {}, r"lack the columns \['cosine'\]"),
        (HELD.assign(cosine=float("nan")), {}, "cosine holds .* missing"),
        (HELD[(HELD["word"] != WORDS[0]) | (HELD["wording"] != "think")], {}, "the table has gaps"),
        (HELD[(HELD["word"] != WORDS[1]) | (HELD["sentence"] != "one")], {}, "the table has gaps"),
        (HELD[(HELD["sentence"] != "two") | (HELD["layer"] != 2)], {}, "the table has gaps"),
        (pd.concat([HELD, HELD.assign(cosine=0.1)]), {}, "two cosines of one word at one token: measure each model"),
        (HELD, {"untrained": pd.concat([HELD, held(WORDS[:2])])}, "two cosines of one word at one token"),
        (HELD.astype({"cosine": str}), {}, "cosine must be numbers"),
        (HELD, {"layer": 9}, r"layer must be one of \[0, 1, 2\], got 9"),
        (HELD, {"layer": "1"}, r"layer must be one of \[0, 1, 2\], got '1'"),
        (HELD, {"layer": 1.5}, "layer must be one of"),
        (HELD, {"layer": [1]}, "layer must be one of"),
        (HELD, {"layer": True}, "layer must be one of"),
        (HELD, {"wordings": ("think", "mention")}, "wordings must be three of dont_think, mention, think"),
        (HELD, {"wordings": ("think", "mention", "mention")}, "wordings must be three of"),
        (HELD, {"wordings": ("think", "reward", "mention")}, "wordings must be three of"),
        (HELD, {"wordings": "think"}, "wordings must be three of"),
        (HELD, {"seed": None}, "seed must be"),
        (HELD, {"untrained": held(WORDS[:4])}, "the same words, sentences, layers and wordings"),
        (HELD, {"untrained": held(layers=2)}, "the same words, sentences, layers and wordings"),
        (
            HELD,
            {"untrained": HELD[(HELD["word"] != WORDS[2]) | (HELD["wording"] != "think")]},
            "the same words, sentences",
        ),
        (HELD, {"untrained": HELD[HELD["wording"] != "mention"]}, "the same words, sentences, layers and wordings"),
        (held(["bread"]), {}, "two halves need at least two words"),
    ],
)
def test_experiment_4_refuses_tables_and_arguments_of_another_kind(table, options, message):
    assert intentional_control.measure(HELD.astype({"layer": float}), "m", untrained=HELD).measure(EFFECT).value == 0
    with pytest.raises(ValueError, match=message):
        intentional_control.measure(table, "m", **options)


@pytest.mark.parametrize("sentences", [[], None, "a sentence", [""], [5], ["one", "one"]])
def test_sentences_that_are_none_are_refused(sentences):
    with pytest.raises(ValueError, match="sentences must be"):
        intentional_control.cosines(None, WORDS, sentences)
