"""Transcripts: read prompt templates from data/prompts/*.yaml, render them with a model's chat template, find token ranges.

An injection is only as good as its position. Every range is therefore found in the *rendered* text, by the offsets that
the tokenizer reports, and counted in the prompt's own tokens: left padding is added later and shifts nothing here.
(More than 300 lines, since reading, checking, filling and rendering a wording share its placeholders and markers.)
"""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Formatter

import yaml

from helpers.checks import is_number
from helpers.models.replies import NEXT_TURNS, PLAIN_TRANSCRIPT, write_turns
from helpers.paths import ROOT, from_home

PROMPT_FOLDER = ROOT / "data" / "prompts"
MARKER = re.compile(r"<<(/?)(\w+)>>")
ROLES = ("system", "user", "assistant")
LARGEST_FILE = 100_000  # bytes of a reader's own wording


@dataclass(frozen=True)
class PromptTemplate:
    """One wording of an experiment's transcript: turns of (role, text with {placeholders} and <<span>> markers)."""

    experiment: str
    id: str
    turns: tuple[tuple[str, str], ...]
    variant: str = ""
    held_out: bool = False  # True: never used to train the model organisms

    def __post_init__(self):
        """Raise ValueError for a role, a placeholder or a marker that `render` could not use."""
        pairs = isinstance(self.turns, tuple | list) and all(isinstance(turn, tuple | list) for turn in self.turns)
        if not pairs or not self.turns or any(len(turn) != 2 for turn in self.turns):
            raise ValueError(f"wording {self.id!r} needs turns of (role, text), got {self.turns!r:.80}")
        for role, text in self.turns:
            if role not in ROLES or not isinstance(text, str) or not text:
                allowed = f"a turn needs text and one of the roles {', '.join(ROLES)}"
                raise ValueError(f"wording {self.id!r}: {allowed}, got {role!r}: {text!r:.40}")
            _fill(text, dict.fromkeys(_placeholders(text), ""))
        if len(MARKER.findall("".join(text for _, text in self.turns))) > 2 * len(self.spans):
            raise ValueError(f"wording {self.id!r} marks the same span in two turns")
        if taken := [name for name in self.spans if re.fullmatch(r"(?:(?:read_)?from_)?turn_\d+", name)]:
            raise ValueError(f"wording {self.id!r} marks the span {taken[0]!r}, which is the name of a whole turn")

    @property
    def placeholders(self) -> set[str]:
        """The names of all {placeholders}."""
        return set().union(*(_placeholders(text) for _, text in self.turns))

    @property
    def spans(self) -> set[str]:
        """The names of all <<marked>> spans."""
        return {name for _, text in self.turns for _, name in MARKER.findall(text)}


@dataclass(frozen=True)
class Prompt:
    """A rendered transcript.

    token_ids: the tokens the model reads, with exactly one BOS (or none, for tokenizers that have none).
    spans: name -> (start, end), token range [start, end). Named markers; "turn_k", the content of turn k;
    "from_turn_k", from the first token after the content of turn k - 1 (the blank line, or turn marker, before turn k)
    to the end of the prompt, and by convention on through every generated token; "read_from_turn_k", the same tokens of the
    prompt without the generated ones.
    """

    text: str
    token_ids: tuple[int, ...]
    spans: dict[str, tuple[int, int]]

    def span(self, name: str) -> tuple[int, int]:
        """The token range called `name`; KeyError with the known names otherwise."""
        if name not in self.spans:
            raise KeyError(f"this prompt has no span {name!r}; it has {', '.join(sorted(self.spans))}")
        return self.spans[name]


