"""Sphinx configuration of the web edition: what is a page, how it looks, and what differs from the notebooks on GitHub."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes

from helpers.paths import ROOT
from tests.authoring import generated_cells

project = "Inject a thought, and ask the model whether it notices"
html_title = "Inject a thought"
root_doc = "README"
include_patterns = ["README.md", "notebooks/*"]
# folders that need no search for pages
exclude_patterns = [".*", "**/.*", "binder", "data", "helpers", "runs", "tests"]

extensions = ["myst_nb", "sphinx_copybutton"]
nb_execution_mode = "off"  # the stored outputs are shown; nothing runs
nb_ipywidgets_js = {}  # no widgets are stored, so no scripts from other hosts
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 4
html_math_renderer = "mathml"  # `write_math`; MathJax would be loaded from another host
highlight_language = "text"  # a fence without a language is a sketch, not Python
copybutton_selector = "div:not(.output) > div.highlight > pre"

html_theme = "sphinx_book_theme"
html_theme_options = {
    "repository_url": generated_cells.repository(),
    "repository_branch": "main",
    "use_repository_button": True,
    "use_download_button": False,
    "launch_buttons": {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
        "notebook_interface": "jupyterlab",
    },
    "show_prev_next": False,  # every notebook ends with such a line already
    "show_toc_level": 2,
    "footer_content_items": [],
}
html_static_path = ["static"]
html_css_files = ["course.css"]
html_copy_source = False
html_scaled_image_link = False
html_use_index = False

FOLDED = {"tag_colab": "Code for Google Colab", "tag_setup": "Setup code"}  # class of a cell -> what it is folded under


def list_pages(app, page: str, source: list[str]) -> None:
    """Add the table of contents (the sidebar) to README: notebooks in the order of the course, then the Markdown pages."""
    if page == root_doc:
        titles = [f"{generated_cells.page_title(file)} <notebooks/{file.stem}>" for file in generated_cells.course()]
        others = [f"notebooks/{file.stem}" for file in sorted((ROOT / "notebooks").glob("*.md"))]
        source[0] += "\n\n```{toctree}\n:hidden:\nStart <self>\n" + "\n".join(titles + others) + "\n```\n"


def adapt_page(app, doctree: nodes.document) -> None:
    """Figures get their alt text, the Colab and setup cells are folded, badges become words, other files are on GitHub."""
    for cell in doctree.findall(nodes.container):
        for tag in FOLDED.keys() & set(cell["classes"]):
            cell.attributes.update(hide_mode="input", prompt_show=FOLDED[tag], prompt_hide=FOLDED[tag])
        kinds = {kind["mime_type"]: kind for kind in cell.children if "mime_type" in kind}
        if "image/png" in kinds:
            # myst-nb drops the alt text in the output's metadata; plots.show also stores it as the figure's plain text
            kinds["image/png"][0]["alt"] = kinds["text/plain"].astext().removeprefix("Figure: ")
    for image in list(doctree.findall(nodes.image)):
        if image["uri"].startswith("https:"):
            image.replace_self(nodes.Text(image["alt"]))
    for link in list(doctree.findall(addnodes.pending_xref)):
        if link.get("refdomain") == "doc" and link["reftarget"] not in app.env.found_docs:
            to_repository(link, link["reftarget"] + ".md")
    for link in list(doctree.findall(addnodes.download_reference)):
        to_repository(link, app.env.relfn2path(link["reftarget"], link["refdoc"])[0])


def to_repository(link: nodes.Element, path: str) -> None:
    """Replace a link to a file that is no page by one to the same file in the repository."""
    address = f"{generated_cells.repository()}/blob/main/{path}"
    link.replace_self(nodes.reference("", "", *link.children, refuri=address))


def write_math(translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw themselves."""
    translator.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def setup(app) -> None:
    app.connect("source-read", list_pages)
    app.connect("doctree-read", adapt_page, priority=100)  # before Sphinx collects images and downloads
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
