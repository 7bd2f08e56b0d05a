"""The injection audit: passes what is right on every family, raises on every planted fault."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from helpers import injection, prompts, reading
from helpers.audit import InjectionError
from helpers.ways_to_share import ways_to_share
from tests import families
from tests.test_injection import ASKED, LINES, built, mixed_rows, rows_that_share, vector

STEPS = 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", families.FAMILIES)
def test_passes_on_a_ragged_batch_of_mixed_layers(family, dtype):
    model = built(family, dtype)
    rows = [replace(row, strength=4 * row.strength) for row in mixed_rows(model)]  # far above what bfloat16 rounds away
    check_passes(model, rows)


def check_passes(model, rows):
    report = injection.audit_injection(model, rows, STEPS)
    assert set(report["row"]) == {i for i, row in enumerate(rows) if row.vector is not None}  # controls are untouched
    assert (report["wrong"] == 0).all() and report["verifiable"].all()
    assert (report["asked"] == report["changed"]).all()
    torch.testing.assert_close(
        torch.tensor(report["measured_size"].tolist()), torch.tensor(report["asked_size"].tolist()), rtol=0.02, atol=0
    )


@contextmanager
def hooks(network, batch, fault=""):
    """Somebody else's injection by plain forward hooks, right but for one planted fault."""
    blocks = max((m for m in network.modules() if isinstance(m, torch.nn.ModuleList)), key=len)
    padding = (batch.mask == 0).sum(1).tolist()
    passes = dict.fromkeys(range(len(blocks)), 0)  # columns seen so far

    def hook_of(layer):
        def hook(_module, _inputs, output):
            stream = (output[0] if isinstance(output, tuple) else output).clone()
            decoding = passes[layer] > 0
            for i, row in enumerate(batch.rows):
                if row.vector is None or (row.layer + (fault == "next layer")) % len(blocks) != layer:
                    continue
                if (fault == "prefill only" and decoding) or (fault == "reply only" and not decoding):
                    continue
                if fault == "a row skipped" and i == 1:
                    continue
                first = {"whole prompt": 0, "no padding counted": row.span[0]}.get(fault, row.span[0] + padding[i])
                first += (fault == "one late") - (fault == "one early")
                last = 10**6 if row.span[1] is None or fault == "never ends" else row.span[1] + padding[i]
                column = passes[layer] + torch.arange(stream.shape[1])
                inside = ((column >= first) & (column < last))[:, None]
                push = row.strength * row.vector
                if fault == "normalised":
                    push = row.strength * row.vector / row.vector.norm()
                elif fault == "10 % too much":
                    push = 1.1 * push
                elif fault == "negated":
                    push = -push
                elif fault == "row 0's vector":
                    push = row.strength * batch.rows[0].vector
                stream[i] += inside * push.to(stream.dtype)
            if fault == "controls too" and layer == 1:
                stream[4] += 0.1
            passes[layer] += 0 if fault == "a step counted as the first" else stream.shape[1]
            if fault == "returned unchanged":
                return output
            return (stream, *output[1:]) if isinstance(output, tuple) else stream

        return hook

    handles = [block.register_forward_hook(hook_of(layer)) for layer, block in enumerate(blocks)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


FAULTS = [
    "prefill only",
    "reply only",
    "whole prompt",
    "no padding counted",
    "one late",
    "one early",
    "never ends",
    "normalised",
    "10 % too much",
    "negated",
    "row 0's vector",
    "a row skipped",
    "controls too",
    "next layer",
    "a step counted as the first",
    "returned unchanged",
]


@pytest.mark.parametrize("family", ["llama", "gptj"])  # blocks that return a tensor, and a tuple
def test_passes_somebody_elses_hooks_that_are_right(family):
    model = built(family)
    report = injection.audit_injection(model, mixed_rows(model), STEPS, foreign_hooks=hooks)
    assert (report["wrong"] == 0).all()


@pytest.mark.parametrize("fault", FAULTS)
def test_raises_on_a_planted_fault(fault):
    model = built("llama")
    with pytest.raises(InjectionError, match=r"audit failed in \d"):
        injection.audit_injection(
            model, mixed_rows(model), STEPS, foreign_hooks=lambda network, batch: hooks(network, batch, fault)
        )


def test_raises_on_a_fault_in_bfloat16_under_left_padding():
    """A span off by one is one position of a ragged batch; half precision must not hide it."""
    model = built("qwen2", torch.bfloat16)
    rows = [replace(row, strength=4 * row.strength) for row in mixed_rows(model)]
    for fault in ("one late", "10 % too much", "a row skipped"):
        with pytest.raises(InjectionError):
            injection.audit_injection(
                model, rows, STEPS, foreign_hooks=lambda network, batch, fault=fault: hooks(network, batch, fault)
            )


def test_names_the_row_and_how_many_positions_are_wrong():
    model = built("llama")
    with pytest.raises(InjectionError) as failed:
        injection.audit_injection(
            model, mixed_rows(model), STEPS, foreign_hooks=lambda network, batch: hooks(network, batch, "a row skipped")
        )
    header, line = str(failed.value).splitlines()[-2:]
    said = dict(zip(header.split(), line.split(), strict=True))
    assert (said["row"], said["layer"], said["changed"]) == ("1", "1", "0")
    assert said["wrong"] == said["asked"] != "0"


def test_raises_where_a_row_is_fed_another_prompt():
    model = built("llama")
    rows = mixed_rows(model)[:3]
    batch = injection.lay_out(rows, model._module.generation_config.pad_token_id, share_prefix=False)
    batch.ids[1, -3] += 1
    recorder = injection.Recorder(batch, injection.end_of_turn_ids(model))
    injection.run_batch(model, batch, 2, 0.0, injection.PrefixCache(model, ways_to_share(model)), recorder)
    with pytest.raises(InjectionError, match="row 1 was not fed its own prompt"):
        recorder.verdict()


def test_says_where_a_push_is_too_small_to_be_seen():
    """Half precision rounds a tiny push away: the audit does not call that wrong, and does not call it verified."""
    model = built("llama", torch.bfloat16)
    prompt = prompts.render(model.tokenizer, ASKED, line=LINES[0], trial=1)
    row = injection.Row(prompt, prompt.span("from_turn_2")[:1] + (None,), vector(model, 0), 1e-6, 1)
    report = injection.audit_injection(model, [row], STEPS)
    assert not report["verifiable"].any()


def rows_read_once(model):
    """Rows whose prompts the engine reads once, without any vector, and goes on from there."""
    rows = [replace(row, strength=4 * scale * row.strength) for scale in (1, 2) for row in rows_that_share(model)]
    batch = injection.lay_out(rows, 0)
    assert any(part.depth for part in reading.plan_parts(batch, families.LAYERS, once=True))
    return rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", families.FAMILIES)
def test_passes_where_prompts_are_read_once(family, dtype):
    model = built(family, dtype)
    check_passes(model, rows_read_once(model))


def test_raises_where_a_row_takes_over_another_prompt(monkeypatch):
    model = built("llama")
    ways_to_share(model)  # tried before the fault, which would otherwise be found there
    read_once = reading._read_once

    def mixed_up(*arguments):
        once = read_once(*arguments)
        return replace(once, number=once.number.roll(1))

    monkeypatch.setattr(reading, "_read_once", mixed_up)
    with pytest.raises(InjectionError, match="was not fed its own prompt"):
        injection.audit_injection(model, rows_read_once(model), STEPS)


def test_raises_where_a_part_is_read_without_its_vector(monkeypatch):
    model = built("llama")
    ways_to_share(model)
    monkeypatch.setattr(reading, "addition", lambda stream, *_: torch.zeros_like(stream))
    with pytest.raises(InjectionError, match=r"audit failed in \d"):
        injection.audit_injection(model, rows_read_once(model), STEPS)


def test_a_run_starts_with_the_audit(monkeypatch):
    """What the engine itself gets wrong stops the run: here it forgets the reply."""
    model = built("llama")
    right = injection.lay_out

    def without_reply(*arguments):
        batch = right(*arguments)
        return replace(batch, end=batch.end.clamp(max=batch.ids.shape[1]))

    monkeypatch.setattr(injection, "lay_out", without_reply)
    with pytest.raises(InjectionError):
        injection.generate(model, mixed_rows(model), STEPS)
