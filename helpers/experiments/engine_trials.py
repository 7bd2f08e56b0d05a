"""From rows of the table of trials to the engine's trials: prompts are rendered and vectors made, each once."""

import hashlib
import json
import math
from functools import cached_property

import pandas as pd
import torch

from helpers import prompts, vectors
from helpers.checks import check_tensor
from helpers.concepts import baseline_words
from helpers.engine import Trial
from helpers.experiments.trials import TRIAL_COLUMNS, VECTOR_KINDS
from helpers.models import check_layer, number_of_blocks, width
from helpers.stats import check_trials


def seed_from(text: str) -> int:
    """A seed from a text, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def named_rows(table: pd.DataFrame):
    """The rows one by one, as named tuples ("values" is a method there, hence values_text)."""
    table = table[TRIAL_COLUMNS].fillna({"concept": "", "vector_of": ""})  # "" becomes NaN in a CSV file
    return table.rename(columns={"values": "values_text"}).itertuples(index=False)


class TrialBuilder:
    """Makes engine trials for one model and table.

    Args:
        model: an nnsight model.
        table: a table of trials.
        given: name -> [layer, width], for rows whose vector_of is such a name; every other vector_of is a word.
    """

    def __init__(self, model, table: pd.DataFrame, given: dict[str, torch.Tensor] | None = None):
        self.model, self.rendered, self.norms, self.answers_begin = model, {}, {}, {}
        if not isinstance(given, dict | None):
            raise ValueError(f"given vectors must be a dict, name -> [layer, width], got {type(given).__name__}")
        self.vectors = dict(given or {})
        for name, vector in self.vectors.items():
            check_tensor(f"the vector given as {name!r}", vector, (number_of_blocks(model), width(model)))
        if unknown := [kind for kind in table["vector"].unique() if kind not in VECTOR_KINDS]:
            raise ValueError(f"unknown kind of vector {unknown[0]!r}; allowed are {', '.join(VECTOR_KINDS)}")
        if wrong := [concept for concept in table["concept"].dropna() if not isinstance(concept, str)]:
            raise ValueError(f"the concept of a trial must be a word, or '' for none, got {wrong[0]!r:.80}")
        injected = table[table["vector"] != "none"]
        if unused := set(self.vectors) - set(injected["vector_of"]):
            raise ValueError(
                f"no trial uses the given vectors {sorted(unused, key=str)}: their names must be in vector_of"
            )
        words = [word for word in injected["vector_of"].unique() if word not in self.vectors]
        if words:
            self.vectors |= dict(zip(words, vectors.concept_vectors(model, words), strict=True))
        # of each wording and span, the first injected row of the table: its prompt gives the norm of the stream
        self.first = {}
        for row in named_rows(injected):
            self.first.setdefault((row.experiment, row.wording, row.span), row)

    def prompt(self, row) -> prompts.Prompt:
        """The row's transcript, rendered."""
        key = (row.experiment, row.wording, str(row.values_text))
        if key not in self.rendered:
            template = prompts.get_template(row.experiment, row.wording)
            try:
                values = json.loads(row.values_text)
            except (ValueError, TypeError, RecursionError):
                values = None
            if not isinstance(values, dict):
                allowed = 'JSON text such as {"trial": 1}'
                raise ValueError(f"the values of a trial must be {allowed}, got {row.values_text!r:.80}")
            self.rendered[key] = prompts.render(self.model.tokenizer, template, **values)
        return self.rendered[key]

    def readouts(self, row, logits: torch.Tensor) -> dict[str, float]:
        """What the logits of the reply's first token, [vocabulary], say.

        yes_logit, no_logit: `log_sum` over the tokens that begin "Yes", or "No". entropy: of the distribution, in nats.
        concept_logit: `log_sum` over the tokens that begin the row's concept, minus the mean logit (NaN without a concept).
        """
        key = (row.experiment, row.wording, row.concept)
        if key not in self.answers_begin:
            tokenizer, prompt = self.model.tokenizer, self.prompt(row)
            concept = prompts.first_tokens(tokenizer, prompt, row.concept)[0] if row.concept else []
            self.answers_begin[key] = (*prompts.first_tokens(tokenizer, prompt, "Yes", "No"), concept)
        yes, no, concept = (log_sum(logits, tokens) for tokens in self.answers_begin[key])
        log_p = logits.log_softmax(-1)
        entropy = -float((log_p.exp() * log_p).nan_to_num().sum())
        return {"yes_logit": yes, "no_logit": no, "entropy": entropy, "concept_logit": concept - float(logits.mean())}

    def vector(self, row) -> torch.Tensor | None:
        """The row's vector at its layer, [width]; None for a control."""
        if row.vector == "none":
            return None
        layer = check_layer(self.model, row.layer)  # 3, not 3.0, which would draw other random vectors
        concept = self.vectors[row.vector_of][layer]
        if row.vector == "concept":
            return concept
        if row.vector == "negated":
            return -concept
        key = f"{row.vector}/{row.vector_of}/{layer}/{row.seed}"
        generator = torch.Generator().manual_seed(seed_from(key))
        if row.vector == "mixture":
            return vectors.mixed_vectors(concept, self.of_baseline[:, layer], generator)
        make = vectors.random_vectors if row.vector == "random" else vectors.shuffled_vectors
        return make(concept, generator)

    @cached_property
    def of_baseline(self) -> torch.Tensor:
        """The vectors of the baseline words, [word, layer, width], which mixtures are made of."""
        return vectors.concept_vectors(self.model, baseline_words())

    def trial(self, row) -> Trial:
        """The row as the engine takes it."""
        prompt, vector = self.prompt(row), self.vector(row)
        start, end = prompt.span(row.span)
        span = (start, None if row.span.startswith("from_") else end)
        return Trial(prompt, span, vector, row.strength, None if vector is None else int(row.layer), row.seed)

    def dose(self, row, trial: Trial) -> float:
        """||strength x vector|| / ||residual stream||, the stream averaged over the span in the wording's first injected row."""
        if trial.vector is None:
            return 0.0
        key = (row.experiment, row.wording, row.span)
        if key not in self.norms:
            first = self.trial(self.first[key])
            self.norms[key] = vectors.residual_norms(self.model, first.prompt, first.span)
        return float(abs(trial.strength) * trial.vector.norm() / self.norms[key][trial.layer])


def engine_trials(model, table: pd.DataFrame, given: dict[str, torch.Tensor] | None = None) -> list[Trial]:
    """The rows of a table as trials of `engine.generate` and `engine.audit_injection` (given: as in `TrialBuilder`)."""
    check_trials(table, TRIAL_COLUMNS)
    builder = TrialBuilder(model, table, given)
    return [builder.trial(row) for row in named_rows(table)]


def log_sum(logits: torch.Tensor, tokens: list[int]) -> float:
    """Log of the summed exponentials of some tokens' logits, [vocabulary]; NaN where there is no such token."""
    return float(logits[tokens].logsumexp(-1)) if tokens else math.nan
