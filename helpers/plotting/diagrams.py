"""Diagrams that more than one notebook draws: the blocks and their residual streams, a clean beside an injected run, spans in time."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.plotting.plots import BODY_SIZE, INJECTION

CLEAN = "#d9d9d9"  # what no vector reaches; the injected part is drawn thick, or written on, as well
CELL = 0.95  # inches across one token


def _stack(axis: Axes, tokens: list[str], blocks: int) -> None:
    """One vertical arrow per token (its residual stream), one bar per block across all of them, layer 0 at the bottom."""
    for layer in range(blocks):
        axis.add_patch(
            Rectangle((-0.45, layer - 0.24), len(tokens) - 0.1, 0.48, facecolor=CLEAN, edgecolor="black", zorder=1)
        )
        axis.text(-0.6, layer, f"block {layer}", ha="right", va="center")
    for position in range(len(tokens)):
        axis.annotate(
            "",
            (position, blocks - 0.3),
            (position, -0.85),
            arrowprops={"arrowstyle": "->", "lw": 1.5, "color": "black"},
        )
    axis.set_xticks(range(len(tokens)), tokens)
    axis.set(xlim=(-1.6, len(tokens) - 0.4), ylim=(-0.95, blocks - 0.2), yticks=[])
    axis.tick_params(axis="x", length=0, pad=2)
    axis.spines[:].set_visible(False)


def block_stack(tokens: list[str], blocks: int, marked: tuple[int, int] | None = None, label: str = "") -> Figure:
    """The model as a stack of blocks over tokens. marked: (position, layer) of a dot on a stream, just above that block."""
    figure, axis = plt.subplots(figsize=(1.9 + CELL * len(tokens), 0.9 + 0.42 * blocks))
    _stack(axis, tokens, blocks)
    if marked is not None:
        position, layer = marked
        axis.plot(position, layer + 0.5, marker="o", color=INJECTION, markersize=11)
        axis.annotate(
            label,
            (position + 0.08, layer + 0.5),
            (len(tokens) - 0.4, layer + 0.5),
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": INJECTION, "shrinkB": 6},
        )
    return figure


def clean_and_injected(tokens: list[str], blocks: int, layer: int, start: int) -> Figure:
    """Two runs side by side; on the right a vector is added after block `layer` from token `start` on, thick where that can reach."""
    figure, axes = plt.subplots(1, 2, figsize=(3.2 + 1.7 * len(tokens), 0.9 + 0.42 * blocks))
    for axis, title in zip(axes, ("clean run", "injected run"), strict=True):
        _stack(axis, tokens, blocks)
        axis.set_title(title)
    for position in range(start, len(tokens)):
        axes[1].plot([position, position], [layer + 0.5, blocks - 0.4], color=INJECTION, linewidth=7, alpha=0.8)
        axes[1].plot(position, layer + 0.5, marker="P", color=INJECTION, markersize=14, zorder=4)
    axes[1].text(len(tokens) - 0.3, layer + 0.5, "+ s·v", color=INJECTION, va="center", fontsize=BODY_SIZE + 1)
    return figure


def span_timeline(parts: list[tuple[str, int]], injected: dict[str, set[int]]) -> Figure:
    """When a vector is added: one bar per way of doing it, cut into the conversation's parts.

    parts: (name, tokens), in time. injected: way of doing it -> indices of the parts on which the vector is added (written on the bar).
    """
    figure, axis = plt.subplots(figsize=(8.4, 0.9 + 0.42 * len(injected)))
    edges = [sum(length for _, length in parts[:i]) for i in range(len(parts) + 1)]
    for row, (name, inside) in enumerate(injected.items()):
        for i, (_, length) in enumerate(parts):
            look = {"facecolor": INJECTION} if i in inside else {"facecolor": CLEAN}
            axis.barh(row, length, left=edges[i], height=0.62, edgecolor="white" if i in inside else "black", **look)
            if i in inside:
                axis.text(edges[i] + length / 2, row, "+ s·v", ha="center", va="center", color="white", weight="bold")
        axis.text(-1, row, name, ha="right", va="center")
    for i, (name, length) in enumerate(parts):
        axis.text(edges[i] + length / 2, -0.55, name, ha="center", va="bottom")
    axis.set(xlim=(0, edges[-1]), ylim=(len(injected) - 0.5, -1.0), yticks=[], xlabel="token")
    axis.spines["left"].set_visible(False)
    return figure
