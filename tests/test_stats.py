"""Statistics: known values, refusal of senseless input, intervals that never close, and simulations.

The simulations hold for every estimator that a notebook prints: a 95 % interval covers the truth 93 to 97 % of the time on
average over true rates, and where nothing is going on 3 to 7 % are rejected. Where outcomes are few and discrete no method
can do that at each single rate; there a floor is tested, and the test's name says so.
"""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats as scipy_stats

from helpers import stats as st
from helpers.experiments.measures import choose_cell
from helpers.grading.agreement import kappa

normal = scipy_stats.norm
AB = pd.Series([0, 1])
AB_BACKWARDS = AB[::-1]


# --- known values --------------------------------------------------------------------------------------------------


def test_wilson_rate_matches_the_textbook_example():
    estimate = st.wilson_rate(10, 50)
    assert estimate == pytest.approx((0.2, 0.1124, 0.3304, 50), abs=1e-3)
    assert st.wilson_rate(0, 100).low == 0 and st.wilson_rate(0, 100).high == pytest.approx(0.037, abs=1e-3)
    assert st.wilson_rate(100, 100).high == 1
    assert str(estimate) == "0.20 [0.11, 0.33], n = 50"


def test_rate_takes_a_boolean_column():
    assert st.rate(pd.Series([True, False, True, True])) == st.wilson_rate(3, 4)


def test_difference_of_independent_rates_is_newcombe_and_agrees_with_subtract():
    first, second = np.arange(70) < 56, np.arange(80) < 48  # Newcombe 1998, table II (a): 0.0524 to 0.3339
    found = st.difference_of_rates(first, range(70), second, range(100, 180))
    assert found == pytest.approx((0.2, 0.0524, 0.3339, 150), abs=1e-3)
    assert st.subtract(st.wilson_rate(56, 70), st.wilson_rate(48, 80)) == pytest.approx(found, abs=1e-9)


def test_pairs_make_a_difference_more_certain_when_words_agree_and_less_when_they_oppose():
    words, first = range(40), np.arange(40) < 20
    alike, opposed = first | (np.arange(40) < 24), ~first

    def width(other, labels):
        found = st.difference_of_rates(first, words, other, labels)
        return found.high - found.low

    assert width(alike, words) < 0.6 * width(alike, range(100, 140))
    assert width(opposed, words) > 1.2 * width(opposed, range(100, 140))


def test_a_difference_of_differences_is_wider_than_either_difference():
    rng = np.random.default_rng(0)
    samples = [(rng.random(50) < p, np.repeat(range(25), 2)) for p in (0.9, 0.2, 0.5, 0.4)]
    found, single = st.contrast_of_rates(samples, (1, -1, -1, 1)), st.contrast_of_rates(samples[:2], (1, -1))
    values = [np.mean(outcomes) for outcomes, _ in samples]
    assert found.value == pytest.approx(values[0] - values[1] - values[2] + values[3]) and found.n == 200
    assert found.high - found.low > single.high - single.low


@pytest.mark.parametrize("share", [0, 0.1, 0.3, 0.5, 1])
@pytest.mark.parametrize("trials", [(10, 100), (100, 10), (20, 200), (50, 100), (10, 1000), (30, 30)])
def test_d_prime_is_0_where_the_observed_rates_are_equal_whatever_the_numbers_of_trials(share, trials):
    injected, control = trials
    found = st.d_prime(round(share * injected), injected, round(share * control), control)
    assert found.value == pytest.approx(0, abs=1e-12) and found.low < 0 < found.high
    mirrored = st.criterion(round(share * injected), injected, round((1 - share) * control), control)
    assert mirrored.value == pytest.approx(0, abs=1e-12)


def test_d_prime_and_criterion_of_equal_numbers_are_the_log_linear_ones():
    z = normal.ppf([40.5 / 51, 10.5 / 51])
    assert st.d_prime(40, 50, 10, 50).value == pytest.approx(z[0] - z[1])
    assert st.criterion(40, 50, 10, 50).value == pytest.approx(-z.mean())
    for intervals in (1, 63, 1_000_000):
        counts = (50, 50, 0, 50, st.simultaneous_confidence(intervals))
        perfect, bias = st.d_prime(*counts), st.criterion(*counts)
        assert np.isfinite(perfect).all() and perfect.value > 4
        assert np.isfinite(bias).all() and bias.low == pytest.approx(-bias.high)
    assert st.criterion(45, 50, 45, 50).value < 0 < st.criterion(5, 50, 5, 50).value


def test_detection_of_independent_trials_is_that_of_their_counts():
    injected, control = np.arange(40) < 30, np.arange(100) < 20
    found = st.detection(injected, range(40), control, range(100))
    assert found.d_prime == pytest.approx(st.d_prime(30, 40, 20, 100))
    assert found.criterion == pytest.approx(st.criterion(30, 40, 20, 100))


def test_repeats_of_one_prompt_are_worth_one_trial():
    injected, words = np.arange(20) < 18, range(20)
    repeated = st.detection(injected, words, np.zeros(100), ["the same prompt"] * 100)
    single = st.detection(injected, words, np.zeros(1), ["the same prompt"])
    assert repeated.d_prime[:3] == pytest.approx(single.d_prime[:3])
    assert st.clustered_rate(np.zeros(100), ["p"] * 100)[:3] == pytest.approx(st.wilson_rate(0, 1)[:3])


def test_words_given_five_times_narrow_no_interval():
    rng = np.random.default_rng(0)
    outcomes, other, scores, words = rng.random(20) < 0.6, rng.random(20) < 0.3, rng.normal(size=20), list(range(20))
    for measure in (
        lambda k: st.clustered_rate(np.tile(outcomes, k), words * k),
        lambda k: st.clustered_mean(np.tile(scores, k), words * k),
        lambda k: st.difference_of_rates(np.tile(outcomes, k), words * k, np.tile(other, k), words * k),
        lambda k: st.detection(np.tile(outcomes, k), words * k, np.tile(other, k), words * k).d_prime,
        lambda k: st.auc(np.tile(scores, k), np.tile(scores, k) - 1, words * k, words * k),
    ):
        once, five = measure(1), measure(5)
        assert five[:3] == pytest.approx(once[:3], abs=0.02)


