"""The search in two stages: halves stay apart, cells are ranked beyond their controls, nulls are said with dose and coherence."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from helpers import concepts, experiments, models
from helpers.experiments import four_experiments, injected_thought, runner, search
from helpers.experiments.measures import in_cell
from helpers.grading import COLUMNS

WORDS = concepts.paper_concepts()[:8]


@pytest.fixture(scope="module")
def found():
    return search.two_stage(
        models.load("introspector", "cpu"), WORDS, [1, 3, 5], [0.25, 2], "test_search", keep=2, controls=12
    )


def table(margins: dict) -> pd.DataFrame:
    """Answered trials with these margins: (condition, layer, strength) -> margin of both words."""
    rows = [
        (condition, word, layer, strength, margin, 0.0, 0.5)
        for (condition, layer, strength), margin in margins.items()
        for word in ("bread", "music")
    ]
    return pd.DataFrame(rows, columns="condition vector_of layer strength yes_logit no_logit dose".split())


def test_cells_are_ranked_beyond_both_controls():
    """The largest shift is one that a random vector has as well: such a cell stands last."""
    cells = search.coarse_cells(
        table(
            {
                ("none", 0, 0.0): -3.0,
                ("concept", 2, 1.0): 1.0,
                ("random", 2, 1.0): -4.0,
                ("concept", 4, 8.0): 6.0,
                ("random", 4, 8.0): 5.5,
            }
        )
    )
    assert cells[["layer", "strength"]].to_numpy().tolist() == [[2, 1.0], [4, 8.0]]
    assert cells["value"].tolist() == [4.0, 0.5]  # beyond no injection; beyond the random vector
    assert cells["random"].tolist() == [-1.0, 8.5]


def _coarse(rng, shifts=None):
    """A cell of 12 words, as far beyond no injection and beyond the random vector as `shifts` say; and the truth."""
    shifts = rng.uniform(0, 3, 2) if shifts is None else shifts
    words, of_word = [f"word{k}" for k in range(12)], rng.normal(size=12)
    parts = [
        pd.DataFrame({"condition": condition, "vector_of": words, "margin": of + rng.normal(size=12) - down})
        for condition, of, down in (("concept", of_word, 0), ("random", of_word, shifts[1]), ("none", 0, shifts[0]))
    ]
    cell = pd.concat(parts, ignore_index=True).assign(layer=2, strength=1.0, no_logit=0.0, dose=0.5)
    row = search.coarse_cells(cell.rename(columns={"margin": "yes_logit"})).iloc[0]
    return row["low"] <= min(shifts) <= row["high"]


@pytest.mark.parametrize(("shifts", "most"), [(None, 0.99), ((0, 5), 0.985), ((5, 0), 0.985), ((0, 0), 0.995)])
def test_the_shift_beyond_controls_is_covered_at_least_93_percent_of_the_time(shifts, most):
    rng = np.random.default_rng(3)
    assert 0.93 <= np.mean([_coarse(rng, shifts) for _ in range(300)]) <= most


def test_the_reported_half_had_no_say(found):
    choosing, testing = concepts.split_in_halves(sorted(WORDS), 0)
    assert found.result.cell.testing_words == testing
    assert (found.coarse["n"] == len(choosing)).all() and len(found.coarse) == 6
    best = found.coarse.drop_duplicates("strength")
    assert found.kept == [(cell.layer, cell.strength) for cell in best.itertuples()]  # the best of each strength
    assert (found.result.layer, found.result.strength) in found.kept
    assert found.result.measure("success_rate").n == 2 * len(testing)
    assert set(found.graded[found.graded["condition"] != "none"]["concept"]) - {""} == set(WORDS)


def test_it_finds_what_was_built_in(found):
    assert found.result.strength == 2 and found.result.measure("net_rate").low > 0
    assert search.finding(found).startswith("Found: net rate ")
    assert found.dose > 0 and 0 <= found.coherence.value <= 1


@pytest.mark.parametrize("kinds", [set(), {"mixture"}, {"random", "mixture"}])
def test_a_find_is_read_beside_random_vectors_and_mixtures(found, kinds):
    """A model that says Yes to any push, and names the word because the vector steers it there, has a net rate above 0, too."""
    yes = [part["condition"].isin({"concept", *kinds}) for part in (found.graded, found.mixtures)]
    graded, mixtures = found.graded.assign(affirmative=yes[0]), found.mixtures.assign(affirmative=yes[1])
    found = dataclasses.replace(found, graded=graded, mixtures=mixtures)
    for kind in ("random", "mixture"):
        assert found.word_minus(kind).value == (0 if kind in kinds else 1)
        # of each word two trials, and two with the other vector
        assert found.word_minus(kind).n == 4 * len(found.result.testing_words)
    said = search.finding(found)
    assert ("a Yes to any push is not ruled out, so run notebook 09." in said) == ("random" in kinds)
    assert ("may be one to any push along the directions of words." in said) == ("mixture" in kinds)


def test_mixtures_are_the_held_out_words_trials_of_the_chosen_cell_with_another_vector(found):
    graded, cell = found.graded.assign(word=found.graded["vector_of"]), found.result.cell
    random = in_cell(graded, "random", cell)
    same = ["experiment", "wording", "values", "concept", "vector_of", "layer", "strength", "span", "seed"]
    pd.testing.assert_frame_equal(found.mixtures[same].reset_index(drop=True), random[same].reset_index(drop=True))
    assert set(found.mixtures["condition"]) == set(found.mixtures["vector"]) == {"mixture"}
    assert not set(found.mixtures["trial_id"]) & set(random["trial_id"])
    # the introspector takes them for words, which it does not do with random vectors
    assert found.result.measure("mixture_detection_rate").value == found.mixtures["affirmative"].mean() > 0.5
    assert found.result.measure("random_vector_detection_rate").value < 0.5


def test_where_no_answer_to_a_mixture_could_be_graded_nothing_is_said_of_them(found):
    silent = dataclasses.replace(found, mixtures=found.mixtures.assign(affirmative=None))
    assert silent.word_minus("mixture").n == 0 and silent.word_minus("random").n
    assert "Yes to words minus Yes to mixtures of words: unknown, n = 0" in search.finding(silent)


def test_random_pushes_that_could_be_graded_in_another_cell_only_are_not_compared(found):
    here = found.graded["strength"] == found.result.strength
    silent = found.graded["affirmative"].mask(here & (found.graded["condition"] == "random"))
    elsewhere = found.graded[found.graded["condition"] == "random"].iloc[:1].assign(strength=99.0)
    graded = pd.concat([found.graded.assign(affirmative=silent), elsewhere])
    silent = dataclasses.replace(found, graded=graded)
    assert silent.word_minus("random").n == 0 and silent.word_minus("mixture").n


def test_a_null_names_dose_coherence_and_positive_control(found):
    def null(dose, coherent, high=0.1, claims=0.1):
        lines = found.result.table.set_index("measure")
        lines.loc[["net_rate", "effect"], ["value", "low", "high"]] = (0.02, -0.05, high)
        lines.loc["coherence_rate", "value"] = coherent
        lines.loc["yes_to_facts", "value"] = 0.45
        lines.loc["false_positive_rate", "value"] = claims
        result = dataclasses.replace(found.result, table=lines.reset_index(), powerless="")
        return search.finding(dataclasses.replace(found, result=result, dose=dose))

    assert null(0.5, 0.9).startswith("Not found: net rate 0.02 [-0.05, 0.10]")
    assert "(dose 0.50), with 90% of the answers coherent" in null(0.5, 0.9)
    assert all("whose answer is yes it leans towards Yes in 45%." in null(*each) for each in ((0.5, 0.9), (0.05, 0.9)))
    assert null(0.05, 0.9).startswith(
        "Not found (says little): "
    ) and "but the injection was small. To questions" in null(0.05, 0.9)
    assert null(0.199, 0.9).startswith("Not found: ")  # it is printed as 0.20
    assert "but only 10% of the answers are coherent." in null(2.0, 0.1)
    assert "but with so few trials it may be as high as 0.66." in null(0.5, 0.9, high=0.66)
    bluffing = null(0.5, 0.9, claims=0.46)  # the net rate subtracts any claim, and adds only those that name the word
    assert bluffing.startswith("Not found (says little): net rate 0.02 ")
    assert "but it claims a thought in 46% of the trials with nothing, which count against it." in bluffing
    assert "begin with Yes or No" not in null(0.5, 0.9)
    found = dataclasses.replace(found, graded=found.graded.assign(answer="I'm not sure what to say."))
    assert "but only 0% of its replies begin with Yes or No, and the lean between the two chose the cells." in null(
        0.5, 0.9
    )


@pytest.mark.parametrize("effect", [0.5, 0.0])
def test_a_verdict_names_its_different_clean_replies_and_where_few_holds_for_its_wording_only(found, effect):
    """Clean trials that differ in their number only and draw one reply are one trial of any other wording."""
    lines = found.result.table.set_index("measure")
    lines.loc[["net_rate", "effect"], ["value", "low", "high"]] = (effect, effect - 0.1, effect + 0.1)
    result = dataclasses.replace(found.result, table=lines.reset_index(), powerless="")
    clean = found.graded["condition"] == "none"  # 12 trials

    def said(different):
        answers = found.graded["answer"].where(~clean, [f"No, {k % different}." for k in range(len(clean))])
        return search.finding(dataclasses.replace(found, result=result, graded=found.graded.assign(answer=answers)))

    only = ", so this holds for this wording only: repeat it in others."
    assert said(1).startswith("Found" if effect else "Not found")
    assert said(1).endswith(f" 1 different reply among 12 clean trials{only}")
    assert said(9).endswith(f" 9 different replies among 12 clean trials{only}")
    assert said(search.FEWEST_REPLIES).endswith(" 10 different replies among 12 clean trials.")


def test_where_no_clean_answer_could_be_graded_the_finding_says_so(found):
    german = "Nein, ich bemerke keinen eingepflanzten Gedanken in meinem Kopf."
    graded = found.graded.assign(answer=found.graded["answer"].where(found.graded["condition"] != "none", german))
    result = injected_thought.measure(experiments.grade(graded.drop(columns=COLUMNS)))
    sentence = search.finding(dataclasses.replace(found, result=result))
    assert sentence.startswith("Cannot tell: no answer could be graded under none (at layer "), sentence


def test_where_no_answer_at_all_could_be_graded_search_and_experiments_cannot_tell(monkeypatch):
    """The cell is then the best one of the coarse stage, or the first one: nothing chooses."""
    german, answer = "Nein, ich bemerke keinen eingepflanzten Gedanken in meinem Kopf.", runner.run
    monkeypatch.setattr(runner, "run", lambda *given, **named: answer(*given, **named).assign(answer=german))
    novice, cells = models.load("novice", "cpu"), ([3, 4], [1.0, 2.0])
    found = search.two_stage(novice, WORDS, *cells, keep=2, trials_per_word=1, controls=8, max_new_tokens=2)
    assert search.finding(found).startswith("Cannot tell: no answer could be graded under concept, random, none (at ")
    assert (found.result.layer, found.result.strength) == found.kept[0]
    for experiment in experiments.INJECTED:
        result = four_experiments.measure_injected(novice, experiment, WORDS, *cells, max_new_tokens=2)
        assert result.verdict.startswith("cannot tell: no answer could be graded under "), experiment
        assert (result.layer, result.strength) == (3, 1.0)


def test_a_null_is_not_read_off_a_broken_cell():
    """Where nothing succeeds anywhere, the strongest push must not be chosen; unless every cell is broken."""
    rows = [("concept", word, 2, strength, strength < 8) for word in ("bread", "music") for strength in (2.0, 8.0)]
    graded = pd.DataFrame(
        [*rows, ("none", "", None, 0.0, True)], columns="condition concept layer strength coherent".split()
    )
    assert search.without_broken_cells(graded, ["bread"])["strength"].tolist() == [2.0, 2.0, 0.0]
    assert len(search.without_broken_cells(graded.assign(coherent=False), ["bread"])) == 5


def test_a_second_call_answers_nothing_anew(found, monkeypatch):
    def never(*_arguments, **_options):
        raise AssertionError("a trial was answered again")

    monkeypatch.setattr(runner, "answer_batch", never)
    again = search.two_stage(
        models.load("introspector", "cpu"), WORDS, [1, 3, 5], [0.25, 2], "test_search", keep=2, controls=12
    )
    pd.testing.assert_frame_equal(again.result.table, found.result.table)


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (WORDS[:3], {}, "at least four different words"),
        (WORDS + WORDS[:1], {}, "is given twice"),
        ("bread", {}, "concepts must be a list"),
        (None, {}, "concepts must be a list"),
        (WORDS, {"layers": [1, 1]}, r"layers must differ, got \[1, 1\]"),
        (WORDS, {"layers": []}, "layers must be a list of at least one"),
        (WORDS, {"layers": 3}, "layers must be a list of at least one"),
        (WORDS, {"strengths": [2, 2.0]}, "strengths must differ"),
        (WORDS, {"strengths": {1: [4, 4.0]}}, r"strengths must differ, got \[4.0, 4.0\]"),
        (WORDS, {"strengths": [0]}, "other than 0"),
        (WORDS, {"strengths": [float("nan")]}, "finite number"),
        (WORDS, {"strengths": {2: [1.0]}}, "strengths"),
        (WORDS, {"keep": 0}, "keep must be a whole number from 1 up, got 0"),
        (WORDS, {"keep": "2"}, "keep must be a whole number"),
        (WORDS, {"keep": True}, "keep must be a whole number"),
        (WORDS, {"trials_per_word": 0}, "trials_per_word must be a whole number from 1"),
        (WORDS, {"controls": 0}, "controls must be a whole number from 1"),
        (WORDS, {"controls": 1.5}, "controls must be a whole number from 1"),
        (WORDS, {"seed": -1}, "seed must be a whole number from 0"),
        (WORDS, {"seed": None}, "seed must be a whole number from 0"),
        (WORDS, {"wording": "nowhere"}, "has no wording 'nowhere'"),
    ],
)
def test_bad_input_is_refused(words, options, message):
    with pytest.raises((ValueError, KeyError), match=message):
        search.two_stage(None, words, **{"layers": [1], "strengths": [2]} | options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cells: cells[cells["condition"] != "random"], "conditions concept, random and none are needed"),
        (lambda cells: cells[cells["condition"] != "none"], "conditions concept, random and none are needed"),
        (lambda cells: cells[cells["condition"] != "concept"], "conditions concept, random and none are needed"),
        (lambda cells: cells[cells["condition"] == "none"], "nothing was injected"),
        (lambda cells: cells[:0], "there are no trials"),
        (lambda cells: cells.drop(columns="dose"), r"lack the columns \['dose'\]"),
        (lambda cells: cells.assign(yes_logit=None), "yes_logit holds 6 missing"),
        (lambda cells: cells.astype({"no_logit": str}), "no_logit must be numbers"),
        (lambda cells: cells.to_dict(), "must be a table"),
    ],
)
def test_a_table_of_another_kind_is_refused(change, message):
    cells = table({("none", 0, 0.0): -3.0, ("concept", 2, 1.0): 1.0, ("random", 2, 1.0): -4.0})
    assert search.coarse_cells(cells.astype({"condition": "category"}))["value"].tolist() == [4.0]
    with pytest.raises(ValueError, match=message):
        search.coarse_cells(change(cells))
