"""The figures that more than one notebook draws. Every figure has words beside its colours, and alt text when shown."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import display
from matplotlib.figure import Figure

BODY_SIZE = 11  # points: no text of a figure is smaller than the text around it
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def style() -> None:
    """One look for all figures: colour-blind-safe colours, text as large as the page's, no chart junk."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind")
    plt.rcParams.update(
        {
            "font.size": BODY_SIZE,
            "axes.labelsize": BODY_SIZE,
            "axes.titlesize": BODY_SIZE + 1,
            "xtick.labelsize": BODY_SIZE,
            "ytick.labelsize": BODY_SIZE,
            "legend.fontsize": BODY_SIZE,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.dpi": 90,
            "figure.constrained_layout.use": True,
        }
    )


def show(figure: Figure, alt: str, live=None) -> None:
    """Display a figure as a PNG that carries its alt text (what it shows, not its name), and close it.

    live: a handle from `display({}, raw=True, display_id=True)`; the figure then takes the place of what the handle showed.
    ValueError for an alt text that says too little to replace the picture.
    """
    if len(alt.split()) < 6:
        raise ValueError(f"alt text must say what the figure shows, in a sentence; got {alt!r}")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=figure.dpi)
    plt.close(figure)
    bundle = {"image/png": image.getvalue(), "text/plain": f"Figure: {alt}"}
    put = display if live is None else live.update
    put(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def heat_map(cells: pd.DataFrame, column: str, title: str, marked: tuple[int, float] | None = None) -> Figure:
    """A rate by layer (across) and strength (down), with the number in each cell.

    cells: columns layer, strength and `column` (0 to 1), one row a cell. marked: the chosen cell, drawn with a frame.
    """
    grid = cells.pivot_table(index="strength", columns="layer", values=column).sort_index(ascending=False)
    size = (1.6 + 0.62 * grid.shape[1], 1.4 + 0.5 * grid.shape[0])
    figure, axis = plt.subplots(figsize=size)
    sns.heatmap(
        grid,
        vmin=0,
        vmax=1,
        cmap="cividis",
        annot=True,
        fmt=".2f",
        annot_kws={"size": BODY_SIZE - 1},
        ax=axis,
        cbar=False,
    )
    if marked is not None:
        column_at, row_at = list(grid.columns).index(marked[0]), list(grid.index).index(marked[1])
        axis.add_patch(plt.Rectangle((column_at, row_at), 1, 1, fill=False, edgecolor="#d55e00", linewidth=4))
    axis.set(xlabel="layer of the injection", ylabel="strength", title=title)
    axis.tick_params(axis="y", rotation=0)
    return figure


def curve_with_intervals(
    table: pd.DataFrame, x: str, series: str, title: str, ylabel: str, xlabel: str | None = None, log_x: bool = False
) -> Figure:
    """One line for each value of `series`, with its own marker and 95 % intervals as bars.

    table: columns `x`, `series`, value, low, high.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    names = list(dict.fromkeys(table[series]))
    log_x = log_x and bool((table[x] > 0).all())
    for number, name in enumerate(names):
        line = table[table[series] == name].sort_values(x)
        errors = np.abs(np.stack([line["value"] - line["low"], line["high"] - line["value"]]).astype(float))
        positions = line[x].astype(float)
        shift = 0.04 * (number - (len(names) - 1) / 2)  # so that equal values do not hide each other
        axis.errorbar(
            positions * (1 + shift) if log_x else positions + shift,
            line["value"].astype(float),
            yerr=errors,
            marker=MARKERS[number % len(MARKERS)],
            linestyle=("-", "--", ":", "-.")[number % 4],
            capsize=3,
            label=name,
        )
    if log_x:
        ticks = sorted(table[x].astype(float).unique())
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set(xlabel=xlabel or x, ylabel=ylabel, title=title)
    if len(names) > 1:
        axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def forest(table: pd.DataFrame, rows: str, series: str, title: str, xlabel: str, reference: float = 0.0) -> Figure:
    """Estimates with their 95 % intervals, one line of the page for each row and series.

    table: columns `rows`, `series`, value, low, high. reference: where "nothing" lies, drawn as a dashed line.
    """
    row_names, names = list(dict.fromkeys(table[rows])), list(dict.fromkeys(table[series]))
    figure, axis = plt.subplots(figsize=(7.2, 0.9 + 0.34 * len(row_names) * len(names)))
    for number, name in enumerate(names):
        part = table[table[series] == name]
        height = [row_names.index(row) + (number - (len(names) - 1) / 2) * 0.22 for row in part[rows]]
        errors = np.abs(np.stack([part["value"] - part["low"], part["high"] - part["value"]]).astype(float))
        axis.errorbar(
            part["value"],
            height,
            xerr=errors,
            linestyle="none",
            marker=MARKERS[number],
            markersize=7,
            capsize=3,
            label=name,
        )
    axis.axvline(reference, color="black", linestyle="--", linewidth=1)
    axis.set_yticks(range(len(row_names)), row_names)
    axis.set(xlabel=xlabel, title=title, ylim=(len(row_names) - 0.5, -0.5))
    if len(names) > 1:
        axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
