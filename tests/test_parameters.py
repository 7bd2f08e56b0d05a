"""Parameters of the notebooks: what is allowed, numbers as people write them, a run folder for every choice."""

import math

import numpy as np
import papermill
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
        ("device", " cpu ", "cpu"),
        ("model", "'introspector'", "introspector"),
        ("model", "“introspector”", "introspector"),
        ("question", "'Do you \"notice\" it?'", 'Do you "notice" it?'),
        ("question", "'Hello', she said 'no'", "'Hello', she said 'no'"),
        ("seed", "٣", 3),
        ("trials", " 5 ", 5),
        ("trials", "1e2", 100),
        ("trials", "'3'", 3),
        ("strength", "-1e-3", -0.001),
        ("strength", "\N{MINUS SIGN}2", -2.0),
        ("strengths", "[\N{MINUS SIGN}1, 1]", [-1.0, 1.0]),
        ("layers", "'[4, 6]'", [4, 6]),
        ("layers", '"4,6"', [4, 6]),
        ("models", "'[novice, bluffer]'", ["novice", "bluffer"]),
        ("layers", "1,2,", [1, 2]),
        ("layers", " [ ] ", []),
        ("layers", "['1', \"2\"]", [1, 2]),
        ("models", "a (copy), b", ["a (copy)", "b"]),
        ("models", "(a)", ["a"]),
        ("prices", "1,1", [1.0, 1.0]),
        ("prices", "[0, 0]", [0.0, 0.0]),
        ("untrained", "ON", True),
        ("untrained", "off", False),
    ],
)
def test_what_people_type_is_read_as_they_mean_it(name, typed, value):
    found = read(name, typed)
    assert found == value and type(found) is type(value)


NEVER = {
    "whole": [
        "",
        "1.5",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "0x10",
        "one",
        "True",
        "[1]",
        "_1",
        "1__0",
        "1 000",
        "2,",
        "½",
        "−2",
    ],
    "number": ["", "many", "nan", "inf", "-inf", "1e400", "0x10", "True", "1,5,x", "1/2", "2;", "5 %", "1e"],
    "flag": ["", "maybe", "2", "[True]", "None", "ja"],
}
BROKEN_LISTS = [
    "1 2",
    "[1, 2",
    "1, 2]",
    "(1, 2]",
    "{1, 2}",
    "1,,2",
    ",1",
    "[,]",
    "[[1, 2]]",
    "[1], [2]",
    "1;2",
    "1-3",
    "'1, 2",
    "1, 1",
]


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.kind in NEVER and not rule.many])
def test_what_is_no_number_is_refused_with_what_is_allowed(name):
    for typed in NEVER[RULES[name].kind]:
        with pytest.raises(ValueError, match=f"parameter {name} must be "):
            read(name, typed)
    for value in (None, [], {}, "1", math.nan, math.inf, object(), 10**400, -(10**400), 1j):
        with pytest.raises(ValueError, match=f"parameter {name} must be "):
            check("any", **{name: value})


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.many])
def test_lists_have_no_duplicates_and_no_value_out_of_range(name):
    rule = RULES[name]
    good = "a" if rule.kind == "text" else 1
    twice = [] if rule.repeats else [[good, good], [good, good, good]]
    wrong = ["", " a", "'a'", "“a”"] if rule.kind == "text" else [math.nan, 10**400, True, "1"]
    for value in (*twice, good, None, "a", {good}, range(2), [None], [[good]], *([each] for each in wrong)):
        with pytest.raises(ValueError, match=f"parameter {name} must be a list of "):
            check("any", **{name: value})
    if rule.least:
        with pytest.raises(ValueError, match=f"parameter {name} must be a list of "):
            check("any", **{name: []})


@pytest.mark.parametrize("typed", BROKEN_LISTS)
def test_a_list_that_is_not_whole_is_refused(typed):
    for name in ("layers", "doses", "prices"):
        if name != "prices" or typed != "1, 1":
            with pytest.raises(ValueError, match=f"parameter {name} must be a list of "):
                read(name, typed)


