"""Remote runs on NDIF: is there a key, which models run there, and a dress rehearsal of a remote run without the service.

The key stays where nnsight itself looks for it, in the environment variable NDIF_API_KEY; nothing here returns, prints or
raises it.
"""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nnsight
import torch
from huggingface_hub import constants
from nnsight.schema.config import CONFIG
from nnsight.schema.request import RequestModel
from nnsight.tracing.backend import Backend
from nnsight.tracing.tracer import save
from nnsight.tracing.util import push

KEY = "NDIF_API_KEY"
PLACES = ("auto", "ndif", "local")

# what the other process of a rehearsal does: load the model, unpack the block, run it, pack what it saved
SERVER = """
import sys, torch
OPTIONAL = dict.fromkeys(("scipy", "sklearn"))  # transformers would import them: 35 MB that a small machine misses beside the kernel
sys.modules.update(OPTIONAL)
from nnsight import TransformersModel
from nnsight.schema.request import RequestModel
from nnsight.tracing import tracer
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, dtype, threads, request, reply = sys.argv[1:]
torch.set_num_threads(int(threads))
network = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, use_safetensors=True).eval()
model = TransformersModel(network, tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu")
for name in OPTIONAL:
    del sys.modules[name]  # the block itself may use them
with open(request, "rb") as file:
    job = RequestModel.deserialize(file.read(), model._remoteable_persistent_objects(), compress=False)
tracer.inc()
with torch.no_grad():
    job.execute(job.info.code)
scope = job.info.frame.f_locals
torch.save({name: value for name, value in scope.items() if id(value) in tracer._saves()}, reply)
"""


class NoKey(RuntimeError):
    """There is no usable key for NDIF."""


def ndif_key_is_set() -> bool:
    """Whether nnsight will send a key with a remote run; one set in the environment after nnsight's import is handed on.

    nnsight also takes a key from a Colab secret of that name or from its own configuration file. Raises NoKey for a key
    that no request could carry (line breaks, spaces, letters beyond ASCII), without showing it.
    """
    if key := os.environ.get(KEY, "").strip():
        CONFIG.API.APIKEY = key
    key = CONFIG.API.APIKEY or ""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise NoKey(f"the key in {KEY} holds spaces, line breaks or special characters: copy it again, without quotes")
    return bool(key)


def remote_mode(place: str = "auto") -> bool | str:
    """What to pass as `remote=` to a trace: True runs it on NDIF, "local" is nnsight's simulation on this machine.

    place: "ndif", "local", or "auto" (NDIF where there is a key and HF_HUB_OFFLINE is not set). Raises NoKey where NDIF is
    insisted on and there is no key, ValueError for any other place.
    """
    if place not in PLACES:
        raise ValueError(f"unknown place {place!r} to run at; allowed are {', '.join(map(repr, PLACES))}")
    if place == "local" or (place == "auto" and constants.HF_HUB_OFFLINE):
        return "local"
    if ndif_key_is_set():
        return True
    if place == "ndif":
        raise NoKey(
            f"no key for NDIF: ask for one at https://ndif.us, put it into the environment variable {KEY} before the "
            "kernel starts (never into a notebook), or use the place 'local', which needs none"
        )
    return "local"


def running_models() -> list[str]:
    """Hugging Face ids of the models that NDIF runs at this moment. Raises OSError, with the reason, where it cannot say."""
    if constants.HF_HUB_OFFLINE:
        raise OSError("NDIF was not asked, since HF_HUB_OFFLINE is set")
    with contextlib.redirect_stderr(io.StringIO()):  # nnsight's own notice, which would not stop anybody
        found = nnsight.status()
    running = sorted({each["repo_id"] for each in found.deployments.values() if each["state"] == "RUNNING"})
    if not running:
        raise OSError(f"{CONFIG.API.HOST} cannot be reached from here, or runs no model now")
    return running


class FreshInterpreter(Backend):
    """A stricter rehearsal than remote="local": the block runs in another Python process, which has nothing but the model.

    Use: `with model.trace(inputs, backend=FreshInterpreter(model)):`. Only what was saved under a name comes back, as from
    NDIF. For a model in a local folder, on the CPU. Raises ValueError for a model without a folder, RuntimeError with the
    last line of the other process's error where the block fails there.
    """

    def __init__(self, model):
        self.folder = getattr(model._module, "name_or_path", "")
        if not self.folder or not Path(self.folder).is_dir():
            raise ValueError(
                f"a rehearsal needs a model in a local folder, got {self.folder or 'one built in memory'!r}"
            )
        self.dtype = str(model._module.dtype).removeprefix("torch.")

    def __call__(self, tracer) -> None:
        nnsight.ndif.pull_env()  # marks modules of this project, so that their functions travel as source
        environment = {name: value for name, value in os.environ.items() if name not in (KEY, "PYTHONPATH")}
        with tempfile.TemporaryDirectory() as folder:
            request, reply = Path(folder, "request"), Path(folder, "reply")
            request.write_bytes(RequestModel.serialize(tracer, compress=False))
            arguments = [self.folder, self.dtype, str(torch.get_num_threads()), str(request), str(reply)]
            done = subprocess.run(
                [sys.executable, "-I", "-c", SERVER, *arguments],
                capture_output=True,
                text=True,
                env=environment | {"HF_HUB_OFFLINE": "1"},
            )
            if done.returncode:
                raise RuntimeError(f"the block failed in the other process: {done.stderr.strip().splitlines()[-1]}")
            values = torch.load(reply, weights_only=False)  # written by our own process a moment ago
        for value in values.values():
            save(value)
        push(tracer.info.frame, values)
