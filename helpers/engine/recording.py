"""On a CUDA device, the step that reads one token is recorded once and then replayed for every further token (a CUDA graph).

A step of a 7B model starts more than a thousand kernels, and Python starts them more slowly than a large GPU runs them.
What is recorded is a trace like any other, vectors included; whatever changes from step to step lies in tensors that stay
where they are. A replay runs no Python, so the audit cannot watch it: it watches the same step before it is recorded, and `probe`
compares replays with the model itself. Where that fails, Hugging Face's `generate` writes all.
"""

import warnings
import weakref
from contextlib import contextmanager, nullcontext

import torch
from torch.nn.functional import pad
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from helpers.engine.batch import FOREVER, collate
from helpers.engine.running import RunningBatch, add_vectors
from helpers.engine.trial import Trial
from helpers.models import changes_from_outside, number_of_blocks, width
from helpers.models.streams import ROUNDING
from helpers.prompts import Prompt

DEVICES = ("cuda",)
PROBED_STEPS = 4  # one that is run, three that are replayed
_admitted = weakref.WeakKeyDictionary()  # network -> (its state, whether the probe went well in it)


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
        place, read = model._module.device, running.cache.get_seq_length()
        goes_on = running.batch.end[running.rows] == FOREVER  # other spans have ended with the prompt
        self.steered = [layer for layer in running.steered() if goes_on[running.layers == layer].any()]
        inside = (torch.tensor(self.steered)[:, None] == running.layers) & goes_on
        self.inside = inside[..., None, None].to(place)  # [steered layer, row, 1, 1]
        self.model, self.running = model, running
        self.count, self.graph, self.logits = 0, None, None
        self.token = running.ids[:, -1:].clone().to(place)
        self.position = running.mask.sum(1, keepdim=True).to(place) - 1
        self.column = torch.tensor([read], device=place)
        room += -(read + room) % 16  # kernels of attention like such lengths
        unread = pad(running.mask[:, :read], (0, room))[:, None, None] == 0
        # [row, 1, 1, column], added to the scores of attention
        self.mask = (unread * torch.finfo(model._module.dtype).min).to(place, model._module.dtype)
        self.cache = Cache(layers=[RoomyLayer(layer, room, self.column) for layer in running.cache.layers])

    def trace(self, recorder=None) -> None:
        """The step itself; nothing in it waits for the GPU unless a recorder watches."""
        self.mask.index_fill_(3, self.column, 0.0)
        inputs = {"input_ids": self.token, "attention_mask": self.mask, "position_ids": self.position}
        with torch.no_grad(), self.model.trace(inputs, past_key_values=self.cache, use_cache=True):
            add_vectors(self.model, self.running, self.inside, self.steered, recorder)
            logits = self.model.output.logits[:, -1].save()
        self.column += 1
        self.position += 1
        self.logits = logits

    def __call__(self, recorder=None) -> torch.Tensor:
        """The first step, and those that a recorder watches, are run; on a CUDA device the others are replayed."""
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
        read = int(self.column)  # waits for the GPU, once
        for own, roomy in zip(self.running.cache.layers, self.cache.layers, strict=True):
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
    """Whether the model's steps may be recorded: it lies on the current CUDA device, nobody changes it, the probe goes well."""
    network = model._module
    here = network.device.type in DEVICES and {each.device for each in network.parameters()} == {network.device}
    here = here and network.device.index in (None, torch.cuda.current_device() if torch.cuda.is_available() else None)
    if not here or changes_from_outside(model) or any(hasattr(part, "_hf_hook") for part in network.modules()):
        return False  # what a hook does in Python would not happen again in a replayed step
    state = network.dtype, network.device, network.config._attn_implementation
    if _admitted.get(network, (None, False))[0] != state:
        try:
            _admitted[network] = state, probe(model)
        except torch.OutOfMemoryError:
            raise  # smaller batches may do
        except Exception:  # a mixture of experts that looks at its router's numbers, a class without position ids, ...
            _admitted[network] = state, False
    return _admitted[network][1]


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
    """Whether recorded steps give the logits of a model that reads everything anew.

    Two rows: one with a vector, here added by a plain hook, as large as the stream that it meets; and a padded one without.
    """
    network, layer, sizes = model._module, number_of_blocks(model) // 2, []
    vector = torch.linspace(-1, 1, width(model))

    def inject(_module, _inputs, output):
        stream = output[0] if isinstance(output, tuple) else output
        sizes.append(float(stream[0].norm()))
        stream[0, 1:] += vector.to(stream)  # from the second token of the first row on

    def read(columns: int, cache=None) -> torch.Tensor:
        position = (mask.cumsum(1) - 1).clamp_min(0)[:, :columns]
        inputs = {"input_ids": ids[:, :columns], "attention_mask": mask[:, :columns], "position_ids": position}
        handle = model.blocks[layer]._module.register_forward_hook(inject)
        try:
            with torch.no_grad():
                return network(**inputs, past_key_values=cache, use_cache=cache is not None).logits[:, -1].float()
        finally:
            handle.remove()

    whole = Trial(Prompt("", tuple(range(1, 13)), {}), (1, None), vector, 1.0, layer)
    batch = collate([whole, Trial(Prompt("", (2, 4, 3), {}), (0, None))], 0, share_prefix=False)
    ids, mask = batch.ids.to(network.device), batch.mask.to(network.device)
    read(1)  # of one token, before the vector
    vector *= sizes[0] / float(vector.norm())
    running = RunningBatch(batch, DynamicCache(config=network.config), 0.0)
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
