"""Answer many trials at once: one nnsight trace per batch, a vector of its own for every trial.

    trials -> batches (`batch`) -> the shared beginning is read once (`models.prefix_cache`) -> replies are written here
                                                            (on a CUDA device their later tokens in `recording`)

Each trial has its own prompt, vector, strength, layer and span; control trials run in the same batches. The lines that inject
are `running.add_vectors`; everything else keeps a batch together.
"""

import warnings
from contextlib import nullcontext
from dataclasses import dataclass

import nnsight
import pandas as pd
import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

from helpers.checks import is_number, whole_number
from helpers.engine.audit import Recorder, sample_trials
from helpers.engine.batch import NO_LAYER, Batch, collate, plan_batches
from helpers.engine.decoding import AfterEachToken
from helpers.engine.recording import can_record, write_recorded
from helpers.engine.running import RunningBatch, add_vectors
from helpers.engine.trial import Trial, validate_trial
from helpers.models import ENDED_EARLY, end_of_turn_ids, own_turn
from helpers.models.prefix_cache import PrefixCache
from helpers.models.streams import check_evaluating

COMPACTION_DIVISOR = 4  # as soon as one in so many rows has ended, the ended rows leave the batch
LOWEST_TEMPERATURE = 1e-3  # below it scores divided by it leave the range of float32


@dataclass(frozen=True)
class Answer:
    """A reply. token_ids: up to its end of turn; first_logits: [vocabulary], float32, of its first token, on the model's device."""

    text: str
    token_ids: tuple[int, ...]
    first_logits: torch.Tensor


def inject_and_write(model, running: RunningBatch, steps: int, recorder=None, after_each_token=None):
    """Write up to `steps` tokens in one trace; returns the new ids [row, step] and the first step's logits [row, vocabulary]."""
    columns, column = running.ids.shape[1], 0 if running.cache is None else running.cache.get_seq_length()
    steered = running.steered()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=ENDED_EARLY)
        with model.generate(
            max_new_tokens=steps,
            past_key_values=running.cache,
            logits_processor=LogitsProcessorList([running.sampling] if running.sampling else []),
            stopping_criteria=StoppingCriteriaList(
                [AfterEachToken(columns, after_each_token)] if after_each_token else []
            ),
        ) as tracer:
            with tracer.invoke({"input_ids": running.ids, "attention_mask": running.mask}):
                first_logits = nnsight.save([])
                # the loop ends when it waits for a part that is not run again: without a layer to touch, one step is all
                for step in tracer.all() if steered or recorder else tracer.iter[:1]:
                    tokens = model.embed.input  # [row, position]: the prompt at first, then one token per step
                    watching = recorder is not None and recorder.begins_pass(running.rows, tokens, step)
                    inside = running.inside(column + torch.arange(tokens.shape[1]), steered)
                    add_vectors(model, running, inside, steered, recorder if watching else None)
                    column += tokens.shape[1]
                    if not first_logits:
                        # a contiguous tensor is multiplied with the vocabulary's matrix at once, a slice row by row
                        model.unembed.input = model.unembed.input.contiguous()
                        first_logits.append(model.output.logits[:, -1].float())
            with tracer.invoke():
                output = tracer.result.save()
    return output[:, columns:].cpu(), first_logits[0]


def run_batch(
    model, batch: Batch, max_new_tokens: int, temperature=0.0, cache=None, recorder=None, watch=None, inject=True
):
    """Write the replies of a batch.

    Args:
        cache: of the batch's prefix (see `PrefixCache.expand`); None reads every prompt whole.
        recorder: an `audit.Recorder`; its verdict is asked for at the end.
        watch: called with the reply tokens so far, [row, step], after each token.
        inject: False leaves the injecting to somebody else's hooks (only the audit asks for that).

    Returns:
        Reply tokens, [row, step], on the CPU, and the logits of each reply's first token, [row, vocabulary].

    Raises:
        InjectionError: where the recorder found a fault.
    """
    running, ends = RunningBatch(batch, cache, temperature), torch.tensor(sorted(end_of_turn_ids(model)))
    if not inject:
        running.layers[:] = NO_LAYER

    def enough_ended(new: torch.Tensor) -> bool:
        return int(torch.isin(new, ends).any(1).sum()) * COMPACTION_DIVISOR >= len(new)

    after_each_token = watch or (enough_ended if cache is not None else None)
    replies = torch.full((len(batch.trials), max_new_tokens), model._module.generation_config.pad_token_id or 0)
    first_logits, written = None, 0
    record = cache is not None and watch is None and max_new_tokens > 1 and can_record(model)
    while len(running.rows) and written < max_new_tokens:
        left = max_new_tokens - written
        if record and written:
            new = write_recorded(model, running, left, enough_ended, recorder)
        else:
            new, logits = inject_and_write(model, running, 1 if record else left, recorder, after_each_token)
            first_logits = logits if first_logits is None else first_logits
        replies[running.rows, written : written + new.shape[1]] = new
        written += new.shape[1]
        running.append(new, ended=torch.isin(new, ends).any(1))
    if recorder:
        recorder.verdict(batch.ids.shape[1] + written - 1)  # the token written last is not read
    return replies[:, :written], first_logits


def read_answers(model, replies: torch.Tensor, first_logits: torch.Tensor) -> list[Answer]:
    """Cut each reply, [row, step], at its end-of-turn token and decode it."""
    ends, answers = end_of_turn_ids(model), []
    for ids, logits in zip(replies.tolist(), first_logits, strict=True):
        stop = next((i for i, token in enumerate(ids) if token in ends), len(ids))
        text = model.tokenizer.decode(ids[:stop])  # special tokens may mark reasoning: `grading.reply`
        answers.append(Answer(own_turn(model, text).strip(), tuple(ids[:stop]), logits))
    return answers


