"""The engine against plain PyTorch forward hooks, on tiny random models of every family."""

from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from helpers import injection, layout, models, prompts, reading, shared_prefix
from helpers.injection import Row
from helpers.prompts import Wording
from helpers.shared_prefix import Ways
from helpers.ways_to_share import ways_to_share
from tests import families

STEPS = 6
ASKED = Wording(
    "test",
    "asked",
    (
        ("user", "Here is a line: <<line>>{line}<</line>> Remember it."),
        ("assistant", "Ok."),
        ("user", "Trial {trial}: do you notice a thought?"),
    ),
)
LINES = [
    "The boat left at noon.",
    "A cold wind came down from the hills in the evening and stayed all night.",
    "Nobody had seen the letter before.",
    "He slept.",
]


@lru_cache(maxsize=4)
def built(family, dtype=torch.float32):
    return families.build(family, dtype)


def vector(model, seed):
    return torch.randn(model.embed._module.embedding_dim, generator=torch.Generator().manual_seed(seed))


def mixed_rows(model):
    """Injected and control rows with different prompts, prompt lengths, layers, strengths and spans."""
    asked = [prompts.render(model.tokenizer, ASKED, line=line, trial=k) for k, line in enumerate(LINES)]
    assert len({len(prompt.token_ids) for prompt in asked}) == len(asked)
    return [
        Row(asked[0], (asked[0].span("from_turn_2")[0], None), vector(model, 0), 1.0, 0, seed=10),
        Row(asked[1], (asked[1].span("from_turn_2")[0], None), vector(model, 1), 2.0, 1, seed=11),
        Row(asked[2], asked[2].span("line"), vector(model, 2), -1.5, 1, seed=12),
        Row(asked[3], (0, None), vector(model, 3), 0.5, 2, seed=13),
        Row(asked[1], asked[1].span("turn_2"), seed=14),
        Row(asked[0], (len(asked[0].token_ids) - 1, None), vector(model, 5), 4.0, 2, seed=15),
        Row(asked[2], asked[2].span("from_turn_2"), seed=16),
    ]


def rows_that_share(model):
    """The mixed rows but the one whose injection begins with the prompt."""
    return [row for row in mixed_rows(model) if row.span[0] > 0]


@contextmanager
def plain_hooks(model, rows, padding):
    """Plain PyTorch forward hooks that inject; padding: columns of left padding before each row's prompt."""
    seen = dict.fromkeys(range(len(model.blocks._module)), 0)

    def hook_of(layer):
        def hook(_module, _inputs, output):
            stream = (output[0] if isinstance(output, tuple) else output).clone()
            for i, row in enumerate(rows):
                if row.vector is None or row.layer != layer:
                    continue
                for position in range(stream.shape[1]):
                    token = seen[layer] + position - padding[i]
                    if token >= row.span[0] and (row.span[1] is None or token < row.span[1]):
                        stream[i, position] += (row.strength * row.vector).to(stream.dtype)
            seen[layer] += stream.shape[1]
            return (stream, *output[1:]) if isinstance(output, tuple) else stream

        return hook

    handles = [block.register_forward_hook(hook_of(k)) for k, block in enumerate(model.blocks._module)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def by_hooks(model, rows, steps=STEPS):
    """Greedy answers of a left-padded batch by Hugging Face's generate under plain hooks: token ids, first logits."""
    longest = max(len(row.prompt.token_ids) for row in rows)
    padding = [longest - len(row.prompt.token_ids) for row in rows]
    pad = model._module.generation_config.pad_token_id
    ids = torch.tensor([[pad] * n + list(row.prompt.token_ids) for n, row in zip(padding, rows, strict=True)])
    mask = torch.tensor([[0] * n + [1] * (longest - n) for n in padding])
    with plain_hooks(model, rows, padding):
        result = model._module.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=steps,
            output_logits=True,
            return_dict_in_generate=True,
        )
    ends = injection.end_of_turn_ids(model)
    tokens = []
    for answer in result.sequences[:, longest:].tolist():
        stop = next((i for i, token in enumerate(answer) if token in ends), len(answer))
        tokens.append(tuple(answer[:stop]))
    return tokens, result.logits[0].float()


def tokens_of(answers):
    return [answer.token_ids for answer in answers]


def logits_of(answers):
    return torch.stack([answer.first_logits for answer in answers])


