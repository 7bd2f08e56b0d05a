"""The call that starts every notebook, and the folder a notebook writes to."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers import paths, session


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002 - NumPy's global generator is meant


def test_start_seeds_all_generators_and_prints_one_line(capsys):
    session.start(seed=3)
    first = draws()
    session.start(seed=3)
    assert draws() == first
    session.start(seed=4)
    assert draws() != first
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for part in ("Python 3.", f"torch {torch.__version__}", "transformers ", "nnsight ", "seed 4"):
        assert part in lines[-1]
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    "given",
    [*({"threads": each} for each in (0, -1, "2", 1.5, None)), *({"seed": each} for each in (-1, 2**32, "0", None))],
)
def test_start_refuses_what_is_no_number_of_threads_and_no_seed(given):
    [(name, value)] = given.items()
    with pytest.raises(ValueError, match=f"{name} must be a whole number from . .*, got {value!r}"):
        session.start(**given)


def test_run_folder_is_made_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("INTROSPECTION_RUNS", str(tmp_path / "elsewhere"))
    assert paths.run_folder("04_detect") == tmp_path / "elsewhere" / "04_detect"
    assert paths.run_folder("04_detect").is_dir()
    monkeypatch.delenv("INTROSPECTION_RUNS")
    assert paths.run_folder("vectors") == paths.ROOT / "runs" / "vectors"


def test_a_command_and_a_notebook_mean_the_same_folder(tmp_path, monkeypatch):
    """A kernel runs in notebooks/, the command anywhere: a relative folder belongs to the collection, ~ to the user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(paths, "ROOT", tmp_path / "collection")
    for given, folder in (
        ("relruns", paths.ROOT / "relruns"),
        ("~/runs", tmp_path / "runs"),
        ("~nobody-of-this-name/runs", paths.ROOT / "~nobody-of-this-name" / "runs"),
        ("relruns\r", paths.ROOT / "relruns"),  # from a file with the line ends of Windows
        ("", paths.ROOT / "runs"),
        (f'"{tmp_path}/my runs"', tmp_path / "my runs"),  # %env in a notebook keeps the quotes
        ("'$HOME/runs'", tmp_path / "runs"),
        ("${HOME}/runs", tmp_path / "runs"),
    ):
        monkeypatch.setenv("INTROSPECTION_RUNS", given)
        for _ in range(2):
            assert paths.run_folder("04_detect") == folder / "04_detect"
            monkeypatch.chdir(folder)


@pytest.mark.parametrize(
    "name", ["", "../out", "/tmp/out", "a/../../b", ".", "./", " ", " a", "a\n", "a\0b", "~/out", 5, None, b"a"]
)
def test_run_folder_stays_inside_runs(name):
    with pytest.raises(ValueError, match="is not a plain name"):
        paths.run_folder(name)


def test_helpers_after_nnsight_are_refused_with_the_order_that_works():
    code = "import nnsight, helpers"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.ROOT, timeout=120)
    assert "import helpers before nnsight" in tried.stderr
