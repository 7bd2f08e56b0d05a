"""The course as a reader meets it: in JupyterLab, in a browser, by mouse and keyboard."""

import re
from importlib.metadata import version

import nbformat
import pytest
from playwright.sync_api import expect

from tests import browser

expect.set_options(timeout=30_000)  # the cores may be shared

pytestmark = pytest.mark.skipif(browser.must_skip(), reason=browser.NO_CHROMIUM)
# ipywidgets 7 is admitted for Google Colab, whose own page shows it
shows_widgets = pytest.mark.skipif(
    version("ipywidgets").startswith("7."), reason="ipywidgets 7 has nothing that JupyterLab 4 could show"
)

LABELLING = """\
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd().parent))
from helpers.grading import human

answers = ["Yes, I notice a thought. It is about bread.", "No, I do not notice a thought."]
page = human.labelling_page(human.open_session(answers, ["bread", None], "labels.jsonl", "ann"))
page"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with browser.jupyter_lab(folder) as (address, token):
        yield address, token, folder / "course"


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as chromium:
        yield chromium


@pytest.fixture
def page(chromium):
    with browser.page_of(chromium) as page:
        yield page


def test_first_notebook_runs_from_the_menu(lab, page):
    browser.open_and_run_all(page, lab[:2], "notebooks/00_start_here.ipynb")
    outputs = page.locator(".jp-CodeCell .jp-OutputArea-output")
    expect(outputs.filter(has_text="Nothing injected:").first).to_be_visible()
    expect(outputs.filter(has_text="introspector says Yes to").first).to_be_visible()
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"], [data-mime-type*="stderr"]').count() == 0
    browser.screenshot(page, "00_start_here")


@pytest.fixture(scope="module")
def playground(lab, chromium):
    """The playground notebook, open and run."""
    with browser.page_of(chromium) as page:
        browser.open_and_run_all(page, lab[:2], "notebooks/playground.ipynb")
        expect(page.locator(".widget-html table").first).to_contain_text("injected", timeout=browser.SECONDS * 1000)
        yield page


@shows_widgets
def test_a_figure_is_shown(playground):
    figure = playground.locator(".jp-RenderedImage img").first
    expect(figure).to_be_visible()
    assert figure.evaluate("image => image.naturalWidth") > 300


@shows_widgets
def test_playground_answers_a_typed_word_and_a_number_stepped_by_key(playground):
    widget = playground.locator(".widget-vbox").first
    widget.scroll_into_view_if_needed()
    shown = widget.locator("table").first
    expect(shown).to_contain_text("“oceans” injected")
    browser.screenshot(playground, "playground_before")

    thought = widget.get_by_label("Thought (any word)")
    thought.fill("zeppelins")
    thought.press("Enter")
    expect(shown).to_contain_text("“zeppelins” injected")
    expect(shown).to_contain_text("Yes minus No")

    before = widget.inner_text()
    strength = widget.get_by_label("Strength")
    strength.focus()
    for _ in range(6):
        playground.keyboard.press("ArrowUp")
    expect(strength).to_have_value("5")
    playground.wait_for_function("([area, text]) => area.innerText !== text", arg=[widget.element_handle(), before])
    playground.wait_for_timeout(2000)  # the last answer is there
    browser.screenshot(playground, "playground_after")


@shows_widgets
def test_the_answer_streams_in(playground):
    """While the model writes, the page shows both answers growing word by word, as a reader's eyes would see them."""
    widget = playground.locator(".widget-vbox").first
    shown = widget.locator(".widget-html").first.element_handle()
    playground.evaluate(
        """area => { window.seen = [];
        const look = () => { const row = [...area.querySelectorAll('tr')].find(row => /answer/.test(row.innerText));
            if (row) window.seen.push([...row.cells].map(cell => cell.innerText.trim())); };
        new MutationObserver(look).observe(area, {childList: true, subtree: true, characterData: true}); }""",
        shown,
    )
    thought = widget.get_by_label("Thought (any word)")
    thought.fill("lanterns")
    thought.press("Enter")
    expect(widget.locator("table").first).to_contain_text("“lanterns” injected")
    seen = playground.evaluate("window.seen")
    final = next(cells for cells in reversed(seen) if cells[0] == "answer")
    growing = [cells for cells in seen if cells[0] == "answer so far"]
    for place in (1, 2):
        texts = list(dict.fromkeys(cells[place].removesuffix("…").strip() for cells in growing))
        assert len(texts) >= 4, texts
        assert texts == sorted(texts, key=len) and all(final[place].startswith(text) for text in texts)


@shows_widgets
@pytest.mark.parametrize(
    ("control", "typed", "message"),
    [
        ("Thought (any word)", "", "the thought is empty"),
        ("Layer", "99", "layer 99 does not exist"),
        ("Model", "nobody", "cannot load the model 'nobody'"),
    ],
)
def test_what_is_wrong_stands_in_the_page(playground, control, typed, message):
    widget = playground.locator(".widget-vbox").first
    field = widget.get_by_label(control)
    before = field.input_value()
    field.fill(typed)
    field.press("Enter")
    expect(widget.get_by_role("alert")).to_contain_text(message)
    browser.screenshot(playground, f"playground_wrong_{control.split()[0].lower()}")
    field.fill(before)
    field.press("Enter")
    expect(widget.get_by_role("alert")).to_have_count(0)


@shows_widgets
def test_games_of_the_playground_keep_score(playground):
    game = playground.locator(".widget-vbox").filter(has=playground.get_by_role("button", name="Hide another"))
    game.get_by_label("Your guess").select_option(index=0)
    game.get_by_role("button", name="Guess", exact=True).click()
    expect(game.get_by_role("status")).to_contain_text(re.compile(r"[01] of 1 right so far"))
    test = playground.locator(".widget-vbox").filter(has=playground.get_by_role("button", name="Score me"))
    for place in range(1, 11):
        test.get_by_label(f"Verdict on answer {place}", exact=True).select_option("nothing was injected")
    test.get_by_role("button", name="Score me").click()
    expect(test.get_by_role("status")).to_contain_text("d′ =")
    test.scroll_into_view_if_needed()
    browser.screenshot(playground, "playground_games")


@shows_widgets
def test_playground_can_be_used_by_everybody(playground):
    """axe-core on the widgets alone: the page around them is JupyterLab's."""
    assert playground.locator(".widget-vbox").count() == 3
    assert browser.accessibility_faults(playground, ".widget-vbox") == []


@shows_widgets
def test_labelling_page_saves_what_is_ticked(lab, page):
    folder = lab[2] / "notebooks"
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(LABELLING)],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        ),
        folder / "labelling.ipynb",
    )
    browser.open_and_run_all(page, lab[:2], "notebooks/labelling.ipynb")
    shown = page.locator(".widget-vbox")
    expect(shown).to_contain_text("0 of 2 labelled")
    first_says_yes = "Yes, I notice" in shown.inner_text()
    names = ["is intelligible"]
    if first_says_yes:
        names += ["claims to notice", "names the word", "claims first"]
    for name in names:
        shown.get_by_label(re.compile(name)).check()
    shown.get_by_role("button", name="Save and next").click()
    expect(shown).to_contain_text("1 of 2 labelled")
    browser.screenshot(page, "labelling")
    assert browser.accessibility_faults(page, ".widget-vbox") == []
    labels = (folder / "labels.jsonl").read_text(encoding="utf-8")
    assert labels.count('"grader": "people:ann"') == 1
    assert f'"affirmative": {str(first_says_yes).lower()}' in labels
