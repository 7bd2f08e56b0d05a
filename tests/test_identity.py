"""The same model or another one: what changes answers changes its identity, and nothing else does."""

import cmath
import enum
import functools
import math
import sys
from types import FunctionType, ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import GenerationMixin
from transformers.models.llama import modeling_llama

from helpers import models
from helpers.experiments.run_identity import conditions
from helpers.models.identity import describe
from tests import tiny_models


def identity(model) -> dict:
    return conditions(model, 3, 0.0)


class Scaler:
    """An activation function that holds its number."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x

    def apply(self, x):
        return self.factor * x


def scaling(factor):
    return lambda x: factor * x


def after(first, second):
    return lambda x: second(first(x))


def decorated(function, factor):
    """`functools.wraps` lets it pass for the function itself."""

    @functools.wraps(function)
    def scaled(*arguments, **options):
        return factor * function(*arguments, **options)

    return scaled


Side = enum.Enum("Side", ["LEFT", "RIGHT"])
PAIRS = {  # two values of an attribute of a module
    "object that is called": lambda factor: Scaler(factor),
    "its method": lambda factor: Scaler(factor).apply,
    "closure in a closure": lambda factor: after(F.gelu, scaling(factor)),
    "decorated function": lambda factor: decorated(F.silu, factor),
    "settings": lambda factor: SimpleNamespace(factor=factor),
    "enum": lambda factor: Side(factor),
    "private settings": lambda factor: {"default": [factor]},
    "private set": lambda factor: {"default", factor},
    "array": lambda factor: np.array([factor]),
}


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_what_an_attribute_holds_counts_however_deep_it_lies(make):
    seen = []
    for factor in (1, 2, 1):
        model = tiny_models.build("llama")
        vars(model._module.model.layers[1].mlp)["_given"] = make(factor)
        seen.append(identity(model))
    assert seen[0] == seen[2] != seen[1]


class Base(torch.nn.Linear):
    bias_factor = 1.0

    def factor(self):
        return 2.0

    @property
    def other(self):
        return 2.0


class Own(Base):
    def forward(self, x):
        return super().forward(x) * self.factor() * self.other * self.bias_factor


@pytest.mark.parametrize(
    ("name", "value"), [("factor", lambda self: 3.0), ("other", property(lambda self: 3.0)), ("bias_factor", 2.0)]
)
def test_what_a_class_inherits_counts(name, value, monkeypatch):
    model = tiny_models.build("llama")
    model._module.model.layers[1].mlp.down_proj.__class__ = Own
    before = identity(model)
    monkeypatch.setattr(Base, name, value)
    assert identity(model) != before


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (F, "scaled_dot_product_attention"),  # as faster kernels ask for in their readme
        (F, "silu"),
        (modeling_llama, "rotate_half"),  # called by a function that the forward calls
        (modeling_llama, "repeat_kv"),
        (modeling_llama.LlamaAttention, "forward"),
        (GenerationMixin, "_sample"),
    ],
)
def test_a_function_that_somebody_has_replaced_in_a_library_counts(place, name, monkeypatch):
    model = tiny_models.build("llama")
    before = identity(model)
    monkeypatch.setattr(place, name, decorated(getattr(place, name), 0.5))
    assert identity(model) != before


def test_a_forward_that_is_replaced_by_a_decorated_one_is_seen():
    network = tiny_models.network("llama")
    network.model.layers[0].mlp.forward = decorated(network.model.layers[0].mlp.forward, 0.5)
    model = models.wrap(network, tiny_models.tokenizer())
    assert models.changes_from_outside(model) == ["a replaced forward of model.layers.0.mlp"]


def test_the_precision_of_products_counts_on_the_models_device_and_only_there():
    model = tiny_models.build("llama")
    seen = [identity(model)["computation"]]
    try:
        for precision in ("bf16", "tf32"):
            torch.backends.mkldnn.matmul.fp32_precision = precision
            seen.append(identity(model)["computation"])
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = "none"
    assert len(set(seen)) == 3
    try:
        torch.backends.cuda.matmul.allow_tf32 = True
        assert identity(model)["computation"] == seen[0]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


def test_how_tokens_become_text_and_where_replies_end_count():
    model = tiny_models.build("llama")
    seen = [identity(model)]
    model._module.generation_config.eos_token_id = [3, 2]
    seen.append(identity(model))
    model.tokenizer.decode = functools.partial(model.tokenizer.decode, skip_special_tokens=True)
    seen.append(identity(model))
    assert seen[0] != seen[1] != seen[2]
    model._module.generation_config.eos_token_id = [2, 3]
    assert identity(model) == seen[2]


HARMLESS = {
    "pad token": lambda model: setattr(model.tokenizer, "pad_token", model.tokenizer.eos_token),
    "a new pad token": lambda model: model.tokenizer.add_special_tokens({"pad_token": "[PAD]"}),
    "padding side": lambda model: setattr(model.tokenizer, "padding_side", "right"),
    "gradient checkpointing": lambda model: model._module.gradient_checkpointing_enable(),
    "hidden states": lambda model: setattr(model._module.config, "output_hidden_states", True),
    "no cache": lambda model: setattr(model._module.config, "use_cache", False),
    "another commit": lambda model: setattr(model._module.config, "_commit_hash", "abc"),
    "a dtype as torch's own": lambda model: setattr(model._module.config, "dtype", torch.float32),
    "another name": lambda model: setattr(model._module, "name_or_path", "/elsewhere/mine"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_changes_no_answer_leaves_the_identity(change):
    model = tiny_models.build("llama")
    model._module.config.dtype = "float32"
    before = identity(model)
    change(model)
    assert identity(model) == before and before["changes"] == ""


def test_a_checkpoint_is_the_same_however_it_is_called_and_stored(tmp_path):
    model = models.load("novice", "cpu")
    folders = [tmp_path / "saved", tmp_path / "in-pieces", tmp_path / "linked"]
    for folder, size in zip(folders, ("1GB", "100KB"), strict=False):
        model._module.save_pretrained(folder, max_shard_size=size)
        model.tokenizer.save_pretrained(folder)
    folders[2].symlink_to(folders[1])
    assert all(identity(models.load(str(folder), "cpu")) == identity(model) for folder in folders)


def unfinished():
    """A function whose closure has an empty cell."""

    def scaled(x):
        return x * later

    if not scaled:
        later = 2
    return scaled


def names_types(x):
    return x if isinstance(x, FunctionType | np.ndarray | np.float32) else None


@pytest.mark.parametrize("given", [unfinished(), names_types, print, np.float32, FunctionType])
def test_a_function_that_holds_types_or_nothing_yet_is_described(given):
    assert describe(given) == describe(given)


def test_functions_that_are_built_in_are_told_apart_by_their_modules():
    assert len({describe(each) for each in (print, math.exp, cmath.exp, F.gelu)}) == 4


def test_what_a_package_notes_while_it_computes_does_not_count(monkeypatch):
    """As bitsandbytes keeps the columns of the last batch beside each layer."""
    package = ModuleType("quantiser")
    package.__file__ = "/venv/lib/python3/site-packages/quantiser/__init__.py"
    monkeypatch.setitem(sys.modules, "quantiser", package)
    notes = type("Notes", (), {"__module__": "quantiser.layers"})
    seen = []
    for length in (3, 7):
        model = tiny_models.build("llama")
        model._module.model.layers[1].mlp.state = notes()
        model._module.model.layers[1].mlp.state.columns = torch.arange(length)
        seen.append(identity(model))
    assert seen[0] == seen[1]
