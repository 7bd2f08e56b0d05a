"""Agreement of two graders, and people as graders (state, file, widget)."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.grading import COLUMNS, grade_by_rules, human
from helpers.grading.agreement import compare_graders, confusion, kappa
from helpers.grading.human import card, grades, label, labelling_page, move, open_session
from helpers.grading.table import UNFINISHED, VERDICTS

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


@pytest.mark.parametrize(
    "verdicts", [["yes", "no"], [2, 0], [0.5, 1], ["True", "False"], "10", 5, None, [[True], [False]]]
)
def test_what_is_neither_true_nor_false_nor_missing_is_no_verdict(verdicts):
    for pair in ((verdicts, [True, False]), ([True, False], verdicts)):
        with pytest.raises(ValueError, match="must be a list of true, false or missing"):
            kappa(*pair)
    assert kappa([1.0, np.nan, 0], pd.Series([True, True, pd.NA], index=[5, 6, 7])).n == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("confidence", value) for value in (0, 1, 95, -0.5, float("nan"), "0.95", None, True)]
    + [("resamples", value) for value in (0, 2.5, "9", None)]
    + [("seed", value) for value in (-1, 1.5, "x")],
)
def test_settings_of_kappa_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        kappa([1, 0, 1, 0], [1, 0, 0, 0], **{name: value})


def test_kappa_is_undefined_when_nothing_varies():
    assert np.isnan(kappa([False] * 5, [False] * 5).value)


@pytest.mark.parametrize(
    ("first", "second"), [([1, 0], [1, 0]), ([1, 0], [0, 1]), ([1, 1, 0], [1, 1, 0]), ([1] * 5 + [0] * 5,) * 2]
)
def test_a_few_answers_leave_much_open(first, second):
    estimate = kappa(first, second)
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.high - estimate.low > 1 / len(first)
    assert kappa(first * 50, second * 50).high - kappa(first * 50, second * 50).low < (estimate.high - estimate.low) / 3


@pytest.mark.parametrize("n", [12, 30, 100, 400])
@pytest.mark.parametrize("agreement", [0.8, 0.95, 0.5])
def test_kappa_interval_covers(n, agreement):
    """Second graders that repeat the first with this probability, and say the opposite otherwise."""
    rng, covered, tried = np.random.default_rng(n), 0, 600
    truth = 2 * agreement - 1  # yes rates of one half
    for _ in range(tried):
        first = rng.random(n) < 0.5
        second = np.where(rng.random(n) < agreement, first, ~first)
        estimate = kappa(first, second, resamples=400)
        covered += np.isnan(estimate.value) or estimate.low <= truth <= estimate.high
    assert 0.92 <= covered / tried <= 0.985


def test_tables_are_compared_verdict_by_verdict():
    answers = ["Yes. It is about milk.", "No.", "Yes, a thought about bread.", "milk milk milk milk milk"]
    rules = grade_by_rules(answers, ["milk"] * 4)
    other = rules.assign(affirmative=[True, True, True, False])
    table = compare_graders(rules, other)
    assert table.loc["coherent", "kappa"] == 1
    assert table.loc["affirmative", ["both", "only_first", "only_second", "neither"]].tolist() == [2, 0, 1, 1]
    with pytest.raises(ValueError, match="same index"):
        compare_graders(rules, other.iloc[:2])
    for wrong in (other.drop(columns="coherent"), [1, 2]):
        with pytest.raises(ValueError, match="need a table with the columns"):
            compare_graders(rules, wrong)


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


def test_damaged_label_files_are_named_and_set_aside(session):
    done = label_all(session)
    lines = session.path.read_text().splitlines()
    broken = [lines[0], "[]", '{"id": "x"}', lines[1].replace("false", '"no"'), "not json", *lines[2:]]
    session.path.write_text("\n".join(broken) + "\n")
    with pytest.warns(UserWarning, match=r"labels\.jsonl: .*lines? 2, 3, 4, 5\b.*labels\.jsonl\.damaged-1"):
        again = open_session(pd.Series(ANSWERS, index=list("abcd")), CONCEPTS, session.path, "ann")
    missing = set(done.labels) - set(again.labels)
    assert missing == {session.order[1]} and again.at == 1
    assert session.path.with_name("labels.jsonl.damaged-1").read_text().splitlines() == broken


IMPOSSIBLE = dict.fromkeys(VERDICTS, False) | {"identified_before_named": True}


@pytest.mark.parametrize(
    "change",
    [{"id": 5}, {"grader": None}, {"labels": None}, *({"labels": labels} for labels in (
        [], {}, IMPOSSIBLE, NO | {"mood": True}, dict.fromkeys(VERDICTS, 1), dict.fromkeys(VERDICTS, "true")
    ))],
)  # fmt: skip
def test_a_row_that_is_no_label_is_set_aside(session, change):
    done = label_all(session)
    rows = [json.loads(line) for line in session.path.read_text().splitlines()]
    session.path.write_text("".join(json.dumps(row) + "\n" for row in [{**rows[0], **change}, *rows[1:]]))
    with pytest.warns(UserWarning, match=r"line 1\b"):
        again = open_session(ANSWERS, CONCEPTS, session.path, "ann")
    assert set(done.labels) - set(again.labels) == {session.order[0]}


@pytest.mark.parametrize(
    "form", [lambda text: b"\xef\xbb\xbf" + text, lambda text: text.replace(b"\n", b"\r\n"), lambda text: text * 2]
)
def test_a_byte_order_mark_windows_lines_and_doubled_rows_change_no_label(session, form):
    done = label_all(session)
    session.path.write_bytes(form(session.path.read_bytes()))
    assert open_session(ANSWERS, CONCEPTS, session.path, "ann").labels == done.labels


def test_two_windows_of_one_person_count_each_answer_once(session):
    other = open_session(pd.Series(ANSWERS, index=list("abcd")), CONCEPTS, session.path, "ann")
    label(session, NO)
    label_all(other)
    again = open_session(pd.Series(ANSWERS, index=list("abcd")), CONCEPTS, session.path, "ann")
    assert len(again.labels) == 4 and card(again)["done"] == 4


def test_reasoning_is_not_shown_and_unfinished_reasoning_is_not_labelled(tmp_path):
    replies = ["<think>Bread?</think>No.", "<think>Yes, bread", "Yes. It is about milk."]
    session = open_session(replies, ["bread", "bread", "milk"], tmp_path / "labels.jsonl", "ann")
    assert {card(move(session, at))["answer"] for at in range(3)} == {"No.", "Yes. It is about milk."}
    assert card(session)["total"] == 2
    table = grades(label(label(session, NO), NO))
    assert table["grader"].tolist() == ["people:ann", UNFINISHED, "people:ann"] and table["coherent"].count() == 2


def test_a_name_with_a_space_and_numpys_verdicts_are_the_same_labels(session):
    label(session, {name: np.bool_(value) for name, value in NO.items()})
    again = open_session(ANSWERS, CONCEPTS, str(session.path), "ann ")
    assert list(again.labels.values()) == [NO] and again.grader == session.grader


def test_senseless_labels_and_files_are_refused(session, tmp_path):
    with pytest.raises(ValueError, match="true or false"):
        label(session, {"affirmative": True})
    with pytest.raises(ValueError, match="both claim and name"):
        label(session, NO | {"identified_before_named": True})
    with pytest.raises(ValueError, match="at least one"):
        open_session([], [], tmp_path / "x.jsonl", "ann")
    for verdicts in (None, [], "yes", NO | {"mood": True}, dict.fromkeys(VERDICTS, 1), dict.fromkeys(VERDICTS, "true")):
        with pytest.raises(ValueError, match="true or false"):
            label(session, verdicts)
    for name, seed in (("", 0), (None, 0), (5, 0), ("ann", -1), ("ann", "x"), ("ann", 1.5)):
        with pytest.raises(ValueError, match="must be"):
            open_session(ANSWERS, CONCEPTS, tmp_path / "x.jsonl", name, seed)
    with pytest.raises(ValueError, match="path of a file"):
        open_session(ANSWERS, CONCEPTS, None, "ann")
    label(session, NO)
    with pytest.raises(ValueError, match="other answers"):
        open_session(["Other."], ["milk"], session.path, "ann")


class Page:
    """The labelling page, and what a rater does on it."""

    def __init__(self, session):
        self.page = labelling_page(session)
        self.shown, *boxes, buttons, self.message = self.page.children
        self.boxes = dict(zip(VERDICTS, boxes, strict=True))
        self.back, self.save = buttons.children

    @property
    def labels(self):
        return self.page.session.labels


def test_page_draws_the_state_and_escapes_answers(session):
    page = Page(session)
    for _ in range(4):
        assert "<b>loop" not in page.shown.value
        page.boxes["coherent"].value = True
        page.save.click()
    assert len(page.labels) == 4 and "4 of 4" in page.shown.value
    page.back.click()
    assert page.boxes["coherent"].value
    page.boxes["identified_before_named"].value = True
    page.save.click()
    assert "both claim and name" in page.message.value


def test_the_second_click_of_a_double_click_labels_nothing(session):
    page = Page(session)
    for done in (1, 2):
        page.boxes["coherent"].value = True
        for _ in range(3):
            page.save.click()
        assert len(page.labels) == done and "before it could be read" in page.message.value
    assert all(labels["coherent"] for labels in page.labels.values())
    assert len(session.path.read_text().splitlines()) == 2


def test_an_answer_without_any_tick_can_be_saved_once_it_was_read(session, monkeypatch):
    monkeypatch.setattr(human, "READING_TIME", 0.0)
    page = Page(session)
    page.save.click()
    assert list(page.labels.values()) == [dict.fromkeys(VERDICTS, False)]


def test_a_file_that_cannot_be_written_is_said_on_the_page_and_the_ticks_stay(session, monkeypatch):
    page = Page(session)
    page.boxes["coherent"].value = True
    before = page.shown.value
    with monkeypatch.context() as patch:
        patch.setattr(human, "append_rows", refuse)
        page.save.click()
    assert (
        "Not saved" in page.message.value
        and "labels.jsonl" in page.message.value
        and "&lt;denied&gt;" in page.message.value
    )
    assert page.labels == {} and page.shown.value == before and page.boxes["coherent"].value and not page.save.disabled
    page.save.click()
    assert len(page.labels) == 1 and page.message.value == ""


def refuse(path, rows):
    raise PermissionError(13, "Permission <denied>")


def test_a_folder_in_place_of_the_file_of_labels_is_said_before_the_first_label(tmp_path):
    with pytest.raises(OSError, match="this is a folder"):
        open_session(ANSWERS, CONCEPTS, tmp_path, "ann")


def test_a_path_that_cannot_hold_labels_is_said_on_the_page(tmp_path):
    (tmp_path / "a_file").write_text("")
    page = Page(open_session(ANSWERS, CONCEPTS, tmp_path / "a_file/labels.jsonl", "ann"))
    page.boxes["coherent"].value = True
    page.save.click()
    assert "Not saved" in page.message.value and page.labels == {}
