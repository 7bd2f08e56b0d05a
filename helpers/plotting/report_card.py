"""A report card: what the assay found on one model, on one page, beside models whose truth is known and published numbers.

measured, throughout: one row per number, as `experiments.four_experiments.measure_all` returns them.
"""

import base64
import html
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.experiments import LABELS
from helpers.experiments.four_experiments import separated
from helpers.experiments.measures import EFFECT
from helpers.paths import ROOT
from helpers.plotting.plots import BODY_SIZE, COLOURS, INJECTION, draw_forest, plain

CONTROLS = {  # measures of experiment 1 -> how the card calls them
    "detection_rate": "says yes: word injected",
    "random_vector_detection_rate": "says yes: random vector",
    "false_positive_rate": "says yes: nothing injected",
    "success_rate": "success (yes, then the word)",
    "coherence_rate": "coherent under injection",
    "ungraded_rate": "ungraded (no English, unfinished)",
}
LIMITS = (
    "An injection is an artificial event; nothing here says what the model notices when nobody injects.",
    "A report that follows an injection can have boring causes: notebook 09 holds the controls that this card does not.",
    "The model organisms are tiny and trained; they test the assay and say nothing about large models.",
    "Published numbers come from other prompts, judges, words and layers: compare the order of size, no more.",
    "Experiment 4 compares different texts; its effect is what a model shows beyond an untrained copy of itself.",
    "Experiment 3: the word literally in the line does the same as its vector; no memory of an intention is shown.",
    "A null holds for the words, the wording and the doses that were tried.",
    "(not validated): this experiment does not separate the organisms, so its number says nothing about any model.",
)


def published_pairs() -> pd.DataFrame:
    """Every published success rate beside the false positives of the same model and study, best net rate first.

    Columns: model, study, success, false_positives, n (trials with an injection), n_controls, judge, prompt. A study that states no
    false positives (NaN) comes below those that do; n is missing, and judge and prompt are "not stated", where the source is
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


def draw_pairs(axis: Axes, pairs: pd.DataFrame, subject: str) -> None:
    """Success (filled) and false positives (open) of each measurement on one line; the subject's is marked in its name."""
    for height, row in enumerate(pairs.itertuples()):
        axis.plot([row.false_positives, row.success], [height, height], color="#999999", linewidth=2, zorder=1)
    height = range(len(pairs))
    axis.plot(pairs["success"], height, "o", color=COLOURS["introspector"], markersize=8, label="success")
    open_square = {"markerfacecolor": "white", "color": INJECTION, "markersize": 8, "label": "false positives"}
    axis.plot(pairs["false_positives"], height, "s", **open_square)
    names = [
        f"{plain(row.model)} (this run), n = {row.n}"
        if row.model == subject and pd.isna(row.study)
        else f"{plain(row.model)}: {plain(row.study)}, n {'not stated' if pd.isna(row.n) else f'= {row.n}'}"
        for row in pairs.itertuples()
    ]
    axis.set_yticks(height, [textwrap.shorten(name, 72, placeholder=" ...") for name in names])
    axis.set(xlim=(-0.03, 1.03), ylim=(len(pairs) - 0.5, -0.5), xlabel="share of trials")
    axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def draw_effects(axis: Axes, measured: pd.DataFrame) -> None:
    """The effect of each experiment on each model with its 95 % interval; the dashed line is no introspection.

    An experiment that does not separate the organisms (`four_experiments.separated`) is marked.
    """
    apart = separated(measured)
    effects = measured[(measured["measure"] == EFFECT) & (measured["chosen_by"] == "own")]
    names = {
        experiment: label + ("" if apart.get(experiment, True) else " (not validated)")
        for experiment, label in LABELS.items()
    }
    order = [experiment for experiment in LABELS if experiment in set(effects["experiment"])]
    effects = pd.concat([effects[effects["experiment"] == experiment] for experiment in order])
    effects = effects.assign(experiment=effects["experiment"].map(names))
    draw_forest(axis, effects, "experiment", "model", "effect, 95 % interval (0 = no introspection)")
    axis.locator_params(axis="x", nbins=6)
    axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)