@pytest.mark.parametrize("family", families.FAMILIES)
def test_equals_plain_hooks(family):
    model = built(family)
    rows = mixed_rows(model)
    alone = [by_hooks(model, [row]) for row in rows]
    padded = by_hooks(model, rows)
    tokens, logits = [answer[0][0] for answer in alone], torch.cat([answer[1] for answer in alone])
    assert padded[0] == tokens

    # the same shapes as the reference's: every bit is equal
    one_at_a_time = injection.generate(model, rows, STEPS, batch_size=1, share_prefix=False)
    assert tokens_of(one_at_a_time) == tokens
    assert torch.equal(logits_of(one_at_a_time), logits)
    in_order = injection.lay_out(rows, model._module.generation_config.pad_token_id, share_prefix=False)
    generated, first = injection.run_batch(
        model, in_order, STEPS, 0.0, injection.PrefixCache(model, ways_to_share(model))
    )
    assert tokens_of(injection.read_answers(model, generated, first)) == tokens
    assert torch.equal(first, padded[1])

    # other shapes (a batch, a prefix read apart) let the matrix kernels add in another order: rounding of float32 only
    for share_prefix in (False, True):
        answers = injection.generate(model, rows, STEPS, batch_size=5, share_prefix=share_prefix)
        assert tokens_of(answers) == tokens
        torch.testing.assert_close(logits_of(answers), logits, rtol=1e-4, atol=2e-4)
    # the injections are not idle
    controls = by_hooks(model, [replace(row, vector=None) for row in rows])[1]
    moved = (controls - padded[1]).abs().amax(1) > 0.05
    windowed = (
        "sliding_window" in families.FAMILIES[family][1]
    )  # there a span in the past is out of the last token's sight
    assert moved.tolist() == [row.vector is not None and not (windowed and row.span[1] is not None) for row in rows]


@pytest.mark.parametrize("family", families.FAMILIES)
def test_what_rows_share_is_read_once_and_gives_the_same_answers(family, monkeypatch):
    """Prompts of several lengths that begin alike, several rows to a prompt: what they share is read once (and the beginning,
    where attention allows it, kept once)."""
    model = built(family)
    rows = [replace(row, strength=scale * row.strength) for scale in (1.0, 0.5) for row in rows_that_share(model)]
    alone = [by_hooks(model, [row]) for row in rows]
    batch = injection.lay_out(rows, 0)
    assert len(batch.prefix) > 3 and len({len(row.prompt.token_ids) for row in rows}) > 2
    ways = ways_to_share(model)
    kept = []
    make = shared_prefix.SharedLayer.__init__
    monkeypatch.setattr(
        shared_prefix.SharedLayer, "__init__", lambda layer, *given: (kept.append(layer), make(layer, *given))[1]
    )
    monkeypatch.setattr(shared_prefix, "ROOM", 2)  # the rows' memory grows on the way
    monkeypatch.setattr(shared_prefix, "CHUNK", 4)
    monkeypatch.setattr(reading, "TOGETHER", 2)
    parts, plan = [], reading.plan_parts
    monkeypatch.setattr(reading, "plan_parts", lambda *given: (parts.extend(made := plan(*given)), made)[1])
    answers = injection.generate(model, rows, STEPS, audit=False)
    assert tokens_of(answers) == [answer[0][0] for answer in alone]
    torch.testing.assert_close(logits_of(answers), torch.cat([answer[1] for answer in alone]), rtol=1e-4, atol=2e-4)
    windowed = "sliding_window" in families.FAMILIES[family][1]  # shorter than the prompts: nothing is shared
    assert ways.copied and ways.once
    assert ways.apart == (model._module.config._attn_implementation == "sdpa" and family != "falcon")
    assert bool(kept) == (ways.apart and not windowed)
    assert {part.depth for part in parts} == (set() if windowed else {1, 2, 3, families.LAYERS})
    assert max(len(part.rows) for part in parts) == 2 if parts else windowed


