"""The command that runs a notebook headlessly: what it refuses, what it prints, what it does not take for success."""

import sys

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from helpers import run_notebook
from helpers.paths import ROOT, run_folder
from tests.authoring import execute_notebooks

PARAMETERS = 'words = ["oceans"]  # which\nstrength = 2.0  # how far\nlayer = None  # where\ntrials = 3'
HEADLINE = """\
import os, pathlib
file = pathlib.Path(os.environ["INTROSPECTION_RUNS"], "07_count_words", "headline.csv")
file.write_text(f"model,measure,value,low,high,n\\nsmall,words,{len(words) * strength},0,9,{trials}\\n")"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one notebook with four parameters; returns a function that writes its second cell."""
    monkeypatch.setattr(run_notebook, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()

    def write(*sources):
        cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), *map(new_code_cell, sources)]
        nbformat.write(
            new_notebook(cells=cells, metadata=execute_notebooks.METADATA),
            tmp_path / "notebooks" / "07_count_words.ipynb",
        )

    write(HEADLINE)
    return write


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run_notebook", *arguments])
    run_notebook.main()


def test_result_and_places_are_printed(course, monkeypatch, capsys):
    command(monkeypatch, "07", "-p", "words", "[a, b]", "-p", "strength", "3", "-p", "layer", "4")
    said = capsys.readouterr().out
    folder = run_folder("07_count_words")
    assert "words  6.000" in said
    assert f"Result table:       {folder / 'headline.csv'}" in said
    assert f"Executed notebook:  {folder / '07_count_words.ipynb'}" in said
    assert f"-m jupyterlab {folder / '07_count_words.ipynb'}" in said and (folder / "07_count_words.ipynb").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["08"], "no notebook is called '08'; there are: 07_count_words"),
        (
            ["07", "-p", "strenght", "2"],
            "no parameter 'strenght'; did you mean 'strength'? it has: words, strength, layer, trials",
        ),
        (["07", "-p", "trials", "many"], "parameter trials must be int as in trials = 3, got str 'many'"),
        (
            ["07", "-p", "words", "oceans"],
            "parameter words must be list as in words = ['oceans'], got str 'oceans'",
        ),
        (["07", "-p", "strength", ""], "parameter strength must be float as in strength = 2.0, got NoneType None"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(course, monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, *arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_is_seen_from_where_the_command_is_given(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    for given in ("./mine", "mine/"):
        assert run_notebook.absolute(given) == str(tmp_path / "mine")
    for other in ("mine", "Qwen/Qwen2.5-7B-Instruct", 3, None):
        assert run_notebook.absolute(other) == other


def test_an_old_result_does_not_pass_for_a_failed_runs(course, monkeypatch, capsys):
    command(monkeypatch, "07")
    course("raise ValueError('no such layer')")
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, "07")
    assert "no such layer" in stopped.value.code and "The notebook up to this point: " in stopped.value.code
    assert not (run_folder("07_count_words") / "headline.csv").exists()
    assert (run_folder("07_count_words") / "headline_before.csv").exists()


def test_a_notebook_that_exits_half_way_is_no_success(course, tmp_path):
    course("import sys; sys.exit(0)", "print(words)")
    with pytest.raises((RuntimeError, papermill.PapermillExecutionError), match="stopped before code cell|SystemExit"):
        run_notebook.run(tmp_path / "notebooks" / "07_count_words.ipynb", {}, progress=False)


def test_readme_names_exactly_two_commands():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line.startswith("python3 ")]
    assert [line.rsplit(" -m ", 1)[1] for line in commands] == [
        "helpers.run_notebook 04_detect_injected_thoughts",
        "pytest -n 2 tests",
    ]
    assert run_notebook.find_notebook("04_detect_injected_thoughts").exists()
