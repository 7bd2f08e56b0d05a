"""Check every external link of the pages and notebooks: python -m tests.authoring.external_links

The weekly job runs it; the tests do not, because it needs the network. Exit status 1 if a page is gone.
"""

import re
import sys
import urllib.error
import urllib.request

import nbformat

from helpers.paths import ROOT
from tests.authoring.form_rules import markdown_text
from tests.authoring.generated_cells import repository

SECONDS = 20
GONE = (404, 410)  # 403, 429 and others often mean that a site refuses robots


def external_links() -> dict[str, list[str]]:
    """{address: files that link to it}, without links to our own repository."""
    found = {}
    for file in sorted([*ROOT.glob("*.md"), *ROOT.glob("notebooks/*.md"), *ROOT.glob("notebooks/*.ipynb")]):
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".ipynb":
            text = markdown_text(nbformat.reads(text, as_version=4))
        for address in re.findall(r"https?://[^\s)\"'<>]+", text):
            if repository().removeprefix("https://github.com/") not in address:
                found.setdefault(address, []).append(file.name)
    return found


def problem(address: str) -> str | None:
    """Why the page cannot be reached; None if it can, or if the answer does not tell."""
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason}" if error.code in GONE else None
    except (urllib.error.URLError, TimeoutError) as error:
        return str(error)


def main() -> None:
    links = external_links()
    broken = {address: why for address in links if (why := problem(address))}
    for address, why in broken.items():
        print(f"{address}: {why} (in {', '.join(links[address])})")
    print(f"{len(links)} addresses, {len(broken)} gone")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
