"""The four experiments of Lindsey 2025, a file each: trials, grading, measure, label. EXPERIMENTS finds them by name."""

import pandas as pd

from helpers.experiments import injected_thought, intended_or_not, intentional_control, thought_or_text

EXPERIMENTS = {
    "injected_thought": injected_thought,
    "thought_or_text": thought_or_text,
    "intended_or_not": intended_or_not,
    "intentional_control": intentional_control,
}
LABELS = {name: experiment.LABEL for name, experiment in EXPERIMENTS.items()}  # names in figures
INJECTED = tuple(
    name for name in EXPERIMENTS if name != "intentional_control"
)  # where something is injected and answered
GRADERS = {name: EXPERIMENTS[name].grade for name in INJECTED} | {"controls": injected_thought.grade}


def grade(answered: pd.DataFrame) -> pd.DataFrame:
    """The answered trials with the grade columns that belong to each of their experiments (graded by rules).

    ValueError for a table that was not run or is graded, or for an experiment whose answers no rules grade.
    """
    if "answer" not in answered:
        raise ValueError("these trials have no answers yet: run them first, graded = grade(runner.run(model, trials))")
    parts = []
    for experiment, part in answered.groupby("experiment", sort=False):
        if experiment not in GRADERS:
            raise ValueError(f"no rules for the answers of experiment {experiment!r}")
        grades = GRADERS[experiment](part)
        if present := [column for column in grades if column in answered]:
            raise ValueError(f"the trials already have the columns {present}: they are graded; drop them to grade anew")
        parts.append(part.join(grades))
    return pd.concat(parts).sort_index()
