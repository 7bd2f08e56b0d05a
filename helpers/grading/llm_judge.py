"""The judge: a model behind any OpenAI-compatible endpoint grades by our rubric (data/prompts/judge_rubric.yaml).

The key is read from an environment variable when the run starts and is cut out of every message that leaves this
module. The answer travels as a JSON field, and the rubric in the system message says that orders inside it are not to
be followed. A judge must first get the rubric's canned cases right. Each judgement is appended to a file at once, so
that a run that was cut off continues where it stopped. What cannot be judged stays *ungraded*: missing values, neither
failure nor success.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import openai
import pandas as pd
import tenacity
import yaml
from tqdm.auto import tqdm

from helpers.grading.table import COLUMNS, check_answers
from helpers.jsonl import append_rows, read_rows
from helpers.paths import ROOT

RUBRIC_FILE = ROOT / "data" / "prompts" / "judge_rubric.yaml"
VERDICTS = COLUMNS[:5]  # affirmative, identified, identified_before_named, coherent, refusal
REPLY_SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, **{name: {"type": "boolean"} for name in VERDICTS}},
    "required": ["reason", *VERDICTS],
    "additionalProperties": False,
}
CHARACTERS_A_TOKEN = 3.5  # English is nearer 4; the estimate should rather be too high
REPLY_TOKENS = 120
LONGEST_WAIT = 120.0  # seconds, also for what a server asks for by retry-after


class JudgeError(RuntimeError):
    """The endpoint refused the run as a whole (wrong key, unknown model, ...); what was judged so far is kept."""


class JudgeNotFit(JudgeError):
    """The judge got canned cases wrong, so that it may not grade."""


class _BadReply(Exception):
    """A reply that is not the JSON object asked for."""


@dataclass(frozen=True)
class Judge:
    """A judge model and how to reach it. The key itself is never stored here, only the variable's name."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 8  # requests under way at once
    timeout: float = 60.0  # seconds a request
    attempts: int = 6  # requests an answer before it is left ungraded
    dollars_per_million: tuple[float, float] | None = None  # price of tokens (sent, received)
    json_mode: str = "json_schema"  # "json_object" or "text" for endpoints without structured output
    temperature: float | None = 0.0  # None for models that refuse the setting


@dataclass(frozen=True)
class CostEstimate:
    """What a run would send; dollars is None without prices."""

    requests: int
    tokens_sent: int
    tokens_received: int
    dollars: float | None

    def __str__(self) -> str:
        price = "price unknown" if self.dollars is None else f"about ${self.dollars:.2f}"
        tokens = f"about {self.tokens_sent:,} tokens sent and {self.tokens_received:,} received"
        return f"{self.requests} requests, {tokens}, {price}"


@lru_cache(maxsize=1)
def rubric() -> dict:
    """The rubric file: "system" (text) and "canned" (list of cases)."""
    return yaml.safe_load(RUBRIC_FILE.read_text(encoding="utf-8"))


def _message(answer: str, concept: str | None) -> str:
    return json.dumps({"concept": concept, "answer": answer}, ensure_ascii=False)


def _identity(judge: Judge, answer: str, concept: str | None) -> str:
    """Hash of all that determines a judgement: endpoint, model, rubric, answer, concept."""
    parts = [judge.base_url, judge.model, rubric()["system"], _message(answer, concept)]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def estimate_cost(responses: Iterable[str], concepts: Iterable[str | None], judge: Judge) -> CostEstimate:
    """Upper guess at what grading these answers and the canned cases sends and costs. Sends nothing."""
    responses, concepts, _ = check_answers(responses, concepts)
    texts = {_message(answer, concept) for answer, concept in zip(responses, concepts, strict=True)}
    texts |= {_message(case["answer"], case["concept"]) for case in rubric()["canned"]}
    characters = sum(len(text) + len(rubric()["system"]) + 40 for text in texts)
    sent, received = round(characters / CHARACTERS_A_TOKEN), REPLY_TOKENS * len(texts)
    prices = judge.dollars_per_million
    dollars = None if prices is None else (sent * prices[0] + received * prices[1]) / 1e6
    return CostEstimate(len(texts), sent, received, dollars)


