"""`unmapped`, `allow_failure`, `opaque` and `quote`, where Prefect's users look for them."""

from mintaka.annotations import allow_failure, opaque, quote, unmapped

__all__ = ["allow_failure", "opaque", "quote", "unmapped"]
