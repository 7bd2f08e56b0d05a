"""Ask for every link of the pages and notebooks that leads elsewhere: python -m tests.authoring.external_links

For the weekly job: it needs the network, so the tests do not run it. Exit status 1 if a page is gone.
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
GONE = (404, 410)  # other answers (403, 429) often mean that a robot is not welcome


def external_links() -> dict[str, list[str]]:
    """Address -> the files that link to it; our own repository left out."""
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
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason}" if error.code in GONE else None
    except (urllib.error.URLError, TimeoutError) as error:
        return str(error)


def main() -> None:
    broken = {address: why for address in external_links() if (why := problem(address))}
    for address, why in broken.items():
        print(f"{address}: {why} (in {', '.join(external_links()[address])})")
    print(f"{len(external_links())} addresses, {len(broken)} gone")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
