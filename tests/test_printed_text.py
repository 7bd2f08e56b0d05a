"""What cells of notebooks 00 to 07 print and draw under settings other than the shipped ones; the cells run on made-up numbers."""

import json
import types

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from helpers import prompts, stats
from helpers.exercises import prediction
from helpers.experiments import four_experiments, intended_or_not, measures
from helpers.plotting import plots
from tests import tiny_models
from tests.authoring.generated_cells import course
from tests.test_odd_settings import pictures, result, run, source  # noqa: F401 (pictures is a fixture)

UNTIL_07 = course()[:8]


@pytest.mark.parametrize("file", UNTIL_07, ids=lambda file: file.stem[:2])
def test_who_changes_a_parameter_reads_there_that_the_text_tells_of_the_shipped_ones(file):
    note = "# The text tells of a run with these values; with others, what is printed counts."
    assert source(file.stem, note).startswith(note)
    assert "device = " in source(file.stem, note)  # the parameters cell


def test_00_refuses_a_strength_that_is_not_above_0_since_its_opposites_would_be_the_words():
    before, _, refusal = source("00", "strength <= 0").partition("if strength <= 0")
    refusal = "if strength <= 0" + refusal.split("\nwording")[0]
    assert "check_layer" in before
    exec(refusal, {"strength": 1.25})
    for strength in (-2, 0):
        with pytest.raises(ValueError, match=f"must be above 0.*got {strength}"):
            exec(refusal, {"strength": strength})


# -- figures that several notebooks draw ------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [[4], [0, 7]])
def test_a_map_of_few_layers_is_wide_enough_for_its_title(layers):
    cells = pd.DataFrame({"layer": layers, "strength": 2.0, "success": 0.5})
    for title in (
        "success, searching words (frame: chosen)",
        "/home/reader/models/mine/step-20000/final: line repeated",
    ):
        figure = plots.heat_map(cells, "success", title, (layers[0], 2.0))
        figure.canvas.draw()
        box = figure.axes[0].title.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        plt.close(figure)


@pytest.mark.parametrize("strength", [0.25, 4.0])
def test_curves_with_one_strength_have_their_marks_beside_it(strength):
    rows = [(strength, name, value, 0.0, 1.0) for name, value in (("named", 0.2), ("coherent", 0.5), ("copied", 0.9))]
    table = pd.DataFrame(rows, columns=["strength", "reading", "value", "low", "high"])
    for log_x in (True, False):
        figure = plots.curve_with_intervals(table, "strength", "reading", "a title", "share", log_x=log_x)
        [axis] = figure.axes
        places = [
            axis.transData.transform((line.get_xdata()[0], 0.5))[0] for line in axis.lines if len(line.get_xdata()) == 1
        ]
        assert max(places) - min(places) < 0.2 * axis.bbox.width
        plt.close(figure)


# -- 02 ---------------------------------------------------------------------------------------------------------------


def cloud(scale: float, tip: tuple[float, float]) -> dict:
    """Names of 02's picture: 30 states around (4, 0) and a word whose state is at `tip`, all times `scale`."""
    spread = torch.randn(60, 1, 2, generator=torch.Generator().manual_seed(0)) * 0.2
    around = (torch.tensor([4.0, 0.0]) + spread) * scale
    names = {"baseline": around[:30], "states": around[30:], "layer": 0, "word": "zebras", "torch": torch, "plt": plt}
    return names | {"vector": torch.tensor([tip]) * scale - around[:30].mean(0), "plots": plots}


@pytest.mark.parametrize("scale", [0.05, 1.0, 40.0])
def test_02_shows_the_arrow_of_a_word_that_is_none_of_the_marks_at_every_scale(scale, pictures):  # noqa: F811
    run("02", "special to {word}", **cloud(scale, (4.5, 3.0)))
    [(figure, _)] = pictures
    figure.canvas.draw()
    [axis] = figure.axes
    low, high = axis.get_ylim()
    assert low < 0 < 2.9 * scale < high
    edge = figure.bbox
    assert len(axis.texts) == 4  # two arrows, two names
    for text in axis.texts:
        box = text.get_window_extent()
        assert edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1, text.get_text()


