"""Run a notebook of the course without a browser: python -m helpers.run_notebook 04 -p layers "[4, 6]"

The executed copy and what the notebook writes are in runs/<notebook>/<model and settings>/ afterwards; runs with other
parameters have folders of their own.
"""

import argparse
import ast
import difflib
import os
import re
import sys
import time
from functools import partial
from pathlib import Path

import nbformat
import pandas as pd
import papermill
from nbclient.exceptions import DeadKernelError

from helpers import parameters
from helpers.experiments.run_identity import only_writer
from helpers.models.downloads import SMOLLM2
from helpers.models.loading import shipped_organisms
from helpers.paths import ROOT, from_home, run_folder

FIRST = ROOT / "notebooks" / "00_start_here.ipynb"
QUIET_KERNEL = ["--IPKernelApp.log_level=ERROR"]  # a kernel on this machine need not warn about encryption


def limit_threads() -> None:
    """Let kernels started from here use one thread each, unless the environment says otherwise.

    More slow the small shipped models down, and several kernels would fight for the cores.
    """
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def find_notebook(name: str) -> Path:
    """The course's notebook with this name, its beginning, number or path; ValueError, with the nearest name, for anything else."""
    folder = ROOT / "notebooks"
    files, path = sorted(folder.glob("*.ipynb")), Path(name.strip())
    wanted = path.name.casefold().removesuffix(".ipynb")
    wanted = f"{int(wanted):02}" if wanted.isdecimal() else wanted
    chosen = [file for file in files if wanted and file.stem.casefold().startswith(wanted)]
    chosen.sort(key=lambda file: len(file.stem))
    if chosen and all(file.stem.startswith(chosen[0].stem) for file in chosen):  # the notebook, and copies of it
        # a path, or a file of this name in the folder of the command, must not be another file than ours
        parents = (path.parent.resolve(), (ROOT / path.parent).resolve())
        if path.resolve() == chosen[0] or (folder in parents if path.parent.name else not path.is_file()):
            return chosen[0]
    holds = [file.stem for file in files if wanted and wanted in file.stem]
    near = holds or difflib.get_close_matches(wanted, [file.stem for file in files], n=1, cutoff=0.4)
    hint = f"did you mean {' or '.join(near[:3])}? " if near else ""
    known = ", ".join(file.stem for file in files)
    raise ValueError(f"no notebook of the course is called {name!r}; {hint}there are: {known}")


def read_defaults(notebook: Path) -> dict:
    """The notebook's parameters with the values of its cell. ValueError for a damaged file, and for what must be computed."""
    try:
        cells = nbformat.read(notebook, as_version=4).cells
        source = next((cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])), "")
        lines = [line for line in ast.parse(source).body if isinstance(line, ast.Assign | ast.AnnAssign)]
        given = [(place, line.value) for line in lines for place in getattr(line, "targets", None) or [line.target]]
        named = [(place.id, value) for place, value in given if isinstance(place, ast.Name)]
        return {name: ast.literal_eval(value) for name, value in named if name in parameters.RULES}
    except (ValueError, SyntaxError, nbformat.ValidationError) as error:  # edited by hand, or by a merge
        plain = "in its cell of parameters this command reads plain values only, such as 3 or [2, 4]"
        raise ValueError(f"{notebook} cannot be read ({str(error).partition(': <')[0]:.100}); {plain}") from error


def read_parameters(notebook: Path, given: list[tuple[str, str]]) -> dict:
    """Values for the notebook's parameters from (name, text) pairs: 3, 1e-3, [2, 4], oceans.

    Raises ValueError for a name that the notebook does not have, a name given twice, and a value that is not allowed.
    """
    defaults, values = read_defaults(notebook), {}
    for name, text in given:
        parameters.rule_of(name, defaults)
        if name in values:
            raise ValueError(f"parameter {name} is given twice")  # without its values: one may be a key
        value = parameters.read(name, text)
        seen = partial(absolute, is_model=name in (*parameters.COMPARED, *parameters.BESIDE))
        values[name] = [seen(each) for each in value] if isinstance(value, list) else seen(value)
    parameters.check(notebook.stem, **defaults | values)
    return values


def absolute(value, is_model: bool = False):
    """A path of an existing file or folder, seen from here, as an absolute one: a notebook runs in its own folder.

    is_model: whether a bare name may be a path, too. The names of shipped models come first, as in `models.load`.
    """
    bare = is_model and value.lower() not in (*shipped_organisms(), SMOLLM2)
    is_path = isinstance(value, str) and (bare or os.sep in value or value.startswith((".", "~")) or Path(value).suffix)
    path = from_home(value) if is_path else None
    return str(path.resolve()) if path and path.exists() else value


