"""Validation of FlowDeployments, FlowRuns and orchestration rules without a Kubernetes API server, with its results and messages.

The schemas and rules are those of our CRDs. `mintaka_validation.cel` evaluates CEL, the language of the rules, for other uses.
"""

from mintaka_validation.errors import FieldError, InvalidDocument, MalformedDocument
from mintaka_validation.validation import validate_new, validate_status, validate_update

__all__ = ["FieldError", "InvalidDocument", "MalformedDocument", "validate_new", "validate_status", "validate_update"]
