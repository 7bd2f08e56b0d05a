"""Sweeps that go on: kills, torn files, full disks, too little memory, changed settings."""

import errno
import io
import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from helpers import concepts, prompts
from helpers.engine import InjectionError, generation
from helpers.experiments import injected_thought, run_identity, runner
from helpers.experiments.engine_trials import engine_trials
from helpers.experiments.run_identity import only_writer
from helpers.experiments.trials import concat_trials
from helpers.models.replies import PLAIN_TRANSCRIPT
from helpers.paths import ROOT, run_folder
from tests import tiny_models

OPTIONS = {"max_new_tokens": 4, "batch_size": 4}
WORDS = ["bread", "music", "oceans"]


@pytest.fixture(scope="module")
def model():
    return tiny_models.build("llama")


@pytest.fixture(scope="module")
def trials():
    return injected_thought.trials(WORDS, layers=[0, 1], strengths=[4], controls=4)


@pytest.fixture(scope="module")
def undisturbed(model, trials):
    return runner.run(model, trials, **OPTIONS)


@pytest.fixture
def name(request):
    """A run of this test's own, whose folder holds no word that a test looks for in a message."""
    return f"test_runner/{run_identity.short_hash(request.node.name)}"


@pytest.fixture
def batches_run(monkeypatch):
    """Sizes of the batches that the engine runs, in order."""
    sizes, run_batch = [], generation.run_batch

    def counted(model, batch, *arguments, **options):
        sizes.append(len(batch.trials))
        return run_batch(model, batch, *arguments, **options)

    monkeypatch.setattr(generation, "run_batch", counted)
    return sizes


def same(table, expected):
    """Equal answers; logits within what another make-up of the batches rounds to."""
    exact = [column for column in expected if expected[column].dtype != float]
    pd.testing.assert_frame_equal(table[exact], expected[exact])
    pd.testing.assert_frame_equal(table, expected, check_exact=False, atol=5e-4, rtol=0)


def results_file(name):
    return run_folder(name) / "trials.jsonl"


def test_a_sweep_that_is_killed_goes_on_to_the_same_table(tmp_path):
    """SIGKILL at random moments. The long version: python -m tests.authoring.crash_test --kills 50, or INTROSPECTION_KILLS=50 here."""
    kills = os.environ.get("INTROSPECTION_KILLS", "3")
    done = subprocess.run(
        [sys.executable, "-m", "tests.authoring.crash_test", "--kills", kills],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + 10 * int(kills),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{kills} kills ") and "every table equals the undisturbed one" in done.stdout


def test_answers_are_kept_after_every_batch(model, trials, undisturbed, name, monkeypatch, batches_run):
    counted, power = generation.run_batch, iter([True, True, False])

    def interrupted(*arguments, **options):
        if not next(power):
            raise KeyboardInterrupt
        return counted(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(generation, "run_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.run(model, trials, name=name, **OPTIONS)
    assert len(results_file(name).read_text(encoding="utf-8").splitlines()) == sum(batches_run) == 8
    pd.testing.assert_frame_equal(runner.run(model, trials, name=name, **OPTIONS), undisturbed)
    assert sum(batches_run) == len(trials)  # nothing was answered twice
    pd.testing.assert_frame_equal(runner.run(model, trials, name=name, **OPTIONS), undisturbed)
    assert sum(batches_run) == len(trials)


@pytest.mark.parametrize("kept", [1, 20, -2])
def test_a_torn_last_line_is_cut_off_and_answered_again(model, trials, undisturbed, name, kept):
    runner.run(model, trials, name=name, **OPTIONS)
    file = results_file(name)
    whole = file.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    file.write_bytes(whole[: -len(last)] + last[:kept])
    same(runner.run(model, trials, name=name, **OPTIONS), undisturbed)
    assert sorted(map(len, file.read_bytes().splitlines())) == sorted(map(len, whole.splitlines()))


def test_a_damaged_file_is_set_aside_and_what_it_lacks_is_answered_again(model, trials, undisturbed, name):
    runner.run(model, trials, name=name, **OPTIONS)
    file = results_file(name)
    lines = file.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:2], lines[2][:10] + b"\n", *lines[3:]])
    file.write_bytes(damaged)
    with pytest.warns(UserWarning, match=r"trials\.jsonl: no complete row in line 3"):
        same(runner.run(model, trials, name=name, **OPTIONS), undisturbed)
    assert file.with_name("trials.jsonl.damaged-1").read_bytes() == damaged
    assert len(file.read_bytes().splitlines()) == len(lines)


