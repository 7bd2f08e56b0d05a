"""Find the exercises of a notebook: stub with its check, hints, folded solution; and make a module of them to try.

The form of an exercise: a Markdown cell with the heading "Exercise ...", a code cell that ends in `exercises.check_NAME(attempt)`,
a Markdown cell with `<details><summary>Solution</summary>` around a Python fence.
"""

import ast
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from tests.authoring.form_rules import code_cells, tags, tree

CALL = re.compile(r"^(?:\w+ = )?exercises\.(check_\w+)\((\w+)\);?", re.MULTILINE)
FOLDED = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)


@dataclass(frozen=True)
class Found:
    """check: name in helpers.exercises. attempt: the name handed to it. task: Markdown before the stub, from its heading on.
    hints: folded (title, text) before the stub. solution: Python code, "" where none was found. after: Markdown behind."""

    check: str
    attempt: str
    task: str
    stub: str
    hints: tuple[tuple[str, str], ...]
    solution: str
    after: str


def find(notebook: dict) -> list[Found]:
    cells, found = notebook["cells"], []
    for place, cell in enumerate(cells):
        call = CALL.search(cell["source"]) if cell["cell_type"] == "code" else None
        if not call:
            continue
        before, after = neighbouring_text(cells[:place][::-1])[::-1], neighbouring_text(cells[place + 1 :])
        task = re.split(r"(?m)^(?=#+ Exercise)", "\n\n".join(before))[-1]
        # the text behind may go on with other exercises: what is ours ends at the next heading
        behind = re.split(r"(?m)^#+ ", "\n\n".join(after))[0]
        fences = [
            re.findall(r"```python\n(.*?)```", text, re.DOTALL)
            for title, text in FOLDED.findall(behind)
            if "olution" in title
        ]
        solution = fences[0][0] if fences and fences[0] else ""
        found.append(Found(call[1], call[2], task, cell["source"], tuple(FOLDED.findall(task)), solution, behind))
    return found


def neighbouring_text(cells: list[dict]) -> list[str]:
    """Sources of the Markdown cells up to the next code cell."""
    text = []
    for cell in cells:
        if cell["cell_type"] != "markdown":
            break
        text.append(cell["source"])
    return text


def check_calls(notebook: dict) -> int:
    """How often the notebook calls a check, in whatever form."""
    return sum(cell["source"].count("exercises.check_") for cell in code_cells(notebook))


def form_complaints(exercise: Found) -> list[str]:
    """What the exercise's block lacks."""
    wanted = {
        "a heading 'Exercise N: name' of level 3 or below": re.match(r"#{3,} Exercise \d+: \S", exercise.task),
        "a difficulty in words, as '2 of 5'": re.search(r"\b[1-5] of 5\b", exercise.task),
        "the minutes it takes": re.search(r"\b\d+ min", exercise.task),
        "a hint, folded": exercise.hints,
        "hints titled as the reader's question": all(title.strip().endswith("?") for title, _ in exercise.hints),
        "a folded solution with a ```python fence": exercise.solution,
        "an explanation beside the solution's code": len(
            re.sub(r"```.*?```", "", folded_solution(exercise), flags=re.DOTALL).split()
        )
        >= 5,
        "a blank line after each </summary>": not re.search(r"</summary>(?!\n *\n)", exercise.task + exercise.after),
    }
    if "def " in exercise.stub:
        function = next(node for node in ast.walk(ast.parse(exercise.stub)) if isinstance(node, ast.FunctionDef))
        arguments = function.args.args
        wanted |= {
            "a docstring in the stub": ast.get_docstring(function),
            "types on every argument and the result": function.returns and all(each.annotation for each in arguments),
            "`raise NotImplementedError` without a message": "raise NotImplementedError\n" in exercise.stub + "\n",
        }
    return [f"{exercise.check}: the exercise lacks {what}" for what, there in wanted.items() if not there]


def folded_solution(exercise: Found) -> str:
    return next((text for title, text in FOLDED.findall(exercise.after) if "olution" in title), "")


def as_module(notebook: dict, code: str, file: Path):
    """Import, from a file that nnsight can read, `code` below the notebook's imports, parameters and the functions it uses.

    The notebook itself is not run: stubs and solutions may use nothing else.
    """
    code = CALL.sub("", code)
    always, functions = [], {}
    for cell in code_cells(notebook):
        if not {"colab", "setup"} & set(tags(cell)):
            for node in tree(cell).body:
                if isinstance(node, ast.Import | ast.ImportFrom) or "parameters" in tags(cell):
                    always.append(ast.unparse(node))
                elif isinstance(node, ast.FunctionDef) and not CALL.search(cell["source"]):
                    functions[node.name] = ast.unparse(node)
    used = functions_used(code, functions)
    file.write_text("\n\n".join([*always, *used, code]), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions_used(code: str, functions: dict[str, str]) -> list[str]:
    """Sources of the functions that `code` names, and of those that these name, in the notebook's order."""
    used, new = set(), {code}
    while new:
        named = {node.id for text in new for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        added = (named & functions.keys()) - used
        used |= added
        new = {functions[name] for name in added}
    return [source for name, source in functions.items() if name in used]
