"""Checks of the exercises of 09_rule_out_boring_explanations: numbers counted by hand, and properties of the controls."""

import json

import pandas as pd
import torch

from helpers.exercises.exercise import call, exercise, expect, expect_all_near, expect_list, expect_number, kind
from helpers.experiments import controls


@exercise("The shift that is left")
def check_shift_left(attempt):
    """Shifts of both signs counted by hand; the same push everywhere; random numbers."""
    by_hand = [
        torch.tensor(each) for each in ([3.0, 1.0, -1.0], [-4.0, -2.0, 0.0], [-2.0, -4.0, -6.0], [-3.0, -7.0, 0.0])
    ]
    same = [by_hand[1] + 6, by_hand[1], by_hand[3] + 6, by_hand[3]]
    generator = torch.Generator().manual_seed(2026)
    margins = [
        by_hand,
        same,
        list(torch.randn(4, 9, generator=generator) * 5),
        list(torch.randn(4, 1, generator=generator)),
    ]
    margins += [[by_hand[2], by_hand[3], by_hand[0], by_hand[1]]]  # the fact moves more than the trial
    tried = []
    for trial_with, trial_without, fact_with, fact_without in margins:
        arguments = (trial_with, trial_without, fact_with, fact_without)
        value = expect_number(call(attempt, *arguments), "the shift")
        trial, fact = (trial_with - trial_without).tolist(), (fact_with - fact_without).tolist()
        n, means = len(trial), (sum(trial) / len(trial), sum(fact) / len(fact))
        truth = means[0] - means[1]
        sizes = [sum(abs(each) for each in shifts) / n for shifts in (trial, fact)]
        mistakes = {
            "this is what the vector does to the trial question; what it does to the fact is still in it": means[0],
            "this adds the two shifts; the fact's must be subtracted": means[0] + means[1],
            "the sign is the wrong way round: trial minus fact": -truth,
            "shifts have a sign: do not take their absolute values before you subtract": sizes[0] - sizes[1],
            "shifts have a sign: do not take the absolute values of their means": abs(means[0]) - abs(means[1]),
            "the difference of the shifts has a sign: do not take its absolute value": sum(
                abs(one - other) for one, other in zip(trial, fact, strict=True)
            )
            / n,
            "what is left may be below 0: do not cut it off": max(truth, 0.0),
            "this compares the answers with the vector only; take with minus without first": float(
                (trial_with - fact_with).mean()
            ),
            "this is the sum over the words; take the mean": truth * n,
        }
        message = (
            f"the trial moves by {means[0]:.2f} on average, the fact by {means[1]:.2f}, so {truth:.2f} is left; yours gives "
            f"{value:.2f}"
        )
        tried.append((value, truth, mistakes, message))
    expect_all_near(tried)


@exercise("Text against vector")
def check_text_against_vector(attempt):
    """The two tables of trials: what the text says, which vector is added, and that nothing else differs."""
    words = ["bread", "wind", "soil"]
    next_word = dict(zip(words, words[1:] + words[:1], strict=True))

    def plan(wording: str, condition: str, vector: str = "none", **options) -> pd.DataFrame:
        """The notebook's `plan`, for three words."""
        options = {"words": words, "cell": (3, 1.0)} | options
        return controls.trials(wording, condition=condition, vector=vector, **options)

    bare, pushed = tables = expect_list(call(attempt, plan, next_word), "the result", 2)
    for table, place in zip(tables, ("first", "second"), strict=True):
        made_by_plan = isinstance(table, pd.DataFrame) and {"word", "wording", "values", "vector"} <= {*table}
        expect(made_by_plan, f"the {place} element must be a table of trials made by `plan`, yours is {kind(table)}")
        wordings = sorted(set(table["wording"]))
        expect(wordings == ["told_in_text"], f"the wording must be told_in_text; the {place} table has {wordings}")
        expect("word" in json.loads(table["values"].iloc[0]), "the text has a gap {word}: fill it with `values`")
    added = [sorted(set(table["vector"])) for table in tables]
    expect(
        added == [["none"], ["concept"]],
        f"the first table adds no vector (none), the second the word's (concept); yours add {added[0]} and {added[1]}",
    )
    expect(
        pushed["vector_of"].eq(pushed["word"]).all(),
        "`names` looks for the trial's own word, so the vector must be that word's; let the text say another one",
    )
    for table in tables:
        in_text = table["values"].map(lambda values: json.loads(values)["word"])
        expect(
            in_text.ne(table["word"]).all(),
            "the text says the vector's own word: then a model that repeats what it reads would be right, too",
        )
    names = [table["condition"].iloc[0] for table in tables]
    expect(names[0] != names[1], f"the two conditions need different names; both are called {names[0]!r}")
    alike = all(list(bare[column]) == list(pushed[column]) for column in ("word", "values", "seed"))
    expect(alike, "only the vector may differ: the two tables need the same words, texts and trial numbers")
