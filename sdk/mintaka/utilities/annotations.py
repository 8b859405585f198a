"""`unmapped`, `allow_failure` and `quote`, where Prefect's users look for them."""

from mintaka.annotations import allow_failure, quote, unmapped

__all__ = ["allow_failure", "quote", "unmapped"]
