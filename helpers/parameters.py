"""The notebooks' parameters: what is allowed under each name, numbers as people write them, a run folder for each choice.

A name means the same in every notebook, so each rule is here, and only here (hence more than 300 lines); what a new choice
does is written where it is used (`dtype`, `quantise`: models/loading; `where`: remote; `span`: playground/pages). The cell
behind a notebook's parameters calls `check`, and `python -m helpers.run_notebook` reads what is typed by the same rules before
a kernel starts.
"""

import difflib
import hashlib
import json
import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from helpers.checks import finite_number, whole_number
from helpers.engine.generation import LOWEST_TEMPERATURE
from helpers.grading.endpoint import ENVIRONMENT_VARIABLE
from helpers.models.downloads import SMOLLM2, hub_id
from helpers.models.loading import check_device, check_dtype, name_in_tables, shipped_organisms
from helpers.paths import from_home
from helpers.prompts import get_template

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
HUB_ID = re.compile(r"(?!.*\.gguf$)\w[\w.-]*(/\w[\w.-]*)?", re.ASCII | re.IGNORECASE)  # "gpt2", "Qwen/Qwen3-8B"
QUOTES = ('""', "''", "``", "“”", "‘’", "«»")


@dataclass(frozen=True)
class Rule:
    """What a parameter may be.

    Attributes:
        kind: "whole", "number", "text" or "flag".
        low, high: smallest and largest number.
        other_than_0: for numbers that must not be 0.
        many: a list of such values; they must differ, unless `repeats`.
        least, most: length of the list, or of a text.
        choices: the texts that are allowed, if not any.
        check: a further check of what is neither empty nor 0, that raises ValueError.
    """

    kind: str
    low: float = 0
    high: float = 0
    other_than_0: bool = False
    many: bool = False
    repeats: bool = False
    least: int = 1
    most: float = math.inf
    choices: tuple[str, ...] = ()
    check: object = None

    def __str__(self) -> str:
        """What is allowed, in words."""
        text = f"{'non-empty ' if self.many or self.least else ''}text without quotes or spaces around it"
        words = {"whole": "whole number", "number": "number", "text": text, "flag": "True or False"}[self.kind]
        words += " other than 0" if self.other_than_0 else ""
        if self.kind in ("whole", "number"):
            words += f" from {self.low:g} to {self.high:.12g}"
        if self.choices:
            words = " or ".join(map(repr, self.choices))
        if not self.many:
            return f"a {words}" if self.kind != "flag" and not self.choices else words
        count = (
            f"{self.least}" if self.least == self.most else f"at least {self.least}" if self.least else "any number of"
        )
        return f"a list of {count}{'' if self.repeats else ' different'} values, each a {words}"

    def read(self, text: str):
        """The value that a person means by this text; ValueError where it cannot be one."""
        text = text.strip()
        if not self.many:
            return self._read_one(text)
        text = _unquoted(text)  # Windows' own shell hands on the quotes around a list
        if text[:1] + text[-1:] in ("[]", "()"):
            text = text[1:-1].strip()
        parts = text.removesuffix(",").split(",") if text else []
        return [self._read_one(part.strip(), in_list=True) for part in parts]

    def _read_one(self, text: str, in_list: bool = False):
        plain = _unquoted(text)
        if in_list and (not plain or (plain == text and text.strip("".join(QUOTES) + "[](") != text)):
            raise ValueError  # an empty element, or a quote or bracket without its other half
        if self.kind == "text":
            return plain
        if self.kind == "flag":
            if plain.lower() not in (*TRUE, *FALSE):
                raise ValueError
            return plain.lower() in TRUE
        number = float(plain.replace("\N{MINUS SIGN}", "-"))  # copied from a page
        return int(number) if self.kind == "whole" and number.is_integer() else number

    def normalise(self, value):
        """The value in its plain form (3 -> 3.0 for a number); ValueError for one that is not allowed."""
        if not self.many:
            return self._one(value)
        if not isinstance(value, list | tuple):
            raise ValueError
        values = [self._one(each) for each in value]
        if not self.least <= len(values) <= self.most or (len(set(values)) < len(values) and not self.repeats):
            raise ValueError
        return values

    def _one(self, value):
        if self.kind in ("text", "flag"):
            shortest = 0 if self.choices else 1 if self.many else self.least
            if not isinstance(value, str if self.kind == "text" else bool) or value not in (self.choices or [value]):
                raise ValueError
            if self.kind == "text" and (value != _unquoted(value) or sum(map(str.isprintable, value)) < shortest):
                raise ValueError
            return value
        number = whole_number("it", value, self.low) if self.kind == "whole" else finite_number("it", value)
        if not self.low <= number <= self.high or (self.other_than_0 and number == 0):
            raise ValueError
        return number


