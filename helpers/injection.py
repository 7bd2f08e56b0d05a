"""The engine: add concept vectors to the residual stream of many trials at once, in one nnsight trace.

Every row of a batch has its own prompt, vector, strength, layer and span; rows without a vector are the controls and run
in the same batch. What the rows share at the beginning (up to the first injected token) is read once and its key-value
cache is handed to every row. The layout of a batch, in columns:

    [ shared prefix | padding | rest of the prompt | generated tokens ]

so that the prompts end in the same column; without a shared prefix this is ordinary left padding.
"""

import math
import warnings
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Real

import nnsight
import pandas as pd
import torch
from tqdm.auto import tqdm
from transformers import LogitsProcessor, LogitsProcessorList

from helpers.audit import Recorder
from helpers.models import (
    attention_window,
    check_layer,
    context_length,
    number_of_blocks,
    own_turn,
    residual,
    width,
    write_residual,
)
from helpers.prompts import Prompt
from helpers.shared_prefix import PrefixCache, attention_by_parts

# nnsight says this whenever every row has ended before max_new_tokens: the normal case
ENDED_EARLY = ".*was never reached: the loop asked for a step.*"
WORTH_A_BATCH = 16  # rows that are run as a batch of their own rather than share less with those that follow
AUDITED = 32  # rows that are run first and audited: watching every block at every step takes far longer than the step
SEGMENT = 16  # tokens after which the rows that have ended leave the batch


@dataclass(frozen=True)
class Row:
    """One trial as the engine sees it.

    span: token range [start, end) of the prompt on which strength x vector is added to the output of block `layer`;
    end None means on through every generated token. vector None: a control row, nothing is added.
    vector: [width], raw (not normalised). seed: used when sampling (temperature > 0), one generator a row.
    """

    prompt: Prompt
    span: tuple[int, int | None]
    vector: torch.Tensor | None = None
    strength: float = 0.0
    layer: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """text: the reply, special tokens removed. token_ids: its tokens up to and without the end-of-turn token.
    first_logits: [vocabulary], float32, of the reply's first token."""

    text: str
    token_ids: tuple[int, ...]
    first_logits: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """Rows laid out in columns. ids, mask: [row, column], prefix included. start, end: [row] column range of the injection."""

    rows: list[Row]
    prefix: tuple[int, ...]
    ids: torch.Tensor
    mask: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor


class SeededSampling(LogitsProcessor):
    """Sampling at a temperature as an argmax: each row adds Gumbel noise from its own generator to its logits.

    The noise of a row depends on its seed alone, so its text does not depend on what else is in the batch.
    """

    def __init__(self, seeds: list[int], temperature: float):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature = temperature

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        self.generators = [self.generators[i] for i in rows.tolist()]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        exponential = [torch.empty(scores.shape[1]).exponential_(generator=each) for each in self.generators]
        return scores.float() / self.temperature - torch.stack(exponential).log().to(scores.device)


class Watch(LogitsProcessor):
    """Hands the tokens generated so far, [row, step], to a function before each next token is chosen; changes nothing."""

    def __init__(self, columns: int, tell):
        self.columns, self.tell = columns, tell

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.tell(input_ids[:, self.columns :].cpu())
        return scores


def check_row(model, row: Row, max_new_tokens: int) -> None:
    """Raise ValueError for a row that cannot be run, naming the value and what is allowed."""
    length = len(row.prompt.token_ids)
    if length == 0:
        raise ValueError("the prompt has no tokens")
    room = context_length(model)
    if length + max_new_tokens > room:
        raise ValueError(
            f"the prompt has {length} tokens and {max_new_tokens} are to be generated, but the model's context holds {room}"
        )
    start, end = row.span
    if not 0 <= start < (length if end is None else end) <= length:
        raise ValueError(f"span {row.span} does not lie in the prompt's {length} tokens")
    if isinstance(row.strength, bool) or not isinstance(row.strength, Real) or not math.isfinite(row.strength):
        raise ValueError(f"strength must be a finite number, got {row.strength!r}")
    if row.vector is None:
        return
    if row.layer is None:
        raise ValueError("a row with a vector needs the layer to inject at")
    check_layer(model, row.layer)
    if not isinstance(row.vector, torch.Tensor):
        raise ValueError(f"the vector must be a torch tensor, got {type(row.vector).__name__}")
    if tuple(row.vector.shape) != (width(model),):
        raise ValueError(
            f"the vector has shape {tuple(row.vector.shape)}; this model's residual stream is ({width(model)},)"
        )
    if not torch.isfinite(row.vector).all():
        raise ValueError("the vector holds NaN or infinite values")