@pytest.mark.parametrize(
    "typed", ["[a", "a]", "'a", "a'", '"a', "a,,b", "[[a]]", "['a, b', c]", "a, 'a'", "a, a ", "''", "[(a]"]
)
def test_a_list_of_names_with_half_a_bracket_or_quote_is_refused(typed):
    with pytest.raises(ValueError, match="parameter models must be a list of "):
        read("models", typed)


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
        ("prices", [1]),
        ("prices", [1.0, -2.0]),
        ("judged", 19),
        ("temperature", -0.1),
        ("temperature", 0.0005),  # the engine takes none between 0 and 0.001
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
        ("seed", 0.0),
        ("seed", 2**70),
        ("layer", 10**400),
        ("strength", 1e300),
        ("trials", 3.0),
        ("prices", [1, 2, 3]),
        ("model", "'introspector'"),
        ("model", " introspector"),
        ("device", "  "),
        ("device", "CUDA"),
        ("device", "cuda:99"),
        ("device", "meta"),
        ("device", "vulkan"),
        ("device", "hpu"),
        ("judge_url", "api.openai.com/v1"),
        ("judge_url", "https://user:word@host/v1"),
        ("judge_key", "my key"),
        ("judge_url", "https://"),
        ("question", "\u200b"),
        ("word", "\u200b\u200d"),
    ],
)
def test_a_value_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^(parameter )?{name} "):
        check("any", **{name: value})


def test_a_key_typed_as_its_variables_name_is_not_shown():
    with pytest.raises(ValueError, match="the name of an environment variable") as refused:
        check("any", judge_key="hf_secret")
    assert "secret" not in str(refused.value)
    assert check("any", judge_key="MY_KEY", judge_url="http://localhost:8000/v1").values["judge_key"] == "MY_KEY"


@pytest.mark.parametrize("name", ["strenght", "Strength", "strength ", "STRENGTH"])
def test_an_unknown_parameter_is_met_with_the_nearest_one(name):
    for call in (lambda: read(name, "1"), lambda: check("any", **{name: 1})):
        with pytest.raises(ValueError, match=f"there is no parameter '{name}'; did you mean 'strength'"):
            call()


@pytest.mark.parametrize(
    ("notebook", "given", "message"),
    [
        (
            "04_detect",
            {"wording": "lab visit"},
            "parameter wording: injected_thought has no wording 'lab visit'; it has lab_visit",
        ),
        ("04_detect", {"wording": "nowhere.yaml"}, "parameter wording: no wording file 'nowhere.yaml'"),
        ("05_tell", {"wording": "lab_visit"}, "parameter wording: thought_or_text has no wording"),
        ("05_tell", {"repeat_wording": "copy"}, "parameter repeat_wording: thought_or_text has no wording 'copy'"),
        ("06_recognise", {"wording": "on purpose"}, "parameter wording: intended_or_not has no wording"),
        ("07_control", {"frames": ["think", "dont think", "mention"]}, "parameter frames: .*no wording 'dont think'"),
    ],
)
def test_an_unknown_wording_is_refused_before_a_model_is_loaded(notebook, given, message):
    with pytest.raises(ValueError, match=message):
        check(notebook, **given)


