"""The parts that all notebooks share: badges, Colab cell, setup cell, navigation; and README's course table.

`store_notebooks` writes them and `tests/test_notebooks.py` checks them. The repository's address comes from pyproject.toml.
"""

import ast
import re
import tomllib
from pathlib import Path

import nbformat

from helpers.paths import ROOT
from tests.authoring.form_rules import headings, markdown_text, opening, required_ranges, tags, without_fences

COLAB_LACKS = ("nnsight",)
# notebooks whose default model comes from the Python package index -> parameters with which they need no network
WITHOUT_NETWORK = {"12_test_a_real_model": {"model": "introspector"}}

SETUP = """\
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "helpers").is_dir())))
from helpers import session

session.start(seed=0)"""


def repository() -> str:
    """The https address of the repository, without a slash at the end."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].rstrip("/")


def course(*names: str) -> list[Path]:
    """The notebooks in the order of the course: first those with a number, then those without.

    names: their beginnings; none of them: all notebooks. ValueError for a name with which no notebook begins.
    """
    files = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if wrong := [name for name in names if not any(file.stem.startswith(name) for file in files)]:
        raise ValueError(f"no notebook begins with {wrong[0]!r}; there are {', '.join(file.stem for file in files)}")
    return [file for file in files if not names or file.stem.startswith(names)]


def badges(name: str) -> str:
    """The Markdown line whose links open notebooks/<name>.ipynb in Colab and Binder."""
    owner_and_name = repository().removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{owner_and_name}/blob/main/notebooks/{name}.ipynb"
    binder = f"https://mybinder.org/v2/gh/{owner_and_name}/HEAD?urlpath=lab/tree/notebooks/{name}.ipynb"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def colab_cell() -> str:
    """Code that fetches the collection on Colab and installs what is missing there, within the tested ranges."""
    ranges = required_ranges()
    wanted = " ".join(f'"{ranges[package]}"' for package in COLAB_LACKS)
    return f"""\
# on Google Colab only: fetch this collection and install what Colab lacks
import sys
from pathlib import Path

