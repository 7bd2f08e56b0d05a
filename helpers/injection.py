"""The engine: add concept vectors to the residual stream of many trials at once, in one nnsight trace.

Every row of a batch has its own prompt, vector, strength, layer and span; rows without a vector are the controls and run
in the same batch. `layout` says how they stand in it, `reading` reads what they share once, here the answers are written.
"""

import warnings
from contextlib import nullcontext
from dataclasses import dataclass

import nnsight
import pandas as pd
import torch
from tqdm.auto import tqdm
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from helpers.audit import Recorder
from helpers.layout import Batch, Row, check_row, lay_out, plan_batches, pushes
from helpers.models import addition, attention_window, number_of_blocks, own_turn, residual, write_residual
from helpers.reading import read_prompts
from helpers.shared_prefix import PrefixCache, attention_by_parts
from helpers.ways_to_share import ways_to_share

# nnsight says this whenever every row has ended before max_new_tokens: the normal case
ENDED_EARLY = ".*was never reached: the loop asked for a step.*"
LEAVE = 4  # as soon as one in so many rows has ended, the ended rows leave the batch


@dataclass(frozen=True)
class Answer:
    """text: the reply, special tokens removed. token_ids: its tokens up to and without the end-of-turn token.
    first_logits: [vocabulary], float32, of the reply's first token."""

    text: str
    token_ids: tuple[int, ...]
    first_logits: torch.Tensor


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


class ManyEnded(StoppingCriteria):
    """Stops all rows of a batch as soon as one in LEAVE of them has written its end of turn."""

    def __init__(self, columns: int, ends: torch.Tensor):
        self.columns, self.ends = columns, ends

    def __call__(self, input_ids: torch.Tensor, scores, **_options) -> torch.Tensor:
        ended = torch.isin(input_ids[:, self.columns :], self.ends.to(input_ids.device)).any(1)
        return torch.full_like(ended, bool(ended.sum() * LEAVE >= len(ended)))


def may_share(model, rows: list[Row], prefixes: PrefixCache, max_new_tokens: int) -> bool:
    """Whether these rows may share the beginning of their prompts on this model."""
    # the padding after a shared prefix would take up places in the window of a layer that does not look far back
    longest = max(len(row.prompt.token_ids) for row in rows) + max_new_tokens
    return prefixes.ways.copied and longest <= attention_window(model)


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

    Where a beginning is shared, rows whose reply has ended leave (see `ManyEnded`), so that a few long replies do not keep all
    others waiting.
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
    with attention_by_parts(model._module, prefixes.ways.apart and bool(batch.prefix)) as apart:
        cache = read_prompts(model, batch, added, prefixes, apart, recorder) if batch.prefix else None
        whole = recorder or tell or cache is None
        while len(place) and done < max_new_tokens:
            pushed = {layer: push[place] for layer, push in added.items()}
            stop = [] if whole else [ManyEnded(ids.shape[1], ends)]
            new, logits = _write_on(
                model, batch, place, ids, mask, cache, pushed, max_new_tokens - done, processors, stop, recorder
            )
            first_logits = logits if first_logits is None else first_logits
            generated[place, done : done + new.shape[1]] = new
            done += new.shape[1]
            if whole:
                break
            left = (~torch.isin(new, ends).any(1)).nonzero()[:, 0]
            ids = torch.cat([ids, new], dim=1)[left]
            mask = torch.cat([mask, torch.ones_like(new)], dim=1)[left]
            place = place[left]
            cache.batch_select_indices(left)  # on the CPU: layers of the cache may live on several devices
            for processor in processors:
                processor.keep(left)
    return generated[:, :done], first_logits


def _write_on(model, batch, place, ids, mask, cache, added, steps: int, processors, stop, recorder=None):
    """One call of generate in one trace: (new ids [row, step], logits of its first token [row, vocabulary]), on the CPU.

    place: which rows of the batch these are. ids, mask: [row, column]; the cache holds the first columns. added: layer ->
    [row, 1, width], added inside the columns that the batch says. stop: a list of stopping criteria.
    """
    blocks = model.blocks
    watched = range(number_of_blocks(model)) if recorder else added
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=ENDED_EARLY)
        with model.generate(
            max_new_tokens=steps,
            past_key_values=cache,
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList(stop),
        ) as tracer:
            with tracer.invoke({"input_ids": ids, "attention_mask": mask}):
                first_logits = nnsight.save([])
                column = 0 if cache is None else cache.get_seq_length()  # of the first token in this forward pass
                # a loop over all steps ends when it reads a part that is not run again: without layers to read, one step is all
                for _step in tracer.all() if watched else tracer.iter[:1]:
                    if recorder:
                        recorder.begins_pass(model.embed.input.shape[1])
                        recorder.saw_tokens(model.embed.input)
                    for layer in watched:
                        stream = residual(blocks[layer])  # [row, position, width]
                        before = stream.clone() if recorder else None
                        if layer in added:
                            inside = batch.inside(place, column + torch.arange(stream.shape[1]))
                            write_residual(blocks[layer], stream + addition(stream, inside, added[layer]))
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
    prefixes = PrefixCache(model, ways_to_share(model))
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
    prefixes = PrefixCache(model, ways_to_share(model))  # tried before foreign hooks are there
    share = foreign_hooks is None and may_share(model, rows, prefixes, max_new_tokens)
    batch = lay_out(rows, model._module.generation_config.pad_token_id, share)
    recorder = Recorder(batch, end_of_turn_ids(model))
    hooks = foreign_hooks(model._module, batch) if foreign_hooks else nullcontext()
    with hooks:
        run_batch(model, batch, max_new_tokens, 0.0, prefixes, recorder, inject=foreign_hooks is None)
    return recorder.verdict()
