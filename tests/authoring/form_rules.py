"""The form rules of the notebooks. Each is a function that takes a notebook and returns a list of complaints.

A notebook is the dictionary that nbformat reads. `RULES` lists the rules in order; `complaints(notebook)` runs them.
Of the twenty-one rules, twenty are here. ruff checks rule 15, no bare `except` (its E722). The file is longer than 300 lines so
that an author finds all rules in one place.
"""

import ast
import copy
import json
import re
import statistics
import warnings
from itertools import groupby

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement

from helpers.paths import ROOT

# verbs by which a title says what the reader does; add the verb of a new notebook
VERBS = frozenset(
    "ask bring build catch change choose compare control count detect draw explore find fit fool give grade guess hide inject "
    "learn listen look make measure meet notice play push raise reach read recognise recognize rule run scale see show silence "
    "spot start steer take teach tell test think track train try turn use watch write".split()
)
LONGEST_CELL = 30  # lines
MEDIAN_CELL = 8
MOST_CODE_IN_A_ROW = 3
MARKDOWN_SHARE = (0.50, 0.65)
LARGEST_FILE = 1_000_000  # bytes
MOST_WORDS, MOST_LINES = 3000, 250  # outside exercises
FORBIDDEN_INSTALLS = {"torch", "numpy"}


