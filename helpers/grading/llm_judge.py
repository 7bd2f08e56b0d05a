"""The judge: a model behind any OpenAI-compatible endpoint grades by our rubric (data/prompts/judge_rubric.yaml).

The key is read from an environment variable when the run starts and is cut out of every message. The answer travels as a JSON
field, and the rubric says that orders inside it are not to be followed. A judge must first get the rubric's canned cases right.
Each judgement is appended to a file at once, so that a run that was cut off continues where it stopped. What cannot be judged
stays *ungraded*: missing values, neither failure nor success. Requests run in an event loop of their own, in which every wait
can be cancelled: Ctrl-C ends them all.
"""

import asyncio
import warnings
from collections.abc import Iterable
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

import httpx
import pandas as pd
from anyio.from_thread import start_blocking_portal
from tqdm.auto import tqdm

from helpers.checks import finite_number
from helpers.grading.endpoint import EndpointTrouble, Judge, JudgeError, RequestRefused, ask, message, rubric
from helpers.grading.judge_reply import UnreadableReply
from helpers.grading.reply import split_reply
from helpers.grading.table import UNFINISHED, UNGRADED, case_hash, check_answers, grade_row, grade_table, is_complete
from helpers.jsonl import append_rows, read_rows, rows_path

CHARACTERS_PER_TOKEN = 3.5  # English is nearer 4; the estimate should rather be too high
FIRST_WIDE_SIGN = "\u2e80"  # from here on, Chinese, Japanese, Korean and pictures: a token each
REPLY_TOKENS = 120
FAILURES_IN_A_ROW = 10  # answers that met trouble; after so many the endpoint is given up


class JudgeNotFit(JudgeError):
    """The judge got canned cases wrong, so that it may not grade."""


@dataclass(frozen=True)
class CostEstimate:
    """What a run would send; dollars is None without prices."""

    requests: int
    tokens_sent: int
    tokens_received: int
    dollars: float | None

    def __str__(self) -> str:
        price = "price unknown" if self.dollars is None else f"about ${self.dollars:.2f}"
        return f"{self.requests} requests, about {self.tokens_sent:,} tokens sent and {self.tokens_received:,} received, {price}"


def _cases(responses: Iterable[str], concepts: Iterable[str | None]) -> tuple[list[tuple], pd.Index]:
    """Each reply's answer, None where it never came to one, with its concept; and the index of the table of grades."""
    responses, concepts, index = check_answers(responses, concepts)
    answers = [reply.answer if reply.finished else None for reply in map(split_reply, responses)]
    return list(zip(answers, concepts, strict=True)), index


def estimate_cost(cases: list[tuple[str | None, str | None]], judge: Judge) -> CostEstimate:
    """Upper guess at what grading these cases (answer, concept) and the canned ones sends and costs. Sends nothing."""
    texts = {message(*case) for case in cases if case[0] is not None}
    if texts:
        texts |= {message(case["answer"], case["concept"]) for case in rubric()["canned"]}
    characters = sum(len(text) + len(rubric()["system"]) + 40 for text in texts)
    wide = sum(sign >= FIRST_WIDE_SIGN for text in texts for sign in text)
    sent, received = round((characters - wide) / CHARACTERS_PER_TOKEN) + wide, REPLY_TOKENS * len(texts)
    prices = judge.dollars_per_million
    dollars = None if prices is None else (sent * prices[0] + received * prices[1]) / 1e6
    return CostEstimate(len(texts), sent, received, dollars)


def _identity(judge: Judge, answer: str, concept: str | None) -> str:
    """Stands for all that determines a judgement: endpoint, model, its settings, rubric, answer, concept."""
    settings = f"{None if judge.temperature is None else float(judge.temperature)} {judge.json_mode}"
    return case_hash(str(judge.url()), judge.model, settings, rubric()["system"], message(answer, concept))


def _is_judgement(row: dict) -> bool:
    return isinstance(row.get("id"), str) and "problem" in row and (row["problem"] or is_complete(row.get("grades")))


