"""Run a table of trials on a model: in batches as large as memory holds, with answers that survive a kill.

Answers are appended to runs/<name>/trials.jsonl, one line per trial, after every batch; running the same call again does only
what is missing. A trial's id is a hash of all that its answer depends on (weights, settings of modules, the prompt's tokens, the vector's
numbers, settings), so nothing that was answered under other conditions is ever taken for it. runs/<name>/manifest.json says
the conditions in words, and one process at a time may write there.
"""

import json
import math
import zlib
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from tqdm.auto import tqdm

from helpers.checks import is_number, whole_number
from helpers.engine import Trial
from helpers.engine.batch import plan_batches
from helpers.engine.generation import answer_batch, validate_run
from helpers.experiments.engine_trials import TrialBuilder, named_rows
from helpers.experiments.run_identity import check_manifest, conditions, explained_disk_errors, only_writer, trial_id
from helpers.experiments.trials import TRIAL_COLUMNS
from helpers.grading.reply import left_open, split_reply
from helpers.jsonl import append_rows, read_rows
from helpers.models import changes_from_outside, model_name
from helpers.models.prefix_cache import PrefixCache
from helpers.paths import run_folder
from helpers.stats import check_trials

RESULTS = "answer yes_logit no_logit entropy concept_logit dose".split()
STORED = RESULTS[:-1]  # a dose is measured against other rows of the table, so it is not the stored row's own
LARGEST_BATCH = 1024  # beyond this a 7B model on an H100 gains less than a tenth (tests/bench/RESULTS.md)
CPU_TOKENS = 16_000  # rows x columns of a batch on a CPU, where larger ones gain nothing and cost memory
CPU_CACHE = 2.5e8  # bytes of its keys and values at most
_batch_sizes = {}  # (weights, device) -> the batch size that memory allowed


def rows_that_fit(free: float, per_token: float, columns: int, vocabulary: int = 0) -> int:
    """Rows in so many free bytes: each needs its keys and values twice (copied for a new token) and some copies of its logits."""
    return min(LARGEST_BATCH, int(0.8 * free / (2.5 * per_token * columns + 16 * vocabulary)))


