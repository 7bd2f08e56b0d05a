"""How fast the engine is, beside the loops it replaces: python -m tests.bench [--device cuda]

All arms run in one process on the same trials, in turn, several rounds; ratios are taken within a round, so that the load
of the machine cancels. Every section is written into its place in tests/bench/RESULTS.md.
"""

import argparse
import os
import platform
import re
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from helpers import concepts, engine, models
from helpers.experiments import injected_thought, runner
from helpers.experiments.engine_trials import engine_trials
from helpers.prompts import Prompt
from helpers.run_notebook import limit_threads
from tests import tiny_models

RESULTS = Path(__file__).with_name("RESULTS.md")
SEVEN_BILLION = {  # the shape of Qwen2-7B
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
}


# -- the loops that the engine is compared with -----------------------------------------------------------------------


def nnsight_loop(model, trials, steps: int) -> list[list[int]]:
    """One trial at a time, as most replications do it: nnsight's generate, the vector added at every step."""
    answers = []
    for trial in trials:
        ids = torch.tensor([trial.prompt.token_ids])
        with torch.no_grad(), model.generate(max_new_tokens=steps) as tracer:
            with tracer.invoke({"input_ids": ids, "attention_mask": torch.ones_like(ids)}):
                for step in tracer.all() if trial.vector is not None else ():
                    stream = models.residual(model.blocks[trial.layer])
                    stream[:, trial.span[0] if step == 0 else 0 :] += (trial.strength * trial.vector).to(stream)
            with tracer.invoke():
                out = tracer.result.save()
        answers.append(out[0, ids.shape[1] :].tolist())
    return answers


