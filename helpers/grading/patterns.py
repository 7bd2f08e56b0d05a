"""The grader's patterns, read from a commented file that anyone may edit: data/grading/patterns.yaml."""

import re
from functools import lru_cache
from pathlib import Path

import yaml

from helpers.paths import ROOT

PATTERN_FILE = ROOT / "data" / "grading" / "patterns.yaml"


def expand(entry: dict, vocabulary: dict[str, list[str]]) -> str:
    """The regular expression of one entry: its words as alternatives, <name> replaced by the vocabulary's alternatives."""
    text = entry["pattern"] if "pattern" in entry else rf"\b(?:{'|'.join(entry['words'])})\b"
    for name, alternatives in vocabulary.items():
        text = text.replace(f"<{name}>", f"(?:{'|'.join(alternatives)})")
    return text


@lru_cache
def read_patterns(file: Path = PATTERN_FILE) -> dict[str, list[tuple[str, dict]]]:
    """For each group of the file, its entries with their regular expressions."""
    groups = yaml.safe_load(file.read_text(encoding="utf-8"))
    vocabulary = groups.pop("vocabulary", {})
    return {name: [(expand(entry, vocabulary), entry) for entry in entries] for name, entries in groups.items()}


@lru_cache
def pattern(group: str, file: Path = PATTERN_FILE, flags: int = 0) -> re.Pattern:
    """One compiled pattern for a group: any of its entries. KeyError for a group that the file lacks."""
    return re.compile("|".join(f"(?:{text})" for text, _ in read_patterns(file)[group]), flags)
