"""How fast the engine is, beside the loops it replaces: python -m tests.bench

All arms run in one process on the same trials, in turn, several rounds; ratios are taken within a round, so that the load
of the machine cancels. CPU time is what is compared (wall time stands beside it). Writes tests/bench/RESULTS.md.
"""

import argparse
import os
import platform
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from helpers import concepts, engine, models
from helpers.experiments import injected_thought, runner
from helpers.experiments.engine_trials import engine_trials
from helpers.prompts import Prompt
from helpers.run_notebook import limit_threads
from tests import tiny_models

RESULTS = Path(__file__).parent / "RESULTS.md"
PROMPT, START, STEPS, ROWS, LAYERS, WIDTH = 153, 125, 24, 16, 8, 384  # the reference job


# -- the loops that the engine is compared with -----------------------------------------------------------------------


def nnsight_loop(model, rows, steps: int) -> list[list[int]]:
    """One trial at a time, as most replications do it: nnsight's generate, the vector added at every step."""
    answers = []
    for row in rows:
        ids = torch.tensor([row.prompt.token_ids])
        with torch.no_grad(), model.generate(max_new_tokens=steps) as tracer:
            with tracer.invoke({"input_ids": ids, "attention_mask": torch.ones_like(ids)}):
                for step in tracer.all() if row.vector is not None else ():
                    stream = models.residual(model.blocks[row.layer])
                    stream[:, row.span[0] if step == 0 else 0 :] += row.strength * row.vector
            with tracer.invoke():
                out = tracer.result.save()
        answers.append(out[0, ids.shape[1] :].tolist())
    return answers


