"""Parameters of the notebooks: what is allowed, numbers as people write them, a run folder for every choice."""

import math

import pytest

from helpers import parameters
from helpers.parameters import RULES, check, read
from helpers.run_notebook import read_defaults
from tests.authoring import generated_cells

COURSE = generated_cells.course()


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("rate", "1e-3", 0.001),
        ("strength", "1.5", 1.5),
        ("strength", "-2", -2.0),
        ("seed", "010", 10),
        ("new_tokens", "1_000", 1000),
        ("trials", "3.0", 3),
        ("layers", "[4, 6]", [4, 6]),
        ("layers", "4,6", [4, 6]),
        ("layers", "(4)", [4]),
        ("layers", "[]", []),
        ("strengths", "[0.5, 1e0, 2]", [0.5, 1.0, 2.0]),
        ("models", "[novice, 'a/b-7B', \"c d\"]", ["novice", "a/b-7B", "c d"]),
        ("models", "novice", ["novice"]),
        ("label_by_hand", "Yes", True),
        ("label_by_hand", "false", False),
        ("word", "  elephants ", "elephants"),
        ("quantise", "", ""),
    ],
)
def test_what_people_type_is_read_as_they_mean_it(name, typed, value):
    found = read(name, typed)
    assert found == value and type(found) is type(value)


NEVER = {
    "whole": ["", "many", "1.5", "nan", "inf", "-inf", "1e400", "0x10", "one", "True", "[1]"],
    "number": ["", "many", "nan", "inf", "-inf", "1e400", "0x10", "True", "1,5,x"],
    "flag": ["", "maybe", "2", "[True]"],
}


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.kind in NEVER and not rule.many])
def test_what_is_no_number_is_refused_with_what_is_allowed(name):
    for typed in NEVER[RULES[name].kind]:
        with pytest.raises(ValueError, match=f"parameter {name} must be "):
            read(name, typed)
    for value in (None, [], {}, "1", math.nan, math.inf, object()):
        with pytest.raises(ValueError, match=f"parameter {name} must be "):
            check("any", **{name: value})


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.many])
def test_lists_have_no_duplicates_and_no_value_out_of_range(name):
    rule = RULES[name]
    good = "a" if rule.kind == "text" else 1
    for value in ([good, good], good, None, "a", [None], [[good]], [math.nan] if rule.kind != "text" else [""]):
        with pytest.raises(ValueError, match=f"parameter {name} must be a list of "):
            check("any", **{name: value})
    if rule.least:
        with pytest.raises(ValueError, match=f"parameter {name} must be a list of "):
            check("any", **{name: []})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concepts", 3),
        ("concepts", 51),
        ("trials", 0),
        ("layer", -1),
        ("layers", [2, -1]),
        ("strength", 0),
        ("strengths", [1, 0]),
        ("depths", [1.01]),
        ("sentences", 0),
        ("words_in_map", 0),
        ("random_sets", 0),
        ("prices", [1]),
        ("prices", [1.0, -2.0]),
        ("judged", 19),
        ("temperature", -0.1),
        ("transcript", "plan"),
        ("quantise", "4 bit"),
        ("span", "everywhere"),
        ("where", "here"),
        ("word", "  "),
        ("model", ""),
        ("device", "gpu"),
        ("dtype", "int8"),
        ("seed", -1),
        ("seed", True),
    ],
)
def test_a_value_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^(parameter )?{name} "):
        check("any", **{name: value})


def test_every_choice_has_a_run_folder_of_its_own():
    runs = [
        check("04_detect", model=model, layers=layers, strengths=[1.0], device="").run
        for model in ("introspector", "/some/where/mine", "a/b $c")
        for layers in ([], [1], [1, 2])
    ]
    assert len(set(runs)) == len(runs)
    assert runs[0].startswith("04_detect/introspector-") and runs[3].startswith("04_detect/mine-")
    assert check("04_detect", model="introspector", layers=(), strengths=[1], device="").run == runs[0]


@pytest.mark.parametrize("file", COURSE, ids=lambda file: file.stem)
def test_every_notebook_checks_all_its_parameters_and_its_defaults_pass(file):
    defaults = read_defaults(file)
    settings = check(file.stem, **defaults)
    assert settings.values.keys() == defaults.keys()
    source = file.read_text(encoding="utf-8")
    assert f'parameters.check(\\"{file.stem}\\"' in source or f'\\"{file.stem}\\",' in source
    assert all(f"{name}={name}" in source for name in defaults)


def test_every_rule_says_what_is_allowed():
    for name, rule in RULES.items():
        assert len(str(rule)) > 3 and "inf" not in str(rule), name
    assert str(RULES["prices"]) == "a list of 2 different values, each a number from 0"
    assert str(RULES["where"]) == "'auto' or 'ndif' or 'local'"
    assert parameters.whole(1, 3).normalise(2.0) == 2
