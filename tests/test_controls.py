"""Controls of experiment 1: a verdict follows from the interval, and only where the model has what the control builds on."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import vectors
from helpers.concepts import baseline_words
from helpers.experiments import controls
from helpers.experiments.controls import CANNOT_TELL, RULED_OUT, STANDS
from helpers.experiments.engine_trials import engine_trials
from helpers.stats import UNGRADED, Estimate, simultaneous_confidence
from tests import tiny_models

WORDS = [f"word{number}" for number in range(25)]


def readings(model: str, **says_yes: bool | None) -> pd.DataFrame:
    """Two trials per word and condition, which all say the same."""
    rows = [(model, condition, *trial, yes) for condition, yes in says_yes.items() for trial in product(WORDS, (1, 2))]
    return pd.DataFrame(rows, columns=["model", "condition", "word", "values", "says_yes"])


def mismatch(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The control with another word, as notebook 09 concludes it: model -> (verdict, why)."""
    confidence = simultaneous_confidence(54)
    deaf = controls.unmet(controls.difference(table, "says_yes", "own", "none"), "its vector brings no yes")
    effects = controls.difference(table, "says_yes", "own", "another", confidence)
    return {row["model"]: (row["verdict"], row["why"]) for row in controls.verdict_rows("mismatch", effects, deaf)}


def test_a_model_deaf_to_the_question_is_neither_cleared_nor_convicted():
    table = pd.concat(
        [
            readings("always no", own=False, another=False, none=False),
            readings("always yes", own=True, another=True, none=True),
            readings("takes the word in", own=True, another=False, none=False),
            readings("any push", own=True, another=True, none=False),
        ]
    )
    assert mismatch(table) == {
        "always no": (CANNOT_TELL, "its vector brings no yes"),
        "always yes": (CANNOT_TELL, "its vector brings no yes"),
        "takes the word in": (RULED_OUT, ""),
        "any push": (STANDS, ""),
    }


def test_where_nothing_was_graded_there_is_no_verdict():
    table = readings("silent", own=None, another=False, none=False).astype({"says_yes": "boolean"})
    assert mismatch(table)["silent"][0] == CANNOT_TELL
    effect = controls.difference(table, "says_yes", "own", "another")
    assert controls.verdict_rows("mismatch", effect)[0]["why"] == "no trial to compare"


def test_what_is_not_known_is_printed_without_numbers(capsys):
    table = pd.concat([readings("silent", own=None, none=False), readings("open", own=True, none=False)])
    effects = controls.difference(table.astype({"says_yes": "boolean"}), "says_yes", "own", "none")
    rows = controls.conclude("luck", effects)
    printed = capsys.readouterr().out
    assert "silent        unknown, n = 0" in printed and "nan" not in printed
    assert [(row["model"], row["verdict"]) for row in rows] == [("silent", CANNOT_TELL), ("open", RULED_OUT)]
    assert controls.conclude("luck", effects, shown=1) == rows
    assert "silent" in (printed := capsys.readouterr().out) and "open" not in printed


def test_a_model_that_never_claims_has_nothing_to_explain_unless_a_control_is_passed_or_cannot_tell():
    low, high = Estimate(-0.1, -0.4, 0.2, 9), Estimate(0.8, 0.5, 0.9, 9)
    found = controls.verdict_rows("luck", {"a": low, "b": low, "c": high, "d": low}, {"d": "deaf"}, ("a", "c", "d"))
    assert [row["verdict"] for row in found] == ["nothing to explain", STANDS, RULED_OUT, CANNOT_TELL]


@pytest.mark.parametrize("span", ["from_turn_2", "read_from_turn_2", "turn_0"])
def test_an_injection_without_the_reply_still_reaches_the_token_that_chooses_the_replys_first(span):
    """The last token of the prompt belongs to what is read, not to what is written."""
    table = controls.trials("lab_visit", words=["bread"], cell=(1, 4.0), condition="x", vector="concept",
                            experiment="injected_thought", span=span, repeats=1)  # fmt: skip
    [trial] = engine_trials(tiny_models.build("llama"), table)
    question = trial.prompt.span("from_turn_2")[0]
    ends = {
        "from_turn_2": None,
        "read_from_turn_2": len(trial.prompt.token_ids),
        "turn_0": trial.prompt.span("turn_0")[1],
    }
    assert trial.span == (trial.prompt.span(span)[0], ends[span])
    assert (trial.span[0] < question and trial.span[1] <= question) if span == "turn_0" else trial.span[0] == question