# --- one request -----------------------------------------------------------------------------------------------------


def _client(judge: Judge) -> tuple[openai.OpenAI, str]:
    key = os.environ.get(judge.key_variable, "").strip()
    if not key:
        raise JudgeError(f"set the environment variable {judge.key_variable} to the key of {judge.base_url}")
    return openai.OpenAI(api_key=key, base_url=judge.base_url, timeout=judge.timeout, max_retries=0), key


def _read_reply(text: str | None) -> dict[str, bool]:
    try:
        reply = json.loads(text or "")
    except json.JSONDecodeError as problem:
        raise _BadReply(f"reply is not JSON: {problem}") from None
    if not isinstance(reply, dict) or any(type(reply.get(name)) is not bool for name in VERDICTS):
        raise _BadReply(f"reply lacks true or false for some of {VERDICTS}")
    return {name: reply[name] for name in VERDICTS}


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds until the next attempt: what the server asks for, else doubling from half a second with jitter."""
    problem = state.outcome.exception()
    asked = getattr(getattr(problem, "response", None), "headers", {}).get("retry-after", "")
    try:
        return min(max(0.0, float(asked)), LONGEST_WAIT)
    except ValueError:
        return tenacity.wait_random_exponential(multiplier=0.5, max=30)(state)


def _worth_another_try(problem: BaseException) -> bool:
    if isinstance(problem, openai.APIStatusError):
        return problem.status_code in (408, 409, 429) or problem.status_code >= 500
    return isinstance(problem, (openai.APIConnectionError, _BadReply))  # a timeout is a connection error


def _ask(client: openai.OpenAI, judge: Judge, answer: str, concept: str | None) -> dict[str, bool]:
    """One judgement, with retries; raises the last problem when it gives up."""
    forms = {
        "json_schema": {
            "type": "json_schema",
            "json_schema": {"name": "grades", "strict": True, "schema": REPLY_SCHEMA},
        },
        "json_object": {"type": "json_object"},
        "text": {"type": "text"},
    }
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(judge.attempts),
        wait=_wait,
        retry=tenacity.retry_if_exception(_worth_another_try),
        reraise=True,
    )

    def once() -> dict[str, bool]:
        reply = client.chat.completions.create(
            model=judge.model,
            temperature=openai.omit if judge.temperature is None else judge.temperature,
            response_format=forms[judge.json_mode],
            messages=[
                {"role": "system", "content": rubric()["system"]},
                {"role": "user", "content": _message(answer, concept)},
            ],
        )
        if not reply.choices:
            raise _BadReply("reply without choices")
        return _read_reply(reply.choices[0].message.content)

    return retrying(once)


# --- the file of judgements ------------------------------------------------------------------------------------------


def _judged(path: Path) -> dict[str, dict]:
    """Grades by identity, of the judgements that succeeded."""
    return {row["id"]: row["grades"] for row in read_rows(path) if row["problem"] is None}


# --- a run -----------------------------------------------------------------------------------------------------------


def _judge_all(
    cases: dict[str, tuple[str, str | None]], judge: Judge, path: Path, label: str, progress: bool = True
) -> dict[str, dict]:
    """Judge the cases (identity -> answer, concept) not yet in the file; returns the grades of those that succeeded."""
    judged = _judged(path)
    missing = {identity: case for identity, case in cases.items() if identity not in judged}
    if not missing:
        return judged
    client, key = _client(judge)
    pool = ThreadPoolExecutor(judge.concurrency)
    try:
        tasks = {pool.submit(_ask, client, judge, *case): identity for identity, case in missing.items()}
        for task in tqdm(as_completed(tasks), total=len(tasks), desc=label, leave=False, disable=not progress):
            problem = task.exception()
            fatal = isinstance(problem, openai.APIStatusError) and not _worth_another_try(problem)
            text = None if problem is None else f"{type(problem).__name__}: {problem}".replace(key, "[key]")[:500]
            if fatal or (problem is not None and not isinstance(problem, (openai.OpenAIError, _BadReply))):
                raise JudgeError(f"{judge.base_url} refused: {text}") from None
            grades = None if problem else task.result()
            append_rows(path, [{"id": tasks[task], "model": judge.model, "grades": grades, "problem": text}])
            if grades:
                judged[tasks[task]] = grades
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or an interrupt, what has not been sent is not sent
    return judged


def check_judge(judge: Judge, path: Path, progress: bool = True) -> None:
    """Raise JudgeNotFit, naming the cases, unless the judge gets every canned case of the rubric right."""
    canned = rubric()["canned"]
    identities = [_identity(judge, case["answer"], case["concept"]) for case in canned]
    cases = {identity: (case["answer"], case["concept"]) for identity, case in zip(identities, canned, strict=True)}
    judged = _judge_all(cases, judge, path, "canned cases", progress)
    wrong = []
    for identity, case in zip(identities, canned, strict=True):
        grades = judged.get(identity)
        fields = [name for name, value in case["expected"].items() if grades is None or grades[name] != value]
        if fields:
            wrong.append(f"{case['id']} ({'no answer' if grades is None else ', '.join(fields)})")
    if wrong:
        raise JudgeNotFit(
            f"{judge.model} may not grade, {len(wrong)} of {len(canned)} canned cases wrong: {'; '.join(wrong)}"
        )


def grade_by_judge(
    responses: Iterable[str],
    concepts: Iterable[str | None],
    judge: Judge,
    path: str | Path,
    budget: float | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Grade answers by a judge model: one row an answer, columns COLUMNS (helpers.grading.rules).

    path: file of judgements (JSON lines), continued if it exists; the same answer to the same concept is asked once.
    budget: dollars that the estimate must not exceed (needs prices in `judge`). progress: show a bar.
    Ungraded answers have missing values in the true/false columns and grader "ungraded"; running again tries them anew.
    Raises JudgeNotFit if canned cases are wrong, JudgeError if the endpoint refuses, ValueError for bad input.
    """
    responses, concepts, index = check_answers(responses, concepts)
    if judge.json_mode not in ("json_schema", "json_object", "text"):
        raise ValueError(f"json_mode must be 'json_schema', 'json_object' or 'text', got {judge.json_mode!r}")
    estimate = estimate_cost(responses, concepts, judge)
    print(f"judge {judge.model}: {estimate}")
    if budget is not None and (estimate.dollars is None or estimate.dollars > budget):
        raise ValueError(f"budget is ${budget:.2f}, but the estimate is: {estimate}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    check_judge(judge, path, progress)
    identities = [_identity(judge, answer, concept) for answer, concept in zip(responses, concepts, strict=True)]
    cases = dict(zip(identities, zip(responses, concepts, strict=True), strict=True))
    judged = _judge_all(cases, judge, path, f"judge {judge.model}", progress)
    rows = [_row(judged.get(identity), concept, judge) for identity, concept in zip(identities, concepts, strict=True)]
    table = pd.DataFrame(rows, columns=COLUMNS, index=index)
    return table.astype(dict.fromkeys([*VERDICTS, "success", "faithful"], "boolean"))


def _row(grades: dict[str, bool] | None, concept: str | None, judge: Judge) -> dict:
    if grades is None:
        return {**dict.fromkeys([*VERDICTS, "success", "faithful"]), "grader": "ungraded"}
    identified = grades["identified"] and concept is not None
    before = grades["identified_before_named"] and identified
    success = grades["affirmative"] and identified and before and grades["coherent"]
    own = {"identified": identified, "identified_before_named": before, "success": success}
    return {**grades, **own, "grader": f"judge:{judge.model}", "faithful": True}
