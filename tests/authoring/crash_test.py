"""Kill a sweep with SIGKILL at random moments, go on, and compare: python -m tests.authoring.crash_test --kills 50

Each sweep is started again in the folder that the kill left, until it ends by itself; its table must then equal, to the last digit,
that of a sweep that nobody disturbed. Sweeps follow each other until the number of kills is reached.
"""

import argparse
import os
import random
import signal
import tempfile
import time

import pandas as pd

from helpers.experiments import injected_thought, runner
from tests import tiny_models

WORDS = ["bread", "music", "oceans", "sugar"]


def sweep(model) -> pd.DataFrame:
    """A small table of all conditions, answered greedily in many batches."""
    trials = injected_thought.trials(WORDS, layers=[0, 1], strengths=[2, 8], controls=6)
    return runner.run(model, trials, name="kills", max_new_tokens=6, batch_size=4)


def in_folder(folder: str, model) -> pd.DataFrame:
    os.environ["INTROSPECTION_RUNS"] = folder
    return sweep(model)


def killed(folder: str, model, after: float) -> bool:
    """Start the sweep in a process of its own and kill it after some seconds; False if it had ended before."""
    child = os.fork()
    if child == 0:
        try:
            in_folder(folder, model)
            os._exit(0)
        finally:
            os._exit(1)  # an error, a torn file for example, ends in status 1
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise RuntimeError(
            "the sweep stopped with an error after a kill: run it in this folder to see which: " + folder
        )
    return os.WIFSIGNALED(status)


def trial(kills: int, seed: int) -> str:
    """Kill sweeps that many times; returns what was done. AssertionError where a table differs."""
    model, rng = tiny_models.build("llama"), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        undisturbed = in_folder(folder, model)
        seconds = time.monotonic() - began
    done = sweeps = 0
    while done < kills:
        with tempfile.TemporaryDirectory() as folder:
            while done < kills and killed(folder, model, rng.uniform(0, seconds)):
                done += 1
            pd.testing.assert_frame_equal(in_folder(folder, model), undisturbed)
            sweeps += 1
    return f"{done} kills in {sweeps} sweeps of {len(undisturbed)} trials; every table equals the undisturbed one"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.authoring.crash_test", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    print(trial(given.kills, given.seed))


if __name__ == "__main__":
    main()
