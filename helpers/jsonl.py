"""Files of JSON lines that survive kills, full disks and several writers: the answers of a run, a judge's grades, labels.

A lock beside the file (<name>.lock) admits one reader or writer at a time. A row torn by a kill is cut off. A file with
other damage (an editor that wrote it anew, another encoding) is set aside as <name>.damaged-1, -2, ..., with a warning; its good
rows stay. Where the file is a link, the file behind it is mended.
"""

import errno
import json
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.paths import from_home

LONGEST_WAIT = 60  # seconds for the lock; reading and appending take less than one
# what is left of a number, a name such as "false", an escape, or nothing
TORN_VALUE = re.compile(r"[-+.\w]{0,9}|\\u\w{0,3}")


def rows_path(path: str | Path) -> Path:
    """The path of a file of rows, ~ being the home folder; ValueError for what is no path, OSError for what is there and no file."""
    if not isinstance(path, str | Path) or not str(path).strip():
        raise ValueError(f"the path of a file of JSON lines is needed, got {path!r:.80}")
    if (file := from_home(path)).exists() and not file.is_file():
        raise OSError(errno.EINVAL, "a file of JSON lines is needed, this is a folder, device or pipe", str(file))
    return file


def read_rows(file: str | Path, usable: Callable[[dict], bool] = lambda row: True) -> list[dict]:
    """The rows of a file, [] where there is none.

    Args:
        file: the file of JSON lines.
        usable: whether a row holds what its readers need. A line for which it is False, or that is no JSON object, is damage.

    Warns:
        UserWarning: naming the file, the damaged lines, and where the file as it was is kept.

    Raises:
        TimeoutError: where another process holds the lock for LONGEST_WAIT.
        OSError: for a folder, a device or a pipe.
    """
    file = rows_path(file)
    if not file.is_file():
        return []
    try:
        with _lock(file):
            _mend_end(file)
            rows, damaged = _parse(file, usable)
            kept_as = _set_aside(file, rows) if damaged else None
    except Timeout:
        raise
    except OSError:  # the folder may only be read, or the disk is full
        (rows, damaged), kept_as = _parse(file, usable), None
    if damaged:
        lines = ", ".join(map(str, damaged[:5])) + (f" and {len(damaged) - 5} more" if damaged[5:] else "")
        where = f"The file as it was is kept as {kept_as.name}" if kept_as else "The file cannot be changed"
        warnings.warn(
            f"{file}: no complete row in line {lines}: changed by hand, damaged, or of an older version. {where}; its {len(rows)} good "
            "rows are used, what is missing counts as not done",
            stacklevel=2,
        )
    return rows


def append_rows(file: str | Path, rows: list[dict]) -> None:
    """Add rows to the file, whose folder is made if missing, and see to it that they reach the disk: all of them or none."""
    file, data = rows_path(file), _as_lines(rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _lock(file):
        if file.is_file():
            _mend_end(file)
        with file.open("ab", buffering=0) as handle:
            size = handle.seek(0, os.SEEK_END)
            try:
                written = 0
                while written < len(data):
                    written += handle.write(data[written:])
                os.fsync(handle.fileno())
            except BaseException:  # a full disk, or an interrupt: no half row stays
                handle.truncate(size)
                raise


def free_name(file: Path) -> Path:
    """The first free name for a file that is set aside: <name>.damaged-1, -2, ..."""
    return next(name for n in count(1) if not (name := file.with_name(f"{file.name}.damaged-{n}")).exists())


def write_whole(file: Path, content: bytes) -> None:
    """Write a file that is whole or as it was before, whenever the process is killed, the disk is full or another one writes."""
    file = file.resolve()  # a link stays one
    fresh = file.with_name(f"{uuid.uuid4().hex}.unfinished")  # open to others as any file is: not one of tempfile's
    try:
        with fresh.open("xb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        if file.exists():
            shutil.copymode(file, fresh)
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _lock(file: Path) -> FileLock:
    return FileLock(f"{file.resolve()}.lock", timeout=LONGEST_WAIT)  # one for all links to a file


def _as_lines(rows: list[dict]) -> bytes:
    listed = list(rows)  # a generator gives its rows one time
    if isinstance(rows, dict) or not all(isinstance(row, dict) for row in listed):
        raise ValueError(f"rows must be a list of dicts, got {rows!r:.80}")
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in listed).encode("utf-8", "surrogatepass")


def _row(line: bytes) -> dict | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _is_torn(line: bytes) -> bool:
    """Whether the line is the beginning of a row: right as far as it goes, with nothing behind the place where it breaks off."""
    try:
        json.loads(line.decode(errors="replace"))  # the last letter may be torn too
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :]
        breaks_off = error.msg.startswith("Unterminated string") or TORN_VALUE.fullmatch(rest)
        return line.startswith(b"{") and bool(breaks_off) and error.msg != "Extra data"
    except (ValueError, RecursionError):
        return False
    return False


def _mend_end(file: Path) -> None:
    """Under the lock no other process writes: a last line without its end was torn by a kill and is cut off, or is a whole row
    or something else and gets its end, for `_parse` to find."""
    with file.open("rb+") as handle:
        size = handle.seek(0, os.SEEK_END)
        if not size or (handle.seek(size - 1) is not None and handle.read(1) == b"\n"):
            return
        handle.seek(0)
        text = handle.read()
        start = text.rfind(b"\n") + 1
        if _is_torn(text[start:]):
            handle.truncate(start)
        else:
            handle.write(b"\n")


def _parse(file: Path, usable: Callable[[dict], bool]) -> tuple[list[dict], list[int]]:
    """The good rows, and the numbers of the damaged lines."""
    rows, damaged = [], []
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        row = _row(line)
        if row is not None and usable(row):
            rows.append(row)
        elif line.strip():
            damaged.append(number)
    return rows, damaged


def _set_aside(file: Path, rows: list[dict]) -> Path:
    """Copy the file to its first free name for damaged files, and leave the good rows in it."""
    copy = free_name(file)
    try:
        shutil.copy(file, copy)
        write_whole(file, _as_lines(rows))
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    return copy
