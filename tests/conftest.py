"""What holds for every test: no network, one thread, no trace in the collection's own folders."""

import os

import matplotlib.pyplot as plt
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported

from helpers.plotting import plots
from helpers.run_notebook import limit_threads

limit_threads()  # before torch starts its pool


@pytest.fixture(autouse=True, scope="session")
def runs_elsewhere(tmp_path_factory):
    """Tables and cached vectors of tests go to a temporary folder, shared by the tests of one session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTROSPECTION_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(autouse=True)
def own_style():
    """Each test draws in the notebooks' style, whatever other tests of its process have set."""
    with plt.rc_context():
        plots.style()
        yield
    plt.close("all")


def pytest_terminal_summary(terminalreporter):
    """Time and memory of each notebook (`record_property("notebook", ...)`), gathered from all workers."""
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, [])]
    lines = sorted(text for report in reports for name, text in report.user_properties if name == "notebook")
    if lines:
        terminalreporter.section("notebooks executed")
        for line in lines:
            terminalreporter.line(line)
