"""Diagrams: the phenomenon, the course map, blocks and their residual streams, a clean beside an injected run, spans in time.

One visual language: tokens from left to right, layers upwards, whatever is injected in INJECTION's colour. No figure is wider
than PAGE inches, however many tokens or blocks it shows.
"""

import textwrap
from collections.abc import Collection

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from helpers.checks import as_list, whole_number
from helpers.plotting.plots import BODY_SIZE, INJECTION, check_drawable, plain

PAGE = 7.2  # inches: the widest figure that a laptop shows whole
CLEAN = "#d9d9d9"  # what no vector reaches; the injected part is drawn thick, or written on, as well
GREY = "#555555"
KEY = "↑ residual stream of one token      → attention: what later tokens take from earlier ones"
MOST_NUMBERED = 9  # so many blocks get a number; where there are more, every second, third ... does

# the course: number of a notebook (the beginning of its file's name) -> the question it answers
QUESTIONS = {
    "00": "What would count as noticing?",
    "01": "Where is a thought?",
    "02": "Which direction is a word?",
    "03": "How do I put it in, how much?",
    "04": "Does the model notice?",
    "05": "Does it tell thought from text?",
    "06": "Does it know what it meant?",
    "07": "Can it hold a thought?",
    "08": "Who says what an answer means?",
    "09": "Which boring reasons are left?",
    "10": "Can I build one that notices?",
    "11": "Where does it happen?",
    "12": "And a real model?",
    "13": "And one too big for your machine?",
    "14": "What does a claim need?",
    "playground": "And if I try it myself?",
}
ROWS = ("the tools", "the paper", "is it real?", "your turn")  # four notebooks each, in the order of QUESTIONS

# what the model reads in the picture of the phenomenon: (text, inches, streams), and from which part on a thought is injected
READ = (("… place a\nthought …", 0.95, 3), ("Ok.", 0.4, 1), ("Do you\nnotice …", 0.95, 3), ("reply\nso far", 0.76, 3))
FIRST_INJECTED = 2
MARKS = (("nothing injected", "word injected"), ("black", INJECTION), ("o", "P"))  # of four rates


def _canvas(height: float) -> tuple[Figure, Axes]:
    """A figure as wide as the page; its one axis counts in inches and has no frame."""
    figure = plt.figure(figsize=(PAGE, height), layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, PAGE), ylim=(0, height))
    axis.axis("off")
    return figure, axis


def _box(axis: Axes, corner: tuple[float, float], size: tuple[float, float], **look) -> None:
    """A rectangle with round corners; corner is the lower left one."""
    axis.add_patch(FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.09", **look))


def _arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, width: float, head=10
) -> None:
    """An arrow of this colour, line width and size of head (points)."""
    look = {"arrowstyle": "-|>", "mutation_scale": head, "lw": width, "color": colour, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=look)


