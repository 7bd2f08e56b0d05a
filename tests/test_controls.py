"""Controls of experiment 1: a verdict follows from the interval, and only where the model has what the control builds on."""

import pandas as pd
import pytest

from helpers.experiments import controls
from helpers.experiments.controls import CANNOT_TELL, RULED_OUT, STANDS
from helpers.experiments.engine_trials import engine_trials
from helpers.stats import simultaneous_confidence
from tests import tiny_models

WORDS = [f"word{number}" for number in range(25)]


def readings(model: str, **says_yes: bool | None) -> pd.DataFrame:
    """Two trials per word and condition, which all say the same."""
    rows = [(model, condition, word, yes) for condition, yes in says_yes.items() for word in WORDS for _ in range(2)]
    return pd.DataFrame(rows, columns=["model", "condition", "word", "says_yes"])


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


def test_every_control_is_concluded_a_single_time():
    effects = controls.difference(readings("m", own=True, none=False), "says_yes", "own", "none")
    rows = controls.conclude("luck", effects)
    assert controls.closing_table(rows).loc["luck", "m"].startswith(f"{RULED_OUT} (+1.00 [")
    with pytest.raises(ValueError, match="'luck' was concluded twice"):
        controls.closing_table(rows * 2)