def largest_batch(model, columns: int) -> tuple[int, float]:
    """Rows per batch, and rows x columns, to begin with: as many as memory holds. columns: of the longest prompt and reply."""
    network = model._module
    if known := _batch_sizes.get((network.num_parameters(), str(network.device))):
        return known, float("inf")
    config = network.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * heads * size * network.dtype.itemsize  # bytes
    if network.device.type != "cuda":
        return (128 if network.num_parameters() < 100e6 else 64), min(CPU_TOKENS, CPU_CACHE // per_token)
    free = torch.cuda.mem_get_info(network.device)[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return max(1, rows_that_fit(free, per_token, columns, config.vocab_size)), float("inf")


def checksum(row: dict) -> int:
    """Of what a stored row says: an answer changed by hand, or by a bad disk, no longer has its own. 0, 0.0 and -0.0 say the same."""
    said = [float(str(each)) + 0.0 if is_number(each) else each for each in map(row.get, ("trial_id", *STORED))]
    return zlib.crc32(json.dumps(said).encode())


class Sweep:
    """The answers of a table that are still missing, and where they are kept.

    Attributes:
        rows, trials: of the table and of the engine, in the same order, by the ids in `order`.
        file: where answers are appended, or None.
        done: id -> what is known of the trial (STORED).
    """

    def __init__(
        self, model, builder: TrialBuilder, rows: list, trials: list[Trial], ids: list[str], file: Path | None
    ):
        self.model, self.builder, self.file = model, builder, file
        first = {trial_id: i for i, trial_id in reversed(list(enumerate(ids)))}  # equal trials are answered one time
        self.order = sorted(first, key=first.get)
        self.rows, self.trials = [rows[first[i]] for i in self.order], [trials[first[i]] for i in self.order]
        kept = read_rows(file, lambda row: row.get("checksum") == checksum(row)) if file else []
        self.done = {row["trial_id"]: row for row in kept}

    def missing(self) -> list[int]:
        """Places in `order` of what is still to be answered."""
        return [i for i, trial_id in enumerate(self.order) if trial_id not in self.done]

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
                self.keep(missing, answer_batch(self.model, batch, max_new_tokens, temperature, prefixes, audit))
                bar.update(len(missing))

    def keep(self, places: list[int], answers) -> None:
        """Write the answers of these trials to the file, then count them as done."""
        fresh = []
        for i, answer in zip(places, answers, strict=True):
            numbers = self.builder.readouts(self.rows[i], answer.first_logits)
            text = left_open(self.trials[i].prompt.text) + answer.text
            reply = split_reply(text)
            if reply.reasoning or not reply.finished:
                numbers |= {"yes_logit": math.nan, "no_logit": math.nan}  # the first token begins reasoning, no answer
            rounded = {name: round(value, 4) if math.isfinite(value) else None for name, value in numbers.items()}
            row = {"trial_id": self.order[i], "answer": text, **rounded}
            fresh.append(row | {"checksum": checksum(row)})
        if self.file:
            with explained_disk_errors(self.file.parent):
                append_rows(self.file, fresh)
        self.done |= {row["trial_id"]: row for row in fresh}


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
        table: made by an experiment's `trials` or `trials.make_trials`; equal rows are answered one time.
        name: keep the answers in runs/<name>/ and continue from what is there.
        max_new_tokens: longest reply.
        temperature: 0 is greedy.
        batch_size: as many as memory holds unless given; halved as often as memory asks for.
        given_vectors: name -> [layer, width], used for rows whose vector_of is such a name (words need none).
        progress: show a bar.
        audit: check a sample of every batch (see `engine.audit`).

    Returns:
        The table with the columns model, trial_id, answer, dose (||strength x vector|| / ||residual stream||), and what the
        logits of the reply's first token say: yes_logit, no_logit (NaN where a reply begins with reasoning), entropy,
        concept_logit (`TrialBuilder.readouts`; NaN where there is none). The dose is measured anew for every table.

    Raises:
        ValueError: for an empty table, one that lacks columns or names a row or column twice, a run folder made under other
            conditions, or a named run on a model with hooks.
        OSError: where the run folder cannot be written.
        RuntimeError: where another process holds the run folder, or memory does not suffice for a single trial.
    """
    check_trials(table, TRIAL_COLUMNS)
    if present := [column for column in ("model", "trial_id", *RESULTS) if column in table.columns]:
        raise ValueError(
            f"the table of trials already has the columns {present}: drop them, or use the table before a run"
        )
    if name is not None and (changes := changes_from_outside(model)):
        raise ValueError(
            f"answers under {changes[0]} are not kept: nothing on disk could tell them apart. Run without a name"
        )
    batch_size = None if batch_size is None else whole_number("batch_size", batch_size, 1)
    rows, builder = list(named_rows(table)), TrialBuilder(model, table, given_vectors)
    trials = [builder.trial(row) for row in rows]
    max_new_tokens, temperature = validate_run(model, trials, max_new_tokens, temperature)
    doses = [round(builder.dose(row, trial), 4) for row, trial in zip(rows, trials, strict=True)]
    now = conditions(model, max_new_tokens, temperature)
    ids = [trial_id(now, trial, row.concept) for trial, row in zip(trials, rows, strict=True)]
    folder = None if name is None else run_folder(name)
    with only_writer(folder) if folder else nullcontext():
        if folder:
            check_manifest(folder, now, model)
        sweep = Sweep(model, builder, rows, trials, ids, folder and folder / "trials.jsonl")
        if missing := sweep.missing():
            with tqdm(total=len(missing), disable=not progress, unit="trial") as bar:
                columns = max(len(trial.prompt.token_ids) for trial in trials) + max_new_tokens
                run_in_batches(sweep, batch_size, columns, max_new_tokens, temperature, audit, bar)
    results = pd.DataFrame([sweep.done[trial_id] for trial_id in ids], columns=STORED, index=table.index)
    results = results.astype(dict.fromkeys(STORED[1:], float)).assign(dose=doses)
    return table.assign(model=model_name(model), trial_id=ids).join(results)


def run_in_batches(sweep: Sweep, batch_size: int | None, columns: int, max_new_tokens, temperature, audit, bar) -> None:
    """Answer what is missing in batches as large as memory holds; RuntimeError where it does not hold one trial.

    batch_size, max_new_tokens, temperature, audit as in `run`; columns as in `largest_batch`; bar: of tqdm.
    """
    given = batch_size is not None
    batch_size, token_limit = (batch_size, float("inf")) if given else largest_batch(sweep.model, columns)
    network = sweep.model._module
    while True:
        try:
            return sweep.answer_all(batch_size, token_limit, max_new_tokens, temperature, audit, bar)
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
        if not given:
            _batch_sizes[network.num_parameters(), str(network.device)] = batch_size
