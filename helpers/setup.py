from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_folder(name: str) -> Path:
    """The folder runs/<name> for what a run writes (git-ignored); made where it is missing."""
    folder = ROOT / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
