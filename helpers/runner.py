"""Run a table of trials on a model: batches whose size is found, results that survive a kill, a manifest that keeps runs apart.

Answers are appended to runs/<name>/trials.jsonl, one line a trial, after every batch; running the same call again does only
what is missing. What the answers depend on stands in runs/<name>/manifest.json, and a changed setting is refused.
"""

import hashlib
import json
import os
import platform
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from tqdm.auto import tqdm

from helpers import injection, prompts, vectors
from helpers.models import check_layer, fingerprint, model_name
from helpers.setup import run_folder

SPECIFICATION = (
    "experiment wording values condition concept vector vector_of layer strength span seed".split()
)  # what makes a trial
RESULTS = ["answer", "yes_logit", "no_logit", "dose"]


def _digest(content: bytes | str) -> str:
    """A short hash of a text or of bytes."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def trial_ids(model, trials: pd.DataFrame, max_new_tokens: int, temperature: float, given=None) -> list[str]:
    """An id for each trial: a hash of everything its answer depends on."""
    shared = [fingerprint(model), max_new_tokens, temperature]
    made = {name: _digest(vector.float().cpu().numpy().tobytes()) for name, vector in (given or {}).items()}
    return [
        _digest(json.dumps([*shared, *map(str, row), made.get(row.vector_of, "")]))
        for row in _named_rows(trials[SPECIFICATION])
    ]


def _number(text: str) -> int:
    """A seed from a text, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


class Builder:
    """Turns trials into the engine's rows: renders prompts and makes vectors, each once."""

    def __init__(self, model, trials: pd.DataFrame, given: dict[str, torch.Tensor] | None):
        self.model, self.rendered, self.norms = model, {}, {}
        self.given = dict(given or {})
        words = [word for word in trials["vector_of"].unique() if word and word not in self.given]
        # of each wording and span, the first injected trial of the table: its prompt gives the norm of the stream
        self.first = {}
        for trial in _named_rows(trials[trials["vector"] != "none"]):
            self.first.setdefault((trial.experiment, trial.wording, trial.span), trial)
        if words:
            self.given |= dict(zip(words, vectors.concept_vectors(model, words), strict=True))

    def prompt(self, trial) -> prompts.Prompt:
        key = (trial.experiment, trial.wording, trial.values_text)
        if key not in self.rendered:
            wording = prompts.get_wording(trial.experiment, trial.wording)
            self.rendered[key] = prompts.render(self.model.tokenizer, wording, **json.loads(trial.values_text))
        return self.rendered[key]

    def vector(self, trial) -> torch.Tensor | None:
        """The trial's vector at its layer, [width]; None for a control."""
        if trial.vector == "none":
            return None
        here = self.given[trial.vector_of][check_layer(self.model, trial.layer)]
        if trial.vector == "concept":
            return here
        if trial.vector == "negated":
            return -here
        other = vectors.random_vectors if trial.vector == "random" else vectors.shuffled_vectors
        return other(here, seed=_number(f"{trial.vector}/{trial.vector_of}/{trial.layer}/{trial.seed}"))

    def row(self, trial) -> injection.Row:
        prompt = self.prompt(trial)
        start, end = prompt.span(trial.span)
        vector = self.vector(trial)
        return injection.Row(
            prompt,
            (start, None if trial.span.startswith("from_") else end),
            vector,
            trial.strength,
            None if vector is None else int(trial.layer),
            trial.seed,
        )

    def dose(self, trial, row: injection.Row) -> float:
        """||strength x vector|| / ||residual stream||, the stream averaged over the span in the wording's first prompt in the table."""
        if row.vector is None:
            return 0.0
        key = (trial.experiment, trial.wording, trial.span)
        if key not in self.norms:
            first = self.row(self.first[key])
            self.norms[key] = vectors.residual_norms(self.model, first.prompt, first.span)
        return float(abs(row.strength) * row.vector.norm() / self.norms[key][row.layer])


def _named_rows(trials: pd.DataFrame):
    """The trials one by one, as named tuples ("values" is a method there, hence values_text)."""
    return trials.rename(columns={"values": "values_text"}).itertuples(index=False)


def engine_rows(model, trials: pd.DataFrame, given_vectors=None) -> list[injection.Row]:
    """The trials as rows of `injection.generate` and `injection.audit_injection`."""
    builder = Builder(model, trials, given_vectors)
    return [builder.row(trial) for trial in _named_rows(trials)]


def first_tokens(tokenizer, words: tuple[str, ...]) -> list[int]:
    """The tokens with which a reply that starts with one of the words can start."""
    forms = {form for word in words for form in (word, word.lower(), f" {word}", f" {word.lower()}")}
    return sorted({tokenizer(form, add_special_tokens=False).input_ids[0] for form in forms})


def manifest(model, trials: pd.DataFrame, max_new_tokens: int, temperature: float) -> dict:
    """What the answers depend on beside the trials themselves: settings, texts of the wordings, and what it was written with."""
    wordings = sorted({(row.experiment, row.wording) for row in trials.itertuples()})
    return {
        "settings": {
            "model": model_name(model),
            "revision": getattr(model._module.config, "_commit_hash", None) or "",
            "weights": fingerprint(model),
            "dtype": str(model._module.dtype),
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
        },
        "wordings": {"/".join(pair): _digest(json.dumps(prompts.get_wording(*pair).turns)) for pair in wordings},
        "written_with": {
            "device": str(model._module.device),
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "transformers", "nnsight")},
        },
    }


