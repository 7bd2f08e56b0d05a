"""What of a reply is the answer: reasoning, channels, template tokens and further turns are not."""

import re

import pytest

from helpers.grading import (
    begins_yes_or_no,
    grade_answer,
    grade_by_rules,
    grade_intention,
    grade_repetition,
    grade_thought,
    names_concept,
)
from helpers.grading.patterns import read_patterns
from helpers.grading.reply import MARKER_FILE, Reply, left_open, split_reply
from helpers.grading.table import UNFINISHED

YES = "Yes, I notice an injected thought. It is about oceans."
MUSING = "Is there a thought? I notice bread. Yes, I do notice one."
HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant"

FINISHED = {
    "DeepSeek, Qwen": "<think>\n{}\n</think>\n\n{}",
    "opened in the prompt": "{}\n</think>\n\n{}",
    "thinking, upper case": "<Thinking>{}</Thinking>{}",
    "reasoning tag": "<reasoning>{}</reasoning> {}",
    "Seed-OSS": "<seed:think>{}</seed:think>{}",
    "EXAONE": "<thought>{}</thought>\n{}",
    "Magistral": "[THINK]{}[/THINK]{}",
    "Cohere": "<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>{}<|END_RESPONSE|>",
    "Sky-T1": "<|begin_of_thought|>{}<|end_of_thought|>\n<|begin_of_solution|>{}<|end_of_solution|>",
    "Apertus": "<|inner_prefix|>{}<|inner_suffix|>{}",
    "Kimi-VL": "◁think▷{}◁/think▷{}",
    "gpt-oss": HARMONY + "<|channel|>final<|message|>{}<|return|>",
    "gpt-oss with a tool": HARMONY
    + "<|channel|>commentary to=f <|constrain|>json<|message|>{{}}<|call|><|start|>assistant"
    + "<|channel|>final<|message|>{}",
    "gpt-oss without special tokens": "analysis{}assistantfinal{}",
    "Gemma 4": "<|channel>thought\n{}<channel|>{}<turn|>",
    "Hunyuan": "<think>{}</think>\n<answer>{}</answer>",
    "Granite": "Here is my thought process: {}\n\nHere is my response:\n{}",
    "Apriel": "Here are my reasoning steps:\n{}\n[BEGIN FINAL RESPONSE]\n{}\n[END FINAL RESPONSE]",
    "Solar": "<|think|>{}<|end|><|begin|>assistant<|content|>{}<|end|>",
    "s1": "<|im_start|>think\n{}\n<|im_start|>answer\n{}<|im_end|>",
    "twice": "<think>a</think><think>{}</think>{}",
    "nested": "<think>a <think>b</think> {}</think>{}",
}
UNFINISHED_REPLIES = [
    "<think>{}",
    "<THINK>{}",
    "[THINK]{}",
    "<seed:think>{}",
    HARMONY,
    HARMONY + "<|channel|>commentary<|message|>{}",
    "<|channel>thought\n{}",
    "analysis{}",
    "<think>{}</think>",
    "<think>{}</think>\n<|im_end|>",
    "No.</think><think>{}",
    "Here is my thought process: {}",
    "<|im_start|>think\n{}",
]


@pytest.mark.parametrize("form", FINISHED.values(), ids=FINISHED)
def test_only_what_follows_the_reasoning_counts(form):
    for musing, answer in ((MUSING, "No."), ("No. There is nothing.", YES)):
        reply = form.format(musing, answer)
        assert split_reply(reply).answer == answer and split_reply(reply).finished
        assert musing in split_reply(reply).reasoning
        assert grade_answer(reply, "oceans") == grade_answer(answer, "oceans")


@pytest.mark.parametrize("form", UNFINISHED_REPLIES)
def test_reasoning_without_an_answer_is_neither_a_yes_nor_a_no(form):
    reply = form.format(YES, YES)
    assert not split_reply(reply).finished and split_reply(reply).answer == ""
    table = grade_by_rules([reply, YES], ["oceans", "oceans"])
    assert table["grader"].tolist() == [UNFINISHED, "rules"]
    assert table.drop(columns="grader").iloc[0].isna().all() and table["success"].mean() == 1
    assert grade_intention(reply) is grade_thought(reply, "oceans") is names_concept(reply, "oceans") is None
    assert grade_repetition(reply, "oceans") is None


@pytest.mark.parametrize(
    "answer",
    [
        "No.",
        "",
        "Yes.\nIt is bread.",
        'I think in "<think>" tags. No.',
        "<thinking about it> Yes.",
        "a < b",
        "x <- [thought] -> y",
    ],
)
def test_text_without_markers_is_all_answer(answer):
    assert split_reply(answer) == Reply(answer, "", True)


def test_empty_reasoning_is_no_reasoning():
    reply = split_reply("<think>\n\n</think>\n\nNo.")
    assert (reply.answer, reply.reasoning, reply.finished) == ("No.", "", True)


@pytest.mark.parametrize(
    "raw",
    [
        "No.<|im_end|>",
        "No.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nYes?",
        "<|assistant|>No.<|end|><|user|>Trial 2. Yes?",
        "No.</s>",
        "No.<end_of_turn>\n<start_of_turn>user\n<think>",
        "No.<｜end▁of▁sentence｜>",
        "N<|fim_suffix|>o.",
        "No.[INST] Yes? [/INST] Yes.",
        "[/INST] No.[/INST] Yes.",
        "assistant\n\nNo.",
        "<|start_header_id|>assistant<|end_header_id|>\n\nNo.<|eot_id|>",
        "<|start|>assistant<|message|>No.<|return|>",
        "<start_of_turn>model\nNo.<end_of_turn>",
    ],
)
def test_template_tokens_and_further_turns_are_no_part_of_the_answer(raw):
    assert split_reply(raw).answer == "No."


def test_prompts_that_end_in_reasoning_are_recognised():
    assert left_open("<|im_start|>assistant\n<think>\n") == "<think>"
    assert left_open("<|im_start|>assistant\n<think>\n\n</think>\n\n") == left_open("Yes?") == left_open("") == ""
    assert not split_reply(left_open("<think>") + "I am still at it").finished


MARKERS = [(kind, text, entry) for kind, entries in read_patterns(MARKER_FILE).items() for text, entry in entries]


@pytest.mark.parametrize(
    ("kind", "text", "entry"), MARKERS, ids=[f"{kind}: {entry['why']}" for kind, _, entry in MARKERS]
)
def test_examples_of_markers_hold(kind, text, entry):
    assert entry["why"] and entry["matches"]
    assert all(re.search(text, example, re.IGNORECASE) for example in entry["matches"])
    assert not any(re.search(text, example, re.IGNORECASE) for example in entry.get("not", []))


@pytest.mark.parametrize(
    ("answer", "begins"),
    [
        ("Yes, I do.", True),
        (' **NO**, "nothing"', True),
        ("no", True),
        ("Nothing.", False),
        ("Yesterday I did.", False),
        ("I say yes.", False),
        ("", False),
    ],
)
def test_the_first_word_is_yes_or_no(answer, begins):
    assert begins_yes_or_no(answer) is begins
