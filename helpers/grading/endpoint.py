"""One question to a judge model behind an OpenAI-compatible endpoint: bounded in seconds and bytes, no redirects, no key shown.

A problem is one of four: `JudgeError` (will not pass: stop), of its kinds `RequestRefused` (this answer may be why),
`EndpointTrouble` (may pass: try again), `UnreadableReply`.
"""

import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache

import anyio
import httpx
import tenacity
import yaml

from helpers.checks import finite_number, whole_number
from helpers.grading.judge_reply import UnreadableReply, message_text, read_verdict
from helpers.paths import ROOT

RUBRIC_FILE = ROOT / "data" / "prompts" / "judge_rubric.yaml"
LONGEST_WAIT = 120.0  # seconds between two attempts, also where a server asks for more by retry-after
LARGEST_REPLY = 1_000_000  # bytes
AN_ERROR = re.compile(r"""\s*\{\s*"error"\s*:\s*[{"]""")  # what routers like OpenRouter send with status 200
ENVIRONMENT_VARIABLE = r"[A-Z_][A-Z0-9_]*"  # keys of APIs hold small letters or hyphens
REFUSALS = {
    401: "refused the key in {key_variable}",
    403: "refused the key in {key_variable}, or this model for it",
    404: "refused the request: there is no model {model!r}, or nothing at this address",
}


class JudgeError(RuntimeError):
    """The endpoint cannot be used (unreachable, wrong key, unknown model, ...); what was judged so far is kept."""


class RequestRefused(JudgeError):
    """The endpoint refuses this request: for a setting, or as a filter or a limit stops this answer and no other one."""


class EndpointTrouble(Exception):
    """A request that may succeed at another time; `wait` is what the server asks for by retry-after."""

    def __init__(self, text: str, wait: str = ""):
        super().__init__(text)
        self.wait = wait


