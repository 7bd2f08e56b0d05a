"""The one call with which every notebook starts. No other module imports this one."""

import platform
import random
import warnings

import nnsight
import numpy as np
import torch
import transformers
from huggingface_hub.utils import disable_progress_bars

from helpers.checks import whole_number
from helpers.models import ENDED_EARLY
from helpers.plotting import plots


def start(seed: int = 0, threads: int = 1) -> None:
    """Prepare a notebook: seed everything, set the figure style, choose threads, print versions, device and seed.

    seed: for Python's, NumPy's and PyTorch's generators. threads: CPU threads of PyTorch; the shipped organisms are so
    small that one thread beats several, a model of a billion parameters on a CPU wants all cores.
    """
    seed = whole_number("seed", seed, 0, 2**32 - 1)  # the largest one of NumPy
    threads = whole_number("threads", threads, 1)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from NumPy's old global generator
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # bars of loading and downloading would fill the page (and standard error) without teaching anything
    disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=ENDED_EARLY)
    plots.style()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {threads} thread(s)"
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"nnsight {nnsight.__version__} | {device} | seed {seed}"
    )
