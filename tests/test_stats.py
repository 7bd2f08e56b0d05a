"""Statistics: known values, refusal of senseless input, and simulations of coverage and false rejections."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from helpers import stats as st

# --- known values --------------------------------------------------------------------------------------------------


def test_wilson_rate_matches_the_textbook_example():
    estimate = st.wilson_rate(10, 50)
    assert estimate == pytest.approx((0.2, 0.1124, 0.3304, 50), abs=1e-3)
    assert st.wilson_rate(0, 100).low == 0 and st.wilson_rate(0, 100).high == pytest.approx(0.037, abs=1e-3)
    assert st.wilson_rate(100, 100).high == 1
    assert str(estimate) == "0.20 [0.11, 0.33], n = 50"


def test_rate_takes_a_boolean_column():
    assert st.rate(pd.Series([True, False, True, True])) == st.wilson_rate(3, 4)


def test_net_rate_is_newcombe_and_agrees_with_subtract():
    net = st.net_rate(56, 70, 48, 80)  # Newcombe 1998, table II (a): 0.0524 to 0.3339
    assert net == pytest.approx((0.2, 0.0524, 0.3339, 150), abs=1e-3)
    assert st.subtract(st.wilson_rate(56, 70), st.wilson_rate(48, 80)) == pytest.approx(net, abs=1e-9)


def test_d_prime_and_criterion():
    perfect = st.d_prime(50, 50, 0, 50)
    assert np.isfinite(perfect.value) and perfect.value > 4
    assert st.d_prime(30, 50, 30, 50).value == 0
    assert st.criterion(45, 50, 45, 50).value < 0 < st.criterion(5, 50, 5, 50).value
    z = scipy_stats.norm.ppf([40.5 / 51, 10.5 / 51])
    assert st.d_prime(40, 50, 10, 50).value == pytest.approx(z[0] - z[1])


def test_auc_counts_ties_as_half_and_keeps_an_interval_when_perfect():
    assert st.auc([1, 1, 1], [1, 1]).value == 0.5
    assert st.auc([2, 1], [1, 0]).value == pytest.approx(0.875)
    apart = st.auc(np.arange(10, 30), np.arange(10))
    assert apart.value == 1 and apart.high == 1 and 0.7 < apart.low < 1
    assert st.auc(np.arange(10), np.arange(10, 30)).low == 0
    curve = st.roc([2, 1], [1, 0])
    area = np.trapezoid(curve["hit_rate"], curve["false_positive_rate"])
    assert area == pytest.approx(0.875)


def test_clustered_interval_is_wider_than_a_plain_one():
    rng = np.random.default_rng(0)
    concepts = np.repeat(np.arange(20), 30)
    values = (rng.random(600) < np.repeat(rng.uniform(size=20), 30)).astype(float)
    clustered, plain = st.clustered_mean(values, concepts), st.rate(values)
    assert clustered.high - clustered.low > 2 * (plain.high - plain.low)
    assert clustered == st.clustered_mean(values, concepts)  # seeded


def test_adjusted_p_values():
    assert st.adjust_p_values([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert st.adjust_p_values([0.01, 0.04, 0.03], "fdr_bh") == pytest.approx([0.03, 0.04, 0.04])


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


def test_largest_at_names_all_ties():
    assert st.largest_at(pd.Series([0.2, 1.0, 1.0], index=[0.5, 1.0, 2.0])) == "1, 2"


def test_split_half_finds_the_planted_cell_and_is_deterministic():
    trials = _grid(np.random.default_rng(0), lambda layer, strength: 0.9 if (layer, strength) == (4, 2.0) else 0.1)
    result = st.split_half_selection(trials, seed=3)
    assert (result.layer, result.strength) == (4, 2.0)
    assert result == st.split_half_selection(trials.sample(frac=1, random_state=1), seed=3)
    assert not set(result.choosing_words) & set(result.testing_words)
    assert result.chosen_on.n == result.tested_on.n == 20


def test_split_half_removes_the_luck_of_the_best_cell():
    rng = np.random.default_rng(1)
    results = [st.split_half_selection(_grid(rng, lambda *_: 0.1, words=20), seed=s) for s in range(40)]
    assert np.mean([r.chosen_on.value for r in results]) > 0.2  # the best of 24 cells looks good
    assert np.mean([r.tested_on.value for r in results]) == pytest.approx(0.1, abs=0.04)  # and is not


def test_report_cells_ranks_a_yes_sayer_at_zero():
    rng = np.random.default_rng(0)
    grades = dict.fromkeys(["coherent", "refusal"], [True] * 100)

    def trials(yes, layer):
        said = rng.random(100) < yes
        table = {**grades, "affirmative": said, "identified": said, "success": said, "layer": layer, "strength": 2.0}
        return pd.DataFrame(table | {"yes_logit": said + rng.normal(size=100), "no_logit": 0.0})

    injected, control = pd.concat([trials(0.5, 1), trials(0.9, 2)]), trials(0.5, None)
    report = st.report_cells(injected, control).set_index("layer")
    assert report.loc[1, "net_low"] < 0 < report.loc[1, "net_high"]
    assert report.loc[2, "net_low"] > 0.2 and report.loc[2, "d_prime_low"] > 0
    assert report.loc[2, "auc"] > 0.5 and report.loc[1, "n"] == 100
    ungraded = injected.astype({"success": "boolean"})
    ungraded.iloc[:10, ungraded.columns.get_loc("success")] = pd.NA
    assert st.report_cells(ungraded, control).loc[0, ["n", "ungraded"]].tolist() == [90, 10]
    with pytest.raises(ValueError, match="strength"):
        st.report_cells(injected.drop(columns="strength"), control)


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
        (lambda: st.rate([1, 2]), "true or false"),
        (lambda: st.rate(["yes", "no"]), "must be numbers"),
        (lambda: st.d_prime(6, 5, 0, 5), "hits"),
        (lambda: st.net_rate(1, 5, 6, 5), "more than the trials"),
        (lambda: st.auc([], [1.0]), "injected_scores"),
        (lambda: st.auc([1.0], [np.nan]), "control_scores"),
        (lambda: st.clustered_mean([1, 0], ["a"]), "one concept for each"),
        (lambda: st.clustered_mean([1, 0], ["a", None]), "missing"),
        (lambda: st.clustered_mean([1, 0], ["a", "a"]), "at least 2"),
        (lambda: st.paired_difference([1, 0], [1], ["a", "b"]), "equal lengths"),
        (lambda: st.permutation_test([1, 0], [1], paired=True), "equal lengths"),
        (lambda: st.adjust_p_values([0.5, 1.5]), "between 0 and 1"),
        (lambda: st.adjust_p_values([0.5], "bonferoni"), "unknown method"),
        (lambda: st.split_half_selection(GRID.drop(columns="layer")), "layer"),
        (lambda: st.split_half_selection(GRID.assign(concept=["a", None])), "missing"),
        (lambda: st.split_half_selection(GRID), "at least 2 different"),
    ],
)
def test_senseless_input_is_refused_with_a_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- 95 % intervals hold the truth 93 to 97 % of the time ----------------------------------------------------------

SIMULATIONS = 1000


def _coverage(draw):
    """Share of simulations in which the interval holds the truth; draw(rng) returns (estimate, truth)."""
    rng = np.random.default_rng(20)
    pairs = [draw(rng) for _ in range(SIMULATIONS)]
    return np.mean([estimate.low <= truth <= estimate.high for estimate, truth in pairs])


def _draw_wilson(rng):
    p = rng.uniform(0.05, 0.95)
    return st.wilson_rate(rng.binomial(50, p), 50), p


def _draw_net_rate(rng):
    p, q = rng.uniform(0.1, 0.9), rng.uniform(0.02, 0.5)
    return st.net_rate(rng.binomial(50, p), 50, rng.binomial(100, q), 100), p - q


def _draw_signal_detection(measure, truth):
    def draw(rng):
        d, c = rng.uniform(0, 2), rng.uniform(-0.5, 0.5)
        hit, false_positive = scipy_stats.norm.cdf([d / 2 - c, -d / 2 - c])
        return measure(rng.binomial(200, hit), 200, rng.binomial(200, false_positive), 200), truth(d, c)

    return draw


def _draw_auc(rng):
    d = rng.uniform(0, 2)
    return st.auc(rng.normal(d, 1, 60), rng.normal(0, 1, 80)), scipy_stats.norm.cdf(d / np.sqrt(2))


def _draw_clustered(rng):
    concept_rates = rng.beta(2, 3, size=50)  # each word has its own rate; the mean over words is 0.4
    values = rng.random((50, 8)) < concept_rates[:, None]
    return st.clustered_mean(values.ravel(), np.repeat(np.arange(50), 8), resamples=500), 0.4


def _draw_paired(rng):
    word = np.repeat(rng.normal(size=25), 4)
    first, second = word + rng.normal(0.5, 1, 100), word + rng.normal(0, 1, 100)
    return st.paired_difference(first, second, np.repeat(np.arange(25), 4), resamples=500), 0.5


@pytest.mark.parametrize(
    "draw",
    [
        _draw_wilson,
        _draw_net_rate,
        _draw_signal_detection(st.d_prime, lambda d, c: d),
        _draw_signal_detection(st.criterion, lambda d, c: c),
        _draw_auc,
        _draw_clustered,
        _draw_paired,
    ],
    ids=["wilson", "net_rate", "d_prime", "criterion", "auc", "clustered_mean", "paired_difference"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(draw):
    assert 0.93 <= _coverage(draw) <= 0.97


# --- where nothing is going on, 3 to 7 % are rejected at 5 % -------------------------------------------------------


def _rejections(p_value_of):
    rng = np.random.default_rng(21)
    return np.mean([p_value_of(rng) <= 0.05 for _ in range(600)])


def test_permutation_tests_reject_the_null_as_often_as_they_say():
    def independent(rng):
        return st.permutation_test(
            rng.normal(size=30), rng.normal(size=40), resamples=299, seed=rng.integers(2**31)
        ).p_value

    def paired(rng):
        first = rng.normal(size=30)
        second = first + rng.normal(size=30)
        return st.permutation_test(first, second, paired=True, resamples=299, seed=rng.integers(2**31)).p_value

    assert 0.03 <= _rejections(independent) <= 0.07
    assert 0.03 <= _rejections(paired) <= 0.07


def test_detection_measures_reject_a_bluffer_as_often_as_they_say():
    """A subject that says yes to half of all trials, injected or not: intervals of d' and net rate must hold 0."""

    def excludes_zero(measure):
        rng = np.random.default_rng(22)
        estimates = [measure(rng.binomial(150, 0.5), 150, rng.binomial(150, 0.5), 150) for _ in range(SIMULATIONS)]
        return np.mean([not e.low <= 0 <= e.high for e in estimates])

    assert 0.03 <= excludes_zero(st.d_prime) <= 0.07
    assert 0.03 <= excludes_zero(st.net_rate) <= 0.07
