"""The web edition: every link leads somewhere, every picture has words, it works without a network, and everybody can use it."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from helpers.paths import ROOT
from tests import browser
from tests.authoring import form_rules, generated_cells, site

COURSE = [f"notebooks/{file.stem}.html" for file in generated_cells.course()]
EXAMINED = [
    "index.html",
    "notebooks/00_start_here.html",
    "notebooks/04_detect_injected_thoughts.html",
    "notebooks/playground.html",
]
LAPTOP, PHONE = 1366, 390  # width in pixels
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of Sphinx's extensions among themselves
needs_browser = pytest.mark.skipif(browser.must_skip(), reason=browser.NO_CHROMIUM)


class Page(HTMLParser):
    """Links, addresses of everything that is loaded, ids and pictures of an HTML page."""

    def __init__(self, file: Path):
        super().__init__()
        self.links, self.loaded, self.ids, self.pictures = [], [], set(), []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        if tag in ("script", "img", "link"):
            self.loaded += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag == "img":
            self.pictures.append(attributes.get("alt") or "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return site.build(tmp_path_factory.mktemp("site")).parent


@pytest.fixture(scope="module")
def pages(folder):
    return {
        file.relative_to(folder).as_posix(): Page(file)
        for file in folder.rglob("*.html")
        if "_static" not in file.parts
    }


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as started:
        yield started


@pytest.fixture(params=[LAPTOP, PHONE], ids=["laptop", "phone"])
def screen(request, chromium):
    with browser.page_of(chromium, width=request.param) as page:
        yield page


@pytest.fixture
def laptop(chromium):
    with browser.page_of(chromium, width=LAPTOP) as page:
        yield page


def choose_theme(page, name: str) -> None:
    page.get_by_role("button", name="Color mode").locator("visible=true").click()
    page.get_by_role("button", name=name, exact=True).click()


# -- the files --------------------------------------------------------------------------------------------------------


def test_every_notebook_is_a_page_and_the_first_page_lists_them_in_order(pages):
    assert len(COURSE) >= 15
    assert set(COURSE) <= set(pages)
    assert [link for link in dict.fromkeys(pages["index.html"].links) if link in COURSE] == COURSE
    assert {f"notebooks/{name}.html" for name in ("GLOSSARY", "INSTRUCTORS", "LIMITS")} <= set(
        pages["index.html"].links
    )


def test_links_inside_the_site_lead_somewhere(pages, folder):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (folder / name).parent / path if path else folder / name
            found = pages.get(target.resolve().relative_to(folder.resolve()).as_posix())
            if found is None or (anchor and anchor not in found.ids):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_other_files_are_linked_in_the_repository(pages):
    address = f"{generated_cells.repository()}/blob/main/"
    linked = {link.removeprefix(address) for page in pages.values() for link in page.links if link.startswith(address)}
    assert {"LICENSE", "CONTRIBUTING.md"} <= linked
    assert [path for path in linked if not (ROOT / path).is_file()] == []


def test_launch_buttons_open_this_very_notebook(pages):
    repository = generated_cells.repository().removeprefix("https://github.com/")
    for file in generated_cells.course():
        links = pages[f"notebooks/{file.stem}.html"].links
        binder = f"https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/notebooks/{file.name}"
        colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{file.name}"
        assert binder in links
        assert links.count(colab) == 2, "the badge in the text and the launch button"


def test_every_picture_has_the_words_that_are_stored_with_it(pages):
    assert len(pages["index.html"].pictures) >= 2
    assert all(len(words.split()) > 5 for words in pages["index.html"].pictures)
    for file in generated_cells.course():
        notebook = nbformat.read(file, as_version=4)
        stored = [
            each["metadata"]["image/png"]["alt"]
            for each in form_rules.outputs(notebook)
            if "image/png" in each.get("data", {})
        ]
        drawn = re.findall(r'<img [^>]*alt="([^"]+)"', form_rules.markdown_text(notebook))  # pictures in the text
        shown = pages[f"notebooks/{file.stem}.html"].pictures
        assert sorted(words for words in shown if words not in ("Binder logo", "Colab logo")) == sorted(stored + drawn)


def test_a_page_needs_no_other_host_and_no_place_of_its_own(pages):
    loaded = [(name, address) for name, page in pages.items() for address in page.loaded]
    assert len(loaded) > 100
    assert [each for each in loaded if re.match(r"[a-z]+:|/", each[1])] == []
    assert [(name, link) for name, page in pages.items() for link in page.links if link.startswith("/")] == []


def test_no_file_names_the_machine_that_built_it(folder):
    texts = [file for file in folder.rglob("*") if file.suffix in (".html", ".js", ".css")]
    private = {f"{ROOT}/", f"{Path.home()}/", str(folder)} - {"//"}
    assert [file for file in texts if any(path in file.read_text(encoding="utf-8") for path in private)] == []


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copytree(ROOT / "data" / "figures", tmp_path / "data" / "figures")
    (tmp_path / "README.md").write_text(
        "# Title\n\n[broken](notebooks/GLOSSARY.md#no-such-heading)\n", encoding="utf-8"
    )
    monkeypatch.setattr(site, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="not built"):
        site.build(tmp_path / "site")
    assert "no-such-heading" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


# -- in a browser -----------------------------------------------------------------------------------------------------


@needs_browser
def test_the_search_finds_a_word_of_a_notebook(folder, laptop):
    laptop.goto((folder / "index.html").as_uri())
    laptop.keyboard.press("Control+k")
    laptop.get_by_role("dialog").get_by_role("searchbox").fill("wilson")
    laptop.keyboard.press("Enter")
    laptop.locator("#search-results").get_by_role("link", name="Detect injected thoughts").click()
    expect(laptop.get_by_role("heading", level=1)).to_contain_text("Detect injected thoughts")
    expect(laptop.locator(".bd-sidebar-primary .current.active")).to_contain_text("04 Detect injected thoughts")


@needs_browser
def test_the_dark_theme_is_dark_and_figures_keep_a_light_ground(folder, laptop):
    laptop.goto((folder / EXAMINED[2]).as_uri())
    ground = "([r, g, b]) => (r + g + b) / 3"
    brightness = f"element => ({ground})(getComputedStyle(element).backgroundColor.match(/\\d+/g).map(Number))"
    for theme, dark in (("Dark", True), ("Light", False)):
        choose_theme(laptop, theme)
        assert (laptop.locator("body").evaluate(brightness) < 60) is dark
    choose_theme(laptop, "Dark")
    laptop.reload()
    assert laptop.locator("body").evaluate(brightness) < 60, "the choice is kept"
    assert laptop.locator(".cell_output img").first.evaluate(brightness) > 200


@needs_browser
def test_code_can_be_copied_and_outputs_need_no_button(folder, laptop):
    laptop.context.grant_permissions(["clipboard-read", "clipboard-write"])
    laptop.goto((folder / "notebooks/00_start_here.html").as_uri())
    assert laptop.locator(".cell_output .copybtn").count() == 0
    assert laptop.locator(".cell_input .copybtn").count() == laptop.locator(".cell_input").count() > 5
    cell = laptop.locator(".tag_parameters .cell_input")
    cell.hover()
    cell.get_by_role("button").click()
    assert laptop.evaluate("navigator.clipboard.readText()") == cell.locator("pre").inner_text().rstrip()


@needs_browser
def test_hints_and_solutions_are_folded_and_hold_code(folder, laptop):
    laptop.goto((folder / EXAMINED[2]).as_uri())
    solution = laptop.locator("details", has=laptop.locator("summary", has_text="Solution")).first
    expect(solution.locator(".highlight-python pre")).to_be_hidden()
    solution.locator("summary").click()
    expect(solution.locator(".highlight-python pre")).to_be_visible()
    setup = laptop.locator(".tag_setup")
    expect(setup.locator(".cell_input")).to_be_hidden()
    expect(setup.locator(".cell_output")).to_be_visible()


OVERFLOW = """() => {
  const wide = element => element.scrollWidth > element.clientWidth + 1;
  const scrolls = element => ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
  document.querySelectorAll("details").forEach(each => { each.open = true; });
  const clipped = [...document.querySelectorAll("article pre, article .text_html, article .pst-scrollable-table-container")]
    .filter(each => wide(each) && !scrolls(each)).map(each => each.textContent.slice(0, 80));
  return wide(document.documentElement) ? ["the page itself"] : clipped;
}"""


@needs_browser
def test_nothing_is_wider_than_the_screen_without_a_scroll_bar(folder, screen):
    faults = []
    for name in ["index.html", *COURSE, "notebooks/GLOSSARY.html", "notebooks/INSTRUCTORS.html"]:
        screen.goto((folder / name).as_uri())
        faults += [f"{name}: {fault}" for fault in screen.evaluate(OVERFLOW)]
    assert faults == []


SCROLLABLE_BY_KEYBOARD = (
    "[...document.querySelectorAll('pre')].every(each => each.scrollWidth <= each.clientWidth || each.tabIndex === 0)"
)


@needs_browser
@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("name", EXAMINED)
def test_everybody_can_use_the_pages(folder, laptop, name, theme):
    laptop.goto((folder / name).as_uri())
    choose_theme(laptop, theme)
    browser.screenshot(laptop, f"site_{Path(name).stem}_{theme.lower()}")
    laptop.wait_for_function(SCROLLABLE_BY_KEYBOARD)  # the theme looks again some time after the picture's resizing
    assert browser.accessibility_faults(laptop) == []
