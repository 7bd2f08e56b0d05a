"""Every exercise: its form, its stub ("not yet"), its solution (passes), wrong answers (fail, and why), right ones (pass)."""

import importlib.util
import math
import random
from collections import Counter

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from helpers import exercises
from helpers.exercises import exercise as checking
from helpers.exercises import intervals, organism, prediction
from helpers.exercises.exercise import call, exercise, expect, expect_all_near, expect_tensor
from helpers.paths import ROOT
from tests import exercise_cells
from tests.authoring import generated_cells

NOTEBOOKS = {file.stem: nbformat.read(file, as_version=4) for file in generated_cells.course()}
EXERCISES = [
    pytest.param(notebook, found, id=f"{name}-{found.check}")
    for name, notebook in NOTEBOOKS.items()
    for found in exercise_cells.find(notebook)
]


def answers(kind: str) -> list:
    """The entries of the lists WRONG or RIGHT in tests/wrong_answers, as test cases."""
    found = []
    for file in sorted((ROOT / "tests" / "wrong_answers").glob("nb*.py")):
        spec = importlib.util.spec_from_file_location(f"wrong_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [
            pytest.param(*each, id=f"{file.stem}-{each[0]}-{getattr(each[1], '__name__', each[1])}")
            for each in getattr(module, kind)
        ]
    return found


WRONG, RIGHT = answers("WRONG"), answers("RIGHT")


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
    verdict = capsys.readouterr().out
    assert passed is False, f"{check} takes the wrong answer {getattr(attempt, '__name__', attempt)} for right"
    assert message and message in verdict
    assert "stopped with" not in verdict


@pytest.mark.parametrize(("check", "attempt"), RIGHT)
def test_right_answer_in_another_style_passes(check, attempt, capsys):
    assert getattr(exercises, check)(attempt) is True, capsys.readouterr().out


ODD = (None, 0, 0.5, True, "", "yes", float("nan"), float("inf"), [], [None, None], {}, set(), (1, 2, 3), len, object())
ODD += (torch.zeros(()), torch.zeros(3), torch.full((2, 2), torch.nan), np.float64(1), np.zeros(2), np.array([None, 1]))
ODD += (pd.Series([True, None]), pd.DataFrame({"layer": [1]}), pd.NA, [[1, 2], [3, 4]], ["a", 1], (0, float("nan")))


@pytest.mark.parametrize("check", exercises.__all__)
def test_whatever_an_attempt_returns_the_verdict_is_in_words(check, capsys):
    for odd in ODD:
        passed = getattr(exercises, check)(lambda *_arguments, value=odd, **_named: value)
        verdict = capsys.readouterr().out
        assert passed is False, f"{check} takes a function for right that always returns {odd!r}"
        assert "not right yet" in verdict, f"for a function that always returns {odd!r}: {verdict}"


def module_of(check: str) -> str:
    return getattr(exercises, check).body.__module__.rsplit(".", 1)[1]


@pytest.mark.parametrize("check", exercises.__all__, ids=lambda check: f"{module_of(check)}-{check}")
def test_every_check_belongs_to_an_exercise_and_knows_two_wrong_answers(check):
    known = Counter(case.values[0] for case in WRONG)[check]  # noqa: PD011 (not a table)
    assert known >= 2, f"{check} knows {known} wrong answers; it needs two in tests/wrong_answers/{module_of(check)}.py"
    assert check in {case.values[1].check for case in EXERCISES}, f"no exercise in any notebook calls {check}"  # noqa: PD011


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
    result = expect_tensor(call(attempt, torch.ones(4)), (4,), "the scaled vector")
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
        (lambda vector: vector.mul_(2), "changes argument number 1"),
        (lambda vector: unwritten, "yours is a function (unwritten): are its parentheses missing?"),
        (lambda vector: vector.to_sparse().view(2, 2), "raised"),
        (lambda: 2, "stopped with TypeError"),
        (7, "stopped with TypeError"),
    ],
)
def test_an_attempt_that_fails_is_told_why_and_stops_nothing(attempt, message, capsys):
    assert check_scaled(attempt) is False
    verdict = capsys.readouterr().out
    assert verdict.startswith("Scale a vector: ")
    assert message in verdict


def test_a_right_attempt_is_told_so_and_draws_no_random_numbers_of_the_notebook(capsys):
    def attempt(vector):
        noise = torch.rand(1) + random.random() + np.random.rand()  # noqa: NPY002
        return noise * 0 + vector * 2

    def drawn():
        return float(torch.rand(1)), random.random(), np.random.rand()  # noqa: NPY002

    def seed():
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002

    seed()
    expected = drawn()
    seed()
    assert check_scaled(attempt) is True
    assert capsys.readouterr().out == "Scale a vector: correct\n"
    assert drawn() == expected


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


def test_a_name_that_no_line_made_is_explained(capsys):
    def attempt(vector):
        if vector.sum() < 0:
            result = vector  # as after a trace that saved nothing
        return result

    check_scaled(attempt)
    assert "UnboundLocalError" in (said := capsys.readouterr().out) and "is it `.save()`d" in said