def prepare(model, trials: list[Trial], max_new_tokens: int, prefixes: PrefixCache | None):
    """The trials as a batch, and the cache of their shared beginning (None where every prompt is read whole)."""
    longest = max(len(trial.prompt.token_ids) for trial in trials) + max_new_tokens
    share = prefixes is not None and prefixes.can_serve(longest)
    batch = collate(trials, model._module.generation_config.pad_token_id, share)
    return batch, prefixes.expand(batch.prefix, len(trials)) if share else None


def answer_batch(
    model, trials: list[Trial], max_new_tokens: int, temperature=0.0, prefixes=None, audit=True, watch=None
) -> list[Answer]:
    """Answer the trials of one batch, validated before. prefixes: kept from batch to batch; the rest as in `generate`."""
    batch, cache = prepare(model, trials, max_new_tokens, prefixes)
    recorder = Recorder(batch, sample_trials(trials)) if audit else None

    def show(replies: torch.Tensor) -> None:
        watch([answer.text for answer in read_answers(model, replies, replies)])

    replies = run_batch(model, batch, max_new_tokens, temperature, cache, recorder, show if watch else None)
    usable = replies[1].amax(1) > replies[1].amin(1)  # [row], False for NaN too
    if not usable.all():
        trial = trials[int(usable.logical_not().nonzero()[0])]
        raise ValueError(
            f"strength {trial.strength:g} at layer {trial.layer} leaves nothing of the model's logits (all equal, or NaN): numbers "
            f"leave the range of {model._module.dtype}; use smaller strengths, or bfloat16 in place of float16"
        )
    return read_answers(model, *replies)


def validate_run(model, trials: list[Trial], max_new_tokens: int, temperature: float = 0.0) -> tuple[int, float]:
    """The two settings in their plain form. ValueError for an empty list, or for a setting or a trial that cannot be run."""
    if not trials:
        raise ValueError("no trials to run: the list is empty")
    check_evaluating(model)
    max_new_tokens = whole_number("max_new_tokens", max_new_tokens, 1)
    possible = is_number(temperature) and (temperature == 0 or LOWEST_TEMPERATURE <= temperature < float("inf"))
    if not possible:  # NaN, too
        raise ValueError(f"temperature must be 0 (greedy) or from {LOWEST_TEMPERATURE} up, got {temperature!r}")
    for trial in trials:
        validate_trial(model, trial, max_new_tokens)
    return max_new_tokens, float(temperature) + 0.0  # no -0.0


def generate(
    model,
    trials: list[Trial],
    max_new_tokens: int = 100,
    temperature: float = 0.0,
    batch_size: int = 32,
    share_prefix: bool = True,
    audit: bool = True,
    watch=None,
) -> list[Answer]:
    """Answer every trial, injected and control trials together.

    Args:
        model: an nnsight model from `helpers.models.load`.
        trials: any mixture of prompts, vectors, layers, strengths and spans.
        max_new_tokens: longest reply.
        temperature: 0 is greedy; above 0 every trial samples with its own seed, so that its text depends neither on the
            batch size nor on the order.
        batch_size: trials per batch.
        share_prefix: read the beginning that prompts share once (where the model admits it).
        audit: check, on a sample of trials, that the residual stream changes exactly where and as much as it should.
        watch: called with the texts so far after each token, for live pages; the trials must fit one batch.

    Returns:
        The answers, in the order of the trials.

    Raises:
        ValueError: for an empty list, or for an argument or a trial that cannot be run.
        InjectionError: where the audit finds a fault.
    """
    max_new_tokens, temperature = validate_run(model, trials, max_new_tokens, temperature)
    batch_size = whole_number("batch_size", batch_size, 1)
    answers: list[Answer | None] = [None] * len(trials)
    prefixes = PrefixCache(model) if share_prefix else None
    for chosen in [list(range(len(trials)))] if watch else plan_batches(trials, batch_size):
        batch = [trials[i] for i in chosen]
        found = answer_batch(model, batch, max_new_tokens, temperature, prefixes, audit, watch)
        for i, answer in zip(chosen, found, strict=True):
            answers[i] = answer
    return answers


def next_token_logits(model, trials: list[Trial], **options) -> torch.Tensor:
    """Logits of the reply's first token with the injection in place, [trial, vocabulary], float32 on the CPU; options of `generate`."""
    answers = generate(model, trials, max_new_tokens=1, **options)
    return torch.stack([answer.first_logits for answer in answers]).cpu()


def audit_injection(model, trials: list[Trial], max_new_tokens: int = 4, foreign_hooks=None) -> pd.DataFrame:
    """Run the trials for a few tokens and report where the residual stream changed, for all of them and at every step.

    Args:
        foreign_hooks: audits somebody else's injection in place of ours: a function `foreign_hooks(network, batch)` that
            returns a context manager inside which plain PyTorch hooks on the Hugging Face model `network` inject. (The
            trials are then left padded and share no prefix, as in an ordinary call of Hugging Face's `generate`.)

    Returns:
        The table of `audit.Recorder.report`.

    Raises:
        ValueError: for a trial that cannot be run.
        InjectionError: where anything is wrong.
    """
    max_new_tokens, _ = validate_run(model, trials, max_new_tokens)
    batch, cache = prepare(model, trials, max_new_tokens, None if foreign_hooks else PrefixCache(model))
    recorder = Recorder(batch)
    with foreign_hooks(model._module, batch) if foreign_hooks else nullcontext():
        run_batch(model, batch, max_new_tokens, 0.0, cache, recorder, inject=foreign_hooks is None)
    return recorder.report()
