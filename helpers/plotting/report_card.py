"""A report card: what the assay found on one model, on one page, beside models whose truth is known and published numbers.

measured, throughout: one row per number, as `experiments.four_experiments.measure_all` returns them.
"""

import base64
import html
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.experiments import LABELS
from helpers.experiments.four_experiments import MEASURED, NOT_VALIDATED, marked_labels, not_validated
from helpers.experiments.measures import CANNOT_TELL, EFFECT, NOT_FOUND, published_results, worded_verdict
from helpers.experiments.search import SAYS_LITTLE, says_little
from helpers.plotting.diagrams import PAGE
from helpers.plotting.plots import BODY_SIZE, INJECTION, draw_forest, legend_above, plain
from helpers.stats import check_table

CONTROLS = {  # measures of experiment 1 -> how the card calls them
    "detection_rate": "says yes: word injected",
    "random_vector_detection_rate": "says yes: random vector",
    "mixture_detection_rate": "says yes: mixture",
    "false_positive_rate": "says yes: nothing injected",
    "success_rate": "success: yes, then the word",
    "coherence_rate": "coherent under injection",
    "ungraded_rate": "could not be graded",
}
DIFFERENCES = {  # the same, of one push minus another
    "word_minus_random": "yes to word minus random",
    "word_minus_mixture": "yes to word minus mixture",
}
ROWS = {  # measures of all experiments -> their rows of notebook 12's verdict table, with the bounds that stand there
    EFFECT: f"{EFFECT} (upper end above 0.25)",
    "dose": "1a dose (below 0.2)",
    "coherence_rate": "1b coherent under injection (below 0.8; below 0.5 !)",
    "yes_to_facts": "1c leans to Yes on true facts (below 0.1)",
    "begins_yes_or_no": "1d replies that begin with Yes or No (below 0.5)",
    "false_positive_rate": "1e says yes: nothing injected (above 0.1)",
    "on_the_list": "2a clean answers that name a word of the list (below 0.5)",
    "named_when_said": "2b names a word that the text says (below 0.5)",
    "repeated_without_injection": "2c repeats the line, nothing injected (below 0.5)",
    "apology_none": "3a apologises for a foreign word (below 0.5)",
    "apology_belongs": "3b apologises even for a word of the line (above 0.5)",
    "unclear_matched": "3c says neither, under injection (above 0.5 !)",
    "unclear_after": "3d says neither, pushed too late (above 0.5)",
    "held_when_written": "4b held behind the written word (interval reaches 0)",
}
LIMITS = (  # one line of the card each
    "An injection is an artificial event: what a model notices when nobody injects is not shown.",
    "A report that follows an injection can have boring causes: notebook 09 has the controls.",
    "The organisms are tiny and trained: they test the assay and say nothing about large models.",
    "Published numbers have other prompts, judges, words and layers: compare orders of size.",
    "Experiment 4 compares different texts: only what lies beyond an untrained copy counts.",
    "Experiment 3: a written word can do the same as its vector; no memory of an intention is shown.",
    "Four experiments are four chances: repeat one whose interval only just clears 0.",
    "A null holds for the words, the wording and the doses that were tried.",
)
UNVALIDATED = f"{NOT_VALIDATED}: the organisms, or those of another family, are not apart: it says nothing."
LETTERS = 98  # of SMALL text in a line of the card
SMALL = BODY_SIZE - 1.5  # points: sentences, and notes beside marks


def published_pairs() -> pd.DataFrame:
    """Every published success rate beside the false positives of the same model and study, best net rate first.

    Columns: model, study, success, false_positives, n (trials with an injection), n_controls, judge, prompt. A study that states no
    false positives (NaN) comes below those that do; n is missing, and judge and prompt are "not stated", where the source is
    silent. A model that several studies measured has several rows.
    """
    table = published_results()
    success, alarms = (table[table["metric"] == metric] for metric in ("success_rate", "false_positive_rate"))
    success = success.rename(columns={"value": "success"})[["model", "study", "success", "n", "judge", "prompt"]]
    alarms = alarms.rename(columns={"value": "false_positives", "n": "n_controls"})
    pairs = success.merge(alarms[["model", "study", "false_positives", "n_controls"]], how="left", validate="1:1")
    pairs = pairs.fillna({"judge": "not stated", "prompt": "not stated"}).astype({"n": "Int64", "n_controls": "Int64"})
    pairs = pairs.assign(net=pairs["success"] - pairs["false_positives"])
    pairs = pairs.sort_values(["net", "success"], ascending=False, ignore_index=True)
    return pairs[["model", "study", "success", "false_positives", "n", "n_controls", "judge", "prompt"]]