def test_auc_counts_ties_as_half():
    assert st.auc([1, 1, 1], [1, 1]).value == 0.5
    assert st.auc([2, 1], [1, 0]).value == pytest.approx(0.875)


def test_auc_of_nearly_separated_scores_never_stops():
    rng = np.random.default_rng(0)
    for _ in range(800):
        injected = rng.normal(rng.uniform(0, 8), 1, rng.integers(1, 60))
        control = rng.normal(0, 1, rng.integers(1, 120))
        if rng.random() < 0.3:
            injected, control = injected.round(), control.round()
        found, mirrored = st.auc(injected, control), st.auc(control, injected)
        assert 0 <= found.low <= found.value <= found.high <= 1 and found.low < found.high
        assert mirrored[:3] == pytest.approx((1 - found.value, 1 - found.high, 1 - found.low), abs=1e-6)


def test_clustered_intervals_are_wider_than_plain_ones():
    rng = np.random.default_rng(0)
    words = np.repeat(np.arange(20), 30)
    outcomes = rng.random(600) < np.repeat(rng.uniform(size=20), 30)
    plain = st.rate(outcomes)
    for clustered in (st.clustered_rate(outcomes, words), st.clustered_mean(outcomes, words)):
        assert clustered.high - clustered.low > 2 * (plain.high - plain.low)


def test_clustered_mean_of_one_trial_per_word_is_students():
    values = np.random.default_rng(0).normal(3, 2, 12)
    low, high = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert st.clustered_mean(values, range(12), 0.9) == pytest.approx((values.mean(), low, high, 12))


def test_the_smallest_of_several_takes_the_smallest_of_each_end():
    found = st.smallest(st.Estimate(0.5, 0.3, 0.6, 10), st.Estimate(0.4, 0.35, 0.7, 12))
    assert found == (0.4, 0.3, 0.6, 12)


def test_simultaneous_confidence_is_bonferronis():
    assert st.simultaneous_confidence(1) == pytest.approx(0.95)
    assert st.simultaneous_confidence(63) == pytest.approx(1 - 0.05 / 63)


# --- no interval closes --------------------------------------------------------------------------------------------

YES, NO = [True, True], [False, False]


@pytest.mark.parametrize(
    "call",
    [
        lambda: st.wilson_rate(1, 1),
        lambda: st.clustered_rate(YES, ["a", "a"]),
        lambda: st.clustered_mean([1, 1], ["a", "b"]),
        lambda: st.clustered_mean([0.5, 0.5], ["a", "b"]),
        lambda: st.clustered_mean([0.5, 0.5], ["a", "b"], bounds=(0, 1)),
        lambda: st.clustered_mean([0.1] * 30, range(30)),
        lambda: st.clustered_mean([0.0, 1.0, 0.0, 1.0], ["a", "a", "b", "b"]),
        lambda: st.paired_difference(YES, YES, ["a", "b"]),
        lambda: st.paired_difference(YES, NO, ["a", "b"]),
        lambda: st.paired_difference([True, False] * 20, [True, False] * 20, range(40)),
        lambda: st.paired_difference([0.5, 0.1], [0.5, 0.1], ["a", "b"]),
        lambda: st.difference_of_rates(NO, ["a", "b"], NO, ["c", "d"]),
        lambda: st.contrast_of_rates([(YES, ["a", "b"])] * 4, (1, -1, -1, 1)),
        lambda: st.smallest(*[st.paired_difference(YES, YES, ["a", "b"])] * 2),
        lambda: st.d_prime(1, 1, 1, 1),
        lambda: st.detection(YES, ["a", "a"], YES, ["p", "p"]).criterion,
        lambda: st.auc([1.0], [0.0]),
        lambda: st.auc([1.0, 2.0], [1.0, 2.0], ["a", "b"], ["a", "b"]),
        lambda: st.auc([3.0, 4.0], [1.0, 2.0], ["a", "b"], ["a", "b"]),
        lambda: st.auc([1.0] * 9, [1.0] * 9),
    ],
)
def test_tiny_or_uniform_samples_never_have_an_interval_of_width_0(call):
    found = call()
    assert found.low < found.high and found.low <= found.value <= found.high


def test_counts_that_happen_to_be_0_and_1_are_no_rate():
    """Words named per reply, 0 to 10: another reply may name three."""
    assert st.clustered_mean([1, 1, 1], ["a", "b", "c"], bounds=(0, 10)).high > 1
    assert st.clustered_mean([0, 1, 1], ["a", "b", "c"], bounds=(-5, 5)).low < 0
    assert st.clustered_mean([0, 1, 1], ["a", "b", "c"], bounds=(0, 1)) == st.clustered_rate([0, 1, 1], ["a", "b", "c"])


@pytest.mark.parametrize("few", [1, 3, 6])
@pytest.mark.parametrize("many", [60, 1000, 10**6])
def test_equal_rates_are_never_read_as_a_difference_however_unequal_the_numbers_of_trials(few, many):
    for rate in (0, 1):
        for each in (st.d_prime(rate * few, few, rate * many, many), st.criterion(rate * few, few, rate * many, many)):
            assert each.low <= each.value <= each.high
        assert (
            st.d_prime(rate * few, few, rate * many, many).low
            <= 0
            <= st.d_prime(rate * few, few, rate * many, many).high
        )


def test_equal_values_are_as_uncertain_as_their_bounds_and_words_allow():
    few, many = (st.clustered_mean([1.0] * k, range(k), bounds=(0, 1)) for k in (5, 50))
    assert few.high == many.high == 1 and few.low < many.low < 0.95
    assert st.clustered_mean([0.3] * 5, range(5))[1:3] == (-np.inf, np.inf)


# --- tables of trials ----------------------------------------------------------------------------------------------


