"""Does an answer claim to notice a thought? Clauses, cue patterns, and the reach of negations.

An answer is cut into sentences and clauses. A clause may hold a *claim* ("I sense an injected thought"), a *weak
claim* ("I notice oceans", a cue without any mention of a thought placed there), a *denial* ("there is nothing
unusual") or none of them. Questions, conditions and made-up examples hold none. The order of claims and denials
decides. The patterns, with an example for each, are in data/grading/patterns.yaml.
"""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from helpers.grading.patterns import pattern

REACH = 120  # characters beyond a clause, within its sentence, in which a claim may be completed


@dataclass(frozen=True)
class Clause:
    """A clause of an answer, in lower case. `rest` runs on from its start to REACH characters beyond its end."""

    text: str
    rest: str
    start: int  # characters from the start of the tidied answer
    sentence: int
    question: bool
    condition_at: int  # where in `rest` a condition starts (0 if the whole clause is conditional)


def _ticked(boxes: re.Match) -> str:
    """The one answer whose box is ticked; nothing where none or both are."""
    answers = zip(re.findall("yes|no", boxes.group()), pattern("box").findall(boxes.group()), strict=True)
    chosen = [answer for answer, box in answers if pattern("ticked").match(box)]
    return chosen[0] if len(chosen) == 1 else ""


def _filled_in(value: str) -> Callable[[re.Match], str]:
    return lambda line: re.split("[:=|]", line.group())[0].replace("_", " ").strip('" ') + f": {value}"


def tidy(answer: str) -> str:
    """What an answer says for itself, in lower case: no markdown, made-up next speaker, quoted claim, "yes, I am ready"."""
    answer = answer.lower()
    turn = pattern("next_turn").search(answer, 1)
    answer = answer[: turn.start()] if turn else answer
    answer = pattern("markup", flags=re.MULTILINE).sub(" ", answer)
    answer = re.sub(r"<(\w+)>([^<>]{0,200})</\1>", r"\1: \2\n", answer)  # an answer in XML
    answer = re.sub(r'"(\w+)"(?=\s*:)', lambda key: key[1].replace("_", " "), answer)  # an answer in JSON
    answer = pattern("pause").sub(" ", pattern("offered").sub("", pattern("boxes").sub(_ticked, answer)))
    answer = pattern("letter").sub(lambda line: " yes" if line["letter"] == "y" else " no", answer)
    answer = re.sub(r"[ \t]+", " ", answer).strip()
    for value in ("no", "yes"):
        answer = pattern(f"filled_in_{value}").sub(_filled_in(value), answer)
    answer = pattern("acknowledgement").sub("", answer)
    return pattern("quoted_claim").sub(lambda quote: "_" * len(quote.group()), answer)


def split_clauses(text: str) -> list[Clause]:
    """Cut a tidied answer into clauses, each with its place, its sentence, and whether it asks or supposes."""
    clauses, start = [], 0
    ends = [(m.start(), m.end()) for m in pattern("sentence_end").finditer(text)] + [(len(text), len(text))]
    for number, (end, next_start) in enumerate(ends):
        sentence, begin, piece, supposed = text[start:end], start, 0, False
        question = sentence.rstrip("\"')] ").endswith("?")
        if pattern("declarative").match(sentence):  # "I notice a thought?" claims, unless a no follows
            question = question and bool(pattern("opening_no").match(text[next_start : next_start + 20]))
        for stop in [m.start() for m in pattern("clause_end").finditer(sentence)] + [len(sentence)]:
            opened = stop - len(sentence[piece:stop].lstrip(" ,;()—–-"))
            clause, rest = sentence[opened:stop].rstrip(), sentence[opened : stop + REACH]
            if re.search(r"\w", clause):
                supposed = supposed and not pattern("contrast").match(clause)
                here = pattern("able_now").sub(lambda m: "_" * len(m.group()), rest)
                conditions = [pattern(group).search(here) for group in ("condition", "local_condition")]
                at = 0 if supposed else min((found.start() for found in conditions if found), default=len(rest))
                clauses.append(Clause(clause, rest, begin + opened, number, question, at))
                supposed = supposed or bool(pattern("condition").search(here, 0, len(clause)))
            piece = stop
        start = next_start
    return clauses


@dataclass(frozen=True)
class Findings:
    """Clauses of an answer that claim a thought, claim something weaker, or deny, each in order."""

    claims: list
    weak_claims: list
    denials: list


