"""Run a table of trials on a model: in batches whose size is found, with answers that survive a kill.

Answers are appended to runs/<name>/trials.jsonl, one line per trial, after every batch; running the same call again does only
what is missing. What the answers depend on is in runs/<name>/manifest.json, and a changed setting is refused.
"""

import hashlib
import json
import platform
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from tqdm.auto import tqdm

from helpers import prompts
from helpers.engine.batch import plan_batches
from helpers.engine.generation import answer_batch, validate_run
from helpers.engine.prefix_cache import PrefixCache
from helpers.experiments.engine_trials import TrialBuilder, named_rows
from helpers.experiments.trials import TRIAL_COLUMNS
from helpers.jsonl import append_rows, read_rows
from helpers.models import fingerprint, model_name
from helpers.paths import run_folder

RESULTS = "answer yes_logit no_logit entropy concept_logit dose".split()


def short_hash(content: bytes | str) -> str:
    """A short hash of a text or of bytes."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def trial_ids(model, table: pd.DataFrame, max_new_tokens: int, temperature: float, given=None) -> list[str]:
    """An id for each trial: a hash of everything its answer depends on."""
    shared = [fingerprint(model), max_new_tokens, temperature]
    hashes = {name: short_hash(vector.float().cpu().numpy().tobytes()) for name, vector in (given or {}).items()}
    return [
        short_hash(json.dumps([*shared, *map(str, row), hashes.get(row.vector_of, "")]))
        for row in named_rows(table[TRIAL_COLUMNS])
    ]


def manifest(model, table: pd.DataFrame, max_new_tokens: int, temperature: float) -> dict:
    """What the answers depend on beside the trials themselves: settings, texts of the wordings, and what it was written with."""
    wordings = sorted({(row.experiment, row.wording) for row in table.itertuples()})
    return {
        "settings": {
            "model": model_name(model),
            "revision": getattr(model._module.config, "_commit_hash", None) or "",
            "weights": fingerprint(model),
            "dtype": str(model._module.dtype),
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
        },
        "wordings": {"/".join(pair): short_hash(json.dumps(prompts.get_template(*pair).turns)) for pair in wordings},
        "written_with": {
            "device": str(model._module.device),
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "transformers", "nnsight")},
        },
    }


def open_run(name: str, now: dict) -> Path:
    """The file of the run's answers, after checking that what is there was made with the same settings. New wordings may join."""
    folder = run_folder(name)
    file = folder / "manifest.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else now
    for part in ("settings", "wordings"):
        changed = {
            key: before[part][key] for key in before[part] if now[part].get(key, before[part][key]) != before[part][key]
        }
        if changed:
            differences = "; ".join(f"{key} was {old!r} and is {now[part][key]!r}" for key, old in changed.items())
            raise ValueError(
                f"{folder} holds answers made under other {part} ({differences}). Use another run name, or move the folder away"
            )
    now = {**now, "wordings": before["wordings"] | now["wordings"]}
    unfinished = folder / "manifest.unfinished"
    with explained_disk_errors(folder):
        unfinished.write_text(json.dumps(now, indent=1), encoding="utf-8")
        unfinished.replace(file)  # whole or not there, whenever the run is killed
    return folder / "trials.jsonl"


@contextmanager
def explained_disk_errors(folder: Path):
    """Say what a full disk, or a folder that may not be written, means for the run."""
    try:
        yield
    except OSError as error:
        kept = "The answers up to here are kept; with room on the disk, the same call continues from them."
        raise OSError(
            error.errno,
            f"cannot write to {folder} ({error.strerror or error}). {kept} "
            "(INTROSPECTION_RUNS=/another/folder moves all runs elsewhere)",
        ) from error


def starting_batch(model) -> tuple[int, int]:
    """Rows and tokens of a batch to begin with: many rows where a batch takes seconds, fewer where one lost to a kill costs."""
    size = model._module.num_parameters()  # of quantised models too
    return (128 if size < 100e6 else 64), 24_000


