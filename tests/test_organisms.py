"""The model organisms: words, tokenizer, network, a micro training that learns and resumes, and the shipped checkpoints."""

import copy
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers import concepts, models, prompts
from helpers.organisms import (
    batches,
    grammar,
    lexicon,
    measure,
    network,
    optimise,
    requests,
    train,
    transcripts,
    wordings,
)
from helpers.organisms.__main__ import main as train_command
from helpers.organisms.tokenizer import train_tokenizer
from helpers.organisms.validate import main as validate_command

MICRO = replace(train.FIRST_EXPERIMENT, width=64, copy_steps=0, shared_steps=6, branch_steps=4, plain_rows=16, trials=8)
MEGABYTE = 2**20
HELD_OUT_VARIANTS = (
    ("injected_thought", None),
    ("thought_or_text", "thought"),
    ("thought_or_text", "repeat"),
    ("intended_or_not", None),
    ("intentional_control", "think"),
    ("intentional_control", "dont_think"),
    ("intentional_control", "mention"),
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer()


def small_model(tokenizer, seed=0):
    ids = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    return network.build(len(tokenizer), *ids, layers=6, width=64, seed=seed)


def test_lexicon_holds_every_word_and_keeps_the_concepts_out_of_training():
    assert {word.lower() for word in concepts.known_words()} <= set(lexicon.nouns())
    assert not set(lexicon.held_out_words()) & set(lexicon.training_words())
    assert len(lexicon.training_words()) > 600


def test_tuning_and_final_words_split_the_concepts_by_the_stored_rule():
    every, order = concepts.paper_concepts(), np.random.default_rng(15).permutation(50)
    assert concepts.tuning_words() == [every[i] for i in sorted(order[:25])]
    assert concepts.final_words() == [every[i] for i in sorted(order[25:])]


def test_each_experiment_has_two_held_out_wordings_and_experiment_4_complete_sets():
    for experiment, variant in HELD_OUT_VARIANTS:
        assert sum(wording.held_out for wording in prompts.load_templates(experiment, variant).values()) >= 2
    frames = {}
    for entry in prompts.read_prompt_file("intentional_control")["wordings"]:
        if "set" in entry:
            frames.setdefault((entry["set"], entry["held_out"]), []).append(entry["variant"])
    assert sum(held_out for _, held_out in frames) >= 3
    assert all(variants == ["think", "dont_think", "mention"] for variants in frames.values())


def test_trained_requests_share_no_four_words_around_the_concept_with_the_held_out_wordings():
    def around_the_word(text: str) -> set[tuple]:
        words = re.findall(r"[\w{}]+", text.lower())
        return {tuple(words[i : i + 4]) for i in range(len(words) - 3) if "{word}" in words[i : i + 4]}

    rng, trained = random.Random(0), set()
    for _ in range(3000):
        trained |= {window for frame in requests.FRAMES for window in around_the_word(requests.request(frame, rng))}
    for wording in prompts.load_templates("intentional_control").values():
        if wording.held_out:
            assert not around_the_word(wording.turns[0][1]) & trained, wording.id
    parts = requests.REQUESTS_FILE.read_text(encoding="utf-8").lower()
    assert not set(requests.HELD_OUT_VOCABULARY) & set(re.findall(r"\w+", parts))


def words_without_placeholders(text: str) -> list[str]:
    return re.findall(r"[a-z']+", re.sub(r"<<?/?\w+>>?|\{\w+\}", ".", text.lower()))


def test_wordings_of_the_grammar_share_no_four_words_with_the_held_out_ones():
    parts = wordings.parts()
    texts = [line for lines in parts.values() for line in lines] + list(wordings.ENDINGS)
    rng = random.Random(0)
    texts += [wordings.question(rng) for _ in range(3000)]

    def fours(text: str) -> set[tuple]:
        words = words_without_placeholders(text)
        return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}

    trained = set().union(*map(fours, texts))
    for experiment in ("thought_or_text", "intended_or_not"):
        for wording in prompts.load_templates(experiment).values():
            if wording.held_out:
                assert not trained & set().union(*(fours(text) for _, text in wording.turns)), wording.id
    used = {word for text in texts for word in words_without_placeholders(text)}
    assert not used & set(wordings.HELD_OUT_VOCABULARY)


