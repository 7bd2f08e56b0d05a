"""Chat models as nnsight models, with the same names for the same parts on every architecture. Start at `load`."""

from helpers.models.architecture import (
    COMMON_NAMES,
    attention_window,
    check_layer,
    check_tokens,
    context_length,
    layers_at,
    number_of_blocks,
    width,
)
from helpers.models.identity import changes_from_outside, computation, fingerprint, model_name
from helpers.models.loading import (
    ORGANISM_FOLDER,
    default_device,
    default_dtype,
    load,
    locate,
    shipped_organisms,
    stored_as,
    untrained_copy,
    wrap,
)
from helpers.models.replies import end_of_turn_ids, own_turn
from helpers.models.streams import ENDED_EARLY, assert_equal, residual, write_residual

__all__ = [
    "COMMON_NAMES",
    "ORGANISM_FOLDER",
    "ENDED_EARLY",
    "assert_equal",
    "attention_window",
    "changes_from_outside",
    "check_layer",
    "check_tokens",
    "computation",
    "context_length",
    "default_device",
    "default_dtype",
    "end_of_turn_ids",
    "fingerprint",
    "layers_at",
    "load",
    "locate",
    "model_name",
    "number_of_blocks",
    "own_turn",
    "residual",
    "shipped_organisms",
    "stored_as",
    "untrained_copy",
    "width",
    "wrap",
    "write_residual",
]
