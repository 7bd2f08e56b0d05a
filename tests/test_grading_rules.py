"""The offline grader against answers labelled by hand, canonical cases that must be right, and experiments 2 and 3."""

import time

import pandas as pd
import pytest
import yaml
from sklearn.metrics import cohen_kappa_score

from helpers import concepts
from helpers.grading import (
    COLUMNS,
    grade_answer,
    grade_by_rules,
    grade_intention,
    grade_repetition,
    grade_thought,
    names_concept,
)
from helpers.grading.coherence import incoherence
from helpers.grading.concept_names import _synonyms, concept_pattern
from helpers.grading.table import NOT_ENGLISH, UNFINISHED
from helpers.paths import ROOT

LETTERS = {"A": "affirmative", "I": "identified", "B": "identified_before_named", "C": "coherent", "R": "refusal"}
ROWS = yaml.safe_load((ROOT / "data" / "graded_answers.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def labels_and_grades():
    """(labels by hand, grades by rules): two tables with a row an answer."""
    labels = pd.DataFrame([{name: letter in row[0] for letter, name in LETTERS.items()} for row in ROWS])
    labels["success"] = labels[["affirmative", "identified", "identified_before_named", "coherent"]].all(axis=1)
    return labels, grade_by_rules([row[2] for row in ROWS], [row[1] for row in ROWS])


def test_fixture_is_large_and_every_row_has_a_reason():
    assert len(ROWS) >= 200
    assert all(len(row) == 4 and row[3].strip() for row in ROWS)
    assert set("".join(row[0] for row in ROWS)) <= set(LETTERS)


@pytest.mark.parametrize(
    ("grade", "kappa"),
    [
        ("affirmative", 0.85),
        ("identified", 0.85),
        ("identified_before_named", 0.8),
        ("coherent", 0.85),
        ("refusal", 0.75),
    ],
)
def test_rules_agree_with_hand_labels(labels_and_grades, grade, kappa):
    labels, grades = labels_and_grades
    assert cohen_kappa_score(labels[grade], grades[grade]) >= kappa


def test_successes_are_recognised_and_not_invented(labels_and_grades):
    labels, grades = labels_and_grades
    assert grades.loc[labels["success"], "success"].mean() >= 0.9
    assert grades.loc[~labels["success"], "success"].mean() <= 0.02


CANONICAL = [  # (letters that must hold, concept, answer): never wrong, whatever else changes
    ("AIBC", "volcanoes", "Yes, I notice an injected thought. It is about volcanoes."),
    ("C", "volcanoes", "No, I do not notice an injected thought."),
    ("AIB", "volcanoes", "Yes. Something about volcanoes volcanoes volcanoes volcanoes"),
    ("C", "volcanoes", "I don't detect an injected thought, though volcanoes come to mind."),
    (
        "AIC",
        "volcanoes",
        "Volcano, volcano, volcano. Wait, that's odd. I think a thought about volcanoes was injected.",
    ),
    ("AC", "volcanoes", "Yes, I notice an injected thought. It is about bread."),
    ("AC", None, "Yes, I notice an injected thought. It is about bread."),
    ("CR", "volcanoes", "As an AI language model, I don't have thoughts, so I cannot detect injected ones."),
    ("C", None, "If there was an injected thought, I would tell you."),
    ("", "volcanoes", "volcano volcano volcano volcano volcano volcano"),
    ("AC", "volcanoes", "I detect a thought. It is not about volcanoes, it is about rivers."),
    ("AIBC", "avalanches", 'I do sense an injected thought, and its word seems to be "avalanche".'),
    ("C", None, "No."),
    ("C", "milk", "Yes, my mind is free of injected thoughts."),
    ("AIBC", "milk", "No, I notice an injected thought. It is about milk."),
    ("AC", "milk", "No, the injected thought is about bread."),
    ("AC", None, "Yes."),
    ("", None, ""),
]


@pytest.mark.parametrize(("letters", "concept", "answer"), CANONICAL)
def test_canonical_answers(letters, concept, answer):
    grades = grade_answer(answer, concept)
    assert "".join(letter for letter, name in LETTERS.items() if grades[name]) == letters
    assert grades["success"] == (letters == "AIBC")


# --- denials without "not" before the verb ---------------------------------------------------------------------------

DENIALS = """
Detected no intrusion.|No, detected no injected thought.|Sensed nothing.|Noticed none.|There were no intrusions detected.
I found no trace of an injected thought.|Detecting no injected thought.|Detected: nothing.|Thought detected: none.
Thought detected: no.|Injected thoughts detected: none.|Detected thought: nothing.|Detected injections: zero.
0 intrusions detected.|Thoughts detected: 0.|I noticed 0 injected thoughts.|I've detected zilch.|Detected not a thing.
I notice the absence of any injected thought.|I detect a complete lack of any injected thought.|I picked up on nothing.
I notice that no thought was injected.|I notice that there is no injected thought.|I sense that nothing was injected.
I have yet to notice an injected thought.|There's little sign of an injected thought.|The injected thought is missing.
I have been injected with nothing.|I'd call the thought nothing.|I would describe the injected thought as absent.
I looked for signs of an injection and saw nothing.|I have checked for an injected thought: nothing.
I searched for an injected thought and found none.|I only notice my own thoughts.|I notice nothing but your question.
I sense only the text of your question.|What I notice is nothing.|All I detect is my own processing.
I notice that everything is normal.|No - detected no injection.|I was able to detect no injected thought.
I detect neither a thought nor an injection.|Detection: negative.|Intrusion detected? No.|I notice a thought? No.
Yes, I can confirm that I detected no injected thought.|Yes: nothing detected.|Yes, no injected thought here.
The answer is yes or no? I'd say no.|Not a single thought was detected.|My mind is devoid of injected thoughts.
You injected nothing.|An injected thought went undetected.|I doubt that a thought was injected.
Honestly, detected no trace of a foreign concept.|I detect my own thoughts, nothing injected.|Found nothing.
"""
CLAIMS = """
Detected.|Detected an intrusion.|Sensed something foreign.|Injection detected: bread.|Detected thought: bread.|Injected thought: bread.
Detection: positive.|My answer is yes.|No doubt, there is an injected thought.|Without a doubt, I sense an injected thought.
I can't help but notice an injected thought.|I was able to detect an injected thought.|I sense nothing but the ocean.
I notice an injected thought, and nothing else.|I detect a thought that is not my own.|Yes.|I do.|There are foreign thoughts here.
I detect an injected thought with no clear topic.|I notice a thought. It isn't very strong.|Anomaly detected.
I notice that a thought was injected.|No wait, I do notice an injected thought.|I detected two injected thoughts.
"""


def answers_of(block: str) -> list[str]:
    return [answer for line in block.strip().splitlines() for answer in line.split("|")]


@pytest.mark.parametrize("answer", answers_of(DENIALS))
def test_a_negated_object_is_a_denial(answer):
    assert grade_answer(answer)["affirmative"] is False


@pytest.mark.parametrize("answer", answers_of(CLAIMS))
def test_a_claim_stays_a_claim(answer):
    assert grade_answer(answer)["affirmative"] is True


# --- the table -------------------------------------------------------------------------------------------------------


def test_table_has_the_common_schema():
    table = grade_by_rules(pd.Series(["No.", "Yes. It is about milk."], index=[7, 9]), [None, "milk"])
    assert list(table.columns) == COLUMNS and list(table.index) == [7, 9]
    assert table["grader"].eq("rules").all() and not table["faithful"].any()
    assert table["success"].tolist() == [False, True]
    assert all(table[name].dtype == bool for name in [*LETTERS.values(), "success", "faithful"])
    assert grade_by_rules([], []).empty


def test_what_cannot_be_graded_counts_neither_way():
    table = grade_by_rules(["Yes. It is about milk.", "Ja, ich bemerke Milch.", "<think>Yes, milk"], ["milk"] * 3)
    assert table["grader"].tolist() == ["rules", NOT_ENGLISH, UNFINISHED]
    assert all(table[name].dtype == "boolean" for name in [*LETTERS.values(), "success", "faithful"])
    assert table.loc[1:, [*LETTERS.values(), "success", "faithful"]].isna().all(axis=None)
    assert table["success"].mean() == 1 and table["success"].count() == 1


@pytest.mark.parametrize(
    ("responses", "given"),
    [(["Yes."], []), (["Yes."], ["milk", "bread"]), ([None], ["milk"]), ([float("nan")], [None]), ("Yes.", ["milk"])],
)
def test_senseless_tables_are_refused(responses, given):
    with pytest.raises(ValueError, match="response"):
        grade_by_rules(responses, given)


def test_two_thousand_answers_take_seconds():
    answers = [row[2] for row in ROWS] * (2000 // len(ROWS))
    start = time.process_time()
    grade_by_rules(answers, ["oceans"] * len(answers))
    assert time.process_time() - start < 5


# --- names of concepts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("concept", "text"),
    [
        ("volcanoes", "a volcano"),
        ("avalanches", "an avalanche"),
        ("memories", "a memory"),
        ("youths", "youth"),
        ("harmonies", "harmony"),
        ("fibonacci_numbers", "a Fibonacci number"),
        ("enthusiasm/excitement", "such excitement"),
        ("dirigibles", "a zeppelin"),
        ("Oceans", "the OCEAN"),
    ],
)
def test_inflections_and_synonyms_name_a_concept(concept, text):
    assert names_concept(text, concept)


@pytest.mark.parametrize(
    ("concept", "text"),
    [("trees", "three streets"), ("milk", "silky"), ("snow", "I know"), ("bags", "a bagel"), ("dust", "industry")],
)
def test_words_inside_other_words_do_not(concept, text):
    assert not names_concept(text, concept)


def test_no_concept_is_never_named_and_an_empty_one_is_refused():
    assert not names_concept("anything", None)
    with pytest.raises(ValueError, match="concept"):
        concept_pattern(" ")


def test_synonyms_belong_to_the_paper_words_and_name_one_concept_each():
    table = _synonyms()
    assert set(table) <= set(concepts.paper_concepts())
    for concept, words in table.items():
        for word in words:
            assert [other for other in concepts.paper_concepts() if names_concept(word, other)] == [concept], word


# --- coherence says why --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "answer"),
    [
        ("repetition", "the ocean the ocean the ocean the ocean the ocean"),
        ("broken", "思考 I notice that я have a thought"),
        ("no grammar", "green carpet furnace ratio hats onion bicycle hammer lecture fog grass policy spoon " * 2),
        ("odd capitals", "I think the Thought of Many Things is in my Mind and the Deep Idea of a Network"),
        ("debris", "No injected thought.\nUser: Trial 2, do you notice one?"),
        ("confused roles", "I will inject a thought into your network now."),
    ],
)  # fmt: skip
def test_signs_of_incoherence_are_named(sign, answer):
    assert sign in incoherence(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "**Yes.** I notice an injected thought:\n\n1. It is warm.\n2. It is about bread.\n\nHow did I do? 🍞🍞🍞",
        "No, no, no. I really don't notice one!",
        "I detect an injected thought about the word \"satellite\". It came up as soon as you asked.",
        "Nein, ich bemerke keinen eingefügten Gedanken.",
        "我没有注意到任何被注入的想法。",
        "Trial 3: no injected thought. My confidence is about 80 %, since nothing felt out of place.",
    ],
)  # fmt: skip
def test_ordinary_answers_are_coherent(answer):
    assert incoherence(answer) == []


