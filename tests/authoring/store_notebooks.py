"""Run notebooks and store their outputs, as a clean Restart and Run All: python -m tests.authoring.store_notebooks 04

The beginning of a name is enough; without a name, all notebooks run. With --no-run only the generated cells, the metadata and
the cell ids are updated; outputs stay unless that changes code. README's course table is updated at the end.
"""

import argparse
import base64
import hashlib
import re
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
from helpers.plotting.png import with_few_colours
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
SECONDS_PER_CELL = 600
# tags that the web edition reads: an output that would spoil a prediction, plotting code between a question and its answer
FOLDED = {"hide-output": "outputs_hidden", "hide-input": "source_hidden"}


def normalise(notebook: dict) -> None:
    """Make the file depend only on its content: fixed metadata, cell ids that hash the source, no widgets."""
    notebook.update(nbformat=4, nbformat_minor=5, metadata=METADATA)
    seen = Counter()
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].strip()
        cell["metadata"] = {"tags": cell["metadata"]["tags"]} if cell["metadata"].get("tags") else {}
        if folded := {FOLDED[tag]: True for tag in form_rules.tags(cell) if tag in FOLDED}:
            cell["metadata"]["jupyter"] = folded  # JupyterLab and Colab read this
        digest = digest_of(cell["source"])
        seen[digest] += 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if cell["cell_type"] == "code":
            cell["outputs"] = joined([each for each in cell["outputs"] if WIDGET not in each.get("data", {})])
            for data in (each.get("data", {}) for each in cell["outputs"]):
                if "text/html" in data:
                    data["text/html"] = without_blanks(data["text/html"])
                if "image/png" in data:
                    image = with_few_colours(base64.b64decode(data["image/png"]))
                    data["image/png"] = base64.b64encode(image).decode() + "\n"


def without_blanks(html: str) -> str:
    """A table of pandas without its own styles and the blanks between its tags, half of its length; other HTML as it is."""
    if 'class="dataframe"' not in html:
        return html
    return re.sub(r"<style.*?</style>|(?<=>)\s+(?=<)", "", html, flags=re.DOTALL)


def joined(outputs: list[dict]) -> list[dict]:
    """Outputs in which neighbouring pieces of one stream are joined: a kernel cuts streams at random places."""
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
    """Whether the source of a code cell differs from the source it was stored with (its id is a hash of that).

    The Colab cell does not count: it does nothing here, so no output depends on it.
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
    """Run every cell in a fresh kernel, with an empty run folder. Raises nbclient's CellExecutionError."""
    clear(notebook)
    shutil.rmtree(run_folder(name))
    NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
        extra_arguments=QUIET_KERNEL,
    ).execute()


def ruff(command: str, notebook: dict, file: Path, *options: str) -> subprocess.CompletedProcess:
    """Give the notebook to `ruff check` or `ruff format` as if it were stored in `file`, which decides the settings."""
    return subprocess.run(
        [sys.executable, "-m", "ruff", command, "--quiet", "--stdin-filename", str(file), *options, "-"],
        input=nbformat.writes(notebook),
        capture_output=True,
        text=True,
        check=False,
    )


def formatted(notebook: dict, file: Path) -> dict:
    """The notebook with its code cells as ruff formats them (ids are hashes of the source, so this comes first)."""
    done = ruff("format", notebook, file)
    if done.returncode:
        raise ValueError(f"{file.name} cannot be formatted: {done.stderr.strip()}")
    return nbformat.reads(done.stdout, as_version=4)


def lint(notebook: dict, file: Path) -> list[str]:
    """What `ruff check` finds, one line per finding."""
    return ruff("check", notebook, file, "--output-format", "concise").stdout.splitlines()


def store(file: Path, run: bool) -> list[str]:
    """Update one notebook. Returns the complaints; with any, the file stays as it was."""
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
    found = notebook_traps.static_traps(notebook) + lint(notebook, file)
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
        prog="python -m tests.authoring.store_notebooks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", nargs="*", help="beginnings of notebook names (default: all notebooks)")
    parser.add_argument("--no-run", action="store_true", help="update generated cells and metadata only")
    given = parser.parse_args()
    try:
        files = generated_cells.course(*given.names)
    except ValueError as error:
        parser.error(str(error))
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
