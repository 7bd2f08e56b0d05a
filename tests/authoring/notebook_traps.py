"""What papermill reports as success although it is not. Each function goes from a notebook to a list of complaints.

STATIC traps read the source; EXECUTED traps read a notebook that papermill has run.
"""

import ast
import re
from pathlib import Path

from helpers.paths import ROOT
from helpers.run_notebook import unfinished_cells
from tests.authoring.form_rules import code_cells, nodes, outputs, rule_09_no_errors, rule_10_no_stderr, tags, tree


def parameter_names(notebook: dict) -> list[str]:
    return [
        target.id
        for cell in code_cells(notebook)
        if "parameters" in tags(cell)
        for statement in tree(cell).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
    ]


def unread_parameters(notebook: dict) -> list[str]:
    """A parameter that no later cell reads can be set to anything without effect."""
    read = {
        node.id
        for cell in code_cells(notebook)
        if "parameters" not in tags(cell)
        for node in ast.walk(tree(cell))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return [f"parameter {name!r} is read by no cell" for name in parameter_names(notebook) if name not in read]


def overwritten_parameters(notebook: dict) -> list[str]:
    """A parameter that a later cell assigns again loses the value that was given."""
    stored = {
        node.id
        for cell in code_cells(notebook)
        if not {"parameters", "injected-parameters"} & set(tags(cell))
        for node in module_level(tree(cell))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del)
    }
    return [f"parameter {name!r} is assigned again" for name in parameter_names(notebook) if name in stored]


def module_level(node: ast.AST):
    """The nodes that run in the notebook's own scope: those inside functions, classes and comprehensions are left out."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, inner + comprehensions):
            yield child
            yield from module_level(child)


def silent_commands(notebook: dict) -> list[str]:
    """A shell command or magic that fails is no error to papermill, and a cell magic breaks nnsight's reading of a trace."""
    complaints = []
    for cell in code_cells(notebook):
        if "colab" not in tags(cell):
            complaints += [
                f"shell command or magic: {line.strip()}"
                for line in cell["source"].splitlines()
                if re.match(r"\s*(!|%%?[a-z])", line)
            ]
    return complaints


def expected_exceptions(notebook: dict) -> list[str]:
    """papermill fails at the end of a notebook with such a cell; try / except and print does better."""
    return [
        f"a cell is tagged {tag}" for cell in code_cells(notebook) for tag in tags(cell) if tag == "raises-exception"
    ]


def notebook_progress_bars(notebook: dict) -> list[str]:
    """tqdm.notebook leaves widget state behind and shows nothing where there are no widgets; tqdm.auto chooses."""
    for node in nodes(notebook):
        named = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if "tqdm.notebook" in [*named, getattr(node, "module", None)]:
            return ["tqdm.notebook is imported: use tqdm.auto"]
    return []


def cells_not_completed(notebook: dict) -> list[str]:
    """sys.exit(0) in a cell leaves the cells after it pending, in a run that counts as good."""
    return [f"code cell {number} was not completed ({status})" for number, status in unfinished_cells(notebook)]


def widget_errors(notebook: dict) -> list[str]:
    """An error in a widget's callback ends up in the widget state, not among the cell's outputs."""
    states = (
        notebook["metadata"].get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    )
    return [
        f"error in a widget: {output['ename']}: {output['evalue']}"
        for model in states.values()
        for output in model.get("state", {}).get("outputs", ())
        if output["output_type"] == "error"
    ]


def machine_paths(notebook: dict) -> list[str]:
    """Paths of the machine that ran the notebook mean nothing to a reader."""
    shown = [
        "".join(text)
        for output in outputs(notebook)
        for text in (
            output.get("text", ""),
            *(output.get("data", {}).get(kind, "") for kind in ("text/plain", "text/html")),
        )
    ]
    private = {str(ROOT), str(Path.home())} - {"/"}
    return [f"an output names the folder {path}" for path in private for text in shown if f"{path}/" in text]


STATIC = [unread_parameters, overwritten_parameters, silent_commands, expected_exceptions, notebook_progress_bars]
EXECUTED = [cells_not_completed, rule_09_no_errors, rule_10_no_stderr, widget_errors, machine_paths]


def static_traps(notebook: dict) -> list[str]:
    return [f"{trap.__name__}: {complaint}" for trap in STATIC for complaint in trap(notebook)]


def executed_traps(notebook: dict) -> list[str]:
    return [f"{trap.__name__}: {complaint}" for trap in EXECUTED for complaint in trap(notebook)]
