"""Graders of answers (rules, a judge model, people) with one table of grades, and their agreement."""

from helpers.grading.reply import begins_yes_or_no
from helpers.grading.rules import (
    grade_answer,
    grade_by_rules,
    grade_intention,
    grade_repetition,
    grade_thought,
    names_concept,
)
from helpers.grading.table import COLUMNS, check_columns

__all__ = [
    "COLUMNS",
    "begins_yes_or_no",
    "check_columns",
    "grade_answer",
    "grade_by_rules",
    "grade_intention",
    "grade_repetition",
    "grade_thought",
    "names_concept",
]
