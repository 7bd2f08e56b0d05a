"""The report card: what it draws, what it writes, what it says is not validated."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.text import Text

from helpers.experiments import LABELS, four_experiments
from helpers.experiments.measures import EFFECT, Cell, nothing_graded, published_results, stored_results
from helpers.plotting import plots, report_card
from helpers.plotting.diagrams import PAGE
from helpers.stats import wilson_rate


def table(model: str, effects: dict[str, float]) -> pd.DataFrame:
    """Measured numbers of one model: an effect for each experiment, 0.1 wide to each side, and the rates of experiment 1."""
    lines = [(model, experiment, EFFECT, value) for experiment, value in effects.items()]
    lines += [(model, "injected_thought", measure, 0.5) for measure in report_card.CONTROLS]
    made = pd.DataFrame(lines, columns=["model", "experiment", "measure", "value"])
    cell = {"layer": 3, "strength": 2.0, "chosen_by": "own", "tied": 1, "unclear": ""}
    return made.assign(low=made["value"] - 0.1, high=made["value"] + 0.1, n=24, **cell)


@pytest.fixture
def measured():
    apart = {"injected_thought": 0.9, "intentional_control": 0.5, "thought_or_text": 0.1}
    nothing = dict.fromkeys(apart, 0.0)
    rows = {"<mine & yours>": nothing, "introspector": apart, "novice": nothing, "bluffer": nothing}
    return pd.concat([table(model, effects) for model, effects in rows.items()], ignore_index=True)


def test_an_experiment_is_validated_where_the_organisms_are_apart(measured):
    assert four_experiments.separated(measured) == {
        "injected_thought": True,
        "intentional_control": True,
        "thought_or_text": False,
    }
    assert four_experiments.separated(measured[measured["model"] != "novice"]) == {}


def test_an_experiment_that_another_family_contradicts_is_not_validated(measured, monkeypatch):
    """Experiment 3 tells the shipped organisms apart, and finds novice and bluffer of a family that was trained alike."""
    assert four_experiments.separated(stored_results("organisms"))["intended_or_not"]
    assert list(four_experiments.not_validated(stored_results("organisms"))) == ["intended_or_not"]
    alone = table("mine", {"intended_or_not": 0.9, "injected_thought": 0.9})
    verdicts = report_card.conclusions(alone, "mine")["verdict"]
    assert verdicts.to_dict() == {"injected_thought": "found", "intended_or_not": "(not validated) found"}
    assert report_card.limits_of(alone)[-1] == report_card.UNVALIDATED
    contradicts_nothing = stored_results("organisms").assign(family="seed 9")
    monkeypatch.setattr(four_experiments, "stored_results", lambda name: contradicts_nothing)
    assert four_experiments.not_validated(alone) == {}
    assert four_experiments.not_validated(measured) == {"thought_or_text": "in this run not apart"}


def test_a_net_rate_above_0_of_a_model_that_knows_nothing_fails_the_assay_one_below_0_does_not(measured):
    chosen = (
        (measured["model"] == "bluffer")
        & (measured["experiment"] == "injected_thought")
        & (measured["measure"] == EFFECT)
    )
    for value, failed in ((-0.3, False), (0.3, True)):
        measured.loc[chosen, ["value", "low", "high"]] = value, value - 0.1, value + 0.1
        assert ("on bluffer, whose truth is 0" in four_experiments.verdict(measured)) == failed


def test_every_published_success_rate_is_shown_with_its_study_ranked_by_net_rate():
    pairs, table = report_card.published_pairs(), published_results()
    assert len(pairs) == (table["metric"] == "success_rate").sum()
    assert not pairs.duplicated(["model", "study"]).any()
    net = pairs["success"] - pairs["false_positives"]
    assert net.dropna().is_monotonic_decreasing and net.isna().is_monotonic_increasing  # no false positives: at the end
    assert pairs[net.notna()].iloc[-1]["model"] == "Llama-3.1-8B-Instruct"  # most successes, and more false positives
    counts = pairs.set_index(["model", "study"])["n"]
    assert counts["Llama-3.1-8B-Instruct", "Hahami et al. 2025 v1"] == 240  # 8 of 240, not only 0.425 of another study
    assert counts["Llama-3.1-405B-Instruct", "405B non-replication (LessWrong)"] == 400  # 0 of 400
    assert not pairs[["judge", "prompt"]].isna().any(axis=None)


def test_card_and_page_hold_everything(measured, tmp_path):
    name, finding = "<mine & yours>", "Not found: net rate 0.00, with 95% of the answers coherent."
    figure = report_card.card(measured, name, finding)
    effects, controls, published = figure.axes
    nothing = "+0.00 [-0.10, 0.10], n = 24"
    assert [text.get_text() for text in effects.get_yticklabels()] == [
        f"{LABELS['injected_thought']}\nnot found (says little)\n{nothing}",
        f"{LABELS['thought_or_text']}\n(not validated) not found\n{nothing}",
        f"{LABELS['intentional_control']}\nnot found\n{nothing}",
    ]
    assert len(controls.get_yticklabels()) == len(report_card.CONTROLS)
    all_graded = measured.assign(value=measured["value"].mask(measured["measure"] == "ungraded_rate", 0.0))
    names = [label.get_text() for label in report_card.card(all_graded, name, finding).axes[1].get_yticklabels()]
    assert len(names) == len(report_card.CONTROLS) - 1 and not any("graded" in each for each in names)
    notes = [
        (label.get_text(), note.get_text())
        for label, note in zip(published.get_yticklabels(), published.texts, strict=True)
    ]
    [rule] = [line.get_ydata()[0] for line in published.lines if list(line.get_xdata()) == [0, 1]]
    assert rule == report_card.with_published(measured, name)["false_positives"].notna().sum() - 0.5
    assert {(name, "this run, n = 24"), ("Claude Opus 4.1", "Lindsey 2025, n = 50")} <= set(notes)
    settings = {"seed": 0, "words": "<b>", "model": "/home/somebody/models/mine"}
    page, picture = report_card.write(tmp_path, figure, measured, name, finding, settings)
    text = page.read_text(encoding="utf-8")
    assert picture.stat().st_size > 10_000 and "data:image/png;base64," in text and 'alt="Not found' in text
    assert "&lt;mine &amp; yours&gt;" in text and "<mine" not in text and "&lt;b&gt;" in text
    assert all(limit in text for limit in report_card.LIMITS) and "intentional_control" in text
    assert "http" not in text  # the page needs nothing but itself
    assert "somebody" not in text and "<td>mine</td>" in text  # nobody's folders are shown


def test_the_card_has_a_verdict_on_every_experiment_and_its_reasons(measured):
    """Also with a name that matplotlib would take for a formula."""
    measured = measured.replace("<mine & yours>", r"$\frac{a}$")
    name = r"$\frac{a}$"
    own = measured["model"] == name
    measured.loc[own & (measured["experiment"] == "thought_or_text"), "unclear"] = (
        "only 10% of the answers are coherent"
    )
    chosen = own & (measured["experiment"] == "intentional_control") & (measured["measure"] == EFFECT)
    measured.loc[chosen, ["value", "low", "high"]] = 0.11, 0.01, 0.18
    figure = report_card.card(measured, name, "Not found.")
    figure.canvas.draw()
    verdicts = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert verdicts[0].startswith("1 notices an injected thought\nnot found (says little)\n")
    assert verdicts[1].startswith("2 tells thought from text\n(not validated) cannot tell\n")
    assert verdicts[2] == "4 holds a thought when told to\nbarely found\n+0.11 [0.01, 0.18], n = 24"
    reasons = report_card.reasons_for(measured, name, "Not found.")
    assert figure.subfigs[0].texts[0].get_text().replace("\n", " ") == " ".join(reasons)
    assert reasons == [
        "Experiment 1: not found.",
        "Experiment 2: (not validated) cannot tell, +0.00 [-0.10, 0.10], n = 24: only 10% of the answers are coherent.",
        "Experiment 4: barely found, +0.11 [0.01, 0.18], n = 24.",
    ]
    doubted = measured.assign(experiment=measured["experiment"].replace("injected_thought", "intended_or_not"))
    doubted["experiment"] = doubted["experiment"].where(measured["experiment"] != "thought_or_text", "injected_thought")
    assert report_card.reasons_for(doubted, name, "Cannot tell.")[0] == "Experiment 1: (not validated) cannot tell."


@pytest.mark.parametrize(
    "name, success, alarms", [("x" * 27, 0.0, 0.0), ("a/" + "x" * 70, 0.34, 0.71), ("x", 1.0, 1.0)]
)
def test_the_card_fits_a_page_and_its_notes_are_inside_and_beside_the_marks(measured, name, success, alarms):
    """Wherever the reader's own model lies, and however long its name is."""
    measured = measured.replace("<mine & yours>", name)
    for measure, value in {"success_rate": success, "false_positive_rate": alarms}.items():
        measured.loc[(measured["model"] == name) & (measured["measure"] == measure), "value"] = value
    figure = report_card.card(measured, name, "Not found: " + "a long sentence about what was found, " * 5)
    figure.canvas.draw()
    everything, published = figure.get_tightbbox(), figure.axes[2]
    assert everything.x0 >= 0 and everything.x1 <= PAGE
    for note, row in zip(published.texts, report_card.with_published(measured, name).itertuples(), strict=True):
        box = note.get_window_extent()
        assert published.bbox.x0 <= box.x0, note.get_text()
        marks = [published.transData.transform((mark, 0))[0] for mark in (row.success, row.false_positives)]
        assert not any(box.x0 <= mark <= box.x1 for mark in marks), note.get_text()