@pytest.mark.parametrize(
    "family", [name for name in families.FAMILIES if "sliding_window" in families.FAMILIES[name][1]]
)
def test_windows_longer_than_the_prompts_share_too(family):
    """Layers with a window copy the shared beginning for every row, the others keep it once."""
    model = families.build(family, sliding_window=200)
    assert models.attention_window(model) == 200
    rows = rows_that_share(model)
    alone = [by_hooks(model, [row]) for row in rows]
    answers = injection.generate(model, rows, STEPS, audit=False)
    assert tokens_of(answers) == [answer[0][0] for answer in alone]
    torch.testing.assert_close(logits_of(answers), torch.cat([answer[1] for answer in alone]), rtol=1e-4, atol=2e-4)


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
    ("family", "settings", "expected"),
    [
        ("deepseek_v3", LATENT, Ways(True, False, True)),
        # computes other values from the cached ones
        ("diffllama", {"num_key_value_heads": 2}, Ways(True, False, True)),
        # linear attention, no such cache
        ("minimax", {"num_key_value_heads": 2, "num_local_experts": 2}, Ways(False, False, False)),
    ],
)
def test_models_that_do_more_than_attend_get_copies_or_nothing(family, settings, expected, monkeypatch):
    monkeypatch.setitem(families.FAMILIES, family, ("headed", settings))
    model = families.build(family)
    rows = rows_that_share(model)
    last = [replace(row, span=(len(row.prompt.token_ids) - 1, None)) for row in [rows[0]] * 3]
    assert ways_to_share(model) == expected
    for some in (rows, last):
        alone = injection.generate(model, some, STEPS, batch_size=1, share_prefix=False, audit=False)
        answers = injection.generate(model, some, STEPS)
        assert tokens_of(answers) == tokens_of(alone)
        torch.testing.assert_close(logits_of(answers), logits_of(alone), rtol=1e-4, atol=2e-4)


def test_half_precision_and_a_chosen_attention_get_copies():
    assert ways_to_share(built("llama")) == Ways(copied=True, apart=True, once=True)
    assert ways_to_share(built("llama", torch.bfloat16)) == Ways(copied=True, apart=False, once=True)
    chosen = families.build("llama")
    chosen._module.set_attn_implementation("eager")
    assert ways_to_share(chosen) == Ways(copied=True, apart=False, once=True)


def test_what_gives_other_answers_when_it_is_tried_is_not_used(monkeypatch):
    read_once = reading._read_once

    def mixed_up(*arguments):
        once = read_once(*arguments)
        return replace(once, number=once.number.roll(1))

    monkeypatch.setattr(reading, "_read_once", mixed_up)
    model = families.build("llama")
    assert ways_to_share(model) == Ways(copied=True, apart=True, once=False)
    rows = rows_that_share(model)
    assert tokens_of(injection.generate(model, rows, STEPS)) == [by_hooks(model, [row])[0][0] for row in rows]


def test_an_error_on_the_way_puts_attention_back():
    model = built("llama")

    def fail(_texts):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        injection.generate(model, mixed_rows(model)[:3], STEPS, watch=fail, audit=False)
    assert model._module.config._attn_implementation == "sdpa"


def test_the_first_batch_has_every_layer_and_controls():
    model = built("llama")
    row = mixed_rows(model)[0]
    rows = [replace(row, vector=None)] * 200 + [replace(row, layer=layer) for layer in (0, 1, 2)]
    batches = injection.plan_batches(rows, 256, audit=True)
    assert sorted(i for batch in batches for i in batch) == list(range(len(rows)))
    first = [rows[i] for i in batches[0]]
    assert len(first) == layout.AUDITED
    assert {None if row.vector is None else row.layer for row in first} == {None, 0, 1, 2}


def test_a_batch_holds_no_more_tokens_than_asked():
    model = built("llama")
    rows = mixed_rows(model) * 6
    for most in (40, 100, 400):
        batches = injection.plan_batches(rows, 16, most)
        assert sorted(i for batch in batches for i in batch) == list(range(len(rows)))
        for batch in batches:
            laid = injection.lay_out([rows[i] for i in batch], 0)
            assert len(batch) == 1 or len(batch) * (laid.ids.shape[1] - len(laid.prefix)) <= most
    assert len(injection.plan_batches(rows, 16, 40)) > len(injection.plan_batches(rows, 16, 400))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_that_have_ended_leave_and_change_nothing(temperature, monkeypatch):
    """Replies that end at different steps: whether rows leave one by one, together or never, every text is the same."""
    model = built("llama")
    rows = [replace(row, seed=k) for k, row in enumerate(mixed_rows(model) * 3)]
    alone = tokens_of(injection.generate(model, rows, 30, temperature, batch_size=1))
    habits = model._module.generation_config
    ending = [alone[k][2 + 5 * k] for k in range(5)]  # let these tokens end a reply, the first ones early, others late
    monkeypatch.setattr(habits, "eos_token_id", [habits.eos_token_id, *ending])
    alone = tokens_of(injection.generate(model, rows, 30, temperature, batch_size=1))
    assert len({len(tokens) for tokens in alone}) > 3
    for share in (1, 2, 99):
        monkeypatch.setattr(injection, "LEAVE", share)
        assert tokens_of(injection.generate(model, rows, 30, temperature, batch_size=8)) == alone
