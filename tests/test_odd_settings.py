"""What single cells of the notebooks print, draw and ask for under settings other than the shipped ones, on made-up tables."""

import ast
import json
import re
import types
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import seaborn as sns

from helpers import experiments, models, parameters, prompts
from helpers.exercises import prediction
from helpers.experiments import four_experiments, intentional_control, measures
from helpers.paths import ROOT
from helpers.playground.pages import State
from helpers.plotting import plots, report_card
from helpers.stats import Estimate
from tests import tiny_models
from tests.authoring.generated_cells import course
from tests.test_report_card import table


def source(notebook: str, mark: str) -> str:
    """The code cell of a notebook (the beginning of its name) that holds the mark."""
    [file] = [file for file in course() if file.stem.startswith(notebook)]
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    [found] = [text for cell in cells if cell["cell_type"] == "code" and mark in (text := "".join(cell["source"]))]
    return found


def run(notebook: str, mark: str, **names) -> dict:
    """Run that cell among these names; returns what there is afterwards."""
    exec(compile(source(notebook, mark), mark, "exec"), names)
    return names


def last_value(notebook: str, mark: str, **names):
    """The value of the last line of that cell, which Jupyter shows."""
    *lines, last = ast.parse(source(notebook, mark)).body
    exec(compile(ast.Module(lines, []), mark, "exec"), names)
    return eval(compile(ast.Expression(last.value), mark, "eval"), names)


@pytest.fixture
def pictures(monkeypatch) -> list[tuple]:
    """(figure, alt text) of every figure that a cell shows."""
    shown = []
    monkeypatch.setattr(plots, "show", lambda figure, alt, *_: shown.append((figure, alt)))
    return shown


@pytest.fixture
def measured() -> pd.DataFrame:
    """A subject and the organisms, which only experiment 1 tells apart."""
    apart, nothing = ({"injected_thought": value, "thought_or_text": 0.1} for value in (0.9, 0.0))
    rows = {"mine": nothing, "introspector": apart, "novice": nothing, "bluffer": nothing}
    return pd.concat([table(model, effects) for model, effects in rows.items()], ignore_index=True)


# -- 04 to 07 ---------------------------------------------------------------------------------------------------------


def result(value: float, low: float, high: float, n: int = 20, powerless: str = "") -> measures.Result:
    effect = measures.estimates_table("m", {measures.EFFECT: Estimate(value, low, high, n)})
    return measures.Result(effect, measures.Cell(2, 1.0, []), powerless=powerless)


def test_06_draws_a_line_at_0_for_effects_and_none_for_shares(pictures):
    kinds = {kind: Estimate(0.5, 0.25, 0.75, 20) for kind in ("nothing added", "own word")}
    table = pd.concat([measures.estimates_table(model, kinds) for model in ("a", "b")], ignore_index=True)
    table = table.rename(columns={"measure": "row"})
    draw = run("06", "def draw_panels", pd=pd, plt=plt, plots=plots)["draw_panels"]
    for settings, lines in (((-0.15,), []), ((-1.0, 0.0), [0.0, 0.0])):
        draw(table, "share", *settings)
        figure, alt = pictures[-1]
        assert [axis.get_xlim() for axis in figure.axes] == [(settings[0], 1.15)] * 2
        assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
        assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["0.50"] * 4
        dashed = [line.get_xdata()[0] for axis in figure.axes for line in axis.lines if line.get_linestyle() == "--"]
        assert [x for x in dashed if x == x] == lines
        assert "a, nothing added: 0.50" in alt and "b, own word: 0.50" in alt


def test_06_counts_a_held_out_wording_that_the_reader_chose_as_held_out():
    chosen = next(key for key, each in prompts.load_templates("intended_or_not").items() if each.held_out)
    names = {"prompts": prompts, "wording": chosen, "template": prompts.get_template("intended_or_not", chosen)}
    names |= {"results": "own", "models": ["a"], "measures": measures}
    names["four_experiments"] = types.SimpleNamespace(measure_injected=lambda *_, **__: "other")
    names |= {
        "seed": 0,
        "new_tokens": 9,
        "temperature": 0.0,
        "folders": {"a": "f"},
        "chosen": {"a": (1, 1.0)},
        "trials": 1,
    }
    reworded = run("06", "def in_wording", subjects={"a": None}, words=["bread"], **names)["reworded"]
    assert [(question.endswith("(held-out)"), found) for question, found in reworded.items() if found == "own"] == [
        (True, "own")
    ]
    assert len(reworded) == len({chosen, *prompts.load_templates("intended_or_not")})


def test_07_keeps_a_row_for_frames_that_begin_like_a_held_out_set(capsys):
    held_out = [each for each in prompts.read_prompt_file("intentional_control")["wordings"] if each["held_out"]]
    ids = {each["variant"]: each["id"] for each in held_out if each["set"] == held_out[0]["set"]}
    frames = [ids[variant] for variant in ("think", "dont_think", "mention")]
    names = run("07", "LABELS = {FIRST", prompts=prompts, frames=frames, intentional_control=intentional_control)
    assert len(set(names["LABELS"].values())) == len(names["LABELS"]) == len(names["asked"])