@lru_cache(maxsize=1)
def rubric() -> dict:
    """The rubric file: "system" (text), "canned" (list of cases), "response_formats" (by json_mode)."""
    return yaml.safe_load(RUBRIC_FILE.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Judge:
    """A judge model and how to reach it. The key itself is never stored here, only the variable's name."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 8  # requests under way at once
    timeout: float = 60.0  # seconds for a request, from connecting to the last byte
    attempts: int = 4  # requests per answer before it is left ungraded
    dollars_per_million: tuple[float, float] | None = None  # price of tokens (sent, received)
    json_mode: str = "json_schema"  # "json_object" or "text" for endpoints without structured output
    temperature: float | None = 0.0  # None for models that refuse the setting

    def __post_init__(self):
        modes, prices = rubric()["response_formats"], self.dollars_per_million
        for name in ("model", "base_url", "key_variable", "json_mode"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ValueError(f"{name} must be a text, got {getattr(self, name)!r:.80}")
        if self.json_mode not in modes:
            raise ValueError(f"json_mode must be one of {', '.join(modes)}, got {self.json_mode!r}")
        for name in ("concurrency", "attempts"):
            whole_number(name, getattr(self, name), 1)
        if finite_number("timeout", self.timeout) <= 0:
            raise ValueError(f"timeout must be above 0 seconds, got {self.timeout!r}")
        if self.temperature is not None and finite_number("temperature", self.temperature) < 0:
            raise ValueError(f"temperature must be at least 0, or None, got {self.temperature!r}")
        pair = isinstance(prices, list | tuple) and len(prices) == 2
        if prices is not None and not (pair and min(finite_number("a price", price) for price in prices) >= 0):
            raise ValueError(f"dollars_per_million must be two prices (tokens sent, tokens received), got {prices!r}")
        if not re.fullmatch(ENVIRONMENT_VARIABLE, self.key_variable):  # not shown: it may be the key itself
            raise ValueError(
                "key_variable must be the name of a variable in capitals, such as OPENAI_API_KEY, not the key"
            )
        self.url()

    def url(self) -> httpx.URL:
        """Where requests go. ValueError for a base_url that is none, or that holds a password."""
        try:
            url = httpx.URL(self.base_url.strip())
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or (url.port or 0) > 65_535:
            shown = "one with a password in it" if url.userinfo else repr(self.base_url)
            raise ValueError(f"base_url must look like https://host/v1, got {shown}")
        return url.copy_with(path=url.path.rstrip("/").removesuffix("/chat/completions") + "/chat/completions")

    def key(self) -> str:
        """The key, from the environment. JudgeError where there is none that could be sent."""
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise JudgeError(f"set the environment variable {self.key_variable} to the key of {self.url().host}")
        if not key.isascii() or not key.isprintable():
            raise JudgeError(f"the environment variable {self.key_variable} holds signs that no key has; copy it anew")
        return key


def message(answer: str, concept: str | None) -> str:
    """What a judge gets to see of a trial, as JSON: an answer cannot pose as anything but an answer."""
    return json.dumps({"concept": concept, "answer": answer}, ensure_ascii=False)


async def ask_once(client: httpx.AsyncClient, judge: Judge, answer: str, concept: str | None) -> dict[str, bool]:
    """One judgement by one request."""
    messages = [("system", rubric()["system"]), ("user", message(answer, concept))]
    body = {
        "model": judge.model,
        "messages": [{"role": role, "content": content} for role, content in messages],
        "response_format": rubric()["response_formats"][judge.json_mode],
        "temperature": judge.temperature,
    }
    content = json.dumps({name: value for name, value in body.items() if value is not None})
    key, reply, host = judge.key(), b"", judge.url().netloc.decode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept-Encoding": "identity"}
    try:
        with anyio.fail_after(judge.timeout):
            async with client.stream("POST", judge.url(), content=content, headers=headers) as response:
                async for part in response.aiter_raw():
                    reply += part
                    if len(reply) > LARGEST_REPLY:
                        raise UnreadableReply(f"it is longer than {LARGEST_REPLY:,} bytes")
    except TimeoutError:
        raise EndpointTrouble(f"{host} sent no complete reply within {judge.timeout:g} s") from None
    except httpx.HTTPError as problem:
        why = str(problem).replace(key, "[key]")
        raise EndpointTrouble(f"{host} cannot be reached ({type(problem).__name__}: {why})") from None
    text, status = reply.decode("utf-8-sig", "replace"), response.status_code
    if response.is_success and not AN_ERROR.match(text):
        with suppress(UnreadableReply):  # its text may hold a piece of the key
            return read_verdict(message_text(text), answer)
        return read_verdict(message_text(text.replace(key, "[key]")).replace(key, "[key]"), answer)
    text = text.replace(key, "[key]")
    shown = f"(HTTP {status}: {' '.join(text.split())[:300]})"
    if status in (408, 409, 425, 429) or status >= 500 or response.is_success:
        raise EndpointTrouble(f"{host} is busy or out of order {shown}", response.headers.get("retry-after", ""))
    if status < 400:
        place = response.headers.get("location", "").replace(key, "[key]")[:200]
        raise JudgeError(f"{host} redirects to {place!r}, which is not followed: give the right base_url")
    refusal = REFUSALS.get(status, "refused the request; if it names a setting, change json_mode or temperature")
    kind = RequestRefused if status in (400, 403, 413, 422) else JudgeError
    raise kind(f"{host} {refusal.format(key_variable=judge.key_variable, model=judge.model)} {shown}")


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds until the next attempt: what the server asks for, else doubling from half a second with jitter."""
    try:
        asked = state.outcome.exception().wait  # seconds, or a date
        seconds = parsedate_to_datetime(asked).timestamp() - time.time() if asked.endswith("GMT") else float(asked)
        return min(max(0.0, seconds), LONGEST_WAIT)
    except (AttributeError, ValueError):
        return tenacity.wait_random_exponential(multiplier=0.5, max=30)(state)


async def ask(client: httpx.AsyncClient, judge: Judge, answer: str, concept: str | None, first: bool = False):
    """One judgement, with further attempts where that may help; the problem that is left in the end is raised.

    first: nothing is known of the endpoint yet. Trouble is then tried twice, an unreadable reply once.
    """
    attempts = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(min(judge.attempts, 2) if first else judge.attempts),
        retry=tenacity.retry_if_exception_type(EndpointTrouble if first else (EndpointTrouble, UnreadableReply)),
        wait=_wait,
        reraise=True,
    )
    return await attempts(ask_once, client, judge, answer, concept)
