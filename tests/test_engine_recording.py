"""A step that is recorded and replayed gives the answers that `generate` gives. On the CPU the same steps are run, not replayed."""

from dataclasses import replace

import pytest

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
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(recording, "DEVICES", ())
        expected = tokens_of(engine.generate(model, mixed_trials(model), LONG))
    assert not recorded
    assert tokens_of(engine.generate(model, mixed_trials(model), LONG)) == expected
    assert recording.can_record(model) == (family not in NOT_PLAIN)
    assert (len(recorded) > recording.PROBED_STEPS) == (family not in NOT_PLAIN)
    assert engine.audit_injection(model, mixed_trials(model), 5)["wrong"].sum() == 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_trials_that_have_ended_leave_and_change_nothing(temperature, recorded, monkeypatch):
    model = tiny_model("llama")
    trials = [replace(trial, seed=k) for k, trial in enumerate(mixed_trials(model) * 3)]
    whole = tokens_of(engine.generate(model, trials, LONG, temperature, batch_size=1))
    habits = model._module.generation_config
    whole = [tokens for tokens in whole if len(tokens) == LONG]
    ends = [tokens[2 + 5 * k] for k, tokens in enumerate(whole[:4])]
    monkeypatch.setattr(habits, "eos_token_id", [*habits.eos_token_id, *ends])
    alone = tokens_of(engine.generate(model, trials, LONG, temperature, batch_size=1))
    assert len({len(tokens) for tokens in alone}) > 3
    for divisor in (2, 99):
        monkeypatch.setattr(generation, "COMPACTION_DIVISOR", divisor)
        assert tokens_of(engine.generate(model, trials, LONG, temperature, batch_size=8)) == alone


def test_a_model_with_a_sliding_window_goes_on_after_trials_have_left(recorded, monkeypatch):
    model = family_model("gemma3_text")
    first = engine.generate(model, mixed_trials(model), LONG)[0].token_ids
    habits = model._module.generation_config
    monkeypatch.setattr(habits, "eos_token_id", [*habits.eos_token_id, first[3]])
    monkeypatch.setattr(generation, "COMPACTION_DIVISOR", 99)
    alone = tokens_of(engine.generate(model, mixed_trials(model), LONG, batch_size=1))
    assert tokens_of(engine.generate(model, mixed_trials(model), LONG)) == alone


def test_the_audit_sees_a_recorded_step_that_forgets_its_vectors(recorded, monkeypatch):
    right = recording.RecordedStep.__init__

    def forgetful(step, *given):
        right(step, *given)
        step.end = step.start

    monkeypatch.setattr(recording.RecordedStep, "__init__", forgetful)
    model = tiny_model("llama")
    trials = [replace(trial, span=(trial.span[0], None)) for trial in mixed_trials(model)]
    with pytest.raises(engine.InjectionError, match="the injection audit failed"):
        engine.generate(model, trials, LONG)


def test_hooks_of_others_are_never_left_out(recorded):
    model, seen = tiny_model("llama"), []
    trials = mixed_trials(model)
    assert recording.can_record(model)
    handle = model.blocks._module[0].register_forward_hook(lambda *_: seen.append(1))
    try:
        assert not recording.can_record(model)
        engine.generate(model, trials, 4)
    finally:
        handle.remove()
    assert len(seen) >= 4
    assert len(recorded) == recording.PROBED_STEPS


def test_a_model_whose_recorded_step_is_wrong_is_not_recorded(recorded, monkeypatch):
    monkeypatch.setattr(recording.RoomyLayer, "update", lambda layer, keys, values, *_: (layer.keys, layer.values))
    assert not recording.can_record(tiny_model("qwen2"))


def test_a_cpu_records_nothing():
    assert not recording.can_record(tiny_model("qwen2"))