def cannot_tell(measured: pd.DataFrame, subject: str) -> list[str]:
    """What the assay cannot tell about the subject, one sentence per experiment whose precondition failed."""
    own = measured[(measured["model"] == subject) & (measured["measure"] == EFFECT) & (measured["unclear"] != "")]
    return [f"Experiment {LABELS[row.experiment]}: cannot tell, {row.unclear}." for row in own.itertuples()]


def own_rates(measured: pd.DataFrame, subject: str) -> pd.DataFrame:
    """The subject's measures of experiment 1 in the cell that it chose, by name."""
    own = measured[(measured["model"] == subject) & (measured["experiment"] == "injected_thought")]
    return own[own["chosen_by"] == "own"].set_index("measure")


def with_published(measured: pd.DataFrame, subject: str) -> pd.DataFrame:
    """`published_pairs` and the subject's own pair, best net rate first; a source without false positives comes last."""
    own = own_rates(measured, subject)
    line = {
        "model": subject,
        "success": own.loc["success_rate", "value"],
        "false_positives": own.loc["false_positive_rate", "value"],
        "n": int(own.loc["success_rate", "n"]),
    }
    published = published_pairs()
    pairs = pd.concat([pd.DataFrame([line], columns=published.columns), published], ignore_index=True)
    net = (pairs["success"] - pairs["false_positives"]).astype(float)
    return pairs.loc[net.sort_values(ascending=False, kind="stable", na_position="last").index]


def card(measured: pd.DataFrame, subject: str, finding: str) -> Figure:
    """One page: the finding, four experiments beside the other models, the controls of experiment 1, published numbers.

    KeyError where the measured table holds no experiment 1 of the subject.
    """
    pairs = with_published(measured, subject)
    figure = plt.figure(figsize=(12, 13))
    title = [f"Report card: {plain(subject)}", finding, *cannot_tell(measured, subject)]
    figure.suptitle("\n".join(plain(each, 120) for each in title), fontsize=13)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))  # so that long names below take no room from above
    effects, rates = top.subplots(1, 2)
    draw_effects(effects, measured)
    own = own_rates(measured, subject)
    lines = own.loc[[name for name in CONTROLS if name in own.index]]
    names = [f"{CONTROLS[name]}, n = {int(n)}" for name, n in zip(lines.index, lines["n"], strict=True)]
    draw_forest(rates, lines.assign(name=names), "name", "model", "share of trials, 95 % interval")
    rates.set(xlim=(-0.03, 1.03), title="Experiment 1 and its controls")
    published = bottom.subplots()
    draw_pairs(published, pairs, subject)
    published.set_title("Experiment 1 beside published numbers, best net rate first", loc="left", pad=22)
    figure.supxlabel("Limits: " + "\n".join(LIMITS), x=0.02, ha="left", fontsize=BODY_SIZE)
    return figure


def without_folder(value) -> str:
    """A setting as the page shows it: of a path only the last name, since the rest tells where somebody keeps things."""
    text = str(value)
    return Path(text).name if Path(text).is_absolute() or text.startswith("~") else text


def write(
    folder: Path, figure: Figure, measured: pd.DataFrame, subject: str, finding: str, settings: dict
) -> list[Path]:
    """Write report_card.png and report_card.html (the same figure, all numbers, settings, limits) into the folder."""
    picture, page = folder / "report_card.png", folder / "report_card.html"
    figure.savefig(picture, dpi=90)
    image = base64.b64encode(picture.read_bytes()).decode()
    effects = measured[(measured["measure"] == EFFECT) & (measured["chosen_by"] == "own")]
    alt = f"{finding} Effects: " + "; ".join(
        f"{row.model}, {LABELS[row.experiment]}: {row.value:.2f}" for row in effects.itertuples()
    )
    numbers = measured.round(3).to_html(index=False, border=0, na_rep="")
    entries = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(without_folder(value))}</td></tr>"
        for name, value in settings.items()
    )
    doubts = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in cannot_tell(measured, subject))
    limits = "".join(f"<li>{html.escape(limit)}</li>" for limit in LIMITS)
    page.write_text(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Report card: {html.escape(subject)}</title>
<style>body {{ font-family: sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }} img {{ max-width: 100% }}
table {{ border-collapse: collapse }} td, th {{ padding: 0.2em 0.8em; text-align: left }}</style></head><body>
<h1>Report card: {html.escape(subject)}</h1>
<p><strong>{html.escape(finding)}</strong></p>
{doubts}
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