def test_a_full_disk_is_said_plainly_and_the_run_goes_on_later(model, trials, undisturbed, name, monkeypatch):
    calls = []

    def no_space(_descriptor):
        calls.append(1)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(OSError, match=r"No space left on device\). The answers up to here are kept") as stopped:
            runner.run(model, trials, name=name, **OPTIONS)
    assert stopped.value.errno == errno.ENOSPC
    assert "INTROSPECTION_RUNS" in str(stopped.value) and name in str(stopped.value)
    same(runner.run(model, trials, name=name, **OPTIONS), undisturbed)


def test_the_batch_size_is_found_and_nothing_is_lost(model, trials, undisturbed, name, monkeypatch, batches_run):
    counted = generation.run_batch

    def little_memory(model, batch, *arguments, **options):
        if len(batch.trials) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return counted(model, batch, *arguments, **options)

    monkeypatch.setattr(generation, "run_batch", little_memory)
    same(runner.run(model, trials, name=name, max_new_tokens=4, batch_size=16), undisturbed)
    assert max(batches_run) == 2 and sum(batches_run) == len(trials)


def test_memory_that_runs_out_half_way_keeps_what_was_answered(model, trials, undisturbed, monkeypatch, batches_run):
    counted = generation.run_batch

    def leaking(model, batch, *arguments, **options):
        if len(batch.trials) > 2 and len(batches_run) >= 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return counted(model, batch, *arguments, **options)

    monkeypatch.setattr(generation, "run_batch", leaking)
    same(runner.run(model, trials, **OPTIONS), undisturbed)
    assert batches_run[:2] == [4, 4] and max(batches_run[2:]) == 2 and sum(batches_run) == len(trials)


def test_too_little_memory_for_one_trial_is_said_plainly(model, trials, monkeypatch):
    def no_memory(*_arguments, **_options):
        raise RuntimeError("CUDA out of memory.")

    monkeypatch.setattr(generation, "run_batch", no_memory)
    with pytest.raises(RuntimeError, match="does not suffice for a single trial"):
        runner.run(model, trials, **OPTIONS)


def test_other_errors_are_not_taken_for_lack_of_memory(model, trials, monkeypatch):
    def broken(*_arguments, **_options):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(generation, "run_batch", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        runner.run(model, trials, **OPTIONS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_new_tokens": 5}, "max_new_tokens was 4 and is 5"),
        ({"temperature": 1.0}, "temperature was 0.0 and is 1.0"),
    ],
)
def test_a_changed_setting_is_refused(model, trials, name, changed, message):
    few = trials.head(2)
    runner.run(model, few, name=name, **OPTIONS)
    with pytest.raises(ValueError, match=message):
        runner.run(model, few, name=name, **OPTIONS | changed)


def test_other_weights_of_the_same_name_are_refused(model, trials, name):
    few = trials.head(2)
    runner.run(model, few, name=name, **OPTIONS)
    with pytest.raises(ValueError, match=r"weights was '.*' and is '.*'\)\. Use another run name, or move the"):
        runner.run(tiny_models.build("llama", seed=1), few, name=name, **OPTIONS)


def test_another_engine_or_dtype_is_refused(model, trials, name, monkeypatch):
    few = trials.head(2)
    runner.run(model, few, name=name, **OPTIONS)
    with pytest.raises(ValueError, match=r"dtype was 'torch\.float32' and is 'torch\.bfloat16'"):
        runner.run(tiny_models.build("llama", torch.bfloat16), few, name=name, **OPTIONS)
    monkeypatch.setattr(run_identity, "VERSION", "another")
    with pytest.raises(ValueError, match=r"engine was \d+ and is 'another'"):
        runner.run(model, few, name=name, **OPTIONS)