# -- 03 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strengths", [[-4.0, -1.0, 0.0], [-1.0, 0.0, 4.0], [0.0, 0.5]])
def test_03_draws_every_strength_but_0_with_its_dose(strengths, pictures, capsys):  # noqa: F811
    """Two words, all named; the line is lost at strengths of 2 and more."""
    rows = [(kind, s, k) for kind in ("concept", "random") for s in strengths for k in (0, 1)]
    ladder = pd.DataFrame(rows, columns=["vector", "strength", "number"]).assign(
        named=True, broken=False, coherent=True
    )
    copies = ladder.assign(copied=ladder["strength"].abs() < 2, reply="a line")
    names = {"run": lambda *_: ladder, "copying": lambda _: copies, "questions": [], "tried": strengths, "guess": None}
    names |= {"pd": pd, "plt": plt, "plots": plots, "stats": stats, "prediction": prediction, "subject": None}
    names |= {"words": ["bread", "dust"], "added": ["concept", "random"], "prompt": None, "start": 0, "layer": 1}
    names |= {"everything": torch.ones(2, 4, 9), "jobs": {"new wording": "again"}}
    names["vectors"] = types.SimpleNamespace(residual_norms=lambda *_: torch.full((4,), 6.0))
    run("03", "usable = ", **run("03", "def rates", **names))
    [(figure, alt)] = pictures
    assert all(f"broken, random, strength {s:g}: " in alt for s in strengths if s) and "strength 0:" not in alt
    figure.canvas.draw()
    below = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert below == [f"{abs(s) / 2:.2f}\n({s:g})" for s in strengths if s]
    printed = capsys.readouterr().out
    assert all((f"strength {s:g}, named: 1.00" in printed) == (abs(s) < 2) for s in strengths if s)


# -- 04 to 07 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ((True, False), "Words get more Yes than random vectors do."),
        ((True, True), "Not found: that words get more Yes."),
    ],
)
def test_04_takes_no_difference_found_for_no_more_than_that(claims, sentence, capsys):
    words = [f"word{k}" for k in range(12)]
    rows = [(kind, word, yes) for kind, yes in zip(("concept", "random"), claims, strict=True) for word in words]
    graded = pd.DataFrame(rows, columns=["condition", "vector_of", "affirmative"])
    run("04", "def word_minus_random", graded=graded, held_out=words, stats=stats, pd=pd)
    assert sentence in capsys.readouterr().out


WHY = "only 32% of its clean answers name a word of the list; it names a word that the text says in only 4%; and so on"


def test_05_shows_verdicts_whole():
    shown = []
    names = {"in_fair_cell": {"/home/me/a": result(0.0, -0.2, 0.2, powerless=WHY)}, "held_out": ["bread"], "trials": 2}
    names["own"] = names["in_fair_cell"]
    run("05", "controls = {", pd=pd, display=lambda table: shown.append(table.to_html()), **names)
    assert f"cannot tell: {WHY}" in shown[0]


@pytest.mark.parametrize(("notebook", "mark"), [("06", "rows[question]"), ("07", "DOES NOT PASS")])
def test_06_and_07_show_verdicts_whole(notebook, mark, capsys):
    shown = []
    cannot_tell = result(0.0, -0.2, 0.2, powerless=WHY)
    cannot_tell.table.loc[1] = cannot_tell.table.loc[0].replace(measures.EFFECT, "gap")
    names = {"reworded": {"q": {"a": cannot_tell}}, "models": ["a"], "measures": measures}
    names |= {"LABELS": {"q": "think ..."}, "new": {}, "unseen": [], "stats": stats, "pd": pd}
    run(notebook, mark, four_experiments=four_experiments, display=lambda table: shown.append(table.to_html()), **names)
    assert f"cannot tell: {WHY}" in shown[0]
    assert notebook == "06" or "wordings: cannot tell, this needs the introspector" in capsys.readouterr().out