def test_a_damaged_wording_file_is_refused_before_a_model_is_loaded(tmp_path):
    for content in ("turns: []", "- a", "", "3"):
        (tmp_path / "mine.yaml").write_text(content)
        with pytest.raises(ValueError, match=r"parameter wording: .*mine\.yaml.*needs turns"):
            check("04_detect", wording=str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    "given",
    [
        {"models": ["stage1/final", "stage2/final"]},
        {"models": ["stage1/final", "stage1/../stage1/final/"]},
        {"organisms": ["SmolLM2", "smollm2"]},
        {"model": "stage1/final", "compare": ["Qwen/Qwen2.5-0.5B", "stage2/final"]},
        {"models": ["stage1/link", "stage2/link"]},
        {"models": ["stage1/final", "stage2/final/sub/.."]},
        {"models": ["~/final", "stage2/final"]},
        {"models": ["Qwen/final", "https://huggingface.co/Qwen/Final"]},
        {"models": ["smollm2", "cache/SmolLM2-135M-Instruct"]},
        {"models": ["final.gguf", "stage1/../final.gguf"]},
        {"model": "stage1/final", "control_model": "stage2/final"},
        {"organisms": ["stage1/final", "novice"], "chosen_on": "stage2/final"},
        {"start": "stage1/final", "shipped": "stage2/final"},
        {"model": "stage1/novice", "compare": []},  # notebook 12 shows the novice beside it
        {"model": "introspector", "compare": ["stage1/novice"]},
    ],
    ids=str,
)
def test_two_models_that_tables_would_call_the_same_are_refused(given, tmp_path, monkeypatch):
    for stage in ("stage1", "stage2"):
        (tmp_path / stage / "final" / "sub").mkdir(parents=True)
        (tmp_path / stage / "novice").mkdir()
        (tmp_path / stage / "link").symlink_to(tmp_path / stage / "final")
    (tmp_path / "cache" / "SmolLM2-135M-Instruct").mkdir(parents=True)
    (tmp_path / "final.gguf").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "stage1"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match="would both be called '(final|link|novice|qwen/final|SmolLM2-135M-Instruct|final-.*)'"
    ):
        check("any", **given)
    assert check("any", models=["a/final", "b/final", "introspector", "stage1/final"])  # the first two: ids of the hub
    assert check("any", models=["stage1/link", "stage1/final"])  # one folder, but two names in tables
    for again in (
        {"model": "novice", "control_model": "novice"},
        {"start": "stage1/novice", "shipped": "introspector"},
    ):
        assert check("any", **again)
    assert check("any", model="introspector", compare=["novice", "stage1/final"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("introspctor", "introspector"), ("Novice", "novice"), ("bluffer/", "bluffer"), ("smolm2", "smollm2")],
)
def test_a_typo_in_the_name_of_a_model_is_told_before_the_first_one_runs(typed, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"there is no model '{typed}'; did you mean '{meant}'"):
        check("any", model="smollm2", compare=[typed])
    (tmp_path / typed).mkdir()
    assert check("any", model="SmolLM2", compare=[f"x/{meant}x", "gpt2"])  # ids of the hub may be like them
    assert check("any", model=typed)


@pytest.mark.parametrize("name", ["introspector", "novice", "bluffer"])
def test_a_folder_that_notebook_04_would_call_an_organism_is_refused(name, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"would both be called '{name}'"):
        check("04_detect_injected_thoughts", model=str(tmp_path / name))
    assert check("04_detect_injected_thoughts", model=name)
    assert check("01_read_activations", model=str(tmp_path / name))  # no organism is shown beside it


@pytest.mark.parametrize("name", ["/no/where", "./nowhere", "~/nowhere", "~nobody-of-this-name/x", "../no.gguf"])
def test_a_path_that_leads_nowhere_is_refused_before_the_other_models_are_measured(name):
    for given in ({"model": name}, {"model": "novice", "compare": [name]}, {"start": "novice", "shipped": name}):
        with pytest.raises(ValueError, match="there is no model at .*, seen from /"):
            check("any", **given)


