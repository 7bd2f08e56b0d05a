"""Where things lie, and the one call with which every notebook starts."""

import os
import platform
import random
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_folder(name: str) -> Path:
    """The folder runs/<name>, made if missing, in which a notebook keeps its tables.

    The environment variable INTROSPECTION_RUNS moves all of runs/ elsewhere: to a larger disk, or away from a test's way.
    Raises ValueError for a name that would leave runs/.
    """
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"run name {name!r} is not a plain name such as '04_detect_injected_thoughts'")
    folder = Path(os.environ.get("INTROSPECTION_RUNS", ROOT / "runs")) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def start(seed: int = 0, threads: int = 1) -> None:
    """Prepare a notebook: seed everything, set the figure style, choose threads, print versions, device and seed.

    seed: for Python's, NumPy's and PyTorch's generators. threads: CPU threads of PyTorch; the shipped organisms are so
    small that one thread beats several, a model of a billion parameters on a CPU wants all cores.
    """
    # imported here so that `from helpers.setup import ROOT` stays light
    import nnsight
    import numpy as np
    import torch
    import transformers
    from huggingface_hub.utils import disable_progress_bars

    from helpers import plots
    from helpers.injection import ENDED_EARLY

    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from NumPy's old global generator
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # bars of loading and downloading would fill the page (and standard error) without teaching anything
    disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    # nnsight's note that every reply has ended before max_new_tokens: the normal case, in every block that generates
    warnings.filterwarnings("ignore", message=ENDED_EARLY)
    plots.style()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {threads} thread(s)"
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"nnsight {nnsight.__version__} | {device} | seed {seed}"
    )