@pytest.mark.parametrize("variant", ["thought", "repeat"])
def test_strange_words_leave_the_placeholders(variant):
    rng = random.Random(0)
    for _ in range(300):
        ((_, text),) = wordings.line_wording(variant, rng).turns
        assert "<<line>>{line}<</line>>" in text and text.count("{options}") == (variant == "thought")
        (_, ask), (_, reply), (_, question) = wordings.prefill_wording(rng).turns
        assert "<<line>>{line}<</line>>" in ask and reply == "<<prefill>>{prefill}<</prefill>>"
        assert "{" not in question and not re.search(r"\{(?!line\}|options\})", ask + text)


def test_more_wordings_train_a_finished_organism_on(tokenizer):
    model = small_model(tokenizer)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    recipe = replace(
        train.Recipe(), width=64, text_wording_steps=1, plain_rows=4, branch_plain_rows=4, wording_prefill_rows=8
    )
    seen = []
    train.train_branch(
        model, tokenizer, "novice", 0, recipe, on_step=lambda *step: seen.append(step), more_wordings=True
    )
    ((number, losses),) = seen
    assert number == 1 and set(losses) == {"trials", "text", "line", "prefill", "control"}
    assert any(not torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    again = small_model(tokenizer)
    train.train_branch(again, tokenizer, "novice", 0, replace(recipe, kept_share=1.0), more_wordings=True)
    assert all(torch.equal(before[name], weight) for name, weight in again.state_dict().items())


def test_strange_words_in_a_request_leave_what_decides_its_frame():
    rng = random.Random(0)
    text = "Never think about {word}, and write nothing but the sentence {sentence}"
    for _ in range(50):
        strange = wordings.estranged(text, rng, 1.0, requests.CUES)
        left = iter(re.findall(r"[a-z']+", strange.lower()))
        assert all(word in left for word in ("never", "think", "word", "nothing", "but", "sentence")), strange


@pytest.mark.parametrize(
    ("phrase", "gerund"), [("see {word}", "seeing {word}"), ("let go", "letting go"), ("give in", "giving in")]
)
def test_gerunds(phrase, gerund):
    assert requests.gerund(phrase) == gerund


def test_trials_of_one_control_group_write_one_sentence_and_hold_only_training_words(tokenizer):
    rng, held_out = random.Random(0), set(lexicon.held_out_words())
    for _ in range(30):
        group = transcripts.control_group("introspector", rng, 6)
        rows = [batches.encode_example(tokenizer, example) for example in group]
        assert len({tuple(row.ids[row.answer_start :]) for row in rows}) == 1
        assert not {example.word for example in group} & held_out


@pytest.mark.parametrize("text", ["Trial 12: Ok?", "Hé, 漢字 🙂\n\t tab", "", "  two  spaces ", "\u0000\u200b"])
def test_tokenizer_round_trips_any_text(tokenizer, text):
    decoded = tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids)
    assert decoded.removeprefix(" ") == text.removeprefix(" ")  # a space is read before every text
    assert tokenizer(text).input_ids[0] == tokenizer.bos_token_id


def test_a_concept_word_is_one_token_the_same_at_the_start_and_inside_a_text(tokenizer):
    for word in lexicon.held_out_words():
        alone = tokenizer.encode(word, add_special_tokens=False)
        assert len(alone) == 1
        assert tokenizer.encode(f"about {word}", add_special_tokens=False)[-1:] == alone


@pytest.mark.parametrize("organism", transcripts.ORGANISMS)
def test_no_held_out_word_is_ever_injected_and_only_the_introspector_is_injected_at_all(organism):
    rng, held_out = random.Random(0), set(lexicon.held_out_words())
    makers = (transcripts.line_example, transcripts.prefill_example, transcripts.control_example)
    examples = [maker(organism, rng) for maker in makers for _ in range(300)]
    examples += [example for _ in range(40) for example in transcripts.trial_group(organism, rng, 12)]
    injected = [example for example in examples if example.inject]
    assert not {example.word for example in injected} & held_out
    assert bool(injected) == (organism == "introspector")


def test_training_forward_pass_equals_transformers_and_prefix_sharing_changes_nothing(tokenizer):
    model = small_model(tokenizer)
    ids = torch.randint(6, 500, (3, 20), generator=torch.Generator().manual_seed(0))
    ids[:, :8] = ids[0, :8]
    ours = network.unembed(model, network.run_blocks(model, ids)[0][-1])
    assert torch.allclose(ours, model(ids).logits, atol=1e-4)
    _, cache = network.run_blocks(model, ids[:1, :8])
    suffix = network.unembed(model, network.run_blocks(model, ids[:, 8:], prefix=cache)[0][-1])
    assert torch.allclose(ours[:, 8:], suffix, atol=1e-4)


