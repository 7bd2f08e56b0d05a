"""The engine: trials in, answers out, with an audit that proves where the vectors went. Start reading at `generation`."""

from helpers.engine.audit import InjectionError
from helpers.engine.generation import Answer, audit_injection, generate, next_token_logits
from helpers.engine.trial import Trial

__all__ = ["Answer", "InjectionError", "Trial", "audit_injection", "generate", "next_token_logits"]