if "google.colab" in sys.modules and not Path("helpers").is_dir():
    !git clone --quiet --depth 1 {repository()}
    %cd -q {repository().rsplit("/", 1)[-1]}
    %pip install -q {wanted}"""


def title(notebook: dict) -> str:
    return next(text for level, text in headings(notebook) if level == 1)


def page_title(file: Path) -> str:
    """The title with which the course lists a notebook: "04 Detect injected thoughts"."""
    number = file.stem.split("_")[0]
    name = title(nbformat.read(file, as_version=4))
    return f"{number} {name}" if number.isdigit() else name


def navigation(name: str) -> str:
    """The Markdown line that links the previous and the next notebook of notebooks/<name>.ipynb by title."""
    files = course()
    place = [file.stem for file in files].index(name)
    parts = []
    for word, neighbour in (("Previous", place - 1), ("Next", place + 1)):
        if 0 <= neighbour < len(files):
            other = nbformat.read(files[neighbour], as_version=4)
            parts.append(f"{word}: [{title(other)}]({files[neighbour].name})")
    return "<!-- navigation -->\n\n---\n\n" + " | ".join(parts)


def settings_cell(name: str, parameters: str) -> str:
    """Checks every parameter of the cell with this source before anything is loaded."""
    names = [target.id for line in ast.parse(parameters).body for target in line.targets]
    given = ", ".join(f"{each}={each}" for each in names)
    return f'from helpers import parameters\n\nsettings = parameters.check("{name}", {given})'


def put(notebook: dict, name: str) -> None:
    """Write all generated parts into the notebook; older versions of them are replaced."""
    cells = notebook["cells"]
    first = cells[0]
    lines = [line for line in first["source"].splitlines() if "mybinder.org/badge_logo.svg" not in line]
    place = next(i for i, line in enumerate(lines) if line.startswith("# ")) + 1
    rest = "\n".join(lines[place:]).lstrip("\n")
    first["source"] = "\n".join([*lines[:place], "", badges(name), "", rest]).rstrip()
    # an existing cell keeps its output
    kept = {tag: cell for cell in cells for tag in ("colab", "setup", "settings") if tag in tags(cell)}
    cells[:] = [cell for cell in cells if cell not in kept.values() and not is_handwritten_setup(cell)]
    place = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code")
    for tag, source in (("setup", SETUP), ("colab", colab_cell())):
        cell = kept.get(tag) or nbformat.v4.new_code_cell(metadata={"tags": [tag]})
        cell["source"] = source
        cells.insert(place, cell)
    place = next(i for i, cell in enumerate(cells) if "parameters" in tags(cell))
    checked = kept.get("settings") or nbformat.v4.new_code_cell(metadata={"tags": ["settings"]})
    checked["source"] = settings_cell(name, cells[place]["source"])
    # behind the first text after the parameters: papermill puts its own cell directly behind them
    text = next(i for i in range(place, len(cells)) if cells[i]["cell_type"] == "markdown")
    cells.insert(text + 1, checked)
    if cells[-1]["cell_type"] != "markdown":
        cells.append(nbformat.v4.new_markdown_cell(""))
    cells[-1]["source"] = cells[-1]["source"].split("<!-- navigation -->")[0].rstrip() + "\n\n" + navigation(name)


def is_handwritten_setup(cell: dict) -> bool:
    return cell["cell_type"] == "code" and "sys.path.insert(0" in cell["source"] and "session.start(" in cell["source"]


# -- README's course table -------------------------------------------------------------------------------------------


def first_sentence_after(text: str, phrase: str) -> str:
    match = re.search(rf"{phrase}\W*(.+?[.!?])(?=\s|\Z)", text, re.DOTALL)
    return " ".join(match.group(1).split()) if match else ""


def course_table() -> str:
    """One row per notebook, made from its first cells: link, what a reader learns, time, badges."""
    rows = ["| notebook | what you learn | read + run | open |", "|---|---|---|---|"]
    for file in course():
        notebook = nbformat.read(file, as_version=4)
        text = opening(notebook)
        learn = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", first_sentence_after(text, "What you'll learn"))
        reading = re.search(r"(\d+ ?min)\w* to read", text)
        running = re.search(r"(\d+ ?(?:min|s))\w* to run", text)
        time = " + ".join(match.group(1) for match in (reading, running) if match)
        rows.append(f"| [{page_title(file)}](notebooks/{file.name}) | {learn} | {time} | {badges(file.stem)} |")
    return "\n".join(rows)


def between_marks(page: str, name: str, new: str) -> str:
    """A page's text with new lines between its marks <!-- name --> and <!-- end of name -->."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = page.split(begin)
    return f"{before}{begin}\n{new}\n{end}{rest.split(end)[1]}"


def with_course_table(readme: str) -> str:
    """README's text with a new course table."""
    return between_marks(readme, "course", course_table())


# -- links ------------------------------------------------------------------------------------------------------------


def anchors(file: Path) -> set[str]:
    """Anchors of the headings of a page or notebook, as GitHub makes them."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        text = markdown_text(nbformat.reads(text, as_version=4))
    titles = re.findall(r"^#{1,6} +(.+?) *$", without_fences(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(file: Path, text: str) -> list[str]:
    """Links and images in `text`, the Markdown of `file`, that lead to no file or heading of this collection."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"<(?:img|a)\b[^>]*?(?:src|href)=[\"']([^\"']+)", text)
    complaints = []
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue  # external: the weekly job checks these
        path, _, anchor = target.partition("#")
        page = file.parent / path if path else file
        if not page.exists():
            complaints.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(page):
            complaints.append(f"{target}: no such heading, there are {sorted(anchors(page))}")
    return complaints
