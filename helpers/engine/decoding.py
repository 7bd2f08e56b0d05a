"""What the engine hands to Hugging Face's `generate`: how a token is drawn, and what happens after each one."""

import torch
from transformers import LogitsProcessor, StoppingCriteria


class SeededSampling(LogitsProcessor):
    """Sampling at a temperature as an argmax: each row adds Gumbel noise from its own generator to its logits.

    The noise of a row depends on its seed alone, so its text does not depend on what else is in the batch.
    """

    def __init__(self, seeds: list[int], temperature: float):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise = [torch.empty(scores.shape[1]).exponential_(generator=each) for each in self.generators]
        return scores.float() / self.temperature - torch.stack(noise).log().to(scores.device)


class AfterEachToken(StoppingCriteria):
    """Calls a function with the reply tokens so far, [row, step]; the whole batch stops where it returns True."""

    def __init__(self, columns: int, function):
        self.columns, self.function = columns, function

    def __call__(self, input_ids: torch.Tensor, scores, **_options) -> torch.Tensor:
        stop = bool(self.function(input_ids[:, self.columns :].cpu()))
        return torch.full((len(input_ids),), stop, device=input_ids.device)