@contextmanager
def hooks(model, rows, first_column: list[int]):
    """Plain forward hooks on the blocks in use; first_column: where each row's injection begins."""
    layers, handles = sorted({row.layer for row in rows if row.vector is not None}), []
    start = torch.tensor(first_column)[:, None]
    for layer in layers:
        push = torch.zeros(len(rows), 1, models.width(model))
        for i, row in enumerate(rows):
            if row.layer == layer:
                push[i, 0] = row.strength * row.vector
        state = {"column": 0}

        def hook(_module, _inputs, output, push=push, state=state):
            column = state["column"] + torch.arange(output.shape[1])[None]
            state["column"] += output.shape[1]
            return output + (column >= start)[..., None] * push

        handles.append(model.blocks._module[layer].register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def left_padded(model, rows) -> tuple[dict, list[int]]:
    longest = max(len(row.prompt.token_ids) for row in rows)
    pads = [longest - len(row.prompt.token_ids) for row in rows]
    pad = model._module.generation_config.pad_token_id
    ids = torch.tensor([[pad] * n + list(row.prompt.token_ids) for n, row in zip(pads, rows, strict=True)])
    mask = torch.tensor([[0] * n + [1] * (longest - n) for n in pads])
    return {"input_ids": ids, "attention_mask": mask}, [n + row.span[0] for n, row in zip(pads, rows, strict=True)]


def hooks_batched(model, rows, steps: int) -> list[list[int]]:
    """All trials in one left-padded batch under plain hooks: what the best batched replications do."""
    inputs, first_column = left_padded(model, rows)
    with torch.no_grad(), hooks(model, rows, first_column):
        out = model._module.generate(**inputs, max_new_tokens=steps)
    return out[:, inputs["input_ids"].shape[1] :].tolist()


def hooks_loop(model, rows, steps: int) -> list[list[int]]:
    """One trial at a time under plain hooks."""
    return [hooks_batched(model, [row], steps)[0] for row in rows]


def uninjected(model, rows, steps: int) -> list[list[int]]:
    """Hugging Face's generate at the same batch size, without any injection: the bound for a batch without a shared prefix."""
    inputs, _ = left_padded(model, rows)
    with torch.no_grad():
        out = model._module.generate(**inputs, max_new_tokens=steps)
    return out[:, inputs["input_ids"].shape[1] :].tolist()


def ours(share_prefix: bool) -> Callable:
    def arm(model, rows, steps: int) -> list[list[int]]:
        found = engine.generate(model, rows, steps, batch_size=64, share_prefix=share_prefix, audit=False)
        return [list(answer.token_ids) for answer in found]

    return arm


# -- measuring --------------------------------------------------------------------------------------------------------


@contextmanager
def counted_positions(model):
    """Counts the token positions that the model reads (rows x tokens of every forward pass)."""
    seen = [0]

    def hook(_module, inputs):
        seen[0] += inputs[0].numel()

    handle = model.embed._module.register_forward_pre_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def measure(arms: dict[str, Callable[[], list]], trials: dict[str, int], rounds: int) -> pd.DataFrame:
    """Run every arm once a round; columns arm, round, cpu and wall in milliseconds a trial."""
    lines = []
    for number in range(rounds + 1):  # the first warms up
        for name, arm in arms.items():
            cpu, wall = time.process_time(), time.perf_counter()
            arm()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if number:
                lines.append((name, number, 1e3 * cpu / trials[name], 1e3 * wall / trials[name]))
    return pd.DataFrame(lines, columns=["arm", "round", "cpu", "wall"])


def spread(values: pd.Series, digits: int = 1) -> str:
    """Median and range."""
    return f"{values.median():.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})"


def ratio(table: pd.DataFrame, over: str, under: str, values: str = "cpu") -> pd.Series:
    """CPU (or wall) time of one arm over another's, round by round."""
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


def goal(said: str, values: pd.Series, reached: bool) -> str:
    return f"- {said}: **{spread(values, 2)}** ({'reached' if reached else 'MISSED'})"


def reference_job(rounds: int) -> list[str]:
    """The reference job: one prompt, 16 vectors, on a random Llama."""
    torch.manual_seed(0)
    tokenizer = tiny_models.tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        max_position_embeddings=512,
        initializer_range=0.1,
        eos_token_id=None,  # every answer has its full length
        pad_token_id=tokenizer.pad_token_id,
    )
    model = models.wrap(LlamaForCausalLM(config).eval(), tokenizer)
    model._module.generation_config.eos_token_id = None
    prompt = Prompt("", tuple(torch.randint(10, len(tokenizer), (PROMPT,)).tolist()), {})
    rows = [engine.Trial(prompt, (START, None), torch.randn(WIDTH), 2.0, LAYERS // 2) for _ in range(ROWS)]
    arms = {
        "ours, shared prefix": ours(True),
        "ours, no shared prefix": ours(False),
        "nnsight, one at a time": nnsight_loop,
        "hooks, one at a time": hooks_loop,
        "hooks, batched": hooks_batched,
        "generate, no injection": uninjected,
    }
    positions, answers = {}, {}
    for name, arm in arms.items():
        with counted_positions(model) as seen:
            answers[name] = arm(model, rows, STEPS)
        positions[name] = seen[0] / ROWS
    for name in list(arms)[1:-1]:
        assert answers[name] == answers["ours, shared prefix"], f"{name} gives other answers"
    table = measure(
        {name: lambda arm=arm: arm(model, rows, STEPS) for name, arm in arms.items()}, dict.fromkeys(arms, ROWS), rounds
    )
    lines = [
        "## Reference job",
        "",
        f"Random Llama, {LAYERS} layers x {WIDTH}; {ROWS} trials with a vector each on one prompt of {PROMPT} tokens, injected from "
        f"token {START} on; {STEPS} new tokens. All arms but the last give the same tokens.",
        "",
        "| arm | CPU ms a trial | wall ms a trial | token positions a trial |",
        "|---|---|---|---|",
    ]
    for name in arms:
        part = table[table["arm"] == name]
        lines.append(f"| {name} | {spread(part['cpu'])} | {spread(part['wall'])} | {positions[name]:.0f} |")
    shared = ratio(table, "ours, shared prefix", "generate, no injection")
    unshared = ratio(table, "ours, no shared prefix", "generate, no injection")
    batched = ratio(table, "ours, shared prefix", "hooks, batched")
    reached = positions["ours, shared prefix"] <= 60
    return [
        *lines,
        "",
        f"- positions a trial, at most 60: **{positions['ours, shared prefix']:.0f}** ({'reached' if reached else 'MISSED'})",
        goal("ours / generate without injection, at most 0.6", shared, shared.median() <= 0.6),
        goal("the same without a shared prefix, at most 1.15", unshared, unshared.median() <= 1.15),
        goal("ours / batched hooks, at most 0.6", batched, batched.median() <= 0.6),
        "",
    ]


def organism_sweep(rounds: int, loop_trials: int) -> list[str]:
    """A whole experiment on the shipped introspector; the loop runs every so-manieth of the same trials."""
    model = models.load("introspector", "cpu")
    layers = [2, 4, 6]
    table = injected_thought.trials(concepts.paper_concepts(), layers, [1, 2, 4, 8], controls=100)
    trials = table[table["condition"] != "random"].reset_index(drop=True)
    rows, steps = engine_trials(model, trials), 40
    subset = list(range(0, len(rows), len(rows) // loop_trials))
    some = [rows[i] for i in subset]
    ends = models.end_of_turn_ids(model)

    def cut(ids):
        return ids[: next((k for k, token in enumerate(ids) if token in ends), len(ids))]

    by_ours = ours(True)(model, rows, steps)
    by_loop = [cut(ids) for ids in nnsight_loop(model, some, steps)]
    equal = sum(by_ours[i] == answer for i, answer in zip(subset, by_loop, strict=True))
    one, all_cores, loop = "ours (runner.run, table to table)", "ours, all cores", "nnsight, one at a time"
    bound = "generate, no injection, 256 at a time"
    arms = {
        one: lambda: runner.run(model, trials, max_new_tokens=steps, audit=False),
        all_cores: on_threads(os.cpu_count(), lambda: runner.run(model, trials, max_new_tokens=steps, audit=False)),
        loop: lambda: nnsight_loop(model, some, steps),
        f"{loop}, all cores": on_threads(os.cpu_count(), lambda: nnsight_loop(model, some, steps)),
        "hooks, one at a time": lambda: hooks_loop(model, some, steps),
        bound: lambda: [uninjected(model, rows[first : first + 256], steps) for first in range(0, len(rows), 256)],
    }
    timed = measure(arms, {name: len(trials if "one at a time" not in name else some) for name in arms}, rounds)
    lines = [
        "## Sweep on an organism",
        "",
        f"{len(trials)} trials (50 words x 4 strengths x {len(layers)} layers, and 100 controls) on the introspector, at most {steps} "
        f"new tokens; the loops run {len(some)} of them. Equal answers: {equal} of {len(some)}.",
        "",
        "| arm | CPU ms a trial | wall ms a trial |",
        "|---|---|---|",
    ]
    for name in arms:
        part = timed[timed["arm"] == name]
        lines.append(f"| {name} | {spread(part['cpu'])} | {spread(part['wall'])} |")
    faster, by_hooks = ratio(timed, loop, one), ratio(timed, "hooks, one at a time", one)
    loops = [ratio(timed, name, all_cores, "wall") for name in (loop, f"{loop}, all cores")]
    by_wall = min(loops, key=pd.Series.median)  # the loop as fast as it gets
    return [
        *lines,
        "",
        goal("times faster than the nnsight loop, at least 20; CPU time, one thread", faster, faster.median() >= 20),
        goal("the same in wall time, both as fast as all cores make them", by_wall, by_wall.median() >= 20),
        f"- times faster than hooks one at a time: **{spread(by_hooks, 2)}**",
        f"- ours / generate without injection: **{spread(ratio(timed, one, bound), 2)}**; that generate is "
        f"{spread(ratio(timed, loop, bound), 2)} times faster than the nnsight loop",
        "",
    ]


def heading(rounds: int) -> list[str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "nnsight"))
    return [
        "# Speed of the engine",
        "",
        f"Written by `python -m tests.bench` on {date.today()}: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} thread, Python {platform.python_version()}, {packages}; load average {os.getloadavg()[0]:.1f}.",
        "",
        f"Median (smallest to largest) of {rounds} rounds; every round runs all arms in one process, and ratios are of CPU time within a "
        "round. Wall times mean little where the load average is not near 0.",
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop-trials", type=int, default=20, help="trials of the sweep that the loops run")
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args()
    limit_threads()
    warnings.filterwarnings("ignore", message=models.ENDED_EARLY)
    torch.set_num_threads(1)
    lines = (
        heading(given.rounds) + reference_job(given.rounds) + organism_sweep(min(3, given.rounds), given.loop_trials)
    )
    print("\n".join(lines))
    if not given.no_write:
        RESULTS.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