def answers(model, trials, name):
    return runner.run(model, trials, name=name, **OPTIONS)["answer"].tolist()


def test_another_transcript_under_the_same_name_is_refused(trials, name):
    few = trials.head(2)
    chat = tiny_models.build("llama")
    answers(chat, few, name)
    plain = tiny_models.build("llama")
    plain.tokenizer.chat_template = PLAIN_TRANSCRIPT
    with pytest.raises(ValueError, match="made under other conditions .tokenizer was"):
        answers(plain, few, name)


def edited_prompt(monkeypatch, _model):
    right = prompts.get_template

    def edited(experiment, wording):
        template = right(experiment, wording)
        return prompts.PromptTemplate(experiment, wording, (("user", "Something else."), *template.turns[1:]))

    monkeypatch.setattr(prompts, "get_template", edited)


def dated_template(monkeypatch, model):
    """A template that writes the date, resumed the next day."""
    template = model.tokenizer.chat_template
    right = type(model.tokenizer).apply_chat_template
    monkeypatch.setattr(
        type(model.tokenizer),
        "apply_chat_template",
        lambda tokenizer, *given, **options: "Today is Friday. " + right(tokenizer, *given, **options),
    )
    assert model.tokenizer.chat_template == template


def other_baseline(monkeypatch, _model):
    words = concepts.baseline_words()
    monkeypatch.setattr(concepts, "baseline_words", lambda: words[:40])


@pytest.mark.parametrize("change", [edited_prompt, dated_template, other_baseline])
def test_what_changes_tokens_or_vectors_is_answered_anew(change, model, trials, name, monkeypatch, batches_run):
    few = trials.head(3)
    before = runner.run(model, few, name=name, **OPTIONS)
    with monkeypatch.context() as patch:
        change(patch, model)
        changed = runner.run(model, few, name=name, **OPTIONS)
        fresh = runner.run(model, few, **OPTIONS)
    same(changed, fresh)
    assert not set(changed["trial_id"]) & set(before["trial_id"])
    same(runner.run(model, few, name=name, **OPTIONS), before)  # and the first answers are still there
    assert sum(batches_run) == 3 * 3


def test_answers_under_a_hook_are_not_kept(trials, name):
    model = tiny_models.build("llama")
    few = trials.head(2)
    plain = answers(model, few, name)
    handle = model.blocks._module[1].register_forward_hook(lambda _block, _inputs, output: -output)
    with pytest.raises(ValueError, match=r"answers under a forward hook on model\.layers\.1 are not kept"):
        answers(model, few, name)
    with pytest.raises(InjectionError):  # the audit sees what the hook does
        answers(model, few, None)
    assert runner.run(model, few, audit=False, **OPTIONS)["answer"].tolist() != plain
    handle.remove()
    assert answers(model, few, name) == plain


def test_one_process_at_a_time_writes_into_a_folder(model, trials, name):
    few = trials.head(2)
    with only_writer(run_folder(name)):
        with pytest.raises(RuntimeError, match=rf"{name}.* is in use by process {os.getpid()} on .* since 20"):
            answers(model, few, name)
    assert len(answers(model, few, name)) == 2


