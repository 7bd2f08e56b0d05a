"""What holds for every test: no network, one thread, no trace in the collection's own folders."""

import os

import pytest

from helpers.run_notebook import limit_threads

limit_threads()  # before torch starts its pool
os.environ.setdefault("HF_HUB_OFFLINE", "1")

NOTEBOOK_RUNS = pytest.StashKey[list]()


@pytest.fixture(autouse=True, scope="session")
def runs_elsewhere(tmp_path_factory):
    """Tables and cached vectors of tests go to a temporary folder, shared by the tests of one session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTROSPECTION_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture
def report_notebook(request):
    """A function that keeps one line about an executed notebook for the end of pytest's output."""
    return request.config.stash.setdefault(NOTEBOOK_RUNS, []).append


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash.get(NOTEBOOK_RUNS, [])
    if lines:
        terminalreporter.section("notebooks executed")
        for line in lines:
            terminalreporter.line(line)