def unfinished_cells(notebook: dict) -> list[tuple[int, str]]:
    """(number, status) of code cells that papermill did not complete: after sys.exit() it reports success all the same."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    status = [cell["metadata"].get("papermill", {}).get("status", "never run") for cell in cells]
    return [(i, each) for i, each in enumerate(status, 1) if each != "completed"]


def folder_of(notebook: Path, values: dict) -> Path:
    """The run folder that belongs to these parameters; a copy, "04_...-Copy1", says in its cells that it is the notebook."""
    name = re.sub(r"-Copy\d+$", "", notebook.stem)
    return run_folder(parameters.check(name, **read_defaults(notebook) | values).run)


def run(notebook: Path, values: dict, progress: bool = True) -> Path:
    """Execute the notebook with these parameters and return the executed copy, in the folder that belongs to them.

    Raises papermill's PapermillExecutionError where a cell fails, RuntimeError where the notebook stopped half-way or another
    process runs it with the same parameters, OSError where the folder cannot be written.
    """
    folder = folder_of(notebook, values)
    executed = folder / notebook.name
    with only_writer(folder):
        for earlier in (folder / "headline.csv", executed):  # of the same parameters: they must not pass for this run's
            if earlier.exists():
                earlier.replace(earlier.with_stem(f"{earlier.stem}_before"))
        papermill.execute_notebook(
            str(notebook),
            str(executed),
            parameters=values,
            kernel_name="python3",
            cwd=str(notebook.parent),
            progress_bar=progress,
            extra_arguments=QUIET_KERNEL,
        )
    if unfinished := unfinished_cells(nbformat.read(executed, as_version=4)):
        raise RuntimeError(f"{notebook.stem} stopped before code cell {unfinished[0][0]}; see {executed}")
    return executed


def written_since(began: float, folder: Path) -> set[Path]:
    """The files that were written into the folder since then, without hidden ones and those of folders in it."""
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    return {file for file in files if file.stat().st_mtime >= began}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m helpers.run_notebook", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", help="name, number or path of a notebook, e.g. 04")
    parser.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="such as -p word elephants; may be repeated",
    )
    # argparse takes a list or power of ten that begins with a minus for an option; read() strips the space
    given = parser.parse_args([re.sub(r"^-(?=[\d.])", " -", each) for each in sys.argv[1:]])
    try:
        notebook = find_notebook(given.notebook)
        values = read_parameters(notebook, given.parameter)
    except ValueError as error:
        parser.error(str(error))
    limit_threads()
    began = time.time()
    try:
        executed = run(notebook, values)
    except papermill.PapermillExecutionError as error:
        stopped_at = folder_of(notebook, values) / notebook.name
        sys.exit(
            f"{notebook.stem} stopped. {error.ename}: {error.evalue}\n\nThe notebook up to this point: {stopped_at}"
        )
    except (DeadKernelError, KeyboardInterrupt) as error:
        killed = "stopped: its process was killed, most often for lack of memory"
        why = killed if isinstance(error, DeadKernelError) else "was interrupted"
        sys.exit(f"{notebook.stem} {why}. Answers kept so far are in runs/; the same command continues from them.")
    except (RuntimeError, OSError) as error:
        sys.exit(f"{notebook.stem} stopped. {error}")
    headline = executed.parent / "headline.csv"
    if headline.exists():
        print(pd.read_csv(headline).to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep=""))
    others = written_since(began, executed.parent) - {headline, executed}
    for text in sorted(file for file in others if file.suffix == ".txt"):  # sentences that the numbers need
        print("\n" + text.read_text(encoding="utf-8").strip())
    if headline.exists():
        print(f"\nResult table:       {headline}")
    for file in sorted(others):
        print(f"Also written:       {file}")
    print(f"Executed notebook:  {executed}")
    print(f"Open this run:      {sys.executable} -m jupyterlab {executed}")
    lab = f"{sys.executable} -m jupyterlab --notebook-dir={ROOT}"  # else pictures outside notebooks/ are not shown
    print(f"Open the notebook:  {lab} {notebook}")
    if notebook != FIRST:
        print(f"New to the course?  {lab} {FIRST}")


if __name__ == "__main__":
    main()
