"""The course as a static site: python -m tests.authoring.site [FOLDER] (default runs/site), from the outputs stored in the notebooks.

nbconvert turns each notebook into a page body; this module adds what a site needs around it: the list of chapters, a search
over all headings and paragraphs that works without a server, and links between pages. Nothing is executed.
"""

import argparse
import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments.formatters import HtmlFormatter

from helpers.paths import ROOT
from tests.authoring import generated_cells

SOURCES = ROOT / "notebooks"
TITLE = "Inject a thought, and ask the model whether it notices"
STYLE = """
:root { --ink: #1b1b1b; --dim: #555; --line: #ccc; --link: #0b5394; --soft: #f4f4f4; }
* { box-sizing: border-box; }
body { margin: 0; font: 17px/1.6 system-ui, sans-serif; color: var(--ink); background: #fff; }
a { color: var(--link); }
.skip { position: absolute; left: -99em; } .skip:focus { left: 1em; top: .5em; background: #fff; padding: .3em; }
.columns { display: flex; max-width: 82rem; margin: auto; }
nav { flex: 0 0 17rem; padding: 1rem; border-right: 1px solid var(--line); font-size: .9rem; }
nav ul { list-style: none; padding: 0; } nav li { margin: .35em 0; } nav [aria-current] { font-weight: bold; color: var(--ink); }
main { flex: 1 1 auto; min-width: 0; padding: 1rem 2rem 4rem; }
label { display: block; } input { width: 100%; font: inherit; padding: .3em; }
pre { background: var(--soft); padding: .7em; overflow-x: auto; font-size: .82rem; line-height: 1.4; border-radius: 4px; }
.jp-OutputArea-output pre, .jp-RenderedText pre { background: #fff; border-left: 3px solid var(--line); }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: .88rem; margin: .8em 0; }
th, td { border: 1px solid var(--line); padding: .25em .6em; text-align: left; }
img, svg { max-width: 100%; height: auto; }
details { border: 1px solid var(--line); border-radius: 4px; padding: .3em .8em; margin: .5em 0; } summary { cursor: pointer; }
.jp-InputPrompt, .jp-OutputPrompt, .anchor-link { display: none; }
@media (max-width: 60rem) { .columns { display: block; } nav { border: 0; border-bottom: 1px solid var(--line); } }
"""
SEARCH = """
const field = document.getElementById("search"), found = document.getElementById("found");
field.addEventListener("input", () => {
  const terms = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
  found.replaceChildren();
  if (!terms.length) return;
  const hits = PASSAGES.filter(each => terms.every(term => (each.title + " " + each.text).toLowerCase().includes(term)));
  const status = document.createElement("li");
  status.textContent = hits.length ? `${hits.length} passages` : "nothing found";
  found.append(status);
  for (const each of hits.slice(0, 30)) {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = each.address; link.textContent = each.title;
    item.append(link); found.append(item);
  }
});
"""


def titles() -> dict[str, str]:
    """Page name -> title, in the order of the course; the glossary and the instructors' page come last."""
    found = {}
    for file in [*sorted(SOURCES.glob("[0-9]*.ipynb")), SOURCES / "playground.ipynb"]:
        number = file.stem[:2] + " " if file.stem[0].isdigit() else ""
        first = nbformat.read(file, as_version=4).cells[0].source.splitlines()[0]
        found[file.stem] = number + first.removeprefix("# ").strip()
    for file in sorted(SOURCES.glob("*.md")):
        found[file.stem] = file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").strip()
    return found


def body_of(page: str) -> str:
    """The inner HTML of a page: a notebook with its stored outputs, or a Markdown file."""
    notebook = SOURCES / f"{page}.ipynb"
    if not notebook.is_file():
        return markdown2html((SOURCES / f"{page}.md").read_text(encoding="utf-8"))
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(nbformat.read(notebook, as_version=4))
    return body