def _answered(words, numbers, condition="concept", answer="No.", **columns):
    """Answered trials of experiment 1 as `runner.run` returns them."""
    trials = [
        {
            "model": "m",
            "experiment": "injected_thought",
            "wording": "lab_visit",
            "values": json.dumps({"trial": number}),
            "condition": condition,
            "concept": word,
            "vector": condition if condition in ("concept", "random") else "none",
            "vector_of": word,
            "layer": 3,
            "strength": 2.0,
            "span": "from_turn_2",
            "seed": seed,
            "answer": answer,
        }
        | columns
        for seed, (word, number) in enumerate(zip(words, numbers, strict=True))
    ]
    return pd.DataFrame(trials).assign(trial_id=[f"{condition}{seed}" for seed in range(len(trials))])


def test_repeats_of_a_deterministic_model_count_once_and_different_prompts_all_count():
    assert len(st.distinct_trials(_answered([""] * 100, [1] * 100, "none"))) == 1
    assert len(st.distinct_trials(_answered([""] * 100, range(100), "none"))) == 100
    assert len(st.distinct_trials(_answered(["a", "b"] * 5, [1, 2] * 5))) == 2  # the words given five times


def test_a_number_that_the_wording_does_not_show_makes_no_new_trial(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "turns:\n  - user: Hello.\n  - assistant: Ok.\n  - user: Do you notice a thought?\n", encoding="utf-8"
    )
    assert len(st.distinct_trials(_answered([""] * 100, range(100), "none", wording=str(file)))) == 1


def test_further_columns_may_tell_trials_apart():
    trials = _answered(["a"] * 4, [1] * 4, pair=1)
    trials.loc[3, "pair"] = 2
    assert len(st.distinct_trials(trials)) == 1 and len(st.distinct_trials(trials, ["pair"])) == 2


def test_sampled_answers_all_count_and_a_trial_that_is_in_the_table_twice_counts_once():
    sampled = _answered([""] * 10, [1] * 10, "none")
    sampled.loc[3, "answer"] = "Yes."
    assert len(st.distinct_trials(sampled)) == 10
    assert len(st.distinct_trials(pd.concat([sampled, sampled], ignore_index=True))) == 10


def test_what_one_model_samples_makes_no_trials_of_another_ones_repeats():
    greedy, sampled = _answered(["a"] * 4, [1] * 4), _answered(["a"] * 4, [1] * 4, model="n")
    sampled = sampled.assign(answer=["Yes.", "No.", "No.", "No."], trial_id=list("wxyz"))
    counted = st.distinct_trials(pd.concat([greedy, sampled], ignore_index=True))
    assert counted["model"].value_counts().to_dict() == {"n": 4, "m": 1}


def test_random_vectors_with_seeds_of_their_own_are_different_trials():
    assert len(st.distinct_trials(_answered(["a"] * 6, [1] * 6, "random"))) == 6


def test_joined_tables_are_refused():
    table = _answered(["a", "b"], [1, 2])
    with pytest.raises(ValueError, match="ignore_index"):
        st.distinct_trials(pd.concat([table, table.assign(layer=4)]))
    changed = table.assign(answer=["Yes.", "No."])
    with pytest.raises(ValueError, match="'concept0' has two different answers"):
        st.distinct_trials(pd.concat([table, changed], ignore_index=True))
    regraded = [table.assign(grader=grader, success=grader == "judge") for grader in ("rules", "judge")]
    with pytest.raises(ValueError, match="'concept0' has two different answers or graders"):
        st.distinct_trials(pd.concat(regraded, ignore_index=True))
    assert len(st.distinct_trials(pd.concat(regraded[:1] * 2, ignore_index=True))) == 2


def _grid(rng, true_rate, words=40):
    rows = [
        {
            "concept": f"word{w}",
            "layer": layer,
            "strength": strength,
            "success": rng.random() < true_rate(layer, strength),
        }
        for w in range(words)
        for layer in range(6)
        for strength in (1.0, 2.0, 4.0, 8.0)
    ]
    return pd.DataFrame(rows)


def test_best_cell_takes_the_first_of_tied_cells_and_the_tie_is_known():
    nothing = _grid(np.random.default_rng(0), lambda *_: 0, words=4)
    assert st.best_cell(nothing, "success") == (0, 1.0) and len(st.tied_cells(nothing, "success")) == 24
    assert choose_cell(nothing, "success").tied == 24
    planted = _grid(np.random.default_rng(0), lambda layer, strength: (layer, strength) == (4, 2.0), words=4)
    assert st.tied_cells(planted, "success") == [(4, 2.0)] and choose_cell(planted, "success").tied == 1


def test_a_cell_without_a_grade_does_not_win():
    trials = _grid(np.random.default_rng(0), lambda *_: 0.5, words=4).astype({"success": float})
    trials.loc[trials["layer"] == 0, "success"] = np.nan
    with pytest.raises(ValueError, match="16 of 96 trials have no success.*layer 0, strength 1.0"):
        st.best_cell(trials, "success")


def _in_chosen_cell(trials, seed=0):
    """What the cell that half of the words choose shows on these words, and on the other half."""
    cell = choose_cell(trials, "success", seed)
    part = trials[(trials["layer"] == cell.layer) & (trials["strength"] == cell.strength)]
    tested = part["concept"].isin(cell.testing_words)
    return [st.clustered_rate(half["success"], half["concept"]) for half in (part[~tested], part[tested])]


def test_half_of_the_words_find_the_planted_cell_whatever_the_order_of_rows():
    trials = _grid(np.random.default_rng(0), lambda layer, strength: 0.9 if (layer, strength) == (4, 2.0) else 0.1)
    cell = choose_cell(trials, "success", seed=3)
    assert cell[:2] == (4, 2.0) and cell == choose_cell(trials.sample(frac=1, random_state=1), "success", seed=3)
    assert [half.n for half in _in_chosen_cell(trials, 3)] == [20, 20]


def test_the_other_half_of_the_words_removes_the_luck_of_the_best_cell():
    rng = np.random.default_rng(1)
    chosen, tested = zip(*(_in_chosen_cell(_grid(rng, lambda *_: 0.1, 20), seed) for seed in range(40)), strict=True)
    assert np.mean([estimate.value for estimate in chosen]) > 0.2  # the best of 24 cells looks good
    assert np.mean([estimate.value for estimate in tested]) == pytest.approx(0.1, abs=0.04)  # and is not


