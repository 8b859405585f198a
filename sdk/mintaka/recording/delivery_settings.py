"""How history is delivered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPOOL_LIMIT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How history is delivered; the API takes at most 5,000 items and 4 MiB per report.

    `queue_items` is how many changes may wait before those who make them wait too. A failed delivery is tried again after
    `retry_seconds`, then twice that and so on up to `retry_max_seconds`. A script against an API that has nothing to say says so
    every `beat_seconds`, since one that is silent for long is taken for dead (`mintaka_api.zombie_detection`).
    """

    flush_seconds: float = 0.5
    batch_items: int = 2000
    batch_bytes: int = 1024 * 1024
    queue_items: int = 20000
    timeout_seconds: float = 10.0
    retry_seconds: float = 0.25
    retry_max_seconds: float = 5.0
    beat_seconds: float = 15.0
    spool_folder: Path | None = None
    spool_limit_bytes: int = SPOOL_LIMIT_BYTES
