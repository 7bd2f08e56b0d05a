"""The course's visual language, and the figures that more than one notebook draws.

The same colour for the same model everywhere, a marker of its own for whoever does not see colours, the injection always in
INJECTION's colour, layers to the right in curves and upwards in diagrams, words on the axes, 95 % intervals as bars.
"""

import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from helpers.stats import check_table

BODY_SIZE = 11  # points: no text of a figure is smaller than the text around it
INJECTION = "#d55e00"  # vermilion: whatever is added to a stream, and the chosen cell
COLOURS = {"introspector": "#0173b2", "novice": "#767676", "bluffer": "#b8860b"}
OTHERS = ("#029e73", "#cc78bc", "#a0522d", "#332288", "#56b4e9")  # for series that are none of the organisms
CONDITIONS = {  # series that say what was added in a trial, in all the names that curves give them
    **dict.fromkeys(("concept", "yes to a concept"), INJECTION),
    **dict.fromkeys(("random", "random push", "yes to a random push"), OTHERS[3]),
    **dict.fromkeys(("none", "yes to nothing"), "black"),
    "names it if made to": OTHERS[4],
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")
VERDICTS = {"ruled out": "#cfe8d5", "stands": "#f6d3c4"}  # of the grid's cells; the word is in them
VERDICTS |= {"cannot tell": "#d2d2d2", "nothing to explain": "#f7f7f7"}


def style() -> None:
    """One look for all figures: colour-blind-safe colours, text as large as the page's, no chart junk."""
    sns.set_theme(context="notebook", style="ticks", palette=[*COLOURS.values(), *OTHERS])
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


def looks(names) -> dict[str, dict]:
    """Colour and marker of each series: an organism's own (a condition's own colour), the next free ones for any other name."""
    names, fixed = list(dict.fromkeys(names)), COLOURS | CONDITIONS
    markers = {name: marker for name, marker in zip(COLOURS, MARKERS, strict=False) if name in names}
    free = [marker for marker in MARKERS if marker not in markers.values()]
    coloured, marked = [[name for name in names if name not in known] for known in (fixed, markers)]
    colours = fixed | {name: OTHERS[number % len(OTHERS)] for number, name in enumerate(coloured)}
    markers |= {name: free[number % len(free)] for number, name in enumerate(marked)}
    return {name: {"color": colours[name], "marker": markers[name]} for name in names}


def plain(text, width: int = 0) -> str:
    """A name as matplotlib shall write it: no formula, its lines broken at `width` letters (0: not broken)."""
    text = str(text).replace("$", r"\$")
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n")) if width else text


def check_drawable(table: pd.DataFrame, names: list[str], numbers=("value", "low", "high")) -> None:
    """Raise ValueError for a table that cannot be drawn.

    Args:
        table: at least one row.
        names: columns of names, none of them missing.
        numbers: columns of numbers; the first one needs a finite number somewhere.
    """
    check_table(table, [*names, *numbers], "rows to draw")
    for column in numbers:
        if any(isinstance(each, str) for each in table[column]):
            raise ValueError(f"{column} must hold numbers to draw, got {table[column].tolist()!r:.60}")
    if not np.isfinite(table[numbers[0]].astype(float)).any():
        raise ValueError(f"there is nothing to draw: {numbers[0]} holds no finite number")
    for column in names:
        if table[column].isna().any():
            raise ValueError(f"{table[column].isna().sum()} of {len(table)} rows to draw have no {column}")


def show(figure: Figure, alt: str, live=None) -> None:
    """Display a figure as a PNG that carries its alt text (what it shows, not its name), and close it.

    Args:
        figure: any figure.
        alt: a sentence that can replace the picture; ValueError for one that says too little.
        live: a handle from `display({}, raw=True, display_id=True)`; the figure takes the place of what the handle showed.
    """
    if not isinstance(figure, Figure):
        raise ValueError(f"only a figure can be shown, got {figure!r:.80}")
    if not isinstance(alt, str) or len(alt.split()) < 6:
        raise ValueError(f"alt text must say what the figure shows, in a sentence; got {alt!r}")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=figure.dpi)
    plt.close(figure)
    bundle = {"image/png": image.getvalue(), "text/plain": f"Figure: {alt}"}
    put = display if live is None else live.update
    put(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def heat_map(
    cells: pd.DataFrame, column: str, title: str, marked: tuple[int, float] | None = None, axis: Axes | None = None
) -> Figure:
    """A rate by layer (across) and strength (down), with the number in each cell.

    Args:
        cells: columns layer, strength and `column` (0 to 1), one row per cell.
        column: the rate.
        title: of the figure.
        marked: the chosen cell, drawn with a frame.
        axis: to draw it on; None: that of a figure of its own.
    """
    check_drawable(cells, ["layer", "strength"], [column])
    if cells.duplicated(["layer", "strength"]).any() or not cells[column].dropna().between(0, 1).all():
        raise ValueError(f"a heat map needs one row per layer and strength, and a {column} from 0 to 1")
    if marked is not None and marked not in list(zip(cells["layer"], cells["strength"], strict=True)):
        raise ValueError(f"the marked cell must be one of the map's (layer, strength), got {marked!r}")
    grid = cells.astype({column: float}).pivot_table(index="strength", columns="layer", values=column)
    grid = grid.sort_index(ascending=False)
    title = plain(title, 72)
    width = max(1.6 + 0.62 * grid.shape[1], 1.0 + 0.09 * max(map(len, title.split("\n"))))  # few layers: the title's
    axis = axis or plt.subplots(figsize=(width, 1.4 + 0.5 * grid.shape[0]))[1]
    look = {"vmin": 0, "vmax": 1, "cmap": "cividis", "cbar": False}
    sns.heatmap(grid, annot=True, fmt=".2f", annot_kws={"size": BODY_SIZE - 1}, ax=axis, **look)
    colours = axis.collections[0].get_facecolors().reshape(*grid.shape, -1)  # [strength, layer, channel]
    for number in axis.texts:  # seaborn writes white on colours too bright for it
        column, row = map(int, number.get_position())
        number.set_color("white" if sns.utils.relative_luminance(colours[row, column]) < 0.18 else "black")
    if marked is not None:
        place = (list(grid.columns).index(marked[0]), list(grid.index).index(marked[1]))
        axis.add_patch(plt.Rectangle(place, 1, 1, fill=False, edgecolor=INJECTION, linewidth=4))
    axis.set(xlabel="layer of the injection", ylabel="strength", title=title)
    axis.tick_params(axis="y", rotation=0)
    return axis.figure


def _errors(part: pd.DataFrame) -> np.ndarray:
    """Lengths of the interval's bars, [below or above, row]; infinite ones reach to the edge of any figure."""
    ends = np.stack([part["value"] - part["low"], part["high"] - part["value"]]).astype(float)
    return np.clip(np.abs(ends), 0, 1e3)


def curve_with_intervals(
    table: pd.DataFrame, x: str, series: str, title: str, ylabel: str, xlabel: str = "", log_x: bool = False, axis=None
) -> Figure:
    """One line for each value of `series`, its name at its end, with 95 % intervals as bars.

    Args:
        table: columns `x`, `series`, value, low, high.
        x: column of the horizontal axis.
        series: column that names the lines.
        title, ylabel, xlabel: words; xlabel is the column's name by default.
        log_x: powers of two on the horizontal axis (where all are above 0).
        axis: to draw on; None: that of a figure of its own.
    """
    check_drawable(table, [series, x])
    check_drawable(table, [], [x])
    axis = axis or plt.subplots(figsize=(7.2, 3.8))[1]
    log_x = log_x and bool((table[x].astype(float) > 0).all())
    ends, gap = [], np.diff(np.unique(table[x].astype(float))).min(initial=1)
    for number, (name, look) in enumerate(looks(table[series]).items()):
        line = table[table[series] == name].sort_values(x)
        positions = line[x].astype(float)
        shift = 0.04 * (number - (table[series].nunique() - 1) / 2)  # so that equal values do not hide each other
        positions = positions * (1 + shift) if log_x else positions + gap * shift
        values = line["value"].astype(float)
        axis.errorbar(positions, values, yerr=_errors(line), linestyle=LINES[number % len(LINES)], capsize=3, **look)
        if np.isfinite(values.iloc[-1]):  # else its name would be nowhere
            ends.append((positions.iloc[-1], values.iloc[-1], name, look["color"]))
    if log_x:
        ticks = sorted(table[x].astype(float).unique())
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    elif pd.api.types.is_integer_dtype(table[x]):
        axis.locator_params(axis="x", integer=True)
    axis.margins(x=5 if len(set(table[x])) == 1 else None)  # else the shift would spread one place over the whole axis
    axis.set(xlabel=plain(xlabel or x), ylabel=plain(ylabel), title=plain(title, 72))
    if len(ends) > 1:
        _label_line_ends(axis, ends)
    return axis.figure


def _label_line_ends(axis: Axes, ends: list[tuple]) -> None:
    """Write each line's name (x, y, name, colour) to the right of its end, moved apart where two would overlap."""
    low, high = axis.get_ylim()
    room, heights = 0.075 * (high - low), {}
    for _, y, name, _ in sorted(ends, key=lambda end: end[1]):
        heights[name] = max([y, *(height + room for height in heights.values())])
    for x, y, name, colour in ends:
        axis.annotate(
            plain(name, 26),
            (x, y),
            (1.03, (heights[name] - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.35, "shrinkA": 1, "shrinkB": 6},
            annotation_clip=False,
        )


def draw_forest(
    axis: Axes, table: pd.DataFrame, rows: str, series: str, xlabel: str, dashed: float = 0.0, hollow=()
) -> None:
    """Estimates with their 95 % intervals, one line of the page for each row and series.

    Args:
        axis: where to draw.
        table: columns `rows`, `series`, value, low, high.
        rows: column that names the rows, from top to bottom.
        series: column that names the markers.
        xlabel: words.
        dashed: where "nothing" lies, a dashed line; NaN for none.
        hollow: index labels of the rows whose markers get a white centre.
    """
    check_drawable(table, [rows, series])
    row_names, found = list(dict.fromkeys(table[rows])), looks(table[series])
    step, size = min(0.22, 0.8 / len(found)), 9.5 if len(hollow) else 7  # a white centre must be seen in a triangle
    for number, (name, look) in enumerate(found.items()):
        part = table[table[series] == name]
        height = [row_names.index(row) + (number - (len(found) - 1) / 2) * step for row in part[rows]]
        bars = {"xerr": _errors(part), "linestyle": "none", "markersize": size, "capsize": 3}
        axis.errorbar(part["value"].astype(float), height, label=plain(name), **bars, **look)
        inside = part.index.isin(hollow)
        axis.plot(part["value"][inside], np.array(height)[inside], "o", color="white", markersize=0.47 * size, zorder=5)
    axis.axvline(dashed, color="black", linestyle="--", linewidth=1)
    axis.set_yticks(range(len(row_names)), [plain(name, 34) for name in row_names])
    axis.set(xlabel=plain(xlabel), ylim=(len(row_names) - 0.5, -0.5))


def forest(table: pd.DataFrame, rows: str, series: str, title: str, xlabel: str) -> Figure:
    """A figure of its own for `draw_forest`, with a title; the names of the series, if several, are above the axis."""
    check_drawable(table, [rows, series])
    count, names = table[rows].nunique() * table[series].nunique(), table[series].nunique()
    figure, axis = plt.subplots(figsize=(7.2, 1.2 + 0.34 * count))
    draw_forest(axis, table, rows, series, xlabel)
    if names > 1:
        legend_above(axis, plain(title, 72))
    else:
        figure.suptitle(plain(title, 72), x=0.01, ha="left", fontsize=BODY_SIZE + 1)
    return figure


def legend_above(axis: Axes, title: str = "") -> None:
    """Name the series above the axis, below a title, from the figure's left edge on, in as many lines as the names need."""
    handles, names = axis.get_legend_handles_labels()
    widths = [len(name) + 6 for name in names]  # in letters, with the marker; about 76 fit beside each other
    columns = len(names) if sum(widths) < 76 else max(1, 76 // max(widths))
    look = {"frameon": False, "handletextpad": 0.3, "columnspacing": 1.2, "alignment": "left"}
    look |= {"title": title or None, "title_fontsize": BODY_SIZE + 1, "borderpad": 0}
    axis.figure.legend(handles, names, loc="outside upper left", ncols=columns, **look)


def verdict_grid(conclusions: pd.DataFrame, title: str) -> Figure:
    """What stands and what falls: explanation (down) x model (across), each cell with its verdict and effect.

    conclusions: columns explanation ("objection: control" takes two lines), model, verdict (a key of VERDICTS), value, low, high
    (NaN where nothing was graded: then the column why, if there is one, is written).
    """
    check_table(conclusions, ["explanation", "model", "verdict", "value", "low", "high"], "conclusions to draw")
    conclusions = conclusions.astype(dict.fromkeys(["value", "low", "high"], float))
    rows, columns = (list(dict.fromkeys(conclusions[name])) for name in ("explanation", "model"))
    once = not conclusions.duplicated(["explanation", "model"]).any() and len(conclusions) == len(rows) * len(columns)
    if not once or not conclusions["verdict"].isin(VERDICTS).all():
        raise ValueError(f"a grid needs one verdict per explanation and model, each of {', '.join(VERDICTS)}")
    codes = list(VERDICTS)
    by_cell = conclusions.set_index(["explanation", "model"])
    colours = np.array([[codes.index(by_cell.loc[(row, column), "verdict"]) for column in columns] for row in rows])
    figure, axis = plt.subplots(figsize=(7.2, 0.7 + 0.43 * len(rows)))
    axis.pcolormesh(
        colours, cmap=ListedColormap(list(VERDICTS.values())), vmin=-0.5, vmax=3.5, edgecolors="white", linewidth=2
    )
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            cell = by_cell.loc[(row, column)]
            place = {"x": j + 0.5, "y": i + 0.5, "ha": "center", "fontsize": BODY_SIZE - 1.5}
            weight = "bold" if cell["verdict"] == "ruled out" else "normal"
            effect = f"{cell['value']:+z.2f} [{cell['low']:z.2f}, {cell['high']:z.2f}]"
            below = effect if pd.notna(cell["value"]) else plain(cell.get("why", ""))
            axis.text(s=cell["verdict"], va="bottom" if below else "center", weight=weight, **place)
            axis.text(s=below, va="top", **place | {"y": i + 0.58})
    axis.set_xticks([j + 0.5 for j in range(len(columns))], [plain(name, 18) for name in columns])
    labels = [":\n".join(plain(part, 30) for part in str(name).split(": ", 1)) for name in rows]
    axis.set_yticks([i + 0.5 for i in range(len(rows))], labels)
    axis.set(ylim=(len(rows), 0))
    axis.set_title(plain(title), loc="left", x=0)
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)
    return figure
