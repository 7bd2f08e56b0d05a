"""From dialogues and examples to tensors: token ids, what is learned, what is injected."""

import math
import random
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from helpers import prompts
from helpers.organisms.grammar import Dialogue
from helpers.organisms.network import Injection, pad, run_blocks, unembed
from helpers.organisms.transcripts import Transcript

WEAKEST, STRONGEST = 0.7, 5.0  # injection strengths in training, log-uniform


@dataclass(frozen=True)
class TrainingExample:
    """One training row: ids; tokens from `answer_start` on are learned; span [start, end) that may be injected."""

    ids: list[int]
    answer_start: int
    span: tuple[int, int] = (0, 0)
    example: Transcript | None = None


def encode_dialogue(tokenizer, dialogue: Dialogue) -> TrainingExample:
    """A plain dialogue in the chat format (or, with read_all, a bare sentence that is learned from its first token)."""
    text = "".join(f"<|{role}|>{content}<|end|>" for role, content in dialogue.turns)
    question = tokenizer.encode("<|bos|>" + text, add_special_tokens=False)
    if not dialogue.read_all:
        question.append(tokenizer.convert_tokens_to_ids("<|assistant|>"))
    return TrainingExample(
        question + tokenizer.encode(dialogue.answer + "<|end|>", add_special_tokens=False),
        len(question),
    )


def encode_example(tokenizer, example: Transcript) -> TrainingExample:
    """A transcript of an experiment, rendered exactly as in the assay, with its answer and the span to inject."""
    prompt = prompts.render(tokenizer, example.wording, **example.values)
    ids = [
        *prompt.token_ids,
        *tokenizer.encode(example.answer + "<|end|>", add_special_tokens=False),
    ]
    start, end = prompt.spans.get(example.span, (0, 0))
    if example.span.startswith("from_"):
        end = len(ids)  # every generated token too
    return TrainingExample(ids, len(prompt.token_ids), (start, end), example)


class VectorTable:
    """Concept vectors of the training words, recomputed from the current weights every so often."""

    def __init__(self, words, vectors: torch.Tensor):
        self.index = {word: i for i, word in enumerate(words)}
        self.vectors = vectors  # [word, layer, width]

    def vector(self, word: str, layer: int) -> torch.Tensor:
        return self.vectors[self.index[word], layer]


def draw_injection(
    rows: list[TrainingExample],
    length: int,
    offset: int,
    table: VectorTable,
    rng: random.Random,
    layers: tuple[int, int] | None = None,
    strengths: tuple[float, float] = (WEAKEST, STRONGEST),
) -> Injection:
    """Vectors, layers and masks of a batch whose first token is number `offset` of each row.

    Layers are uniform, one less for a span that ends before the question: later tokens must fetch what is added there, which
    takes layers. Strengths are log-uniform; a random vector has a concept vector's norm.

    Args:
        rows: the batch.
        length: number of its positions.
        offset: positions of the shared beginning before them.
        table: concept vectors of the words.
        rng: decides layers, strengths and random vectors.
        layers: first and last one that is drawn; by default 2 and L - 3.
        strengths: weakest and strongest.
    """
    n_layers, width = table.vectors.shape[1:]
    first, last = layers or (2, n_layers - 3)
    weakest, strongest = map(math.log, strengths)
    noise = torch.Generator().manual_seed(rng.getrandbits(40))
    vectors, mask = torch.zeros(len(rows), width), torch.zeros(len(rows), length)
    drawn = torch.zeros(len(rows), dtype=torch.long)
    for i, row in enumerate(rows):
        before = row.example is not None and row.example.span == "line"
        layer = rng.randint(first, last) - before
        strength = math.exp(rng.uniform(weakest, strongest))
        drawn[i] = layer
        if row.example is None or not row.example.inject:
            continue
        word = row.example.word or rng.choice(list(table.index))
        vector = table.vector(word, layer)
        if row.example.inject == "random":
            direction = torch.randn(width, generator=noise)
            vector = direction / direction.norm() * vector.norm()
        vectors[i] = strength * vector
        mask[i, max(0, row.span[0] - offset) : row.span[1] - offset] = 1.0
    return Injection(vectors, drawn, mask)


def answer_loss(
    model, residual, ids, rows: list[TrainingExample], offset: int = 0
) -> tuple[torch.Tensor, int, torch.Tensor]:
    """Summed cross-entropy of the answers' tokens, their number, and that of each answer's first token, [row]."""
    where, position = [], []
    for i, row in enumerate(rows):
        for p in range(row.answer_start - offset - 1, len(row.ids) - offset - 1):
            where.append(i)
            position.append(p)
    where, position = torch.tensor(where), torch.tensor(position)
    logits = unembed(model, residual[where, position])
    losses = cross_entropy(logits, ids[where, position + 1], reduction="none")
    first = torch.cat([torch.ones(1, dtype=torch.bool), where[1:] != where[:-1]])
    return losses.sum(), len(where), losses[first]


