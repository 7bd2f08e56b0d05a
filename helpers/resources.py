"""Before a model is loaded: how much memory it takes, and roughly how long a sweep with it will run.

Estimates: weights from the number of parameters and the dtype; a fifth more for what the computation holds; time from reading
the prompts (arithmetic) and from writing the answers (every weight is read once per token and batch). The time is good to a
factor of three for the batch size that is given. `table` counts 32 rows, and a large GPU holds up to 1,024 of a 7B model, which
take a seventeenth of the time (measured on an H100, tests/bench/RESULTS.md).
"""

import pandas as pd

from helpers.checks import finite_number, whole_number
from helpers.models import locate
from helpers.models.architecture import check_architecture
from helpers.models.checkpoint import read_config
from helpers.models.loading import reading

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "8bit": 1.0, "4bit": 0.5625}  # a parameter, scales included
# device -> (memory in GB, 10^12 arithmetic steps per second in practice, memory bandwidth in GB per second in practice). CPU and
# H100 are fitted to what tests/bench measured; T4 and A100 are the H100's, scaled by the data sheets
DEVICES = {
    "2 CPU cores": (8, 0.05, 10),
    "T4": (15, 26, 190),
    "A100 80 GB": (80, 126, 1220),
    "H100 80 GB": (80, 400, 2000),
}
STEP = 0.02  # seconds that a token of a batch takes whatever the model, for Python's part
COMMON = {"0.5B": 0.5e9, "1.5B": 1.5e9, "8B": 8e9, "14B": 14e9, "32B": 32e9, "70B": 70e9}


def count_parameters(name: str) -> int:
    """Parameters of a model, from its configuration alone: no weights are read. What `load` refuses by it is refused."""
    path = locate(name)
    with reading(name, path) as source:
        return check_architecture(read_config(path, source))


def weights(parameters: float, dtype: str = "bfloat16") -> float:
    """GB of the weights alone. ValueError for an unknown dtype.

    In 8 and 4 bits the embeddings and the output layer keep 16: about 1 of 8 billion parameters, and as the cube root in other
    sizes, which suits Llama 3.1 and Qwen 2.5. It is too much for small models, in which the two are one matrix.
    """
    if dtype not in BYTES:
        raise ValueError(f"unknown dtype {dtype!r}; allowed are {', '.join(BYTES)}")
    if not finite_number("the number of parameters", parameters) > 0:
        raise ValueError(f"the number of parameters must be above 0, got {parameters!r}")
    kept = min(parameters, 1.05e9 * (parameters / 8e9) ** (1 / 3)) if BYTES[dtype] < 2 else 0
    return (2 * kept + (parameters - kept) * BYTES[dtype]) / 1e9


def memory(parameters: float, dtype: str = "bfloat16") -> float:
    """GB to load the model and run batches of a moderate size. ValueError for an unknown dtype."""
    return 1.2 * weights(parameters, dtype) + 0.5  # 0.5: the libraries themselves


def minutes(
    parameters: float, trials: int, dtype: str = "bfloat16", device: str = "T4", read=60, written=60, batch_size=32
) -> float:
    """Minutes for a sweep.

    Args:
        parameters: of the model.
        trials: how many.
        dtype: a key of BYTES.
        device: a key of DEVICES; ValueError for an unknown one.
        read: prompt tokens per trial, without the shared prefix.
        written: tokens per answer.
        batch_size: trials per batch.
    """
    if device not in DEVICES:
        raise ValueError(f"unknown device {device!r}; allowed are {', '.join(DEVICES)}")
    gigabytes = weights(parameters, dtype)
    trials, batch_size = whole_number("trials", trials, 0), whole_number("batch_size", batch_size, 1)
    if min(finite_number("read", read), finite_number("written", written)) < 0:
        raise ValueError(f"tokens read and written must be at least 0, got {read!r} and {written!r}")
    _, rate, bandwidth = DEVICES[device]
    arithmetic = 2 * parameters * trials * (read + written) / (rate * 1e12)
    reading_weights = trials / batch_size * written * gigabytes / bandwidth
    return (arithmetic + reading_weights + trials / batch_size * written * STEP) / 60


def table(trials: int, written: int = 60, sizes: dict[str, float] = COMMON) -> pd.DataFrame:
    """One row per size: GB in bfloat16 and 4 bits, and the time of so many trials, 32 at once, where bfloat16 fits."""
    rows = []
    for name, parameters in sizes.items():
        row = {"model": name}
        row |= {f"GB {dtype}": round(memory(parameters, dtype), 1) for dtype in ("bfloat16", "4bit")}
        for device, (room, *_) in DEVICES.items():
            dtypes = ("bfloat16",) if "CPU" in device else ("bfloat16", "4bit")
            fits = next((dtype for dtype in dtypes if memory(parameters, dtype) <= room), None)
            row[device] = "unknown (4 bits)" if fits else "too big"  # unpacking 4 bits at each use takes time
            if fits == "bfloat16":
                row[device] = format_duration(minutes(parameters, trials, fits, device, written=written))
        rows.append(row)
    return pd.DataFrame(rows)


def format_duration(number_of_minutes: float) -> str:
    """A time in words of its own size: 'under a minute', '12 min', '3 h', '5 days'."""
    if number_of_minutes < 1:
        return "under a minute"
    if number_of_minutes < 90:
        return f"{number_of_minutes:.0f} min"
    hours = number_of_minutes / 60
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
