"""A second device without a second device: tensors of the model refuse to meet plain CPU tensors in our own code.

On a GPU, `stream + vector` stops where the vector was left on the CPU. Here the same happens on a machine without a GPU: what
comes out of the model is an `OtherDevice` tensor, and an operation that a line of ours (a notebook cell, helpers/) makes on
one of those together with a plain tensor raises. Libraries may mix: their inputs are moved by transformers and nnsight.

`python -m tests.other_device 03` runs notebook 03 like this; without a number, all notebooks.
"""

import argparse
import sys
from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from torch.overrides import TorchFunctionMode

from helpers import models
from helpers.paths import ROOT
from helpers.run_notebook import QUIET_KERNEL, find_notebook
from tests.authoring import generated_cells

NAME = torch.device("xpu")  # what the device calls itself: any name that no code of ours treats in a special way
FOREIGN = ("site-packages", "/lib/python", "<frozen", "other_device.py")  # files whose operations may mix
GETTERS = {torch.Tensor.device.__get__: NAME, torch.Tensor.is_cpu.__get__: False}


class OtherDevice(torch.Tensor):
    """A tensor that is elsewhere. Its numbers are on the CPU."""


def tensors_in(values) -> list[torch.Tensor]:
    """All tensors among arguments, lists and dicts of them."""
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return [each for value in values for each in tensors_in(value)] if isinstance(values, list | tuple) else []


def is_ours() -> bool:
    """Whether the operation under way was written by us: in a notebook's cell or in helpers/."""
    frame = sys._getframe(2)
    while frame is not None and "other_device.py" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None and not any(part in frame.f_code.co_filename for part in FOREIGN)


class SecondDevice(TorchFunctionMode):
    """While active, tensors of `OtherDevice` have a device of their own (see the module's docstring)."""

    def __torch_function__(self, function, _types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        given = tensors_in([*args, *kwargs.values()])
        elsewhere = any(isinstance(each, OtherDevice) for each in given)
        if function in GETTERS and isinstance(args[0], OtherDevice):
            return GETTERS[function]
        wanted = [each for each in (*args, *kwargs.values()) if isinstance(each, torch.device)]
        target = wanted[0] if wanted else None
        if function is torch.Tensor.to and len(given) > 1:  # x.to(other)
            target = NAME if isinstance(given[1], OtherDevice) else torch.device("cpu")
        args = tuple(torch.device("cpu") if each == NAME else each for each in args)
        kwargs = {key: torch.device("cpu") if value == NAME else value for key, value in kwargs.items()}
        mixed = [each for each in given if not isinstance(each, OtherDevice) and each.ndim]
        moves = (
            torch.Tensor.to,
            torch.Tensor.cpu,
            torch.Tensor.copy_,
            torch.Tensor.__setitem__,
            torch.Tensor.__getitem__,
        )
        if elsewhere and mixed and function not in moves and is_ours():
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found one of the model and one on the CPU in "
                f"{getattr(function, '__name__', function)}"
            )
        if function is torch.Tensor.__deepcopy__ and elsewhere:
            # deepcopy remembers what it copied by id, and the id of a plain view made here would soon be another tensor's
            return args[1].setdefault(id(args[0]), _elsewhere(_plain(args[0]).clone()))
        if function in (torch.Tensor.cpu, torch.Tensor.tolist, torch.Tensor.item, torch.Tensor.numpy):
            plain = args[0].as_subclass(torch.Tensor)
            return function(plain, *args[1:], **kwargs) if function is not torch.Tensor.cpu else plain.clone()
        with torch._C.DisableTorchFunctionSubclass():
            result = function(*(_plain(each) for each in args), **{key: _plain(value) for key, value in kwargs.items()})
        if target is not None:
            return _elsewhere(result) if target == NAME else result
        return _elsewhere(result) if elsewhere else result


def _plain(value):
    return value.as_subclass(torch.Tensor) if isinstance(value, OtherDevice) and not value.requires_grad else value


def _elsewhere(value):
    if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
        return value.as_subclass(OtherDevice)
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_elsewhere(each) for each in value)
    return [_elsewhere(each) for each in value] if type(value) is list else value


def activate() -> None:
    """From now on, every model that `models.load` returns is on the second device."""
    SecondDevice().__enter__()
    load = models.load

    def load_elsewhere(*given, **options):
        model = load(*given, **options)
        for module in model._module.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    moved = torch.nn.Parameter(parameter.detach().as_subclass(OtherDevice), requires_grad=False)
                    module._parameters[name] = moved
            for name, buffer in list(module._buffers.items()):
                if buffer is not None:
                    module._buffers[name] = buffer.as_subclass(OtherDevice)
        return model

    models.load = models.loading.load = load_elsewhere


def run_notebook(file: Path) -> str:
    """Execute a notebook with its models on the second device; returns what went wrong, "" where nothing did."""
    notebook = nbformat.read(file, as_version=4)
    code = [i for i, cell in enumerate(notebook["cells"]) if "setup" in cell["metadata"].get("tags", [])]
    cell = nbformat.v4.new_code_cell("from tests import other_device\n\nother_device.activate()")
    notebook["cells"].insert(code[0] + 1, cell)
    where = {"metadata": {"path": str(ROOT / "notebooks")}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where, extra_arguments=QUIET_KERNEL)
    try:
        client.execute()
    except CellExecutionError as error:
        return f"{error.ename}: {error.evalue}\n{str(error)[-1500:]}"
    return ""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.other_device", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", help="names or numbers (default: all notebooks)")
    failed = False
    for file in [find_notebook(name) for name in parser.parse_args().notebooks] or generated_cells.course():
        problem = run_notebook(file)
        failed |= bool(problem)
        print(f"{file.stem}: {problem or 'runs on a second device'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