# --- senseless input -----------------------------------------------------------------------------------------------

GRID = pd.DataFrame({"concept": ["a", "b"], "layer": 0, "strength": 1.0, "success": [True, False]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: st.wilson_rate(3, 2), "more than the trials"),
        (lambda: st.wilson_rate(0, 0), "no trials"),
        (lambda: st.wilson_rate(-1, 5), "whole number"),
        (lambda: st.wilson_rate(1.5, 5), "whole number"),
        (lambda: st.wilson_rate(float("nan"), 5), "whole number"),
        (lambda: st.wilson_rate(1, 5, confidence=95), "between 0 and 1"),
        (lambda: st.rate([]), "non-empty"),
        (lambda: st.rate([1, None]), "missing"),
        (lambda: st.rate(pd.Series([True, pd.NA], dtype="boolean")), "missing"),
        (lambda: st.rate([1, 2]), "true or false"),
        (lambda: st.rate(["yes", "no"]), "must be numbers"),
        (lambda: st.clustered_rate([0.5, 7], ["a", "b"]), "true or false.*got 0.5"),
        (lambda: st.clustered_rate([0, 1], ["a"]), "one label for each"),
        (lambda: st.clustered_rate([0, 1], ["a", None]), "missing"),
        (lambda: st.difference_of_rates([1, 0], ["a", "b"], [2, 0], ["a", "b"]), "got 2"),
        (lambda: st.contrast_of_rates([([1], ["a"])], (1, -1)), "1 samples but 2 weights"),
        (lambda: st.d_prime(6, 5, 0, 5), "hits"),
        (lambda: st.d_prime(1, 5, 6, 5), "more than the trials"),
        (lambda: st.detection([1, 0], ["a", "b"], [0.5], ["p"]), "control must all be true or false"),
        (lambda: st.auc([], [1.0]), "injected_scores"),
        (lambda: st.auc([1.0], [np.nan]), "control_scores"),
        (lambda: st.auc([1.0, 2.0], [1.0], ["a"]), "2 values but 1 injected_labels"),
        (lambda: st.clustered_mean([1.5, 0], ["a"]), "one label for each"),
        (lambda: st.clustered_mean([1.5, 0], ["a", None]), "missing"),
        (lambda: st.clustered_mean([1.5, 0], ["a", "a"]), "at least 2"),
        (lambda: st.clustered_mean([1.5, 0], ["a", "b"], bounds=(0, 1)), "outside the bounds"),
        (lambda: st.paired_difference([1, 0], [1], ["a", "b"]), "equal lengths"),
        (lambda: st.smallest(), "one Estimate or more"),
        (lambda: st.smallest(0.5, 0.3), "one Estimate or more"),
        (lambda: st.smallest([st.wilson_rate(1, 2)]), "one Estimate or more"),
        (lambda: st.subtract(st.wilson_rate(1, 2), 0.3), "one Estimate or more"),
        (lambda: st.wilson_rate(True, 5), "whole number"),
        (lambda: st.wilson_rate("3", 5), "whole number"),
        (lambda: st.wilson_rate(1, 10**400), "whole number"),
        (lambda: st.d_prime(3, 5, None, 5), "whole number"),
        (lambda: st.rate(["1", "0"]), "must be numbers"),
        (lambda: st.rate([True, "False"]), "must be numbers"),
        (lambda: st.rate(pd.Series(["True", "False"], dtype="string")), "must be numbers"),
        (lambda: st.rate(pd.to_datetime(["2025-01-01"])), "must be numbers"),
        (lambda: st.rate([10**400, 0]), "must be numbers"),
        (lambda: st.rate(np.ma.array([1, 0], mask=[0, 1])), "1 missing"),
        (lambda: st.rate(1), "non-empty"),
        (lambda: st.rate({0, 1}), "must be numbers"),
        (lambda: st.clustered_mean([1e308, 1e308], ["a", "b"]), r"below 1e\+100"),
        (lambda: st.clustered_rate([0, 1], "ab"), "labels must be a list"),
        (lambda: st.clustered_rate([0, 1], None), "labels must be a list"),
        (lambda: st.clustered_rate([0, 1], frozenset("ab")), "labels must be a list"),
        (lambda: st.clustered_rate([0, 1], pd.DataFrame({"a": [1, 2], "b": [3, 4]})), "labels must be a list"),
        (lambda: st.clustered_rate([0, 1], torch.tensor([[0], [1]])), "labels must be a list"),
        (lambda: st.clustered_rate([0, 1], torch.tensor(1)), "labels must be a list"),
        (lambda: st.clustered_rate([0, 1], [["a"], ["b"]]), "labels must be a list"),
        (lambda: st.clustered_rate([0, 1], ["a", pd.NA]), "missing"),
        (lambda: st.auc([1.0, 2.0], [1.0], "ab"), "injected_labels must be a list"),
        (lambda: st.contrast_of_rates([([1, 0], ["a", "b"])] * 2, (0, 0)), "other than 0, got"),
        (lambda: st.contrast_of_rates(([1, 0, 1], ["a", "b", "c"]), (1, -1)), "samples must be a list of"),
        (lambda: st.contrast_of_rates(None, (1,)), "samples must be a list of"),
        (lambda: st.contrast_of_rates([([1, 0], ["a", "b"])] * 2, ("1", "-1")), "weights must be numbers"),
        (lambda: st.clustered_mean([0.1, 0.2], ["a", "b"], bounds=(1, 0)), "bounds must be"),
        (lambda: st.clustered_mean([0.1, 0.2], ["a", "b"], bounds=(0, np.nan)), "bounds must be"),
        (lambda: st.clustered_mean([0.1, 0.2], ["a", "b"], bounds="01"), "bounds must be"),
        (lambda: st.clustered_mean([0.1, 0.2], ["a", "b"], bounds=(0, 1, 2)), "bounds must be"),
        (lambda: st.paired_difference(None, [1], ["a"]), "first must be"),
        (lambda: st.paired_difference(pd.Series([0, 1]), pd.Series([0, 1], [1, 0]), ["a", "b"]), "in another order"),
        (lambda: st.paired_difference(AB, AB, AB_BACKWARDS), "in another order"),
        (lambda: st.clustered_rate(AB, AB_BACKWARDS), "in another order"),
        (lambda: st.clustered_mean(AB, AB_BACKWARDS, bounds=(0, 9)), "in another order"),
        (lambda: st.difference_of_rates(AB, AB, AB, AB_BACKWARDS), "in another order"),
        (lambda: st.detection(AB, AB_BACKWARDS, AB, AB), "in another order"),
        (lambda: st.auc(AB, AB, AB, AB_BACKWARDS), "in another order"),
        (lambda: kappa(AB, AB_BACKWARDS), "in another order"),
        (lambda: st.auc([1e200, 0.0], [1.0]), r"below 1e\+100 in size, got 1e\+200"),
        (
            lambda: st.distinct_trials(_answered(["a"], [1], answer=None)),
            "1 trials have no answer.* keep_default_na=False",
        ),
        (lambda: st.best_cell(GRID.drop(columns="layer"), "success"), "layer"),
        (lambda: choose_cell(GRID.assign(concept=["a", None]), "success"), "missing"),
        (lambda: st.best_cell(GRID.assign(success=[1.0, None]), "success"), "no success"),
        (lambda: st.best_cell(GRID.set_axis([0, 0]), "success"), "ignore_index"),
        (lambda: choose_cell(GRID.assign(concept=["a", ""]), "success"), "missing"),
        (lambda: choose_cell(GRID, "success", seed=-1), "seed must be"),
        (lambda: st.best_cell(GRID[:0], "success"), "no trials"),
        (lambda: st.best_cell([1, 2], "success"), "must be a table"),
        (lambda: st.best_cell(None, "success"), "must be a table"),
        (lambda: st.best_cell(GRID, ["success"]), "lack the columns"),
        (lambda: st.best_cell(pd.concat([GRID, GRID[["layer"]]], axis=1), "success"), "the column 'layer' twice"),
        (lambda: st.best_cell(GRID.astype({"layer": str}), "success"), "layer must be numbers"),
        (lambda: st.best_cell(GRID.assign(layer=0.5), "success"), r"layers must be whole numbers, got \[0.5\]"),
        (lambda: st.best_cell(GRID.astype({"success": str}), "success"), "success must be numbers"),
        (lambda: st.best_cell(GRID.assign(success=[1.0, np.inf]), "success"), "infinite"),
        (lambda: st.best_cell(GRID.assign(strength=[1.0, None]), "success"), "no success, layer or strength"),
        (lambda: st.distinct_trials(_answered(["a"], [1]).assign(trial_id=None)), "1 trials have no trial_id"),
        (lambda: st.distinct_trials(_answered(["a"], [1], values="{")), "do not fill the wording 'lab_visit'"),
        (lambda: st.distinct_trials(_answered(["a"], [1], values="{}")), "do not fill the wording 'lab_visit'"),
        (lambda: st.distinct_trials(_answered(["a"], [1], values={"trial": 1})), "do not fill"),
    ],
)
def test_senseless_input_is_refused_with_a_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, np.nan, np.inf, True, None, "0.95", [0.95], 1 - 1e-17, 1e-9])
def test_a_confidence_that_is_none_is_refused_everywhere(confidence):
    labels, outcomes, values = list("aabbcc"), [1, 0, 1, 1, 0, 0], [0.1, 0.4, 0.2, 0.8, 0.9, 0.5]
    for call in (
        lambda: st.wilson_rate(1, 5, confidence),
        lambda: st.rate(outcomes, confidence),
        lambda: st.clustered_rate(outcomes, labels, confidence),
        lambda: st.contrast_of_rates([(outcomes, labels)] * 2, (1, -1), confidence),
        lambda: st.clustered_mean(values, labels, confidence),
        lambda: st.clustered_mean([0.5] * 6, labels, confidence),
        lambda: st.paired_difference(values, values[::-1], labels, confidence),
        lambda: st.d_prime(1, 5, 2, 5, confidence),
        lambda: st.detection(outcomes, labels, outcomes, labels, confidence),
        lambda: st.auc(values, values, confidence=confidence),
        lambda: st.simultaneous_confidence(3, confidence),
    ):
        with pytest.raises(ValueError, match="confidence must be a number between 0 and 1"):
            call()