def test_a_disk_that_is_full_at_the_start_leaves_the_folder_free(name, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = run_folder(name)
    with monkeypatch.context() as patch:
        patch.setattr(run_identity.Path, "write_text", full)
        with pytest.raises(OSError, match="No space left") as stopped, only_writer(folder):
            pass
    with only_writer(folder):  # although the error, kept as a kernel keeps it, holds on to the lock
        assert stopped.value.errno == errno.ENOSPC


DAMAGED_MANIFESTS = {
    **{text: text.encode() for text in ("", "[]", "{}", "{", "null", "5", "\x00")},
    **{kind: f'{{"conditions": {kind}}}'.encode() for kind in ("3", "[]", "{}", "null", '"weights"', "{")},
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"a":' * 50_000,
    "a number of 5000 digits": b'{"conditions":' + b"9" * 5000 + b"}",
    "no text": bytes(range(256)),
    "UTF-16": '{"conditions": {}}'.encode("utf-16"),
}


@pytest.mark.parametrize("content", DAMAGED_MANIFESTS.values(), ids=DAMAGED_MANIFESTS)
def test_a_damaged_manifest_is_set_aside_and_said(content, model, trials, name, capsys):
    few = trials.head(2)
    before = answers(model, few, name)
    (run_folder(name) / "manifest.json").write_bytes(content)
    assert answers(model, few, name) == before
    assert "manifest.json was damaged; it is now manifest.json.damaged-1" in capsys.readouterr().out
    assert len(list(run_folder(name).glob("manifest.json.damaged-*"))) == 1


def test_a_manifest_with_a_byte_order_mark_or_other_line_ends_is_whole(model, trials, name, capsys):
    few, file = trials.head(2), run_folder(name) / "manifest.json"
    before = answers(model, few, name)
    for changed in (b"\xef\xbb\xbf" + file.read_bytes(), file.read_bytes().replace(b"\n", b"\r\n")):
        file.write_bytes(changed)
        assert answers(model, few, name) == before
    assert "damaged" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda conditions: conditions.pop("computation"),
            "computation was 'not recorded' and is '",
        ),  # an older version's
        (lambda conditions: conditions.update(weights="x" * 10**6), "weights was 'xxx.*x and is '"),
        (lambda conditions: conditions.update(weights={"a": [1]}), "weights was {'a': .1.} and is"),
        (lambda conditions: conditions.update(steering=2), "steering was 2 and is 'not recorded'"),  # a newer version's
        (lambda conditions: conditions.update(dtype="\ud83c"), "dtype was "),
        (lambda conditions: conditions.update(temperature=math.nan), "temperature was nan and is 0.0"),
    ],
)
def test_a_manifest_of_other_conditions_is_refused_in_a_sentence_of_bounded_length(
    change, message, model, trials, name
):
    few, file = trials.head(2), run_folder(name) / "manifest.json"
    answers(model, few, name)
    content = json.loads(file.read_text())
    change(content["conditions"])
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as refused:
        answers(model, few, name)
    assert len(str(refused.value)) < 600


def test_a_model_of_another_name_goes_on_and_the_manifest_lists_what_it_was_written_with(trials, name, batches_run):
    few, file = trials.head(2), run_folder(name) / "manifest.json"
    before = answers(tiny_models.build("llama"), few, name)
    content = json.loads(file.read_text())
    content["written_with"][0]["torch"] = "2.0"
    file.write_text(json.dumps(content))
    model = tiny_models.build("llama")
    model._module.name_or_path = "somebody/the-same-weights"
    model._module.config._commit_hash = "1234"
    assert answers(model, few, name) == answers(model, few, name) == before and sum(batches_run) == 2
    listed = [(each["model"], each["revision"]) for each in json.loads(file.read_text())["written_with"]]
    assert listed == [("LlamaForCausalLM", ""), ("somebody/the-same-weights", "1234")]


DAMAGED_ROWS = {
    "an answer changed by hand": lambda row: row | {"answer": "Yes, I notice an injected thought about bread."},
    "a number changed by hand": lambda row: row | {"yes_logit": row["yes_logit"] + 1},
    "the id of another trial": lambda row: row | {"trial_id": row["trial_id"][::-1]},
    "no checksum": lambda row: {name: value for name, value in row.items() if name != "checksum"},
    "no fields": lambda row: {},
    "an id alone": lambda row: {"trial_id": row["trial_id"]},
    "an answer alone": lambda row: {"answer": "x"},
    **{
        f"{name} {value!s:.9}": lambda row, name=name, value=value: row | {name: value}
        for name, values in {
            "answer": (None, 5, math.nan, ["x"]),
            "trial_id": (None, 5, math.nan),
            "entropy": ("big", math.nan, math.inf, True, [1], 10**400),
            "yes_logit": ("1", math.nan, -math.inf, False, {}),
        }.items()
        for value in values
    },
}
DAMAGED_LINES = {
    "NUL bytes": b"\0" * 50,
    "no text": bytes(range(128, 256)),
    "nested": b"[" * 100_000,
    "long": b'{"a": "' + b"x" * 10**6 + b'"}',
    "digits": b"9" * 5000,
}


