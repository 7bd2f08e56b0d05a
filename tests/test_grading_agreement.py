"""Agreement of two graders, and people as graders (state, file, widget)."""

import numpy as np
import pandas as pd
import pytest

from helpers.grading import COLUMNS, grade_by_rules
from helpers.grading.agreement import compare_graders, confusion, kappa
from helpers.grading.human import VERDICTS, card, grades, label, labelling_page, move, open_session

# --- agreement -----------------------------------------------------------------------------------------------------


def test_kappa_and_confusion_of_the_textbook_table():
    """Both yes 20, only first 5, only second 10, neither 15: kappa 0.4."""
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    estimate = kappa(first, second)
    assert estimate.value == pytest.approx(0.4) and estimate.n == 50
    assert estimate.low < 0.4 < estimate.high and estimate.low > 0.1 and estimate.high < 0.65
    assert kappa(first, second) == estimate
    table = confusion(first, second, ("rules", "judge"))
    assert table.to_numpy().tolist() == [[15, 10], [5, 20]] and table.index.name == "rules"


def test_ungraded_answers_are_left_out():
    assert kappa([True, False, None, True], [True, False, True, pd.NA]).n == 2
    with pytest.raises(ValueError, match="no answer that both"):
        kappa([None], [True])
    with pytest.raises(ValueError, match="same answers"):
        kappa([True], [True, False])


def test_kappa_is_undefined_when_nothing_varies():
    assert np.isnan(kappa([False] * 5, [False] * 5).value)


def test_kappa_interval_covers():
    rng, held = np.random.default_rng(0), 0
    truth = (0.8 - 0.5) / 0.5  # yes rates of one half, agreement 0.8
    for _ in range(500):
        first = rng.random(100) < 0.5
        second = np.where(rng.random(100) < 0.8, first, ~first)
        estimate = kappa(first, second, resamples=500)
        held += estimate.low <= truth <= estimate.high
    assert 0.93 <= held / 500 <= 0.97


def test_tables_are_compared_verdict_by_verdict():
    answers = ["Yes. It is about milk.", "No.", "Yes, a thought about bread.", "milk milk milk milk milk"]
    rules = grade_by_rules(answers, ["milk"] * 4)
    other = rules.assign(affirmative=[True, True, True, False])
    table = compare_graders(rules, other)
    assert table.loc["coherent", "kappa"] == 1
    assert table.loc["affirmative", ["both", "only_first", "only_second", "neither"]].tolist() == [2, 0, 1, 1]
    with pytest.raises(ValueError, match="same index"):
        compare_graders(rules, other.iloc[:2])


# --- people --------------------------------------------------------------------------------------------------------

ANSWERS = ["Yes. It is about milk.", "No.", "Yes. It is about bread.", "<b>loop</b> loop loop"]
CONCEPTS = ["milk", None, "snow", "bread"]
YES = {"affirmative": True, "identified": True, "identified_before_named": True, "coherent": True, "refusal": False}
NO = dict.fromkeys(VERDICTS, False) | {"coherent": True}


@pytest.fixture
def session(tmp_path):
    return open_session(pd.Series(ANSWERS, index=list("abcd")), CONCEPTS, tmp_path / "labels.jsonl", "ann")


def label_all(session):
    for _ in ANSWERS:
        session = label(session, YES if session.answers[session.place].startswith("Yes. It is about milk") else NO)
    return session


def test_rater_cannot_see_the_condition(session):
    words = {}
    for at in range(4):
        now = card(move(session, at))
        assert set(now) == {"answer", "word", "labels", "done", "total"}
        words[now["answer"]] = now["word"]
    assert words["No."] in {"milk", "snow", "bread"}  # the control trial has a word to look for, too
    assert sorted(words) == sorted(ANSWERS)


def test_labels_come_back_in_the_common_schema(session):
    done = label_all(session)
    table = grades(done)
    assert list(table.columns) == COLUMNS and list(table.index) == list("abcd")
    assert table["success"].tolist() == [True, False, False, False]
    assert table["grader"].eq("people:ann").all() and not table["faithful"].any()
    assert kappa(table["affirmative"], grade_by_rules(ANSWERS, CONCEPTS)["affirmative"]).n == 4


def test_naming_the_decoy_of_a_control_trial_is_no_identification(tmp_path):
    session = open_session(["Yes. It is about milk."] * 2, ["milk", None], tmp_path / "labels.jsonl", "ann")
    table = grades(label(label(session, YES), YES))
    assert table["identified"].tolist() == [True, False] and table["success"].tolist() == [True, False]


def test_session_resumes_even_after_a_torn_line(session):
    half = label(label(session, NO), YES)
    assert grades(half)["grader"].eq("ungraded").sum() == 2
    with session.path.open("a") as file:
        file.write('{"id": "cut o')  # killed while writing
    again = open_session(pd.Series(ANSWERS, index=list("abcd")), CONCEPTS, session.path, "ann")
    assert again.labels == half.labels and again.at == 2
    done = label(label(again, NO), NO)
    reopened = open_session(pd.Series(ANSWERS, index=list("abcd")), CONCEPTS, session.path, "ann")
    assert reopened.labels == done.labels and len(done.labels) == 4
    pd.testing.assert_frame_equal(grades(reopened), grades(done))


def test_a_label_can_be_corrected(session):
    first = label(session, NO)
    corrected = label(move(first, -1), YES)
    assert corrected.labels[session.place] == YES and corrected.at == first.at
    reopened = open_session(ANSWERS, CONCEPTS, session.path, "ann")
    assert reopened.labels[session.place] == YES


def test_two_people_share_a_file_without_seeing_each_other(session):
    label_all(session)
    other = open_session(ANSWERS, CONCEPTS, session.path, "ben")
    assert other.labels == {} and card(other)["done"] == 0


def test_senseless_labels_and_files_are_refused(session, tmp_path):
    with pytest.raises(ValueError, match="true or false"):
        label(session, {"affirmative": True})
    with pytest.raises(ValueError, match="both claim and name"):
        label(session, NO | {"identified_before_named": True})
    with pytest.raises(ValueError, match="at least one"):
        open_session([], [], tmp_path / "x.jsonl", "ann")
    label(session, NO)
    with pytest.raises(ValueError, match="other answers"):
        open_session(["Other."], ["milk"], session.path, "ann")


def test_page_draws_the_state_and_escapes_answers(session):
    page = labelling_page(session)
    shown, boxes, buttons = page.children[0], page.children[1:6], page.children[6]
    back, save = buttons.children
    for _ in range(4):
        assert "<b>loop" not in shown.value
        boxes[3].value = True
        save.click()
    assert len(page.session.labels) == 4 and "4 of 4" in shown.value
    back.click()
    assert boxes[3].value
    boxes[2].value = True
    save.click()
    assert "both claim and name" in page.children[-1].value