@contextmanager
def hooks(model, trials, first_column: list[int]):
    """Plain forward hooks on the blocks in use; first_column: where each trial's injection begins."""
    layers, handles = sorted({trial.layer for trial in trials if trial.vector is not None}), []
    device, dtype = model._module.device, model._module.dtype
    start = torch.tensor(first_column, device=device)[:, None]
    for layer in layers:
        added = torch.zeros(len(trials), 1, models.width(model))
        for row, trial in enumerate(trials):
            if trial.layer == layer:
                added[row, 0] = trial.strength * trial.vector
        added, state = added.to(device, dtype), {"column": 0}

        def hook(_module, _inputs, output, added=added, state=state):
            column = state["column"] + torch.arange(output.shape[1], device=device)[None]
            state["column"] += output.shape[1]
            return output + (column >= start)[..., None] * added

        handles.append(model.blocks._module[layer].register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def left_padded(model, trials) -> tuple[dict, list[int]]:
    longest = max(len(trial.prompt.token_ids) for trial in trials)
    pads = [longest - len(trial.prompt.token_ids) for trial in trials]
    pad, device = model._module.generation_config.pad_token_id or 0, model._module.device
    ids = [[pad] * n + list(trial.prompt.token_ids) for n, trial in zip(pads, trials, strict=True)]
    mask = [[0] * n + [1] * (longest - n) for n in pads]
    inputs = {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}
    return inputs, [n + trial.span[0] for n, trial in zip(pads, trials, strict=True)]


def hooks_batched(model, trials, steps: int) -> list[list[int]]:
    """All trials in one left-padded batch under plain hooks: what the best batched replications do."""
    inputs, first_column = left_padded(model, trials)
    with torch.no_grad(), hooks(model, trials, first_column):
        out = model._module.generate(**inputs, max_new_tokens=steps)
    return out[:, inputs["input_ids"].shape[1] :].tolist()


def hooks_loop(model, trials, steps: int) -> list[list[int]]:
    """One trial at a time under plain hooks."""
    return [hooks_batched(model, [trial], steps)[0] for trial in trials]


def uninjected(model, trials, steps: int) -> list[list[int]]:
    """Hugging Face's generate on the same batch, without any injection: the bound for a batch without a shared prefix."""
    inputs, _ = left_padded(model, trials)
    with torch.no_grad():
        out = model._module.generate(**inputs, max_new_tokens=steps)
    return out[:, inputs["input_ids"].shape[1] :].tolist()


def ours(batch_size: int, share_prefix: bool = True, audit: bool = False) -> Callable:
    """The engine as an arm."""

    def arm(model, trials, steps: int) -> list[list[int]]:
        options = {"batch_size": batch_size, "share_prefix": share_prefix, "audit": audit}
        return [list(answer.token_ids) for answer in engine.generate(model, trials, steps, **options)]

    return arm


# -- measuring --------------------------------------------------------------------------------------------------------


def measure(arms: dict[str, Callable[[], list]], trials: dict[str, int], rounds: int, warm=False) -> pd.DataFrame:
    """Run every arm in each round; columns arm, round, cpu and wall in milliseconds per trial. warm: no round to warm up."""
    lines = []
    for number in range(1 if warm else 0, rounds + 1):  # round 0 warms up
        for name, arm in arms.items():
            cpu, wall = time.process_time(), time.perf_counter()
            arm()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if number:
                lines.append((name, number, 1e3 * cpu / trials[name], 1e3 * wall / trials[name]))
    return pd.DataFrame(lines, columns=["arm", "round", "cpu", "wall"])


def spread(values: pd.Series, digits: int = 1) -> str:
    """Median and range."""
    return f"{values.median():.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})"


def ratio(table: pd.DataFrame, over: str, under: str, values: str = "wall") -> pd.Series:
    """Time of one arm over another's, round by round."""
    wide = table.pivot_table(index="round", columns="arm", values=values)
    return wide[over] / wide[under]


def on_threads(count: int, arm: Callable[[], list]) -> Callable[[], list]:
    """The arm with so many threads in PyTorch."""

    def run() -> list:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            return arm()
        finally:
            torch.set_num_threads(before)

    return run


def goal(what: str, values: pd.Series, reached: bool) -> str:
    return f"- {what}: **{spread(values, 2)}** ({'reached' if reached else 'MISSED'})"


def rows(table: pd.DataFrame, arms) -> list[str]:
    """A Markdown table of the arms' times."""
    lines = ["| arm | wall ms per trial | CPU ms per trial |", "|---|---|---|"]
    for name in arms:
        part = table[table["arm"] == name]
        lines.append(f"| {name} | {spread(part['wall'])} | {spread(part['cpu'])} |")
    return lines


def shortened(ids: list[int], ends: set[int]) -> list[int]:
    """A reply up to its end of turn."""
    return ids[: next((k for k, token in enumerate(ids) if token in ends), len(ids))]


# -- sections ---------------------------------------------------------------------------------------------------------


def organism_sweep(rounds: int, loop_trials: int = 20) -> list[str]:
    """A whole experiment on the shipped introspector; the loop runs an evenly spaced part of the same trials."""
    model, layers, steps = models.load("introspector", "cpu"), [2, 4, 6], 40
    table = injected_thought.trials(concepts.paper_concepts(), layers, [1, 2, 4, 8], controls=100)
    table = table[table["condition"].isin(["concept", "none"])].reset_index(drop=True)
    trials = engine_trials(model, table)
    places = list(range(0, len(trials), len(trials) // loop_trials))
    some, ends = [trials[i] for i in places], models.end_of_turn_ids(model)
    by_ours = ours(64)(model, trials, steps)
    by_loop = [shortened(ids, ends) for ids in nnsight_loop(model, some, steps)]
    equal = sum(by_ours[i] == answer for i, answer in zip(places, by_loop, strict=True))
    one, all_cores, loop = "ours (runner.run, table to table)", "ours, all cores", "nnsight, one at a time"
    bound, cores = "generate, no injection, 256 at a time", os.cpu_count()
    arms = {
        one: lambda: runner.run(model, table, max_new_tokens=steps, audit=False),
        f"{one}, audited": lambda: runner.run(model, table, max_new_tokens=steps),
        all_cores: on_threads(cores, lambda: runner.run(model, table, max_new_tokens=steps, audit=False)),
        loop: lambda: nnsight_loop(model, some, steps),
        f"{loop}, all cores": on_threads(cores, lambda: nnsight_loop(model, some, steps)),
        bound: lambda: [uninjected(model, trials[first : first + 256], steps) for first in range(0, len(trials), 256)],
    }
    timed = measure(arms, {name: len(some if "one at a time" in name else trials) for name in arms}, rounds)
    best_loop = min((ratio(timed, name, all_cores) for name in (loop, f"{loop}, all cores")), key=pd.Series.median)
    audit = ratio(timed, f"{one}, audited", one)
    return [
        "## Sweep on an organism",
        "",
        f"{len(trials)} trials (50 words x 4 strengths x {len(layers)} layers, and 100 controls) on the introspector, at most "
        f"{steps} new tokens; the loops run {len(some)} of them. Equal answers: {equal} of {len(some)}.",
        "",
        *rows(timed, arms),
        "",
        goal("times faster than the nnsight loop, at least 10 (wall time, both with the threads that suit them best)", best_loop,
             best_loop.median() >= 10),
        f"- the same on one thread: **{spread(ratio(timed, loop, one), 2)}**",
        f"- ours / generate without injection: **{spread(ratio(timed, one, bound), 2)}**",
        goal("audited / not audited, at most 1.10", audit, audit.median() <= 1.10),
    ]  # fmt: skip


def smollm2(rounds: int) -> list[str]:
    """A real pretrained model on two threads; every reply has its full length."""
    model, steps = models.load("smollm2", "cpu"), 30
    model._module.generation_config.eos_token_id = None
    table = injected_thought.trials(concepts.paper_concepts(12), [10, 15, 20], [2.0], controls=4)
    trials = engine_trials(model, table[table["condition"].isin(["concept", "none"])])
    few = trials[::10]
    arms = {
        "ours": lambda: ours(64)(model, trials, steps),
        "ours, audited": lambda: ours(64, audit=True)(model, trials, steps),
        "ours, no shared prefix": lambda: ours(64, False)(model, trials, steps),
        "generate, no injection": lambda: uninjected(model, trials, steps),
        "hooks, batched": lambda: hooks_batched(model, trials, steps),
        "nnsight, one at a time": lambda: nnsight_loop(model, few, steps),
    }
    equal = ours(64)(model, trials, steps) == hooks_batched(model, trials, steps)
    counts = {name: len(few if "one at a time" in name else trials) for name in arms}
    timed = measure({name: on_threads(2, arm) for name, arm in arms.items()}, counts, rounds)
    bound, loop = ratio(timed, "ours", "generate, no injection"), ratio(timed, "nnsight, one at a time", "ours")
    prefix, audit = ratio(timed, "ours, no shared prefix", "ours"), ratio(timed, "ours, audited", "ours")
    return [
        "## SmolLM2-135M on two threads",
        "",
        f"{len(trials)} trials of {len(trials[0].prompt.token_ids)} + {steps} tokens, float32. Tokens "
        f"{'equal' if equal else 'NOT equal'} to those under plain hooks.",
        "",
        *rows(timed, arms),
        "",
        goal("ours / generate without injection, at most 0.7", bound, bound.median() <= 0.7),
        goal("times faster than the nnsight loop, at least 8", loop, loop.median() >= 8),
        goal("gain of the shared prefix, at least 1.25 (or it would go)", prefix, prefix.median() >= 1.25),
        goal("audited / not audited, at most 1.10", audit, audit.median() <= 1.10),
    ]


def seven_billion(
    device: str, rounds: int, shape: dict = SEVEN_BILLION, steps: int = 100, trials_of_a_sweep: int = 500
):
    """The shape of a 7B model with random weights, made on the device; 153 prompt tokens of which 125 are shared."""
    torch.manual_seed(0)
    tokenizer = tiny_models.tokenizer()
    config = Qwen2Config(**shape, max_position_embeddings=1024, pad_token_id=0, bos_token_id=1, eos_token_id=None)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        network = Qwen2ForCausalLM(config).eval()
        torch.set_default_dtype(torch.float32)
    model = models.wrap(network, tokenizer, device=device)
    model._module.generation_config.eos_token_id = None
    width, layers = shape["hidden_size"], shape["num_hidden_layers"]
    generator = torch.Generator().manual_seed(0)
    prefix = torch.randint(10, 4000, (125,), generator=generator).tolist()

    def trial(number: int) -> engine.Trial:
        rest = torch.randint(10, 4000, (28,), generator=generator).tolist()
        vector = torch.randn(width, generator=generator)
        return engine.Trial(Prompt("", (*prefix, *rest), {}), (125, None), vector, 2.0, number % layers)

    trials = [trial(number) for number in range(trials_of_a_sweep)]
    began = time.perf_counter()
    ours(64)(model, trials[:1], 1)
    first_call = time.perf_counter() - began
    batch, _ = runner.largest_batch(model, 153 + steps)
    whole, audited = f"ours, batches of {batch} (found)", f"ours, batches of {batch}, audited"
    bound, loop = f"generate, no injection, {len(trials)} at a time", "nnsight, one at a time"
    arms = {
        whole: lambda: ours(batch)(model, trials, steps),
        audited: lambda: ours(batch, audit=True)(model, trials, steps),
        bound: lambda: uninjected(model, trials, steps),
        loop: lambda: nnsight_loop(model, trials[:1], steps),
    }
    counts = dict.fromkeys(arms, len(trials)) | {loop: 1}
    timed = measure(arms, counts, rounds)
    sizes = {f"ours, batches of {size}": size for size in (64, 256, 512)}  # 1024 would be one batch, too
    others = {name: lambda size=size: ours(size)(model, trials, steps) for name, size in sizes.items()}
    timed = pd.concat([timed, measure(others, dict.fromkeys(others, len(trials)), 1, warm=True)])
    medians = timed.groupby("arm")["wall"].median()
    best = pd.Series([medians[whole] / medians[[whole, *others]].min()])
    faster, bounded, cost = ratio(timed, loop, whole), ratio(timed, whole, bound), ratio(timed, audited, whole)
    lines = [
        "## The shape of a 7B model, bfloat16, 153 + 100 tokens",
        "",
        f"{len(trials)} trials in all {layers} layers.",
        "",
        *rows(timed, [*arms, *others]),
        "",
        goal("times faster than the nnsight loop, at least 500", faster, faster.median() >= 500),
        goal("ours / generate without injection at the same batch, at most 0.8", bounded, bounded.median() <= 0.8),
        goal("ours / the best batch among 64 to 512, at most 1.2", best, best.item() <= 1.2),
        goal("audited / not audited, at most 1.10", cost, cost.median() <= 1.10),
        goal("first call, seconds, at most 2", pd.Series([first_call]), first_call <= 2),
    ]
    if device.startswith("cuda"):
        lines.append(f"- memory at its highest: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    return lines


def heading(device: str, rounds: int) -> list[str]:
    """Where, when and with which versions a section was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "nnsight"))
    where = (
        torch.cuda.get_device_name() if device.startswith("cuda") else f"{platform.machine()}, {os.cpu_count()} cores"
    )
    return [
        f"*{date.today()}: {where}, Python {platform.python_version()}, {packages}; load average {os.getloadavg()[0]:.1f}. Median "
        f"(smallest to largest) of {rounds} rounds; every round runs all arms in one process.*",
        "",
    ]


def write_section(file: Path, text: str) -> None:
    """Put a section, which begins with its title, in the place of the one with the same title, or at the end."""
    parts = re.split(r"^(?=## )", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    title = text.splitlines()[0]
    places = [i for i, part in enumerate(parts) if part.splitlines()[0] == title] or [len(parts)]
    parts[places[0] : places[0] + 1] = [text]
    file.write_text("\n".join(part.rstrip("\n") + "\n" for part in parts), encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cuda: the shape of a 7B model instead of organism and SmolLM2")
    parser.add_argument("--only", choices=["organism", "smollm2"], help="one section of the CPU's")
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args()
    limit_threads()
    warnings.filterwarnings("ignore")
    sections = {"organism": organism_sweep, "smollm2": smollm2}
    if given.device != "cpu":
        sections = {"gpu": lambda rounds: seven_billion(given.device, rounds)}
    elif given.only:
        sections = {given.only: sections[given.only]}
    torch.set_num_threads(1)
    for section in sections.values():
        title, *rest = section(given.rounds)
        text = "\n".join([title, "", *heading(given.device, given.rounds), *rest[1:]])
        print(text, flush=True)
        if not given.no_write:
            write_section(RESULTS, text)


if __name__ == "__main__":
    main()