class Sweep:
    """The answers of a table that are still missing, and where they are kept."""

    def __init__(self, model, builder: TrialBuilder, rows: dict, file: Path | None, done: dict[str, dict]):
        self.model, self.builder, self.rows, self.file, self.done = model, builder, rows, file, done
        self.order = list(rows)
        self.trials = [builder.trial(row) for row in rows.values()]

    def answer_all(
        self, batch_size: int, token_limit: float, max_new_tokens: int, temperature: float, audit, bar
    ) -> None:
        """Answer what is missing, batch by batch.

        The batches are planned for the whole table, so that a run that continues makes the same ones as one never stopped.
        """
        prefixes = PrefixCache(self.model)
        for planned in plan_batches(self.trials, batch_size, token_limit, max_new_tokens):
            missing = [i for i in planned if self.order[i] not in self.done]
            if missing:
                batch = [self.trials[i] for i in missing]
                answers = answer_batch(self.model, batch, max_new_tokens, temperature, prefixes, audit)
                self.keep(missing, answers)
                bar.update(len(missing))

    def keep(self, indices: list[int], answers) -> None:
        """Write the answers of these trials to the file, then count them as done."""
        fresh = {}
        for i, answer in zip(indices, answers, strict=True):
            row = self.rows[self.order[i]]
            dose = self.builder.dose(row, self.trials[i])
            numbers = self.builder.readouts(row, answer.first_logits) | {"dose": dose}
            fresh[self.order[i]] = {"answer": answer.text} | {name: round(value, 4) for name, value in numbers.items()}
        if self.file:
            with explained_disk_errors(self.file.parent):
                append_rows(self.file, [{"trial_id": trial_id, **result} for trial_id, result in fresh.items()])
        self.done.update(fresh)


def run(
    model,
    table: pd.DataFrame,
    name: str | None = None,
    max_new_tokens: int = 60,
    temperature: float = 0.0,
    batch_size: int | None = None,
    given_vectors: dict[str, torch.Tensor] | None = None,
    progress: bool = False,
    audit: bool = True,
) -> pd.DataFrame:
    """Answer every trial of a table.

    Args:
        model: an nnsight model.
        table: made by an experiment's `trials` or `trials.make_trials`; equal rows are answered once.
        name: keep the answers in runs/<name>/ and continue from what is there.
        max_new_tokens: longest reply.
        temperature: 0 is greedy.
        batch_size: by the model's size unless given; halved as often as memory asks for.
        given_vectors: name -> [layer, width], used for rows whose vector_of is such a name (words need none).
        progress: show a bar.
        audit: check a sample of every batch (see `engine.audit`).

    Returns:
        The table with the columns model, trial_id, answer, yes_logit, no_logit (see `engine_trials.yes_no_logits`, of the
        reply's first token), dose (||strength x vector|| / ||residual stream||).

    Raises:
        ValueError: for an empty table, one that lacks columns, or a run folder made with other settings.
        OSError: where the run folder cannot be written.
        RuntimeError: where memory does not suffice for a single trial.
    """
    missing = set(TRIAL_COLUMNS) - set(table.columns)
    if missing:
        raise ValueError(f"the table of trials lacks the columns {sorted(missing)}; make it with helpers.experiments")
    if table.empty:
        raise ValueError("the table of trials is empty")
    batch_size, token_limit = starting_batch(model) if batch_size is None else (batch_size, float("inf"))
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    ids = trial_ids(model, table, max_new_tokens, temperature, given_vectors)
    file = open_run(name, manifest(model, table, max_new_tokens, temperature)) if name else None
    done = {row["trial_id"]: row for row in read_rows(file)} if file else {}
    rows = dict(zip(ids, named_rows(table), strict=True))
    if not done.keys() >= rows.keys():
        sweep = Sweep(model, TrialBuilder(model, table, given_vectors), rows, file, done)
        validate_run(model, sweep.trials, max_new_tokens, temperature)
        with tqdm(total=len(rows.keys() - done.keys()), disable=not progress, unit="trial") as bar:
            while True:
                try:
                    sweep.answer_all(batch_size, token_limit, max_new_tokens, temperature, audit, bar)
                    break
                except Exception as error:
                    if not should_reduce_batch_size(error):
                        raise
                    if batch_size == 1:
                        raise RuntimeError(
                            "memory does not suffice for a single trial. Ask for fewer new tokens, load the model in half "
                            "precision or quantised, or spread it over devices (see helpers.models.load)"
                        ) from error
                clear_device_cache(garbage_collection=True)  # here, where the error no longer holds on to the batch
                batch_size, token_limit = batch_size // 2, token_limit / 2
    results = pd.DataFrame([done[trial_id] for trial_id in ids], columns=RESULTS, index=table.index)
    results.insert(0, "model", model_name(model))
    results.insert(1, "trial_id", ids)
    return table.join(results)
