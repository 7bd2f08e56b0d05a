"""The command that runs a notebook headlessly: what it refuses, what it prints, what it does not take for success."""

import re
import shlex
import sys

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from helpers import run_notebook
from helpers.experiments.run_identity import only_writer
from helpers.paths import ROOT, run_folder
from tests.authoring import form_rules, store_notebooks

PARAMETERS = (
    'models = ["introspector"]  # which\nstrength = 2  # how far\nlayers = []  # where\ntrials = 3\ndevice = ""'
)
HEADLINE = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    + """
from helpers import parameters
from helpers.paths import run_folder
settings = parameters.check(
    "07_count_words", models=models, strength=strength, layers=layers, trials=trials, device=device
)
file = run_folder(settings.run) / "headline.csv"
file.write_text(f"model,measure,value,low,high,n\\nsmall,words,{len(models) * strength},0,9,{trials}\\n")"""
)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one notebook with four parameters; returns a function that writes its second cell."""
    monkeypatch.setattr(run_notebook, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()

    def write(*sources):
        cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), *map(new_code_cell, sources)]
        nbformat.write(
            new_notebook(cells=cells, metadata=store_notebooks.METADATA),
            tmp_path / "notebooks" / "07_count_words.ipynb",
        )

    write(HEADLINE)
    return write


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run_notebook", *arguments])
    run_notebook.main()


def only_folder(course):
    """The run folder of the last command, whatever its settings are called."""
    return max(run_folder("07_count_words").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)


def test_result_and_places_are_printed(course, monkeypatch, capsys):
    command(monkeypatch, "07", "-p", "models", "[a, b]", "-p", "strength", "-1.5e0", "-p", "layers", "4")
    said, folder = capsys.readouterr().out, only_folder(course)
    assert "words -3.000" in said and folder.name.startswith("a-")
    assert f"Result table:       {folder / 'headline.csv'}" in said
    assert f"Executed notebook:  {folder / '07_count_words.ipynb'}" in said
    assert f"-m jupyterlab {folder / '07_count_words.ipynb'}" in said and (folder / "07_count_words.ipynb").exists()


def test_sentences_are_printed_and_further_files_named(course, monkeypatch, capsys):
    more = '(file.parent / "page.html").write_text("p"); (file.parent / "finding.txt").write_text("Not found.\\n")'
    course(HEADLINE.replace(",n\\n", ",n,verdict\\n").replace("{trials}\\n", "{trials},not found\\n"), more)
    command(monkeypatch, "07")
    said, folder = capsys.readouterr().out, only_folder(course)
    assert "not found\n\nNot found.\n\nResult table: " in said
    assert [line for line in said.splitlines() if "Also written" in line] == [
        f"Also written:       {folder / name}" for name in ("finding.txt", "page.html")
    ]
    course(HEADLINE)
    command(monkeypatch, "07")
    assert "finding.txt" not in capsys.readouterr().out  # of the run before


def test_other_parameters_have_a_folder_of_their_own(course, monkeypatch):
    command(monkeypatch, "07")
    first = only_folder(course)
    command(monkeypatch, "07", "-p", "trials", "4")
    second = only_folder(course)
    assert first != second and (first / "headline.csv").read_text() != (second / "headline.csv").read_text()
    command(monkeypatch, "07", "-p", "trials", "3")  # the same as without
    assert (first / "headline_before.csv").exists() and (first / "headline.csv").exists()


def test_two_runs_with_the_same_parameters_at_once_are_refused(course, monkeypatch, tmp_path):
    with only_writer(run_notebook.folder_of(tmp_path / "notebooks" / "07_count_words.ipynb", {})):
        with pytest.raises(SystemExit) as stopped:
            command(monkeypatch, "07")
    assert "is in use by process" in stopped.value.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["08"], "no notebook of the course is called '08'; there are: 07_count_words"),
        (["07_count_wrds"], "did you mean 07_count_words? there are"),
        (["count words"], "did you mean 07_count_words?"),
        (["words"], "did you mean 07_count_words?"),
        (
            ["07", "-p", "strenght", "2"],
            "no parameter 'strenght'; did you mean 'strength'? there are: models, strength",
        ),
        (["07", "-p", "trials", "many"], "parameter trials must be a whole number from 1 to 1000, got 'many'"),
        (["07", "-p", "trials", "0"], "parameter trials must be a whole number from 1 to 1000, got '0'"),
        (["07", "-p", "models", "[]"], "parameter models must be a list of at least 1 different values"),
        (["07", "-p", "models", "[a, a]"], "parameter models must be a list of at least 1 different values"),
        (["07", "-p", "strength", ""], "parameter strength must be a number other than 0 from -10000 to 10000, got ''"),
        (["07", "-p", "strength", "nan"], "parameter strength must be a number other than 0 from -10000"),
        (["07", "-p", "trials", "3", "-p", "trials", "4"], "parameter trials is given twice"),
        (["07", "-p", "device", "gpu"], "device must be 'cpu', 'cuda', 'cuda:1', 'mps' or the like, got 'gpu'"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(course, monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, *arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


FOUND = ["7", "07", "007", " 07 ", "٧", "07\n", "07_", "07_count", "07_COUNT_Words", "07.ipynb", "07_count_words.IPYNB"]
PATHS = [
    "notebooks/07_count_words.ipynb",
    "./notebooks/07",
    "notebooks/../notebooks/07_count",
    "{root}/notebooks/07_count_words.ipynb",
]
NOT_FOUND = [
    "",
    " ",
    ".",
    "..",
    "*",
    "²",
    "-7",
    "7.0",
    "1e1",
    "07 08",
    "notebooks",
    "~/07",
    "~nobody/07",
    "07_count_words.py",
    "a\0b",
]
ELSEWHERE = ["{root}/other/07_count_words.ipynb", "/nowhere/07", "../07", "other/07_count_words.ipynb", "x" * 5000]


@pytest.mark.parametrize("name", FOUND + PATHS)
def test_a_notebook_is_found_by_number_name_or_path(course, name, tmp_path):
    assert run_notebook.find_notebook(name.format(root=tmp_path)).stem == "07_count_words"


@pytest.mark.parametrize("name", NOT_FOUND + ELSEWHERE)
def test_what_is_no_notebook_of_the_course_is_refused(course, name, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "07_count_words.ipynb").write_text("{}")
    with pytest.raises(ValueError, match="no notebook of the course is called"):
        run_notebook.find_notebook(name.format(root=tmp_path))


def test_another_file_of_the_same_name_is_not_passed_over_in_silence(course, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "notebooks")
    assert run_notebook.find_notebook("07_count_words.ipynb").parent == tmp_path / "notebooks"
    (tmp_path / "07_count_words.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="did you mean 07_count_words"):
        run_notebook.find_notebook("07_count_words.ipynb")


def test_ctrl_c_and_a_folder_that_cannot_be_written_are_one_sentence(course, monkeypatch, tmp_path):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(papermill, "execute_notebook", interrupt)
        with pytest.raises(SystemExit, match="was interrupted. Answers kept so far"):
            command(patch, "07")
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("INTROSPECTION_RUNS", str(tmp_path / "a file"))
    with pytest.raises(SystemExit, match="cannot make the folder .*INTROSPECTION_RUNS=/another/folder keeps runs"):
        command(monkeypatch, "07")


def test_a_path_is_seen_from_where_the_command_is_given(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "own.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    for given in ("./mine", "mine/"):
        assert run_notebook.absolute(given) == str(tmp_path / "mine")
    assert run_notebook.absolute("own.yaml") == str(tmp_path / "own.yaml")
    for other in ("mine", "Qwen/Qwen2.5-7B-Instruct", 3, None):
        assert run_notebook.absolute(other) == other
    (tmp_path / "novice").mkdir()
    assert run_notebook.absolute("mine", is_model=True) == str(tmp_path / "mine")
    for shipped in ("novice", "SmolLM2", "Qwen/Qwen2.5-7B-Instruct"):
        assert run_notebook.absolute(shipped, is_model=True) == shipped
    notebook = ROOT / "notebooks" / "12_test_a_real_model.ipynb"
    assert run_notebook.read_parameters(notebook, [("model", "mine")]) == {"model": str(tmp_path / "mine")}
    assert run_notebook.absolute("~oceans") == "~oceans"  # no user's home


def test_a_copy_that_jupyter_made_does_not_hide_the_notebook(course, monkeypatch, capsys, tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "07_count_words-Copy1.ipynb").write_bytes((folder / "07_count_words.ipynb").read_bytes())
    for name in ("07", "07_count_words", "07_Count_Words.ipynb"):
        assert run_notebook.find_notebook(name).stem == "07_count_words"
    assert run_notebook.find_notebook("07_count_words-Copy1").stem == "07_count_words-Copy1"
    command(monkeypatch, "07_count_words-Copy1")
    assert "Result table" in capsys.readouterr().out  # where the cells of both keep it


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("layers = list(range(4))", r"malformed node or string on line 1\); in its cell of parameters .* plain values"),
        ("trials = 3\nlayers = [trials, 6]", r"on line 2\)"),
        ("layers = [4, 6", "was never closed"),
        ("import numpy as np\nlayers = np.arange(4)", r"on line 2\)"),
    ],
)
def test_parameters_that_must_be_computed_are_called_so(course, tmp_path, cell, message):
    file = tmp_path / "notebooks" / "07_count_words.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell, metadata={"tags": ["parameters"]})]), file)
    with pytest.raises(ValueError, match=rf"07_count_words\.ipynb cannot be read \(.*{message}"):
        run_notebook.read_parameters(file, [])
    file.write_text(file.read_text().replace('"cells"', '<<<<<<< HEAD\n"cells"'))
    with pytest.raises(ValueError, match=r"07_count_words\.ipynb cannot be read \(.*not appear to be JSON"):
        run_notebook.read_parameters(file, [])


def test_parameters_are_read_however_they_are_written(course, tmp_path):
    file = tmp_path / "notebooks" / "07_count_words.ipynb"
    cell = "note = 'mine'\nlayers = [\n    4,  # early\n    6,\n]; seed = 3\ntrials: int = 2\nseed = 5"
    nbformat.write(new_notebook(cells=[new_code_cell(cell, metadata={"tags": ["parameters"]})]), file)
    assert run_notebook.read_defaults(file) == {"layers": [4, 6], "seed": 5, "trials": 2}


def test_a_kernel_that_is_killed_is_said_in_one_sentence(course, monkeypatch):
    course("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(
        SystemExit, match=r"was killed, most often for lack of memory\. Answers kept so far are in runs/"
    ):
        command(monkeypatch, "07")


def test_an_old_result_does_not_pass_for_a_failed_runs(course, monkeypatch, capsys):
    command(monkeypatch, "07")
    course("raise ValueError('no such layer')")
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, "07")
    assert "no such layer" in stopped.value.code and "The notebook up to this point: " in stopped.value.code
    assert not (only_folder(course) / "headline.csv").exists()
    assert (only_folder(course) / "headline_before.csv").exists()


def test_a_notebook_that_exits_half_way_is_no_success(course, tmp_path):
    course("import sys; sys.exit(0)", "print(words)")
    with pytest.raises((RuntimeError, papermill.PapermillExecutionError), match="stopped before code cell|SystemExit"):
        run_notebook.run(tmp_path / "notebooks" / "07_count_words.ipynb", {}, progress=False)


def test_the_values_of_a_parameter_given_twice_are_not_repeated(course, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, "07", "-p", "models", "secret", "-p", "models", "another")
    said = capsys.readouterr().err
    assert "parameter models is given twice" in said and "secret" not in said and "another" not in said


def test_readme_names_exactly_two_commands():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line.startswith("python3 ")]
    assert [line.rsplit(" -m ", 1)[1] for line in commands] == [
        "helpers.run_notebook 04_detect_injected_thoughts",
        "pytest -n 2 tests",
    ]
    assert run_notebook.find_notebook("04_detect_injected_thoughts").exists()


def commands_in_texts() -> list[str]:
    """What stands behind `helpers.run_notebook` in every page of Markdown and in the notebooks' text."""
    files = [file for pattern in ("*.md", "notebooks/*.md", "data/**/*.md") for file in ROOT.glob(pattern)]
    texts = [file.read_text(encoding="utf-8") for file in sorted(files)]
    for file in sorted(ROOT.glob("notebooks/*.ipynb")):
        texts += [cell["source"] for cell in form_rules.markdown_cells(nbformat.read(file, as_version=4))]
    found = [re.findall(r"helpers\.run_notebook ((?:[^`\n\\]|\\\n)+)", text) for text in texts]
    return sorted(
        {" ".join(shlex.split(each.replace("\\\n", ""))[:1] + re.findall(r"-p (\w+)", each)) for each in sum(found, [])}
    )


def test_commands_are_found_in_the_texts():
    given = [each.split() for each in commands_in_texts()]
    assert ["04_detect_injected_thoughts"] in given
    assert any(name == "12" and "quantise" in parameters for name, *parameters in given)


@pytest.mark.parametrize("text", commands_in_texts())
def test_a_command_in_a_text_names_a_notebook_and_its_parameters(text):
    name, *parameters = text.split()
    assert set(parameters) <= set(run_notebook.read_defaults(run_notebook.find_notebook(name)))