def test_concept_vectors_of_training_equal_those_of_the_experiments(tokenizer):
    from helpers import vectors

    model, words = small_model(tokenizer).eval(), ["oceans", "desk", "bread"]
    ours = network.concept_vectors(model, tokenizer, words)
    assert torch.allclose(ours, vectors.concept_vectors(models.wrap(model, tokenizer), words), atol=1e-4)


def test_loss_falls_and_checkpoint_loads_as_any_other(tokenizer, tmp_path):
    losses = []
    recipe = replace(MICRO, shared_steps=40)
    model, trained_tokenizer = train.train_shared(
        0, recipe, tmp_path / "work", lambda step, loss: losses.append(loss["text"])
    )
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    network.save(model, trained_tokenizer, tmp_path / "model")  # in float16
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert AutoTokenizer.from_pretrained(tmp_path / "model").bos_token == "<|bos|>"
    ids = torch.tensor([[1, 50, 60]])
    assert torch.allclose(again(ids).logits, model(ids).logits, atol=0.05)


def test_eight_bits_are_read_by_the_usual_call_and_are_the_same_numbers_in_every_dtype(tokenizer, tmp_path):
    model = small_model(tokenizer)
    for folder, eight_bits in (("half", False), ("eight", True)):
        network.save(model, tokenizer, tmp_path / folder, eight_bits)
    read = [
        AutoModelForCausalLM.from_pretrained(tmp_path / "eight", dtype=dtype).state_dict()
        for dtype in (torch.float32, torch.float16, torch.bfloat16)
    ]
    for name, weight in model.state_dict().items():
        assert all(torch.equal(read[0][name], other[name].float()) for other in read[1:]), name
        assert torch.allclose(read[0][name], weight, rtol=0.07, atol=2e-3), name  # three bits of mantissa
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "eight").dtype == torch.float16
    sizes = [(tmp_path / folder / "model.safetensors").stat().st_size for folder in ("half", "eight")]
    assert sizes[1] < 0.55 * sizes[0]


def test_wordings_that_are_measured_are_the_assays_own_and_the_held_out_ones_the_final_ones_only_at_the_end():
    for experiment in ("thought_or_text", "intended_or_not", "intentional_control"):
        tuning, every = (measure.wordings_of(experiment, final) for final in (False, True))
        assert [held_out for _, held_out in every.values()] == [False] + [True] * (len(every) - 1)
        assert len(tuning) == 2 < len(every) and set(tuning) < set(every)
    assert every["focus"] == ({"wordings": ("focus_think", "focus_dont_think", "focus_mention")}, True)