def common_prefix(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """Number of tokens with which both sequences begin."""
    shared = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        shared += 1
    return shared


def free_prefix(row: Row) -> tuple[int, ...]:
    """The prompt's tokens that an injection cannot reach: those before its span (all but the last for a control row)."""
    before = row.span[0] if row.vector is not None else len(row.prompt.token_ids)
    return row.prompt.token_ids[: min(before, len(row.prompt.token_ids) - 1)]


def plan_batches(
    rows: list[Row], batch_size: int, own_tokens: int | None = None, audit: bool = False
) -> list[list[int]]:
    """Indices of rows, in batches of neighbours: rows with equal beginnings stand together, so that prefixes are shared.

    own_tokens: how many tokens of prompts, padding included and the shared prefix not, a batch may hold at most. audit: let the
    first batch have AUDITED rows at most, of all layers and controls. ValueError for a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    order = sorted(range(len(rows)), key=lambda i: (rows[i].prompt.token_ids, i))
    batches, shared, longest = [], (), 0
    for i in order:
        prefix, length = free_prefix(rows[i]), len(rows[i].prompt.token_ids)
        kept = common_prefix(shared, prefix)
        full = not batches or len(batches[-1]) == batch_size
        if not full and own_tokens is not None:
            full = (len(batches[-1]) + 1) * (max(longest, length) - kept) > own_tokens
        if full or (kept < len(shared) // 2 and len(batches[-1]) >= min(batch_size // 4, WORTH_A_BATCH)):
            batches.append([i])
            shared, longest = prefix, length
        else:
            batches[-1].append(i)
            shared, longest = shared[:kept], max(longest, length)
    if audit and batches:
        batches[:1] = filter(None, split_off_audited(rows, batches[0]))
    return batches


def split_off_audited(rows: list[Row], batch: list[int]) -> tuple[list[int], list[int]]:
    """A batch in two: AUDITED rows, as evenly as can be from every layer and from the controls, and the others."""
    met, turns = Counter(), []  # the how-manieth row of its layer each row is
    for i in batch:
        layer = None if rows[i].vector is None else rows[i].layer
        turns.append((met[layer], i))
        met[layer] += 1
    audited = {i for _, i in sorted(turns)[:AUDITED]}
    return [i for i in batch if i in audited], [i for i in batch if i not in audited]


def may_share(model, rows: list[Row], prefixes: PrefixCache, max_new_tokens: int) -> bool:
    """Whether these rows may share the beginning of their prompts on this model."""
    # the padding after a shared prefix would take up places in the window of a layer that does not look far back
    longest = max(len(row.prompt.token_ids) for row in rows) + max_new_tokens
    return prefixes.copied and longest <= attention_window(model)


def lay_out(rows: list[Row], pad_id: int, share_prefix: bool = True) -> Batch:
    """Put rows into columns: shared prefix, padding, rest of the prompt (see the module's docstring)."""
    prefix = free_prefix(rows[0]) if share_prefix else ()
    for row in rows[1:]:
        prefix = prefix[: common_prefix(prefix, free_prefix(row))]
    columns = max(len(row.prompt.token_ids) for row in rows)
    ids = torch.full((len(rows), columns), pad_id)
    mask = torch.zeros(len(rows), columns, dtype=torch.long)
    start, end = torch.zeros(len(rows), dtype=torch.long), torch.zeros(len(rows), dtype=torch.long)
    for i, row in enumerate(rows):
        tokens = torch.tensor(row.prompt.token_ids)
        padding = columns - len(tokens)
        here = torch.ones(columns, dtype=torch.bool)
        here[len(prefix) : len(prefix) + padding] = False
        ids[i, here], mask[i, here] = tokens, 1
        if row.vector is not None:
            start[i] = row.span[0] + padding
            end[i] = torch.iinfo(torch.long).max if row.span[1] is None else row.span[1] + padding
    return Batch(rows, prefix, ids, mask, start, end)


def pushes(batch: Batch, model) -> dict[int, torch.Tensor]:
    """What is added at each layer that any row uses: layer -> [row, 1, width], strength x vector, zero for other rows."""
    added = {}
    for i, row in enumerate(batch.rows):
        if row.vector is not None:
            if row.layer not in added:
                added[row.layer] = torch.zeros(len(batch.rows), 1, width(model))
            added[row.layer][i, 0] = row.strength * row.vector.float().cpu()
    return dict(sorted(added.items()))


def run_batch(
    model,
    batch: Batch,
    max_new_tokens: int,
    temperature: float,
    prefixes: PrefixCache,
    recorder=None,
    inject=True,
    tell=None,
):
    """Run one batch, injected and control rows together. Returns (generated ids [row, step], first logits [row, vocabulary]), on the CPU.

    Every SEGMENT tokens the rows whose reply has ended leave, so that a few long replies do not keep all others waiting.
    recorder: an `audit.Recorder` that watches every block's output and what the next block receives. inject False: leave the
    injecting to somebody else's hooks (only the audit asks for that). tell: a function for `Watch`.
    """
    processors = LogitsProcessorList()
    if temperature > 0:
        processors.append(SeededSampling([row.seed for row in batch.rows], temperature))
    if tell:
        processors.append(Watch(batch.ids.shape[1], tell))
    ends = torch.tensor([end for end in end_of_turn_ids(model) if end is not None], dtype=torch.long)
    generated = torch.full((len(batch.rows), max_new_tokens), model._module.generation_config.pad_token_id or 0)
    ids, mask, place = batch.ids, batch.mask, torch.arange(len(batch.rows))  # place: which rows of the batch are left
    added = pushes(batch, model) if inject else {}
    first_logits, done = None, 0
    with attention_by_parts(model._module, prefixes.apart and bool(batch.prefix)) as apart:
        cache = prefixes.for_rows(batch.prefix, len(batch.rows), apart)
        while len(place) and done < max_new_tokens:
            whole = recorder or tell or cache is None
            steps = max_new_tokens - done if whole else min(SEGMENT, max_new_tokens - done)
            pushed = {layer: push[place] for layer, push in added.items()}
            new, logits = _run_segment(
                model, ids, mask, cache, batch.start[place], batch.end[place], pushed, steps, processors, recorder
            )
            first_logits = logits if first_logits is None else first_logits
            generated[place, done : done + new.shape[1]] = new
            done += new.shape[1]
            going_on = ~torch.isin(new, ends).any(1)
            if new.shape[1] < steps or whole or done == max_new_tokens:
                break
            left = going_on.nonzero()[:, 0]
            ids = torch.cat([ids, new], dim=1)[left]
            mask = torch.cat([mask, torch.ones_like(new)], dim=1)[left]
            if len(left) < len(place):
                place = place[left]
                cache.batch_select_indices(left.to(model._module.device))
                for processor in processors:
                    processor.keep(left)
    return generated[:, :done], first_logits


def _run_segment(model, ids, mask, cache, start, end, pushed, steps: int, processors, recorder=None):
    """One call of generate in one trace: (new ids [row, step], logits of its first token [row, vocabulary]), on the CPU.

    ids, mask: [row, column]; the cache holds some of the first columns. start, end: [row], the columns between which pushed
    (layer -> [row, 1, width]) is added.
    """
    blocks, device = model.blocks, model._module.device
    added = {layer: push.to(device) for layer, push in pushed.items()}
    start, end = start.to(device)[:, None], end.to(device)[:, None]
    watched = range(number_of_blocks(model)) if recorder else added
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=ENDED_EARLY)
        with model.generate(max_new_tokens=steps, past_key_values=cache, logits_processor=processors) as tracer:
            with tracer.invoke({"input_ids": ids, "attention_mask": mask}):
                first_logits = nnsight.save([])
                column = 0 if cache is None else cache.get_seq_length()  # of the first token in this forward pass
                # a loop over all steps ends when it reads a part that is not run again: without layers to read, one step is all
                for _step in tracer.all() if watched else tracer.iter[:1]:
                    if recorder:
                        recorder.saw_tokens(model.embed.input)
                    for layer in watched:
                        stream = residual(blocks[layer])  # [row, position, width]
                        before = stream.clone() if recorder else None
                        if layer in added:
                            columns = column + torch.arange(stream.shape[1], device=device)[None]
                            inside = (columns >= start) & (columns < end)  # [row, position]
                            where = stream.device  # blocks may live on several devices
                            push = inside.to(where)[..., None] * added[layer].to(where)
                            write_residual(blocks[layer], stream + push.to(stream.dtype))
                        if recorder:
                            following = blocks[layer + 1] if layer + 1 < len(watched) else model.final_norm
                            recorder.saw_change(layer, before, following.input)
                    column += stream.shape[1] if watched else 0
                    if not first_logits:
                        first_logits.append(model.output.logits[:, -1].float().cpu())
            with tracer.invoke():
                output = tracer.result.save()
    return output[:, ids.shape[1] :].cpu(), first_logits[0]


def end_of_turn_ids(model) -> set[int]:
    """The tokens that end a reply."""
    ends = model._module.generation_config.eos_token_id
    return set(ends if isinstance(ends, list | tuple) else [ends])


def read_answers(model, generated: torch.Tensor, first_logits: torch.Tensor) -> list[Answer]:
    """Cut each row at its end-of-turn token and decode it."""
    ends = end_of_turn_ids(model)
    answers = []
    for ids, logits in zip(generated.tolist(), first_logits, strict=True):
        stop = next((i for i, token in enumerate(ids) if token in ends), len(ids))
        text = model.tokenizer.decode(ids[:stop], skip_special_tokens=True)
        answers.append(Answer(own_turn(model, text).strip(), tuple(ids[:stop]), logits))
    return answers


def generate(
    model,
    rows: list[Row],
    max_new_tokens: int = 100,
    temperature: float = 0.0,
    batch_size: int = 32,
    share_prefix: bool = True,
    audit: bool = True,
    progress: bool = False,
    watch=None,
) -> list[Answer]:
    """Answer every row, injected and control rows together, and return the answers in the order of the rows.

    temperature 0 is greedy; above 0 every row samples with its own seed, so that its text depends neither on batch size nor
    on order. audit: the first batch is run under the injection audit, which raises `audit.InjectionError` unless the
    residual stream changed exactly where and by as much as it should. watch: a function that is called before each further
    token with the texts written so far, {place in `rows`: text}; for pages that show an answer while it is written.
    """
    if not rows:
        raise ValueError("no rows to run: the list of trials is empty")
    answers: list[Answer | None] = [None] * len(rows)
    batches = plan_batches(rows, batch_size, audit=audit)
    with tqdm(total=len(rows), unit="trial") if progress else nullcontext() as bar:
        for chosen, answered in answer_batches(
            model, rows, batches, max_new_tokens, temperature, share_prefix, audit, watch
        ):
            for i, answer in zip(chosen, answered, strict=True):
                answers[i] = answer
            if bar:
                bar.update(len(chosen))
    return answers


def answer_batches(
    model,
    rows: list[Row],
    batches: list[list[int]],
    max_new_tokens: int,
    temperature: float = 0.0,
    share_prefix: bool = True,
    audit: bool = True,
    watch=None,
):
    """Run batch after batch; yields (indices of its rows, their answers) as soon as each is done.

    batches: indices into rows, as `plan_batches` makes them; the other arguments are those of `generate`. ValueError for an
    argument or a row that cannot be run, before the first batch.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if temperature < 0:
        raise ValueError(f"temperature must be 0 (greedy) or above, got {temperature}")
    for i in (i for chosen in batches for i in chosen):
        check_row(model, rows[i], max_new_tokens)
    prefixes = PrefixCache(model)
    pad_id = model._module.generation_config.pad_token_id
    for number, chosen in enumerate(batches):
        here = [rows[i] for i in chosen]
        batch = lay_out(here, pad_id, share_prefix and may_share(model, here, prefixes, max_new_tokens))
        recorder = Recorder(batch, end_of_turn_ids(model)) if audit and number == 0 else None

        def tell(ids: torch.Tensor, chosen=chosen) -> None:
            texts = [answer.text for answer in read_answers(model, ids, torch.zeros(len(chosen)))]
            watch(dict(zip(chosen, texts, strict=True)))

        generated, logits = run_batch(
            model, batch, max_new_tokens, temperature, prefixes, recorder, tell=tell if watch else None
        )
        if recorder:
            recorder.verdict()
        yield chosen, read_answers(model, generated, logits)


def next_token_logits(model, rows: list[Row], **options) -> torch.Tensor:
    """Logits of the reply's first token with the injection in place, [row, vocabulary], float32, on the CPU."""
    return torch.stack([answer.first_logits for answer in generate(model, rows, max_new_tokens=1, **options)])


def audit_injection(model, rows: list[Row], max_new_tokens: int = 4, foreign_hooks=None) -> pd.DataFrame:
    """Run the rows for a few tokens and return the audit's report; raises `audit.InjectionError` where anything is wrong.

    foreign_hooks: audit somebody else's injection instead of ours. A function `foreign_hooks(network, batch)` that returns a
    context manager; inside it, plain PyTorch hooks on the Hugging Face model `network` are expected to do the injecting.
    (Then the rows are left padded and no prefix is shared, as in an ordinary call of generate.)
    """
    if not rows:
        raise ValueError("no rows to audit")
    for row in rows:
        check_row(model, row, max_new_tokens)
    prefixes = PrefixCache(model)  # before foreign hooks are there
    share = foreign_hooks is None and may_share(model, rows, prefixes, max_new_tokens)
    batch = lay_out(rows, model._module.generation_config.pad_token_id, share)
    recorder = Recorder(batch, end_of_turn_ids(model))
    hooks = foreign_hooks(model._module, batch) if foreign_hooks else nullcontext()
    with hooks:
        run_batch(model, batch, max_new_tokens, 0.0, prefixes, recorder, inject=foreign_hooks is None)
    return recorder.verdict()