def test_the_legend_shows_an_error_bar_only_where_a_line_has_one(measured):
    for pairs, has_bar in (
        (report_card.with_published(measured, "bluffer"), True),
        (report_card.published_pairs().assign(low=float("nan"), high=float("nan")), False),
    ):
        axis = plt.figure().subplots()
        report_card.draw_pairs(axis, pairs)
        assert [bool(success.has_xerr) for success in axis.containers] == [has_bar]
        plt.close(axis.figure)


def test_numbers_of_trials_are_whole_after_a_file_that_held_them_as_decimals(measured):
    again = measured.astype({"n": float})
    pd.testing.assert_frame_equal(
        report_card.conclusions(again, "bluffer"), report_card.conclusions(measured, "bluffer")
    )
    table = four_experiments.beside_real_model(again, "injected_thought", [EFFECT])
    assert table.loc["bluffer", EFFECT] == "0.00 [-0.10, 0.10], n = 24"


def test_where_nothing_was_graded_the_card_has_no_rates(measured, tmp_path):
    name, finding = "<mine & yours>", "Cannot tell: no answer could be graded under none (at layer 4)."
    result = nothing_graded(name, wilson_rate(10, 24), Cell(4, 2.0, ["bread"]), "no answer could be graded under none")
    others = measured[(measured["model"] != name) | (measured["experiment"] != "injected_thought")]
    silent = pd.concat([others, four_experiments.rows_of(result, "injected_thought")], ignore_index=True)
    figure = report_card.card(silent, name, finding)
    _, controls, published = figure.axes
    assert [label.get_text() for label in controls.get_yticklabels()] == ["could not be graded, n = 24"]
    assert len(published.texts) == len(report_card.published_pairs())
    assert report_card.conclusions(silent, name).iloc[0].tolist()[:2] == ["cannot tell", ""]
    assert report_card.reasons_for(silent, name, finding)[0] == f"Experiment 1: c{finding[1:]}"
    page, _ = report_card.write(tmp_path, figure, silent, name, finding, {})
    alt = page.read_text(encoding="utf-8").partition('alt="')[2].partition('"')[0]
    assert f"novice, {LABELS['injected_thought']}: 0.00" in alt and "nan" not in alt


