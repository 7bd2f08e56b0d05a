"""Concept vectors: what is kept on disk belongs to one model, is never trusted when damaged, and is done without where it must be."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save
from torch.utils._python_dispatch import TorchDispatchMode

from helpers import jsonl, models, prompts, vectors
from helpers.models.identity import hash_of_numbers
from helpers.models.prefix_cache import PrefixCache
from helpers.organisms import network
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
    right, read = vectors.read_residuals, []
    monkeypatch.setattr(
        vectors, "read_residuals", lambda model, asked, **options: read.extend(asked) or right(model, asked, **options)
    )
    assert torch.equal(oceans(model), own)
    assert len(read) == 2  # the first prompt of each file, which proves that it still holds what the model computes


class Coarse(TorchDispatchMode):
    """Rounds every product of matrices, as no weight and no module shows."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        return found.bfloat16().float() if function is torch.ops.aten.mm.default else found


@pytest.mark.filterwarnings("ignore:.*cannot be used and is set aside")
def test_kept_states_are_not_used_where_torch_computes_others(model, cache):
    before = oceans(model)
    with Coarse():
        coarse = oceans(model)
    assert not torch.equal(coarse, before)
    assert torch.equal(oceans(model), before)


STATES, NARROW = torch.ones(2, 3, tiny_models.WIDTH), torch.ones(1, 3, 7)
DAMAGE = {
    "empty": lambda content: b"",
    "torn": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"no such file" * 99,
    "another number": lambda content: content[:-4] + b"\x00\x00\x80\x3f",
    "other tensors": lambda content: save({"weights": torch.ones(3)}),
    "states of other words": lambda content: save({"states": STATES}, {"hash": str(hash_of_numbers(STATES))}),
    "states of another model": lambda content: save({"states": NARROW}, {"hash": str(hash_of_numbers(NARROW))}),
    "states without a hash": lambda content: save({"states": torch.ones(1, 3, tiny_models.WIDTH)}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_states_are_set_aside_and_made_anew(damage, model, cache):
    before = oceans(model)
    files = sorted(cache.iterdir())
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{files[0].name} cannot be used and is set aside"):
        assert torch.equal(oceans(model), before)
    assert sorted(cache.iterdir()) == sorted([*files, *(file.with_suffix(".damaged") for file in files)])


def test_a_full_disk_costs_the_cache_and_nothing_else(model, cache, monkeypatch):
    before = oceans(model)

    def full(_handle):
        raise OSError(28, "No space left on device")

    for file in cache.iterdir():
        file.unlink()
    monkeypatch.setattr(jsonl.os, "fsync", full)
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


# -- arguments of another kind ----------------------------------------------------------------------------------------

LIKE = torch.linspace(-1, 1, 3 * tiny_models.WIDTH).reshape(3, -1)
NO_LISTS = ("bread", b"bread", None, 5, [], {"bread": 1}, {"bread"})
NO_NUMBERS = (None, "1", True, [1], 1j, float("nan"), float("inf"))


@pytest.fixture(scope="module")
def prompt(model):
    return prompts.render(model.tokenizer, prompts.PromptTemplate("test", "line", (("user", "And now?"),)))


@pytest.mark.parametrize("words", NO_LISTS, ids=repr)
def test_words_that_are_no_list_are_refused(words, model):
    for call in (
        lambda: vectors.concept_vectors(model, words),
        lambda: vectors.contrastive_vector(model, words, ["a"]),
        lambda: vectors.contrastive_vector(model, ["a"], words),
    ):
        with pytest.raises(ValueError, match="must be a list of at least one value, got"):
            call()


@pytest.mark.parametrize("word", ["", " \n", None, 5, True, float("nan"), b"bread", ["bread"]], ids=repr)
def test_a_word_that_is_no_text_is_refused(word, model):
    with pytest.raises(ValueError, match="words must be texts that are not empty, got"):
        vectors.concept_vectors(model, ["bread", word])
    with pytest.raises(ValueError, match="texts .* must be texts that are not empty, got"):
        vectors.contrastive_vector(model, ["a", "b"], ["c", word])


@pytest.mark.parametrize("word", ["<|end|>", "\ud800"], ids=ascii)
def test_a_word_that_no_turn_can_hold_is_refused(word, model):
    with pytest.raises(ValueError, match="border of a turn|surrogates not allowed"):
        vectors.concept_vectors(model, [word])


@pytest.mark.parametrize("make", [list, tuple, np.array, pd.Series, iter], ids=lambda make: make.__name__)
def test_words_may_come_in_any_list(make, model):
    assert torch.equal(vectors.concept_vectors(model, make(["oceans"])), oceans(model))


@pytest.mark.parametrize(
    "like",
    [
        LIKE.int(),
        LIKE.bool(),
        LIKE.to(torch.complex64),
        LIKE * float("nan"),
        LIKE / 0,
        LIKE.to_sparse(),
        LIKE.to("meta"),
        LIKE[:0],
        LIKE[:, :0],
        LIKE.numpy(),
        LIKE.tolist(),
        None,
        "bread",
    ],
    ids=lambda like: f"{type(like).__name__} {getattr(like, 'dtype', '')}",
)
@pytest.mark.parametrize("make", [vectors.random_vectors, vectors.shuffled_vectors], ids=["random", "shuffled"])
def test_what_holds_no_vectors_has_no_controls(make, like):
    with pytest.raises(ValueError, match="^like (must|holds)"):
        make(like)


@pytest.mark.parametrize("seed", [-1, 1.0, 2**63, *NO_NUMBERS], ids=repr)
@pytest.mark.parametrize("make", [vectors.random_vectors, vectors.shuffled_vectors], ids=["random", "shuffled"])
def test_a_seed_that_is_none_is_refused(make, seed):
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to 9223372036854775807, got"):
        make(LIKE, seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_controls_have_the_norms_and_the_dtype_of_the_vectors(dtype):
    for make in (vectors.random_vectors, vectors.shuffled_vectors):
        made = make(LIKE.to(dtype), np.int64(3))
        assert torch.equal(made, make(LIKE.to(dtype), 3))
        assert torch.allclose(made.norm(dim=-1).float(), LIKE.norm(dim=-1), rtol=1e-2)


def test_mixtures_vary_as_the_vectors_they_are_made_of():
    of = torch.randn(30, 8, generator=torch.Generator().manual_seed(1)) * torch.tensor([5.0, 2, 1, 1, 0.1, 0.1, 0, 0])
    like = torch.ones(4000, 8)
    made = vectors.mixed_vectors(like, of + 100, 3)  # whatever they share takes no part
    assert torch.allclose(made.norm(dim=-1), like.norm(dim=-1))
    assert torch.equal(made, vectors.mixed_vectors(like, of + 100, 3))
    directions = torch.linalg.eigh(torch.cov(of.T))[1]
    along = (made @ directions).square().mean(0)
    assert torch.allclose(along[:2], torch.zeros(2), atol=1e-4) and bool((along[2:].diff() > 0).all())
    assert float(made.mean(0).norm()) < 0.2
    for wrong in (LIKE.tolist(), LIKE[:0], LIKE / 0):
        with pytest.raises(ValueError, match="^of (must|holds)"):
            vectors.mixed_vectors(like, wrong)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_random_directions_are_the_same_whatever_torchs_default_dtype_is(dtype):
    before = vectors.random_vectors(LIKE)
    try:
        torch.set_default_dtype(dtype)
        assert torch.equal(vectors.random_vectors(LIKE), before)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_random_directions_have_the_exact_norm_however_coarse_the_vectors(dtype):
    like = torch.full((8192,), 1000.0, dtype=dtype)  # its norm is above the largest number of float16
    assert vectors.random_vectors(like).norm() == pytest.approx(1000 * 8192**0.5, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_random_directions_are_not_what_an_organism_was_drawn_from(seed):
    first = network.build(200, 0, 1, 2, layers=1, seed=seed).get_input_embeddings().weight.detach()
    drawn = vectors.random_vectors(torch.ones(first.shape), seed)
    assert torch.cosine_similarity(first, drawn).abs().max() < 0.5  # the same numbers: 1; by chance about 0.3


@pytest.mark.parametrize(
    "doses",
    [0.5, "0.5", None, [], {0.5}, *([dose] for dose in (0, -1, 1e-99, 1e300, *NO_NUMBERS)), [1, 1.0], [0.5, 0.5]],
    ids=repr,
)
def test_doses_that_are_none_are_refused(doses, model, prompt):
    with pytest.raises(ValueError, match="dose"):
        vectors.strengths_for_doses(model, [0, 1], doses, ["oceans"], prompt, (0, None))


@pytest.mark.parametrize(
    "layers", [1, "01", None, [], {1}, [0, 0], [1, 1.0], *([layer] for layer in (9, -1, 1.5, *NO_NUMBERS))], ids=repr
)
def test_layers_that_are_none_are_refused(layers, model, prompt):
    with pytest.raises(ValueError, match="layer"):
        vectors.strengths_for_doses(model, layers, [0.5], ["oceans"], prompt, (0, None))


def test_a_dose_is_the_share_of_the_stream(model, prompt):
    strengths = vectors.strengths_for_doses(
        model, np.array([0, 2]), [0.5, np.float32(1)], ["oceans"], prompt, (0, None)
    )
    stream = vectors.residual_norms(model, prompt, (0, None))
    for layer, (half, whole) in strengths.items():
        assert half * float(oceans(model)[0, layer].norm()) == pytest.approx(float(stream[layer]) / 2, rel=1e-3)
        assert whole == pytest.approx(2 * half, rel=1e-3)


def test_a_tiny_dose_is_as_exact_as_a_large_one(model, prompt):
    tiny, whole = vectors.strengths_for_doses(model, [1], [1e-9, 1], ["oceans"], prompt, (0, None))[1]
    assert tiny == pytest.approx(1e-9 * whole, rel=1e-3)


@pytest.mark.parametrize(
    "span",
    [(5, 3), (0, 0), (None, 3), (-1, None), (0, 999), (0.0, 2), (True, 2), (0, "2"), "ab", (1,), (1, 2, 3), None, 5],
    ids=repr,
)
def test_a_span_outside_the_prompt_is_refused(span, model, prompt):
    for call in (
        lambda: vectors.residual_norms(model, prompt, span),
        lambda: vectors.read_spans(model, [prompt, prompt], [(0, 1), span]),
    ):
        with pytest.raises(ValueError, match="span"):
            call()


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_a_long_beginning_is_read_once_and_changes_nothing(family, monkeypatch):
    """Prompts of several lengths that begin alike, in two batches. What cannot share (windows, linear attention) is read whole."""
    model = tiny_models.build(family)
    beginning = tuple(range(10, 10 + vectors.WORTH_SHARING))
    asked = [prompts.Prompt("x", (*beginning, *range(40 + i, 50 + 2 * i)), {}) for i in range(3)]
    spans = [(len(beginning) + i, len(each.token_ids) - 1) for i, each in enumerate(asked)]
    alone = [vectors.read_spans(model, [each], [span])[0] for each, span in zip(asked, spans, strict=True)]
    fed, look_up = [], torch.nn.functional.embedding

    def counted(ids, weight, *options, **named):  # a hook would be seen, and nothing shared
        if weight is model.embed._module.weight:
            fed.append(ids.numel())
        return look_up(ids, weight, *options, **named)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "embedding", counted)
        together = vectors.read_spans(model, asked, spans, batch_size=2)
    for one, other in zip(together, alone, strict=True):
        assert one.shape == other.shape
        models.assert_equal(one, other, model)
    whole = 2 * len(asked[1].token_ids) + len(asked[2].token_ids)  # each batch as long as its longest prompt
    shared = PrefixCache(model).can_serve(len(asked[2].token_ids))
    assert sum(fed) == (whole - 2 * len(beginning) + 1 if shared else whole + 1)  # one token tries the cache


def test_a_beginning_that_is_asked_for_is_not_shared(model):
    asked = [prompts.Prompt("x", (*range(10, 40), last), {}) for last in (50, 60)]
    first, second = vectors.read_spans(model, asked, [(5, 31), (30, 31)])
    assert first.shape[0] == 26 and second.shape[0] == 1
    models.assert_equal(first, vectors.read_spans(model, asked[:1], [(5, 31)])[0], model)


def push_at_20(_part, _inputs, output):
    output[:, 20] += 3


def push_at_the_end_of_the_prompt(_part, _inputs, output):
    if output.shape[1] > 1:
        output[:, -3] += 3


def less_the_first_tokens(model):
    forward = model.blocks._module[0].forward
    model.blocks._module[0].forward = lambda *given, **named: (
        (stream := forward(*given, **named)) - stream[:, :3].mean(1, keepdim=True)
    )


def edited(model):
    with model.edit(inplace=True):
        model.blocks[0].output[:, -1] += 3


ATTACHED = {
    "a hook at a token": lambda model: model.blocks._module[0].register_forward_hook(push_at_20),
    "a hook for prompts alone": lambda model: model.blocks._module[1].register_forward_hook(
        push_at_the_end_of_the_prompt
    ),
    "another forward": less_the_first_tokens,
    "an edit at the last token": edited,
}


@pytest.mark.parametrize("attach", ATTACHED.values(), ids=ATTACHED)
def test_what_is_attached_to_a_model_meets_whole_prompts(attach):
    """It may count tokens from the beginning of what is read, or from its end."""
    model = tiny_models.build("llama")
    asked = [prompts.Prompt("x", (*range(10, 50), last), {}) for last in (60, 70)]
    plain = vectors.read_spans(model, asked)
    attach(model)
    together = vectors.read_spans(model, asked)
    assert not torch.allclose(together[0], plain[0])
    for prompt, one in zip(asked, together, strict=True):
        models.assert_equal(one, vectors.read_spans(model, [prompt])[0], model)


def test_a_beginning_is_not_shared_by_texts_whose_keys_longrope_turns_otherwise():
    factors = {"short_factor": [1.0] * 6, "long_factor": [3.0 + k for k in range(6)]}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 28, **factors}
    for family, own in (("phi3", {"original_max_position_embeddings": 28}), ("llama", {})):
        model = tiny_models.build(family, rope_parameters=dict(rope), **own)
        for length in (28, 29, 40):
            asked = [prompts.Prompt("x", (*range(10, 10 + length - 2), 7, last), {}) for last in (60, 70)]
            for prompt, one in zip(asked, vectors.read_spans(model, asked), strict=True):
                models.assert_equal(one, vectors.read_spans(model, [prompt])[0], model)


def test_the_keys_and_values_of_a_long_beginning_are_not_kept_for_many_prompts_at_once(monkeypatch):
    model, kept, expand = tiny_models.build("llama", max_position_embeddings=4096), [], PrefixCache.expand
    monkeypatch.setattr(
        PrefixCache, "expand", lambda self, ids, rows: kept.append(rows * len(ids)) or expand(self, ids, rows)
    )
    for length, many in ((3000, 3), (200, 30), (40, 30)):
        beginning = [10 + k % 50 for k in range(length)]
        vectors.read_residuals(model, [prompts.Prompt("x", (*beginning, 5, 60 + k), {}) for k in range(many)])
    assert max(kept) <= 4096 and len(kept) == 3 + 2 + 1


@pytest.mark.parametrize("batch_size", [0, -1, 64.0, *NO_NUMBERS], ids=repr)
def test_a_batch_size_that_is_none_is_refused(batch_size, model, prompt):
    with pytest.raises(ValueError, match="batch_size must be a whole number from 1 up, got"):
        vectors.read_residuals(model, [prompt], batch_size=batch_size)


@pytest.mark.parametrize("asked", [["Hello"], [None], [(1, 2)]], ids=repr)
def test_what_was_not_rendered_is_refused(asked, model):
    with pytest.raises(ValueError, match=r"a prompt must come from prompts\.render, got"):
        vectors.read_residuals(model, asked)


def test_prompts_and_positions_that_are_no_lists_are_refused(model, prompt):
    for asked, positions, name in (("Hello", None, "prompts"), (prompt, None, "prompts"), ([prompt], 3, "positions")):
        with pytest.raises(ValueError, match=f"{name} must be a list of at least one value, got"):
            vectors.read_residuals(model, asked, positions)
    assert len(vectors.read_spans(model, (each for each in [prompt] * 2))) == 2


def test_prompts_and_spans_of_different_number_are_refused(model, prompt):
    for positions in ([0], [0, 1, 2]):
        with pytest.raises(ValueError, match="need a span for each prompt, got 2 prompts and [13] spans"):
            vectors.read_residuals(model, [prompt] * 2, positions)
    with pytest.raises(ValueError, match="prompts must be a list of at least one value"):
        vectors.read_residuals(model, [])


def test_tokens_that_the_model_does_not_know_are_refused(model):
    for token in (99_999, -1):
        with pytest.raises(ValueError, match=f"the prompt holds the token {token}, but the model knows only 4096"):
            vectors.read_residuals(model, [prompts.Prompt("x", (1, token), {})])


def test_a_change_of_the_computation_makes_vectors_anew(cache):
    model = tiny_models.build("llama")
    before, fingerprint = oceans(model), models.fingerprint(model)
    model._module.model.layers[0].input_layernorm.variance_epsilon = 0.5
    assert models.fingerprint(model) == fingerprint
    assert not torch.equal(oceans(model), before)


def test_a_cache_that_cannot_be_written_at_all_is_done_without(model, cache, monkeypatch):
    def refused(_handle):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(jsonl.os, "fsync", refused)
    with pytest.warns(UserWarning, match="vectors are not kept for the next run"):
        assert oceans(model).isfinite().all()
    (cache / "file").touch()
    monkeypatch.setenv("INTROSPECTION_RUNS", str(cache / "file"))
    with pytest.warns(UserWarning, match=r"vectors are not kept for the next run: cannot make the folder .*Not a dir"):
        assert oceans(model).isfinite().all()


def test_a_model_of_which_a_part_is_in_training_mode_is_not_read(cache):
    model = tiny_models.build("gpt2")
    model._module.transformer.h[1].train()
    with pytest.raises(ValueError, match=r"transformer\.h\.1 is in training mode"):
        oceans(model)
    assert list(cache.iterdir()) == []
    model.eval()
    assert oceans(model).isfinite().all()