def phenomenon(word: str, layer: int, blocks: int, answers: tuple[str, str]) -> Figure:
    """The course in one picture: a question asked twice, with nothing injected and with a word, and the two answers.

    layer: block after which the word is added, of so many blocks. answers: without and with the injection.
    """
    blocks = whole_number("blocks", blocks, 1)
    layer = whole_number("layer", layer, 0, blocks - 1)
    texts = (word, *answers) if isinstance(answers, tuple | list) else ()
    if len(texts) != 3 or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"a picture needs a word and two answers, got {word!r} and {answers!r:.80}")
    figure, axis = _canvas(4.6)
    bottom, top, slot = 1.12, 3.05, 0.28  # slot: the room above the layer for what is added there
    step = (top - bottom - slot) / blocks
    middles = [bottom + (block + 0.35) * step + (block > layer) * slot for block in range(blocks)]
    entry = middles[layer] + 0.5 * step + slot / 2
    for left, answer, injected in ((0.66, answers[0], False), (4.04, answers[1], True)):
        name, colour = (f"“{plain(word)}” injected", INJECTION) if injected else ("nothing injected", "black")
        first, end = left + sum(width for _, width, _ in READ[:FIRST_INJECTED]), left + 3.06
        axis.text(left - 0.05, 4.42, name, color=colour, weight="bold", va="center", fontsize=BODY_SIZE + 1)
        _box(axis, (left - 0.05, 3.48), (3.11, 0.76), facecolor="white", edgecolor=colour, linewidth=1 + injected)
        axis.text(left + 0.06, 3.86, plain(textwrap.shorten(answer, 66), 33), va="center", linespacing=1.35)
        for block, middle in enumerate(middles):  # to the right: what attention takes from earlier tokens
            axis.add_patch(Rectangle((left, middle - 0.35 * step), 3.06, 0.7 * step, facecolor=CLEAN))
            _arrow(axis, (left + 0.04, middle), (end, middle), GREY, 0.8, head=7)
            if injected and block > layer:
                _arrow(axis, (first + 0.16, middle), (end, middle), INJECTION, 1.6, head=8)
        start = left
        for part, (text, width, streams) in enumerate(READ):
            axis.text(start + width / 2, 0.95, text, ha="center", va="top", linespacing=1.2)
            tip = 3.46 if text.startswith("reply") else top + 0.14  # its streams lead to what is said
            for stream in range(streams):
                x = start + width * (stream + 0.5) / streams
                touched = injected and part >= FIRST_INJECTED
                _arrow(axis, (x, bottom - 0.1), (x, entry if touched else tip), "black", 1.2)
                if touched:
                    _arrow(axis, (x, entry), (x, tip), INJECTION, 3.5)
            start += width
        if injected:
            _box(axis, (first, entry - 0.11), (end - first, 0.22), color=INJECTION, zorder=5)
            look = {"ha": "center", "va": "center", "color": "white", "weight": "bold", "zorder": 6}
            axis.text((first + end) / 2, entry, f"+ {plain(textwrap.shorten(word, 14, placeholder='...'))}", **look)
    for block in sorted({0, layer, blocks - 1}):
        axis.text(0.6, middles[block], f"layer {block}", ha="right", va="center")
    axis.text(0.66, 0.28, "↑ residual stream of one token      → what later tokens take from earlier ones", color=GREY)
    return figure


def course_map(here: str = "") -> Figure:
    """The way through the course, one box per notebook with the question that it answers.

    here: the notebook where the reader is ("04", or the beginning of its file's name), marked in the figure; "" for none.
    ValueError for one that is not in the course.
    """
    number = str(here).split("_")[0]
    if number and number not in QUESTIONS:
        raise ValueError(f"here must be one of {', '.join(QUESTIONS)}, or empty, got {here!r}")
    figure, axis = _canvas(4.7)
    width, height, across, down = 1.40, 0.94, 1.56, 1.18  # of a box, and from box to box
    for place, (name, question) in enumerate(QUESTIONS.items()):
        row, column = divmod(place, 4)
        left, low = 0.99 + column * across, 3.68 - row * down
        middle, marked = low + height / 2, name == number
        face, ink = ("black", "white") if marked else ("white", "black")
        if column:
            _arrow(axis, (left - across + width, middle), (left - 0.01, middle), GREY, 1.5)
        else:
            axis.text(0.06, middle, plain(ROWS[row], 9), va="center", color=GREY)
        if row and not column:  # from the end of the row above
            end, start, turn = left + 3 * across + width / 2, left + width / 2, low + (down + height) / 2
            axis.plot([end, end, start], [low + down, turn, turn], color=GREY, linewidth=1.5)
            _arrow(axis, (start, turn), (start, low + height), GREY, 1.5)
        _box(axis, (left, low), (width, height), facecolor=face, edgecolor="black", linewidth=1.2)
        axis.text(left + 0.08, low + height - 0.16, name, va="center", color=ink, weight="bold")
        if marked:
            tag = {"va": "center", "ha": "right", "fontsize": BODY_SIZE - 2}
            axis.text(left + width - 0.07, low + height - 0.16, "you are here", color=ink, **tag)
        axis.text(left + 0.08, low + height - 0.3, plain(question, 14), va="top", color=ink, linespacing=1.1)
    return figure