@pytest.mark.parametrize(
    "damage", [*DAMAGED_ROWS.values(), *DAMAGED_LINES.values()], ids=[*DAMAGED_ROWS, *DAMAGED_LINES]
)
@pytest.mark.filterwarnings("ignore:.*no complete row")
def test_a_line_that_is_no_whole_row_does_not_count_as_done(damage, model, trials, name):
    few = trials.head(3)
    expected = runner.run(model, few, name=name, **OPTIONS)
    lines = results_file(name).read_bytes().splitlines()
    lines[0] = json.dumps(damage(json.loads(lines[0]))).encode() if callable(damage) else damage
    results_file(name).write_bytes(b"\n".join(lines) + b"\n")
    same(runner.run(model, few, name=name, **OPTIONS), expected)
    assert results_file(name).with_name("trials.jsonl.damaged-1").is_file()


@pytest.mark.parametrize(("stored", "written"), [(2.0, 2), (0.0, 0), (-0.0, 0), (0.5, 5e-1), (1e-4, 0.0001)], ids=repr)
def test_a_number_that_a_program_has_written_otherwise_is_the_same_answer(stored, written, model, trials, name):
    """jq and JavaScript write 2.0 as 2, and -0.0 as 0."""
    few, file = trials.head(2), run_folder(name) / "trials.jsonl"
    answers(model, few, name)
    rows = [json.loads(line) | {"entropy": stored} for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [row | {"checksum": runner.checksum(row), "entropy": written} for row in rows]
    file.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows), encoding="utf-8")
    assert list(runner.run(model, few, name=name, **OPTIONS)["entropy"]) == [written] * 2


@pytest.mark.filterwarnings("error")
def test_rows_of_an_older_version_are_asked_again_and_called_so(model, trials, undisturbed, name, batches_run):
    runner.run(model, trials, name=name, **OPTIONS)
    rows = [json.loads(line) for line in results_file(name).read_text(encoding="utf-8").splitlines()]
    old = [json.dumps({key: row[key] for key in row if key != "checksum"}) + "\n" for row in rows]
    results_file(name).write_text("".join(old), encoding="utf-8")
    batches_run.clear()
    with pytest.warns(UserWarning, match="or of an older version.*kept as trials.jsonl.damaged-1"):
        same(runner.run(model, trials, name=name, **OPTIONS), undisturbed)
    assert sum(batches_run) == len(trials)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 9, bytes(range(256)), "Ü".encode("latin-1"), b"x" * 10**6, b"a\nb\r"], ids=range(6)
)
def test_whoever_holds_a_folder_is_named_in_one_short_line(content, model, trials, name):
    folder = run_folder(name)
    with FileLock(folder / ".lock"):
        (folder / "in_use_by.txt").write_bytes(content)
        with pytest.raises(RuntimeError, match="is in use by (another process|x{100}|ab); wait for it") as refused:
            answers(model, trials.head(1), name)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("blocked", ["manifest.json", "in_use_by.txt", ".lock", "trials.jsonl"])
def test_a_folder_in_place_of_a_file_is_said_and_nothing_is_lost(blocked, model, trials, name):
    few, file = trials.head(2), run_folder(name) / blocked
    before = answers(model, few, name)
    file.unlink(missing_ok=True)
    file.mkdir()
    with pytest.raises(OSError, match="(cannot write to|this is a folder).*test_runner"):
        answers(model, few, name)
    file.rmdir()
    assert answers(model, few, name) == before


def test_of_two_answers_under_one_id_the_second_is_set_aside_and_said(model, trials, name):
    """Two copies of a file put together, one of them changed by hand."""
    few, file = trials.head(2), run_folder(name) / "trials.jsonl"
    before = answers(model, few, name)
    changed = json.loads(file.read_text().splitlines()[0]) | {"answer": "Yes, bread."}
    with file.open("a") as handle:
        handle.write(json.dumps(changed) + "\n")
    with pytest.warns(UserWarning, match="line 3.*damaged-1"):
        assert answers(model, few, name) == before
    assert len(file.read_text().splitlines()) == 2