def _unquoted(text: str) -> str:
    """The text without spaces and one pair of quotes around it."""
    text = text.strip()
    paired = len(text) > 1 and text[0] + text[-1] in QUOTES and not set(text[1:-1]) & {text[0], text[-1]}
    return text[1:-1].strip() if paired else text


def _temperature(value: float) -> None:
    if value < LOWEST_TEMPERATURE:
        raise ValueError(f"temperature must be 0 or from {LOWEST_TEMPERATURE} to 10, got {value}")


def _address(value: str) -> None:
    if not re.fullmatch(r"(?i:https?)://[^\s/?#@]+(/\S*)?", value):
        raise ValueError("judge_url must be an address such as https://host/v1, without a password, or empty")


def _variable(value: str) -> None:
    """The value is not shown: who misunderstands the parameter types the key itself."""
    if not re.fullmatch(ENVIRONMENT_VARIABLE, value):
        raise ValueError("judge_key must be the name of an environment variable, such as OPENAI_API_KEY, not the key")


text, whole, number = (partial(Rule, kind) for kind in ("text", "whole", "number"))
MODELS = text(many=True)
COMPARED, BESIDE = ("model", "models", "organisms", "compare"), ("start", "shipped", "chosen_on", "control_model")
STRONGEST = 10_000
RULES = {
    # models and machines
    "model": text(),
    "models": MODELS,
    "organisms": MODELS,
    "compare": text(many=True, least=0),
    "chosen_on": text(),
    "control_model": text(),
    "start": text(),
    "shipped": text(),
    "giant": text(),
    "where": text(choices=("auto", "ndif", "local")),
    "device": text(least=0, check=check_device),
    "dtype": text(least=0, check=check_dtype),
    "quantise": text(choices=("", "4bit", "8bit")),
    "device_map": text(choices=("", "auto")),
    "transcript": text(choices=("", "plain")),
    "untrained": Rule("flag"),
    # what is asked, and what is injected where
    "word": text(),
    "other_word": text(),
    "concept": text(),
    "question": text(),
    "wording": text(),
    "repeat_wording": text(),
    "frames": text(many=True, least=3, most=3),  # wordings of experiment 4: think, do not think, mention
    "span": text(choices=("question and reply", "question only", "reply only", "whole conversation")),
    "layer": whole(0, 1000),
    "layers": whole(0, 1000, many=True, least=0),
    "depth": number(0, 1),
    "depths": number(0, 1, many=True),
    "strength": number(-STRONGEST, STRONGEST, other_than_0=True),
    "strengths": number(-STRONGEST, STRONGEST, other_than_0=True, many=True),
    "doses": number(0, 100, other_than_0=True, many=True, least=0),
    "temperature": number(0, 10, check=_temperature),
    # how much of it
    "concepts": whole(4, 50),
    "words": whole(4, 50),
    "sentences": whole(1, 12),
    "copies": whole(1, 100),
    "trials": whole(1, 1000),
    "repeats": whole(1, 1000),
    "controls": whole(10, 10_000),
    "keep": whole(1, 100),
    "new_tokens": whole(1, 4096),
    "heads_removed": whole(1, 10_000),
    "seed": whole(0, 2**31),
    # graders
    "judge_url": text(least=0, check=_address),
    "judge_model": text(least=0),
    "judge_key": text(least=0, check=_variable),
    "prices": number(0, 1e6, many=True, repeats=True, least=2, most=2),  # of a million tokens: sent, received
    "stand_in_errors": number(0, 1),
    "judged": whole(20, 10_000),
    "label_by_hand": Rule("flag"),
    # training
    "verdict_steps": whole(1, 100_000),
    "report_steps": whole(1, 100_000),
    "few_words": whole(2, 400),
    "rate": number(1e-6, 1),
    "watch_every": whole(1, 100_000),
}


# whose wordings the parameters wording, repeat_wording and frames name, by the number of the notebook
EXPERIMENTS = {"04": "injected_thought", "05": "thought_or_text", "06": "intended_or_not", "07": "intentional_control"}
EXPERIMENTS["12"] = EXPERIMENTS["04"]


