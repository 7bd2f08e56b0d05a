"""Files of JSON lines that survive a kill: the answers of a run, a judge's grades, a person's labels."""

import json
import os
from pathlib import Path


def read_rows(file: Path) -> list[dict]:
    """The rows of a file, [] where there is none. A last line torn by a kill is cut off the file.

    ValueError for any other line that is not a JSON object, naming the file and the line.
    """
    if not file.is_file():
        return []
    *whole, torn = file.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(whole, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(
                f"{file}, line {number} is not a JSON object: the file was changed by hand or damaged. Move it away to start anew"
            )
        rows.append(row)
    if torn:
        os.truncate(file, sum(len(line) + 1 for line in whole))
    return rows


def append_rows(file: Path, rows: list[dict]) -> None:
    """Add rows to the file, whose folder is made if missing, and see to it that they reach the disk."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        handle.flush()
        os.fsync(handle.fileno())
