"""Diagrams: as wide as a page, a map of the whole course, stored pictures that show what the models say today."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from helpers.plotting import diagrams, plots, png
from helpers.run_notebook import find_notebook, read_defaults
from tests.authoring import generated_cells, store_figures


def texts(figure: Figure) -> str:
    """All words of a figure, one line per text."""
    return "\n".join(each.get_text().replace("\n", " ") for axis in figure.axes for each in axis.texts)


NO_FORMULA = r"$\frac{a}$"  # as a name in a figure: matplotlib would stop


def rates() -> pd.DataFrame:
    """Four rates of two models."""
    rows = [
        (model, measure, injected, 0.5, 0.4, 0.6)
        for model in ("introspector", "mine")
        for measure in ("says Yes", "names the word")
        for injected in (False, True)
    ]
    return pd.DataFrame(rows, columns=["model", "measure", "injected", "value", "low", "high"])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: diagrams.phenomenon("oceans", 3, 8, ("No.", "Yes.")),
        lambda: diagrams.phenomenon("a long word in several pieces", 27, 28, ("word " * 200, "$x$ " * 200)),
        lambda: diagrams.course_map("13_scale_to_giants"),
        lambda: diagrams.four_rates(rates().replace({"mine": NO_FORMULA, "says Yes": NO_FORMULA})),
        lambda: diagrams.block_stack(["<|start|>"] * 12, 40, (11, 39), NO_FORMULA),
        lambda: diagrams.clean_and_injected(["a", "b", "c", "d"], 30, 29, start=1),
        lambda: diagrams.span_timeline([("explanation", 100), ("Ok.", 2), (NO_FORMULA, 30)], {NO_FORMULA: {1, 2}}),
    ],
)
def test_no_diagram_is_wider_than_a_page_or_higher_than_a_screen(draw):
    image = io.BytesIO()
    draw().savefig(image, dpi=90)  # draws, so that odd words would raise here
    image.seek(0)
    height, width, _ = plt.imread(image).shape
    assert width <= diagrams.PAGE * 90 and height <= 450


NAN = float("nan")
CURVE = pd.DataFrame([("mine", k, 0.1, 0.0, 0.2) for k in range(3)], columns="model layer value low high".split())
CELLS = pd.DataFrame({"layer": [1, 2], "strength": 2.0, "rate": [0.1, 0.9]})
GRID = CURVE.assign(explanation=["a: b", "c", "d"], verdict=["stands", "ruled out", "cannot tell"])
PARTS = [("explanation", 100), ("Ok.", 2)]
TABLES = {
    "curve": (lambda table: plots.curve_with_intervals(table, "layer", "model", "t", "y"), CURVE),
    "forest": (lambda table: plots.forest(table, "layer", "model", "t", "x"), CURVE),
    "heat map": (lambda table: plots.heat_map(table, "rate", "t", (1, 2.0)), CELLS),
    "grid": (lambda table: plots.verdict_grid(table, "t"), GRID),
    "four rates": (diagrams.four_rates, rates()),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_drawn_is_refused_in_words(name):
    draw, table = TABLES[name]
    numbers = [column for column in ("rate", "value", "low", "high") if column in table]
    names = [column for column in ("layer", "model", "explanation", "verdict", "measure") if column in table]
    assert isinstance(draw(table.astype(dict.fromkeys(numbers, "Float64"))), Figure)
    wrong = [table[:0], None, [1, 2], table.to_dict(), *(table.drop(columns=column) for column in numbers)]
    wrong += [table.astype({numbers[0]: str}).replace({numbers[0]: {"0.1": "a", "0.5": "a"}})]
    if name != "grid":  # where nothing was graded, the verdicts are still drawn
        wrong += [table.assign(**dict.fromkeys(numbers, NAN)), table.assign(**dict.fromkeys(numbers, float("inf")))]
        wrong += [table.assign(**{column: None}) for column in names if column in ("layer", "model")]
    if name not in ("curve", "forest"):
        wrong += [pd.concat([table, table])]
    for other in wrong:
        with pytest.raises(ValueError, match="draw|needs one|each once|convert string"):
            draw(other)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.curve_with_intervals(CURVE, "depth", "model", "t", "y"), r"lack the columns \['depth'\]"),
        (lambda: plots.curve_with_intervals(CURVE, "layer", "who", "t", "y"), r"lack the columns \['who'\]"),
        (lambda: plots.curve_with_intervals(CURVE.assign(layer="a"), "layer", "model", "t", "y"), "must hold numbers"),
        (lambda: plots.heat_map(CELLS, "success", "t"), r"lack the columns \['success'\]"),
        (lambda: plots.heat_map(CELLS.assign(rate=5), "rate", "t"), "from 0 to 1"),
        (lambda: plots.heat_map(CELLS, "rate", "t", (9, 2.0)), r"one of the map's \(layer, strength\), got \(9, 2.0\)"),
        (lambda: plots.heat_map(CELLS, "rate", "t", 5), "got 5"),
        (lambda: plots.verdict_grid(GRID.assign(verdict="maybe"), "t"), "each of ruled out, stands, cannot tell"),
        (lambda: plots.show(None, "what this figure shows, in words"), "only a figure can be shown, got None"),
        (lambda: plots.show(Figure(), None), "alt text must say"),
        (lambda: diagrams.four_rates(rates()[lambda table: table["measure"] == "says Yes"]), "two measures"),
        (lambda: diagrams.four_rates(rates()[lambda table: table["injected"]]), "without and with an injection"),
        (
            lambda: diagrams.phenomenon("oceans", 8, 8, ("No.", "Yes.")),
            "layer must be a whole number from 0 to 7, got 8",
        ),
        (lambda: diagrams.phenomenon("oceans", 0, 0, ("No.", "Yes.")), "blocks must be a whole number from 1"),
        (lambda: diagrams.phenomenon("oceans", 3, 8, ("No.",)), "a word and two answers"),
        (lambda: diagrams.phenomenon(None, 3, 8, ("No.", "Yes.")), "a word and two answers"),
        (lambda: diagrams.course_map(None), "here must be one of"),
        (lambda: diagrams.block_stack([], 3), "tokens must be a list"),
        (lambda: diagrams.block_stack("abc", 3), "tokens must be a list"),
        (lambda: diagrams.block_stack(["a"], 2.5), "blocks must be a whole number"),
        (lambda: diagrams.block_stack(["a"], 3, (1, 1)), "position must be a whole number from 0 to 0, got 1"),
        (lambda: diagrams.block_stack(["a"], 3, 5), "a place must be"),
        (lambda: diagrams.clean_and_injected(["a"], 3, 3, 0), "layer must be a whole number from 0 to 2, got 3"),
        (lambda: diagrams.clean_and_injected(["a"], 3, 1, -1), "position must be"),
        (lambda: diagrams.span_timeline([], {"x": {0}}), "parts must be a list"),
        (lambda: diagrams.span_timeline([("a", 0)], {"x": {0}}), "parts with tokens"),
        (lambda: diagrams.span_timeline([("a", -1)], {"x": {0}}), "the tokens of 'a' must be a whole number from 0"),
        (lambda: diagrams.span_timeline(PARTS, {}), "at least one way of injecting"),
        (lambda: diagrams.span_timeline(PARTS, {"x": {2}}), "'x' must be a set of the 2 parts' indices, got .2."),
        (lambda: diagrams.span_timeline(PARTS, {"x": 1}), "'x' must be a set of the 2 parts' indices, got 1"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused_in_words(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_one_point_a_missing_one_and_an_endless_interval_are_drawn():
    for table in (CURVE[:1], CURVE.assign(value=[0.1, NAN, NAN]), CURVE.assign(low=-np.inf, high=np.inf)):
        for draw in ("curve", "forest"):
            TABLES[draw][0](pd.concat([table, table.assign(model="other")])).savefig(io.BytesIO())
    plots.heat_map(CELLS[:1], "rate", "t").savefig(io.BytesIO())
    plots.verdict_grid(GRID.assign(value=NAN, low=NAN, high=NAN), "t").savefig(io.BytesIO())


def test_the_map_has_a_box_for_every_notebook_and_marks_one():
    numbers = [file.stem.split("_")[0] for file in generated_cells.course()]
    assert list(diagrams.QUESTIONS) == numbers
    assert "you are here" not in texts(diagrams.course_map())
    for file in generated_cells.course():
        assert texts(diagrams.course_map(file.stem)).count("you are here") == 1
    with pytest.raises(ValueError, match=r"00, 01.*playground, or empty, got '99'"):
        diagrams.course_map("99")


def test_the_stored_pictures_show_what_is_drawn_today():
    """The introspector's answers, and the map, are those of data/figures; fonts may differ by a few pixels."""
    for name, figure in (("phenomenon", store_figures.phenomenon()), ("course_map", diagrams.course_map())):
        image = io.BytesIO(png.drawn(figure, store_figures.DPI))
        drawn, stored = plt.imread(image), plt.imread(store_figures.FOLDER / f"{name}.png")
        again = f"data/figures/{name}.png is old: python -m tests.authoring.store_figures"
        assert drawn.shape == stored.shape, again
        assert np.abs(drawn - stored).mean() < 0.003, again


def test_the_picture_is_that_of_notebook_00():
    defaults = read_defaults(find_notebook("00"))
    shown = (store_figures.WORD, store_figures.LAYER, store_figures.STRENGTH)
    assert tuple(defaults[name] for name in ("word", "layer", "strength")) == shown
