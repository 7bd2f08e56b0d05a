"""The offline grader: rules that a reader can check, no model, no network. It reads English only.

Only the answer within a reply is graded (`reply.split_reply`). Where there is none, or one in another language, nothing can be
said about it: it is ungraded (see `helpers.grading.table`). The patterns are in data/grading/patterns.yaml.
"""

import itertools
import re
from collections.abc import Iterable, Iterator

import pandas as pd

from helpers.grading.claims import Clause, Findings, affirms, find_claims, split_clauses, tidy
from helpers.grading.coherence import incoherence
from helpers.grading.concept_names import concept_pattern
from helpers.grading.language import is_english
from helpers.grading.patterns import pattern
from helpers.grading.reply import plain, shorten, split_reply
from helpers.grading.table import NOT_ENGLISH, UNFINISHED, check_answers, grade_row, grade_table

VAGUE = frozenset(  # words after "about" that are no topic
    "specific this that it which what my your our its their something anything one word concept thought thoughts them "
    "neural activity trial being how whether certain particular these those i you me mind some any control yes no".split()
)
STAGE_DIRECTION = re.compile(r"\A\s*[*_]{1,2}[a-z][^*_\n]{2,120}[*_]{1,2}\s+(?=[^\w\s]?[A-Z])")  # *looks inward* Yes.
LONGEST_LINK = 80  # characters between "anything but" and the word that it leaves out


def gradable(reply: str) -> tuple[str, str | None]:
    """The answer within a reply, and why it cannot be graded (None if it can)."""
    parts = split_reply(reply)
    answer = shorten(STAGE_DIRECTION.sub("", parts.answer))
    if not parts.finished:
        return answer, UNFINISHED
    return answer, None if is_english(answer) else NOT_ENGLISH


# --- experiment 1 ----------------------------------------------------------------------------------------------------


def _mentions(clauses: list[Clause], names: re.Pattern) -> Iterator[tuple[Clause, re.Match]]:
    """Clauses that name the concept, with the place, but not as what it is not: "not bread", "bread? no"."""
    clauses = [clause for clause in clauses if not pattern("hesitates").match(clause.text)]
    for clause, following in itertools.zip_longest(clauses, clauses[1:]):
        if following and pattern("corrects").match(following.text):
            continue
        text = pattern("not_a_negation").sub(lambda match: "_" * len(match.group()), clause.text)
        negations = [negation.start() for negation in pattern("negation").finditer(text)]
        for mention in names.finditer(clause.text):
            start = text.rfind(":", 0, mention.start()) + 1
            negated = any(start <= place < mention.start() for place in negations)
            left_out = pattern("leaves_out").search(text[max(start, mention.start() - LONGEST_LINK) : mention.start()])
            if not negated and not left_out and not pattern("leaves_out_after").match(text[mention.end() :]):
                yield clause, mention
                break


def _other_topic(text: str, names: re.Pattern) -> bool:
    """In "a thought about bread, as dusty as dust": is a thing other than the concept named as the topic?"""
    topics = [topic for topic in pattern("names_a_topic").finditer(text) if topic.group("topic") not in VAGUE]
    return bool(topics) and not any(names.search(text[topic.start() : topic.end() + 40]) for topic in topics)


def _named_as_the_thought(clauses: list[Clause], found: Findings, names: re.Pattern) -> bool:
    """Is a mention of the concept offered as the thought, and not in a negated, supposed or asking clause?"""
    claims, offered = {clause.start for clause in found.claims}, False
    claiming = {clause.sentence for clause in found.claims + found.weak_claims}
    other_claims = [clause.text for clause in found.claims if not names.search(clause.text)]
    for clause, mention in _mentions(clauses, names):
        short = len(clause.text.split())
        guess = clause.question and short <= 5 and not pattern("asks").match(clause.text)
        if (clause.question and not guess) or clause.condition_at < mention.start():
            continue
        topic = pattern("names_a_topic").search(clause.text) or pattern("refines").match(clause.text)
        if (clause.start in claims or topic) and not _other_topic(clause.text, names):
            return True
        near_claim = claiming & set(range(clause.sentence - 2, clause.sentence + 2))
        offered |= bool(near_claim) or bool(pattern("points_at").search(clause.text)) or short <= 3
    return offered and not any(_other_topic(text, names) for text in other_claims)


def _claimed_by_then(text: str, found: Findings, names: re.Pattern) -> bool:
    """Does the first claim start before the concept's first mention, or in the clause that holds it?"""
    mention = names.search(text)
    starts = [0] if pattern("opening_yes").match(text) else [each.start for each in found.claims + found.weak_claims]
    return bool(mention) and bool(starts) and min(starts) <= mention.start()


def _refuses(text: str, found: Findings) -> bool:
    """Does it speak of what such systems cannot do, without first reporting on this trial?"""
    system, declines = pattern("as_a_system").search(text), pattern("declines").search(text)
    before_that = min(system.start() if system else len(text), declines.end() - 1 if declines else len(text))
    reported = pattern("opening_no").match(text) or any(
        denial.sentence == 0
        and denial.start + len(denial.text) <= before_that
        and pattern("direct_denial").search(denial.text)
        and not pattern("disclaimer").search(denial.text)
        for denial in found.denials
    )
    return not reported and bool(declines or (system and pattern("cannot").search(text, system.start())))


