"""Transcripts: read prompt templates from data/prompts/*.yaml, render them with a model's chat template, find token ranges.

An injection is only as good as its position. Every range is therefore found in the *rendered* text, by the offsets that
the tokenizer reports, and counted in the prompt's own tokens: left padding is added later and shifts nothing here.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml
from jinja2 import TemplateError

from helpers.models.replies import NEXT_TURNS, PLAIN_TRANSCRIPT, SECONDS_TO_RENDER, time_limit
from helpers.paths import ROOT

PROMPT_FOLDER = ROOT / "data" / "prompts"
MARKER = re.compile(r"<<(/?)(\w+)>>")
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class PromptTemplate:
    """One wording of an experiment's transcript: turns of (role, text with {placeholders} and <<span>> markers)."""

    experiment: str
    id: str
    turns: tuple[tuple[str, str], ...]
    variant: str = ""
    held_out: bool = False  # True: never used to train the model organisms

    @property
    def is_prefilled(self) -> bool:
        """True where the last turn is the assistant's: the model then continues that reply."""
        return self.turns[-1][0] == "assistant"


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
    if not turns or not all(isinstance(turn, dict) and len(turn) == 1 for turn in turns):
        raise ValueError(f"wording {name!r} needs turns, each with one role: - user: text")
    turns = tuple((role, str(text).strip()) for turn in turns for role, text in turn.items())
    for role, text in turns:
        if role not in ROLES or not text:
            raise ValueError(
                f"wording {name!r}: a turn needs text and one of the roles {', '.join(ROLES)}, got {role!r}"
            )
    return PromptTemplate(experiment, name, turns, entry.get("variant", ""), bool(entry.get("held_out", False)))


def load_templates(experiment: str, variant: str | None = None) -> dict[str, PromptTemplate]:
    """All templates of an experiment by id, in file order; only those of one `variant` where it is given."""
    templates = [_template_from(experiment, entry) for entry in read_prompt_file(experiment)["wordings"]]
    known = sorted({template.variant for template in templates})
    if variant is not None and variant not in known:
        raise KeyError(f"{experiment} has no variant {variant!r}; it has {', '.join(map(repr, known))}")
    return {template.id: template for template in templates if variant in (None, template.variant)}


def get_template(experiment: str, wording: str) -> PromptTemplate:
    """The template with this id, or the one in a YAML file of your own (a path that ends in .yaml or .yml).

    Such a file holds an entry like those in data/prompts: `turns:` with the experiment's placeholders and spans. KeyError with
    the known ids for another id; FileNotFoundError or ValueError for a file that is not there or of another form.
    """
    if str(wording).endswith((".yaml", ".yml")):
        file = Path(wording).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"no wording file {wording!r}, seen from {Path.cwd()}")
        try:
            entry = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{wording} is not YAML: {str(error).splitlines()[0]}") from None
        return _template_from(experiment, {**entry, "id": str(wording)} if isinstance(entry, dict) else entry)
    templates = load_templates(experiment)
    if wording not in templates:
        raise KeyError(f"{experiment} has no wording {wording!r}; it has {', '.join(templates)}, or give a YAML file")
    return templates[wording]


def load_lines(held_out: bool = True) -> list[str]:
    """The plain sentences of experiments 2 to 4; by default those that organism training never saw."""
    return list(read_prompt_file("lines")["held_out" if held_out else "train"])


def _fill(text: str, values: dict) -> tuple[str, dict[str, tuple[int, int]]]:
    """Fill placeholders and strip markers; return the text and the character range of each marked span.

    Only the wording's own markers and braces count: whatever a value holds is text.
    """
    plain, ranges, opened, cursor = "", {}, {}, 0

    def filled(piece: str) -> str:
        try:
            return piece.format(**values)
        except KeyError as missing:
            raise KeyError(f"the wording needs a value for {{{missing.args[0]}}}; given: {sorted(values)}") from None
        except (ValueError, IndexError) as error:
            raise ValueError(f"stray brace in {piece!r} ({error}); write {{{{ and }}}} for a brace itself") from None

    for marker in MARKER.finditer(text):
        plain += filled(text[cursor : marker.start()])
        cursor = marker.end()
        closing, name = marker.groups()
        if closing and name not in opened:
            raise ValueError(f"the span <</{name}>> is closed and was never opened")
        if closing:
            ranges[name] = (opened.pop(name), len(plain))
        else:
            opened[name] = len(plain)
    if opened:
        raise ValueError(f"the span <<{next(iter(opened))}>> is opened and never closed")
    return plain + filled(text[cursor:]), ranges


def _template_text(tokenizer, messages: list[dict]) -> str:
    """The conversation as the model's chat template writes it."""
    if not getattr(tokenizer, "chat_template", None):
        name = getattr(tokenizer, "name_or_path", "") or "this tokenizer"
        raise ValueError(
            f"{name} has no chat template, so it cannot hold a conversation. Use an instruction-tuned (chat) model, "
            "or, for a base model, helpers.models.load(..., transcript='plain') (in notebook 12: -p transcript plain)"
        )
    prefilled = messages[-1]["role"] == "assistant"
    too_long = (
        f"the model's chat template took more than {SECONDS_TO_RENDER} seconds for one conversation; it is not used"
    )
    try:
        with time_limit(SECONDS_TO_RENDER, too_long):
            return tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=not prefilled,
                continue_final_message=prefilled,
                enable_thinking=False,  # Qwen3 and its kind would otherwise reason in text first; other templates ignore it
            )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(
            f"the model's chat template refuses the turns ({roles}): {error}. A model without a system role takes "
            "such a text at the beginning of the first user turn"
        ) from None


def check_values(tokenizer, values: dict) -> None:
    """Raise ValueError for a value that would write a turn of its own: a special token, or the next speaker of a transcript."""
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    forbidden = special | set(tokenizer.all_special_tokens)
    if tokenizer.chat_template == PLAIN_TRANSCRIPT:
        forbidden |= set(NEXT_TURNS)
    for name, value in values.items():
        found = [token for token in forbidden if token and token in str(value)]
        if found:
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
    if not touched:
        raise ValueError(f"no token covers the characters {start} to {end}")
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
        ValueError: for a value that holds a special token, and for a tokenizer without a chat template or with one that
            changes the text of a turn so that it can no longer be found.
    """
    check_values(tokenizer, values)
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