@lru_cache
def read_prompt_file(name: str) -> dict:
    """The parsed file data/prompts/{name}.yaml; FileNotFoundError names the files that exist."""
    path = PROMPT_FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in PROMPT_FOLDER.glob("*.yaml")))
        raise FileNotFoundError(f"no prompt file {name!r} in data/prompts; there are: {known}")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _template_from(experiment: str, entry: dict) -> PromptTemplate:
    """A template from its entry in a YAML file; ValueError for an entry of another form."""
    name = entry.get("id") if isinstance(entry, dict) else None
    turns = entry.get("turns") if isinstance(entry, dict) else None
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) and len(turn) == 1 for turn in turns):
        raise ValueError(f"wording {name!r} needs turns, each with one role: - user: text")
    texts = [(role, text.strip() if isinstance(text, str) else text) for turn in turns for role, text in turn.items()]
    return PromptTemplate(experiment, name, tuple(texts), entry.get("variant", ""), bool(entry.get("held_out", False)))


@lru_cache
def _templates(experiment: str) -> list[PromptTemplate]:
    """All templates of an experiment, in file order."""
    content = read_prompt_file(experiment)
    if "wordings" not in content:
        raise KeyError(f"data/prompts/{experiment}.yaml holds no wordings, it is of no experiment")
    return [_template_from(experiment, entry) for entry in content["wordings"]]


def load_templates(experiment: str, variant: str | None = None) -> dict[str, PromptTemplate]:
    """All templates of an experiment by id, in file order; only those of one `variant` where it is given."""
    templates = _templates(experiment)
    known = sorted({template.variant for template in templates})
    if variant is not None and variant not in known:
        raise KeyError(f"{experiment} has no variant {variant!r}; it has {', '.join(map(repr, known))}")
    return {template.id: template for template in templates if variant in (None, template.variant)}


def get_template(experiment: str, wording: str) -> PromptTemplate:
    """The template with this id, or the one in a YAML file of your own (a path that ends in .yaml or .yml).

    Such a file holds an entry like those in data/prompts: `turns:` with the experiment's placeholders and spans. KeyError with
    the known ids for another id; FileNotFoundError or ValueError for a file that is not there or of another form.
    """
    if str(wording).lower().endswith((".yaml", ".yml")):
        return _own_template(experiment, str(wording))
    templates = load_templates(experiment)
    if str(wording) not in templates:
        raise KeyError(f"{experiment} has no wording {wording!r}; it has {', '.join(templates)}, or give a YAML file")
    return templates[str(wording)]