@pytest.mark.parametrize(
    "name",
    [
        "novice bluffer",
        "out/stage2/final",
        "Qwen/Qwen3-8B, Qwen/Qwen3-4B",
        "models/SmolLM2.Q4_K_M.GGUF",
        "https://huggingface.co/Qwen/Qwen3-8B/tree/other",
        "https://huggingface.co/Qwen/Qwen3-8B-GGUF/blob/main/Qwen3-8B-Q8_0.gguf",
        "Qwen/Qwen3 8B",
    ],
)
def test_a_name_that_is_neither_here_nor_can_be_at_the_hub_is_refused_at_once(name):
    with pytest.raises(ValueError, match="there is no model at .*, and the hub has no such names"):
        check("any", model="novice", compare=[name])
    for hub in ("gpt2", "Qwen/Qwen3-8B", "hf.co/allenai/OLMo-2-0425-1B-Instruct", "https://huggingface.co/a/b_c.d/"):
        assert check("any", model="novice", compare=[hub])
    for same in ("qwen/Qwen3-8B/", "https://huggingface.co/Qwen/Qwen3-8B/tree/main"):
        with pytest.raises(ValueError, match="would both be called 'qwen/qwen3-8b'"):
            check("any", models=["Qwen/Qwen3-8B", same])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"word": "oceans", "other_word": "oceans"}, "parameters word and other_word must differ, both are 'oceans'"),
        ({"judge_url": "https://host/v1", "judge_model": ""}, "judge_url and judge_model belong together"),
        ({"judge_url": "https://host/v1", "judge_model": "stand-in"}, "judge_url and judge_model belong together"),
        ({"judge_url": "", "judge_model": "gpt-4o"}, "judge_url and judge_model belong together"),
    ],
)
def test_parameters_that_make_no_sense_together_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        check("any", **given)
    assert check("any", judge_url="https://host/v1", judge_model="gpt-4o")
    assert check("any", judge_url="", judge_model="stand-in")


def test_every_choice_has_a_run_folder_of_its_own():
    runs = [
        check("04_detect", model=model, layers=layers, strengths=[1.0], device="").run
        for model in ("introspector", "somewhere/mine", "a/b.c")
        for layers in ([], [1], [1, 2])
    ]
    assert len(set(runs)) == len(runs)
    assert runs[0].startswith("04_detect/introspector-") and runs[3].startswith("04_detect/mine-")
    assert check("04_detect", model="introspector", layers=(), strengths=[1], device="").run == runs[0]


@pytest.mark.parametrize("file", COURSE, ids=lambda file: file.stem)
def test_every_notebook_checks_all_its_parameters_and_its_defaults_pass(file):
    defaults = read_defaults(file)
    settings = check(file.stem, **defaults)
    assert settings.values.keys() == defaults.keys() == papermill.inspect_notebook(file).keys()
    source = file.read_text(encoding="utf-8")
    assert f'parameters.check(\\"{file.stem}\\"' in source or f'\\"{file.stem}\\",' in source
    assert all(f"{name}={name}" in source for name in defaults)


def test_numbers_of_numpy_are_numbers():
    """A cell may hold `layers = list(np.linspace(0, 8, 5).astype(int))`."""
    given = {"layers": list(np.arange(4)), "doses": [np.float32(0.5), np.float64(1)], "seed": np.int64(3)}
    plain = {"layers": [0, 1, 2, 3], "doses": [0.5, 1.0], "seed": 3}
    assert check("any", **given) == check("any", **plain)
    for wrong in (np.float64(2), np.bool_(True), np.int64(-1), np.nan):
        with pytest.raises(ValueError, match="parameter seed must be a whole number from 0"):
            check("any", seed=wrong)


def test_every_rule_says_what_is_allowed():
    for name, rule in RULES.items():
        assert len(str(rule)) > 3 and "inf" not in str(rule), name
    assert str(RULES["prices"]) == "a list of 2 values, each a number from 0 to 1000000"
    assert str(RULES["model"]) == "a non-empty text without quotes or spaces around it"
    assert str(RULES["where"]) == "'auto' or 'ndif' or 'local'"
    assert parameters.number(0, 3).normalise(2) == 2.0
    assert check("any", depth=-0.0).run == check("any", depth=0).run
