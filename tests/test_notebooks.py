"""Every notebook in notebooks/: its form, its generated cells, its links, and a headless run with the reader's own settings."""

import copy
import threading
import time

import nbformat
import pandas as pd
import papermill
import psutil
import pytest
import torch
import yaml

from helpers.paths import ROOT
from helpers.run_notebook import folder_of
from tests.authoring import form_rules, generated_cells, notebook_traps, results_table, store_notebooks

FILES = generated_cells.course()
every_notebook = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
SECONDS_A_CELL = 600
# bytes: what Binder guarantees; a CUDA build of PyTorch takes some 300 MB more in every process before it does anything
MOST_MEMORY = 2.0e9 if torch.version.cuda else 1.0e9
HEADLINE = ["model", "measure", "value", "low", "high", "n"]


def read(file) -> dict:
    return nbformat.read(file, as_version=4)


def test_there_are_notebooks():
    assert FILES


@every_notebook
@pytest.mark.parametrize("rule", form_rules.RULES, ids=lambda rule: rule.__name__)
def test_form(file, rule):
    complaints = rule(read(file))
    assert not complaints, "\n".join(complaints)


@every_notebook
def test_source_avoids_papermills_traps(file):
    assert notebook_traps.static_traps(read(file)) == []


@every_notebook
def test_stored_as_the_storing_command_writes_it(file):
    """Badges, Colab cell, setup cell, navigation, metadata and cell ids are those of `python -m tests.authoring.store_notebooks`."""
    stored = read(file)
    renewed = copy.deepcopy(stored)
    generated_cells.put(renewed, file.stem)
    renewed = store_notebooks.formatted(renewed, file)
    store_notebooks.normalise(renewed)
    again = f"python -m tests.authoring.store_notebooks {file.stem}"
    edited = [
        number
        for number, cells in enumerate(zip(stored["cells"], renewed["cells"], strict=True))
        if cells[0] != cells[1]
    ]
    assert not edited, f"{file.stem} was edited after it was stored (cells {edited}); run: {again}"
    assert stored == renewed, f"the metadata of {file.stem} are not as they are stored; run: {again}"
    assert notebook_traps.machine_paths(stored) == []


@every_notebook
def test_links_lead_somewhere(file):
    assert generated_cells.broken_links(file, form_rules.markdown_text(read(file))) == []


class PeakMemory(threading.Thread):
    """Samples the resident memory of this process's kernels and all that these start; `bytes` is the highest sum seen."""

    def __init__(self):
        super().__init__(daemon=True)
        self.bytes, self.done = 0, threading.Event()

    def run(self):
        while not self.done.wait(0.2):
            total = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue  # ended between being listed and being looked at
            self.bytes = max(self.bytes, total)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_error):
        self.done.set()
        self.join()


@every_notebook
def test_runs_without_a_browser(file, tmp_path, record_property):
    before, given = files_beside(file), generated_cells.WITHOUT_NETWORK.get(file.stem, {})
    began = time.monotonic()
    with PeakMemory() as memory:
        papermill.execute_notebook(
            str(file),
            str(tmp_path / file.name),
            parameters=given,
            kernel_name="python3",
            cwd=str(file.parent),
            progress_bar=False,
            execution_timeout=SECONDS_A_CELL,
        )
    record_property("notebook", f"{file.stem:35} {time.monotonic() - began:6.0f} s {memory.bytes / 1e6:6.0f} MB")
    executed = read(tmp_path / file.name)
    assert notebook_traps.executed_traps(executed) == []
    assert form_rules.rule_08_alt_text(executed) == []
    assert memory.bytes < MOST_MEMORY
    assert files_beside(file) == before, "a notebook writes into its run folder only"
    if any("write_headline(" in cell["source"] for cell in form_rules.code_cells(executed)):
        check_headline(pd.read_csv(folder_of(file, given) / "headline.csv"))


def files_beside(notebook) -> list:
    """What lies in notebooks/ beside the notebooks themselves (which may be edited while the tests run)."""
    return sorted(each for each in notebook.parent.rglob("*") if each.suffix != ".ipynb")


def check_headline(table: pd.DataFrame) -> None:
    assert list(table.columns) in (HEADLINE, [*HEADLINE, "verdict"])
    assert not table.duplicated(["model", "measure"]).any()
    assert (table["n"] > 0).all()
    bounded = table.dropna(subset=["low", "high"])
    assert ((bounded["low"] <= bounded["value"]) & (bounded["value"] <= bounded["high"])).all()


def test_readme_shows_the_course_as_it_is():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert generated_cells.with_course_table(readme) == readme, (
        "python -m tests.authoring.store_notebooks --no-run renews the table"
    )


def test_readme_shows_the_stored_results():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert results_table.with_results_table(readme) == readme, "make results renews the table"


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", *(f"notebooks/{f.name}" for f in ROOT.glob("notebooks/*.md"))]
)
def test_links_of_pages_lead_somewhere(name):
    file = ROOT / name
    assert generated_cells.broken_links(file, form_rules.without_fences(file.read_text(encoding="utf-8"))) == []


def test_a_broken_link_is_noticed(tmp_path):
    (tmp_path / "other.md").write_text("# A heading: with colon\n", encoding="utf-8")
    text = "[a](other.md) [b](other.md#a-heading-with-colon) [c](missing.md) [d](other.md#no) [e](https://x.org) ![f](no.png)"
    found = generated_cells.broken_links(tmp_path / "page.md", text)
    assert [complaint.split(":")[0] for complaint in found] == ["missing.md", "other.md#no", "no.png"]


def test_the_address_of_the_repository_stands_in_one_place():
    """Beside pyproject.toml and CITATION.cff it is found only where the storing command writes it."""
    written = {"README.md", "pyproject.toml", "CITATION.cff", *(f"notebooks/{file.name}" for file in FILES)}
    address = generated_cells.repository().removeprefix("https://")
    folders = [ROOT / name for name in ("helpers", "tests", "binder", ".github", "data", "notebooks")]
    files = [*ROOT.glob("*.*"), *(file for folder in folders for file in folder.rglob("*"))]
    texts = {
        file
        for file in files
        if file.suffix in (".md", ".py", ".toml", ".txt", ".yml", ".yaml", ".cff", ".ipynb", ".json")
    }
    holding = {str(file.relative_to(ROOT)) for file in texts if address in file.read_text(encoding="utf-8")}
    assert holding <= written
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == generated_cells.repository()