def _read_results(file: Path) -> dict[str, dict]:
    """Results by trial id. A torn last line, left by a kill, is cut off; any other broken line is an error."""
    if not file.is_file():
        return {}
    lines = file.read_bytes().split(b"\n")
    whole, torn = lines[:-1], lines[-1]
    results = {}
    for number, line in enumerate(whole, start=1):
        try:
            result = json.loads(line)
        except ValueError:
            raise ValueError(f"{file}, line {number} is not JSON: the file was changed by hand or damaged") from None
        results[result.pop("trial_id")] = result
    if torn:
        with file.open("rb+") as handle:
            handle.truncate(sum(len(line) + 1 for line in whole))
    return results


def _open_run(name: str, now: dict) -> Path:
    """The run's folder, after checking that what lies there was made with the same settings. New wordings may join."""
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
    with _told_plainly(folder):
        unfinished.write_text(json.dumps(now, indent=1), encoding="utf-8")
        unfinished.replace(file)  # whole or not there, whenever the run is killed
    return folder / "trials.jsonl"


@contextmanager
def _told_plainly(folder: Path):
    """Say what a full disk, or a folder that may not be written, means for the run."""
    try:
        yield
    except OSError as error:
        kept = "The answers up to here are kept; with room on the disk, the same call goes on from them."
        raise OSError(
            error.errno,
            f"cannot write to {folder} ({error.strerror or error}). {kept} "
            "(INTROSPECTION_RUNS=/another/folder moves all runs elsewhere)",
        ) from error


def _append(file: Path, results: dict[str, dict]) -> None:
    """Add results to the file and see to it that they reach the disk."""
    with _told_plainly(file.parent), file.open("a", encoding="utf-8") as handle:
        for trial_id, result in results.items():
            handle.write(json.dumps({"trial_id": trial_id, **result}, ensure_ascii=False) + "\n")
        handle.flush()
        os.fsync(handle.fileno())


def starting_batch(model) -> tuple[int, int]:
    """Rows and tokens of a batch to begin with: many rows where a batch takes seconds, fewer where one lost to a kill costs."""
    size = model._module.num_parameters()  # of quantised models too
    if size < 10e6:
        return 512, 24_000
    return (256, 24_000) if size < 100e6 else (64, 24_000)


def run(
    model,
    trials: pd.DataFrame,
    name: str | None = None,
    max_new_tokens: int = 60,
    temperature: float = 0.0,
    batch_size: int | None = None,
    given_vectors: dict[str, torch.Tensor] | None = None,
    progress: bool = False,
    audit: bool = True,
) -> pd.DataFrame:
    """Answer every trial; returns the table with the columns model, trial_id, answer, yes_logit, no_logit, dose.

    name: keep the answers in runs/<name>/ and go on from what lies there. batch_size: by the model's size unless given; halved
    as often as memory asks for.
    given_vectors: name -> [layer, width], used for trials whose vector_of is such a name (words of the lists need none).
    yes_logit, no_logit: log of the summed exponentials of the first reply token's logits for "Yes" and "No" in their forms.
    audit: the first batch is audited (see `helpers.audit`). ValueError for an empty table or one that lacks columns.
    """
    missing = set(SPECIFICATION) - set(trials.columns)
    if missing:
        raise ValueError(f"the table of trials lacks the columns {sorted(missing)}; make it with helpers.experiments")
    if trials.empty:
        raise ValueError("the table of trials is empty")
    batch_size, tokens = starting_batch(model) if batch_size is None else (batch_size, None)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    ids = trial_ids(model, trials, max_new_tokens, temperature, given_vectors)
    file = _open_run(name, manifest(model, trials, max_new_tokens, temperature)) if name else None
    done = _read_results(file) if file else {}
    by_id = dict(zip(ids, _named_rows(trials), strict=True))  # equal trials are answered once
    if not done.keys() >= by_id.keys():
        builder, order = Builder(model, trials, given_vectors), list(by_id)
        rows = [builder.row(trial) for trial in by_id.values()]
        yes, no = (first_tokens(model.tokenizer, (word,)) for word in ("Yes", "No"))

        def answer_all(batch_size: int, tokens: int | None) -> None:
            # planned for the whole table, so that a run that goes on makes the same batches as one that was never stopped
            planned = injection.plan_batches(rows, batch_size, tokens, max_new_tokens, audit)
            batches = [[i for i in batch if order[i] not in done] for batch in planned]
            batches = [batch for batch in batches if batch]
            with tqdm(total=sum(map(len, batches)), disable=not progress, unit="trial") as bar:
                for batch, answers in injection.answer_batches(
                    model, rows, batches, max_new_tokens, temperature, audit=audit
                ):
                    fresh = {}
                    for i, answer in zip(batch, answers, strict=True):
                        fresh[order[i]] = {
                            "answer": answer.text,
                            "yes_logit": round(float(answer.first_logits[yes].logsumexp(0)), 4),
                            "no_logit": round(float(answer.first_logits[no].logsumexp(0)), 4),
                            "dose": round(builder.dose(by_id[order[i]], rows[i]), 4),
                        }
                    if file:
                        _append(file, fresh)
                    done.update(fresh)
                    bar.update(len(batch))

        while True:
            try:
                answer_all(batch_size, tokens)
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
            batch_size, tokens = batch_size // 2, tokens and tokens // 2
    results = pd.DataFrame([done[trial_id] for trial_id in ids], columns=RESULTS, index=trials.index)
    results.insert(0, "model", model_name(model))
    results.insert(1, "trial_id", ids)
    return trials.join(results)