# -- 09 to 12 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strengths", [[-2], [4, -0.5]])
def test_09_refuses_the_opposite_of_a_words_vector_as_its_own(strengths):
    with pytest.raises(ValueError, match="strengths must be above 0 here"):
        parameters.check("09_rule_out_boring_explanations", strengths=strengths)
    assert parameters.check("08_grade_the_answers", strengths=strengths)


def test_09_calls_a_model_in_a_folder_by_the_folders_name():
    folder = str(ROOT / "data" / "organisms" / "bluffer")
    named = types.SimpleNamespace(_module=types.SimpleNamespace(name_or_path=folder))
    names = {"dtype": "", "quantise": "", "transcript": "", "device_map": "", "device": "cpu", "seed": 0}
    loader = types.SimpleNamespace(load=lambda name, *_, **__: named, model_name=models.model_name)
    cell = source("09", "subjects = {").split("how = ", 1)[1]
    names |= {"models": loader, "organisms": [folder], "split_in_halves": lambda *_: ([], []), "paper_concepts": list}
    exec(compile("how = " + cell, "09", "exec"), names)
    assert (list(names["subjects"]), names["first"], names["rest"]) == (["bluffer"], "bluffer", [])


@pytest.mark.parametrize(
    ("start", "shipped", "tested"), [("novice", "introspector", 4), ("introspector", "introspector", 3)]
)
def test_10_tests_a_model_once_that_is_both_the_start_and_the_finished_one(start, shipped, tested):
    many, few = types.SimpleNamespace(), types.SimpleNamespace()
    one = measures.Result(measures.estimates_table("m", {"d_prime": Estimate(1, 0, 2, 9)}), measures.Cell(3, 1.0, []))
    names = {
        "many": many,
        "few_model": few,
        "many_name": "732 words",
        "few_name": "20 words",
        "subject": many,
        "few_subject": few,
    }
    names |= {"start": start, "shipped": shipped, "device": "", "held_out": [], "seed": 0, "pd": pd}
    names["models"] = types.SimpleNamespace(load=lambda name, _: name)
    asked = []
    names["four_experiments"] = types.SimpleNamespace(measure_injected=lambda each, *_, **__: asked.append(each) or one)
    assert len(run("10", "finished = [", **names)["results"]) == tested == len(asked)
    assert asked[:3] == [start, many, few]


@pytest.mark.parametrize(("trials", "step", "count"), [(1, 0, 1), (1, 9, 1), (24, 0, 24), (24, 9, 16)])
def test_10_draws_as_many_trials_as_the_parameter_says(trials, step, count):
    drawn, row = [], types.SimpleNamespace(answer_start=1, ids=[1, 2, 3], span=(0, 3))
    names = {"train": types.SimpleNamespace(step_rng=lambda *_: None), "verdict_steps": 5, "trials": trials, "seed": 0}
    names["transcripts"] = types.SimpleNamespace(
        trial_group=lambda _, __, count, *___, **____: drawn.append(count) or []
    )
    names["batches"] = types.SimpleNamespace(encode_example=lambda *_: row, shared_prefix_loss=lambda *_, **__: 0.0)
    run("10", "def loss_of_step", replace=replace, tokenizer=None, PUSHES={}, **names)["loss_of_step"](
        None, [], None, step
    )
    assert drawn == [count]


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [("gpt2", {}, "has no self_attn.o_proj"), ("llama", {"heads_removed": 99}, "heads_removed must be at most")],
)
def test_11_says_before_the_long_part_what_it_cannot_do(kind, change, message):
    names = {
        "model": "a",
        "control_model": "a",
        "layers": [0],
        "heads_removed": 1,
        "device": "",
        "concepts": 4,
        "seed": 0,
    }
    tiny = tiny_models.build(kind)
    names["models"] = types.SimpleNamespace(**vars(models) | {"load": lambda *_: tiny})
    with pytest.raises(AssertionError, match=message):
        run("11", "heads_removed <= (most", **names | change)


def test_11_walks_through_the_layers_in_order_so_that_its_last_one_is_the_last():
    names = {"model": "a", "control_model": "a", "layers": [2, 0, 1], "heads_removed": 1, "device": "", "seed": 0}
    tiny = tiny_models.build("llama")
    names["models"] = types.SimpleNamespace(**vars(models) | {"load": lambda *_: tiny})
    names |= {"split_in_halves": lambda *_: ([], []), "paper_concepts": list, "concept_vectors": lambda *_: None}
    assert run("11", "heads_removed <= (most", concepts=[], **names)["entered"] == [0, 1, 2]


def test_11_shows_no_cost_of_minus_0(pictures, capsys):
    costs = pd.Series({(6, 0): -0.04, (6, 1): 0.02, (7, 0): 2.5, (7, 1): -0.01}).rename_axis(["block", "head"])
    names = {
        "costs": costs,
        "plots": plots,
        "heads": 2,
        "choosing": [],
        "chosen_heads": [(6, 0), (7, 0)],
        "heads_above": [1] * 4,
    }
    run("11", "annot=grid.size <= 100", sns=sns, **names)
    [(figure, alt)] = pictures
    written = {text.get_text() for text in figure.axes[0].texts}
    assert written == {"0.0", "2.5"} and "-0.0" not in alt + capsys.readouterr().out