def link_pages(body: str, pages) -> str:
    """Links to notebooks and Markdown files of the course become links to pages, those to other files lead to the repository."""
    for page in pages:
        body = re.sub(rf'href="{re.escape(page)}\.(?:ipynb|md)(#[^"]*)?"', rf'href="{page}.html\1"', body)
    body = body.replace('href="../README.md"', 'href="index.html"')
    body = body.replace('href="../', f'href="{generated_cells.repository()}/blob/main/')
    return body.replace("<pre>", '<pre tabindex="0">')  # what scrolls must be reachable by key


class Passages(HTMLParser):
    """The headings of a page with the text below each, for the search."""

    def __init__(self, page: str, title: str):
        super().__init__()
        self.page, self.found, self.heading = page, [{"title": title, "address": f"{page}.html", "text": ""}], False
        self.silent = 0

    def handle_starttag(self, tag, attributes):
        if tag in ("h2", "h3"):
            address = f"{self.page}.html#{dict(attributes).get('id', '')}"
            self.found.append({"title": "", "address": address, "text": ""})
            self.heading = True
        self.silent += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.heading &= tag not in ("h2", "h3")
        self.silent -= tag in ("script", "style")

    def handle_data(self, text):
        if not self.silent:
            self.found[-1]["title" if self.heading else "text"] += text


def passages(page: str, title: str, body: str) -> list[dict]:
    """[{title, address, text}] of a page, one an h2 or h3 heading; the title begins with the page's own."""
    reader = Passages(page, title)
    reader.feed(body)
    for each in reader.found[1:]:
        each["title"] = f"{title}: {each['title'].replace('¶', '').strip()}"
    return [each | {"text": " ".join(each["text"].split())} for each in reader.found]


def page_html(page: str, title: str, body: str, pages: dict[str, str]) -> str:
    """A whole page: the chapters and the search on the left, the body on the right."""
    here = ' aria-current="page"'
    chapters = "".join(
        f'<li><a href="{name}.html"{here if name == page else ""}>{html.escape(shown)}</a></li>'
        for name, shown in {"index": "Start", **pages}.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><link rel="stylesheet" href="style.css"></head>
<body><a class="skip" href="#content">Skip to the text</a><div class="columns">
<nav aria-label="Course"><label for="search">Search the course</label><input id="search" type="search">
<ul id="found" aria-live="polite"></ul><ul>{chapters}</ul></nav>
<main id="content">{body}</main></div><script src="passages.js"></script><script src="search.js"></script></body></html>
"""


def index_body(pages: dict[str, str]) -> str:
    """The first page: README's opening, with its pictures from data/figures, and the chapters."""
    opening = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## ")[0].replace("data/figures/", "")
    listed = "".join(f'<li><a href="{name}.html">{html.escape(shown)}</a></li>' for name, shown in pages.items())
    return f"{markdown2html(opening)}<h2>The course</h2><ul>{listed}</ul>"


def build(folder: Path) -> list[Path]:
    """Write the whole site into `folder` (made if need be) and return its pages."""
    pages, written, index = titles(), [], []
    folder.mkdir(parents=True, exist_ok=True)
    for page, title in pages.items():
        body = link_pages(body_of(page), pages)
        index += passages(page, title, body)
        written.append(folder / f"{page}.html")
        written[-1].write_text(page_html(page, title, body, pages), encoding="utf-8")
    written.append(folder / "index.html")
    written[-1].write_text(page_html("index", TITLE, index_body(pages), pages), encoding="utf-8")
    for figure in (ROOT / "data" / "figures").glob("*.png"):
        shutil.copy(figure, folder)
    (folder / "passages.js").write_text(f"const PASSAGES = {json.dumps(index)};\n", encoding="utf-8")
    (folder / "search.js").write_text(SEARCH, encoding="utf-8")
    (folder / "style.css").write_text(
        STYLE + HtmlFormatter(style="default").get_style_defs(".highlight"), encoding="utf-8"
    )
    return written


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.authoring.site", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "runs" / "site")
    given = parser.parse_args()
    written = build(given.folder)
    print(f"{len(written)} pages; open {given.folder / 'index.html'}")


if __name__ == "__main__":
    main()