def _judge_all(
    cases: dict[str, tuple[str, str | None]], judge: Judge, path: Path, label: str, progress: bool, first: bool = False
) -> tuple[dict[str, dict], dict[str, Exception]]:
    """Judge the cases (identity -> answer, concept) that are not yet in the file. first: see `endpoint.ask`.

    Returns grades by identity, of all in the file; problems by identity, of those that were left ungraded now.
    """
    judged = {row["id"]: row["grades"] for row in read_rows(path, _is_judgement) if row.get("grades")}
    missing = {identity: case for identity, case in cases.items() if identity not in judged}
    if not missing:
        return judged, {}
    judge.key()  # or a JudgeError
    slots, problems, in_a_row = asyncio.Semaphore(judge.concurrency), {}, 0

    async def judge_one(client: httpx.AsyncClient, identity: str, case: tuple[str, str | None]):
        nonlocal in_a_row
        grades = problem = text = None
        async with slots:
            if in_a_row >= FAILURES_IN_A_ROW:  # given up: the answer that was one too many says so below
                return identity, None, None
            try:
                grades = await ask(client, judge, *case, first=first)
            except (RequestRefused, EndpointTrouble, UnreadableReply) as error:
                problem, text = error, f"{type(error).__name__}: {error}"[:500]
            in_a_row = in_a_row + 1 if isinstance(problem, EndpointTrouble) else 0
            given_up = in_a_row == FAILURES_IN_A_ROW
        append_rows(path, [{"id": identity, "model": judge.model, "grades": grades, "problem": text}])
        if given_up:
            raise JudgeError(f"{FAILURES_IN_A_ROW} answers in a row could not be judged; the last problem: {problem}")
        return identity, grades, problem

    with (
        start_blocking_portal() as portal,  # cancels what is under way when an error or Ctrl-C leaves this block
        portal.wrap_async_context_manager(httpx.AsyncClient(timeout=None, follow_redirects=False)) as client,
    ):
        tasks = [portal.start_task_soon(judge_one, client, identity, case) for identity, case in missing.items()]
        for task in tqdm(as_completed(tasks), total=len(tasks), desc=label, leave=False, disable=not progress):
            identity, grades, problem = task.result()
            outcomes = judged if grades else problems
            outcomes[identity] = grades or problem
    return judged, problems


def check_judge(judge: Judge, path: Path, progress: bool = True) -> None:
    """Raise JudgeNotFit, naming the cases, unless the judge gets every canned case of the rubric right.

    The first case goes alone. Raises JudgeError if the endpoint cannot be reached or does not answer in the format asked for.
    """
    canned = rubric()["canned"]
    cases = {_identity(judge, case["answer"], case["concept"]): (case["answer"], case["concept"]) for case in canned}
    identity, case = next(iter(cases.items()))
    problem = _judge_all({identity: case}, judge, path, "first case", progress, first=True)[1].get(identity)
    if isinstance(problem, UnreadableReply):
        raise JudgeError(
            f"{judge.url().host} answers, but not in the format asked for: {problem}. The request said json_mode="
            f"{judge.json_mode!r}; try json_mode='text', or another model"
        )
    if problem is not None:
        raise JudgeError(str(problem))
    judged, problems = _judge_all(cases, judge, path, "canned cases", progress)
    wrong = []
    for identity, case in zip(cases, canned, strict=True):
        grades = judged.get(identity)
        fields = [name for name, value in case["expected"].items() if grades is None or grades[name] != value]
        if fields:
            wrong.append(f"{case['id']} ({', '.join(fields) if grades else f'no verdict: {problems[identity]}'})")
    if wrong:
        told = f"{len(wrong)} of {len(canned)} canned cases wrong: {'; '.join(wrong)}"
        raise JudgeNotFit(f"{judge.model} may not grade, {told}")


def grade_by_judge(
    responses: Iterable[str],
    concepts: Iterable[str | None],
    judge: Judge,
    path: str | Path,
    budget: float | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Grade answers by a judge model: one row per answer, columns COLUMNS (helpers.grading.table).

    Args:
        responses: the replies; the judge sees the answer within a reply, not its reasoning. A Series keeps its index.
        concepts: the injected word of each trial, None for a trial without one.
        judge: the model and how to reach it.
        path: file of judgements (JSON lines), continued if it exists; the same answer to the same concept is asked once.
        budget: dollars that the estimate must not exceed (needs prices in `judge`).
        progress: show a bar.

    Returns:
        The table. Ungraded answers have missing values; running again tries them anew. A warning counts those that were refused.

    Raises:
        JudgeNotFit: if canned cases are wrong.
        JudgeError: if the endpoint cannot be used.
        ValueError: for bad input.
    """
    cases, index = _cases(responses, concepts)
    if not cases:
        return grade_table([], index)
    if budget is not None and finite_number("budget", budget) < 0:
        raise ValueError(f"budget must be dollars, at least 0, got {budget!r}")
    path, estimate = rows_path(path), estimate_cost(cases, judge)
    print(f"judge {judge.model}: {estimate}")
    if budget is not None and not (estimate.dollars is not None and estimate.dollars <= budget):
        raise ValueError(f"budget is ${budget:.2f}, but the estimate is: {estimate}")
    identities = [None if case[0] is None else _identity(judge, *case) for case in cases]
    to_judge = {identity: case for identity, case in zip(identities, cases, strict=True) if identity}
    if to_judge:
        check_judge(judge, path, progress)
    judged, problems = _judge_all(to_judge, judge, path, f"judge {judge.model}", progress)
    if refused := [problem for problem in problems.values() if isinstance(problem, RequestRefused)]:
        told = f"{len(refused)} of {len(to_judge)} answers were refused; the last reason: {refused[-1]}"
        warnings.warn(told, stacklevel=2)
    rows = []
    for identity, (_, concept) in zip(identities, cases, strict=True):
        why_not = UNGRADED if identity else UNFINISHED
        rows.append(grade_row(judged.get(identity), concept, f"judge:{judge.model}", faithful=True, ungraded=why_not))
    return grade_table(rows, index)