def cut(name: str, letters: int) -> str:
    """A name as the figure writes it, with its end left out if it is too long."""
    return plain(name if len(name) <= letters else f"{name[: letters - 3]}...")


def draw_pairs(axis: Axes, pairs: pd.DataFrame) -> None:
    """Success (filled) and false positives (open) of each measurement on one line, its study beside them.

    pairs: as `with_published` returns them; the subject's own line has no study and is in bold, its success with its interval.
    """
    for height, row in enumerate(pairs.itertuples()):
        axis.plot([row.false_positives, row.success], [height, height], color="#999999", linewidth=2, zorder=1)
        note = plain("this run" if pd.isna(row.study) else row.study) + ("" if pd.isna(row.n) else f", n = {row.n}")
        drawn = [row.success, row.false_positives, row.low, row.high]
        low, high = np.nanmin(drawn), np.nanmax(drawn)
        place, align = 0.5, "center"  # on the line between the marks, unless there is room beside them
        if high <= 0.7 or low >= 0.35:
            place, align = (high + 0.03, "left") if high <= 0.7 else (low - 0.03, "right")
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.text(place, height, note, ha=align, va="center", fontsize=SMALL, color="#555555", bbox=ground, zorder=5)
    height, square = range(len(pairs)), {"markerfacecolor": "white", "color": INJECTION, "label": "false positives"}
    ends = np.abs([pairs["success"] - pairs["low"], pairs["high"] - pairs["success"]])  # NaN where a study has none
    ends = None if np.isnan(ends).all() else ends  # the legend shows an error bar only where some line has one
    look = {"color": "black", "markersize": 6, "capsize": 3, "linewidth": 1, "label": "success", "zorder": 4}
    axis.errorbar(pairs["success"], height, xerr=ends, fmt="o", **look)
    axis.plot(pairs["false_positives"], height, "s", markersize=10, zorder=3, **square)  # larger: both are seen at 0
    axis.set_yticks(height, [cut(name, 28) for name in pairs["model"]])
    for label, study in zip(axis.get_yticklabels(), pairs["study"], strict=True):
        label.set_fontweight("bold" if pd.isna(study) else "normal")
    own = pairs["study"].isna().sum()
    axis.axhspan(-0.5, own - 0.5, color="#eeeeee", linewidth=0, zorder=-1)  # the subject's own line has no rank
    xlabel = "share of trials (published: best net rate first;\nbelow the line: false positives not published, no rank)"
    axis.axhline(pairs["false_positives"].notna().sum() - 0.5, color="#999999", linewidth=1, zorder=0)
    axis.set(xlim=(-0.03, 1.03), ylim=(len(pairs) - 0.5, -0.5), xlabel=xlabel)
    axis.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.667), borderpad=0)  # where no note is


def draw_effects(axis: Axes, measured: pd.DataFrame) -> None:
    """The effect of each experiment on each model with its 95 % interval; the dashed line is no introspection.

    A mark has a white centre where the verdict (`conclusions`) is that the assay cannot tell, or that a null says little.
    An experiment that does not separate the organisms (`four_experiments.not_validated`) is marked. A grey line is between two
    experiments; the legend is above the axis, as wide as the figure.
    """
    names, effects = marked_labels(measured), own_effects(measured)
    order = [experiment for experiment in LABELS if experiment in set(effects["experiment"])]
    effects = pd.concat([effects[effects["experiment"] == experiment] for experiment in order], ignore_index=True)
    verdicts = {model: conclusions(measured, model)["verdict"] for model in effects["model"].unique()}
    said = [verdicts[row.model][row.experiment] for row in effects.itertuples()]
    unclear = effects.index[[verdict.endswith((CANNOT_TELL, SAYS_LITTLE)) for verdict in said]]
    shown = effects["experiment"].map(names).str.replace(f" {NOT_VALIDATED}", f"\n{NOT_VALIDATED}")
    effects = effects.assign(experiment=shown)
    xlabel = f"effect, 95 % interval\nwhite centre: {CANNOT_TELL}, or {SAYS_LITTLE}"
    draw_forest(axis, effects, "experiment", "model", xlabel, hollow=unclear)
    for between in range(1, len(order)):
        axis.axhline(between - 0.5, color="#dddddd", linewidth=1, zorder=0)
    axis.locator_params(axis="x", nbins=6)
    legend_above(axis)