@pytest.mark.parametrize("count", [0, -1, 1.5, True, np.nan, np.inf, "3", None, [3], 10**9])
def test_a_number_of_intervals_that_is_none_is_refused(count):
    with pytest.raises(ValueError, match="the number of intervals must be a whole number from 1"):
        st.simultaneous_confidence(count)


def test_what_was_not_graded_stays_unknown_in_every_order():
    real = st.wilson_rate(1, 5)
    for found in (st.smallest(st.UNGRADED, real), st.smallest(real, st.UNGRADED), st.subtract(real, st.UNGRADED)):
        assert np.isnan(found[:3]).all() and found.n == 0


# --- how a column is stored does not matter ------------------------------------------------------------------------

KINDS = [bool, int, float, object, "boolean", "Int64", "Float64", "int8", "category"]


@pytest.mark.parametrize("kind", KINDS)
def test_outcomes_of_every_type_give_the_same_rates(kind):
    plain, words = pd.Series([True, False, True, True] * 6), pd.Series(list("abcdefgh") * 3)
    column, labels = plain.astype(kind), words.astype("category").set_axis([0] * 24)
    assert st.rate(column) == st.rate(plain)
    assert st.clustered_rate(column, labels) == st.clustered_rate(plain, words)
    assert st.difference_of_rates(column, labels, ~plain, words) == st.difference_of_rates(plain, words, ~plain, words)
    assert st.detection(column, iter(labels), plain, words) == st.detection(plain, words, plain, words)
    if kind not in (float, "Float64"):  # these may be shares: no rates by themselves
        assert st.clustered_mean(column, labels) == st.clustered_mean(plain, words)


