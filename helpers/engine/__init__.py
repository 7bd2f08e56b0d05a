"""The engine: trials in, answers out, with an audit that proves where the vectors went. Start reading at `generation`."""

from helpers.engine.audit import InjectionError
from helpers.engine.generation import Answer, audit_injection, generate, next_token_logits
from helpers.engine.trial import Trial

VERSION = 5  # counts up whenever answers may change, so that kept ones are not taken for new ones

__all__ = ["VERSION", "Answer", "InjectionError", "Trial", "audit_injection", "generate", "next_token_logits"]
