"""A judge's reply, read where a verdict is clearly there and nowhere else.

Replies come as bare JSON, in a fence, after a preamble or after reasoning, with other capitals, extra fields, or "true" as
text. All these are read. Where two different verdicts are found, or some field is missing, nothing is guessed.
"""

import json
import re

from helpers.grading.reply import split_reply
from helpers.grading.table import VERDICTS

FIELD = re.compile(
    r"""["']?\b(affirmative|identified(?:[_ -]?before[_ -]?named)?|coherent|refusal)\b["']?\s{0,9}:\s{0,9}"""
    r"""["']?(true|false|yes|no)\b["']?\s{0,9}(?=[,}\]"'\n])""",
    re.IGNORECASE,
)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
LONGEST_KEY = 25  # "identified_before_named" with its quotes; longer strings are prose


class UnreadableReply(Exception):
    """The endpoint answered, but there is no single complete verdict in the reply."""


def message_text(body: str) -> str:
    """The text of the first choice in the body of a chat completion."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, RecursionError):
        raise UnreadableReply(f"it is no JSON: {' '.join(body.split())[:100]!r}") from None
    except (KeyError, IndexError, TypeError):
        raise UnreadableReply(f"it is no chat completion: {' '.join(body.split())[:100]!r}") from None
    if isinstance(content, list):  # parts, of which some are text
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        content = "".join(part for part in parts if isinstance(part, str))
    if isinstance(content, dict):
        content = json.dumps(content)
    if not isinstance(content, str) or not content.strip():
        raise UnreadableReply(f"its message holds no text but {str(content)[:100]!r}")
    return content


def read_verdict(text: str, answer: str = "") -> dict[str, bool]:
    """The five verdicts in a judge's text. Raises UnreadableReply if they are not all there, or contradict each other.

    Objects that the judge only quotes from the graded answer do not count.
    """
    reply = split_reply(text)
    if reply.finished and "{" in reply.answer:
        verdict = reply.answer
    else:  # markers of reasoning inside of the verdict's own words
        verdict = text if text.lstrip(" \n`json").startswith("{") else ""
    for quoted in set(re.findall(r"\{[^{}]*\}", answer)):
        verdict = verdict.replace(quoted, " ")
    verdict = verdict[max(verdict.find("{"), 0) : verdict.rfind("}") + 1]
    verdict = STRING.sub(lambda string: string.group() if len(string.group()) <= LONGEST_KEY else '""', verdict)
    found = {
        (re.sub("[_ -]", "", name).lower(), value.lower() in ("true", "yes")) for name, value in FIELD.findall(verdict)
    }
    verdicts = {name: value for name in VERDICTS for known, value in found if known == name.replace("_", "")}
    if len(found) != len(verdicts):
        raise UnreadableReply(f"it holds contradicting verdicts: {text[:200]!r}")
    missing = [name for name in VERDICTS if name not in verdicts]
    if missing:
        raise UnreadableReply(f"it lacks true or false for {', '.join(missing)}: {text[:200]!r}")
    return verdicts
