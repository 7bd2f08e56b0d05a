"""Files of JSON lines: nothing is lost to kills, full disks, damage or other writers, and damage is said in words."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from helpers import jsonl
from helpers.jsonl import append_rows, read_rows
from helpers.paths import ROOT

ROWS = [{"id": "a", "n": 1}, {"id": "b", "text": 'two\nlines, "quotes", søren 🍞'}, {"id": "c", "half": "\ud83c"}]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "deeper" / "rows.jsonl"


def quietly(file, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_rows(file, *args)


def test_what_is_written_is_read_again(file):
    assert quietly(file) == []
    append_rows(file, tuple(ROWS[:1]))
    append_rows(file, (row for row in ROWS[1:]))
    assert quietly(file) == ROWS


WHOLE_ROW = json.dumps({"id": "d 🍞\n", "n": [1.5e-07, -3, None, True, float("-inf")], "m": {"a": "\ud83c"}})


@pytest.mark.parametrize(
    "torn", ['{"id": "d", "n', "{", '{"id": "d"', *(WHOLE_ROW[:end] for end in range(2, len(WHOLE_ROW)))]
)
def test_a_line_torn_by_a_kill_is_cut_off_and_the_next_one_is_whole(file, torn):
    append_rows(file, ROWS)
    with file.open("a") as handle:
        handle.write(torn)
    append_rows(file, [{"id": "e"}])
    assert quietly(file) == [*ROWS, {"id": "e"}]
    with file.open("a") as handle:
        handle.write(torn)
    assert quietly(file) == quietly(file) == [*ROWS, {"id": "e"}]


@pytest.mark.parametrize(
    "written_anew",
    [
        lambda whole: whole.decode(errors="replace").encode("utf-16"),  # PowerShell's > does that
        lambda whole: b"[" + b",".join(whole.splitlines()) + b"]",
        lambda whole: json.dumps(list(map(json.loads, whole.splitlines())), indent=1).encode(),
        lambda whole: whole + b"\0" * 512,  # some file systems after a power cut
    ],
    ids=["UTF-16", "one list", "a list over many lines", "zeros at the end"],
)
def test_a_file_that_another_program_wrote_anew_is_kept_whole_beside_the_good_rows(file, written_anew):
    append_rows(file, ROWS)
    content = written_anew(file.read_bytes())
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged-1"):
        rows = read_rows(file)
    assert all(row in ROWS for row in rows)
    assert file.with_name(f"{file.name}.damaged-1").read_bytes().removesuffix(b"\n") == content.removesuffix(b"\n")
    assert quietly(file) == rows


LAST_LINES = [
    b'{"id": "a"}\r{"id": "b"}',
    b'{"id": "a"}{"id": "b"}',
    b'{"id": "a"},',
    b'{"id": "a"}]',
    b'{"id": "a"}[',
    b'{"id": "a"}  # right?',
    b"{'id': 'a'}",
]


@pytest.mark.parametrize("line", LAST_LINES)
def test_a_last_line_that_no_kill_has_torn_is_kept(file, line):
    append_rows(file, ROWS)
    content = file.read_bytes() + line
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="no complete row in line 4"):
        assert read_rows(file) == ROWS
    assert file.with_name("rows.jsonl.damaged-1").read_bytes() == content + b"\n"


def test_a_linked_file_is_mended_behind_its_link(file, tmp_path):
    append_rows(file, ROWS)
    file.write_bytes(b"damage\n" + file.read_bytes())
    (tmp_path / "link.jsonl").symlink_to(file)
    with pytest.warns(UserWarning, match="line 1"):
        assert read_rows(tmp_path / "link.jsonl") == ROWS
    assert (tmp_path / "link.jsonl").is_symlink() and quietly(file) == ROWS
    assert jsonl._lock(tmp_path / "link.jsonl").lock_file == jsonl._lock(file).lock_file


def test_a_path_may_be_text_and_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    append_rows("~/rows.jsonl", ROWS)
    assert read_rows(str(tmp_path / "rows.jsonl")) == ROWS
    for path in (None, "", 5, ["rows.jsonl"]):
        with pytest.raises(ValueError, match="path of a file of JSON lines"):
            read_rows(path)
    for rows in ({"id": "d"}, [None], ["d"]):
        with pytest.raises(ValueError, match="rows must be a list of dicts"):
            append_rows("~/rows.jsonl", rows)
    assert read_rows("~/rows.jsonl") == ROWS


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda file: file.symlink_to("/dev/null")])
def test_a_folder_a_pipe_and_a_device_are_no_file_of_rows(file, make):
    file.parent.mkdir()
    make(file)
    for use in (read_rows, lambda path: append_rows(path, ROWS)):
        with pytest.raises(OSError, match=r"this is a folder, device or pipe.*rows\.jsonl"):
            use(file)


def test_a_file_that_is_written_whole_is_open_to_whom_any_file_is_open(file):
    append_rows(file, ROWS)
    beside = file.with_name("manifest.json")
    jsonl.write_whole(beside, b"{}")
    assert beside.stat().st_mode == file.stat().st_mode
    beside.chmod(0o640)
    jsonl.write_whole(beside, b"[]")
    assert beside.stat().st_mode & 0o777 == 0o640 and sorted(file.parent.glob("*.unfinished")) == []


def test_a_last_row_without_its_line_end_counts(file):
    append_rows(file, ROWS)
    with file.open("a") as handle:
        handle.write('{"id": "d"}')
    append_rows(file, [{"id": "e"}])
    assert [row["id"] for row in quietly(file)] == ["a", "b", "c", "d", "e"]


DAMAGE = ["[]", "null", "5", '"text"', "{}", '{"n": 1}', "not json", '{"id": ', "\0\0\0", "[" * 100_000, "9" * 5000]


@pytest.mark.parametrize("line", DAMAGE, ids=[line[:10] for line in DAMAGE])
def test_a_damaged_file_is_set_aside_and_its_good_rows_stay(file, line):
    append_rows(file, ROWS[:2])
    damaged = file.read_bytes() + line.encode() + b"\n" + file.read_bytes()
    file.write_bytes(damaged)
    with pytest.warns(
        UserWarning, match=r"rows\.jsonl: no complete row in line 3.*rows\.jsonl\.damaged-1.*4 good rows"
    ):
        assert read_rows(file, lambda row: "id" in row) == ROWS[:2] * 2
    assert file.with_name("rows.jsonl.damaged-1").read_bytes() == damaged
    assert quietly(file, lambda row: "id" in row) == ROWS[:2] * 2  # said once


def test_each_damaged_file_is_kept_under_a_name_of_its_own(file):
    append_rows(file, ROWS)
    for number in (1, 2):
        file.write_text(f"damage {number}\n" * 7)
        with pytest.warns(UserWarning, match=r"no complete row in line 1, 2, 3, 4, 5 and 2 more"):
            assert read_rows(file) == []
        assert file.with_name(f"rows.jsonl.damaged-{number}").read_text() == f"damage {number}\n" * 7


def test_bytes_that_are_no_text_are_damage(file):
    append_rows(file, ROWS)
    file.write_bytes(b"\xff\xfe\x00\n" + file.read_bytes())
    with pytest.warns(UserWarning, match="line 1"):
        assert read_rows(file) == ROWS


def test_a_full_disk_leaves_no_half_row(file, monkeypatch):
    append_rows(file, ROWS)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jsonl.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append_rows(file, [{"id": "d"}])
    assert quietly(file) == ROWS


def test_a_row_that_cannot_be_written_leaves_the_file_as_it_was(file):
    append_rows(file, ROWS)
    with pytest.raises(TypeError):
        append_rows(file, [{"id": "d"}, {"id": object()}])
    assert quietly(file) == ROWS


def test_a_folder_that_may_only_be_read_is_read(file, monkeypatch):
    append_rows(file, ROWS)
    with file.open("a") as handle:
        handle.write('{"torn')

    def refused(file):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(jsonl, "_lock", refused)
    with pytest.warns(UserWarning, match="cannot be changed"):
        assert read_rows(file) == ROWS
    assert file.read_bytes().endswith(b'{"torn')


def test_a_lock_that_is_never_released_is_named(file, monkeypatch):
    append_rows(file, ROWS)
    monkeypatch.setattr(jsonl, "LONGEST_WAIT", 0.05)
    with jsonl._lock(file), pytest.raises(TimeoutError, match=r"rows\.jsonl\.lock"):
        read_rows(file)


WRITER = """
import sys
from pathlib import Path
from helpers.jsonl import append_rows, read_rows
file, name = Path(sys.argv[1]), sys.argv[2]
for number in range(150):
    append_rows(file, [{"id": f"{name}-{number}", "text": "x" * 3000}])
    read_rows(file)
"""


def test_several_processes_that_read_and_append_at_once_lose_nothing(file):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), name], cwd=ROOT) for name in "abc"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    rows = quietly(file)
    assert sorted(row["id"] for row in rows) == sorted(f"{name}-{number}" for name in "abc" for number in range(150))
    assert all(json.loads(line) for line in file.read_text().splitlines())