def veil(axis: Axes) -> None:
    """Make the experiments that are marked as not validated pale, on the axis of `draw_effects`."""
    for row, label in enumerate(axis.get_yticklabels()):
        if NOT_VALIDATED in label.get_text().replace("\n", " "):  # the label may be broken in two lines
            label.set_color("#767676")
            axis.axhspan(row - 0.49, row + 0.49, color="white", alpha=0.75, linewidth=0, zorder=2.4)


def in_own_cells(measured: pd.DataFrame) -> pd.DataFrame:
    """The numbers of every model in the cells that it chose; ValueError where one is there twice."""
    check_table(measured, MEASURED)
    own = measured[measured["chosen_by"] == "own"]
    for row in own[own.duplicated(["model", "experiment", "measure"])].itertuples():
        raise ValueError(f"{row.measure} of {row.model!r} in {row.experiment} is measured twice: keep one")
    return own


def own_effects(measured: pd.DataFrame) -> pd.DataFrame:
    """The effect of each experiment on each model (see `in_own_cells`)."""
    own = in_own_cells(measured)
    return own[own["measure"] == EFFECT]


def conclusions(measured: pd.DataFrame, subject: str) -> pd.DataFrame:
    """What may be said about each experiment of the subject.

    Columns, with the experiment as the index: verdict ("cannot tell", "(not validated) found" ...), effect (with its interval
    and n; "" where nothing was graded), reason (why the assay cannot tell or a null says little, or "").
    """
    own = in_own_cells(measured).query("model == @subject").set_index("measure")
    effects = own.loc[own.index == EFFECT].set_index("experiment")
    doubtful, rows = not_validated(measured), {}
    for experiment in (name for name in LABELS if name in effects.index):
        row = effects.loc[experiment]
        verdict, _, reason = worded_verdict(row).partition(": ")
        if verdict == NOT_FOUND and (reason := says_little(own[own["experiment"] == experiment])):
            verdict = SAYS_LITTLE
        doubt = f"{NOT_VALIDATED} " if experiment in doubtful else ""
        effect = f"{row.value:+z.2f} [{row.low:z.2f}, {row.high:z.2f}], n = {row.n:.0f}" if row.n else ""
        rows[experiment] = {"verdict": doubt + verdict, "effect": effect, "reason": reason}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["verdict", "effect", "reason"])


def reasons_for(measured: pd.DataFrame, subject: str, finding: str) -> list[str]:
    """A line per experiment: its verdict (`conclusions`), effect and reason; of experiment 1 the sentence of `search.finding`."""
    lines = []
    for row in conclusions(measured, subject).itertuples():
        said = ", ".join(filter(None, (row.verdict, row.effect))) + (row.reason and f": {row.reason}") + "."
        if row.Index == "injected_thought":  # it begins with the verdict, with a capital
            doubt = f"{NOT_VALIDATED} " if row.verdict.startswith(NOT_VALIDATED) else ""
            said = f"{doubt}{finding[:1].lower()}{finding[1:]}"
        lines.append(f"Experiment {LABELS[row.Index][0]}: {said}")
    return lines


def limits_of(measured: pd.DataFrame) -> list[str]:
    """What the numbers of a card do not say; the last line only where an experiment is marked."""
    return [*LIMITS, *([UNVALIDATED] if not_validated(measured) else [])]


def own_rates(measured: pd.DataFrame, subject: str) -> pd.DataFrame:
    """The subject's measures of experiment 1 in the cell that it chose, by name; without rates where nothing was graded."""
    own = in_own_cells(measured)
    own = own[(own["model"] == subject) & (own["experiment"] == "injected_thought")].set_index("measure")
    rates = {"ungraded_rate"} if (own["n"] == 0).any() else {"success_rate", "false_positive_rate"}
    if not {EFFECT, *rates} <= set(own.index):
        known = ", ".join(map(repr, measured["model"].unique()))
        raise KeyError(f"experiment 1 of {subject!r} is not measured; there are {known}")
    return own


def with_published(measured: pd.DataFrame, subject: str) -> pd.DataFrame:
    """The subject's own pair, then `published_pairs`.

    The own pair has no study, and the interval of its success in two more columns, low and high. It is left out where nothing
    was graded.
    """
    own = own_rates(measured, subject)
    if "success_rate" not in own.index:
        return published_pairs().assign(low=np.nan, high=np.nan)
    success, alarms = own.loc["success_rate"], own.loc["false_positive_rate", "value"]
    line = {"model": subject, "success": success["value"], "false_positives": alarms, "n": int(success["n"])}
    line |= {"low": success["low"], "high": success["high"]}
    return pd.concat([pd.DataFrame([line]), published_pairs()], ignore_index=True)


