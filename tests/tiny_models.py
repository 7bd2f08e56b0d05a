"""Tiny random-weight models of the real transformers classes, each with the chat template style of its family.

All share the organisms' small tokenizer. Weights are drawn wide enough that greedy answers vary and injections change them.
"""

import copy
from functools import lru_cache

import torch
from transformers import AutoConfig, PreTrainedTokenizerFast

from helpers import models
from helpers.models.architecture import model_class
from helpers.organisms.tokenizer import train_tokenizer

WIDTH, LAYERS, CONTEXT = 48, 3, 256

HEADED = (  # Llama 3: BOS in the template, headers around the role, a system text of its own when none is given
    "{{ bos_token }}{% if messages[0]['role'] != 'system' %}"
    "{{ '[system]\\n\\nToday is a day in 2024.<|end|>' }}{% endif %}"
    "{% for message in messages %}{{ '[' + message['role'] + ']\\n\\n' + message['content'] | trim + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]\\n\\n' }}{% endif %}"
)
CHATML = (  # Qwen2: no BOS
    "{% for message in messages %}"
    "{{ '<im_start>' + message['role'] + '\\n' + message['content'] + '<|end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im_start>assistant\\n' }}{% endif %}"
)
FORCED_SYSTEM = (  # Qwen2.5, SmolLM: a default system turn
    "{% if messages[0]['role'] != 'system' %}{{ '<im_start>system\\nYou are a helpful assistant.<|end|>\\n' }}{% endif %}"
) + CHATML
THINKING = (  # Qwen3: an empty thought where thinking is switched off, else the model would write one itself
    "{% for message in messages %}{{ '<im_start>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ message['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im_start>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)
NO_SYSTEM = (  # Gemma: refuses a system turn, calls the assistant "model", wants user and model in turn
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '[turn]' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' + message['content'] | trim + '<|end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '[turn]model\\n' }}{% endif %}"
)
PLAIN = (  # GPT-2 and GPT-NeoX: no BOS, a transcript in plain text
    "{% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] + '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
INSTRUCTION = (  # Mistral: user turns in brackets, replies bare
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + '<|end|>' }}{% else %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}{% endfor %}"
)
STYLES = {
    "headed": HEADED,
    "chatml": CHATML,
    "forced_system": FORCED_SYSTEM,
    "thinking": THINKING,
    "no_system": NO_SYSTEM,
    "plain": PLAIN,
    "instruction": INSTRUCTION,
}

GPT2_SIZES = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": CONTEXT, "initializer_range": 0.2}
WINDOW = {"sliding_window": 32}  # shorter than the tests' prompts
GROUPED = {"num_key_value_heads": 2, "head_dim": 16}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8}
LINEAR = {  # Qwen3.5: three of four layers are linear attention
    "num_hidden_layers": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
# model type -> (template style, what its config needs beside the sizes that all share)
FAMILIES = {
    "llama": ("headed", {"num_key_value_heads": 2}),
    "qwen2": ("forced_system", {"num_key_value_heads": 2}),
    "qwen3": ("thinking", GROUPED),
    "qwen3_moe": ("thinking", GROUPED | EXPERTS),
    "qwen3_5": ("thinking", GROUPED | LINEAR),
    "gemma2": ("no_system", GROUPED | WINDOW),
    "gemma3_text": ("no_system", GROUPED | WINDOW),
    "gemma3": ("no_system", GROUPED | WINDOW),  # from 4B up: sees pictures too
    "gemma4": ("no_system", GROUPED),
    "mistral": ("instruction", {"num_key_value_heads": 2, **WINDOW}),
    "mistral3": ("instruction", GROUPED | {"model_type": "mistral"}),  # Mistral Small: sees pictures too
    "gpt_oss": ("headed", GROUPED | WINDOW | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "phi3": ("headed", {"num_key_value_heads": 2}),
    "olmo2": ("chatml", {"num_key_value_heads": 4}),
    "olmo3": ("chatml", {"num_key_value_heads": 4, **WINDOW}),
    "smollm3": ("forced_system", {"num_key_value_heads": 2}),
    "gpt2": ("plain", GPT2_SIZES),
    "gptj": ("plain", {**GPT2_SIZES, "rotary_dim": 8}),  # blocks return a tuple
    "gpt_neox": ("plain", {}),
    "opt": ("plain", {"ffn_dim": 2 * WIDTH, "init_std": 0.2}),
    "bloom": ("plain", {"n_layer": LAYERS, "n_head": 4}),  # positions without end
    "falcon": ("plain", {"num_kv_heads": 2, "alibi": False, "new_decoder_architecture": True}),  # a tuple too
}
PICTURES = {  # families whose configuration has a part for text and one for pictures
    "gemma3": {"vision_config": {**VISION, "patch_size": 4}, "mm_tokens_per_image": 4},
    "gemma4": {},
    "mistral3": {"vision_config": {**VISION, "patch_size": 4, "head_dim": 8, "model_type": "pixtral"}},
    "qwen3_5": {},
}


@lru_cache(maxsize=1)
def _trained_tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer()


def tokenizer(style: str = "headed") -> PreTrainedTokenizerFast:
    """A fresh copy of the small tokenizer with a chat template of the style; "plain" and ChatML styles add no BOS."""
    made = copy.deepcopy(_trained_tokenizer())
    if style in ("chatml", "forced_system", "thinking", "plain"):
        made._tokenizer.post_processor = None
        made.bos_token = made.eos_token
    made.chat_template = STYLES[style]
    return made


def network(family: str, dtype: torch.dtype = torch.float32, seed: int = 0, **changes):
    """A random-weight Hugging Face model of the family, in evaluation mode. changes: other settings of its config."""
    trained = _trained_tokenizer()
    shared = {
        "vocab_size": len(trained),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.2,
        "pad_token_id": trained.pad_token_id,
        "bos_token_id": trained.bos_token_id,
        "eos_token_id": trained.eos_token_id,
    }
    settings = FAMILIES[family][1] | changes
    ids = {name: value for name, value in shared.items() if name.endswith("token_id")}
    if "n_embd" in settings:  # the GPT-2 line has names of its own for the sizes
        shared = ids | {"vocab_size": shared["vocab_size"]}
    settings = shared | settings
    if family in PICTURES:
        settings = {"text_config": settings, "initializer_range": 0.2, **ids, **PICTURES[family]}
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **settings)
    return model_class(config).from_config(config).to(dtype).eval()


def build(family: str, dtype: torch.dtype = torch.float32, style: str | None = None, seed: int = 0, **changes):
    """The nnsight model of a family, with its tokenizer, as `models.wrap` makes it."""
    return models.wrap(network(family, dtype, seed, **changes), tokenizer(style or FAMILIES[family][0]))
