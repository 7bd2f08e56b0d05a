"""Where a reply ends: tokens that close a turn, and the next turn that a base model would go on to write."""

import re
import signal
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import jinja2

try:
    import resource
except ImportError:  # Windows
    resource = None

PLAIN_TRANSCRIPT = (  # a conversation in plain text, for base models, which have no chat template
    "{% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
NEXT_TURNS = ("\nUser:", "\nAssistant:", "\nSystem:")
LONGEST_TEXT = 100_000  # characters that a chat template may add to the turns
SECONDS_TO_RENDER = 5  # a chat template is a program; one that needs longer is not used
MEMORY_TO_RENDER = 2**30  # bytes; one that needs more is not used either
TODAY = datetime(2025, 10, 29)  # for templates that write today's date: the same prompt on every day
NOW = re.compile(r"""strftime_now\(\s*(?:format\s*=\s*)?(?P<quote>['"])(?P<format>[^'"\\]*)(?P=quote)\s*\)""")


class TooSlow(ValueError):
    """A time limit has passed."""


@contextmanager
def time_limit(seconds: float, message: str):
    """Raise TooSlow(message) in the block after so many seconds (in a main thread with timers; elsewhere without limit)."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(_signal, _frame):
        raise TooSlow(message)

    before = signal.signal(signal.SIGALRM, stop)
    start, (left, interval) = time.monotonic(), signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # an alarm of whoever called; one whose time came in the block rings now
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - start), 1e-6), interval)


@contextmanager
def memory_limit(more: int):
    """In the block, MemoryError once the process takes so many bytes more than now (on Linux; elsewhere without limit)."""
    now = Path("/proc/self/statm")
    if resource is None or not now.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(now.read_text().split()[0]) * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@lru_cache
def steady_template(template: str) -> str:
    """The chat template, with TODAY in place of the day on which it is rendered.

    ValueError for one that asks for the day in a way that is not seen here or draws at random, or that raises numbers to a
    power: no time limit can interrupt that.
    """
    steady = NOW.sub(lambda call: repr(TODAY.strftime(call["format"])), template)
    tokens = jinja2.Environment().lex(steady)
    signs = " ".join(sign for _, kind, sign in tokens if kind in ("name", "operator")) + " "
    if "**" in signs:
        raise ValueError("it raises numbers to a power")
    if re.search(r"\bstrftime_now \(|[=(,] strftime_now (?!is )|\| random |\blipsum \(", signs):
        raise ValueError("it writes another date on every day, or another text each time: give strftime_now plain text")
    return steady


def write_turns(tokenizer, messages: list[dict], **options) -> str:
    """The conversation as the model's chat template writes it; ValueError, in one sentence, for a template that fails.

    Args:
        tokenizer: of the model.
        messages: each with role and content.
        options: of transformers' `apply_chat_template`.
    """
    subject = "the model's chat template"
    too_slow = f"{subject} took more than {SECONDS_TO_RENDER} seconds for one conversation"
    with time_limit(SECONDS_TO_RENDER, too_slow), memory_limit(MEMORY_TO_RENDER):
        try:
            template = steady_template(tokenizer.get_chat_template())
            text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **options)
            if not isinstance(text, str):
                raise TypeError(f"it gives {type(text).__name__} in place of text")
            text.encode()  # half a surrogate pair is no text for a tokenizer
        except TooSlow:
            raise
        except Exception as error:  # a template is a program: it may fail in any way
            roles = ", ".join(message["role"] for message in messages)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            way_out = ". A model without a system role takes such a text at the beginning of the first user turn"
            raise ValueError(
                f"{subject} refuses the turns ({roles}): {reason}{way_out if 'system' in roles else ''}"
            ) from None
    if len(text) > LONGEST_TEXT + sum(len(message["content"]) for message in messages):
        raise ValueError(f"{subject} writes {len(text)} characters for one conversation; it is not used")
    return text


def end_of_turn_ids(model) -> set[int]:
    """The tokens that end a reply."""
    ends = model._module.generation_config.eos_token_id
    return {end for end in (ends if isinstance(ends, list | tuple) else [ends]) if end is not None}


def own_turn(model, text: str) -> str:
    """A reply without the turns that a base model goes on to write for both sides of a plain transcript."""
    if model.tokenizer.chat_template == PLAIN_TRANSCRIPT:
        for turn in NEXT_TURNS:
            text = text.partition(turn)[0]
    return text


def closing_tokens(tokenizer) -> set[int]:
    """The added tokens (special ones too) that the chat template writes behind an assistant's turn; empty where there are none."""
    if not getattr(tokenizer, "chat_template", None):
        return set()
    mark = "\N{SYMBOL FOR NULL}"
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": mark}]
    try:
        _, written, tail = write_turns(tokenizer, turns).rpartition(mark)
    except ValueError:  # a template that refuses these turns says so where a real conversation is rendered
        return set()
    first = tokenizer(tail.lstrip(), add_special_tokens=False).input_ids[:1] if written else []
    return set(first) & {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