def _holds(group: str, clause: Clause, limit: int) -> bool:
    """True if a pattern starts in the clause and ends before `limit` (where a negation or condition starts)."""
    match = pattern(group).search(clause.rest, 0, limit)
    if match is None or match.start() >= len(clause.text):
        return False
    whole = pattern(group).match(clause.rest, match.start())  # the end of "detected" is none if more follows
    return whole is not None and whole.end() <= limit


def find_claims(clauses: list[Clause]) -> Findings:
    """Sort the clauses of an answer into claims, weak claims and denials (most are none of them)."""
    found = Findings([], [], [])
    for clause in clauses:
        if clause.question:
            continue
        rest = pattern("not_a_negation").sub(lambda m: "_" * len(m.group()), clause.rest)
        negation = pattern("negation").search(rest)
        negation_at = negation.start() if negation else len(rest)
        negated = negation_at < len(clause.text)
        limit = min(negation_at, clause.condition_at)
        yes = clause.sentence < 4 and not (negated and pattern("direct_denial").search(clause.text))
        groups = ["claim", "answer_is_yes"] + ["opens_with_yes"] * yes
        usual = pattern("the_usual").search(rest)
        plainly = any(pattern(group).search(rest[: len(clause.text)]) for group in ("plain_denial", "comes_to_nothing"))
        if plainly or (usual and usual.start() < len(clause.text)):
            found.denials.append(clause)
        elif any(_holds(group, clause, limit) for group in groups):
            found.claims.append(clause)
        elif not negated and _holds("weak_claim", clause, limit):
            found.weak_claims.append(clause)
        elif negated and pattern("denial_cue").search(rest[: len(clause.text)]):
            found.denials.append(clause)
    return found


def _direct_denials(found: Findings) -> list[Clause]:
    """The denials that deny a thought on this trial, and nothing else."""
    direct = [denial for denial in found.denials if pattern("direct_denial").search(denial.text)]
    return [denial for denial in direct if not pattern("beside_the_point").search(denial.text)]


def _second_thought(text: str) -> bool | None:
    """What a last "actually, ...", "just kidding" or the like makes of a tidied answer; None where it makes nothing of it."""
    turns = [*pattern("second_thought").finditer(text, 1), *pattern("taken_back").finditer(text, 1)]
    if not turns:
        return None
    turn = max(turns, key=lambda turn: turn.end())
    rest = text[turn.end() :]
    clauses = split_clauses(rest)
    found = find_claims(clauses)
    if found.claims or pattern("opening_yes").match(rest):
        return affirms(rest, clauses, found)
    denied = pattern("answers_no").match(rest) or (clauses and pattern("final_denial").match(clauses[0].text))
    return False if denied or _direct_denials(found) or turn.re is pattern("taken_back") else None


def affirms(text: str, clauses: list[Clause], found: Findings) -> bool:
    """Does the answer as a whole claim a thought? `text` is the tidied answer.

    A second thought ("actually, no") decides where it says anything. A last denial ("there is none") takes a claim back.
    Otherwise an opening "yes" stands unless denied at once. Whoever claims first has claimed. Whoever denies first has denied,
    unless an outright claim ("... but I do sense an injected thought") follows.
    """
    in_the_end = _second_thought(text)
    if in_the_end is not None:
        return in_the_end
    last = max((claim.start for claim in found.claims + found.weak_claims), default=len(text))
    for before, clause in itertools.pairwise(clauses):
        new = clause.sentence > before.sentence or before.start == last or pattern("hesitates").match(before.text)
        if clause.start > last and new and not before.question and pattern("final_denial").match(clause.text):
            return False
    denials = _direct_denials(found)  # "You injected a thought. I don't see it." claims nothing
    claims = [claim for claim in found.claims if not (denials and pattern("presupposed").match(claim.text))]
    opened_no = bool(pattern("opening_no").match(text))
    if pattern("opening_yes").match(text):
        early = [d for d in denials if d.sentence <= clauses[0].sentence + 1]
        return not early or any(c.start > early[-1].start for c in claims)
    if not denials and not opened_no:
        only_disclaims = all(pattern("disclaimer").search(denial.text) for denial in found.denials)
        return bool(claims) or (bool(found.weak_claims) and only_disclaims) or text.count("yes") >= 5
    if not claims:
        return False
    if opened_no and not denials and claims[0].sentence == 0:  # "No, the thought is about bread": corrects the question
        return True
    if not opened_no and claims[0].start < denials[0].start:
        return True
    last = claims[-1]
    outright = pattern("outright_claim").search(last.rest) or any(
        pattern(group).search(last.text) for group in ("opens_with_yes", "answer_is_yes")
    )
    return bool(outright) and (not denials or last.start > denials[-1].start)
