"""Every form rule and every trap fires on a small broken notebook, and none on a good one; ruff finds what it checks for us."""

import base64
import copy
import io
import re

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from PIL import Image

from helpers.plotting import png
from tests.authoring import form_rules, notebook_traps, store_notebooks

OPENING = """\
# Count what a list holds

**What you'll do.** Count. **What you'll learn.** How to count.

**What you'll need.** [Python's lists](https://docs.python.org/3/tutorial/introduction.html).

**Time.** 1 minute to read; 1 second to run on 2 CPU cores. **Download.** 0 MB.
"""
CLOSING = """\
## Summary

Counted.

## On your own

Count something else.

## Further reading

- [Lists](https://docs.python.org/3/) explain all that lists can do.
- [Sets](https://docs.python.org/3/) hold each value only a single time.
"""
PIXEL = io.BytesIO()
Image.new("P", (1, 1)).save(PIXEL, "PNG")
PICTURE = base64.b64encode(PIXEL.getvalue()).decode()
ALT = {"image/png": {"alt": "Bars: the number of words in each of three lists"}}


def good_notebook() -> dict:
    """The smallest notebook that follows all rules, as stored after a clean run."""
    cells = [
        new_markdown_cell(OPENING),
        new_code_cell("import random\n\nrandom.seed(0)", execution_count=1),
        new_code_cell("words = 5  # how many are counted", execution_count=2, metadata={"tags": ["parameters"]}),
        new_markdown_cell("## Count\n\n![Three lists side by side](lists.png)"),
        new_code_cell(
            "print(words + 1)",
            execution_count=3,
            outputs=[
                new_output("stream", name="stdout", text="2\n"),
                new_output("display_data", {"image/png": PICTURE}, metadata=ALT),
            ],
        ),
        new_markdown_cell(CLOSING),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    store_notebooks.normalise(notebook)
    return notebook


def source(place: int, old: str, new: str):
    """A fault: in the cell at this place, `new` replaces `old`."""

    def break_it(notebook):
        assert old in notebook["cells"][place]["source"]
        notebook["cells"][place]["source"] = notebook["cells"][place]["source"].replace(old, new)

    return break_it


def code(text: str):
    """A fault: the first code cell has this text."""
    return lambda notebook: notebook["cells"][1].update(source=f"import random\nrandom.seed(0)\n{text}")


def output(**fields):
    """A fault: the last code cell has one more output."""
    return lambda notebook: notebook["cells"][4]["outputs"].append(nbformat.from_dict(fields))


def metadata(**fields):
    return lambda notebook: notebook["metadata"].update(nbformat.from_dict(fields))


def tagged(place: int, *tags: str):
    return lambda notebook: notebook["cells"][place]["metadata"].update(tags=list(tags))


def repeat(place: int, times: int):
    """A fault: the cell at this place is repeated, each time with another id."""

    def break_it(notebook):
        copies = [copy.deepcopy(notebook["cells"][place]) for _ in range(times)]
        notebook["cells"][place : place + 1] = [each | {"id": f"{each['id']}x{i}"} for i, each in enumerate(copies)]

    return break_it


COLAB = 'import sys\nif "google.colab" in sys.modules:\n    %pip install {}'
BROKEN_RULES = [
    ("rule_01", source(3, "## Count", "# Count again")),
    ("rule_01", source(0, "# Count what a list holds", "# The length of a list")),
    ("rule_01", lambda notebook: notebook["cells"].insert(0, new_markdown_cell("Welcome", id="welcome"))),
    ("rule_02", source(3, "## Count", "## Count\n\n#### Details")),
    ("rule_02", source(3, "## Count", "## Count\n\n## Exercise 1: Count more")),
    ("rule_03", source(0, "What you'll learn", "Contents")),
    ("rule_04", source(0, "[Python's lists](https://docs.python.org/3/tutorial/introduction.html)", "Python's lists")),
    ("rule_05", source(0, " to read", "")),
    ("rule_05", source(0, "on 2 CPU cores", "here")),
    ("rule_05", source(0, "0 MB", "None")),
    ("rule_06", code("random.random()\n" * 30)),
    (
        "rule_06",
        lambda notebook: [notebook["cells"][i].update(source="random.seed(0)\n" * 9) for i in (1, 4)],
    ),
    ("rule_07", repeat(1, 3)),
    ("rule_07", repeat(3, 4)),
    ("rule_08", source(3, "Three lists side by side", "")),
    ("rule_08", source(3, "Three lists side by side](lists.png", "lists in three](lists_in_three.png")),
    ("rule_08", source(3, "![Three lists side by side](lists.png)", '<img src="lists.png">')),
    ("rule_08", output(output_type="display_data", data={"image/png": PICTURE}, metadata={})),
    ("rule_08", output(output_type="display_data", data={"text/html": "<svg></svg>"}, metadata={})),
    ("rule_09", output(output_type="error", ename="ValueError", evalue="no", traceback=[])),
    ("rule_10", output(output_type="stream", name="stderr", text="careful")),
    ("rule_11", lambda notebook: notebook["cells"][4].update(execution_count=7)),
    ("rule_11", lambda notebook: notebook["cells"][4].update(outputs=[])),
    ("rule_12", source(1, "random.seed(0)", "random.random()")),
    ("rule_13", code("%pip install tqdm")),
    ("rule_13", lambda notebook: (code(COLAB.format("torch"))(notebook), tagged(1, "colab")(notebook))),
    ("rule_13", lambda notebook: (code(COLAB.format("nnsight"))(notebook), tagged(1, "colab")(notebook))),
    ("rule_14", lambda notebook: notebook.update(nbformat_minor=4)),
    ("rule_14", metadata(kernelspec={"name": "python3", "display_name": "Python 3"})),
    ("rule_14", metadata(language_info={"name": "julia"})),
    ("rule_14", lambda notebook: notebook["cells"][1].update(id=notebook["cells"][0]["id"])),
    ("rule_14", lambda notebook: notebook["cells"][1].pop("id")),
    ("rule_14", lambda notebook: notebook["cells"][1].update(colour="red")),
    ("rule_16", metadata(widgets={"application/vnd.jupyter.widget-state+json": {"state": {}}})),
    ("rule_16", output(output_type="display_data", data={store_notebooks.WIDGET: {"model_id": "a"}}, metadata={})),
    ("rule_17", source(5, "## On your own", "## More")),
    ("rule_17", source(5, "## Summary", "## Further reading first\n\n## Summary")),
    ("rule_17", source(5, " hold each value only a single time", "")),
    ("rule_17", source(5, "- [Sets](https://docs.python.org/3/) hold each value only a single time.", "")),
    ("rule_18", output(output_type="stream", name="stdout", text="1" * 1_000_001)),
    ("rule_19", tagged(2)),
    ("rule_19", source(2, "words = 5", "words = sorted([2, 1])")),
    ("rule_19", source(2, "words =", "words: list =")),
    ("rule_20", code('import warnings\nwarnings.filterwarnings("ignore")')),
    ("rule_20", code('import warnings\nwarnings.simplefilter("ignore")')),
    ("rule_20", code('import os\nos.environ["PYTHONWARNINGS"] = "ignore"')),
    ("rule_21", source(3, "## Count", "## Count\n\n" + "word " * 3001)),
    ("rule_21", lambda notebook: (code("random.seed(0)\n" * 6)(notebook), repeat(1, 36)(notebook))),
]


FOUND_BY_RUFF = [
    ("rule_15", "E722", "try:\n    print(1)\nexcept:\n    print(2)"),  # no bare except
    ("trap", "TID251", "from tqdm.notebook import tqdm\n\ntqdm([])"),
    ("trap", "TID251", "import tqdm.notebook\n\ntqdm.notebook.tqdm([])"),
]


def found_by_ruff(notebook: dict) -> set[str]:
    """Codes of what `ruff check` says about a notebook in notebooks/."""
    findings = store_notebooks.lint(notebook, store_notebooks.ROOT / "notebooks" / "99_broken.ipynb")
    return {re.search(r": ([A-Z]+\d+) ", finding).group(1) for finding in findings}


def test_a_stored_figure_is_a_third_of_its_size_and_looks_the_same():
    figure, axis = plt.subplots()
    axis.imshow(np.linspace(0, 1, 600).reshape(20, 30), cmap="RdBu")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    plt.close(figure)
    stored = png.with_few_colours(drawn.getvalue())
    before, after = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int) for data in (drawn.getvalue(), stored)
    )
    assert np.abs(before - after).max() < 16  # of 255
    assert len(stored) < 0.6 * len(drawn.getvalue())
    assert png.with_few_colours(stored) == stored


