"""A judge's reply, read where a verdict is clearly there and nowhere else.

Replies come as bare JSON, in a fence, after a preamble or after reasoning, with other capitals, extra fields, or "true" as
text. All these are read. Where two different verdicts are found, or some field is missing, nothing is guessed. What stands in
a string, in an object that the judge only quotes or gives as an example, or outside of any object is no verdict.
"""

import json
import re
from collections.abc import Iterator

from helpers.grading.reply import split_reply
from helpers.grading.table import VERDICTS

FIELDS = {name.replace("_", ""): name for name in VERDICTS}
WRAPPERS = re.compile(  # also of the call of a tool
    r"(?:(?:final|my|verdicts?|grad(?:es?|ing)|results?|judge?ments?|evaluation|assessment|output|response|labels?|scores?"
    r"|arguments|parameters)[_ -]?)+"
)
AN_EXAMPLE = re.compile(
    r"""(?:\bexample|\bfor instance|\be\.g\.|\bif (?:i|we|one|you)\b|\bwere to\b)[^.!?\n{}]*$|["'“‘]$""", re.IGNORECASE
)
ESCAPE = re.compile(r"""(\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))|\\""")  # or one that JSON lacks, as in it\'s
# what is nearly JSON: comments, a comma too many, single quotes, none; strings in double quotes keep their words
LOOSE = re.compile(
    r"""("(?:[^"\\]|\\.)*+(?:"|\Z))|[ \t](?://|\#[ ])[^\n]*|/\*[^*]*\*/|,(?:\s|(?://|\#[ ])[^\n]*+)*+(?=[}\]])
    |(?<=[{,:\[])\s*'((?:[^'\n\\]|\\.)*+)'(?=\s{0,9}[,:}\]])|(?<=[{,])\s*(\w+)(?=\s{0,9}:)
    |(?<=:)\s{0,9}(true|yes|false|no|none)\b""",
    re.IGNORECASE | re.VERBOSE,
)


class UnreadableReply(Exception):
    """The endpoint answered, but there is no single complete verdict in the reply."""


def message_text(body: str) -> str:
    """The text of the first choice in the body of a chat completion."""
    try:
        choice = json.loads(body)["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, RecursionError, LookupError, TypeError):
        raise UnreadableReply(f"it is no chat completion in JSON: {' '.join(body.split())[:200]!r}") from None
    if isinstance(content, list):  # parts, of which some are text
        parts = [part if isinstance(part, dict) else {"text": part} for part in content]
        texts = [part.get("text") for part in parts if str(part.get("type", "text")).endswith("text")]
        content = "".join(text for text in texts if isinstance(text, str))
    if isinstance(content, dict):
        content = json.dumps(content)
    if not isinstance(content, str) or not content.strip():
        why = choice.get("finish_reason")
        raise UnreadableReply(f"its message holds no text (finish_reason {why!r}): {str(choice)[:200]}")
    return content


def _as_json(loose: re.Match) -> str:
    string, single, key, value = loose.groups()
    if single is not None:
        string = '"' + single.replace(r"\"", '"').replace('"', r"\"") + '"'
    if string or key:
        return ESCAPE.sub(r"\1", string) if string else f'"{key}"'
    return {"true": " true", "yes": " true", "none": " null", "": ""}.get((value or "").lower(), " false")


def _objects(text: str) -> Iterator[tuple[str, list | None]]:
    """The JSON objects of a text as pairs of keys and values (None: damaged), each with the text before it."""
    text, start = re.sub(r"(?s)\{.*", lambda found: LOOSE.sub(_as_json, found.group()), text), 0  # prose stays
    decoder = json.JSONDecoder(object_pairs_hook=lambda pairs: pairs, parse_int=str, strict=False)
    while opening := re.compile(r"\{(?=\s*[\"}])").search(text, start):  # another brace belongs to a sentence
        before, opened = text[start : opening.start()].rstrip(), opening.start()
        try:
            pairs, start = decoder.raw_decode(text, opened)
            yield before, pairs
        except (ValueError, RecursionError) as problem:
            start = opened + (500 if isinstance(problem, RecursionError) else 1)
            yield before, None


def _read_object(pairs: list) -> set[tuple[str, bool | None]]:
    """The fields of a verdict in an object, or in the one that it wraps ({"verdict": {...}}); None is no true or false."""
    found = set()
    for key, value in pairs:
        name = FIELDS.get(re.sub("[_ -]", "", key).lower())
        if name:
            text = str(value).strip(" .!\n").lower() if isinstance(value, bool | str) else ""
            found.add((name, {"true": True, "yes": True, "false": False, "no": False}.get(text)))
        elif isinstance(value, list) and WRAPPERS.fullmatch(key.lower()):
            found |= _read_object([pair for pair in value if isinstance(pair, tuple)])
    return found


def read_verdict(text: str, answer: str = "") -> dict[str, bool]:
    """The five verdicts in a judge's text. Raises UnreadableReply if they are not all there, or contradict each other.

    Objects that the judge only quotes from the graded answer do not count.
    """
    reply = split_reply(text)
    if reply.finished and "{" in reply.answer:
        verdict = reply.answer
    else:  # markers of reasoning inside of the verdict's own words
        verdict = text if text.lstrip(" \n`json").startswith("{") else ""
    found, quoted = [], [_read_object(pairs) for _, pairs in _objects(answer) if pairs]
    for before, pairs in _objects(verdict):
        if pairs is None:
            raise UnreadableReply(f"it holds a damaged object: {text[:200]!r}")
        fields = set() if AN_EXAMPLE.search(before) else _read_object(pairs)
        found += [fields] if fields and fields not in quoted else []
    together, largest = set().union(*found), dict(max(found, key=len, default=()))
    if len(dict(together)) != len(together):
        raise UnreadableReply(f"it holds contradicting verdicts: {text[:200]!r}")
    missing = [name for name in VERDICTS if largest.get(name) is None]
    if missing:
        raise UnreadableReply(f"it lacks true or false for {', '.join(missing)}: {text[:200]!r}")
    return largest
