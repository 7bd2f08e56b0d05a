"""Numbers with their uncertainty. No number leaves this room without an interval and the number of trials behind it.

inputs: what is refused. estimates: rates, means, differences. signal_detection: d', criterion, AUC. cells: tables of trials, the best cell.
Intervals are 95 % unless `confidence` says otherwise. Input that cannot mean anything (more successes than trials, no trials,
missing values, outcomes other than true and false) raises ValueError at once.
"""

from helpers.stats.cells import (
    as_outcomes,
    best_cell,
    check_table,
    check_trials,
    distinct_trials,
    tied_cells,
)
from helpers.stats.estimates import (
    UNGRADED,
    Estimate,
    clustered_mean,
    clustered_rate,
    contrast_of_rates,
    difference_of_rates,
    paired_difference,
    rate,
    simultaneous_confidence,
    smallest,
    subtract,
    wilson_rate,
)
from helpers.stats.signal_detection import Detection, auc, criterion, d_prime, detection

__all__ = [
    "UNGRADED",
    "Detection",
    "Estimate",
    "as_outcomes",
    "auc",
    "best_cell",
    "check_table",
    "check_trials",
    "clustered_mean",
    "clustered_rate",
    "contrast_of_rates",
    "criterion",
    "d_prime",
    "detection",
    "difference_of_rates",
    "distinct_trials",
    "paired_difference",
    "rate",
    "simultaneous_confidence",
    "smallest",
    "subtract",
    "tied_cells",
    "wilson_rate",
]