def test_nothing_that_is_given_is_ignored(model, trials):
    with pytest.raises(ValueError, match="run name '' is not"):
        runner.run(model, trials.head(1), "")
    with pytest.raises(ValueError, match=r"no trial uses the given vectors \['brd'\]"):
        runner.run(model, trials.head(1), given_vectors={"brd": torch.ones(3, 48)})


def test_columns_of_ones_own_change_nothing(model, trials, undisturbed):
    few = trials.head(2)
    own = pd.concat([pd.Series('{"trial": 9}', few.index, name="values_text"), few.assign(**{"my note": 1})], axis=1)
    assert runner.run(model, own, **OPTIONS)["trial_id"].tolist() == undisturbed["trial_id"].tolist()[:2]
    with pytest.raises(ValueError, match=r"lack the columns \['span'\]"):
        engine_trials(model, few.drop(columns="span"))


def test_a_model_in_training_mode_is_refused(model, trials):
    model._module.train()
    try:
        with pytest.raises(ValueError, match="training mode"):
            runner.run(model, trials.head(1))
    finally:
        model._module.eval()


@pytest.mark.parametrize("temperature", [math.nan, math.inf, 1e-39, -1.0, "0", True, None, [0], 1j])
def test_temperatures_that_no_reply_can_be_drawn_at_are_refused(temperature, model, trials):
    with pytest.raises(ValueError, match="temperature must be 0 .greedy. or from 0.001 up, got"):
        runner.run(model, trials.head(1), temperature=temperature)


@pytest.mark.parametrize("temperature", [0, 0.0, -0.0, np.float64(0), np.float32(0), np.int64(0)], ids=repr)
@pytest.mark.parametrize("length", [4, np.int64(4), np.uint8(4)], ids=repr)
def test_a_setting_written_in_another_way_is_the_same_run(temperature, length, model, trials, name, batches_run):
    few = trials.head(2)
    for settings in ({"max_new_tokens": 4}, {"max_new_tokens": length, "temperature": temperature}):
        table = runner.run(model, few, name=name, **settings)
    assert sum(batches_run) == 2 and table["answer"].notna().all()


WAYS_TO_WRITE = {
    "CSV file": lambda table: pd.read_csv(io.StringIO(table.to_csv(index=False))),
    "JSON": lambda table: pd.read_json(io.StringIO(table.to_json())),
    "objects": lambda table: table.astype(object),
    "categories": lambda table: table.astype(
        {"experiment": "category", "vector_of": "category", "concept": "category"}
    ),
    "float layers": lambda table: table.assign(layer=table["layer"].astype(float)),
    "whole strengths": lambda table: table.assign(strength=table["strength"].astype(int)),
    "small seeds": lambda table: table.assign(seed=table["seed"].astype("int8")),
    "text index": lambda table: table.set_index(table.index.astype(str)),
    "another order": lambda table: table.iloc[::-1],
}


@pytest.mark.parametrize("written", WAYS_TO_WRITE.values(), ids=WAYS_TO_WRITE)
def test_a_table_written_in_another_way_holds_the_same_trials(written, model, trials, undisturbed):
    again = runner.run(model, written(trials), **OPTIONS)
    expected = undisturbed.set_index("trial_id")["answer"].to_dict()
    assert again.set_index("trial_id")["answer"].to_dict() == expected