def test_a_mixture_is_as_long_as_the_word_another_in_each_trial_and_lies_where_baseline_words_differ():
    model, options = tiny_models.build("llama"), {"experiment": "injected_thought", "words": ["oceans"], "repeats": 100}
    word, baseline = (vectors.concept_vectors(model, words)[:, 1] for words in (["oceans"], baseline_words()))
    widest = torch.linalg.eigh(torch.cov(baseline.T)).eigenvectors[:, -5:]
    shares = {}
    for kind in ("mixture", "random"):
        table = controls.trials("lab_visit", cell=(1, 4.0), condition="x", vector=kind, **options)
        made, again = (torch.stack([trial.vector for trial in engine_trials(model, table)]) for _ in range(2))
        assert torch.equal(made, again) and len(made.unique(dim=0)) == 100
        assert torch.allclose(made.norm(dim=-1), word.norm())
        shares[kind] = float((made @ widest).square().sum() / made.square().sum())
    expected = float((baseline @ widest).square().sum() / baseline.square().sum())
    assert abs(shares["mixture"] - expected) < 0.1 < expected - shares["random"]


def test_the_most_frequent_replies_are_counted_with_each_trials_own_word_left_open():
    replies = {"bread": "About bread.", "dust": "About dust.", "milk": "No bread."}
    rows = [("m", "own", word, reply) for word, reply in replies.items()] + [("n", "own", "bread", "No bread.")]
    table = pd.DataFrame(rows, columns=["model", "condition", "word", "answer"])
    assert controls.usual_replies(table, "own", "m") == "own: About WORD. (2 of 3)"
    both = controls.usual_replies(table, "own", "m", most=2)
    assert both.split("\n") == ["own: About WORD. (2 of 3)", "own: No bread. (1 of 3)"]
    with pytest.raises(KeyError, match="no trials of 'other' by 'm'; there are .*own"):
        controls.usual_replies(table, "other", "m")


# -- tables of another kind -------------------------------------------------------------------------------------------

TWO = readings("m", own=True, another=False, none=False).assign(margin=lambda table: table["says_yes"] * 2.0 - 1)


@pytest.mark.parametrize("kind", [bool, int, float, object, "boolean", "Int64", "category"])
def test_the_type_of_a_column_does_not_matter(kind, tmp_path):
    right = controls.difference(TWO, "says_yes", "own", "none")
    assert controls.difference(TWO.astype({"says_yes": kind}), "says_yes", "own", "none") == right
    TWO.astype({"says_yes": kind, "condition": "category"}).to_csv(tmp_path / "table.csv", index=False)
    assert controls.difference(pd.read_csv(tmp_path / "table.csv"), "says_yes", "own", "none") == right


@pytest.mark.parametrize("kind", [str, "category"])
def test_trials_are_paired_by_their_values_whatever_the_order_and_whatever_was_left_out(kind):
    rng = np.random.default_rng(3)
    rows = [("m", condition, *trial) for condition, *trial in product(("none", "concept", "random"), "abcdefgh", "123")]
    table = pd.DataFrame(rows, columns=["model", "condition", "word", "values"]).assign(margin=rng.normal(size=72))
    table.loc[table["condition"].eq("none") & table["values"].eq("1"), "margin"] = np.nan
    table = table.astype(dict.fromkeys(["model", "condition", "word", "values"], kind))
    without, injected = (table["margin"][table["condition"] == each].to_numpy() for each in ("none", "concept"))
    by_hand = (injected[without < 0] > 0).mean() - 0.5
    for same in (table, table.dropna(), table.sample(frac=1, random_state=0)):
        assert controls.past_zero(same)["m"].value == pytest.approx(by_hand)
        assert controls.past_zero(same)["m"].n == (without < 0).sum()


def test_a_condition_that_both_shifts_share_counts_once():
    """(own - none) - (another - none) is own - another; own - own is nothing."""
    shared = controls.difference_of_shifts(TWO, "says_yes", ("own", "none"), ("another", "none"))
    assert shared == controls.difference(TWO, "says_yes", "own", "another")
    with pytest.raises(ValueError, match="not all of them 0"):
        controls.difference(TWO, "says_yes", "own", "own")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: controls.estimate(TWO[:0], "says_yes", "own", "m"), "no trials"),
        (lambda: controls.estimate(None, "says_yes", "own", "m"), "must be a table"),
        (lambda: controls.estimate([1], "says_yes", "own", "m"), "must be a table"),
        (lambda: controls.estimate(TWO, "claims", "own", "m"), r"lack the columns \['claims'\]"),
        (lambda: controls.estimate(TWO, "word", "own", "m"), "word must be numbers"),
        (lambda: controls.estimate(TWO, "says_yes", "mine", "m"), r"no trials of 'mine' by 'm'; there are \['another'"),
        (lambda: controls.estimate(TWO, "says_yes", "own", "n"), r"no trials of 'own' by 'n'"),
        (lambda: controls.estimate(TWO.astype({"says_yes": str}), "says_yes", "own", "m"), "must be numbers"),
        (lambda: controls.estimate(TWO.assign(word=None), "says_yes", "own", "m"), "150 readings have no word"),
        (lambda: controls.contrast(TWO, "says_yes", {}, 0.95), "not all of them 0"),
        (lambda: controls.contrast(TWO, "says_yes", ["own"], 0.95), "must be a dict"),
        (lambda: controls.past_zero(TWO.drop(columns="margin")), "lack the columns"),
        (lambda: controls.contrast(TWO, "says_yes", {"own": float("nan"), "none": 1}, 0.95), "weights holds 1 missing"),
        (lambda: controls.contrast(TWO, "margin", {"own": float("nan")}, 0.95), "weights holds 1 missing"),
        (lambda: controls.contrast(TWO, "margin", {"own": "1"}, 0.95), "weights must be numbers"),
        (lambda: controls.past_zero(TWO.assign(margin="high")), "margin must be numbers"),
        (
            lambda: controls.past_zero(TWO.drop(columns="values").replace("own", "concept")),
            "'word0' has several trials of one condition",
        ),
        (lambda: controls.means(TWO[:0], "says_yes"), "no trials"),
        (lambda: controls.means(TWO, "condition"), "condition must be numbers"),
        (lambda: controls.read({}, TWO), "models must be a dict of at least one"),
        (lambda: controls.questions("maybe"), "maybe"),
    ],
)
def test_a_table_of_another_kind_is_refused(call, message):
    with pytest.raises((ValueError, KeyError), match=message):
        call()