LABELS = [0] * 4 + [1] * 4 + [2, 2, 3, 3]
TENSOR = torch.tensor(LABELS)


@pytest.mark.parametrize(
    "labels", [TENSOR, TENSOR.bfloat16(), list(TENSOR), pd.Series(list(TENSOR), dtype=object)], ids=type
)
def test_labels_of_torch_are_equal_where_their_numbers_are(labels):
    outcomes, scores = [1] * 4 + [0] * 4 + [1, 1, 0, 0], np.linspace(0, 1, 12)
    for measure in (
        lambda given: st.clustered_rate(outcomes, given),
        lambda given: st.clustered_mean(scores, given),
        lambda given: st.difference_of_rates(outcomes, given, outcomes[::-1], given),
        lambda given: st.detection(outcomes, given, outcomes[::-1], given),
        lambda given: st.auc(scores, scores**2, given, given),
    ):
        assert measure(labels) == measure(LABELS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [lambda tensor: tensor, list])
def test_values_of_torch_are_read_with_their_gradient_and_in_any_precision(dtype, kind):
    plain = [1.0, 0.0, 1.0]
    given = kind(torch.tensor(plain, dtype=dtype, requires_grad=True))
    assert st.rate(given) == st.rate(plain) and st.auc(given, plain) == st.auc(plain, plain)
    assert st.clustered_mean(given, "a b c".split()) == st.clustered_mean(plain, "a b c".split())
    assert st.paired_difference(given, plain, "a b c".split()) == st.paired_difference(plain, plain, "a b c".split())


def _through_csv(table, folder, **options):
    table.to_csv(folder / "table.csv", index=False)
    return pd.read_csv(folder / "table.csv", **options)


@pytest.mark.parametrize(
    "options", [{}, {"keep_default_na": False}, {"dtype": {"concept": "category", "layer": float}}]
)
def test_cells_are_the_same_after_a_csv_file(options, tmp_path):
    trials = _grid(np.random.default_rng(0), lambda layer, strength: 0.9 if (layer, strength) == (4, 2.0) else 0.1, 8)
    for table in (trials, trials.assign(strength=-trials["strength"]), trials.astype({"success": float})):
        again = _through_csv(table, tmp_path, **options)
        assert st.tied_cells(again, "success") == st.tied_cells(table, "success")
        assert choose_cell(again, "success") == choose_cell(table, "success")


@pytest.mark.parametrize("options", [{}, {"keep_default_na": False, "na_values": {"layer": [""]}}, {"dtype": str}])
def test_distinct_trials_are_the_same_after_a_csv_file(options, tmp_path):
    control = _answered([""] * 10, [1] * 10, "none").assign(layer=None, strength=0.0)
    trials = pd.concat([_answered(["a", "b"] * 5, [1, 2] * 5), control], ignore_index=True).astype({"layer": "Int64"})
    for table in (trials, trials.replace("", None), trials.astype({"condition": "category", "concept": "category"})):
        assert list(st.distinct_trials(table)["trial_id"]) == ["concept0", "concept1", "none0"]
        assert list(st.distinct_trials(_through_csv(table, tmp_path, **options))["trial_id"]) == [
            "concept0",
            "concept1",
            "none0",
        ]


# --- d' and Wilson: exact, over all possible counts ----------------------------------------------------------------

RATES = (0.005, 0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 0.995)


def _chances(n, rate):
    return scipy_stats.binom.pmf(np.arange(n + 1), n, rate)


def _all_counts(measure, injected, control):
    """The estimates (value, low, high) of every possible pair of counts, [hits, false positives, 3]."""
    return np.array([[measure(h, injected, f, control)[:3] for f in range(control + 1)] for h in range(injected + 1)])


def test_wilson_covers_95_percent_on_average_over_rates_and_at_least_83_at_each():
    coverage = []
    for n in (10, 50):
        table = np.array([st.wilson_rate(k, n)[:3] for k in range(n + 1)])
        for rate in np.linspace(0.01, 0.99, 99):
            coverage.append((_chances(n, rate) * (table[:, 1] <= rate) * (rate <= table[:, 2])).sum())
    assert 0.93 <= np.mean(coverage) <= 0.97 and min(coverage) > 0.83


@pytest.fixture(scope="module")
def all_d_primes():
    return {trials: _all_counts(st.d_prime, *trials) for trials in ((10, 60), (20, 20), (5, 50), (30, 60))}


def test_d_prime_of_a_null_reads_0_on_average_whatever_the_numbers_of_trials(all_d_primes):
    for (injected, control), table in all_d_primes.items():
        for rate in RATES:
            mean = _chances(injected, rate) @ table[:, :, 0] @ _chances(control, rate)
            assert abs(mean) < 0.15, (injected, control, rate)  # with a fixed correction 0.9 at 5 and 50 trials


def test_d_prime_covers_93_to_97_percent_on_average_over_rates_and_at_least_93_at_each(all_d_primes):
    for (injected, control), table in all_d_primes.items():
        value, low, high = np.moveaxis(table, -1, 0)
        assert (low < value).all() and (value < high).all()
        coverage, rejected = [], []
        for hit_rate in RATES:
            for alarm_rate in RATES:
                truth = normal.ppf(hit_rate) - normal.ppf(alarm_rate)
                chances = np.outer(_chances(injected, hit_rate), _chances(control, alarm_rate))
                coverage.append((chances * (low <= truth) * (truth <= high)).sum())
                if hit_rate == alarm_rate:
                    rejected.append(1 - coverage[-1])
        assert 0.93 <= np.mean(coverage) <= 0.97 and min(coverage) >= 0.93
        assert max(rejected) <= 0.07


# --- simulations: 25 held-out words with two trials each, as in the notebooks; word by word the rates differ ---------

SIMULATIONS = 800
WORDS = np.repeat(np.arange(25), 2)  # the word of each trial
FEW_WORDS = np.repeat(np.arange(10), 2)
CONTROLS = np.arange(100, 200)  # labels of control trials, which share no word


