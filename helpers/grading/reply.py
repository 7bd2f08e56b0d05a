"""What of a reply is the answer: not the reasoning before it, not the template's tokens, not the next turn.

The functions take the raw text of a reply, special tokens included (decode with skip_special_tokens=False). The markers
of many models, with examples, are in data/grading/reply_markers.yaml.
"""

import html
import itertools
import re
import unicodedata
from dataclasses import dataclass

from helpers.checks import MISSING_ANSWERS
from helpers.grading.patterns import pattern
from helpers.paths import ROOT

MARKER_FILE = ROOT / "data" / "grading" / "reply_markers.yaml"
MARKER = re.compile(
    "|".join(f"(?P<{kind}>{pattern(kind, MARKER_FILE).pattern})" for kind in ("opens", "closes", "answers")),
    re.IGNORECASE,
)
END, TEMPLATE_TOKEN, USER_TURN = (
    pattern(kind, MARKER_FILE, re.IGNORECASE) for kind in ("ends", "template_tokens", "user_turn")
)
MOST_MARKS = 8  # accents on one letter: to sort a long run of them, as NFKC does, takes quadratic time
# What models write for apostrophes, quotes and hyphens:
SIGNS = str.maketrans("’‘‛´`ʹʻʼ′ꞌ“”„‐‑−", "''''''''''\"\"\"---")
# _Yes._ and **Yes**, but not snake_case, a * b or "is ____.":
EMPHASIS = re.compile(r"(?<![\w*])[*_]{1,4}(?=[^\s*_.,;:!?])|(?<=[^\s*_])[*_]{1,4}(?![\w*])")
SPELLED = re.compile(  # B-R-E-A-D, b r e a d: three to fifteen single letters with one sign between all of them
    r"(?<![^\W\d_])(?<!\b[^\W\d_][ .,_*·-])[^\W\d_]( ?[.,_*·-] ?| )(?:[^\W\d_]\1){1,13}[^\W\d_](?![^\W\d_]|\1[^\W\d_]\b)"
)
BEGINS_YES_OR_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
MOST_CHARACTERS = 4000  # of an answer are graded: some 1,000 tokens, where replies have a hundred


@dataclass(frozen=True)
class Reply:
    """The parts of a reply.

    Attributes:
        answer: what is graded; empty if the reply never came to it.
        reasoning: what the model wrote for itself.
        finished: False where reasoning was begun and no answer followed. Such a reply is neither a yes nor a no.
    """

    answer: str
    reasoning: str
    finished: bool


def split_reply(text: str) -> Reply:
    """Split a reply into reasoning and answer, by the markers of MARKER_FILE.

    A closing marker without an opening one ends reasoning that began in the prompt. A marker of the answer makes all before it
    reasoning. Text without any marker is all answer. What follows the beginning of a user's turn is left out.
    ValueError for anything but text.
    """
    if not isinstance(text, str):
        raise ValueError(f"a reply must be text, got {text!r}; {MISSING_ANSWERS}")
    user = USER_TURN.search(text)
    text = text[: user.start()] if user else text
    answer, reasoning, inside, marked, start = [], [], False, False, 0
    for marker in MARKER.finditer(text):
        (reasoning if inside else answer).append(text[start : marker.start()])
        if marker.lastgroup == "answers" or (marker.lastgroup == "closes" and not inside):
            reasoning += answer
            answer = []
        inside, marked, start = marker.lastgroup == "opens", True, marker.end()
    (reasoning if inside else answer).append(text[start:])
    spoken = _without_template_tokens("".join(answer))
    finished = not marked or (not inside and bool(spoken.strip()))
    return Reply(spoken.strip() if finished else "", "".join(reasoning).strip(), finished)


def _without_template_tokens(text: str) -> str:
    """The text without special tokens, up to the first one that ends a turn and follows a word."""
    start = 0
    for end in END.finditer(text):
        if TEMPLATE_TOKEN.sub("", text[start : end.start()]).strip():
            text = text[: end.start()]
            break
        start = end.end()
    return TEMPLATE_TOKEN.sub("", text[start:])


def begins_yes_or_no(answer: str) -> bool:
    """Whether the first word is Yes or No, the two words that the margin compares; "Nothing" and "Now" are others."""
    return bool(BEGINS_YES_OR_NO.match(plain(answer)))


def left_open(prompt: str) -> str:
    """The marker of reasoning with which a prompt ends ("<think>"), or "": put before the reply, `split_reply` sees it."""
    *_, last = [None, *MARKER.finditer(prompt)]
    return last.group() if last and last.lastgroup == "opens" and not prompt[last.end() :].strip() else ""


def plain(text: str) -> str:
    """Text as a reader sees it: ordinary letters and quotes (NFKC), "B-R-E-A-D" as "BREAD".

    HTML entities, invisible signs and the signs of emphasis are gone.
    """
    runs = itertools.groupby(html.unescape(text).translate(SIGNS), _is_mark)
    text = "".join(sign for mark, run in runs for sign in (itertools.islice(run, MOST_MARKS) if mark else run))
    text = unicodedata.normalize("NFKC", text)
    text = "".join(sign for sign in text if unicodedata.category(sign) not in ("Cc", "Cf") or sign.isspace())
    return SPELLED.sub(_join_letters, EMPHASIS.sub("", text))


def _is_mark(sign: str) -> bool:
    """Whether a sign joins the letter before it, as accents do."""
    return not sign.isascii() and unicodedata.combining(unicodedata.normalize("NFKD", sign)[0]) > 0


def _join_letters(spelled: re.Match) -> str:
    letters = re.sub(r"[\W_]", "", spelled.group())
    return letters if len(set(letters.lower())) > 2 else spelled.group()  # "I I I I" is no word


def shorten(text: str) -> str:
    """An answer in `plain` text in which runs are cut short: white space to one sign, a repeated sign to 8, a word to 40.

    At most MOST_CHARACTERS are left. So no pattern meets a run that it would try to match in all possible ways.
    """
    text = plain(text)
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r" ?\n[ \n]*", "\n", text)
    text = re.sub(r"([^\w\s])\1{8,}", lambda run: run.group(1) * 8, text)
    return re.sub(r"(\w{40})\w+", r"\1", text)[:MOST_CHARACTERS]