@dataclass(frozen=True)
class Settings:
    """The checked parameters of a notebook. run: the name of the run folder that belongs to them (`paths.run_folder`)."""

    values: dict
    run: str


def check(notebook: str, **given) -> Settings:
    """Check a notebook's parameters, all of them, before anything is loaded.

    Args:
        notebook: its name, such as "04_detect_injected_thoughts".
        given: every parameter by its name.

    Raises:
        ValueError: naming the parameter, its value and what is allowed.
    """
    values = {}
    for name, value in given.items():
        rule = rule_of(name)
        try:
            values[name] = rule.normalise(value)
        except ValueError:
            raise ValueError(f"parameter {name} must be {rule}, got {value!r}") from None
        if rule.check and values[name]:
            rule.check(values[name])
    experiment = EXPERIMENTS.get(notebook.split("_")[0])
    for name in ("wording", "repeat_wording", "frames") if experiment else ():
        for wording in [values[name]] if isinstance(values.get(name), str) else values.get(name, []):
            try:
                get_template(experiment, wording)
            except (KeyError, OSError, ValueError) as error:
                raise ValueError(f"parameter {name}: {error.args[0] if len(error.args) == 1 else error}") from None
    _check_models(notebook, values)
    if values.get("word", "") == values.get("other_word"):
        raise ValueError(f"parameters word and other_word must differ, both are {values['word']!r}")
    if notebook[:2] == "09" and min(values.get("strengths", [1])) < 0:
        raise ValueError("parameter strengths must be above 0 here: the opposite vector is a control of its own")
    address, judge = values.get("judge_url"), values.get("judge_model")
    if None not in (address, judge) and bool(address) != (judge not in ("", "stand-in")):
        raise ValueError(f"parameters judge_url and judge_model belong together, got {address!r} and {judge!r}")
    content = json.dumps(values, sort_keys=True, ensure_ascii=False)
    subjects = given.get("model") or (given.get("models") or given.get("organisms") or given.get("start") or "default")
    subject = subjects if isinstance(subjects, str) else subjects[0]
    slug = re.sub(r"[^\w.-]+", "-", Path(subject).name).strip("-.")[:40] or "model"
    return Settings(values, f"{notebook}/{slug}-{hashlib.sha256(content.encode()).hexdigest()[:8]}")


def _check_models(notebook: str, values: dict) -> None:
    """Raise ValueError where tables would call two models the same (a folder goes by its last name), or a name leads nowhere."""
    given = [values[name] for name in COMPARED if name in values]
    names = [name for each in given for name in ([each] if isinstance(each, str) else each)]
    also = [values[name] for name in BESIDE if name in values]
    also += shipped_organisms() if "compare" in values or notebook[:2] == "04" else []  # beside the model in 12 and 04
    names += [name for name in dict.fromkeys(also) if name not in names]
    known = [*shipped_organisms(), SMOLLM2]
    for name in names:  # a typo in the last one would be found hours later
        if name in known or name.lower() == SMOLLM2 or from_home(name).exists():
            continue
        if "/" not in name.rstrip("/") and (near := difflib.get_close_matches(name.lower(), known, 1, 0.8)):
            raise ValueError(f"there is no model {name!r}; did you mean {near[0]!r}?")
        if not HUB_ID.fullmatch(hub_id(name)):
            raise ValueError(f"there is no model at {name!r}, seen from {Path.cwd()}, and the hub has no such names")
    shown = [name_in_tables(name) for name in names]
    for place, name in enumerate(shown):
        if name in shown[:place]:
            twice = [names[shown.index(name)], names[place]]
            raise ValueError(
                f"the models {twice[0]!r} and {twice[1]!r} would both be called {name!r}: each needs its own name"
            )


def rule_of(name: str, known=RULES) -> Rule:
    """The rule of a parameter; ValueError, with the nearest name, for one that is not `known`."""
    if name not in known:
        near = difflib.get_close_matches(name.strip().lower(), known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"there is no parameter {name!r}; {hint}there are: {', '.join(known)}")
    return RULES[name]


def read(name: str, typed: str):
    """The value of a parameter from what was typed; ValueError that names what is allowed."""
    rule = rule_of(name)
    try:
        value = rule.read(typed)
        rule.normalise(value)
    except ValueError:
        raise ValueError(f"parameter {name} must be {rule}, got {typed.strip()!r}") from None
    return value
