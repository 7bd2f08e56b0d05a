"""Storing a notebook: clean outputs, the same file every time, and no change where something is wrong."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_output

from helpers.paths import run_folder
from tests.authoring import environments, form_rules, generated_cells, store_notebooks
from tests.test_notebook_rules import code, good_notebook


def test_a_name_with_which_no_notebook_begins_is_refused_beside_right_ones():
    assert [file.stem[:2] for file in generated_cells.course("04", "00")] == ["00", "04"]
    assert len(generated_cells.course()) > 10
    for tool in (store_notebooks, environments):
        names = ["this", "--only"] if tool is environments else ["--no-run"]
        done = subprocess.run(
            [sys.executable, "-m", tool.__name__, *names, "04", "nope"],
            capture_output=True, text=True, check=False, cwd=generated_cells.ROOT,
        )  # fmt: skip
        assert done.returncode == 2 and "no notebook begins with 'nope'; there are 00_start_here, " in done.stderr


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A good notebook without outputs, the only one of its course."""
    path = tmp_path / "notebooks" / "04_count_words.ipynb"
    path.parent.mkdir()
    monkeypatch.setattr(generated_cells, "course", lambda *_names: [path])
    monkeypatch.setattr(generated_cells, "SETUP", "print('ready')")  # the real one imports PyTorch, which takes seconds
    monkeypatch.setenv("PYTHONPATH", str(store_notebooks.ROOT))  # which the real one puts on the path
    notebook = good_notebook()
    store_notebooks.clear(notebook)
    nbformat.write(notebook, path)
    return path


def change(file, fault) -> None:
    notebook = nbformat.read(file, as_version=4)
    fault(notebook)
    nbformat.write(notebook, file)


def test_stored_outputs_are_a_clean_run_and_storing_again_changes_nothing(file):
    left_over = run_folder(file.stem) / "trials.jsonl"
    left_over.write_text("an older run")
    assert store_notebooks.store(file, run=True) == []
    notebook = nbformat.read(file, as_version=4)
    assert form_rules.rule_11_clean_stored_run(notebook) == []
    assert [cell["metadata"].get("tags") for cell in form_rules.code_cells(notebook)][:2] == [["colab"], ["setup"]]
    assert not left_over.exists()
    first = file.read_bytes()
    assert store_notebooks.store(file, run=True) == []
    assert file.read_bytes() == first
    assert store_notebooks.store(file, run=False) == []
    assert file.read_bytes() == first


def test_what_the_web_edition_folds_is_folded_in_jupyterlab_too(file):
    change(file, lambda notebook: notebook["cells"][-2]["metadata"].update(tags=["hide-input", "hide-output"]))
    assert store_notebooks.store(file, run=True) == []
    cells = nbformat.read(file, as_version=4)["cells"]
    assert cells[-2]["metadata"]["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
    assert not any("jupyter" in cell["metadata"] for cell in cells[:-2])


def test_tables_are_stored_without_blanks_and_styles_of_their_own(file):
    code = "import pandas as pd\n\npd.DataFrame({'a < b': ['x > y', '<b>']})"
    change(file, lambda notebook: notebook["cells"][-2].update(source=code))
    assert store_notebooks.store(file, run=True) == []
    (found,) = nbformat.read(file, as_version=4)["cells"][-2]["outputs"]
    assert "<style" not in found["data"]["text/html"] and "\n" not in found["data"]["text/html"]
    assert "<th>0</th><td>x &gt; y</td></tr>" in found["data"]["text/html"]


def test_outputs_are_dropped_where_formatting_changes_code(file):
    assert store_notebooks.store(file, run=True) == []
    change(file, lambda notebook: notebook["cells"][-2].update(source="print( words+1 )"))
    assert store_notebooks.store(file, run=False) == []
    assert form_rules.outputs(nbformat.read(file, as_version=4)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise KeyError('no such word')", "no such word"),
        ("import sys\n\nprint('careful', file=sys.stderr)", "standard error"),
        ("import sys\n\nsys.exit(0)", "SystemExit"),
        (f"print({str(store_notebooks.ROOT / 'runs')!r})", "names the folder"),
        ("!ls", "shell command"),
        ("try:\n    print(1)\nexcept:\n    print(2)", "E722"),
    ],
)
def test_the_file_stays_as_it_was_where_something_is_wrong(file, text, message):
    change(file, code(text))
    before = file.read_bytes()
    assert message in "".join(store_notebooks.store(file, run=True))
    assert file.read_bytes() == before


def test_widgets_and_foreign_metadata_are_dropped():
    notebook = good_notebook()
    clean = nbformat.writes(notebook)
    notebook["metadata"]["widgets"] = {"state": {}}
    notebook["cells"][1]["metadata"]["papermill"] = {"status": "completed"}
    notebook["cells"][1]["outputs"].append(new_output("display_data", {store_notebooks.WIDGET: {"model_id": "a"}}))
    store_notebooks.normalise(notebook)
    assert nbformat.writes(notebook) == clean