@pytest.mark.parametrize("subject", ["introspector", "novice", "smollm2"])
def test_12_reveals_the_guess_about_the_introspector_whoever_is_the_subject(subject, pictures, capsys, measured):
    names = {"model": subject, "compare": [], "open_model": str, "search_cells": lambda *_: None}
    opened = []
    names |= {"measure": lambda who, *_: opened.append(who) or measured[:0], "held_thoughts": lambda _: None}
    names |= {"measured": measured, "plt": plt, "pd": pd, "plots": plots, "report_card": report_card}
    names |= {"measures": measures, "experiments": experiments, "cells_of": lambda _: {}}
    names |= {
        "four_experiments": four_experiments,
        "prediction": prediction,
        "guess_ruler": 0.9,
        "my_validated": [""] * 4,
    }
    run("12", "NOT validated: ", **run("12", "draw_effects", **names))
    assert opened == [name for name in four_experiments.ORGANISMS if name != subject]
    ruler = report_card.own_rates(measured, "introspector").loc["success_rate", "value"]
    assert f"introspector, noticed and named: {ruler:.2f}. You guessed 0.90" in capsys.readouterr().out


def test_12_has_each_row_that_its_readers_judge_by_in_its_verdict_table():
    [file] = [file for file in course() if file.stem.startswith("12")]
    text = "".join("".join(cell["source"]) for cell in json.loads(file.read_text(encoding="utf-8"))["cells"])
    rows = dict(re.findall(r"^\|\*\*(\d[a-f]|1 to 4)\*\*\|(.+)", text, re.MULTILINE))
    for label in report_card.ROWS.values():
        name, bounds = label.removesuffix(")").split(" (")
        row, name = ("1 to 4", name) if name == measures.EFFECT else name.split(" ", 1)
        number, *in_table = rows[row].replace("*", "").split("|")
        assert number == name
        assert set(bounds.split("; ")) <= set(in_table), label


def test_12_hands_on_effects_with_the_verdicts_of_the_card(measured, capsys):
    name = measured["model"].iloc[0]
    names = {"measured": measured, "measures": measures, "report_card": report_card, "name": name}
    shown = last_value("12", "write_headline", settings=types.SimpleNamespace(run="12_test"), **names)
    of_card = report_card.conclusions(measured, name)["verdict"]
    assert {"injected_thought/success_rate", "injected_thought/coherence_rate"} <= set(shown["measure"])
    handed_on = shown[shown["verdict"] != ""].set_index("measure")["verdict"]
    assert handed_on.to_dict() == {f"{key}/effect": verdict for key, verdict in of_card.items()}
    assert handed_on.str.startswith("(not validated)").any()


# -- playground, report card -------------------------------------------------------------------------------------------


def ladder(*answers: str) -> dict:
    """What the playground's cells know of a ladder of strengths whose answers are these."""
    readings = [
        types.SimpleNamespace(dose=0.1, yes=(0.0, 1.0), no=(0.0, 1.04), answers=("No.", each)) for each in answers
    ]
    says_yes = [each.startswith("Yes") for each in answers]
    names = {"ladder": readings, "steps": list(range(len(answers))), "says_yes": says_yes, "guess_turn": None}
    return names | {"plt": plt, "plots": plots, "prediction": prediction, "state": State()}


@pytest.mark.parametrize(
    ("answers", "printed"),
    [
        (["Yes.", "Yes.", "No."], "says yes without any push"),
        (["No.", "Yes.", "Yes."], "the answer turns to yes: 1."),
        (["No.", "Yes.", "No."], "No strength of this ladder turns"),
    ],
)
def test_playground_turns_an_answer_only_where_it_was_none_before(answers, printed, pictures, capsys):
    run("playground", "turns = [", **ladder(*answers))
    assert printed in capsys.readouterr().out
    assert len(pictures) == 1


def test_playground_prints_no_margin_of_minus_0(pictures, capsys):
    names = ladder("No.", "No.")
    for each in names["ladder"]:
        each.no = (0.0, 1.01)
    run("playground", "turns = [", **names)
    assert "-0.0" not in capsys.readouterr().out + pictures[0][1]


def test_the_card_writes_over_an_interval_that_leaves_no_room_beside_it(measured):
    measured.loc[(measured["model"] == "mine") & (measured["measure"] == "success_rate"), ["value", "low", "high"]] = (
        1.0,
        0.2,
        1.0,
    )
    figure = report_card.card(measured, "mine", "Noticed.")
    published = figure.axes[2]
    [note] = [text for text in published.texts if text.get_text().startswith("this run")]
    [bars] = published.containers
    assert all(note.get_zorder() > part.get_zorder() for part in (bars.lines[0], *bars.lines[1], *bars.lines[2]))
    plt.close(figure)
