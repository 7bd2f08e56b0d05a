"""A batch while its replies are written, and the lines that inject into it."""

import torch

from helpers.engine.batch import NO_LAYER, Batch
from helpers.engine.decoding import SeededSampling
from helpers.models import residual


class RunningBatch:
    """A batch while its replies are written. Rows whose reply has ended leave it.

    Attributes:
        rows: [row], which trials of the batch are left.
        ids, mask: [row, column], prompts and replies so far.
        cache: keys and values of the columns read so far; None for a model that reads every prompt whole.
        layers: [row], after which block the row's vector is added (NO_LAYER: none).
        vectors: [row, 1, width], what is added.
        sampling: None for greedy replies.
    """

    def __init__(self, batch: Batch, cache, temperature: float):
        self.batch, self.cache = batch, cache
        self.rows, self.ids, self.mask = torch.arange(len(batch.trials)), batch.ids, batch.mask
        self.layers, self.vectors = batch.steering()
        self.sampling = SeededSampling([trial.seed for trial in batch.trials], temperature) if temperature else None

    def steered(self) -> list[int]:
        """The layers after which anything is added, in forward order."""
        return [layer for layer in self.layers.unique().tolist() if layer != NO_LAYER]

    def inside(self, columns: torch.Tensor, steered: list[int]) -> torch.Tensor:
        """[steered layer, row, column, 1] True where the row's vector is added."""
        span = (columns >= self.batch.start[self.rows, None]) & (columns < self.batch.end[self.rows, None])
        return ((torch.tensor(steered)[:, None] == self.layers)[..., None] & span)[..., None]

    def append(self, new: torch.Tensor, ended: torch.Tensor) -> None:
        """Add new tokens, [row, step], and let the rows go that have ended, [row]."""
        left = (~ended).nonzero()[:, 0]  # on the CPU: layers of a cache may live on several devices
        self.rows, self.ids = self.rows[left], torch.cat([self.ids, new], dim=1)[left]
        self.mask = torch.cat([self.mask, torch.ones_like(new)], dim=1)[left]
        self.layers, self.vectors = self.layers[left], self.vectors[left.to(self.vectors.device)]
        if self.cache is not None:
            self.cache.batch_select_indices(left)
        if self.sampling:
            self.sampling.generators = [self.sampling.generators[row] for row in left.tolist()]


def add_vectors(model, running: RunningBatch, inside: torch.Tensor, steered: list[int], recorder=None) -> None:
    """The lines that inject, inside a trace: inside, [steered layer, row, column, 1]; recorder: None where none watches."""
    receivers = [*model.blocks[1:], model.final_norm]  # what reads the stream after each block
    eps = torch.finfo(model._module.dtype).eps
    for layer in range(len(receivers)) if recorder else steered:
        stream = residual(model.blocks[layer])  # [row, position, width]
        before = recorder.sample(stream) if recorder else None
        if layer in steered:
            # moved where the stream is, and kept there
            inside, running.vectors = inside.to(stream), running.vectors.to(stream)
            stream.addcmul_(inside[steered.index(layer)], running.vectors)  # stream += inside * vectors
        if recorder:
            recorder.saw_change(layer, before, recorder.sample(receivers[layer].input), eps)
