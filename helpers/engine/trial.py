"""One trial as the engine sees it: a prompt, and what is added to the residual stream while the model reads and replies."""

from dataclasses import dataclass

import torch

from helpers.checks import check_seed, check_span, check_tensor, finite_number
from helpers.models import check_layer, check_tokens, width
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
    if not isinstance(trial, Trial) or not isinstance(trial.prompt, Prompt):
        raise ValueError(f"a trial must be an engine.Trial with a prompt of prompts.render, got {trial!r:.80}")
    check_tokens(model, trial.prompt.token_ids, max_new_tokens)
    check_span(trial.span, len(trial.prompt.token_ids))
    strength = finite_number("strength", trial.strength)
    check_seed(trial.seed)
    if trial.vector is None:
        return
    if trial.layer is None:
        raise ValueError("a trial with a vector needs the layer to inject at")
    check_layer(model, trial.layer)
    check_tensor("the vector", trial.vector, (width(model),))
    if not torch.isfinite((strength * trial.vector.detach().float()).to(model._module.dtype)).all():
        raise ValueError(f"{strength:g} times the vector leaves the range of the model's {model._module.dtype}")
