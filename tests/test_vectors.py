"""Concept vectors: what is kept on disk belongs to one model, is never trusted when damaged, and is done without where it must be."""

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from helpers import vectors
from helpers.paths import run_folder
from tests import tiny_models


@pytest.fixture(scope="module")
def model():
    return tiny_models.build("llama")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of the kept states, empty."""
    monkeypatch.setenv("INTROSPECTION_RUNS", str(tmp_path))
    return run_folder("vectors")


def oceans(model) -> torch.Tensor:
    return vectors.concept_vectors(model, ["oceans"])


def test_vectors_are_read_once_and_belong_to_one_models_weights(model, cache, monkeypatch):
    own = oceans(model)
    assert not torch.equal(own, oceans(tiny_models.build("llama", seed=1)))
    assert len(list(cache.iterdir())) == 4  # baseline and word, of two models of one name
    monkeypatch.setattr(vectors, "read_residuals", lambda *_arguments, **_options: pytest.fail("read again"))
    assert torch.equal(oceans(model), own)


DAMAGE = {
    "empty": lambda content: b"",
    "torn": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"no such file" * 99,
    "another number": lambda content: content[:-4] + b"\x00\x00\x80\x3f",
    "other tensors": lambda content: save({"weights": torch.ones(3)}),
    "states without a hash": lambda content: save({"states": torch.ones(1, 3, tiny_models.WIDTH)}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_states_are_set_aside_and_made_anew(damage, model, cache):
    before = oceans(model)
    files = sorted(cache.iterdir())
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{files[0].name} is damaged and set aside"):
        assert torch.equal(oceans(model), before)
    assert sorted(cache.iterdir()) == sorted([*files, *(file.with_suffix(".damaged") for file in files)])


def test_a_full_disk_costs_the_cache_and_nothing_else(model, cache, monkeypatch):
    before, right = oceans(model), vectors.tempfile.NamedTemporaryFile

    def full(**options):
        handle = right(**options)
        handle.write = no_room
        return handle

    def no_room(_content):
        raise OSError(28, "No space left on device")

    for file in cache.iterdir():
        file.unlink()
    monkeypatch.setattr(vectors.tempfile, "NamedTemporaryFile", full)
    with pytest.warns(UserWarning, match="vectors are not kept for the next run: cannot write to .*No space left"):
        assert torch.equal(oceans(model), before)
    assert list(cache.iterdir()) == []


def test_two_processes_may_write_the_same_states(model, cache, monkeypatch):
    """The second one writes everything between the first one's writing and renaming."""
    right, others = Path.replace, []

    def interrupted(file, target):
        if not others:
            others.append(True)
            others.append(oceans(model))
        return right(file, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is lost, not even for the next run
        assert torch.equal(oceans(model), others[1])
    assert {file.suffix for file in cache.iterdir()} == {".safetensors"}


def test_a_word_beyond_the_models_context_is_refused(model):
    with pytest.raises(
        ValueError, match=f"the prompt has .* tokens, but the model's context holds {tiny_models.CONTEXT}"
    ):
        vectors.concept_vectors(model, ["ocean " * 700])