def test_a_good_notebook_follows_all_rules():
    numbers = [rule.__name__[:7] for rule in form_rules.RULES] + ["rule_15"]
    assert sorted(numbers) == [f"rule_{number:02}" for number in range(1, 22)]
    assert form_rules.complaints(good_notebook()) == []
    assert notebook_traps.static_traps(good_notebook()) == []
    assert found_by_ruff(good_notebook()) == set()


@pytest.mark.parametrize(("what", "fault", "text"), FOUND_BY_RUFF)
def test_ruff_finds_the_rest_and_ci_runs_it(what, fault, text):
    notebook = good_notebook()
    notebook["cells"][1].update(source=text)
    assert found_by_ruff(notebook) == {fault}
    commands = (store_notebooks.ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert ".venv/bin/ruff check ." in commands


def test_without_language_info_ruff_finds_nothing_hence_rule_14():
    notebook = good_notebook()
    notebook["cells"][1].update(source=FOUND_BY_RUFF[0][2])
    metadata(language_info={"name": "julia"})(notebook)
    assert found_by_ruff(notebook) == set()
    assert any(complaint.startswith("rule_14") for complaint in form_rules.complaints(notebook))


@pytest.mark.parametrize(("rule", "break_it"), BROKEN_RULES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_broken_notebook_is_noticed_by_its_rule_alone(rule, break_it):
    notebook = good_notebook()
    break_it(notebook)
    fired = {complaint[:7] for complaint in form_rules.complaints(notebook)}
    assert rule in fired
    assert fired <= {rule, "rule_07", "rule_11"}  # one more cell changes the share of Markdown cells and the counts


def test_every_rule_has_a_broken_notebook():
    assert {rule for rule, _ in BROKEN_RULES} == {rule.__name__[:7] for rule in form_rules.RULES}


def test_text_in_a_fence_is_an_example():
    notebook = good_notebook()
    notebook["cells"][3]["source"] += "\n\n```markdown\n# Not a title\n![](x.png)\n```\n"
    assert form_rules.complaints(notebook) == []


BROKEN_STATICALLY = [
    ("unread_parameters", source(4, "words + 1", "2")),
    ("overwritten_parameters", code('words = ["three"]')),
    ("overwritten_parameters", code("for words in (1, 2):\n    print(words)")),
    ("silent_commands", code("!ls /nowhere")),
    ("silent_commands", code("%pip install tqdm")),
    ("silent_commands", lambda notebook: notebook["cells"][1].update(source="%%time\nimport random")),
    ("expected_exceptions", tagged(4, "raises-exception")),
]


@pytest.mark.parametrize(("trap", "break_it"), BROKEN_STATICALLY)
def test_a_trap_in_the_source_is_noticed(trap, break_it):
    notebook = good_notebook()
    break_it(notebook)
    assert {complaint.split(":")[0] for complaint in notebook_traps.static_traps(notebook)} == {trap}


def test_every_static_trap_has_a_broken_notebook():
    assert {trap for trap, _ in BROKEN_STATICALLY} == {trap.__name__ for trap in notebook_traps.STATIC}


def test_a_name_inside_a_function_does_not_overwrite_a_parameter():
    notebook = good_notebook()
    code("def count(words):\n    words = list(words)\n    return len(words)")(notebook)
    assert notebook_traps.static_traps(notebook) == []


WIDGET_CALLBACK = """\
import ipywidgets
out = ipywidgets.Output()
with out:
    raise ValueError("hidden in a widget")
out"""
BROKEN_IN_A_RUN = [
    ("cells_not_completed", "import sys; sys.exit(0)"),
    ("rule_10_no_stderr", "import warnings; warnings.warn('careful')"),
    ("widget_errors", WIDGET_CALLBACK),
    ("machine_paths", f"print({str(notebook_traps.ROOT / 'runs')!r})"),
]


@pytest.mark.parametrize(("trap", "text"), BROKEN_IN_A_RUN)
def test_a_trap_in_a_run_is_noticed_where_papermill_says_nothing(trap, text, tmp_path):
    notebook = good_notebook()
    code(text)(notebook)
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    papermill.execute_notebook(
        str(tmp_path / "broken.ipynb"), str(tmp_path / "run.ipynb"), kernel_name="python3", progress_bar=False
    )
    executed = nbformat.read(tmp_path / "run.ipynb", as_version=4)
    assert trap in {complaint.split(":")[0] for complaint in notebook_traps.executed_traps(executed)}


def test_an_error_output_is_noticed():
    notebook = good_notebook()
    output(output_type="error", ename="ValueError", evalue="no", traceback=[])(notebook)
    assert "rule_09_no_errors: error output: ValueError: no" in notebook_traps.executed_traps(notebook)
