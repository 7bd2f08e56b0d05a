"""The engine answers as plain PyTorch hooks do, whatever the family of the model, the batch and the sharing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers import engine, models, prompts
from helpers.engine import generation
from helpers.engine.batch import collate, plan_batches
from helpers.engine.generation import answer_batch, read_answers, run_batch
from helpers.experiments.run_identity import trial_id
from helpers.models.prefix_cache import PrefixCache
from tests import tiny_models
from tests.plain_hooks import (
    STEPS,
    answers_under_hooks,
    logits_of,
    mixed_trials,
    tiny_model,
    tokens_of,
    trials_with_a_shared_prefix,
)

WINDOWED = [name for name, (_, settings) in tiny_models.FAMILIES.items() if "sliding_window" in settings]


def assert_close(answers, logits):
    """Other shapes (a batch, a prefix read apart) let the matrix kernels add in another order: rounding of float32 only."""
    torch.testing.assert_close(logits_of(answers), logits, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_answers_equal_those_under_plain_hooks(family):
    model = tiny_model(family)
    trials = mixed_trials(model)
    alone = [answers_under_hooks(model, [trial]) for trial in trials]
    padded = answers_under_hooks(model, trials)
    tokens, logits = [answer[0][0] for answer in alone], torch.cat([answer[1] for answer in alone])
    assert padded[0] == tokens

    # the same shapes as the reference's: every bit is equal
    one_at_a_time = engine.generate(model, trials, STEPS, batch_size=1, share_prefix=False)
    assert tokens_of(one_at_a_time) == tokens
    assert torch.equal(logits_of(one_at_a_time), logits)
    batch = collate(trials, model._module.generation_config.pad_token_id, share_prefix=False)
    replies, first = run_batch(model, batch, STEPS)
    assert tokens_of(read_answers(model, replies, first)) == tokens
    assert torch.equal(first, padded[1])

    for share_prefix in (False, True):
        answers = engine.generate(model, trials, STEPS, batch_size=5, share_prefix=share_prefix)
        assert tokens_of(answers) == tokens
        assert_close(answers, logits)
    # the injections are not idle (where a window is short, or late blocks look at the keys of early ones as in Gemma 4, a span
    # in the past is out of the last token's sight)
    controls = answers_under_hooks(model, [replace(trial, vector=None) for trial in trials])[1]
    moved = (controls - padded[1]).abs().amax(1) > 1e-3
    in_sight = [trial.span[1] is None or family not in (*WINDOWED, "gemma4") for trial in trials]
    assert moved.tolist() == [trial.vector is not None and seen for trial, seen in zip(trials, in_sight, strict=True)]


def test_an_embedding_narrower_than_the_stream_is_projected_to_it():
    """Some OPT models: the width that vectors must have is the stream's."""
    model = tiny_models.build("opt", word_embed_proj_dim=tiny_models.WIDTH // 3)
    assert models.width(model) == tiny_models.WIDTH
    trials = mixed_trials(model)
    alone = [answers_under_hooks(model, [trial])[0][0] for trial in trials]
    assert tokens_of(engine.generate(model, trials, STEPS)) == alone


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_a_shared_beginning_is_read_once(family):
    """Prompts of several lengths that begin alike. Short windows and states of linear attention: each is read whole."""
    model = tiny_model(family)
    trials = trials_with_a_shared_prefix(model)
    batch = collate(trials, 0)
    rows, columns = batch.ids.shape
    assert len(batch.prefix) > 3 and len({len(trial.prompt.token_ids) for trial in trials}) > 2
    prefixes, fed = PrefixCache(model), []
    handle = model.embed._module.register_forward_pre_hook(lambda _module, inputs: fed.append(inputs[0].numel()))
    try:
        answers = answer_batch(model, trials, 1, prefixes=prefixes)
    finally:
        handle.remove()
    alone = [answers_under_hooks(model, [trial], 1) for trial in trials]
    assert tokens_of(answers) == [answer[0][0] for answer in alone]
    assert_close(answers, torch.cat([answer[1] for answer in alone]))
    whole, shared = rows * columns, len(batch.prefix) + rows * (columns - len(batch.prefix))
    assert sum(fed) == (whole if family in (*WINDOWED, "qwen3_5") else shared)


@pytest.mark.parametrize("family", WINDOWED)
def test_windows_longer_than_the_prompts_share_too(family):
    model = tiny_models.build(family, sliding_window=200)
    assert models.attention_window(model) == 200 and PrefixCache(model).can_serve(200)
    trials = trials_with_a_shared_prefix(model)
    alone = [answers_under_hooks(model, [trial]) for trial in trials]
    answers = engine.generate(model, trials, STEPS)
    assert tokens_of(answers) == [answer[0][0] for answer in alone]
    assert_close(answers, torch.cat([answer[1] for answer in alone]))


def test_an_edit_of_the_model_holds_where_prompts_begin_alike():
    model = tiny_models.build("llama")
    trials = trials_with_a_shared_prefix(model)
    plain = logits_of(engine.generate(model, trials, 1, audit=False))
    with model.edit(inplace=True):
        stream = models.residual(model.blocks[0])
        stream[:] = 0.5 * stream + 0.3
    alone = logits_of(engine.generate(model, trials, 1, batch_size=1, share_prefix=False, audit=False))
    assert (alone - plain).abs().max() > 0.1
    assert_close(engine.generate(model, trials, 1, audit=False), alone)


LATENT = {  # DeepSeek: the cache holds something smaller, from which keys and values are made after it
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 32,
}


@pytest.mark.parametrize(
    ("family", "settings", "shares"),
    [
        ("deepseek_v3", LATENT, True),
        ("diffllama", {"num_key_value_heads": 2}, True),  # computes other values from the cached ones
        ("minimax", {"num_key_value_heads": 2, "num_local_experts": 2}, False),  # states of linear attention
    ],
)
def test_what_is_not_keys_and_values_of_tokens_is_not_shared(family, settings, shares, monkeypatch):
    monkeypatch.setitem(tiny_models.FAMILIES, family, ("headed", settings))
    model = tiny_models.build(family)
    trials = trials_with_a_shared_prefix(model)
    assert PrefixCache(model).can_serve(100) == shares
    alone = engine.generate(model, trials, STEPS, batch_size=1, share_prefix=False)
    answers = engine.generate(model, trials, STEPS)
    assert tokens_of(answers) == tokens_of(alone)
    assert_close(answers, logits_of(alone))


def test_every_trial_is_in_one_batch_and_no_batch_is_too_large():
    trials = mixed_trials(tiny_model("llama")) * 6
    for limit in (40, 100, 400):
        batches = plan_batches(trials, 16, limit, max_new_tokens=2)
        assert sorted(i for batch in batches for i in batch) == list(range(len(trials)))
        for batch in batches:
            columns = max(len(trials[i].prompt.token_ids) for i in batch) + 2
            assert len(batch) == 1 or (len(batch) <= 16 and len(batch) * columns <= limit)
    assert len(plan_batches(trials, 16, 40)) > len(plan_batches(trials, 16, 400))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_trials_that_have_ended_leave_and_change_nothing(temperature, monkeypatch):
    """Replies that end at different steps: whether trials leave one by one, together or never, every text is the same."""
    model = tiny_model("llama")
    trials = [replace(trial, seed=k) for k, trial in enumerate(mixed_trials(model) * 3)]
    alone = tokens_of(engine.generate(model, trials, 30, temperature, batch_size=1))
    habits = model._module.generation_config
    whole = [tokens for tokens in alone if len(tokens) == 30]
    ending = [whole[k][2 + 5 * k] for k in range(5)]  # let these tokens end a reply, the first ones early, others late
    monkeypatch.setattr(habits, "eos_token_id", [*habits.eos_token_id, *ending])
    alone = tokens_of(engine.generate(model, trials, 30, temperature, batch_size=1))
    assert len({len(tokens) for tokens in alone}) > 3
    for divisor in (1, 2, 99):
        monkeypatch.setattr(generation, "COMPACTION_DIVISOR", divisor)
        assert tokens_of(engine.generate(model, trials, 30, temperature, batch_size=8)) == alone


def test_sampled_texts_depend_on_the_seed_alone():
    model = tiny_model("llama")
    trials = [replace(trial, seed=k) for k, trial in enumerate(mixed_trials(model) * 2)]
    texts = tokens_of(engine.generate(model, trials, STEPS, 1.0, batch_size=3))
    assert tokens_of(engine.generate(model, trials[::-1], STEPS, 1.0, batch_size=14))[::-1] == texts
    assert texts[:7] != texts[7:]  # the same trials with other seeds


def test_watch_sees_the_answers_grow():
    model, seen = tiny_model("llama"), []
    trials = mixed_trials(model)[:2]
    answers = engine.generate(model, trials, STEPS, watch=seen.append)
    assert len(seen) == STEPS and [len(texts) for texts in seen] == [2] * STEPS
    assert all(answer.text.startswith(text) for texts in seen for answer, text in zip(answers, texts, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            ({setting: value}, f"{setting} must be a whole number from 1 up, got")
            for setting in ("max_new_tokens", "batch_size")
            for value in (0, -1, True, "4", 4.0, None, float("nan"))
        ),
        *(
            ({"temperature": value}, "temperature must be 0")
            for value in (-1.0, "0", True, None, float("nan"), 1e-9, 1j)
        ),
        ({"trials": []}, "the list is empty"),
        ({"trials": ["bread"]}, "a trial must be an engine.Trial"),
    ],
    ids=str,
)
def test_impossible_arguments_are_refused(change, message):
    model = tiny_model("llama")
    with pytest.raises(ValueError, match=message):
        engine.generate(model, **{"trials": mixed_trials(model), "max_new_tokens": 2} | change)