@pytest.mark.parametrize("models", [["a"], ["a", "introspector"]])
def test_05_draws_pairs_without_a_line_at_chance(models, pictures, capsys):  # noqa: F811
    rows = [
        (kind, word, *[k == 0] * 3) for kind in ("concept", "none") for k, word in enumerate(("bread", "dust", "milk"))
    ]
    columns = ["condition", "concept", "both", "thought", "repeat"]
    pairs = pd.DataFrame(rows, columns=columns)  # no answer with a random vector was graded
    measured = types.SimpleNamespace(measure=lambda _: stats.Estimate(0.5, 0.2, 0.8, 3))
    names = {"thought_or_text": types.SimpleNamespace(question_pairs=lambda _: pairs), "pd": pd, "plt": plt}
    names |= {"tested": dict.fromkeys(models), "models": models, "in_fair_cell": dict.fromkeys(models, measured)}
    names |= {"plots": plots, "stats": stats, "prediction": prediction, "guess_novice": None, "display": print}
    names = run("05", "def draw_pairs", **names)
    run("05", "conditions = {", **names)
    [(figure, _)] = pictures
    dashed = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert not any(x == x for x in dashed)
    assert f"both right, {models[-1]}, held-out words: 0.50" in capsys.readouterr().out


@pytest.mark.parametrize("marks", [("<<prefill>>", "<</prefill>>"), ("", "")])
@pytest.mark.parametrize("talk", [0, 2])
def test_06_finds_the_prefilled_reply_whether_or_not_it_is_marked(marks, talk, tmp_path, capsys):
    turns = [{"user": "Read: <<line>>{line}<</line>> Ready?"}]
    turns += [{"assistant": "Yes."}, {"user": "Which word?"}][:talk]
    turns += [{"assistant": f"{marks[0]}{{prefill}}{marks[1]}"}, {"user": "Did you mean that?"}]
    wording = tmp_path / "mine.yaml"
    wording.write_text(json.dumps({"turns": turns}), encoding="utf-8")
    subject = types.SimpleNamespace(tokenizer=tiny_models.tokenizer("thinking"))
    names = {"prompts": prompts, "intended_or_not": intended_or_not, "wording": str(wording), "models": ["a"]}
    names = run("06", "def transcript", subjects={"a": subject}, words=["bread"], **names)
    start, end = names["word_at"]
    assert subject.tokenizer.decode(names["prompt"].token_ids[start:end]).strip() == "bread"
    assert subject.tokenizer.decode(names["prompt"].token_ids[slice(*names["question_at"])]) == "Did you mean that?"
    assert f"prefilled reply: tokens {start} to {end - 1}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("frames", "called"),
    [
        (["think", "dont_think", "mention"], ["think", "don't think", "mention"]),
        (["/home/me/hard/one.yaml", "/home/me/soft/one.yaml", "mine.yaml"], ["hard/one", "soft/one", "mine"]),
    ],
)
def test_07_gives_frames_in_files_short_names_that_differ(frames, called):
    assert list(run("07", "NAMES = {", prompts=prompts, frames=frames)["NAMES"].values()) == called


@pytest.mark.parametrize(
    "title", ["/home/me/models/checkpoints/my-long-name-v2/final: three frames, 95 % intervals", "one\ntwo"]
)
def test_a_long_title_of_curves_is_broken_where_the_page_ends(title):
    rows = [(layer, "a", 0.5, 0.4, 0.6) for layer in range(4)]
    table = pd.DataFrame(rows, columns=["layer", "name", "value", "low", "high"])
    figure = plots.curve_with_intervals(table, "layer", "name", title, "share")
    figure.canvas.draw()
    box = figure.axes[0].title.get_window_extent()
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
    assert figure.axes[0].get_title().count("\n") == 1
    plt.close(figure)