def _says_yes(rng, words, *rates, spread=1.5, shared=0.7):
    """Outcomes of the trials in one condition for each rate; how easy a word is, is partly the same in all conditions."""
    count, outcomes = words.max() + 1, []
    common = rng.normal(size=count)
    for rate in rates:
        ease = shared * common + np.sqrt(1 - shared**2) * rng.normal(size=count)
        of_word = normal.cdf(normal.ppf(rate) * np.hypot(1, spread) + spread * ease)
        outcomes.append(rng.random(words.size) < of_word[words])
    return outcomes


def _scores(rng, words, shift):
    """Scores with and without an injection, of the same words, which differ: two lists."""
    of_word = rng.normal(size=words.max() + 1)
    return [of_word[words] + rng.normal(size=words.size) + moved for moved in (shift, 0)]


def _clustered_rate(rng, words=WORDS, rates=None):
    p = rng.uniform(0.05, 0.95) if rates is None else rates[0]
    return st.clustered_rate(*_says_yes(rng, words, p), words), p


def _paired_rates(rng, words=WORDS, rates=None):
    p, q = rng.uniform(0.05, 0.95, 2) if rates is None else rates
    first, second = _says_yes(rng, words, p, q)
    return st.difference_of_rates(first, words, second, words), p - q


def _net_rate(rng, words=WORDS, rates=None, controls=CONTROLS):
    p, q = rng.uniform(0.05, 0.95, 2) if rates is None else rates
    (injected,) = _says_yes(rng, words, p)
    return st.difference_of_rates(injected, words, rng.random(controls.size) < q, controls), p - q


def _subtracted(rng, rates=None):
    p, q = rng.uniform(0.05, 0.95, 2) if rates is None else rates
    return st.subtract(st.wilson_rate(rng.binomial(50, p), 50), st.wilson_rate(rng.binomial(100, q), 100)), p - q


def _difference_of_differences(rng, words=WORDS, rates=None):
    p = rng.uniform(0.05, 0.95, 4) if rates is None else rates
    samples = [(outcomes, words) for outcomes in _says_yes(rng, words, *p)]
    return st.contrast_of_rates(samples, (1, -1, -1, 1)), p[0] - p[1] - p[2] + p[3]


def _smallest_reference(rng, words=WORDS, rates=None):
    """The effect of experiment 3: the smallest of its reference rates (three, where no rates are given) minus the last rate."""
    p = rng.uniform(0.05, 0.95, 4) if rates is None else rates
    *references, matched = _says_yes(rng, words, *p)
    return st.smallest(*(st.difference_of_rates(each, words, matched, words) for each in references)), min(p[:-1]) - p[
        -1
    ]


def _d_prime(rng, words=WORDS, rates=None, controls=CONTROLS):
    p, q = rng.uniform(0.05, 0.95, 2) if rates is None else rates
    (injected,) = _says_yes(rng, words, p)
    return st.detection(injected, words, rng.random(controls.size) < q, controls).d_prime, normal.ppf(p) - normal.ppf(q)


def _criterion(rng, words=WORDS, rates=None, controls=CONTROLS):
    p, q = rng.uniform(0.05, 0.95, 2) if rates is None else rates
    (injected,) = _says_yes(rng, words, p)
    found = st.detection(injected, words, rng.random(controls.size) < q, controls)
    return found.criterion, -(normal.ppf(p) + normal.ppf(q)) / 2


def _auc(rng, shift=None, controls=100, digits=9, words=WORDS):
    """Clustered injected scores against independent control scores (variance 2 each)."""
    shift = rng.uniform(0, 3) if shift is None else shift
    injected, _ = _scores(rng, words, shift)
    control = rng.normal(0, np.sqrt(2), controls)
    return st.auc(injected.round(digits), control.round(digits), words, CONTROLS[:controls]), normal.cdf(shift / 2)


def _paired_auc(rng, shift=None, words=WORDS):
    shift = rng.uniform(0, 3) if shift is None else shift
    return st.auc(*_scores(rng, words, shift), words, words), normal.cdf(shift / 2)


def _clustered_mean(rng, words=WORDS):
    return st.clustered_mean(_scores(rng, words, 0.5)[0], words), 0.5


def _paired_means(rng, words=WORDS, shift=0.5):
    return st.paired_difference(*_scores(rng, words, shift), words), shift


def _shares(rng, words=WORDS):
    """Shares of 8 words that were kept, most of them near 0 or 1 for some words (notebook 05), with their bounds."""
    a, b = rng.uniform(0.5, 8, 2)
    kept = rng.binomial(8, rng.beta(a, b, words.max() + 1)[words]) / 8
    return st.clustered_mean(kept, words, bounds=(0, 1)), a / (a + b)


def _smaller_gap(rng, words=WORDS, shifts=None):
    """The effect of experiment 4: think minus the larger of two other frames, all of them read on the same words."""
    shifts = rng.uniform(-0.5, 1.5, 2) if shifts is None else shifts
    of_word = rng.normal(size=words.max() + 1)
    held = [_scores(rng, words, -shift)[0] + of_word[words] for shift in (0, *shifts)]
    gaps = (st.clustered_mean(held[0] - other, words, bounds=(-40, 40)) for other in held[1:])
    return st.smallest(*gaps), min(shifts)


def _two_models(rng, rates=None):
    """The net rate of one model minus that of another, on the same words, from the two intervals alone."""
    p = rng.uniform(0.05, 0.95, 4) if rates is None else rates
    injected, alarms = _says_yes(rng, WORDS, *p[:2]), (rng.random(CONTROLS.size) < rate for rate in p[2:])
    pairs = zip(injected, alarms, strict=True)
    return st.subtract(*(st.difference_of_rates(yes, WORDS, no, CONTROLS) for yes, no in pairs)), p[0] - p[1] - p[
        2
    ] + p[3]


def _tested_on(rng):
    """The best of 24 cells, all of them equal, measured on the words that did not choose it."""
    p = rng.uniform(0.05, 0.95)
    return _in_chosen_cell(_grid(rng, lambda *_: p, words=25))[1], p