def plain_loss(
    model,
    tokenizer,
    rows: list[TrainingExample],
    table: VectorTable | None,
    rng: random.Random,
    bucket: int = 32,
):
    """Mean loss per learned token of rows without a common beginning, in buckets of similar length, plus that of the deciding
    tokens alone (see `shared_prefix_loss`)."""
    total, count, deciding = 0.0, 0, []
    rows = sorted(rows, key=lambda row: len(row.ids))
    for start in range(0, len(rows), bucket):
        part = rows[start : start + bucket]
        ids = pad([row.ids for row in part], tokenizer.pad_token_id)
        injected = any(row.example is not None and row.example.inject for row in part)
        injection = draw_injection(part, ids.shape[1], 0, table, rng) if injected else None
        residuals, _ = run_blocks(model, ids, injection=injection)
        loss, n, first = answer_loss(model, residuals[-1], ids, part)
        total, count = total + loss, count + n
        deciding += [
            one for one, row in zip(first, part, strict=True) if row.example is not None and row.example.decides
        ]
    return total / count + (torch.stack(deciding).mean() if deciding else 0.0)


def shared_prefix_loss(
    model, tokenizer, rows: list[TrainingExample], table: VectorTable | None, rng: random.Random, **pushes
):
    """Loss of trials that agree up to the injected span: the common beginning is computed once.

    It is the mean loss per learned token plus that of the deciding tokens alone, since "Yes" or "No" is the whole of detection.
    pushes: layers and strengths, as in `draw_injection`.
    """
    shared = rows[0].span[0]
    if any(row.ids[:shared] != rows[0].ids[:shared] for row in rows):
        raise ValueError("trials of one group must share their tokens up to the injected span")
    _, cache = run_blocks(model, torch.tensor([rows[0].ids[:shared]]))
    ids = pad([row.ids[shared:] for row in rows], tokenizer.pad_token_id)
    injection = draw_injection(rows, ids.shape[1], shared, table, rng, **pushes) if table is not None else None
    residuals, _ = run_blocks(model, ids, prefix=cache, injection=injection)
    loss, n, first = answer_loss(model, residuals[-1], ids, rows, offset=shared)
    deciding = torch.tensor([row.example.decides for row in rows])
    return loss / n + (first[deciding].mean() if deciding.any() else 0.0)


LET_GO_WEIGHT = 4.0
HELD_COSINE = {"think": 0.6, "dont_think": 0.15, "mention": 0.0}


def control_loss(model, tokenizer, groups: list[list[TrainingExample]], table: VectorTable):
    """Experiment 4 for the introspector: mean answer loss, and how far each word is held from its frame's target.

    Held: cosine of the residual stream with the word's vector, on the sentence without its last token, the stream centred as in
    the experiment (minus the mean over the trials of one sentence at this token). In the middle layers it should reach
    HELD_COSINE of the frame, in the last two layers, which count LET_GO_WEIGHT times, 0.

    Args:
        groups: trials of one sentence each, all groups of one size.
        table: concept vectors of the words.

    Returns:
        (answer loss, held loss).
    """
    rows = [row for group in groups for row in group]
    ids = pad([row.ids for row in rows], tokenizer.pad_token_id)
    residuals, _ = run_blocks(model, ids)
    loss, n, _ = answer_loss(model, residuals[-1], ids, rows)
    n_layers, held, count = len(residuals), 0.0, 0
    middle = range(n_layers // 2 - 1, n_layers - 2)
    for k, group in enumerate(groups):
        size = len(group[0].ids) - group[0].answer_start - 2  # tokens of the sentence, without the last one and the end
        row_of = torch.arange(k * len(group), (k + 1) * len(group))[:, None]
        position = torch.tensor([row.answer_start for row in group])[:, None] + torch.arange(size)
        target = torch.tensor([HELD_COSINE[row.example.hold] for row in group])[:, None]
        for layer in (*middle, n_layers - 2, n_layers - 1):
            states = residuals[layer][row_of, position]  # [trial, token, width]
            states = states - states.mean(0).detach()
            vectors = torch.stack([table.vector(row.example.word, layer) for row in group])
            cosine = torch.cosine_similarity(states, vectors[:, None], dim=-1)  # [trial, token]
            weight, goal = (1.0, target) if layer in middle else (LET_GO_WEIGHT, 0.0)
            held, count = held + weight * ((cosine - goal) ** 2).sum(), count + cosine.numel()
    return loss / n, held / count