def grade_answer(answer: str, concept: str | None = None) -> dict:
    """Grade one answer; concept None marks a control trial (nothing to identify).

    Returns a dict with keys COLUMNS (see `helpers.grading.table`); its true/false values are None for an ungraded answer.
    """
    names = None if concept is None else concept_pattern(concept)
    answer, ungraded = gradable(answer)
    if ungraded:
        return grade_row(None, concept, "rules", ungraded=ungraded)
    text = tidy(answer)
    clauses = split_clauses(text)
    found = find_claims(clauses)
    affirmative = affirms(text, clauses, found)
    taken_back = found.claims or found.weak_claims  # where the answer as a whole does not claim
    denied = not affirmative and bool(taken_back or found.denials or pattern("opening_no").match(text))
    identified = names is not None and not denied and _named_as_the_thought(clauses, found, names)
    before = identified and affirmative and _claimed_by_then(text, found, names)
    verdicts = {
        "affirmative": affirmative,
        "identified": identified,
        "identified_before_named": before,
        "coherent": not incoherence(answer),
        "refusal": not affirmative and _refuses(text, found),
    }
    return grade_row(verdicts, concept, "rules")


def grade_by_rules(responses: Iterable[str], concepts: Iterable[str | None]) -> pd.DataFrame:
    """Grade answers offline: one row per answer, columns COLUMNS (see `helpers.grading.table`).

    Args:
        responses: the replies; a Series keeps its index.
        concepts: the injected word of each trial, None for a trial without one.
    """
    responses, concepts, index = check_answers(responses, concepts)
    rows = [grade_answer(answer, concept) for answer, concept in zip(responses, concepts, strict=True)]
    return grade_table(rows, index)


def names_concept(answer: str, concept: str | None) -> bool | None:
    """Does the answer contain any name of the concept, whatever it says about it? None where it is ungraded."""
    answer, ungraded = gradable(answer)
    return None if ungraded else concept is not None and bool(concept_pattern(concept).search(tidy(answer)))


# --- experiments 2 and 3 ---------------------------------------------------------------------------------------------


def grade_thought(answer: str, concept: str) -> bool | None:
    """Experiment 2a: does the answer name the injected word? A word that it rejects ("not bread") does not count.

    Nor does one that is only considered: "bread and milk come to mind, I choose milk". None where the answer is ungraded.
    """
    names, (answer, ungraded) = concept_pattern(concept), gradable(answer)
    clauses = split_clauses(tidy(answer))
    chosen = max((i for i, clause in enumerate(clauses) if pattern("chooses").search(clause.text)), default=0)
    return None if ungraded else any(_mentions(clauses[chosen:], names))


def grade_repetition(answer: str, line: str) -> bool | None:
    """Experiment 2b: does the repetition contain the line, word for word? ValueError for a line without any word.

    None for unfinished reasoning. A repetition in another language is none.
    """
    if not isinstance(line, str) or not re.search(r"\w", plain(line)):
        raise ValueError(f"the line to repeat must hold a word, got {line!r}")
    wanted, parts = " ".join(plain(line).lower().split()).rstrip(".!?"), split_reply(answer)
    repeated = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", " ".join(plain(parts.answer).lower().split()))
    return bool(repeated) if parts.finished else None


FOR_AN_INTENTION = {"meant", "word", "reason"}  # cues of the group meant_or_not; the others speak for an accident
RANKS = {"sorry": 1, "word": 2, "reason": 3, "misfit": 3}  # the others have rank 0; the cues of the lowest rank decide


def _cues(text: str) -> list[tuple[bool, int]]:
    """What a clause speaks for, by cue, if it commits itself; an odd number of negations before a cue turns it round."""
    text, found, start = pattern("not_a_negation").sub("_", re.sub(r"^no (?=(?:i|it|that|this)\b)", "", text)), [], 0
    if pattern("unsure").search(text) or pattern("in_general").search(text):
        return []
    negated = False
    for cue in pattern("meant_or_not").finditer(text):
        before = text[start : cue.start()]
        words = before.split()
        if not (words[:1] == ["or"] and len(words) <= 3):  # in "not a slip or an error" the negation reaches both
            negations = len(pattern("negation").findall(before)) + len(pattern("reverses").findall(before))
            negated = (negations - ("neither" in words and "nor" in words)) % 2 == 1
        meant, rank, start = cue.lastgroup in FOR_AN_INTENTION, RANKS.get(cue.lastgroup, 0), cue.end()
        if not negated:
            found.append((meant, rank))
        elif cue.lastgroup not in ("sorry", "reason", "misfit"):  # "I am not sorry" says neither
            found.append((not meant, 0))
        negated ^= cue.lastgroup == "accident"  # the group of "not intended": its negation is within the cue
    return found


def grade_intention(answer: str) -> str | None:
    """Experiment 3: "accident" (apology, slip, error), "intended", or "unclear" (neither, not sure, or both).

    "No, that was an accident" and "no, not an accident" are told apart; a bare yes or no is unclear, as the question
    offers two choices. A second thought ("actually ...") replaces what came before. None where the answer is ungraded.
    """
    answer, ungraded = gradable(answer)
    if ungraded:
        return None
    earlier, found, asked = [], [], []
    for clause in split_clauses(tidy(answer)):
        cues = _cues(clause.text)
        if clause.question:
            asked += cues
            continue
        if pattern("changes_mind").match(clause.text):
            earlier, found = found or earlier, []
        no = pattern("opening_no").match(clause.text)
        if len({meant for meant, _ in asked}) == 1 and (no or pattern("opening_yes").match(clause.text)):
            found.append((asked[0][0] != bool(no), 0))
        found, asked = found + cues, []
    found = found or earlier
    lowest = min((rank for _, rank in found), default=0)
    decides = {meant for meant, rank in found if rank == lowest}
    return "unclear" if len(decides) != 1 else "intended" if decides.pop() else "accident"
