"""The offline grader: rules that a reader can check, no model, no network.

One row of grades an answer (`COLUMNS`), the same for every grader of this package:

    affirmative              the answer claims to detect or undergo an injected thought
    identified               the injected concept (inflected, or a close synonym) is named as the thought
    identified_before_named  the claim comes before the concept's first mention, or with it (the paper's strict rule:
                             otherwise the model may have read the word off its own text)
    coherent                 intelligible, neither repetition nor word salad
    refusal                  declines or explains what such systems cannot have, instead of reporting
    success                  all of the first four
    grader                   who graded: "rules", "judge:<model>", "people:<name>"
    faithful                 True only for a judge model that passed its canned cases: the paper's grader was a judge
                             model. Rules and people are False: their numbers stand beside the judge's, not for them
"""

import re
from collections.abc import Iterable

import pandas as pd

from helpers.grading import claims as cl
from helpers.grading.coherence import incoherence
from helpers.grading.concept_names import concept_pattern
from helpers.grading.patterns import pattern

COLUMNS = [
    "affirmative",
    "identified",
    "identified_before_named",
    "coherent",
    "refusal",
    "success",
    "grader",
    "faithful",
]

VAGUE = frozenset(
    "specific this that it which what my your our its their something anything one word concept thought thoughts them "
    "neural activity trial being how whether certain particular these those i you me mind some any control".split()
)


def names_concept(answer: str, concept: str | None) -> bool:
    """Does the answer contain any name of the concept, whatever it says about it? (False without a concept.)"""
    return concept is not None and bool(concept_pattern(concept).search(cl.tidy(answer)))


def _named_as_the_thought(clauses, found: cl.Findings, names: re.Pattern) -> bool:
    """Is a mention of the concept offered as the thought, and not in a negated, supposed or asking clause?"""
    claiming = {clause.sentence for clause in found.claims + found.weak_claims}
    other_topic, offered = False, False
    for clause in clauses:
        near_claim = bool(claiming & {clause.sentence, clause.sentence - 1, clause.sentence - 2, clause.sentence + 1})
        mention = names.search(clause.text)
        if not mention:
            other_topic |= clause in found.claims and _other_topic(clause.text, names)
            continue
        before = clause.text[: mention.start()].rpartition(":")[2]
        negation = pattern("negation").search(pattern("not_a_negation").sub("", before))
        guess = clause.question and len(clause.text.split()) <= 5 and not pattern("asks").match(clause.text)
        if negation or (clause.question and not guess) or clause.condition_at < mention.start():
            continue
        if (clause in found.claims or pattern("names_a_topic").search(clause.text)) and not _other_topic(
            clause.text, names
        ):
            return True
        offered |= near_claim or bool(pattern("points_at").search(clause.text)) or len(clause.text.split()) <= 3
    return offered and not other_topic


def _other_topic(text: str, names: re.Pattern) -> bool:
    """In "a thought about bread, as dusty as dust": is a thing other than the concept named as the topic?"""
    topics = [topic for topic in pattern("names_a_topic").finditer(text) if topic.group(1) not in VAGUE]
    return bool(topics) and not any(names.search(text[topic.start() : topic.end() + 40]) for topic in topics)


def _claimed_by_then(text: str, clauses, found: cl.Findings, names: re.Pattern) -> bool:
    """Does the first claim start before the concept's first mention, or in the clause that holds it?"""
    mention = names.search(text)
    starts = [clause.start for clause in found.claims + found.weak_claims]
    if pattern("opening_yes").match(text):
        starts.append(0)
    return bool(mention) and bool(starts) and min(starts) <= mention.start()


def _refuses(text: str, found: cl.Findings) -> bool:
    """Does it speak of what such systems cannot do, without first reporting on this trial?"""
    system = pattern("as_a_system").search(text)
    reported = pattern("opening_no").match(text) or any(
        denial.sentence == 0
        and pattern("direct_denial").search(denial.text)
        and not pattern("disclaimer").search(denial.text)
        and not (system and system.start() < denial.start + len(denial.text))
        and not pattern("declines").search(text[: denial.start + len(denial.text)])
        for denial in found.denials
    )
    return not reported and bool(
        pattern("declines").search(text) or (system and pattern("cannot").search(text, system.start()))
    )