def card(measured: pd.DataFrame, subject: str, finding: str) -> Figure:
    """One page: the finding, four experiments beside the other models, the controls of experiment 1, published numbers.

    KeyError where the measured table holds no experiment 1 of the subject, ValueError where it holds a number twice.
    """
    pairs, own = with_published(measured, subject), own_rates(measured, subject)
    shown = [name for name in CONTROLS if name in own.index]
    if len(shown) > 1 and own.loc["ungraded_rate", "value"] == 0:
        shown.remove("ungraded_rate")
    lines, bars = own.loc[shown], len(own_effects(measured))
    title = plain(f"Report card: {subject}", 50)
    reasons = "\n".join(plain(each, LETTERS) for each in reasons_for(measured, subject, finding))
    limits = "\n".join(("What this card does not say", *(f"\u2013 {limit}" for limit in limits_of(measured))))
    experiments = measured["experiment"].nunique()
    heights = (  # inches of the four parts
        0.15 + 0.17 * (reasons.count("\n") + 1),
        1.2 + max(0.19 * bars, 0.66 * experiments),
        0.85 + 0.25 * len(lines),
        1.3 + 0.25 * len(pairs),
    )
    words = 0.26 * (title.count("\n") + 1) + 0.17 * (limits.count("\n") + 1)
    figure = plt.figure(figsize=(PAGE, sum(heights) + words), layout="constrained")
    figure.suptitle(title, x=0.02, ha="left", fontsize=BODY_SIZE + 4, fontweight="bold")
    figure.supxlabel(limits, x=0.02, ha="left", fontsize=SMALL)
    above, *parts = figure.subfigures(4, 1, height_ratios=heights)  # long names in one take no room from the others
    above.text(0.02, 0.98, reasons, va="top", fontsize=SMALL)
    effects, rates, published = (part.subplots() for part in parts)
    draw_effects(effects, measured)
    name_verdicts(effects, conclusions(measured, subject))
    names = [f"{CONTROLS[name]}, n = {int(n)}" for name, n in lines["n"].items()]
    draw_forest(rates, lines.assign(name=names), "name", "model", "share of trials, 95 % interval")
    rates.set_yticks(range(len(names)), names)  # in one line each
    rates.set(xlim=(-0.03, 1.03))
    rates.set_title("Experiment 1 and its controls", loc="left")
    draw_pairs(published, pairs)
    published.set_title("Experiment 1 beside published numbers", loc="left")
    return figure


def name_verdicts(axis: Axes, rows: pd.DataFrame) -> None:
    """Write the subject's verdict and effect (`conclusions`) below the name of each experiment, on the axis of `draw_effects`."""
    written = {
        LABELS[row.Index]: f"{LABELS[row.Index]}\n{row.verdict}\n{row.effect}".strip() for row in rows.itertuples()
    }
    names = (label.get_text().replace("\n", " ").removesuffix(f" {NOT_VALIDATED}") for label in axis.get_yticklabels())
    axis.set_yticks(axis.get_yticks(), [written.get(name, name) for name in names], linespacing=1.3)


def without_folder(value) -> str:
    """A setting as the page shows it: of a path only the last name, since the rest tells where somebody keeps things."""
    text = str(value)
    return Path(text).name if Path(text).is_absolute() or text.startswith("~") else text


def write(
    folder: Path, figure: Figure, measured: pd.DataFrame, subject: str, finding: str, settings: dict
) -> list[Path]:
    """Write report_card.png and report_card.html (the same figure, all numbers, settings, limits) into the folder."""
    picture, page = folder / "report_card.png", folder / "report_card.html"
    figure.savefig(picture, dpi=150)
    image = base64.b64encode(picture.read_bytes()).decode()
    effects = own_effects(measured).itertuples()
    alt = f"{finding} Effects: " + "; ".join(
        f"{row.model}, {LABELS[row.experiment]}: {row.value:z.2f}" for row in effects if row.n
    )
    numbers = measured.round(3).to_html(index=False, border=0, na_rep="")
    entries = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(without_folder(value))}</td></tr>"
        for name, value in settings.items()
    )
    reasons = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in reasons_for(measured, subject, finding))
    limits = "".join(f"<li>{html.escape(limit)}</li>" for limit in limits_of(measured))
    page.write_text(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<title>Report card: {html.escape(subject)}</title>
<style>body {{ font-family: sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }} img {{ max-width: min(100%, 45em) }}
table {{ border-collapse: collapse }} td, th {{ padding: 0.2em 0.8em; text-align: left }}</style></head><body>
<h1>Report card: {html.escape(subject)}</h1>
{reasons}
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