def four_rates(rates: pd.DataFrame) -> Figure:
    """Noticing beside steering: how often each model says yes (left) and names the injected word (right), without and with it.

    rates: columns model, measure (two of them), injected (True or False), value, low, high.
    """
    check_drawable(rates, ["model", "measure", "injected"])
    measures, names = list(dict.fromkeys(rates["measure"])), list(dict.fromkeys(rates["model"]))
    once = not rates.duplicated(["model", "measure", "injected"]).any() and len(rates) == 4 * len(names)
    if len(measures) != 2 or not once or not rates["injected"].isin((False, True)).all():
        raise ValueError("four rates are, for each model, two measures without and with an injection, each once")
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, 1.3 + 0.72 * len(names)), sharey=True)
    for axis, measure in zip(axes, measures, strict=True):
        for height, name in enumerate(names):
            part = rates[(rates["measure"] == measure) & (rates["model"] == name)].sort_values("injected")
            for row, shift, text, colour, marker in zip(part.itertuples(), (-0.27, 0.27), *MARKS, strict=True):
                look = {"marker": marker, "color": colour, "markerfacecolor": "white" if marker == "o" else colour}
                bars = [[row.value - row.low], [row.high - row.value]]
                axis.errorbar(row.value, height + shift, xerr=np.abs(bars), markersize=9, capsize=3, **look)
                if height == 0:  # the first row says what the markers mean
                    edge, side = (row.low - 0.04, "right") if row.value > 0.5 else (row.high + 0.04, "left")
                    axis.text(edge, height + shift, text, color=colour, va="center", ha=side)
            without, with_word = part["value"]
            _arrow(axis, (without, height), (with_word, height), GREY, 2)
            edge = max(without, with_word) + 0.04
            place, side = (edge, "left") if edge < 0.7 else ((without + with_word) / 2, "center")
            look = {"va": "center_baseline", "ha": side, "bbox": {"facecolor": "white", "linewidth": 0, "pad": 1}}
            axis.text(place, height, f"gap {with_word - without:+.2f}", color=GREY, **look)
        axis.set(title=plain(measure), xlim=(-0.06, 1.06), ylim=(len(names) - 0.5, -0.5), xlabel="share of trials")
    axes[0].set_yticks(range(len(names)), map(plain, names), weight="bold")
    return figure


# --- the inside of a model ---------------------------------------------------------------------------------------------


def _stack(axis: Axes, tokens: list[str], blocks: int, cell: float) -> None:
    """One vertical arrow per token (its residual stream), one bar per block across all of them, layer 0 at the bottom.

    In each bar an arrow to the right: attention. cell: inches from token to token, so that long names are turned.
    """
    every = -(-blocks // MOST_NUMBERED)
    axis.figure.supxlabel(KEY, color=GREY, fontsize=BODY_SIZE)
    for layer in range(blocks):
        look = {"facecolor": CLEAN, "edgecolor": "black", "linewidth": 0.8, "zorder": 1}
        axis.add_patch(Rectangle((-0.45, layer - 0.24), len(tokens) - 0.1, 0.48, **look))
        _attention(axis, -0.35, len(tokens), blocks, layer, GREY, 0.8)
    for position in range(len(tokens)):
        arrow = {"arrowstyle": "->", "lw": 1.5, "color": "black"}
        axis.annotate("", (position, blocks - 0.3), (position, -0.85), arrowprops=arrow)
    axis.set_xticks(range(len(tokens)), [plain(token) for token in tokens])
    numbered = range(0, blocks, every)
    axis.set_yticks(numbered, [f"block {layer}" for layer in numbered])
    axis.set(xlim=(-0.6, len(tokens) - 0.4), ylim=(-0.95, blocks + 0.05))
    axis.tick_params(length=0, pad=2)
    axis.spines[:].set_visible(False)
    longest = max(len(line) for token in tokens for line in token.split("\n"))
    if longest * BODY_SIZE * 0.6 / 72 > cell:  # a letter is about 0.6 of its size wide
        plt.setp(axis.get_xticklabels(), rotation=35, ha="right", rotation_mode="anchor")


def _attention(axis: Axes, start: float, tokens: int, blocks: int, layer: int, colour: str, width: float) -> None:
    """The arrow to the right in a bar of `_stack`, from this place on; its head is as small as the bar asks for."""
    _arrow(axis, (start, layer), (tokens - 0.6, layer), colour, width, head=min(8, 30 * _height(blocks) / blocks))


def _height(blocks: int) -> float:
    """Inches for so many blocks."""
    return min(0.9 + 0.42 * blocks, 4.8)


def check_place(place, tokens: int, blocks: int) -> tuple[int, int]:
    """A (position, layer) of a diagram with so many tokens and blocks; ValueError for one that is not in it."""
    if not isinstance(place, tuple | list) or len(place) != 2:
        raise ValueError(f"a place must be (position, layer), got {place!r}")
    return whole_number("position", place[0], 0, tokens - 1), whole_number("layer", place[1], 0, blocks - 1)


def block_stack(tokens: list[str], blocks: int, marked: tuple[int, int] | None = None, label: str = "") -> Figure:
    """The model as a stack of blocks over tokens. marked: (position, layer) of a dot on a stream, just above that block."""
    tokens, blocks = list(map(str, as_list("tokens", tokens))), whole_number("blocks", blocks, 1)
    if marked is not None:
        position, layer = check_place(marked, len(tokens), blocks)
    width = min(1.9 + 0.95 * len(tokens), PAGE)
    figure, axis = plt.subplots(figsize=(width, _height(blocks)))
    _stack(axis, tokens, blocks, (width - 1.8) / len(tokens))
    if marked is not None:
        axis.plot(position, layer + 0.5, marker="o", color="black", markersize=11)
        axis.annotate(
            plain(label),
            (position + 0.08, layer + 0.5),
            (len(tokens) - 0.4, layer + 0.5),
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "black", "shrinkB": 6},
        )
    return figure


