"""Faults that papermill reports as success. Each function takes a notebook and returns a list of complaints.

STATIC traps read the source; EXECUTED traps read a notebook that papermill has run. ruff finds one more in the source:
tqdm.notebook, which leaves widget state behind (TID251 in pyproject.toml).
"""

import ast
import re
from pathlib import Path

from helpers.paths import ROOT
from helpers.run_notebook import unfinished_cells
from tests.authoring.form_rules import code_cells, outputs, rule_09_no_errors, rule_10_no_stderr, tags, tree


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
    """Parameters that no other cell reads: setting them has no effect."""
    read = {
        node.id
        for cell in code_cells(notebook)
        if "parameters" not in tags(cell)
        for node in ast.walk(tree(cell))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return [f"parameter {name!r} is read by no cell" for name in parameter_names(notebook) if name not in read]


def overwritten_parameters(notebook: dict) -> list[str]:
    """Parameters that a later cell assigns again: the reader's value is lost."""
    stored = {
        node.id
        for cell in code_cells(notebook)
        if not {"parameters", "injected-parameters"} & set(tags(cell))
        for node in module_level(tree(cell))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del)
    }
    return [f"parameter {name!r} is assigned again" for name in parameter_names(notebook) if name in stored]


def module_level(node: ast.AST):
    """Yield the nodes that run in the notebook's own scope, not those inside functions, classes and comprehensions."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, inner + comprehensions):
            yield child
            yield from module_level(child)


def silent_commands(notebook: dict) -> list[str]:
    """Shell commands and magics: papermill ignores their failure, and nnsight cannot read a trace below a cell magic."""
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
    """Cells tagged raises-exception: papermill fails at the end of the notebook. Show an error with try / except and print."""
    return [
        f"a cell is tagged {tag}" for cell in code_cells(notebook) for tag in tags(cell) if tag == "raises-exception"
    ]


def cells_not_completed(notebook: dict) -> list[str]:
    """Cells that never ran: after sys.exit(0) the rest stays pending, and papermill still reports success."""
    return [f"code cell {number} was not completed ({status})" for number, status in unfinished_cells(notebook)]


def widget_errors(notebook: dict) -> list[str]:
    """Errors in a widget's callback, which are in the widget state and not among the cell's outputs."""
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
    """Paths of the machine that ran the notebook, which mean nothing to a reader."""
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


STATIC = [unread_parameters, overwritten_parameters, silent_commands, expected_exceptions]
EXECUTED = [cells_not_completed, rule_09_no_errors, rule_10_no_stderr, widget_errors, machine_paths]


def static_traps(notebook: dict) -> list[str]:
    return [f"{trap.__name__}: {complaint}" for trap in STATIC for complaint in trap(notebook)]


def executed_traps(notebook: dict) -> list[str]:
    return [f"{trap.__name__}: {complaint}" for trap in EXECUTED for complaint in trap(notebook)]
