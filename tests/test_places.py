"""Where the course runs: Colab, Binder, your own machine."""

import importlib.metadata
import importlib.util
import re
import stat
import subprocess
import sys
import types

import nbformat
import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell
from packaging.requirements import Requirement

from helpers import check_environment
from helpers.paths import ROOT
from tests.authoring import external_links, generated_cells
from tests.authoring.form_rules import required_ranges

# what Google Colab has installed (August 2026)
COLAB = {"torch": "2.11.0", "transformers": "5.15.0", "numpy": "2.1.3", "ipywidgets": "7.7.1", "pandas": "2.2.3"}


@pytest.mark.parametrize(("package", "version"), COLAB.items())
def test_required_ranges_admit_what_colab_has(package, version):
    assert Requirement(required_ranges()[package]).specifier.contains(version)


def test_required_ranges_admit_what_is_installed_here():
    for name, version, _, good in check_environment.package_lines():
        assert good, f"{name} {version} is outside requirements.txt"


def run_colab_cell(monkeypatch, tmp_path, on_colab: bool) -> list[str]:
    """The commands that the Colab cell would run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    if on_colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    shell, commands = InteractiveShell(), []
    monkeypatch.setattr(shell, "system", commands.append)
    monkeypatch.setattr(shell, "run_line_magic", lambda name, line, **_: commands.append(f"{name} {line}"))
    shell.run_cell(generated_cells.colab_cell()).raise_error()
    return commands


def test_colab_cell_fetches_the_collection_and_installs_what_colab_lacks(monkeypatch, tmp_path):
    fetch, enter, install = run_colab_cell(monkeypatch, tmp_path, on_colab=True)
    assert fetch == f"git clone --quiet --depth 1 {generated_cells.repository()}"
    assert enter == f"cd -q {generated_cells.repository().rsplit('/', 1)[1]}"
    assert install == f'pip install -q "{required_ranges()["nnsight"]}"'
    (tmp_path / "helpers").mkdir()
    assert run_colab_cell(monkeypatch, tmp_path, on_colab=True) == []


def test_colab_cell_does_nothing_elsewhere(monkeypatch, tmp_path):
    assert run_colab_cell(monkeypatch, tmp_path, on_colab=False) == []


def test_packages_that_colab_lacks_accept_its_torch_and_numpy():
    for package in generated_cells.COLAB_LACKS:
        for line in importlib.metadata.requires(package) or []:
            needed = Requirement(line)
            if needed.name in COLAB and not needed.marker:
                assert needed.specifier.contains(COLAB[needed.name])


@pytest.mark.parametrize("file", generated_cells.course(), ids=lambda file: file.stem)
def test_badges_open_this_very_file(file):
    line = generated_cells.badges(file.stem)
    assert line in nbformat.read(file, as_version=4)["cells"][0]["source"]
    assert len(re.findall(rf"notebooks/{re.escape(file.name)}\)", line)) == 2


def test_binder_installs_the_requirements_and_fixes_python():
    lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert "-r ../requirements.txt" in lines
    assert any(line.startswith("--extra-index-url") and line.endswith("/cpu") for line in lines)
    assert (ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8").strip() == "python-3.11"
    script = ROOT / "binder" / "postBuild"
    assert script.stat().st_mode & stat.S_IXUSR
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")


def test_binder_loads_the_shipped_models_while_the_image_is_built():
    script = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    python = re.search(r'python -c "(.*?)"', script, re.DOTALL).group(1)
    assert "models.load(" in python
    subprocess.run([sys.executable, "-c", python], cwd=ROOT, check=True)


def test_environment_check_says_ready(capsys):
    check_environment.main()
    printed = capsys.readouterr().out
    assert printed.endswith("ready\n")
    assert "torch" in printed and "shipped models: " in printed


@pytest.mark.parametrize("half_removed", [False, True])
def test_environment_check_names_what_is_missing(monkeypatch, capsys, half_removed):
    def version(name):
        if name == "nnsight" and not half_removed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "99.0" if name != "nnsight" else None

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(SystemExit, match="missing: nnsight; install with: "):
        check_environment.main()
    assert "99.0" in capsys.readouterr().out


def test_environment_check_says_what_to_do_where_nothing_is_installed():
    isolated = [sys.executable, "-S", "-m", "helpers.check_environment"]  # -S: no site-packages
    said = subprocess.run(isolated, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 1 and said.stderr.startswith("missing: packaging") and "pip install -r" in said.stderr


def test_make_runs_modules_and_tests_that_exist():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    modules = set(re.findall(r"-m ((?:tests|helpers)\.[\w.]+)", text))
    assert modules >= {"tests.bench", "tests.authoring.site", "tests.authoring.store_notebooks"}
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    assert [path for path in re.findall(r"tests/\w+\.py", text) if not (ROOT / path).is_file()] == []
    shown = subprocess.run(
        ["make", "-n", "notebooks", "NAME=04 05"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert '-k "04 or 05"' in shown.stdout
    targets = re.findall(r"^([a-z-]+):  ## ", text, re.MULTILINE)
    assert targets == re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE).group(1).split()


def test_forms_and_workflows_can_be_read():
    files = list((ROOT / ".github").rglob("*.yml"))
    assert len(files) >= 2
    for file in files:
        assert yaml.safe_load(file.read_text(encoding="utf-8"))["name"]


def test_external_links_are_found_without_our_own():
    found = external_links.external_links()
    assert any("transformer-circuits.pub" in address for address in found)
    assert not any(generated_cells.repository() in address for address in found)
