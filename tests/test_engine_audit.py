"""The injection audit passes what is right on every family and raises on every planted fault."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from helpers import engine, prompts
from helpers.engine import InjectionError, generation
from helpers.engine.audit import AUDITED_TRIALS, Recorder, sample_trials
from helpers.engine.batch import Batch, collate
from tests import tiny_models
from tests.plain_hooks import LINES, QUESTION, mixed_trials, tiny_model, trials_with_a_shared_prefix, vector

STEPS = 4


def strong(trials):
    """Injections far above what half precision rounds away."""
    return [replace(trial, strength=4 * trial.strength) for trial in trials]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("choose", [mixed_trials, trials_with_a_shared_prefix], ids=["ragged", "shared prefix"])
def test_passes_mixed_layers_spans_and_controls(choose, family, dtype):
    model = tiny_model(family, dtype)
    trials = strong(choose(model))
    report = engine.audit_injection(model, trials, STEPS)
    injected = {i for i, trial in enumerate(trials) if trial.vector is not None}
    assert set(report["trial"]) == injected  # controls are untouched
    assert (report["wrong"] == 0).all() and report["verifiable"].all()
    assert (report["asked"] == report["changed"]).all()
    measured, asked = (torch.tensor(report[name].tolist()) for name in ("measured_size", "asked_size"))
    torch.testing.assert_close(measured, asked, rtol=0.02, atol=0)


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
            for i, trial in enumerate(batch.trials):
                if trial.vector is None or (trial.layer + (fault == "next layer")) % len(blocks) != layer:
                    continue
                if (fault == "prefill only" and decoding) or (fault == "reply only" and not decoding):
                    continue
                if fault == "a trial skipped" and i == 1:
                    continue
                first = {"whole prompt": 0, "no padding counted": trial.span[0]}.get(fault, trial.span[0] + padding[i])
                first += (fault == "one late") - (fault == "one early")
                last = 10**6 if trial.span[1] is None or fault == "never ends" else trial.span[1] + padding[i]
                column = passes[layer] + torch.arange(stream.shape[1])
                inside = ((column >= first) & (column < last))[:, None]
                push = trial.strength * trial.vector
                if fault == "normalised":
                    push = trial.strength * trial.vector / trial.vector.norm()
                elif fault == "10 % too much":
                    push = 1.1 * push
                elif fault == "negated":
                    push = -push
                elif fault == "trial 0's vector":
                    push = trial.strength * batch.trials[0].vector
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
    "trial 0's vector",
    "a trial skipped",
    "controls too",
    "next layer",
    "a step counted as the first",
    "returned unchanged",
]


@pytest.mark.parametrize("family", ["llama", "gptj"])  # blocks that return a tensor, and a tuple
def test_passes_somebody_elses_hooks_that_are_right(family):
    model = tiny_model(family)
    report = engine.audit_injection(model, mixed_trials(model), STEPS, foreign_hooks=hooks)
    assert (report["wrong"] == 0).all()


@pytest.mark.parametrize("fault", FAULTS)
def test_raises_on_a_planted_fault(fault):
    model = tiny_model("llama")
    with pytest.raises(InjectionError, match=r"audit failed in \d"):
        engine.audit_injection(
            model, mixed_trials(model), STEPS, foreign_hooks=lambda network, batch: hooks(network, batch, fault)
        )


def test_raises_on_a_fault_in_bfloat16_under_left_padding():
    """A span off by one is one position of a ragged batch; half precision must not hide it."""
    model = tiny_model("qwen2", torch.bfloat16)
    for fault in ("one late", "10 % too much", "a trial skipped"):
        with pytest.raises(InjectionError):
            engine.audit_injection(
                model,
                strong(mixed_trials(model)),
                STEPS,
                foreign_hooks=lambda network, batch, fault=fault: hooks(network, batch, fault),
            )


def test_names_the_trial_and_how_many_positions_are_wrong():
    model = tiny_model("llama")
    with pytest.raises(InjectionError) as failed:
        engine.audit_injection(
            model,
            mixed_trials(model),
            STEPS,
            foreign_hooks=lambda network, batch: hooks(network, batch, "a trial skipped"),
        )
    header, line = str(failed.value).splitlines()[-2:]
    said = dict(zip(header.split(), line.split(), strict=True))
    assert (said["trial"], said["layer"], said["changed"]) == ("1", "1", "0")
    assert said["wrong"] == said["asked"] != "0"


def test_raises_where_a_trial_is_fed_another_prompt():
    model = tiny_model("llama")
    batch = collate(mixed_trials(model)[:3], model._module.generation_config.pad_token_id, share_prefix=False)
    batch.ids[1, -3] += 1
    with pytest.raises(InjectionError, match="trial 1 of the batch was not fed its own prompt"):
        generation.run_batch(model, batch, 2, recorder=Recorder(batch))


def test_says_where_an_injection_is_too_small_to_be_seen():
    """Half precision rounds a tiny vector away: the audit does not call that wrong, and does not call it verified."""
    model = tiny_model("llama", torch.bfloat16)
    prompt = prompts.render(model.tokenizer, QUESTION, line=LINES[0], trial=1)
    trial = engine.Trial(prompt, (prompt.span("from_turn_2")[0], None), vector(model, 0), 1e-6, 1)
    report = engine.audit_injection(model, [trial], STEPS)
    assert not report["verifiable"].any()


def test_the_sample_of_a_sweep_has_every_layer_and_controls():
    trial = mixed_trials(tiny_model("llama"))[0]
    trials = [replace(trial, vector=None)] * 200 + [replace(trial, layer=layer) for layer in (0, 1, 2)]
    sample = [trials[i] for i in sample_trials(trials)]
    assert len(sample) == AUDITED_TRIALS
    assert {None if each.vector is None else each.layer for each in sample} == {None, 0, 1, 2}


def forget_the_reply(monkeypatch):
    """The engine stops injecting where the prompt ends."""
    right = Batch.steering

    def shortened(batch):
        batch.end.clamp_(max=batch.ids.shape[1])
        return right(batch)

    monkeypatch.setattr(Batch, "steering", shortened)


def forget_a_layer(monkeypatch):
    """The engine leaves out one of the layers."""
    right = generation.RunningBatch.steered
    monkeypatch.setattr(generation.RunningBatch, "steered", lambda running: right(running)[1:])


def mix_up_trials_that_stay(monkeypatch):
    """After ended trials have left, the vectors belong to other trials."""
    right = generation.RunningBatch.append

    def mixed_up(running, new, ended):
        right(running, new, ended)
        running.vectors = running.vectors.roll(1, 0)

    monkeypatch.setattr(generation.RunningBatch, "append", mixed_up)


@pytest.mark.parametrize("fault", [forget_the_reply, forget_a_layer, mix_up_trials_that_stay])
def test_stops_a_sweep_in_which_the_engine_itself_is_wrong(fault, monkeypatch):
    model = tiny_model("llama")
    trials = [replace(trial, span=(trial.span[0], None)) for trial in mixed_trials(model)]
    if fault is mix_up_trials_that_stay:
        first = engine.generate(model, trials, 8, audit=False)[0].token_ids
        habits = model._module.generation_config
        monkeypatch.setattr(habits, "eos_token_id", [*habits.eos_token_id, first[2]])
        monkeypatch.setattr(generation, "COMPACTION_DIVISOR", 99)
    fault(monkeypatch)
    with pytest.raises(InjectionError):
        engine.generate(model, trials, 8)