def test_an_error_inside_a_library_names_the_students_line_and_not_the_librarys(tmp_path, capsys):
    file = tmp_path / "cell.py"
    file.write_text("import json\n\ndef attempt(vector):\n    return json.loads('{')\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("cell", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_scaled(module.attempt)
    assert "in your line 4: return json.loads('{')" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        (torch.zeros(2), lambda tensor: tensor.add_(1)),
        (np.zeros(2), lambda array: array.fill(1)),
        (np.array([1, math.nan]), lambda array: array.__setitem__(0, 2)),
        (np.array([None, math.nan, "a"], dtype=object), lambda array: array.__setitem__(2, "b")),
        ([1, 2], lambda numbers: numbers.pop()),
        ([[1], [2]], lambda rows: rows[0].append(2)),
        ({"a": torch.zeros(2)}, lambda named: named["a"].add_(1)),
        ({"a": 1}, lambda named: named.update(b=2)),
        (pd.DataFrame({"a": [1, 2]}), lambda table: table.insert(0, "b", 1)),
        (pd.Series([2, 1]), lambda column: column.__setitem__(0, 7)),
    ],
)
def test_an_attempt_may_not_change_its_arguments_and_never_changes_the_checks_own(argument, change):
    before = checking.copied(argument)
    with pytest.raises(checking.Wrong, match="work on a copy"):
        call(change, argument)
    assert checking.equal(argument, before)
    assert call(lambda value: 7, argument) == 7


@pytest.mark.parametrize("value", [3, np.int64(3), np.array(3), torch.tensor(3), torch.tensor(3, dtype=torch.int32)])
def test_whole_numbers_of_every_kind_are_taken(value):
    number = checking.expect_whole_number(value)
    assert number == 3 and type(number) is int
    assert checking.expect_number(value) == 3.0


@pytest.mark.parametrize("value", [True, np.True_, np.array(True), torch.tensor(True)])
def test_truth_values_of_every_kind_are_taken(value):
    assert checking.expect_bool(value) is True


@pytest.mark.parametrize(
    "value", [[1, 2], (1, 2), range(1, 3), np.array([1, 2]), torch.tensor([1, 2]), pd.Series([1, 2]), pd.Index([1, 2])]
)
def test_lists_of_every_kind_are_taken(value):
    assert checking.expect_list(value, "the list", 2) == [1, 2]
    assert checking.expect_numbers(value, 2, "the numbers") == [1.0, 2.0]


def test_a_mistake_is_named_only_if_it_explains_every_case():
    doubled = "this is twice the number"

    def verdict(*results):
        cases = [
            (result, truth, {doubled: 2 * truth}, f"for {truth}") for result, truth in zip(results, (1, 3), strict=True)
        ]
        with pytest.raises(checking.Wrong) as error:
            expect_all_near(cases)
        return str(error.value)

    assert verdict(2, 6) == doubled
    assert verdict(2, 3) == "for 1"
    assert verdict(1, 6) == "for 3"
    expect_all_near([(1 + 1e-7, 1, {doubled: 2}, "for 1")])


def test_an_attempt_that_leaves_the_model_changed_is_told_so_and_the_model_is_mended():
    weight = organism.organism().blocks._module[0].self_attn.o_proj.weight
    before, hooks = weight.detach().clone(), len(organism.hooks_of_others())

    def changes_weights(subject):
        with torch.no_grad():
            weight.mul_(2)

    def leaves_hook(subject):
        subject.blocks._module[0].register_forward_hook(lambda *_arguments: None)
        raise ZeroDivisionError

    with pytest.raises(checking.Wrong, match="other weights"):
        organism.call_on_organism(changes_weights)
    with pytest.raises(ZeroDivisionError):
        organism.call_on_organism(leaves_hook)
    assert torch.equal(weight, before)
    assert len(organism.hooks_of_others()) == hooks


def test_right_intervals_pass_whatever_their_seed_and_those_of_90_percent_do_not():
    values, words = [0.1, 0.5, 0.2, 0.9, 1.4, 0.3, 0.8, 0.6], list("aabcdefg")
    known = intervals.bootstraps(values, words)
    groups = pd.Series(values).groupby(words)
    sums, sizes = groups.sum().to_numpy(), groups.size().to_numpy()
    for seed in range(30):
        drawn = np.random.default_rng(seed).integers(len(sums), size=(2000, len(sums)))
        means = sums[drawn].sum(1) / sizes[drawn].sum(1)
        intervals.expect_intervals([(np.percentile(means, [2.5, 97.5]), known, 0.08, "eight values")])
        with pytest.raises(checking.Wrong):
            intervals.expect_intervals([(np.percentile(means, [5, 95]), known, 0.08, "eight values")])


@pytest.mark.parametrize(
    "guess, measured, printed",
    [
        ("0.1", 0.5, "found: 0.50. Your guess must be a number, such as 0.3; it is '0.1'."),
        (None, 3, "found: 3. You made no guess."),
        (None, np.int64(12), "found: 12. You made no guess."),
        (None, pd.Series([True, True], dtype="boolean").sum(), "found: 2. You made no guess."),
        (2, 3, "found: 3. You guessed 2: too low."),
        (2.5, np.int32(2), "found: 2. You guessed 2.5: too high."),
        (3, 3, "found: 3. You guessed 3: right."),
        (None, 3.0, "found: 3.00. You made no guess."),  # a share, a cosine, a margin
        (1, np.float32(0.9), "found: 0.90. You guessed 1.00: close."),
    ],
)
def test_a_guess_is_shown_beside_the_number_and_a_count_has_no_decimals(guess, measured, printed, capsys):
    prediction.reveal(guess, measured, "found")
    assert capsys.readouterr().out == printed + "\n"