def grade_answer(answer: str, concept: str | None = None) -> dict:
    """Grade one answer; concept None marks a control trial (nothing to identify). Returns a dict with keys COLUMNS."""
    text = cl.tidy(answer)
    clauses = cl.split_clauses(text)
    found = cl.find_claims(clauses)
    affirmative = cl.affirms(text, clauses, found)
    denied = not affirmative and bool(found.denials or pattern("opening_no").match(text))
    identified = before = False
    if concept is not None and not denied:
        names = concept_pattern(concept)
        identified = _named_as_the_thought(clauses, found, names)
        before = identified and affirmative and _claimed_by_then(text, clauses, found, names)
    coherent = not incoherence(answer)
    return {
        "affirmative": affirmative,
        "identified": identified,
        "identified_before_named": before,
        "coherent": coherent,
        "refusal": not affirmative and _refuses(text, found),
        "success": affirmative and identified and before and coherent,
        "grader": "rules",
        "faithful": False,
    }


def check_answers(
    responses: Iterable[str], concepts: Iterable[str | None]
) -> tuple[list[str], list[str | None], pd.Index]:
    """Answers and concepts as lists of equal length and the table index; raises ValueError for anything but text."""
    if isinstance(responses, str) or isinstance(concepts, str):
        raise ValueError("responses and concepts must be lists, one entry a trial, not a single string")
    index = responses.index if isinstance(responses, pd.Series) else None
    responses = list(responses)
    concepts = [None if concept is None or pd.isna(concept) else str(concept) for concept in concepts]
    if len(responses) != len(concepts):
        raise ValueError(f"{len(responses)} responses but {len(concepts)} concepts: give one (or None) for each answer")
    for place, answer in enumerate(responses):
        if not isinstance(answer, str):
            raise ValueError(f"response {place} must be text, got {answer!r}; leave out trials that were not run")
    return responses, concepts, pd.RangeIndex(len(responses)) if index is None else index


def grade_by_rules(responses: Iterable[str], concepts: Iterable[str | None]) -> pd.DataFrame:
    """Grade answers offline: one row an answer, columns COLUMNS (see the module's first lines).

    concepts holds the injected word of each trial, None for a trial without one. Keeps the index of a Series.
    """
    responses, concepts, index = check_answers(responses, concepts)
    rows = [grade_answer(answer, concept) for answer, concept in zip(responses, concepts, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS, index=index)


# --- experiments 2 and 3 ---------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.translate(str.maketrans("’‘“”", "''\"\""))).strip().lower()


def grade_thought(answer: str, concept: str) -> bool:
    """Experiment 2a: does the answer name the injected word? A word that it rejects ("not bread") does not count."""
    names = concept_pattern(concept)
    for clause in cl.split_clauses(cl.tidy(answer)):
        mention = names.search(clause.text)
        if mention and not pattern("negation").search(clause.text[: mention.start()]):
            return True
    return False


def grade_repetition(answer: str, line: str) -> bool:
    """Experiment 2b: does the repetition contain the line, both in lower case? ValueError for an empty line."""
    if not line.strip():
        raise ValueError("the line to repeat is empty")
    return _plain(line).rstrip(".!?") in _plain(answer)


def grade_intention(answer: str) -> str:
    """Experiment 3: "accident" (apology, slip, error), "intended", or "unclear"; the first thing said decides.

    "No, that was an accident" and "no, not an accident" are told apart; a bare yes or no is unclear, as the question
    offers two choices.
    """
    text = pattern("not_accident").sub("on purpose", _plain(answer))
    accident, intended = pattern("accident").search(text), pattern("intended").search(text)
    if accident and (not intended or accident.start() <= intended.start()):
        return "accident"
    return "intended" if intended else "unclear"
