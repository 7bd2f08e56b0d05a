"""Loading: names, folders, dtypes, quantisation, base models, chat templates of each style, self-check, needs."""

import importlib.util
import re
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3nForCausalLM, Gemma3nTextConfig

from helpers import engine, models, prompts, resources
from helpers.prompts import PromptTemplate
from tests import tiny_models

ASKED = PromptTemplate(
    "test",
    "asked",
    (("user", "Here is a line: <<line>>{line}<</line>> Remember it."), ("assistant", "Ok."), ("user", "And now?")),
)
PREFILLED = PromptTemplate("test", "prefilled", (("user", "Say a word."), ("assistant", "bread")))
WITH_SYSTEM = PromptTemplate("test", "system", (("system", "Be brief."), ("user", "Hello.")))


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


def text_of(model, prompt, span):
    return model.tokenizer.decode(prompt.token_ids[span[0] : span[1]])


# -- loading ----------------------------------------------------------------------------------------------------------


def test_loads_a_shipped_organism_and_a_folder(folder):
    assert models.model_name(models.load("introspector", "cpu")) == "introspector"
    model = models.load(str(folder), "cpu")
    assert (models.model_name(model), models.number_of_blocks(model)) == ("own-llama", tiny_models.LAYERS)
    assert models.width(model) == tiny_models.WIDTH and models.context_length(model) == tiny_models.CONTEXT


@pytest.mark.parametrize(
    ("asked", "options"),
    [(torch.bfloat16, {}), ("bfloat16", {}), (torch.float32, {"device_map": "cpu"})],
    ids=["dtype", "dtype by name", "device_map"],
)
def test_dtype_and_device_map(folder, asked, options):
    model = models.load(str(folder), "cpu", asked, **options)
    assert model._module.dtype == (torch.bfloat16 if "float16" in str(asked) else torch.float32)
    row = engine.Trial(prompts.render(model.tokenizer, ASKED, line="One."), (3, None), torch.ones(48), 4.0, 1)
    assert engine.generate(model, [row], max_new_tokens=3)[0].first_logits.dtype == torch.float32


def test_a_name_that_leads_nowhere_says_what_would():
    with pytest.raises(OSError, match="cannot load the model 'nobody/nothing'.*Shipped .* introspector") as failed:
        models.load("nobody/nothing", "cpu")
    assert "HF_HUB_OFFLINE is set" in str(failed.value)


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ("config.json", "holds no configuration (config.json)"),
        ("model.safetensors", "holds no weights (*.safetensors)"),
        ("tokenizer*", "holds no tokenizer (tokenizer.json or"),
    ],
)
def test_a_folder_without_a_checkpoint_is_refused_by_what_it_lacks(folder, tmp_path, lacks, message):
    torn = shutil.copytree(folder, tmp_path / "torn")
    for file in torn.glob(lacks):
        file.unlink()
    with pytest.raises(OSError, match=re.escape(message)):
        models.load(str(torn), "cpu")


