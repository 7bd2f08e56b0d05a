"""A report card: what the assay found on one model, on one page, beside models whose truth is known and published numbers.

measured, throughout: one row a number, columns model, experiment, measure, value, low, high, n, layer, strength (the tables of
`experiments.four_experiments` with their experiment and cell).
"""

import base64
import html
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.experiments import LABELS
from helpers.experiments.four_experiments import separated
from helpers.experiments.measures import EFFECT
from helpers.paths import ROOT
from helpers.plotting.plots import BODY_SIZE, MARKERS

CONTROLS = {  # measures of experiment 1 -> how the card calls them
    "detection_rate": "says yes: word injected",
    "random_vector_detection_rate": "says yes: random vector",
    "false_positive_rate": "says yes: nothing injected",
    "success_rate": "success (yes, then the word)",
    "coherence_rate": "coherent under injection",
}
LIMITS = (
    "An injection is an artificial event; nothing here says what the model notices when nobody injects.",
    "A report that follows an injection can have boring causes: notebook 09 holds the controls that this card does not.",
    "The model organisms are tiny and trained; they test the assay and say nothing about large models.",
    "Published numbers come from other prompts, judges, words and layers: compare the order of size, no more.",
    "Experiment 4 compares different texts; without any training a network shows a gap too: see the untrained copy in notebook 12.",
    "A null holds for the words, the wording and the doses that were tried.",
    "(not validated): this experiment does not separate the organisms, so its number says nothing about any model.",
)


def published_pairs() -> pd.DataFrame:
    """Every published success rate beside the false positives of the same model and study, best net rate first.

    Columns: model, study, success, false_positives, n (trials with an injection), n_controls, judge, prompt. A study that states no
    false positives (NaN) stands below those that do; n is missing, and judge and prompt are "not stated", where the source is
    silent. A model that several studies measured has several rows.
    """
    table = pd.read_csv(ROOT / "data" / "published_results.csv")
    success, alarms = (table[table["metric"] == metric] for metric in ("success_rate", "false_positive_rate"))
    success = success.rename(columns={"value": "success"})[["model", "study", "success", "n", "judge", "prompt"]]
    alarms = alarms.rename(columns={"value": "false_positives", "n": "n_controls"})
    pairs = success.merge(alarms[["model", "study", "false_positives", "n_controls"]], how="left", validate="1:1")
    pairs = pairs.fillna({"judge": "not stated", "prompt": "not stated"}).astype({"n": "Int64", "n_controls": "Int64"})
    pairs = pairs.assign(net=pairs["success"] - pairs["false_positives"])
    pairs = pairs.sort_values(["net", "success"], ascending=False, ignore_index=True)
    return pairs[["model", "study", "success", "false_positives", "n", "n_controls", "judge", "prompt"]]


def draw_pairs(axis: Axes, pairs: pd.DataFrame, ours: str) -> None:
    """Success (filled) and false positives (open) of each model on one line; the line of `ours` is marked in its name."""
    for height, row in enumerate(pairs.itertuples()):
        axis.plot([row.false_positives, row.success], [height, height], color="#999999", linewidth=2, zorder=1)
    height = range(len(pairs))
    axis.plot(pairs["success"], height, "o", color="#0173b2", markersize=8, label="success")
    axis.plot(
        pairs["false_positives"],
        height,
        "s",
        markerfacecolor="white",
        color="#d55e00",
        markersize=8,
        label="false positives",
    )
    axis.set_yticks(height, [f"{name} (this run)" if name == ours else name for name in pairs["model"]])
    axis.set(xlim=(-0.03, 1.03), ylim=(len(pairs) - 0.5, -0.5), xlabel="share of trials")
    axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def draw_effects(axis: Axes, measured: pd.DataFrame) -> None:
    """The effect of each experiment on each model with its 95 % interval; the dashed line is no introspection.

    An experiment that does not separate the organisms (see `separated`) is marked.
    """
    apart = separated(measured)
    effects = measured[measured["measure"] == EFFECT]
    present = [experiment for experiment in LABELS if experiment in set(effects["experiment"])]
    names = list(dict.fromkeys(effects["model"]))
    step = min(0.2, 0.8 / len(names))
    for number, name in enumerate(names):
        part = effects[effects["model"] == name]
        height = [present.index(each) + (number - (len(names) - 1) / 2) * step for each in part["experiment"]]
        errors = np.abs(np.stack([part["value"] - part["low"], part["high"] - part["value"]]).astype(float))
        marker = MARKERS[number % len(MARKERS)]
        axis.errorbar(part["value"], height, xerr=errors, linestyle="none", marker=marker, capsize=3, label=name)
    axis.axvline(0, color="black", linestyle="--", linewidth=1)
    labels = [
        textwrap.fill(LABELS[each], 20) + ("" if apart.get(each, True) else "\n(not validated)") for each in present
    ]
    axis.set_yticks(range(len(present)), labels)
    axis.locator_params(axis="x", nbins=6)
    axis.set(ylim=(len(present) - 0.5, -0.5), xlabel="effect, 95 % interval (0 = no introspection)")
    axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)


