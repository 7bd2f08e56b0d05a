"""What must hold on a GPU, in about five minutes: python -m tests.gpu_check [--device cuda]

Engine: the introspector gives the CPU's answers in float32, and nearly all of them in half precision; the injection audit passes
on every family in three dtypes, and batches equal single trials. Notebooks: every one runs there in the device's default
dtype. Speed: `python -m tests.bench --device cuda`. Writes runs/gpu_check.md.
"""

import argparse
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

from helpers import concepts, engine, models
from helpers.experiments import injected_thought
from helpers.experiments.engine_trials import engine_trials
from helpers.paths import ROOT
from helpers.run_notebook import read_defaults
from tests import tiny_models
from tests.authoring import environments, generated_cells
from tests.plain_hooks import STEPS, mixed_trials, tokens_of

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def introspector_equals_the_cpu(device: str) -> list[str]:
    """Share of 300 answers that are the CPU's, in each dtype."""
    cpu, lines = models.load("introspector", "cpu"), []
    table = injected_thought.trials(concepts.paper_concepts(), [2, 4], [1.0, 4.0], controls=50)
    trials = engine_trials(cpu, table[table["condition"].isin(["concept", "none"])])
    expected = tokens_of(engine.generate(cpu, trials, 24, batch_size=128))
    for dtype in DTYPES:
        model = models.load("introspector", device, dtype)
        found = tokens_of(engine.generate(model, trials, 24, batch_size=128))
        equal = sum(a == b for a, b in zip(found, expected, strict=True))
        lines.append(f"| introspector, {str(dtype)[6:]} | {equal} of {len(trials)} answers are the CPU's |")
    return lines


def families_pass(device: str) -> list[str]:
    """Audit of every family in every dtype, and in float32 batches against single trials."""
    lines = []
    for family in tiny_models.FAMILIES:
        results = []
        for dtype in DTYPES:
            try:
                network = tiny_models.network(family, dtype).to(device)
                style = tiny_models.FAMILIES[family][0]
                model = models.wrap(network, tiny_models.tokenizer(style), device=device)
                wrong = int(engine.audit_injection(model, mixed_trials(model), 4)["wrong"].sum())
                result = "passes" if wrong == 0 else f"{wrong} wrong"
                if dtype == torch.float32:
                    alone = tokens_of(engine.generate(model, mixed_trials(model), STEPS, batch_size=1))
                    result += (
                        ", batch equal"
                        if tokens_of(engine.generate(model, mixed_trials(model), STEPS)) == alone
                        else ", BATCH DIFFERS"
                    )
            except Exception as error:  # the table shows what went wrong
                result = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
            results.append(f"{str(dtype)[6:]} {result}")
        lines.append(f"| {family} | {'; '.join(results)} |")
    return lines


def notebooks_run(device: str, at_once: int) -> list[str]:
    """Every notebook that has a parameter device, on it; the others as they are."""

    def one(file: Path) -> str:
        given = {"device": device} if "device" in read_defaults(file) else {}
        given |= generated_cells.WITHOUT_NETWORK.get(file.stem, {})
        began = time.monotonic()
        problem = environments.run_one(Path(sys.executable), file, os.environ.get("INTROSPECTION_DTYPE", ""), given)
        line = f"| {file.stem} | {problem or 'runs'}, {time.monotonic() - began:.0f} s |"
        print(line, flush=True)  # at once: a run that is cut short has not been for nothing
        return line

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, generated_cells.course()))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", choices=["engine", "notebooks"])
    parser.add_argument("--at-once", type=int, default=6, help="notebooks at a time")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "gpu_check.md")
    given = parser.parse_args()
    name = torch.cuda.get_device_name() if given.device.startswith("cuda") else platform.machine()
    packages = ", ".join(f"{each} {version(each)}" for each in ("torch", "transformers", "nnsight", "pandas"))
    lines = [f"## Checks on {name}", "", f"*{date.today()}, Python {platform.python_version()}, {packages}.*", ""]
    lines += ["| what | result |", "|---|---|"]
    if given.only != "notebooks":
        lines += introspector_equals_the_cpu(given.device) + families_pass(given.device)
        print("\n".join(lines), flush=True)
    if given.only != "engine":
        lines += notebooks_run(given.device, given.at_once)
    print("\n".join(lines))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
