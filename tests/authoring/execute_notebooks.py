"""Execute notebooks in place and store their outputs, as a clean Restart and Run All: python -m tests.authoring.execute_notebooks 04_detect

Names may be shortened to their beginning; without a name all notebooks are stored. With --no-run only the generated cells,
the metadata and the cell ids are renewed; outputs stay unless this changes code. README's course table is renewed at the end.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from helpers.paths import ROOT, run_folder
from helpers.run_notebook import QUIET_KERNEL, limit_threads
from tests.authoring import form_rules, generated_cells, notebook_traps

WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "name": "python",
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "pygments_lexer": "ipython3",
    },
}
SECONDS_A_CELL = 600


def normalise(notebook: dict) -> None:
    """Make the file depend on nothing but its content: metadata, cell ids (a hash of the source), no widgets."""
    notebook.update(nbformat=4, nbformat_minor=5, metadata=METADATA)
    seen = Counter()
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].strip()
        cell["metadata"] = {"tags": cell["metadata"]["tags"]} if cell["metadata"].get("tags") else {}
        digest = digest_of(cell["source"])
        seen[digest] += 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if cell["cell_type"] == "code":
            cell["outputs"] = joined([each for each in cell["outputs"] if WIDGET not in each.get("data", {})])


def joined(outputs: list[dict]) -> list[dict]:
    """Outputs with neighbouring pieces of one stream made one: where a kernel cuts them is chance."""
    whole = []
    for each in outputs:
        if whole and each["output_type"] == "stream" and whole[-1].get("name") == each["name"]:
            whole[-1]["text"] += each["text"]
        else:
            whole.append(each)
    return whole


def digest_of(source: str) -> str:
    return hashlib.sha256(source.strip().encode()).hexdigest()[:10]


def code_was_edited(notebook: dict) -> bool:
    """Whether a code cell no longer has the source that it was stored with (its id is a hash of that).

    The cell that acts on Colab only decides no outputs here and does not count.
    """
    return any(
        cell["id"].split("-")[0] != digest_of(cell["source"])
        for cell in form_rules.code_cells(notebook)
        if "colab" not in form_rules.tags(cell)
    )


def clear(notebook: dict) -> None:
    for cell in form_rules.code_cells(notebook):
        cell.update(outputs=[], execution_count=None)


def execute(notebook: dict, name: str) -> None:
    """Run every cell in a fresh kernel, beside an empty run folder. Raises nbclient's CellExecutionError."""
    clear(notebook)
    shutil.rmtree(run_folder(name))
    NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
        extra_arguments=QUIET_KERNEL,
    ).execute()


def formatted(notebook: dict, file: Path) -> dict:
    """The notebook with its code cells as ruff writes them (ids are hashes of the source, so this comes first)."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--quiet", "--stdin-filename", str(file), "-"],
        input=nbformat.writes(notebook),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(f"{file.name} cannot be formatted: {done.stderr.strip()}")
    return nbformat.reads(done.stdout, as_version=4)


def store(file: Path, run: bool) -> list[str]:
    """Renew one notebook; returns complaints, in which case nothing was written."""
    notebook = nbformat.read(file, as_version=4)
    edited = code_was_edited(notebook)
    generated_cells.put(notebook, file.stem)
    notebook = formatted(notebook, file)
    if not run and (edited or code_was_edited(notebook)):
        clear(notebook)
    if run:
        try:
            execute(notebook, file.stem)
        except CellExecutionError as error:
            return [str(error)]
    normalise(notebook)
    found = notebook_traps.static_traps(notebook)
    if run:
        clean = (
            form_rules.rule_09_no_errors,
            form_rules.rule_10_no_stderr,
            form_rules.rule_11_clean_stored_run,
        )
        found += [each for check in (*clean, notebook_traps.machine_paths) for each in check(notebook)]
    if not found:
        nbformat.write(nbformat.from_dict(notebook), file)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.authoring.execute_notebooks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", nargs="*", help="notebooks, by the beginning of their names; all by default")
    parser.add_argument("--no-run", action="store_true", help="renew generated cells and metadata only")
    given = parser.parse_args()
    files = [file for file in generated_cells.course() if not given.names or file.stem.startswith(tuple(given.names))]
    if not files:
        parser.error(
            f"no notebook begins with {given.names}; there are {[file.stem for file in generated_cells.course()]}"
        )
    limit_threads()
    failed = False
    for file in files:
        began = time.monotonic()
        found = store(file, run=not given.no_run)
        failed |= bool(found)
        print(f"{file.stem}: {'NOT stored' if found else 'stored'}, {time.monotonic() - began:.0f} s")
        for complaint in found:
            print(f"  {complaint}")
    readme = ROOT / "README.md"
    readme.write_text(generated_cells.with_course_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main()