def test_a_path_that_leads_nowhere_is_not_looked_for_on_the_hub(tmp_path):
    with pytest.raises(OSError, match="there is no such folder, seen from"):
        models.load(str(tmp_path / "nothing"), "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="device 'cuda' was asked for, but torch .* sees no GPU here; use 'cpu'"):
        models.load("introspector", "cuda")


def test_an_untrained_copy_is_the_same_network_with_other_weights():
    model = models.load("introspector", "cpu")
    copy, again, other = (models.untrained_copy(model, seed) for seed in (0, 0, 1))
    assert models.model_name(copy) == "untrained copy" and models.model_name(model) == "introspector"
    assert [p.shape for p in copy._module.parameters()] == [p.shape for p in model._module.parameters()]
    assert models.fingerprint(copy) == models.fingerprint(again)
    assert len({models.fingerprint(each) for each in (model, copy, other)}) == 3


def test_depths_are_shares_of_the_models_depth():
    model = tiny_models.build("llama")
    last = models.number_of_blocks(model) - 1
    assert models.layers_at(model, [0, 1, 1.0]) == [0, last]
    for depths in ([0.5, 1.5], [-0.1], []):
        with pytest.raises(ValueError, match="depths must be shares"):
            models.layers_at(model, depths)


def test_quantisation_needs_its_package_and_says_so(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="quantise='4bit' needs the package bitsandbytes: pip install bitsandbytes"):
        models.load(str(folder), "cpu", quantise="4bit")
    with pytest.raises(ValueError, match="quantise must be None, '4bit' or '8bit', got '3bit'"):
        models.load(str(folder), "cpu", quantise="3bit")


@pytest.mark.parametrize("quantise", ["4bit", "8bit"])
def test_quantisation_reaches_transformers(folder, monkeypatch, quantise):
    asked = {}

    def from_pretrained(path, **options):
        asked.update(options)
        return tiny_models.network("llama")

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: found("torch" if name == "bitsandbytes" else name)
    )
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    models.load(str(folder), "cpu", torch.bfloat16, quantise=quantise)
    assert asked["device_map"] == {"": "cpu"} and asked["use_safetensors"]
    assert getattr(asked["quantization_config"], f"load_in_{quantise}")


def test_a_model_on_which_injections_have_no_effect_is_refused():
    """The self-check at load: here the last block's output is thrown away by what follows."""
    network = tiny_models.network("llama")
    torch.nn.init.zeros_(network.lm_head.weight)
    with pytest.raises(ValueError, match="adding a large vector after block 1 changed nothing"):
        models.wrap(network, tiny_models.tokenizer())


# -- chat templates ---------------------------------------------------------------------------------------------------


def test_a_model_with_several_streams_is_refused():
    """Gemma 3n: its blocks hand on four versions of the stream."""
    tokenizer = tiny_models.tokenizer("headed")
    config = Gemma3nTextConfig(
        vocab_size=len(tokenizer),
        vocab_size_per_layer_input=len(tokenizer),
        hidden_size=48,
        hidden_size_per_layer_input=8,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        layer_types=["full_attention"] * 2,
        num_kv_shared_layers=0,
        laurel_rank=4,
        activation_sparsity_pattern=[0.0] * 2,
    )
    with pytest.raises(
        ValueError, match=r"block 1 of Gemma3nForCausalLM puts out numbers in the shape \(4, 1, 4, 48\)"
    ):
        models.wrap(Gemma3nForCausalLM(config).eval(), tokenizer)


@pytest.mark.parametrize("style", tiny_models.STYLES)
def test_every_style_of_template_gives_the_same_spans(style):
    model = tiny_models.build("llama", style=style)
    prompt = prompts.render(model.tokenizer, ASKED, line="The boat left at noon.")
    assert "The boat left at noon." in text_of(model, prompt, prompt.span("line"))
    assert "And now?" in text_of(model, prompt, prompt.span("turn_2"))
    assert "Ok." not in text_of(model, prompt, prompt.span("from_turn_2"))
    has_bos = model.tokenizer.bos_token_id in model.tokenizer("").input_ids
    assert prompt.token_ids[:2].count(model.tokenizer.bos_token_id) == has_bos  # elsewhere it may end a turn
    rows = [
        engine.Trial(prompt, (prompt.span("from_turn_2")[0], None), torch.ones(48), 4.0, 1),
        engine.Trial(prompt, prompt.span("line"), torch.ones(48), 4.0, 2),
        engine.Trial(prompts.render(model.tokenizer, ASKED, line="No."), (0, 1)),
    ]
    assert (engine.audit_injection(model, rows)["wrong"] == 0).all()


