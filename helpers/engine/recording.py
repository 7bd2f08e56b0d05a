"""On a CUDA device, the step that reads one token is recorded once and then replayed for every further token (a CUDA graph).

A step of a 7B model starts more than a thousand kernels, and Python starts them more slowly than a large GPU runs them.
What is recorded is a trace like any other, vectors included; whatever changes from step to step lies in tensors that stay
where they are. No model has to admit that: `can_record` tries it, and without it Hugging Face's `generate` writes all.
"""

import warnings
import weakref
from contextlib import contextmanager, nullcontext

import torch
from torch.nn.functional import pad
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from helpers.engine.batch import collate
from helpers.engine.running import RunningBatch, add_vectors
from helpers.engine.trial import Trial
from helpers.models.streams import ROUNDING
from helpers.prompts import Prompt

DEVICES = ("cuda",)
PROBED_STEPS = 3  # one that is run, two that are replayed
_admitted = weakref.WeakKeyDictionary()  # network -> whether the probe went well


class RoomyLayer(DynamicLayer):
    """Keys and values of one block, [row, head, column, width], with room for columns to come. column: [1], the next one."""

    def __init__(self, layer, room: int, column: torch.Tensor):
        super().__init__()
        self.keys, self.values = (pad(part, (0, 0, 0, room)) for part in (layer.keys, layer.values))
        self.column, self.is_initialized = column, True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_args, **_kwargs):
        """Put the new token's keys and values in their column; returns all."""
        self.keys.index_copy_(2, self.column, key_states)
        self.values.index_copy_(2, self.column, value_states)
        return self.keys, self.values


class RecordedStep:
    """One step of a running batch: reads `token`, [row, 1], and gives the logits of the next, [row, vocabulary]."""

    def __init__(self, model, running: RunningBatch, room: int):
        place, read, rows = model._module.device, running.cache.get_seq_length(), running.rows
        self.model, self.running, self.steered = model, running, running.steered()
        self.count, self.graph, self.logits = 0, None, None
        self.token = running.ids[:, -1:].clone().to(place)
        self.position = running.mask.sum(1, keepdim=True).to(place) - 1
        self.column = torch.tensor([read], device=place)
        room += -(read + room) % 16  # kernels of attention like such lengths
        unread = pad(running.mask[:, :read], (0, room))[:, None, None] == 0
        # [row, 1, 1, column], added to the scores of attention
        self.mask = (unread * torch.finfo(model._module.dtype).min).to(place, model._module.dtype)
        self.start, self.end = (part[rows, None, None].to(place) for part in (running.batch.start, running.batch.end))
        self.at_layer = (torch.tensor(self.steered)[:, None] == running.layers)[..., None, None].to(place)
        self.cache = Cache(layers=[RoomyLayer(layer, room, self.column) for layer in running.cache.layers])

    def trace(self, recorder=None) -> None:
        """The step itself; nothing in it waits for the GPU unless a recorder watches."""
        self.mask.index_fill_(3, self.column, 0.0)
        inside = self.at_layer & (self.column >= self.start) & (self.column < self.end)
        inputs = {"input_ids": self.token, "attention_mask": self.mask, "position_ids": self.position}
        with torch.no_grad(), self.model.trace(inputs, past_key_values=self.cache, use_cache=True):
            add_vectors(self.model, self.running, inside, self.steered, recorder)
            logits = self.model.output.logits[:, -1].save()
        self.column += 1
        self.position += 1
        self.logits = logits

    def __call__(self, recorder=None) -> torch.Tensor:
        """The first step, and those that a recorder watches, are run; the others are replayed."""
        self.count += 1  # the prompt was pass 0
        watched = recorder is not None and recorder.begins_pass(self.running.rows, self.token, self.count)
        if watched or self.count == 1 or self.token.device.type != "cuda":
            self.trace(recorder if watched else None)
        else:
            if self.graph is None:
                self.graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self.graph):
                    self.trace()
            self.graph.replay()
        return self.logits

    def give_back(self) -> None:
        """Hand keys and values to the running batch's own cache."""
        for own, roomy in zip(self.running.cache.layers, self.cache.layers, strict=True):
            read = int(self.column)
            own.keys, own.values = roomy.keys[:, :, :read], roomy.values[:, :, :read]
            if hasattr(own, "cumulative_length"):  # of a sliding window
                own.cumulative_length = read


def write_recorded(model, running: RunningBatch, steps: int, enough_ended, recorder=None) -> torch.Tensor:
    """Write up to `steps` tokens, fewer where enough_ended(tokens so far) is true; returns them, [row, step], on the CPU."""
    step, new = RecordedStep(model, running, steps), torch.empty(len(running.rows), 0, dtype=torch.long)
    while new.shape[1] < steps and not (new.shape[1] and enough_ended(new)):
        logits = step(recorder)
        token = (running.sampling(None, logits) if running.sampling else logits).argmax(-1, keepdim=True)
        step.token.copy_(token)
        new = torch.cat([new, token.cpu()], dim=1)
    step.give_back()
    return new


def can_record(model) -> bool:
    """Whether the model's steps may be recorded: it lies on one CUDA device, nothing hooks into it, and the probe goes well."""
    network = model._module
    on_one_device = len({each.device for each in network.parameters()}) == 1 and network.device.type in DEVICES
    parts = list(network.modules())
    if not on_one_device or any(
        part._forward_hooks or part._forward_pre_hooks or hasattr(part, "_hf_hook") for part in parts
    ):
        return False  # what a hook does in Python would not happen again in a replayed step
    if network not in _admitted:
        try:
            _admitted[network] = probe(model)
        except Exception:  # a mixture of experts that looks at its router's numbers, a class without position ids, ...
            _admitted[network] = False
    return _admitted[network]


@contextmanager
def nothing_waits():
    """RuntimeError where the CPU waits for the GPU, which cannot be recorded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls this mode a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def probe(model) -> bool:
    """Whether recorded steps give the logits of a model that reads everything anew, for two rows of which one is padded."""
    network, trials = model._module, [Trial(Prompt("", ids, {}), (0, None)) for ids in ((1, 2, 3, 4, 5), (2, 4, 3))]
    running = RunningBatch(collate(trials, 0, share_prefix=False), DynamicCache(config=network.config), 0.0)
    ids, mask = running.ids.to(network.device), running.mask.to(network.device)

    def read(columns: int, cache=None) -> torch.Tensor:
        position = (mask.cumsum(1) - 1).clamp_min(0)[:, :columns]
        inputs = {"input_ids": ids[:, :columns], "attention_mask": mask[:, :columns], "position_ids": position}
        with torch.no_grad():
            return network(**inputs, past_key_values=cache, use_cache=cache is not None).logits[:, -1].float()

    read(ids.shape[1] - 1, running.cache)
    step = RecordedStep(model, running, PROBED_STEPS)
    for number in range(PROBED_STEPS):
        expected = read(ids.shape[1])
        with nothing_waits() if number == 0 and network.device.type == "cuda" else nullcontext():
            found = step().float()
        if not (found - expected).abs().max() <= ROUNDING[network.dtype] * expected.abs().max():
            return False
        step.token.copy_(expected.argmax(-1, keepdim=True))
        ids, mask = torch.cat([ids, step.token], 1), torch.cat([mask, torch.ones_like(step.token)], 1)
    return True
