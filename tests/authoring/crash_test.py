"""Kill sweeps with SIGKILL at random moments, resume them, and compare: python -m tests.authoring.crash_test --kills 50

After each kill the sweep starts again in the same folder, until it ends by itself. Its table must then equal the table of an
undisturbed sweep to the last digit. New sweeps start until the number of kills is reached.
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
    """Run a small table of all conditions, greedily and in many batches."""
    trials = injected_thought.trials(WORDS, layers=[0, 1], strengths=[2, 8], controls=6)
    return runner.run(model, trials, name="kills", max_new_tokens=6, batch_size=4)


def in_folder(folder: str, model) -> pd.DataFrame:
    os.environ["INTROSPECTION_RUNS"] = folder
    return sweep(model)


def killed(folder: str, model, after: float) -> bool:
    """Run the sweep in its own process and kill that after some seconds. Returns False if it had ended before."""
    child = os.fork()
    if child == 0:
        try:
            in_folder(folder, model)
            os._exit(0)
        finally:
            os._exit(1)  # after an error, for example a torn file
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise RuntimeError(
            f"the sweep stopped with an error after a kill; run it in this folder to see the error: {folder}"
        )
    return os.WIFSIGNALED(status)


def trial(kills: int, seed: int) -> str:
    """Kill sweeps that many times and return a summary. AssertionError if a table differs."""
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
            # logits are kept with four decimals, and batches of another make-up may round the last one differently
            pd.testing.assert_frame_equal(in_folder(folder, model), undisturbed, rtol=0, atol=5e-4)
            sweeps += 1
    return f"{done} kills in {sweeps} sweeps of {len(undisturbed)} trials; every table equals the undisturbed one"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.authoring.crash_test", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    given = parser.parse_args()
    print(trial(given.kills, given.seed))


if __name__ == "__main__":
    main()