def with_published(measured: pd.DataFrame, subject: str) -> pd.DataFrame:
    """`published_pairs` and the subject's own pair, best net rate first."""
    own = measured[(measured["model"] == subject) & (measured["experiment"] == "injected_thought")].set_index("measure")
    line = {
        "model": subject,
        "success": own.loc["success_rate", "value"],
        "false_positives": own.loc["false_positive_rate", "value"],
    }
    pairs = pd.concat([pd.DataFrame([line]), published_pairs()], ignore_index=True)
    return pairs.loc[(pairs["success"] - pairs["false_positives"]).sort_values(ascending=False, kind="stable").index]


def card(measured: pd.DataFrame, subject: str, finding: str) -> Figure:
    """One page: the finding, four experiments beside the other models, the controls of experiment 1, published numbers.

    KeyError where the measured table holds no experiment 1 of the subject.
    """
    pairs = with_published(measured, subject)
    figure = plt.figure(figsize=(12, 11.6))
    figure.suptitle(f"Report card: {subject}\n{textwrap.fill(finding, 120)}", fontsize=13)
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 0.28 * len(pairs) / 3.2))
    draw_effects(figure.add_subplot(grid[0, 0]), measured)
    axis = figure.add_subplot(grid[0, 1])
    own = measured[(measured["model"] == subject) & (measured["experiment"] == "injected_thought")].set_index("measure")
    lines = own.loc[[name for name in CONTROLS if name in own.index]]
    errors = np.abs(np.stack([lines["value"] - lines["low"], lines["high"] - lines["value"]]).astype(float))
    axis.errorbar(lines["value"], range(len(lines)), xerr=errors, linestyle="none", marker="o", capsize=3)
    names = [f"{CONTROLS[name]}\nn = {int(n)}" for name, n in zip(lines.index, lines["n"], strict=True)]
    axis.set_yticks(range(len(lines)), names)
    axis.set(xlim=(-0.03, 1.03), ylim=(len(lines) - 0.5, -0.5), xlabel="share of trials, 95 % interval")
    axis.set_title("Experiment 1 and its controls")
    axis = figure.add_subplot(grid[1, :])
    draw_pairs(axis, pairs, subject)
    axis.set_title("Experiment 1 beside published numbers, best net rate first", loc="left")
    figure.supxlabel("Limits: " + "\n".join(LIMITS), x=0.02, ha="left", fontsize=BODY_SIZE)
    return figure


def write(
    folder: Path, figure: Figure, measured: pd.DataFrame, subject: str, finding: str, settings: dict
) -> list[Path]:
    """Write report_card.png and report_card.html (the same figure, all numbers, settings, limits) into the folder."""
    picture, page = folder / "report_card.png", folder / "report_card.html"
    figure.savefig(picture, dpi=90)
    image = base64.b64encode(picture.read_bytes()).decode()
    effects = measured[measured["measure"] == EFFECT]
    alt = f"{finding} Effects: " + "; ".join(
        f"{row.model}, {LABELS[row.experiment]}: {row.value:.2f}" for row in effects.itertuples()
    )
    numbers = measured.round(3).to_html(index=False, border=0, na_rep="")
    entries = "".join(
        f"<tr><th>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>" for k, v in settings.items()
    )
    limits = "".join(f"<li>{html.escape(limit)}</li>" for limit in LIMITS)
    page.write_text(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Report card: {html.escape(subject)}</title>
<style>body {{ font-family: sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }} img {{ max-width: 100% }}
table {{ border-collapse: collapse }} td, th {{ padding: 0.2em 0.8em; text-align: left }}</style></head><body>
<h1>Report card: {html.escape(subject)}</h1>
<p><strong>{html.escape(finding)}</strong></p>
<img src="data:image/png;base64,{image}" alt="{html.escape(alt)}">
<h2>Limits</h2><ul>{limits}</ul>
<h2>Settings</h2><table>{entries}</table>
<h2>All numbers</h2>
<p>Layer and strength were chosen on half of the words; the numbers are those of the other half, with 95 % intervals.</p>
{numbers}
</body></html>
""",
        encoding="utf-8",
    )
    return [page, picture]
