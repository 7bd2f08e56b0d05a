"""Where things are: the collection's root folder, and the folder in which a run keeps its tables."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def from_home(path: str | Path) -> Path:
    """The path, ~ at its beginning being the home folder; the home of an unknown user stays as it is written."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for an unknown user


def folder_in_environment(variable: str, otherwise: str) -> Path:
    """The folder that an environment variable names, or `otherwise`; a relative one is meant from the collection's root, whoever
    asks. Quotes and $HOME, which %env and lists of variables leave as they are written, mean what they mean in a shell."""
    named = os.path.expandvars(os.environ.get(variable, "").strip().strip("\"'"))
    return ROOT / from_home(named or otherwise)


def run_folder(name: str) -> Path:
    """The folder runs/<name>, made if missing, in which a notebook keeps its tables.

    The environment variable INTROSPECTION_RUNS moves all of runs/ elsewhere: to a larger disk, or away from a test's way. Raises
    ValueError for a name that would leave runs/, OSError with advice where the folder cannot be made.
    """
    plain = isinstance(name, str) and name.isprintable() and name == name.strip() and Path(name).parts
    if not plain or Path(name).is_absolute() or ".." in plain or name[0] == "~":
        raise ValueError(f"run name {name!r} is not a plain name such as '04_detect_injected_thoughts'")
    folder = folder_in_environment("INTROSPECTION_RUNS", "runs") / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        advice = "INTROSPECTION_RUNS=/another/folder keeps runs elsewhere"
        why = "a file, or a link to nowhere, is in its place" if isinstance(error, FileExistsError) else error.strerror
        raise OSError(error.errno, f"cannot make the folder {folder} ({why}); {advice}") from error
    return folder
