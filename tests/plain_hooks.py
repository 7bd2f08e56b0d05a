"""The engine's reference: mixed trials on tiny models, answered by Hugging Face's generate under plain PyTorch hooks."""

from contextlib import contextmanager
from functools import lru_cache

import torch

from helpers import models, prompts
from helpers.engine import Trial
from helpers.prompts import PromptTemplate
from tests import tiny_models

STEPS = 6
QUESTION = PromptTemplate(
    "test",
    "question",
    (
        ("user", "Here is a line: <<line>>{line}<</line>> Remember it."),
        ("assistant", "Ok."),
        ("user", "Trial {trial}: do you notice a thought?"),
    ),
)
LINES = [
    "The boat left at noon.",
    "A cold wind came down from the hills in the evening and stayed all night.",
    "Nobody had seen the letter before.",
    "He slept.",
]


@lru_cache(maxsize=4)
def tiny_model(family, dtype=torch.float32):
    return tiny_models.build(family, dtype)


def vector(model, seed):
    return torch.randn(models.width(model), generator=torch.Generator().manual_seed(seed))


def mixed_trials(model):
    """Injected and control trials with different prompts, prompt lengths, layers, strengths and spans."""
    asked = [prompts.render(model.tokenizer, QUESTION, line=line, trial=k) for k, line in enumerate(LINES)]
    assert len({len(prompt.token_ids) for prompt in asked}) == len(asked)
    return [
        Trial(asked[0], (asked[0].span("from_turn_2")[0], None), vector(model, 0), 1.0, 0, seed=10),
        Trial(asked[1], (asked[1].span("from_turn_2")[0], None), vector(model, 1), 2.0, 1, seed=11),
        Trial(asked[2], asked[2].span("line"), vector(model, 2), -1.5, 1, seed=12),
        Trial(asked[3], (0, None), vector(model, 3), 0.5, 2, seed=13),
        Trial(asked[1], asked[1].span("turn_2"), seed=14),
        Trial(asked[0], (len(asked[0].token_ids) - 1, None), vector(model, 5), 4.0, 2, seed=15),
        Trial(asked[2], asked[2].span("from_turn_2"), seed=16),
    ]


def trials_with_a_shared_prefix(model):
    """The mixed trials but the one whose injection begins with the prompt."""
    return [trial for trial in mixed_trials(model) if trial.span[0] > 0]


@contextmanager
def injecting_hooks(model, trials, padding):
    """Plain PyTorch forward hooks that inject; padding: columns of left padding before each trial's prompt."""
    seen = dict.fromkeys(range(models.number_of_blocks(model)), 0)

    def hook_of(layer):
        def hook(_module, _inputs, output):
            stream = (output[0] if isinstance(output, tuple) else output).clone()
            for i, trial in enumerate(trials):
                if trial.vector is None or trial.layer != layer:
                    continue
                for position in range(stream.shape[1]):
                    token = seen[layer] + position - padding[i]
                    if token >= trial.span[0] and (trial.span[1] is None or token < trial.span[1]):
                        stream[i, position] += (trial.strength * trial.vector).to(stream.dtype)
            seen[layer] += stream.shape[1]
            return (stream, *output[1:]) if isinstance(output, tuple) else stream

        return hook

    handles = [block.register_forward_hook(hook_of(k)) for k, block in enumerate(model.blocks._module)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def answers_under_hooks(model, trials, steps=STEPS):
    """Greedy answers of a left-padded batch under plain hooks: token ids, and first logits [trial, vocabulary]."""
    longest = max(len(trial.prompt.token_ids) for trial in trials)
    padding = [longest - len(trial.prompt.token_ids) for trial in trials]
    pad = model._module.generation_config.pad_token_id
    ids = torch.tensor([[pad] * n + list(trial.prompt.token_ids) for n, trial in zip(padding, trials, strict=True)])
    mask = torch.tensor([[0] * n + [1] * (longest - n) for n in padding])
    # the last position as a tensor of its own, as the engine reads it: a slice is multiplied with the vocabulary row by row
    head = model.unembed._module.register_forward_pre_hook(lambda _module, inputs: inputs[0].contiguous())
    with injecting_hooks(model, trials, padding):
        result = model._module.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=steps,
            output_logits=True,
            return_dict_in_generate=True,
        )
    head.remove()
    ends, tokens = models.end_of_turn_ids(model), []
    for answer in result.sequences[:, longest:].tolist():
        stop = next((i for i, token in enumerate(answer) if token in ends), len(answer))
        tokens.append(tuple(answer[:stop]))
    return tokens, result.logits[0].float()


def tokens_of(answers):
    return [answer.token_ids for answer in answers]


def logits_of(answers):
    return torch.stack([answer.first_logits for answer in answers])
