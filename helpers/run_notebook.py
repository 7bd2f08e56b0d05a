"""Run a notebook of the course without a browser: python -m helpers.run_notebook 04 -p layers "[4, 6]"

The executed copy and what the notebook writes lie in runs/<notebook>/ afterwards.
"""

import argparse
import ast
import difflib
import os
import sys
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import yaml

from helpers.paths import ROOT, run_folder

QUIET_KERNEL = ["--IPKernelApp.log_level=ERROR"]  # a kernel on this machine need not warn about encryption


def limit_threads() -> None:
    """Let kernels started from here use one thread each, unless the environment says otherwise.

    More slow the small shipped models down, and several kernels would fight for the cores.
    """
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def find_notebook(name: str) -> Path:
    """The file in notebooks/ with this name or leading number. ValueError, with all names, for anything else."""
    files = sorted((ROOT / "notebooks").glob("*.ipynb"))
    chosen = [file for file in files if name in (file.stem, file.name, file.stem.split("_")[0])]
    if len(chosen) != 1:
        raise ValueError(f"no notebook is called {name!r}; there are: {', '.join(file.stem for file in files)}")
    return chosen[0]


def read_parameters(notebook: Path, given: list[tuple[str, str]]) -> dict:
    """Values for the notebook's parameters from (name, text) pairs, read as YAML: 3, 0.5, [2, 4], oceans.

    Raises ValueError for a name that the notebook does not have and for a value of another kind than its default.
    """
    defaults = {
        name: ast.literal_eval(each["default"]) for name, each in papermill.inspect_notebook(str(notebook)).items()
    }
    values = {}
    for name, text in given:
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{notebook.stem} has no parameter {name!r}; {hint}it has: {', '.join(defaults)}")
        default = defaults[name]
        value = text if isinstance(default, str) else yaml.safe_load(text)
        value = [absolute(each) for each in value] if isinstance(value, list) else absolute(value)
        number = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
        if default is not None and type(value) is not type(default) and not number:
            raise ValueError(
                f"parameter {name} must be {type(default).__name__} as in {name} = {default!r}, "
                f"got {type(value).__name__} {value!r}"
            )
        values[name] = float(value) if number else value
    return values


def absolute(value):
    """A path of an existing folder, seen from here, as an absolute one: a notebook runs in its own folder."""
    is_path = isinstance(value, str) and (os.sep in value or value.startswith((".", "~")))
    return str(Path(value).expanduser().resolve()) if is_path and Path(value).expanduser().is_dir() else value


def unfinished_cells(notebook: dict) -> list[tuple[int, str]]:
    """(number, status) of code cells that papermill did not complete: after sys.exit() it reports success all the same."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    status = [cell["metadata"].get("papermill", {}).get("status", "never run") for cell in cells]
    return [(i, each) for i, each in enumerate(status, 1) if each != "completed"]


def run(notebook: Path, parameters: dict, progress: bool = True) -> Path:
    """Execute the notebook with these parameters and return the executed copy, runs/<notebook>/<notebook>.ipynb.

    Raises papermill's PapermillExecutionError where a cell fails, RuntimeError where the notebook stopped half-way.
    """
    executed = run_folder(notebook.stem) / notebook.name
    papermill.execute_notebook(
        str(notebook),
        str(executed),
        parameters=parameters,
        kernel_name="python3",
        cwd=str(notebook.parent),
        progress_bar=progress,
        extra_arguments=QUIET_KERNEL,
    )
    if unfinished := unfinished_cells(nbformat.read(executed, as_version=4)):
        raise RuntimeError(f"{notebook.stem} stopped before code cell {unfinished[0][0]}; see {executed}")
    return executed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m helpers.run_notebook", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", help="name or number of a notebook, e.g. 04")
    parser.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="such as -p word elephants; may be repeated",
    )
    given = parser.parse_args()
    try:
        notebook = find_notebook(given.notebook)
        parameters = read_parameters(notebook, given.parameter)
    except ValueError as error:
        parser.error(str(error))
    limit_threads()
    headline = run_folder(notebook.stem) / "headline.csv"
    if headline.exists():  # an older one must not pass for this run's
        headline.replace(headline.with_name("headline_before.csv"))
    try:
        executed = run(notebook, parameters)
    except (papermill.PapermillExecutionError, RuntimeError) as error:
        said = f"{error.ename}: {error.evalue}" if isinstance(error, papermill.PapermillExecutionError) else error
        sys.exit(
            f"{notebook.stem} stopped. {said}\n\nThe notebook up to this point: {run_folder(notebook.stem) / notebook.name}"
        )
    if headline.exists():
        print(pd.read_csv(headline).to_string(index=False, float_format=lambda value: f"{value:.3f}"))
        print(f"\nResult table:       {headline}")
    print(f"Executed notebook:  {executed}")
    print(f"Open this run:      {sys.executable} -m jupyterlab {executed}")
    print(f"Open the notebook:  {sys.executable} -m jupyterlab {notebook}")


if __name__ == "__main__":
    main()
