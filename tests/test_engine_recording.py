"""A step that is recorded and replayed gives the answers that `generate` gives. On the CPU the same steps are run, not replayed."""

from dataclasses import replace

import pytest
import torch

from helpers import engine
from helpers.engine import generation, recording
from tests import tiny_models
from tests.plain_hooks import mixed_trials, tiny_model, tokens_of

LONG = 24
NOT_PLAIN = {
    "qwen3_5": "its cache holds states of linear attention",
    "bloom": "its attention wants a mask of another form",
}


@pytest.fixture
def recorded(monkeypatch):
    """Record on the CPU, too; the list counts the steps."""
    steps, call = [], recording.RecordedStep.__call__
    monkeypatch.setattr(recording, "DEVICES", ("cpu",))
    monkeypatch.setattr(recording.RecordedStep, "__call__", lambda *given: steps.append(1) or call(*given))
    recording._admitted.clear()
    yield steps
    recording._admitted.clear()


def family_model(name):
    """A tiny model of the family, with a window that holds all of a trial where it has one (or nothing is cached)."""
    windowed = "sliding_window" in tiny_models.FAMILIES[name][1]
    return tiny_models.build(name, sliding_window=200) if windowed else tiny_model(name)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_every_family_answers_as_without_recording(family, recorded):
    model = family_model(family)
    expected = unrecorded(model, mixed_trials(model), LONG)
    assert not recorded
    assert tokens_of(engine.generate(model, mixed_trials(model), LONG)) == expected
    assert recording.can_record(model) == (family not in NOT_PLAIN)
    assert (len(recorded) > recording.PROBED_STEPS) == (family not in NOT_PLAIN)
    assert engine.audit_injection(model, mixed_trials(model), 5)["wrong"].sum() == 0


def unrecorded(*given, **options):
    """Tokens as `generate` of Hugging Face writes them."""
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(recording, "DEVICES", ())
        return tokens_of(engine.generate(*given, **options))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_trials_that_have_ended_leave_and_change_nothing(temperature, recorded, monkeypatch):
    model = tiny_model("llama")
    trials = [replace(trial, seed=k) for k, trial in enumerate(mixed_trials(model) * 3)]
    habits = model._module.generation_config
    whole = [tokens for tokens in unrecorded(model, trials, LONG, temperature) if len(tokens) == LONG]
    ends = [tokens[2 + 5 * k] for k, tokens in enumerate(whole[:4])]
    monkeypatch.setattr(habits, "eos_token_id", [*habits.eos_token_id, *ends])
    alone = unrecorded(model, trials, LONG, temperature, batch_size=1)
    assert len({len(tokens) for tokens in alone}) > 3
    for divisor in (2, 99):
        monkeypatch.setattr(generation, "COMPACTION_DIVISOR", divisor)
        assert tokens_of(engine.generate(model, trials, LONG, temperature, batch_size=8)) == alone
    assert len(recorded) > recording.PROBED_STEPS


def test_a_batch_stops_when_every_trial_has_ended(recorded, monkeypatch):
    model = tiny_model("llama")
    trials = mixed_trials(model)[:1]
    first = unrecorded(model, trials, LONG)[0]
    habits = model._module.generation_config
    monkeypatch.setattr(habits, "eos_token_id", [*habits.eos_token_id, first[3]])
    assert tokens_of(engine.generate(model, trials, LONG)) == [first[: first.index(first[3])]]
    assert len(recorded) <= recording.PROBED_STEPS + 3


def test_a_model_with_a_sliding_window_goes_on_after_trials_have_left(recorded, monkeypatch):
    model, lengths, give_back = family_model("gemma3_text"), [], recording.RecordedStep.give_back

    def noted(step):
        give_back(step)
        lengths.append({layer.get_seq_length() for layer in step.running.cache.layers})

    monkeypatch.setattr(recording.RecordedStep, "give_back", noted)
    trials, habits = mixed_trials(model), model._module.generation_config
    whole = unrecorded(model, trials, LONG, 1.0)
    begun = {token for tokens in whole for token in tokens[:3]}
    end = next(token for token in whole[0] if token not in begun)  # so no reply ends before steps are recorded
    monkeypatch.setattr(habits, "eos_token_id", [*habits.eos_token_id, end])
    monkeypatch.setattr(generation, "COMPACTION_DIVISOR", 99)
    alone = unrecorded(model, trials, LONG, 1.0, batch_size=1)
    assert tokens_of(engine.generate(model, trials, LONG, 1.0)) == alone
    assert len(lengths) > 1 and all(len(each) == 1 for each in lengths)  # full and sliding layers have read as much


def test_the_audit_sees_a_recorded_step_that_forgets_its_vectors(recorded, monkeypatch):
    right = recording.RecordedStep.__init__

    def forgetful(step, *given):
        right(step, *given)
        step.inside = torch.zeros_like(step.inside)

    monkeypatch.setattr(recording, "probe", lambda model: True)  # which would notice
    monkeypatch.setattr(recording.RecordedStep, "__init__", forgetful)
    model = tiny_model("llama")
    trials = [replace(trial, span=(trial.span[0], None)) for trial in mixed_trials(model)]
    with pytest.raises(engine.InjectionError, match="the injection audit failed"):
        engine.generate(model, trials, LONG)


def hook(model):
    return model.blocks._module[0].register_forward_hook(lambda *_: None)


def hook_before(model):
    return model.blocks._module[0].register_forward_pre_hook(lambda *_: None)


def hook_on_all(_model):
    return torch.nn.modules.module.register_module_forward_hook(lambda *_: None)


@pytest.mark.parametrize("attach", [hook, hook_before, hook_on_all])
def test_hooks_of_others_are_never_left_out(attach, recorded):
    model = tiny_model("llama")
    assert recording.can_record(model)
    handle = attach(model)
    try:
        assert not recording.can_record(model)
    finally:
        handle.remove()
    assert recording.can_record(model)


def test_an_edited_model_is_not_recorded(recorded):
    model = tiny_models.build("llama")
    assert recording.can_record(model)
    model._edits.append("an edit")
    assert not recording.can_record(model)


def test_a_model_in_another_dtype_is_tried_anew(recorded):
    model = tiny_models.build("llama")
    assert recording.can_record(model)
    model._module.bfloat16()
    recording.can_record(model)
    assert len(recorded) > recording.PROBED_STEPS


def test_short_memory_at_the_probe_is_not_remembered(recorded, monkeypatch):
    def full(_model):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = tiny_model("llama")
    with pytest.MonkeyPatch.context() as crowded:
        crowded.setattr(recording, "probe", full)
        with pytest.raises(torch.OutOfMemoryError):
            recording.can_record(model)
    assert recording.can_record(model)


@pytest.mark.parametrize("fault", ["column", "vector", "position"])
def test_the_probe_sees_a_step_that_is_wrong(fault, recorded, monkeypatch):
    trace = recording.RecordedStep.trace

    def wrong(step, recorder=None):
        trace(step, recorder)
        if fault == "column":
            step.column -= 1
        elif fault == "position":
            step.position -= 1
        else:
            step.inside = torch.zeros_like(step.inside)

    monkeypatch.setattr(recording.RecordedStep, "trace", wrong)
    assert not recording.can_record(tiny_models.build("qwen2"))


def test_a_cpu_records_nothing():
    assert not recording.can_record(tiny_model("qwen2"))
