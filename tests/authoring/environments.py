"""Run all notebooks under other admitted versions: python -m tests.authoring.environments middle

Builds an environment in .venv-<name> from requirements.txt and tests/constraints/<name>.txt ("oldest": the lower ends of the
ranges, "newest": whatever pip takes), runs every notebook there and prints how long each took or where it stopped. Exit status 1
where one fails. With --keep an environment that is there is used as it is.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from helpers.paths import ROOT
from tests.authoring import generated_cells

CONSTRAINTS = ROOT / "tests" / "constraints"
NAMES = ("oldest", "newest", *sorted(file.stem for file in CONSTRAINTS.glob("*.txt")))


def constraints(name: str) -> str:
    """The pins of an environment, one per line; "" for the newest."""
    if name == "newest":
        return ""
    if name == "oldest":
        ranges = (ROOT / "requirements.txt").read_text(encoding="utf-8")
        return "\n".join("==".join(found) for found in re.findall(r"^([\w.-]+)>=([\w.]+)", ranges, re.MULTILINE))
    return (CONSTRAINTS / f"{name}.txt").read_text(encoding="utf-8")


def build(name: str) -> Path:
    """Make the environment anew and return its Python."""
    folder = ROOT / f".venv-{name}"
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    python = folder / "bin" / "python"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.write(constraints(name))
        pins.flush()
        command = [str(python), "-m", "pip", "install", "-q", "-r", str(ROOT / "requirements.txt"), "-c", pins.name]
        subprocess.run(command, check=True)
    return python


def run_one(python: Path, file: Path, dtype: str, given: dict[str, str] | None = None) -> str:
    """Run a notebook headlessly, with another model where its own cannot be fetched; returns "" or what it says where it stops."""
    with tempfile.TemporaryDirectory() as runs:
        environment = os.environ | {"INTROSPECTION_RUNS": runs, "INTROSPECTION_DTYPE": dtype, "OMP_NUM_THREADS": "1"}
        options = [each for pair in (given or {}).items() for each in ("-p", *pair)]
        command = [str(python), "-m", "helpers.run_notebook", file.stem, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
    if done.returncode == 0:
        return ""
    problem = next((line for line in lines if " stopped. " in line), lines[-1])[:300]
    offline = generated_cells.WITHOUT_NETWORK.get(file.stem)
    if "cannot download" in problem and offline and not given:
        print(f"{file.stem}: {problem}; again with {offline}", flush=True)
        return run_one(python, file, dtype, offline)
    return problem


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.authoring.environments", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[*NAMES, "this"], help="this: the environment that runs the command")
    parser.add_argument("--keep", action="store_true", help="use .venv-<name> as it is")
    parser.add_argument("--dtype", default="", help="bfloat16: load every model in this dtype")
    parser.add_argument("--only", nargs="*", default=[], help="notebooks, by the beginning of their names")
    parser.add_argument("--at-once", type=int, default=2)
    given = parser.parse_args()
    try:
        files = generated_cells.course(*given.only)
    except ValueError as error:
        parser.error(str(error))
    kept = ROOT / f".venv-{given.name}" / "bin" / "python"
    python = Path(sys.executable) if given.name == "this" else kept if given.keep else build(given.name)

    def timed(file: Path) -> tuple[str, str, float]:
        began = time.monotonic()
        return file.stem, run_one(python, file, given.dtype), time.monotonic() - began

    failed = False
    with ThreadPoolExecutor(given.at_once) as pool:
        for name, problem, seconds in pool.map(timed, files):
            failed |= bool(problem)
            print(f"{name}: {problem or f'runs, {seconds:.0f} s'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
