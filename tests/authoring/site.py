"""Build the web edition from the outputs stored in the notebooks: python -m tests.authoring.site [FOLDER] (default runs/site).

Sphinx does the work, as tests/authoring/book/conf.py says. Nothing is executed.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from sphinx.cmd.build import build_main

from helpers.paths import ROOT

BOOK = Path(__file__).parent / "book"


def build(folder: Path) -> Path:
    """Write the whole site into `folder` (made if missing) and return its first page.

    Raises:
        RuntimeError: Sphinx warns, for example of a link that leads nowhere.
    """
    with tempfile.TemporaryDirectory() as scratch:  # Sphinx and myst-nb keep their own files beside the pages
        built = Path(scratch) / "site"
        options = ["-q", "-W", "--keep-going", "-b", "html", "-c", BOOK, "-d", f"{scratch}/doctrees", ROOT, built]
        if build_main([str(option) for option in options]):
            raise RuntimeError("the web edition was not built: see Sphinx's messages above")
        shutil.copytree(built, folder, dirs_exist_ok=True)
    shutil.copy(folder / "README.html", folder / "index.html")
    return folder / "index.html"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.authoring.site", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "runs" / "site")
    print(f"open {build(parser.parse_args().folder)}")


if __name__ == "__main__":
    main()
