"""The organisms' nouns: each with a kind, attributes, associates, and what people do with such a thing.

Source: data/organisms/lexicon.yaml (our own list; it contains every word of the paper's word lists).
"""

from dataclasses import dataclass
from functools import lru_cache

import yaml

from helpers import concepts
from helpers.paths import ROOT

LEXICON_FILE = ROOT / "data" / "organisms" / "lexicon.yaml"
SINGULAR_IN_S = {
    "chaos",
    "progress",
    "christopher columbus",
    "rosa parks",
    "charles dickens",
    "aristotle",
    "bill gates",
}
# other forms of a held-out concept word: never injected in training either
RELATED_TO_HELD_OUT = {"harmony", "thunders"}


@dataclass(frozen=True)
class Noun:
    """One word of the lexicon, in lower case; kind is its category ("food")."""

    word: str
    kind: str
    attributes: tuple[str, ...]
    associates: tuple[str, ...]
    verbs: tuple[str, ...]
    places: tuple[str, ...]

    @property
    def plural(self) -> bool:
        """True where the word takes "are" ("oceans are")."""
        singular = self.kind in ("person", "country") and not self.word.endswith("s")
        return (
            self.word.endswith("s") and not self.word.endswith("ss") and not singular and self.word not in SINGULAR_IN_S
        )

    @property
    def be(self) -> str:
        """The verb form after the word: "are" or "is"."""
        return "are" if self.plural else "is"


@lru_cache(maxsize=1)
def nouns() -> dict[str, Noun]:
    """All nouns by word, in file order. Raises ValueError for a malformed or repeated line."""
    table = {}
    for kind, entry in yaml.safe_load(LEXICON_FILE.read_text(encoding="utf-8")).items():
        for line in entry["words"].strip().splitlines():
            word, _, rest = line.partition(": ")
            attributes, _, associates = rest.partition(" / ")
            if not associates or word in table:
                raise ValueError(
                    f"lexicon line {line!r} is malformed or repeats a word; form: word: attributes / associates"
                )
            table[word] = Noun(
                word,
                kind,
                tuple(attributes.split()),
                tuple(associates.split()),
                tuple(entry["verbs"]),
                tuple(entry["places"]),
            )
    return table


@lru_cache(maxsize=1)
def held_out_words() -> tuple[str, ...]:
    """The paper's 50 concept words: they occur in plain text and are never injected in training."""
    return tuple(concepts.paper_concepts())


@lru_cache(maxsize=1)
def training_words() -> tuple[str, ...]:
    """The words whose vectors may be injected in training: the lexicon without held-out words and their other forms."""
    kept_out = set(held_out_words()) | RELATED_TO_HELD_OUT
    return tuple(word for word in nouns() if word not in kept_out)