def test_a_model_without_experiment_1_is_refused(measured):
    with pytest.raises(KeyError):
        report_card.card(measured, "another", "")


def test_a_models_name_is_no_formula_in_any_figure():
    """matplotlib reads $...$ as one, and stops where it is none."""
    name = r"$\frac{a}$"
    line = {"measure": name, "explanation": f"luck: {name}", "verdict": "stands", "value": 0.1, "low": 0.0, "high": 0.2}
    rows = [line | {"model": model, "strength": strength} for model in (name, "other") for strength in (1, 2)]
    table = pd.DataFrame(rows)
    for figure in (
        plots.verdict_grid(table[::2], name),
        plots.forest(table[::2], "measure", "model", name, name),
        plots.curve_with_intervals(table, "strength", "model", name, name),
    ):
        figure.canvas.draw()
        assert r"\frac{a}" in "".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize(
    ("change", "subject", "message"),
    [
        (
            lambda table: table,
            "another",
            "experiment 1 of 'another' is not measured; there are '<mine & yours>'",
        ),
        (lambda table: table[table["experiment"] != "injected_thought"], "bluffer", "is not measured"),
        (lambda table: table[table["measure"] != EFFECT], "bluffer", "is not measured"),
        (lambda table: pd.concat([table, table]), "bluffer", "effect of '<mine & yours>' .* is measured twice"),
        (
            lambda table: pd.concat([table, table.query("model == 'novice' and experiment == 'thought_or_text'")]),
            "bluffer",
            "effect of 'novice' in thought_or_text is measured twice: keep one",
        ),
        (lambda table: table[:0], "bluffer", "there are no trials"),
        (lambda table: None, "bluffer", "must be a table"),
        (lambda table: table.drop(columns="unclear"), "bluffer", r"lack the columns \['unclear'\]"),
        (lambda table: table.assign(value=float("nan")), "bluffer", "nothing to draw"),
    ],
)
def test_numbers_of_another_kind_make_no_card(measured, change, subject, message):
    with pytest.raises((KeyError, ValueError), match=message):
        report_card.card(change(measured), subject, "")