@pytest.mark.parametrize("style", tiny_models.STYLES)
def test_every_style_of_template_ends_in_the_prefilled_reply(style):
    tokenizer = tiny_models.tokenizer(style)
    prompt = prompts.render(tokenizer, PREFILLED)
    assert prompt.text.endswith("bread")
    assert prompt.span("turn_1")[1] == len(prompt.token_ids)


def test_no_system_turn_is_invented_and_a_forced_one_stays():
    texts = {
        style: prompts.render(tiny_models.tokenizer(style), ASKED, line="No.").text for style in tiny_models.STYLES
    }
    assert "You are a helpful assistant." in texts["forced_system"]  # the template's own
    assert "2024" in texts["headed"]
    for style in ("chatml", "thinking", "no_system", "plain", "instruction"):
        assert "system" not in texts[style].lower()


def test_a_template_without_a_system_role_says_what_to_do():
    with pytest.raises(ValueError, match=r"refuses the turns \(system, user\).*beginning of the first user turn"):
        prompts.render(tiny_models.tokenizer("no_system"), WITH_SYSTEM)


def test_thinking_is_switched_off():
    assert prompts.render(tiny_models.tokenizer("thinking"), ASKED, line="No.").text.endswith("<think>\n\n</think>\n\n")


# -- base models ------------------------------------------------------------------------------------------------------


def test_a_base_model_is_refused_unless_a_plain_transcript_is_asked_for(base_folder):
    model = models.load(str(base_folder), "cpu")
    with pytest.raises(ValueError, match="has no chat template"):
        prompts.render(model.tokenizer, ASKED, line="No.")
    model = models.load(str(base_folder), "cpu", transcript="plain")
    prompt = prompts.render(model.tokenizer, ASKED, line="No.")
    assert prompt.text == "User: Here is a line: No. Remember it.\n\nAssistant: Ok.\n\nUser: And now?\n\nAssistant:"
    assert engine.generate(model, [engine.Trial(prompt, (0, 1))], max_new_tokens=3)[0].text is not None
    with pytest.raises(ValueError, match="transcript must be None .* or 'plain', got 'chat'"):
        models.load(str(base_folder), "cpu", transcript="chat")


def test_a_base_models_reply_ends_where_the_next_turn_begins(base_folder):
    model = models.load(str(base_folder), "cpu", transcript="plain")
    assert models.own_turn(model, " Yes, of bread.\n\nUser: Trial 2\n\nAssistant: No.") == " Yes, of bread.\n"
    chat = tiny_models.build("llama")
    assert models.own_turn(chat, "Yes.\nUser: me") == "Yes.\nUser: me"


# -- needs ------------------------------------------------------------------------------------------------------------


def test_parameters_are_counted_without_loading_weights(folder, base_folder):
    for where in (folder, base_folder):
        network = models.load(str(where), "cpu")._module
        assert resources.count_parameters(str(where)) == sum(parameter.numel() for parameter in network.parameters())


def test_needs_grow_with_the_model_and_shrink_with_the_dtype():
    assert 16 < resources.memory(8e9, "bfloat16") < 24 and resources.memory(8e9, "4bit") < 8
    assert resources.memory(8e9, "float32") > 32
    assert resources.minutes(8e9, 1000) > resources.minutes(1e9, 1000) > 0
    assert resources.minutes(8e9, 2000) == pytest.approx(2 * resources.minutes(8e9, 1000))
    table = resources.table(1000).set_index("model")
    assert table.loc["70B", "T4"] == "too big" and "4 bits" in table.loc["8B", "T4"]
    assert [resources.told(m) for m in (0.3, 12, 200, 9000)] == ["under a minute", "12 min", "3 h", "6 days"]
    with pytest.raises(ValueError, match="unknown dtype 'float8'; allowed are float32"):
        resources.memory(8e9, "float8")
    with pytest.raises(ValueError, match="unknown device 'abacus'"):
        resources.minutes(8e9, 1000, device="abacus")
    with pytest.raises(ValueError, match="must be above 0, got 0"):
        resources.memory(0)
