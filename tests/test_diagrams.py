"""Diagrams: as wide as a page, a map of the whole course, stored pictures that show what the models say today."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from helpers.plotting import diagrams, plots, store_figures
from helpers.run_notebook import find_notebook, read_defaults
from tests.authoring import generated_cells


@pytest.fixture(autouse=True)
def style():
    plots.style()
    yield
    plt.close("all")


def texts(figure: Figure) -> str:
    """All words of a figure, one line per text."""
    return "\n".join(each.get_text().replace("\n", " ") for axis in figure.axes for each in axis.texts)


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
        lambda: diagrams.four_rates(rates()),
        lambda: diagrams.block_stack(["<|start|>"] * 12, 40, (11, 39), "here"),
        lambda: diagrams.clean_and_injected(["a", "b", "c", "d"], 30, 29, start=1),
        lambda: diagrams.span_timeline([("explanation", 100), ("Ok.", 2), ("$question$", 30)], {"both": {1, 2}}),
    ],
)
def test_no_diagram_is_wider_than_a_page_or_higher_than_a_screen(draw):
    image = io.BytesIO()
    draw().savefig(image, dpi=90)  # draws, so that odd words would raise here
    image.seek(0)
    height, width, _ = plt.imread(image).shape
    assert width <= diagrams.PAGE * 90 and height <= 450


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
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=store_figures.DPI)
        image.seek(0)
        drawn, stored = plt.imread(image), plt.imread(store_figures.FOLDER / f"{name}.png")
        again = f"data/figures/{name}.png is old: python -m helpers.plotting.store_figures"
        assert drawn.shape == stored.shape, again
        assert np.abs(drawn - stored).mean() < 0.003, again


def test_the_picture_is_that_of_notebook_00():
    defaults = read_defaults(find_notebook("00"))
    shown = (store_figures.WORD, store_figures.LAYER, store_figures.STRENGTH)
    assert tuple(defaults[name] for name in ("word", "layer", "strength")) == shown