def test_an_effect_about_which_the_assay_cannot_tell_and_a_null_that_says_little_have_a_white_centre(measured):
    """Whatever makes it say little: the interval, or another bound of experiment 1."""
    for measure, good in {"coherence_rate": 0.9, "false_positive_rate": 0.0}.items():
        measured.loc[measured["measure"] == measure, "value"] = good
    bluffing = (measured["model"] == "bluffer") & (measured["experiment"] == "injected_thought")
    measured.loc[bluffing & (measured["measure"] == EFFECT), ["value", "low", "high"]] = -0.3, -0.4, -0.2
    measured.loc[bluffing & (measured["measure"] == "false_positive_rate"), "value"] = 0.3
    chosen = (measured["model"] == "novice") & (measured["experiment"] == "thought_or_text")
    measured.loc[chosen, "unclear"] = "it names no word"
    weak = (measured["model"] == "bluffer") & (measured["experiment"] == "intentional_control")
    measured.loc[weak, ["value", "high"]] = 0.05, 0.3
    figure, axis = plt.subplots(figsize=(PAGE, 4.6))
    report_card.draw_effects(axis, measured)
    centres = [line.get_xdata().tolist() for line in axis.lines if line.get_color() == "white"]
    assert sorted(sum(centres, [])) == [-0.3, 0.0, 0.05]
    figure.canvas.draw()
    assert figure.get_tightbbox().x1 <= PAGE