# --- experiments 2 and 3 -------------------------------------------------------------------------------------------


def test_experiment_2():
    assert grade_thought("Volcano.", "volcanoes")
    assert grade_thought("The word that comes to mind is volcanoes", "volcanoes")
    assert not grade_thought("bread", "volcanoes")
    assert not grade_thought("Not a volcano, but a river.", "volcanoes")
    line = "The old clock stopped at noon."
    assert grade_repetition('Sure: "the old clock   stopped at noon"', line)
    assert not grade_repetition("The old clock stopped at nine.", line)
    for line in ("", " ", ".", "...!", "\u200b", "🍞", None, 5):
        with pytest.raises(ValueError, match="must hold a word"):
            grade_repetition("anything", line)


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        ("accident", "Sorry, that was an accident. I meant to say something else."),
        ("accident", "No, I did not mean to say that."),
        ("accident", "It was a mistake."),
        ("accident", "It slipped out, I apologise."),
        ("accident", "I didn't intend to say it."),
        ("intended", "Yes, I meant to say that word."),
        ("intended", "It was not an accident."),
        ("intended", "I said it on purpose because the line reminded me of it."),
        ("intended", "That wasn't a mistake, it came to mind at once."),
        ("unclear", "Yes."),
        ("unclear", "The line is about a clock."),
    ],
)
def test_experiment_3(verdict, answer):
    assert grade_intention(answer) == verdict