# -- reading notebooks ------------------------------------------------------------------------------------------------


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def markdown_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def outputs(notebook: dict) -> list[dict]:
    return [output for cell in code_cells(notebook) for output in cell.get("outputs", [])]


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def without_fences(text: str) -> str:
    """Markdown without its fenced blocks: a heading or an image in them is only an example."""
    return re.sub(r"^( *)(```|~~~).*?^ *\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(notebook: dict) -> list[tuple[int, str]]:
    """(level, text) of every Markdown or HTML heading, in order."""
    found = []
    for cell in markdown_cells(notebook):
        for marks, text, level, html in re.findall(
            r"^(#{1,6})[ \t]+(.+?)[ \t]*#*$|<h([1-6])[^>]*>(.*?)</h", without_fences(cell["source"]), re.MULTILINE
        ):
            found.append((len(marks), text) if marks else (int(level), html))
    return found


def tree(cell: dict) -> ast.Module:
    """Syntax tree of the cell's code, after IPython's own syntax is translated to Python."""
    return ast.parse(TransformerManager().transform_cell(cell["source"]))


def nodes(notebook: dict):
    for cell in code_cells(notebook):
        yield from ast.walk(tree(cell))


def markdown_text(notebook: dict) -> str:
    """Text of all Markdown cells, without fenced blocks."""
    return "\n\n".join(without_fences(cell["source"]) for cell in markdown_cells(notebook))


def opening(notebook: dict) -> str:
    """Text of the first three Markdown cells: one line per paragraph, straight apostrophes."""
    text = "\n\n".join(cell["source"] for cell in markdown_cells(notebook)[:3])
    return re.sub(r"(?<=[^\n])\n(?=[^\n])", " ", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def section(notebook: dict, title: str) -> str | None:
    """Text of the Markdown cells from the heading `title` to the next heading of its level or above; None if missing."""
    text = markdown_text(notebook)
    match = re.search(
        rf"^(#+) +{re.escape(title)}\b.*?$(.*?)(?=^#{{1,6}} |\Z)", text, re.MULTILINE | re.DOTALL | re.IGNORECASE
    )
    return match.group(2) if match else None


# -- the rules --------------------------------------------------------------------------------------------------------


def rule_01_one_title_with_a_verb(notebook: dict) -> list[str]:
    titles = [text for level, text in headings(notebook) if level == 1]
    if len(titles) != 1:
        return [f"there must be exactly one H1, found {len(titles)}: {titles}"]
    first = notebook["cells"][0]
    if first["cell_type"] != "markdown" or not re.search(r"^# ", without_fences(first["source"]), re.MULTILINE):
        return ["the H1 must be in the first cell"]
    if not VERBS & set(re.findall(r"[a-z]+", titles[0].lower())):
        return [f"the title {titles[0]!r} contains no verb of VERBS in tests/authoring/form_rules.py"]
    return []


def rule_02_no_skipped_heading_level(notebook: dict) -> list[str]:
    found, complaints, before = headings(notebook), [], 0
    for level, text in found:
        if level > before + 1:
            complaints.append(f"heading {text!r} has level {level} after level {before}")
        if text.lower().startswith("exercise") and level < 3:
            complaints.append(f"{text!r} must be one level below its section, not at level {level}")
        before = level
    return complaints


def rule_03_do_learn_need(notebook: dict) -> list[str]:
    text = opening(notebook)
    wanted = ("What you'll do", "What you'll learn", "What you'll need")
    return [f"{phrase!r} is missing in the first three Markdown cells" for phrase in wanted if phrase not in text]


def rule_04_prerequisites_linked(notebook: dict) -> list[str]:
    need = re.search(r"What you'll need[\s*.:_]*(.*)", opening(notebook))
    if need and re.search(r"\[[^\]]+\]\([^)]+\)", need.group(1)):
        return []
    return ["the paragraph 'What you'll need' must link what the reader should know or have done before"]


def rule_05_time_and_size(notebook: dict) -> list[str]:
    text = opening(notebook)
    wanted = {
        "minutes to read": r"\d+ ?min\w* to read",
        "minutes (or seconds) to run on 2 CPU cores": r"\d+ ?(min|sec|s\b)\w* to run on 2 CPU cores",
        "download size": r"[Dd]ownload[^\n]*?(nothing|\d+(\.\d+)? ?[KMG]B)",
    }
    return [
        f"the first Markdown cells do not say: {what}"
        for what, pattern in wanted.items()
        if not re.search(pattern, text)
    ]


def rule_06_short_code_cells(notebook: dict) -> list[str]:
    lengths = [len(cell["source"].splitlines()) for cell in code_cells(notebook)]
    complaints = [
        f"code cell {i} has {n} lines, at most {LONGEST_CELL}" for i, n in enumerate(lengths, 1) if n > LONGEST_CELL
    ]
    if lengths and statistics.median(lengths) > MEDIAN_CELL:
        complaints.append(f"the median code cell has {statistics.median(lengths)} lines, at most {MEDIAN_CELL}")
    return complaints


def rule_07_text_between_code(notebook: dict) -> list[str]:
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    complaints = []
    longest = max((len(list(run)) for kind, run in groupby(kinds) if kind == "code"), default=0)
    if longest > MOST_CODE_IN_A_ROW:
        complaints.append(f"{longest} code cells in a row, at most {MOST_CODE_IN_A_ROW}")
    share = kinds.count("markdown") / max(len(kinds), 1)
    if not MARKDOWN_SHARE[0] <= share <= MARKDOWN_SHARE[1]:
        complaints.append(
            f"{share:.0%} of the cells are Markdown ({kinds.count('markdown')} of {len(kinds)}), wanted 50 to 65 %"
        )
    return complaints


def poor_alt(alt: str, source: str, fewest_words: int) -> str | None:
    words = re.findall(r"\w+", alt)
    stem = re.sub(r"\W|_", "", source.rsplit("/", 1)[-1].rsplit(".", 1)[0]).lower()
    if len(words) < fewest_words:
        return f"alt text {alt!r} of {source} is shorter than {fewest_words} words"
    if stem and "".join(words).replace("_", "").lower() == stem:
        return f"alt text {alt!r} of {source} is only its file name"
    return None


def rule_08_alt_text(notebook: dict) -> list[str]:
    complaints = []
    for cell in markdown_cells(notebook):
        text = without_fences(cell["source"])
        pictures = [(alt, source) for alt, source in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", text)]
        for attributes in re.findall(r"<img\b([^>]*)>", text):
            named = dict(re.findall(r"(\w+)\s*=\s*[\"']([^\"']*)[\"']", attributes))
            pictures.append((named.get("alt", ""), named.get("src", "an <img>")))
        complaints += [poor_alt(alt, source, fewest_words=3) for alt, source in pictures]
    for number, cell in enumerate(code_cells(notebook), 1):
        for output in cell.get("outputs", []):
            for kind in output.get("data", {}):
                if kind.startswith("image/"):
                    alt = output["metadata"].get(kind, {}).get("alt", "")
                    complaints.append(poor_alt(alt, f"the figure of code cell {number}", fewest_words=6))
            html = "".join(output.get("data", {}).get("text/html", ""))
            if re.search(r"<img\b(?![^>]*\balt=)", html) or re.search(r"<svg\b(?![^>]*aria-label)", html):
                complaints.append(f"code cell {number} shows an HTML image without alt or aria-label")
    return [complaint for complaint in complaints if complaint]


def rule_09_no_errors(notebook: dict) -> list[str]:
    return [
        f"error output: {each['ename']}: {each['evalue']}"
        for each in outputs(notebook)
        if each["output_type"] == "error"
    ]


def rule_10_no_stderr(notebook: dict) -> list[str]:
    return [
        f"output on standard error: {''.join(each['text'])[:200]!r}"
        for each in outputs(notebook)
        if each["output_type"] == "stream" and each["name"] == "stderr"
    ]


def rule_11_clean_stored_run(notebook: dict) -> list[str]:
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    complaints = []
    if counts != list(range(1, len(counts) + 1)):
        complaints.append(f"execution counts are {counts}, not 1 to {len(counts)}: store a clean Restart and Run All")
    if not outputs(notebook):
        complaints.append("no outputs are stored")
    return complaints


def rule_12_seeded(notebook: dict) -> list[str]:
    for node in nodes(notebook):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("manual_seed", "default_rng", "seed") or (name == "start" and node.keywords):
                return []
    return ["no cell sets a seed, as in session.start(seed=0)"]


def required_ranges() -> dict[str, str]:
    """{package: its line of requirements.txt without the comment}."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split("#")[0].strip() for line in lines]
    return {Requirement(line).name.lower(): line for line in found if line}


def rule_13_installs_only_what_colab_lacks(notebook: dict) -> list[str]:
    complaints, ranges = [], required_ranges()
    for cell in code_cells(notebook):
        for line in re.findall(r"\b(?:pip|conda|mamba|apt|apt-get) install\b(.*)", cell["source"]):
            if "colab" not in tags(cell) or '"google.colab" in sys.modules' not in cell["source"]:
                complaints.append(f"'install{line}' is outside the Colab cell")
            for word in line.replace('"', " ").replace("'", " ").split():
                if word.startswith("-"):
                    continue
                wanted = Requirement(word)
                tested = ranges.get(wanted.name.lower())
                if wanted.name.lower() in FORBIDDEN_INSTALLS:
                    complaints.append(f"{wanted.name} must not be installed again on Colab")
                elif tested is None or Requirement(tested).specifier != wanted.specifier:
                    complaints.append(f"{word} is not the range of requirements.txt ({tested})")
    return complaints


def rule_14_format(notebook: dict) -> list[str]:
    complaints = []
    if (notebook["nbformat"], notebook["nbformat_minor"]) != (4, 5):
        complaints.append(f"nbformat is {notebook['nbformat']}.{notebook['nbformat_minor']}, not 4.5")
    kernel = notebook["metadata"].get("kernelspec", {})
    if (kernel.get("name"), kernel.get("language")) != ("python3", "python"):
        complaints.append(f"kernelspec is {dict(kernel)}, wanted name python3 with language python")
    if notebook["metadata"].get("language_info", {}).get("name") != "python":
        complaints.append("language_info.name is not python: ruff would then check nothing at all")
    try:
        with warnings.catch_warnings(action="error"):  # nbformat only warns of a missing or repeated cell id
            nbformat.validate(nbformat.from_dict(copy.deepcopy(notebook)), relax_add_props=False)
    except (nbformat.ValidationError, Warning) as error:
        complaints.append(f"not a valid notebook: {str(error).splitlines()[0]}")
    return complaints


def rule_16_no_widget_state(notebook: dict) -> list[str]:
    complaints = ["widget state is stored in the metadata"] if "widgets" in notebook["metadata"] else []
    if any("application/vnd.jupyter.widget-view+json" in each.get("data", {}) for each in outputs(notebook)):
        complaints.append("a widget is stored as an output; without its state it renders as nothing")
    return complaints


def rule_17_closing(notebook: dict) -> list[str]:
    titles = [text.lower() for _, text in headings(notebook)]
    wanted = ["summary", "on your own", "further reading"]
    places = [next((i for i, title in enumerate(titles) if title.startswith(phrase)), None) for phrase in wanted]
    missing = [phrase for phrase, place in zip(wanted, places, strict=True) if place is None]
    if missing:
        return [f"no section with the heading {phrase!r}" for phrase in missing]
    complaints = [] if places == sorted(places) else [f"the closing sections must come in the order {wanted}"]
    items = re.findall(r"^[-*] +(.*(?:\n +.*)*)", section(notebook, "Further reading"), re.MULTILINE)
    linked = [item for item in items if re.search(r"\]\(", item)]
    if len(linked) < 2:
        complaints.append("further reading must list at least two links")
    for item in linked:
        if len(re.sub(r"\[[^\]]*\]\([^)]*\)", "", item).split()) < 5:
            complaints.append(f"further reading says too little about {item!r}")
    return complaints


def rule_18_small_file(notebook: dict) -> list[str]:
    size = len(json.dumps(notebook, indent=1, ensure_ascii=False).encode())
    return [f"the file has {size / 1e6:.2f} MB, at most 1 MB"] if size > LARGEST_FILE else []


def rule_19_parameters_cell(notebook: dict) -> list[str]:
    found = [cell for cell in notebook["cells"] if "parameters" in tags(cell)]
    if len(found) != 1 or found[0]["cell_type"] != "code":
        return [f"exactly one code cell must have the tag 'parameters', found {len(found)}"]
    complaints = []
    for statement in tree(found[0]).body:
        plain = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        try:
            ast.literal_eval(statement.value if plain else statement)
        except (ValueError, AttributeError):
            plain = False
        if not plain:
            complaints.append(f"not a plain `name = literal` in the parameters cell: {ast.unparse(statement)}")
    return complaints


def rule_20_no_blanket_warning_filter(notebook: dict) -> list[str]:
    complaints = []
    for node in nodes(notebook):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            narrowing = [word.arg for word in node.keywords if word.arg in ("message", "category", "module")]
            if name in ("filterwarnings", "simplefilter") and not narrowing and len(node.args) < 2:
                complaints.append(f"{ast.unparse(node)} hides every warning: say which message")
        if isinstance(node, ast.Constant) and node.value == "PYTHONWARNINGS":
            complaints.append("PYTHONWARNINGS hides every warning: say which message")
    return complaints


def rule_21_one_evening(notebook: dict) -> list[str]:
    """Exercises, from their heading to the next heading of their level or above, do not count."""
    words = lines = 0
    level_of_exercise = None
    for cell in notebook["cells"]:
        for level, text in headings({"cells": [cell]}):
            if level_of_exercise is None or level <= level_of_exercise:
                level_of_exercise = level if text.lower().startswith(("exercise", "on your own")) else None
        if level_of_exercise is None and cell["cell_type"] == "markdown":
            words += len(cell["source"].split())
        elif level_of_exercise is None and not {"colab", "setup", "settings"} & set(tags(cell)):
            lines += len([line for line in cell["source"].splitlines() if line.strip()])
    complaints = [f"{words} words outside exercises, at most {MOST_WORDS}"] if words > MOST_WORDS else []
    if lines > MOST_LINES:
        complaints.append(f"{lines} lines of code outside exercises, at most {MOST_LINES}")
    return complaints


RULES = [rule for name, rule in sorted(globals().items()) if re.match(r"rule_\d\d_", name)]


def complaints(notebook: dict) -> list[str]:
    """All complaints of all rules, each after the name of its rule."""
    return [f"{rule.__name__}: {complaint}" for rule in RULES for complaint in rule(notebook)]
