"""One trial as the engine sees it: a prompt, and what is added to the residual stream while the model reads and replies."""

import math
from dataclasses import dataclass
from numbers import Real

import torch

from helpers.models import check_layer, context_length, width
from helpers.prompts import Prompt


@dataclass(frozen=True)
class Trial:
    """A prompt and its injection: strength x vector is added to the output of one block, on the tokens of a span.

    Attributes:
        prompt: what the model reads.
        span: token range [start, end) of the prompt; end None means on through every generated token.
        vector: [width], raw (not normalised); None for a control trial, to which nothing is added.
        strength: factor of the vector (Lindsey 2025: 1, 2, 4, 8).
        layer: block after which the vector is added, numbered from 0.
        seed: of this trial's own random generator, used when sampling (temperature above 0).
    """

    prompt: Prompt
    span: tuple[int, int | None]
    vector: torch.Tensor | None = None
    strength: float = 0.0
    layer: int | None = None
    seed: int = 0

    @property
    def shareable_prefix(self) -> tuple[int, ...]:
        """The prompt's tokens that the injection cannot reach: those before its span (all but the last for a control)."""
        reached = self.span[0] if self.vector is not None else len(self.prompt.token_ids)
        return self.prompt.token_ids[: min(reached, len(self.prompt.token_ids) - 1)]


def validate_trial(model, trial: Trial, max_new_tokens: int) -> None:
    """Raise ValueError for a trial that cannot be run on this model, naming the value and what is allowed."""
    length, room = len(trial.prompt.token_ids), context_length(model)
    if length == 0:
        raise ValueError("the prompt has no tokens")
    if length + max_new_tokens > room:
        raise ValueError(
            f"the prompt has {length} tokens and {max_new_tokens} are to be generated, but the model's context holds {room}"
        )
    known = model.embed._module.num_embeddings
    if max(trial.prompt.token_ids) >= known:
        raise ValueError(f"the prompt holds the token {max(trial.prompt.token_ids)}, but the model knows only {known}")
    start, end = trial.span
    if not 0 <= start < (length if end is None else end) <= length:
        raise ValueError(f"span {trial.span} does not lie in the prompt's {length} tokens")
    if isinstance(trial.strength, bool) or not isinstance(trial.strength, Real) or not math.isfinite(trial.strength):
        raise ValueError(f"strength must be a finite number, got {trial.strength!r}")
    if trial.vector is None:
        return
    if trial.layer is None:
        raise ValueError("a trial with a vector needs the layer to inject at")
    check_layer(model, trial.layer)
    if not isinstance(trial.vector, torch.Tensor):
        raise ValueError(f"the vector must be a torch tensor, got {type(trial.vector).__name__}")
    shape = tuple(trial.vector.shape)
    if shape != (width(model),):
        raise ValueError(f"the vector has shape {shape}; this model's residual stream is ({width(model)},)")
    if not torch.isfinite(trial.vector).all():
        raise ValueError("the vector holds NaN or infinite values")
