"""Every exercise of every notebook: its form, its stub ("not yet"), its solution (passes), named wrong answers (fail, and why)."""

import importlib.util
from collections import Counter

import nbformat
import pytest
import torch

from helpers import exercises
from helpers.exercises.exercise import exercise, expect, expect_tensor
from helpers.paths import ROOT
from tests import exercise_cells
from tests.authoring import generated_cells

NOTEBOOKS = {file.stem: nbformat.read(file, as_version=4) for file in generated_cells.course()}
EXERCISES = [
    pytest.param(notebook, found, id=f"{name}-{found.check}")
    for name, notebook in NOTEBOOKS.items()
    for found in exercise_cells.find(notebook)
]


def wrong_answers() -> list:
    found = []
    for file in sorted((ROOT / "tests" / "wrong_answers").glob("nb*.py")):
        spec = importlib.util.spec_from_file_location(f"wrong_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [
            pytest.param(*each, id=f"{file.stem}-{each[0]}-{getattr(each[1], '__name__', each[1])}")
            for each in module.WRONG
        ]
    return found


WRONG = wrong_answers()


@pytest.mark.parametrize(("notebook", "found"), EXERCISES)
def test_exercise_has_all_its_parts(notebook, found):
    complaints = exercise_cells.form_complaints(found)
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(("notebook", "found"), EXERCISES)
def test_stub_leaves_the_notebook_running(notebook, found, tmp_path, capsys):
    module = exercise_cells.as_module(notebook, found.stub, tmp_path / "stub.py")
    assert getattr(exercises, found.check)(getattr(module, found.attempt)) is False
    assert "not yet" in capsys.readouterr().out


@pytest.mark.parametrize(("notebook", "found"), EXERCISES)
def test_solution_passes_its_check(notebook, found, tmp_path, capsys):
    module = exercise_cells.as_module(notebook, found.solution, tmp_path / "solution.py")
    passed = getattr(exercises, found.check)(getattr(module, found.attempt))
    assert passed, capsys.readouterr().out
    assert capsys.readouterr().out.endswith(": correct\n")


@pytest.mark.parametrize(("check", "attempt", "message"), WRONG)
def test_wrong_answer_is_told_what_is_wrong(check, attempt, message, capsys):
    passed = getattr(exercises, check)(attempt)
    said = capsys.readouterr().out
    assert passed is False, f"{check} takes the wrong answer {getattr(attempt, '__name__', attempt)} for right"
    assert message and message in said
    assert "stopped with" not in said


def module_of(check: str) -> str:
    return getattr(exercises, check).body.__module__.rsplit(".", 1)[1]


@pytest.mark.parametrize("check", exercises.__all__, ids=lambda check: f"{module_of(check)}-{check}")
def test_every_check_belongs_to_an_exercise_and_knows_two_wrong_answers(check):
    known = Counter(case.values[0] for case in WRONG)[check]
    assert known >= 2, f"{check} knows {known} wrong answers; it needs two in tests/wrong_answers/{module_of(check)}.py"
    assert check in {case.values[1].check for case in EXERCISES}, f"no exercise in any notebook calls {check}"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_exercises_are_numbered_in_order_and_called_as_their_checks(name):
    found = exercise_cells.find(NOTEBOOKS[name])
    titles = [f"Exercise {number}: {getattr(exercises, each.check).title}" for number, each in enumerate(found, 1)]
    assert [each.task.splitlines()[0].lstrip("# ") for each in found] == titles


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_exercise_is_written_in_a_form_that_these_tests_overlook(name):
    assert len(exercise_cells.find(NOTEBOOKS[name])) == exercise_cells.check_calls(NOTEBOOKS[name])


@exercise("Scale a vector")
def check_scaled(attempt):
    """Doubling a vector of ones."""
    result = attempt(torch.ones(4))
    expect_tensor(result, (4,), "the scaled vector")
    expect(bool((result == 2).all()), f"every component must be 2, yours are {result.tolist()}")


def unwritten(vector):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (unwritten, "not yet"),
        (None, "not yet"),
        (..., "not yet"),
        (lambda vector: None, "is a `return` missing?"),
        (lambda vector: 2.0, "must be a tensor, yours is float"),
        (lambda vector: vector[:2], "must have the shape (4,), yours has (2,)"),
        (lambda vector: vector / 0, "NaN or infinite"),
        (lambda vector: vector * 3, "every component must be 2, yours are [3.0"),
        (lambda vector: vector @ torch.ones(3), "stopped with RuntimeError"),
        (lambda vector: vector.to_sparse().view(2, 2), "raised"),
        (lambda: 2, "stopped with TypeError"),
        (7, "stopped with TypeError"),
    ],
)
def test_an_attempt_that_fails_is_told_why_and_stops_nothing(attempt, message, capsys):
    assert check_scaled(attempt) is False
    said = capsys.readouterr().out
    assert said.startswith("Scale a vector: ")
    assert message in said


def test_a_right_attempt_is_told_so_and_draws_no_random_numbers_of_the_notebook(capsys):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert check_scaled(lambda vector: torch.rand(1) * 0 + vector * 2) is True
    assert capsys.readouterr().out == "Scale a vector: correct\n"
    assert torch.rand(1) == expected


def test_an_error_names_the_students_own_line(tmp_path, capsys):
    file = tmp_path / "cell.py"
    file.write_text("def attempt(vector):\n    return vector + missing\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("cell", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_scaled(module.attempt)
    assert (
        "NameError: name 'missing' is not defined, in your line 2: return vector + missing" in capsys.readouterr().out
    )