def clean_and_injected(tokens: list[str], blocks: int, layer: int, start: int) -> Figure:
    """Two runs side by side; on the right a vector is added after block `layer` from token `start` on, thick where that can reach."""
    tokens, blocks = list(map(str, as_list("tokens", tokens))), whole_number("blocks", blocks, 1)
    start, layer = check_place((start, layer), len(tokens), blocks)
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, _height(blocks)))
    for axis, title in zip(axes, ("clean run", "injected run"), strict=True):
        _stack(axis, tokens, blocks, (PAGE / 2 - 0.9) / len(tokens))
        axis.set_title(title)
    axes[1].set_yticks([])
    axis, entry = axes[1], layer + 0.5
    for position in range(start, len(tokens)):
        _arrow(axis, (position, entry), (position, blocks - 0.25), INJECTION, 4)
        axis.plot(position, entry, marker="P", color=INJECTION, markersize=11, zorder=4)
    for above in range(layer + 1, blocks):
        _attention(axis, start + 0.1, len(tokens), blocks, above, INJECTION, 1.6)
    # from the right: an arrow from the left would cross the streams that get nothing
    last, width = len(tokens) - 1, len(tokens)
    axis.set_xlim(-0.6, last + 0.6 + 0.22 * width)
    _arrow(axis, (last + 0.5 + 0.1 * width, entry), (last + 0.1, entry), INJECTION, 5, head=22)
    frame = {"facecolor": "white", "edgecolor": INJECTION, "boxstyle": "round,pad=0.2"}
    look = {"color": INJECTION, "weight": "bold", "va": "center", "bbox": frame, "zorder": 6}
    axis.text(last + 0.5 + 0.08 * width, entry, "+ s·v", **look)
    return figure


def span_timeline(parts: list[tuple[str, int]], injected: dict[str, set[int]]) -> Figure:
    """When a vector is added: one bar per way of doing it, cut into the conversation's parts.

    parts: (name, tokens), in time. injected: way of doing it -> indices of the parts on which the vector is added (written on the bar).
    """
    lengths = [whole_number(f"the tokens of {name!r}", length, 0) for name, length in as_list("parts", parts)]
    if not sum(lengths) or not isinstance(injected, dict) or not injected:
        raise ValueError("a timeline needs parts with tokens, and at least one way of injecting")
    for name, inside in injected.items():
        if not isinstance(inside, Collection) or not set(inside) <= set(range(len(parts))):
            raise ValueError(f"{name!r} must be a set of the {len(parts)} parts' indices, got {inside!r}")
    figure, axis = plt.subplots(figsize=(PAGE, 0.9 + 0.42 * len(injected)))
    edges = [sum(length for _, length in parts[:i]) for i in range(len(parts) + 1)]
    for row, (name, inside) in enumerate(injected.items()):
        for i, (_, length) in enumerate(parts):
            look = {"facecolor": INJECTION} if i in inside else {"facecolor": CLEAN}
            axis.barh(row, length, left=edges[i], height=0.62, edgecolor="white" if i in inside else "black", **look)
            if i in inside:
                fits = length > 0.1 * edges[-1]  # else the words go beside the bar
                place, colour, align = (
                    (edges[i] + length / 2, "white", "center") if fits else (edges[i + 1], INJECTION, "left")
                )
                axis.text(
                    place, row, "+ s·v" if fits else " ← + s·v", ha=align, va="center", color=colour, weight="bold"
                )
        axis.text(-1, row, plain(name), ha="right", va="center")
    for i, (name, length) in enumerate(parts):
        axis.text(edges[i] + length / 2, -0.55, plain(name), ha="center", va="bottom")
    axis.set(xlim=(0, edges[-1]), ylim=(len(injected) - 0.5, -1.0), yticks=[], xlabel="token")
    axis.spines["left"].set_visible(False)
    return figure
