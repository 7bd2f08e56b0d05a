"""The web edition: every link leads somewhere, every picture has words, the search finds, and it can be used by everybody."""

import re
from html.parser import HTMLParser

import pytest
from playwright.sync_api import expect

from tests import browser
from tests.authoring import site


class Seen(HTMLParser):
    """Links, ids and pictures of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.ids, self.pictures = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes.get("id"), attributes.get("name")}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        if tag == "img":
            self.pictures.append(attributes.get("alt"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    return {file.name: file for file in site.build(folder)}


@pytest.fixture(scope="module")
def seen(pages):
    return {name: Seen(file.read_text(encoding="utf-8")) for name, file in pages.items()}


def test_every_notebook_is_a_page_and_the_first_page_lists_them(pages, seen):
    notebooks = {file.stem for file in site.SOURCES.glob("*.ipynb")}
    assert len(notebooks) >= 15
    assert {f"{name}.html" for name in notebooks} <= set(pages) & set(seen["index.html"].links)


def test_links_inside_the_site_lead_somewhere(seen):
    broken = []
    for name, page in seen.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            target = target or name
            if target not in seen or (anchor and anchor not in seen[target].ids):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_every_picture_has_words(seen):
    pictures = [(name, alt) for name, page in seen.items() for alt in page.pictures]
    assert len(pictures) > 40
    assert [
        name
        for name, alt in pictures
        if not (alt or "").strip() or alt == "No description has been provided for this image"
    ] == []


def test_the_search_knows_the_heading_and_the_place():
    found = site.passages(
        "p", "Page", '<h1 id="a">Page</h1>one<h2 id="b">Two&para;</h2><p>Wilson</p><script>no</script>'
    )
    assert found[1] == {"title": "Page: Two", "address": "p.html#b", "text": "Wilson"}


@pytest.mark.skipif(browser.must_skip(), reason=browser.NO_CHROMIUM)
def test_in_a_browser(pages):
    with browser.chromium() as chromium, browser.page_of(chromium) as page:
        page.goto(pages["index.html"].as_uri())
        page.get_by_label("Search the course").fill("wilson interval")
        expect(page.locator("#found")).to_contain_text("passages")
        page.locator("#found a").first.click()
        expect(page.locator("nav [aria-current]")).to_have_count(1)
        for name in ("index.html", "00_start_here.html", "04_detect_injected_thoughts.html"):
            page.goto(pages[name].as_uri())
            browser.screenshot(page, f"site_{name.removesuffix('.html')}")
            # colours of highlighted code are pygments' own
            assert browser.accessibility_faults(page, allowed=("color-contrast",)) == []
