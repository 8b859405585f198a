"""What may go wrong between an operator and the API server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faults:
    """The share of events that are `lost`, `late` or delivered `twice`; of calls that are `failing`, on their way there or back, that are
    `hanging` (their caller gives up, and they arrive later), that are `deadly` (the operator dies before or after them).
    """

    lost: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    failing: float = 0.0
    hanging: float = 0.0
    deadly: float = 0.0


CALM = Faults()
