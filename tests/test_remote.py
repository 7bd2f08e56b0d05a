"""Remote runs: the key is never shown, no key gives a clear message, and rehearsals equal a local run to the last bit."""

import threading
import traceback
from types import SimpleNamespace

import nnsight
import pytest
import torch
from nnsight.schema.config import CONFIG

from helpers import models, remote
from helpers.models import residual

SECRET = "key-that-nobody-must-see"


@pytest.fixture
def no_key(monkeypatch):
    monkeypatch.delenv(remote.KEY, raising=False)
    monkeypatch.setattr(CONFIG.API, "APIKEY", None)


@pytest.fixture
def a_key(no_key, monkeypatch):
    monkeypatch.setenv(remote.KEY, SECRET)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture(scope="module")
def model():
    return models.load("introspector", device="cpu")


@pytest.fixture(scope="module")
def inputs():
    ids = torch.tensor([[1, 20, 300, 40], [1, 7, 8, 9]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def read(model, inputs, **where):
    """Streams of all blocks at the last token and the logits there, run wherever `where` says."""
    with torch.no_grad():
        with model.trace(inputs, **where):
            streams = nnsight.save([])
            for block in model.blocks:
                streams.append(residual(block)[:, -1].clone())
            logits = model.output.logits[:, -1].clone().save()
    return torch.stack(list(streams)), logits


def steered(model, inputs, push, **where):
    """Logits with a vector added in the middle."""
    with torch.no_grad():
        with model.trace(inputs, **where):
            model.blocks[3].output += push
            logits = model.output.logits[:, -1].clone().save()
    return logits


@pytest.mark.parametrize("place", ["auto", "local"])
def test_without_a_key_the_simulation_is_chosen(no_key, place):
    assert remote.remote_mode(place) == "local"
    assert not remote.ndif_key_is_set()


def test_without_a_key_insisting_on_ndif_names_the_variable_and_the_way_out(no_key):
    with pytest.raises(remote.NoKey, match="NDIF_API_KEY.*'local'"):
        remote.remote_mode("ndif")


def test_offline_a_key_is_not_used_unless_insisted_on(a_key, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert remote.remote_mode() == "local"
    assert remote.remote_mode("ndif") is True


def test_an_empty_key_is_no_key(no_key, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv(remote.KEY, "  \n")
    assert remote.remote_mode() == "local"


@pytest.mark.parametrize("place", ["moon", "NDIF", " auto", "", None, True, 5, ["local"]], ids=repr)
def test_an_unknown_place_is_refused(no_key, place):
    with pytest.raises(ValueError, match="unknown place .* to run at; allowed are 'auto', 'ndif', 'local'"):
        remote.remote_mode(place)


def test_a_key_is_used_and_not_shown(a_key, capfd):
    assert remote.remote_mode() is True
    assert remote.remote_mode("ndif") is True
    assert remote.remote_mode("local") == "local"
    assert CONFIG.API.APIKEY == SECRET
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "broken", [f"{SECRET} {SECRET}", f"{SECRET}\n{SECRET}", f"{SECRET}é", f"'{SECRET}'", f'"{SECRET}"', f"{SECRET}\x01"]
)
def test_a_key_that_no_request_could_carry_is_refused_without_showing_it(no_key, monkeypatch, broken):
    monkeypatch.setenv(remote.KEY, broken)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(remote.NoKey, match="NDIF_API_KEY") as caught:
        remote.remote_mode()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_remote_run_that_fails_does_not_show_the_key(a_key, model, inputs, monkeypatch, capfd):
    """A real remote trace, towards a port of this machine on which nobody listens."""
    monkeypatch.setattr(CONFIG.API, "HOST", "http://127.0.0.1:9")
    monkeypatch.setattr("nnsight.modeling.huggingface._ID_CACHE", {model._module.name_or_path: "some/model"})
    with pytest.raises(Exception) as caught:
        read(model, inputs, remote=remote.remote_mode())
    assert not isinstance(caught.value, AssertionError)
    shown = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert "127.0.0.1" in shown or "refused" in shown
    assert SECRET not in shown


@pytest.mark.parametrize("offline", [True, False])
def test_models_that_cannot_be_asked_for_are_an_error_with_a_reason(monkeypatch, capfd, offline):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(CONFIG.API, "HOST", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="HF_HUB_OFFLINE" if offline else "127.0.0.1:9 cannot be reached: check"):
        remote.running_models()
    assert capfd.readouterr().err == ""


def test_only_running_models_are_listed(monkeypatch):
    states = {"b/two": "RUNNING", "a/one": "RUNNING", "c/three": "DEPLOYING"}
    answer = {
        name: {"repo_id": name, "model_key": f"X:{name}", "deployment_level": "HOT", "application_state": state}
        for name, state in states.items()
    }
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("nnsight.ndif._get", lambda *_, **__: {"deployments": answer})
    assert remote.running_models() == ["a/one", "b/two"]


@pytest.mark.parametrize(
    "deployments", [None, {}, [5], AttributeError, {"a": 5}, {"a": {"repo_id": "x"}}, {"a": {"state": "RUNNING"}}]
)
def test_a_status_of_another_form_is_an_error_with_a_reason(monkeypatch, deployments):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def status():
        if deployments is AttributeError:  # of nnsight itself, where the answer is no JSON object
            raise AttributeError("'list' object has no attribute 'get'")
        return SimpleNamespace(deployments=deployments)

    monkeypatch.setattr("nnsight.status", status)
    with pytest.raises(OSError, match="another form|answers, but no model runs there"):
        remote.running_models()


@pytest.mark.parametrize("state", [None, "DEPLOYING"])
def test_a_service_that_answers_but_runs_nothing_is_not_called_unreachable(monkeypatch, state):
    entry = {"repo_id": "a/one", "model_key": "X:a/one", "deployment_level": "HOT", "application_state": state}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("nnsight.ndif._get", lambda *_, **__: {"deployments": {"a/one": entry} if state else {}})
    with pytest.raises(OSError, match="answers, but no model runs there now"):
        remote.running_models()


def test_a_rehearsal_equals_the_local_run_to_the_last_bit(model, inputs):
    for mine, theirs in zip(read(model, inputs), read(model, inputs, remote="local"), strict=True):
        assert torch.equal(mine, theirs)


def test_an_injection_is_rehearsed_as_well(model, inputs):
    vector = torch.randn(models.width(model), generator=torch.Generator().manual_seed(0))
    clean, injected = (steered(model, inputs, scale * vector) for scale in (0, 1))
    assert not torch.equal(clean, injected)
    assert torch.equal(injected, steered(model, inputs, vector, remote="local"))


def test_what_cannot_be_packed_is_refused_before_anything_is_sent(model, inputs):
    lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot pickle"):
        with model.trace(inputs, remote="local"):
            with lock:
                logits = model.output.logits.save()  # noqa: F841
