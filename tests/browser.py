"""What the tests in a browser share: chromium, a JupyterLab on a copy of the notebooks, screenshots, accessibility."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from helpers.paths import ROOT

# read at import: during the tests INTROSPECTION_RUNS points to a temporary folder, screenshots should outlive it
SCREENSHOTS = Path(os.environ.get("INTROSPECTION_RUNS", ROOT / "runs")) / "browser"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
IN_CI = bool(os.environ.get("CI"))
NO_CHROMIUM = "no chromium on this machine (Debian: apt-get install chromium)"
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell in the page, seen or not
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
SECONDS = 120  # for a notebook's cells; the cores may be shared


def must_skip() -> bool:
    """True where there is no browser and this is not CI: there, the tests must run, and fail without one."""
    return CHROMIUM is None and not IN_CI


@contextmanager
def chromium():
    """A headless chromium that is installed already; playwright downloads nothing. One at a time in a process."""
    assert CHROMIUM, NO_CHROMIUM
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Browser, width: int = 1200, height: int = 1000):
    """A page of the browser, without the cookies and storage of any other."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(30_000)
    try:
        yield page
    finally:
        page.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def jupyter_lab(folder: Path):
    """JupyterLab on the loopback interface with a token, on copies of the notebooks below `folder`; yields (address, token).

    JupyterLab saves what it opens, hence the copies; helpers/ and data/ are links.
    """
    (folder / "course").mkdir()
    shutil.copytree(ROOT / "notebooks", folder / "course" / "notebooks", ignore=shutil.ignore_patterns(".*"))
    for part in ("helpers", "data"):
        (folder / "course" / part).symlink_to(ROOT / part)
    for plugin, chosen in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(chosen), encoding="utf-8")
    port, token = free_port(), secrets.token_hex(16)
    own = {
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
        "JUPYTER_TOKEN": token,
        "INTROSPECTION_RUNS": folder / "runs",
    }
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", "--allow-root"]
    options += [f"--ServerApp.root_dir={folder / 'course'}"]
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env=os.environ | {name: str(value) for name, value in own.items()},
            stdout=log,
            stderr=log,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api?token={token}", server, folder / "lab.log")
        yield address, token
    finally:
        server.terminate()  # shuts its kernels down, too
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    """Until the server answers; RuntimeError with the end of its log if it ends or stays silent."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


def open_and_run_all(page: Page, lab: tuple[str, str], notebook: str) -> None:
    """Open a notebook alone on the page, choose Run All Cells from the menu, wait until the last cell has run."""
    address, token = lab
    page.goto(f"{address}/doc/tree/{notebook}?token={token}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=SECONDS * 1000)
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=SECONDS * 1000)
    page.get_by_text(re.compile(r"^Python 3 .* \| Idle$")).wait_for(timeout=SECONDS * 1000)
    begun, asked, end = False, 0.0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        if not begun and time.monotonic() - asked > 10:  # a click that comes before the kernel does nothing
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            asked = time.monotonic()
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
        waiting = any("*" in prompt for prompt in prompts)
        begun |= waiting
        if begun and not waiting:  # the numbers of an earlier run stand there before it begins
            return
        page.wait_for_timeout(20)
    screenshot(page, "stopped")
    raise AssertionError(f"{notebook} has not run to its end after {SECONDS} s: {prompts}")


def screenshot(page: Page, name: str) -> None:
    """What a page looks like now, kept in runs/browser/ for a person to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def accessibility_faults(page: Page, within: str = "body", allowed: tuple[str, ...] = ()) -> list[str]:
    """Serious and critical findings of axe-core inside the element `within`, one line each; `allowed` names rules let pass."""
    results = Axe().run(page, context=within).response
    return [
        f"{found['id']} ({found['impact']}): {found['help']}: {node['html'][:160]} [{' '.join(map(str, node['target']))}]"
        for found in results["violations"]
        if found["impact"] in ("serious", "critical") and found["id"] not in allowed
        for node in found["nodes"]
    ]