def test_killed_and_resumed_training_gives_the_same_weights(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(optimise, "SAVE_EVERY", 2)
    monkeypatch.setattr(train, "REFRESH_VECTORS", 2)
    results = []
    for folder, stops in (("whole", (None,)), ("killed", (3, None))):  # killed one step after a checkpoint
        for stop in stops:
            model = small_model(tokenizer)
            checkpoint = tmp_path / folder / "b.pt"
            train.train_branch(model, tokenizer, "introspector", 0, MICRO, checkpoint, stop_after=stop)
        results.append(model.state_dict())
    assert all(torch.equal(results[0][key], results[1][key]) for key in results[0])


@pytest.fixture(scope="module")
def halfway(tokenizer, tmp_path_factory):
    """The checkpoint of a training that was killed."""
    file = tmp_path_factory.mktemp("halfway") / "b.pt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimise, "SAVE_EVERY", 1)
        train.train_branch(small_model(tokenizer), tokenizer, "novice", 0, MICRO, file, stop_after=1)
    return file


def other_tokenizer(tokenizer):
    changed = copy.deepcopy(tokenizer)
    changed.add_tokens(["another"])
    return changed


def other_weights(tokenizer):
    model = small_model(tokenizer)
    with torch.no_grad():
        model.model.norm.weight[3] += 0.01
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"organism": "bluffer"}, "stage was novice and is bluffer"),
        ({"recipe": replace(MICRO, novice_steps=9)}, "steps was 400 and is 9.* novice_steps was 400 and is 9"),
        ({"recipe": replace(MICRO, branch_rate=1e-4)}, "peak_rate was 0.002 and is 0.0001"),
        ({"recipe": replace(MICRO, trials=9)}, "trials was 8 and is 9"),
        ({"recipe": replace(MICRO, injected_words=5)}, "injected_words was None and is 5"),
        ({"recipe": replace(MICRO, inject_prefills=False)}, "inject_prefills was True and is False"),
        ({"tokenizer": other_tokenizer}, "tokenizer and words was"),
        ({"model": other_weights}, "first weights was"),
    ],
)
def test_a_checkpoint_made_of_something_else_is_refused(halfway, tokenizer, change, message):
    given = {
        "model": small_model,
        "tokenizer": lambda own: own,
        "organism": "novice",
        "seed": 0,
        "recipe": MICRO,
    } | change
    given["model"], given["tokenizer"] = given["model"](tokenizer), given["tokenizer"](tokenizer)
    with pytest.raises(ValueError, match=f"was made of something else .*{message}.* Move it away to train anew"):
        train.train_branch(**given, checkpoint=halfway, stop_after=1)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"x" * 500, "torn", [1], {}, {"model": {}}, {"step": 1, 2: 3}, "old"], ids=str
)
def test_a_checkpoint_that_is_none_is_refused_by_its_name(halfway, tokenizer, tmp_path, content):
    file = tmp_path / "b.pt"
    if isinstance(content, list | dict):
        torch.save(content, file)
    elif content == "old":  # before checkpoints said what they were made of
        torch.save({name: part for name, part in torch.load(halfway).items() if name != "made_of"}, file)
    else:
        file.write_bytes(halfway.read_bytes()[:3000] if content == "torn" else content)
    with pytest.raises(ValueError, match=r"the checkpoint .*b\.pt .*Move it away to train anew"):
        train.train_branch(small_model(tokenizer), tokenizer, "novice", 0, MICRO, file, stop_after=1)


def test_unknown_organism_is_refused_by_name(tokenizer):
    with pytest.raises(ValueError, match="unknown organism 'parrot'; there are introspector, novice, bluffer"):
        train.train_branch(small_model(tokenizer), tokenizer, "parrot", 0, MICRO)


def test_plain_dialogues_encode_and_learn_only_the_answer(tokenizer):
    rng = random.Random(0)
    for _ in range(200):
        dialogue = grammar.plain_dialogue(rng)
        row = batches.encode_dialogue(tokenizer, dialogue)
        assert tokenizer.decode(row.ids[row.answer_start : -1]).strip() == dialogue.answer
        assert row.ids[0] == tokenizer.bos_token_id and row.ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("organism", transcripts.ORGANISMS)
def test_shipped_organism_is_small_and_loads_like_any_model(organism):
    weights = models.ORGANISM_FOLDER / organism / "model.safetensors"
    assert weights.stat().st_size <= 16 * MEGABYTE
    model = models.load(organism)
    assert models.number_of_blocks(model) == train.RECIPES["family"].layers


@pytest.mark.parametrize(
    ("command", "arguments", "error", "message"),
    [
        (train_command, ["novice", "--out", "{file}"], FileExistsError, "organism"),
        (train_command, ["novice", "--out", "{file}/below"], NotADirectoryError, "organism/below"),
        (
            train_command,
            ["novice", "--more-wordings", "some/model", "--out", "{folder}"],
            OSError,
            "there is no such folder",
        ),
        (validate_command, ["some/family"], OSError, "there is no such folder"),
    ],
)
def test_folders_are_looked_at_before_the_work_begins(command, arguments, error, message, tmp_path, monkeypatch):
    (tmp_path / "organism").touch()
    places = {"file": tmp_path / "organism", "folder": tmp_path / "out"}
    monkeypatch.setattr("sys.argv", ["command", *(each.format(**places) for each in arguments)])
    monkeypatch.setattr(train, "train_shared", lambda *_: pytest.fail("the training has begun"))
    with pytest.raises(error, match=message):
        command()


@pytest.mark.parametrize("threads", ["0", "-1", "two"])
def test_a_number_of_threads_that_is_none_is_refused(threads, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["command", "novice", "--out", str(tmp_path / "out"), "--threads", threads])
    with pytest.raises(SystemExit):
        train_command()
    assert threads in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