class TextLoader(yaml.BaseLoader):
    """Reads every value as text, so that Yes stays a word, and refuses a key given twice, of which YAML's own keeps the last."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.MarkedYAMLError(problem=f"the key {twice[0]!r} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _own_template(experiment: str, wording: str) -> PromptTemplate:
    """The template in a reader's own file, checked against those of the experiment: `get_template` says what is raised."""
    file = from_home(wording)
    if not file.is_file():
        raise FileNotFoundError(f"no wording file {wording!r}, seen from {Path.cwd()}")
    if file.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{wording} must hold at most {LARGEST_FILE} bytes")
    try:
        entry = yaml.load(file.read_text("utf-8-sig"), Loader=TextLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{wording} is not YAML in UTF-8: {' '.join(str(error).split())}") from None
    entry = entry if isinstance(entry, dict) else {}
    if not set(entry) <= {"id", "turns", "variant"}:
        raise ValueError(f"{wording} needs turns: and no other keys, got {list(entry)[:9]}")
    template = _template_from(experiment, {**entry, "id": wording})
    known = _templates(experiment)
    allowed = set().union(*(each.placeholders for each in known))
    spans = set.intersection(*(each.spans for each in known)) - {"prefill"}  # that one is marked and never used
    roles, *orders = ([role for role, _ in each.turns] for each in (template, *known))
    turns = min(map(len, orders))
    faults = [f"{{{name}}} gets no value" for name in sorted(template.placeholders - allowed)]
    faults += [f"<<{name}>>...<</{name}>> is missing" for name in sorted(spans - template.spans)]
    faults += [f"{turns} turns are needed"] * (len(roles) < turns)
    fixed = not spans and orders.count(orders[0]) == len(orders)  # the injection begins with a turn of fixed number
    if fixed and roles not in (orders[0], [*orders[0], "assistant"]):
        faults.append(f"the turns must be {', '.join(orders[0])}, any system text in the first; got {', '.join(roles)}")
    if faults:
        raise ValueError(f"wording {wording} is none of {experiment}: {'; '.join(faults)}")
    return template


def load_lines(held_out: bool = True) -> list[str]:
    """The plain sentences of experiments 2 to 4; by default those that organism training never saw."""
    return list(read_prompt_file("lines")["held_out" if held_out else "train"])


def _placeholders(text: str) -> set[str]:
    """The names in braces. ValueError for a stray brace, and for a name with more to it: {a.b}, {a!r:>9}, {}."""
    try:
        fields = [field for field in Formatter().parse(MARKER.sub("", text)) if field[1] is not None]
    except ValueError as error:
        raise ValueError(f"stray brace in {text!r:.80} ({error}); write {{{{ and }}}} for a brace itself") from None
    for _, name, form, conversion in fields:
        if not name.isidentifier() or form or conversion:
            raise ValueError(f"a placeholder is a name in braces such as {{line}}, got {{{name}}} in {text!r:.80}")
    return {name for _, name, _, _ in fields}


def _fill(text: str, values: dict) -> tuple[str, dict[str, tuple[int, int]]]:
    """Fill placeholders and strip markers; return the text and the character range of each marked span.

    Only the wording's own markers and braces count: whatever a value holds is text. ValueError for a marker without its other half.
    """
    plain, ranges, opened, cursor = "", {}, {}, 0
    try:
        for marker in MARKER.finditer(text):
            plain += text[cursor : marker.start()].format(**values)
            cursor = marker.end()
            closing, name = marker.groups()
            if bool(closing) != (name in opened) or name in ranges:
                raise ValueError(f"the marker {marker[0]} has no other half, or is given twice: {text!r:.80}")
            if closing:
                ranges[name] = (opened.pop(name), len(plain))
            else:
                opened[name] = len(plain)
        plain += text[cursor:].format(**values)
    except KeyError as missing:
        raise KeyError(f"the wording needs a value for {{{missing.args[0]}}}; given: {sorted(values)}") from None
    if opened:
        raise ValueError(f"the span <<{min(opened)}>> is opened and never closed: {text!r:.80}")
    return plain, ranges


def _template_text(tokenizer, messages: list[dict]) -> str:
    """The conversation as the model's chat template writes it."""
    if not getattr(tokenizer, "chat_template", None):
        name = getattr(tokenizer, "name_or_path", "") or "this tokenizer"
        raise ValueError(
            f"{name} has no chat template, so it cannot hold a conversation. Use an instruction-tuned (chat) model, "
            "or, for a base model, helpers.models.load(..., transcript='plain') (in notebook 12: -p transcript plain)"
        )
    prefilled = messages[-1]["role"] == "assistant"
    options = {"add_generation_prompt": not prefilled, "continue_final_message": prefilled}
    # Qwen3 and its kind would otherwise reason in text first; other templates ignore it
    return write_turns(tokenizer, messages, **options, enable_thinking=False)


def check_values(tokenizer, values: dict) -> None:
    """Raise ValueError for a value that is neither text nor a finite number, or that would write a turn of its own: a special
    token, or the next speaker of a transcript."""
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    forbidden = special | set(tokenizer.all_special_tokens)
    if tokenizer.chat_template == PLAIN_TRANSCRIPT:
        forbidden |= set(NEXT_TURNS)
    for name, value in values.items():
        if not isinstance(value, str) and not (is_number(value) and math.isfinite(value)):
            raise ValueError(f"the {name} must be text or a finite number, got {value!r:.80}")
        if found := [token for token in forbidden if token and token in str(value)]:
            raise ValueError(
                f"the {name} {str(value)[:60]!r} holds {found[0]!r}, which this model reads as the border of a turn"
            )


def _turn_starts(tokenizer, roles: list[str], contents: list[str], text: str) -> list[int]:
    """Character at which each turn's content begins in the rendered text.

    The template is rendered once more with stand-ins for the contents; what lies between these is the template's own, so a
    content that also occurs elsewhere (a role's name, a line said twice) is not taken for another.
    """
    stand_ins = [f"\N{SYMBOL FOR NULL}{k}\N{SYMBOL FOR NULL}" for k in range(len(roles))]
    turns = [{"role": role, "content": stand_in} for role, stand_in in zip(roles, stand_ins, strict=True)]
    frame = _template_text(tokenizer, turns)
    starts, assembled = [], ""
    for k, (stand_in, content) in enumerate(zip(stand_ins, contents, strict=True)):
        before, found, frame = frame.partition(stand_in)
        assembled += before
        starts.append(len(assembled))
        assembled += content
        if not found or not text.startswith(assembled):
            raise ValueError(f"the chat template changed turn {k} ({content[:40]!r}...): its position is unknown")
    return starts


def _tokens_of(ranges: list[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """Token range that overlaps the characters [start, end)."""
    touched = [i for i, (a, b) in enumerate(ranges) if b > a and a < end and b > start]
    if not touched or start == end:
        raise ValueError(f"no token covers the characters {start} to {end}: a turn or marked span is empty")
    return touched[0], touched[-1] + 1


def tokenize_once(tokenizer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids with exactly one BOS (where the tokenizer has one and uses it) and each token's character range."""
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError("spans need character offsets, which only fast tokenizers report (use_fast=True)")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = list(encoded["input_ids"]), [tuple(pair) for pair in encoded["offset_mapping"]]
    bos = tokenizer.bos_token_id
    adds_bos = bos is not None and bos in tokenizer("").input_ids
    if adds_bos and ids[:1] != [bos]:
        ids, offsets = [bos, *ids], [(0, 0), *offsets]
    if bos is not None and ids[:2] == [bos, bos]:
        raise ValueError("the rendered prompt begins with two BOS tokens; the chat template already adds one")
    return ids, offsets


def render(tokenizer, template: PromptTemplate, **values) -> Prompt:
    """Render one transcript with the model's chat template and find its token ranges.

    Args:
        tokenizer: of the model that will read it.
        template: from `get_template`, or one's own.
        values: fill the template's {placeholders}.

    Raises:
        KeyError: for a missing value.
        ValueError: for a value that `check_values` refuses, and for a tokenizer without a chat template or with one that changes
            the text of a turn so that it can no longer be found.
    """
    check_values(tokenizer, {f"text of turn {k}": text for k, (_, text) in enumerate(template.turns)} | values)
    filled = [(role, *_fill(text, values)) for role, text in template.turns]
    roles, contents, _ = zip(*filled, strict=True)
    text = _template_text(tokenizer, [{"role": role, "content": content} for role, content, _ in filled])
    starts = _turn_starts(tokenizer, roles, contents, text)
    ids, offsets = tokenize_once(tokenizer, text)
    spans, previous_end = {}, 0
    for k, (start, (_, content, marked)) in enumerate(zip(starts, filled, strict=True)):
        spans[f"turn_{k}"] = _tokens_of(offsets, start, start + len(content))
        spans[f"from_turn_{k}"] = spans[f"read_from_turn_{k}"] = (previous_end, len(ids))
        for name, (first, end) in marked.items():
            spans[name] = _tokens_of(offsets, start + first, start + end)
        previous_end = spans[f"turn_{k}"][1]
    return Prompt(text, tuple(ids), spans)


def first_tokens(tokenizer, prompt: Prompt, *words: str) -> list[list[int]]:
    """For each word, the tokens with which a reply to this prompt that begins with it can begin; the lists are disjoint.

    Found by continuing the prompt's own text, as tokenizers write the first word of a reply in different ways. A word whose
    forms all begin like another word's (with a bare space, say) gets an empty list.
    """
    found, length = [], len(prompt.token_ids)
    for word in words:
        forms = {form for base in (word, word.lower()) for form in (base, f" {base}")}
        continued = [tokenize_once(tokenizer, prompt.text + form)[0] for form in forms]
        found.append({ids[length] for ids in continued if tuple(ids[:length]) == prompt.token_ids and ids[length:]})
    return [sorted(own - set().union(*found[:k], *found[k + 1 :])) for k, own in enumerate(found)]