ONES = torch.ones(tiny_models.WIDTH)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            ({"layer": layer}, "layer .* does not exist")
            for layer in (4.0, 1.5, True, False, "1", -1, 99, float("nan"), [1])
        ),
        ({"layer": None}, "a trial with a vector needs the layer"),
        *(
            ({"strength": strength}, "strength must be a finite number, got")
            for strength in ("1", None, True, float("nan"), float("inf"), 1j, 10**400, [1])
        ),
        ({"strength": 1e38}, "strength 1e.38 at layer 1 leaves nothing of the model's logits"),
        ({"strength": 1e39}, "times the vector leaves the range of the model's torch.float32"),
        *(({"seed": seed}, "seed must be a whole number from 0 to") for seed in (-1, 1.0, "0", None, True, 2**70)),
        *(
            ({"vector": vector}, "the vector must hold floating-point numbers")
            for vector in (ONES.to(torch.complex64), ONES.int(), ONES.bool(), ONES.to_sparse(), ONES.to("meta"))
        ),
        *(
            ({"vector": vector}, "the vector holds NaN or infinite values")
            for vector in (ONES * float("nan"), ONES / 0, ONES.double() * 1e300)
        ),
        *(({"vector": vector}, "the vector has shape") for vector in (ONES[:20], ONES[None], torch.tensor(1.0))),
        *(
            ({"vector": vector}, "the vector must be a torch tensor")
            for vector in (ONES.numpy(), ONES.tolist(), "bread")
        ),
        *(
            ({"span": span}, "span")
            for span in (
                (0, 0),
                (5, 3),
                (-1, None),
                (0, 999),
                (None, 3),
                (1.0, None),
                (True, None),
                (1,),
                (1, 2, 3),
                None,
                "ab",
            )
        ),
        *(({"prompt": prompt}, "a trial must be an engine.Trial with a prompt") for prompt in (None, "text")),
        ({"prompt": prompts.Prompt("", (), {})}, "the prompt has no tokens"),
        ({"prompt": prompts.Prompt("x", (1, -1), {})}, "the prompt holds the token -1, but"),
        ({"prompt": prompts.Prompt("x", (1, 99_999), {})}, "the prompt holds the token 99999, but"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_trial_of_another_form_is_refused(change, message):
    right = engine.Trial(prompts.Prompt("x", (1, 20, 30, 40), {}), (1, None), ONES, 1.0, 1)
    with pytest.raises(ValueError, match=message):
        engine.generate(tiny_model("llama"), [replace(right, **change)], 2)


@pytest.mark.parametrize(
    "change",
    [{"layer": np.int64(1)}, {"layer": 1.0}, {"strength": np.float32(1)}, {"strength": np.int64(1)}, {"seed": np.int64(0)},
     {"span": [1, None]}, {"span": (np.int64(1), None)}, *({"vector": vector} for vector in (
         ONES.double(), ONES.half(), ONES.bfloat16(), torch.nn.Parameter(ONES), torch.ones(2 * tiny_models.WIDTH)[::2]))],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_trial_written_in_another_way_is_the_same_trial(change):
    right = engine.Trial(prompts.Prompt("x", (1, 20, 30, 40), {}), (1, None), ONES, 1.0, 1)
    trials = [right, replace(right, **change)]
    assert len(set(tokens_of(engine.generate(tiny_model("llama"), trials, 4)))) == 1
    assert len({trial_id("", trial, "bread") for trial in trials}) == 1
