"""Arguments that are numbers or tensors: what is meant in its plain form, or one sentence with the value and what is allowed."""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real

import torch

LARGEST_SEED = 2**63 - 1  # of torch's generators
MISSING_ANSWERS = (  # what to do about them
    "leave out trials that were not run; an answer that is empty or 'None' survives a CSV file if you read it with "
    'keep_default_na=False, and with na_values={"layer": [""], ...} for the columns of numbers and grades'
)


def is_number(value) -> bool:
    """True for whole and other numbers, numpy's too; not for True, text, arrays."""
    return isinstance(value, Real) and not isinstance(value, bool)


def whole_number(name: str, value, low: float, high: float = math.inf) -> int:
    """The value as an int, numpy's too. ValueError for what is no whole number in the range: 4.5, True, "4", None."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        top = "up" if high == math.inf else f"to {high}"
        raise ValueError(f"{name} must be a whole number from {low} {top}, got {value!r:.80}")
    return int(value)


def finite_number(name: str, value) -> float:
    """The value as a float, numpy's too (and 0.0 for -0.0). ValueError for what is none: True, "4", None, NaN, infinity."""
    try:
        number = float(value) if is_number(value) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {value!r:.80}")
    return number + 0.0


def layer_number(name: str, value) -> int:
    """The layer as an int, also of 4.0, which a table may hold. ValueError for what is no whole number from 0 up."""
    return whole_number(name, int(value) if isinstance(value, float) and value.is_integer() else value, 0)


def without_tensors(values):
    """A tensor, or the tensors in a list, as plain numbers: two tensors of one number are not the same label to Python."""
    if isinstance(values, torch.Tensor):
        return values.tolist()
    if isinstance(values, list | tuple):
        return [each.tolist() if isinstance(each, torch.Tensor) else each for each in values]
    return values


def as_list(name: str, values) -> list:
    """The values of a list, a table's column or the like. ValueError for what is single, or none, or has no order."""
    if (
        isinstance(values, str | bytes | Mapping | set | frozenset)
        or not isinstance(values, Iterable)
        or getattr(values, "ndim", 1) != 1  # a whole table, a single number as an array
        or not (values := without_tensors(list(values)))
    ):
        raise ValueError(f"{name} must be a list of at least one value, got {values!r:.80}")
    return values


def as_texts(name: str, texts) -> list[str]:
    """The texts as a list. ValueError for a single one, for none, and for anything among them that is no text."""
    texts = as_list(name, texts)
    if wrong := [text for text in texts if not isinstance(text, str) or not text.strip()]:
        raise ValueError(f"{name} must be texts that are not empty, got {wrong[0]!r:.80}")
    return texts


def check_different(name: str, values: list) -> list:
    """The values. ValueError where one of them is given twice: it would count as two."""
    if len(set(values)) < len(values):
        raise ValueError(f"{name} must differ, got {values!r:.80}")
    return values


def check_seed(seed) -> int:
    """The seed as an int. ValueError for one that torch's generators do not take."""
    return whole_number("seed", seed, 0, LARGEST_SEED)


def check_span(span, length: int) -> tuple[int, int]:
    """A token range (start, end) of a prompt of that many tokens, its end None replaced by `length`. ValueError otherwise."""
    if not isinstance(span, tuple | list) or len(span) != 2:
        raise ValueError(f"a span must be two token positions, the second None for on to the end, got {span!r:.80}")
    start = whole_number("the start of a span", span[0], 0)
    end = length if span[1] is None else whole_number("the end of a span", span[1], 0)
    if not start < end <= length:
        raise ValueError(f"span {span} does not lie in the prompt's {length} tokens")
    return start, end


def check_tensor(name: str, tensor, shape: tuple[int, ...] | None = None) -> None:
    """Raise ValueError for what is no dense tensor of finite floating-point numbers, or has another shape."""
    if not isinstance(tensor, torch.Tensor) or not tensor.numel():
        size = f" of shape {tuple(tensor.shape)}" if isinstance(tensor, torch.Tensor) else ""
        raise ValueError(f"{name} must be a torch tensor that holds numbers, got {type(tensor).__name__}{size}")
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
        raise ValueError(
            f"{name} must hold floating-point numbers, one for every place, got {tensor.dtype}, {tensor.layout}, device {tensor.device}"
        )
    if shape is not None and tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; this model needs {shape}")
    if not torch.isfinite(tensor.float()).all():
        raise ValueError(f"{name} holds NaN or infinite values")