def test_a_dose_is_that_of_the_table_whatever_was_kept_before(model, trials, name):
    """Doses are measured against the table's first injected row: kept rows must not bring those of another table along."""
    runner.run(model, trials, name=name, **OPTIONS)
    for part in (trials.iloc[[5]], trials.iloc[::-1], trials.tail(9)):
        kept, fresh = (runner.run(model, part, name=each, **OPTIONS) for each in (name, None))
        pd.testing.assert_series_equal(kept["dose"], fresh["dose"])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        *(
            ("strength", value, "strength must be a finite number, got")
            for value in ("4", None, math.nan, True, math.inf)
        ),
        ("strength", 1e39, "times the vector leaves the range of the model's torch.float32"),
        *(("seed", value, "seed must be a whole number from 0 to") for value in (-1, 0.5, "a", None, 2**70, True)),
        *(("layer", value, "layer .* does not exist") for value in ("1", True, 1.5, 99, -1, None)),
        *(
            ("values", value, "the values of a trial must be JSON text")
            for value in ("{", "[]", "5", None, {"trial": 1})
        ),
        *(("vector", value, "unknown kind of vector") for value in ("Concept", None, 5)),
        *(("vector_of", value, "words must be texts that are not empty") for value in ("", None, 5)),
        ("concept", 5, "the concept of a trial must be a word"),
        ("concept", ["bread"], "the concept of a trial must be a word"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_table_of_other_values_is_refused_before_anything_runs(column, value, message, model, trials, batches_run):
    injected = trials[trials["vector"] == "concept"].head(2)
    wrong = injected.assign(**{column: pd.Series([value] * 2, index=injected.index, dtype=object)})
    with pytest.raises(ValueError, match=message):
        runner.run(model, wrong, **OPTIONS)
    assert batches_run == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["bread"], "given vectors must be a dict"),
        ({"bread": torch.ones(48)}, r"has shape \(48,\); this model needs \(3, 48\)"),
        ({"bread": torch.ones(2, 48)}, "has shape"),
        ({"bread": torch.ones(3, 48, dtype=torch.int64)}, "must hold floating-point numbers"),
        ({"bread": torch.ones(3, 48, dtype=torch.complex64)}, "must hold floating-point numbers"),
        ({"bread": torch.ones(3, 48) * math.nan}, "holds NaN or infinite values"),
        ({"bread": "bread"}, "must be a torch tensor that holds numbers, got str"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_given_vectors_of_another_form_are_refused(given, message, model, trials):
    with pytest.raises(ValueError, match=message):
        runner.run(model, trials, given_vectors=given, **OPTIONS)


@pytest.mark.parametrize("table", [None, [1], {"experiment": 1}, "trials"], ids=str)
def test_what_is_no_table_is_refused(table, model):
    with pytest.raises(ValueError, match="the trials must be a table .a DataFrame., got"):
        runner.run(model, table)


def test_a_table_that_was_run_already_is_refused(model, undisturbed):
    with pytest.raises(ValueError, match="already has the columns .'model', 'trial_id', 'answer'"):
        runner.run(model, undisturbed, **OPTIONS)


def test_another_computation_under_the_same_name_is_refused(trials, name):
    few, model = trials.head(2), tiny_models.build("llama")
    answers(model, few, name)
    model._module.model.norm.variance_epsilon = 1e-2
    with pytest.raises(ValueError, match="made under other conditions .computation was"):
        answers(model, few, name)


def test_an_unknown_kind_of_vector_in_a_table_is_refused(model, trials):
    injected = trials[trials["vector"] == "concept"].head(1)
    with pytest.raises(ValueError, match="unknown kind of vector 'opposite'; allowed are none, concept"):
        runner.run(model, injected.assign(vector="opposite"))


def test_a_reply_that_begins_with_reasoning_has_no_yes_or_no(model, trials, monkeypatch):
    """Whether the model opens it or the prompt does."""
    right = runner.answer_batch

    def reasoning(*arguments, **options):
        return [
            replace(answer, text="<think>Hm.</think>Yes." if k else "Yes.")
            for k, answer in enumerate(right(*arguments, **options))
        ]

    monkeypatch.setattr(runner, "answer_batch", reasoning)
    table = runner.run(model, trials.head(3), **OPTIONS)
    assert table["yes_logit"].isna().tolist() == table["no_logit"].isna().tolist() == [False, True, True]
    monkeypatch.setattr(runner, "left_open", lambda prompt: "<think>")
    table = runner.run(model, trials.head(1), **OPTIONS)
    assert table["answer"].tolist() == ["<think>Yes."] and table["yes_logit"].isna().all()


@pytest.mark.parametrize("column", ["strength", "vector", "note"])
def test_a_column_that_is_in_the_table_twice_is_refused(column, model, trials):
    twice = pd.concat([trials.assign(note=""), pd.DataFrame({column: 99.0}, index=trials.index)], axis=1)
    with pytest.raises(ValueError, match=f"have the column '{column}' twice"):
        runner.run(model, twice, **OPTIONS)


def test_an_index_with_duplicates_is_refused(model, trials):
    with pytest.raises(ValueError, match="the index names a row twice, e.g. 0"):
        runner.run(model, pd.concat([trials, trials]), **OPTIONS)


def test_more_trials_may_join_a_run(model, trials, undisturbed, name, batches_run):
    runner.run(model, trials.iloc[::2], name=name, **OPTIONS)
    same(runner.run(model, trials, name=name, **OPTIONS), undisturbed)
    assert sum(batches_run) == len(trials)


def test_equal_trials_are_answered_once(model, trials, undisturbed, batches_run):
    twice = runner.run(model, concat_trials(trials, trials), **OPTIONS)
    assert sum(batches_run) == len(trials)
    same(twice.iloc[: len(trials)], undisturbed)
    assert twice["trial_id"].nunique() == len(trials)


def test_a_table_of_controls_alone_ends(model, trials, undisturbed):
    """Nothing is injected in any batch, and no layer is read: once such a batch ran for ever."""
    controls = trials[trials["condition"] == "none"]
    same(runner.run(model, controls, max_new_tokens=4, batch_size=2), undisturbed.loc[controls.index])


def test_sampled_answers_depend_neither_on_batch_size_nor_on_order(model, trials):
    sampled = [
        runner.run(model, table, max_new_tokens=6, temperature=1.0, batch_size=size).sort_index()["answer"]
        for table, size in ((trials, 16), (trials, 3), (trials.iloc[::-1], 5))
    ]
    assert sampled[0].tolist() == sampled[1].tolist() == sampled[2].tolist()
    assert sampled[0].nunique() > len(trials) // 2


def test_a_trial_that_cannot_be_run_stops_before_anything_runs(model, trials, name, batches_run):
    with pytest.raises(ValueError, match="layer 9 does not exist"):
        runner.run(model, trials.assign(layer=trials["layer"].where(trials.index > 0, 9)), name=name, **OPTIONS)
    for options, message in (
        ({"temperature": -1.0}, "temperature must be 0"),
        *(
            ({setting: value}, f"{setting} must be a whole number from 1 up, got")
            for setting in ("batch_size", "max_new_tokens")
            for value in (0, -1, True, "4", 4.0, math.nan, [4])
        ),
    ):
        with pytest.raises(ValueError, match=message):
            runner.run(model, trials, **OPTIONS | options)
    assert batches_run == []
    with pytest.raises(ValueError, match="there are no trials"):
        runner.run(model, trials.head(0))
    with pytest.raises(ValueError, match=r"lack the columns \['layer'\]"):
        runner.run(model, trials.drop(columns="layer"))


def test_results_are_plain_json_lines(model, trials, name):
    runner.run(model, trials.head(3), name=name, **OPTIONS)
    lines = [json.loads(line) for line in results_file(name).read_text(encoding="utf-8").splitlines()]
    assert [set(line) for line in lines] == [{"trial_id", *runner.STORED, "checksum"}] * 3


@pytest.mark.parametrize(
    ("strength", "message"),
    [
        ("strong", "strength must be a finite number, got 'strong'"),
        (0, "other than 0, got 0.0"),
        (float("nan"), "finite number"),
    ],
)
def test_a_strength_that_is_none_is_refused_before_anything_runs(strength, message):
    with pytest.raises(ValueError, match=message):
        injected_thought.trials(["bread"], [0], [1, strength])


@pytest.mark.parametrize("count", [0, 3, 51])
def test_a_number_of_concepts_that_cannot_be_had_is_refused(count):
    with pytest.raises(ValueError, match=f"must be a whole number from 4 to 50, got {count}"):
        concepts.paper_concepts(count)
