"""The pattern file: every entry says why it is there, and its examples hold."""

import re

import pytest

from helpers.grading.patterns import read_patterns

ENTRIES = [(group, text, entry) for group, entries in read_patterns().items() for text, entry in entries]
NAMES = [f"{group}: {entry['why']}" for group, _, entry in ENTRIES]


@pytest.mark.parametrize(("group", "text", "entry"), ENTRIES, ids=NAMES)
def test_every_entry_has_a_reason_and_examples_that_hold(group, text, entry):
    assert entry.keys() <= {"why", "pattern", "words", "matches", "not"} and entry["why"].strip() and entry["matches"]
    assert not re.search(r"(?<!P)<[a-z]+>", text), f"{group} uses a name that the vocabulary lacks"
    for example in entry["matches"]:
        assert re.search(text, example), f"{group} should find {example!r}"
    for example in entry.get("not", []):
        assert not re.search(text, example), f"{group} should not find {example!r}"