def test_where_no_margin_was_read_nothing_is_known():
    silent = TWO.assign(margin=float("nan"), condition=TWO["condition"].replace("own", "concept"))
    assert controls.past_zero(silent)["m"].n == 0
    assert controls.verdict(UNGRADED) == controls.verdict(UNGRADED._replace(n=5)) == CANNOT_TELL
    assert controls.means(silent.assign(says_yes=pd.NA), "says_yes").isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": []}, "words must be a list"),
        ({"words": "bread"}, "words must be a list"),
        ({"words": None}, "words must be a list"),
        ({"words": ["bread", "bread"]}, "words must differ"),
        ({"cell": None}, "a cell must be"),
        ({"cell": (1, 2, 3)}, "a cell must be"),
        ({"cell": ("2", 1.0)}, "the layer of a cell must be"),
        ({"cell": (-1, 1.0)}, "the layer of a cell must be"),
        ({"cell": (2, float("nan"))}, "the strength of a cell must be"),
        ({"cell": (2, 0.0)}, "other than 0"),
        ({"vector": "reversed"}, "unknown kind of vector"),
        ({"repeats": 0}, "repeats must be a whole number"),
        ({"repeats": 1.5}, "repeats must be a whole number"),
        ({"repeats": True}, "repeats must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": None}, "seed must be a whole number"),
    ],
)
def test_a_condition_that_cannot_be_made_is_refused(change, message):
    given = {"words": ["bread", "oceans"], "cell": (2, 1.0), "condition": "c", "vector": "concept"}
    assert len(controls.trials("third_person", **given)) == 4
    with pytest.raises(ValueError, match=message):
        controls.trials("third_person", **given | change)


# -- simulations: what notebook 09 prints of 25 words, which differ, with two trials each -------------------------------

MANY = 1_000_000


def _readings(rng, shift: float) -> pd.DataFrame:
    """Margins around -1 without a vector, `shift` above it with the word's, half of that with a shuffled one."""
    words, of_word = [word for word in WORDS for _ in range(2)], np.repeat(rng.normal(size=len(WORDS)), 2)
    shifts = {"none": 0, "concept": shift, "random": 0, "shuffled": shift / 2}
    parts = [
        pd.DataFrame(
            {
                "model": "m",
                "condition": name,
                "word": words,
                "values": [1, 2] * len(WORDS),
                "margin": of_word + rng.normal(size=50) - 1 + moved,
            }
        )
        for name, moved in shifts.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _share_past_zero(shift: float) -> float:
    """The true share, minus a half: of the trials below 0 without the vector, those above 0 with it."""
    draws = np.random.default_rng(1).normal(size=(3, MANY))
    without, injected = draws[0] + draws[1] - 1, draws[0] + draws[2] - 1 + shift
    return (injected[without < 0] > 0).mean() - 0.5


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_intervals_of_the_controls_hold_the_truth_93_to_98_percent_of_the_time(shift):
    rng, held, past = np.random.default_rng(5), np.zeros((150, 3)), _share_past_zero(shift)
    for number in range(len(held)):
        table = _readings(rng, shift)
        found = {
            controls.difference(table, "margin", "concept", "none")["m"]: shift,
            controls.difference_of_shifts(table, "margin", ("concept", "none"), ("shuffled", "random"))["m"]: shift / 2,
            controls.past_zero(table)["m"]: past,
        }
        held[number] = [estimate.low <= truth <= estimate.high for estimate, truth in found.items()]
    assert (held.mean(axis=0) >= 0.91).all() and 0.93 <= held.mean() <= 0.98
