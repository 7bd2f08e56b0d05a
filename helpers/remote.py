"""Remote runs on NDIF: is there a key, and which models run there.

The key stays where nnsight itself looks for it, in the environment variable NDIF_API_KEY; nothing here returns, prints or
raises it.
"""

import contextlib
import io
import os

import nnsight
from huggingface_hub import constants
from nnsight.schema.config import CONFIG

KEY = "NDIF_API_KEY"
PLACES = ("auto", "ndif", "local")


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
    if not (key.isascii() and key.isprintable()) or set(key) & set(" \"'"):
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
    try:
        with contextlib.redirect_stderr(io.StringIO()) as notice:  # nnsight's own, where nothing answers
            entries = list((nnsight.status().deployments or {}).values())
        running = sorted(
            {each["repo_id"] for each in entries if each.get("state") == "RUNNING" and each.get("repo_id")}
        )
    except (AttributeError, TypeError):
        raise OSError(f"{CONFIG.API.HOST} answers in another form than this version of nnsight reads") from None
    if notice.getvalue():
        raise OSError(f"{CONFIG.API.HOST} cannot be reached: check the network (a proxy?), or try again later")
    if not running:
        raise OSError(f"{CONFIG.API.HOST} answers, but no model runs there now: look again later")
    return running