def _coverage(draw, simulations=SIMULATIONS, **options):
    """Share of simulations in which the interval holds the truth; draw(rng) returns (estimate, truth)."""
    rng = np.random.default_rng(20)
    pairs = [draw(rng, **options) for _ in range(simulations)]
    return np.mean([estimate.low <= truth + 1e-9 and truth - 1e-9 <= estimate.high for estimate, truth in pairs])


@pytest.mark.parametrize(
    "draw",
    [
        _clustered_rate,
        _paired_rates,
        _net_rate,
        _subtracted,
        _difference_of_differences,
        _d_prime,
        _criterion,
        _auc,
        _paired_auc,
        _clustered_mean,
        _paired_means,
        _shares,
        _smaller_gap,
    ],
)
def test_intervals_hold_the_truth_93_to_97_percent_of_the_time_on_average_over_rates(draw):
    assert 0.93 <= _coverage(draw, 1200) <= 0.97


def test_two_models_on_the_same_words_are_compared_with_an_interval_that_is_rather_too_wide():
    assert 0.93 <= _coverage(_two_models, 400) <= 0.99
    assert 0.01 <= 1 - _coverage(_two_models, 400, rates=(0.5, 0.5, 0.5, 0.5)) <= 0.05


def test_the_smallest_of_three_differences_is_covered_93_to_98_percent_of_the_time_more_where_they_are_close():
    assert 0.93 <= _coverage(_smallest_reference) <= 0.98


@pytest.mark.parametrize(("references", "at_most"), [(2, 0.1), (3, 0.14)])
def test_where_equal_references_lie_far_above_few_intervals_miss_nearly_all_by_too_small_an_effect(references, at_most):
    rng = np.random.default_rng(24)
    found = [_smallest_reference(rng, rates=(*[0.9] * references, 0.1)) for _ in range(SIMULATIONS)]
    assert np.mean([estimate.high < truth for estimate, truth in found]) <= at_most
    assert np.mean([truth < estimate.low for estimate, truth in found]) <= 0.02


def test_the_rate_in_a_chosen_cell_is_covered_93_to_97_percent_of_the_time():
    assert 0.93 <= _coverage(_tested_on, simulations=300) <= 0.97


@pytest.mark.parametrize(
    "draw", [_clustered_rate, _paired_rates, _net_rate, _d_prime, _criterion, _clustered_mean, _shares]
)
def test_with_ten_words_intervals_are_on_average_at_most_a_little_too_wide(draw):
    assert 0.93 <= _coverage(draw, simulations=400, words=FEW_WORDS) <= 0.985


@pytest.mark.parametrize(
    "trials", [[30] + [1] * 24, [10, 10, 1, 1, 1]], ids=["one word has most", "two of five have most"]
)
@pytest.mark.parametrize("draw", [_clustered_rate, _clustered_mean, _paired_means, _net_rate, _auc])
def test_words_with_most_of_the_trials_count_as_few_words(draw, trials):
    assert _coverage(draw, simulations=400, words=np.repeat(np.arange(len(trials)), trials)) >= 0.93


def test_with_five_words_of_many_trials_the_auc_is_covered_at_least_92_percent_of_the_time():
    five = np.repeat(np.arange(5), 10)
    assert _coverage(_auc, words=five) >= 0.92 and _coverage(_auc, words=five, shift=0) >= 0.93


@pytest.mark.parametrize("rates", [(0.02, 0.02), (0.98, 0.98), (0.98, 0.02)])
@pytest.mark.parametrize("draw", [_paired_rates, _net_rate, _d_prime, _criterion])
def test_at_rates_near_0_and_1_coverage_does_not_fall_below_90_percent(draw, rates):
    assert _coverage(draw, simulations=300, rates=rates) >= 0.9


# --- where nothing is going on, 3 to 7 % are rejected at 5 % -------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "options"),
    [
        (_paired_rates, {"rates": (0.5, 0.5)}),
        (_paired_rates, {"rates": (0.2, 0.2)}),
        (_net_rate, {"rates": (0.5, 0.5)}),
        (_net_rate, {"rates": (0.5, 0.5), "controls": CONTROLS[:20]}),
        (_subtracted, {"rates": (0.3, 0.3)}),
        (_difference_of_differences, {"rates": (0.4, 0.4, 0.4, 0.4)}),
        (_difference_of_differences, {"rates": (0.8, 0.5, 0.5, 0.2)}),
        (_smallest_reference, {"rates": (0.5, 0.5, 0.5)}),
        (_smallest_reference, {"rates": (0.5, 0.9, 0.5)}),
        (_smallest_reference, {"rates": (0.5, 0.5, 0.5, 0.5)}),
        (_smallest_reference, {"rates": (0.5, 0.9, 0.9, 0.5)}),
        (_d_prime, {"rates": (0.5, 0.5)}),
        (_d_prime, {"rates": (0.2, 0.2), "controls": CONTROLS[:20]}),
        (_auc, {"shift": 0}),
        (_auc, {"shift": 0, "controls": 10}),
        (_auc, {"shift": 0, "digits": 0}),
        (_paired_auc, {"shift": 0}),
        (_paired_means, {"shift": 0}),
        (_smaller_gap, {"shifts": (0, 2)}),
        (_smaller_gap, {"shifts": (0, 0)}),
    ],
)
def test_a_null_is_rejected_3_to_7_percent_of_the_time(draw, options):
    assert 0.03 <= 1 - _coverage(draw, **options) <= 0.07


def test_of_many_nulls_at_simultaneous_confidence_hardly_any_set_holds_a_rejection():
    confidence, rng, sets = st.simultaneous_confidence(20), np.random.default_rng(23), 200
    rejected = np.zeros((sets, 2))  # [set, corrected or not]
    for number in range(sets):
        for _ in range(20):
            values = rng.normal(size=25)
            for column, level in enumerate((confidence, 0.95)):
                found = st.clustered_mean(values, range(25), level)
                rejected[number, column] += not found.low <= 0 <= found.high
    corrected, plain = (rejected > 0).mean(axis=0)
    assert corrected <= 0.08 and plain > 0.5
