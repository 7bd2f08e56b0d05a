"""Which run is this? The conditions of its answers, an id for each trial, and a folder that one process holds at a time."""

import hashlib
import json
import os
import platform
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.engine import VERSION, Trial
from helpers.jsonl import free_name, write_whole
from helpers.models import changes_from_outside, computation, end_of_turn_ids, fingerprint, model_name
from helpers.models.identity import hash_of_numbers


def short_hash(content: bytes | str) -> str:
    """A short hash of a text or of bytes."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def conditions(model, max_new_tokens: int, temperature: float) -> dict:
    """What every answer of a run depends on, beside the trials themselves; in words for the manifest, hashed for the ids."""
    network, tokenizer = model._module, model.tokenizer
    # how tokens become text; how text becomes tokens shows in each prompt
    letters = tokenizer.decode(list(range(model.embed._module.num_embeddings)))
    return {
        "weights": fingerprint(model),
        "computation": computation(model),
        "changes": "; ".join(changes_from_outside(model)),
        "tokenizer": short_hash(letters + str(tokenizer.chat_template)),
        "ends of turn": str(sorted(end_of_turn_ids(model))),
        "dtype": str(network.dtype),
        "device": network.device.type,  # another kind of device rounds in another way
        "engine": VERSION,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
    }


def trial_id(shared: dict, trial: Trial, concept: str) -> str:
    """A hash of all that the trial's results depend on. shared: the run's `conditions`; concept: what it is about."""
    vector = None if trial.vector is None else (hash_of_numbers(trial.vector.float()), int(trial.layer))
    place = [end if end is None else int(end) for end in trial.span]  # numpy's numbers look different as text
    own = (trial.prompt.token_ids, place, vector, float(trial.strength), int(trial.seed), concept)
    return short_hash(json.dumps([shared, *map(str, own)]))


@contextmanager
def explained_disk_errors(folder: Path):
    """Say what a full disk, or a folder that may not be written, means for the run."""
    try:
        yield
    except OSError as error:
        kept = "The answers up to here are kept; once it can be written, the same call continues from them."
        raise OSError(
            error.errno,
            f"cannot write to {error.filename or folder} ({error.strerror or error}). {kept} "
            "(INTROSPECTION_RUNS=/another/folder moves all runs elsewhere)",
        ) from error


def _who(holder: Path) -> str:
    """What the process that holds a folder wrote about itself; any other bytes may be in that file."""
    try:
        text = holder.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # it has just ended, or these are no words
        text = ""
    return "".join(filter(str.isprintable, text))[:100] or "another process"


@contextmanager
def only_writer(folder: Path):
    """Hold the folder for this process; RuntimeError, with who holds it, where another process does."""
    holder, lock = folder / "in_use_by.txt", FileLock(folder / ".lock")
    with explained_disk_errors(folder):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RuntimeError(f"{folder} is in use by {_who(holder)}; wait for it, or use another run name") from None
    try:
        with explained_disk_errors(folder):
            holder.write_text(f"process {os.getpid()} on {platform.node()} since {datetime.now():%Y-%m-%d %H:%M:%S}")
        yield
    finally:
        with suppress(OSError):  # a folder in its place
            holder.unlink()
        lock.release()


def check_manifest(folder: Path, now: dict, model) -> None:
    """Write the run's conditions into the folder's manifest, or raise ValueError where it was made under other ones.

    Beside them the manifest lists what the answers were written with, one after another: names and versions may change.
    """
    file, written, changed = folder / "manifest.json", [], {}
    if file.is_file():
        try:
            stored = json.loads(file.read_text(encoding="utf-8-sig"))
            before, written = stored["conditions"], list(stored["written_with"])
            keys = {"weights": before["weights"], **before, **now}
            pairs = {key: [each.get(key, "not recorded") for each in (before, now)] for key in keys}
            changed = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            aside = file.replace(free_name(file))
            print(f"{file} was damaged; it is now {aside.name}. Answers are told apart by their own ids.")
        if changed:
            differences = "; ".join(f"{key} was {old!r:.60} and is {new!r:.60}" for key, (old, new) in changed.items())
            raise ValueError(
                f"{folder} holds answers made under other conditions ({differences}). Use another run name, or move the "
                "folder away. (What is 'not recorded' was written by another version of this collection.)"
            )
    packages = {package: version(package) for package in ("torch", "transformers", "nnsight")}
    commit = getattr(model._module.config, "_commit_hash", None) or ""
    here = {"model": model_name(model), "revision": commit, "python": platform.python_version(), **packages}
    content = {"conditions": now, "written_with": [*written, *([here] if here not in written else [])]}
    with explained_disk_errors(folder):
        write_whole(file, json.dumps(content, indent=1).encode())
