"""Requests as the API server itself counts them (`apiserver_request_total`), less what goes on anyway."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_LINE = re.compile(r"^apiserver_request_total\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
WRITES = {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}

type Reading = Counter[tuple[str, str]]


def parse(metrics: str) -> Reading:
    """Requests by (verb, resource/subresource); those that were refused, which write nothing, under `refused VERB`.

    Leases are left out: they go by time, not by load.
    """
    counted: Reading = Counter()
    for labels, value in _LINE.findall(metrics):
        known = dict(_LABEL.findall(labels))
        resource = "/".join(part for part in (known["resource"], known["subresource"]) if part)
        if resource and resource != "leases":
            refused = known.get("code", "").startswith(("4", "5"))
            counted[f"refused {known['verb']}" if refused else known["verb"], resource] += int(float(value))
    return counted


class RequestCount:
    """Counts from `start` to `stop`; `calibrate` first, while nothing happens."""

    def __init__(self, read: Callable[[], Awaitable[str]]) -> None:
        self._read = read
        self._noise: dict[tuple[str, str], float] = {}
        self._before: Reading = Counter()
        self._since = 0.0

    async def calibrate(self, seconds: float) -> float:
        """Learn the rate of requests that go on anyway; returns how many writes a second that is."""
        await self.start()
        await asyncio.sleep(seconds)
        counted = parse(await self._read())
        took = time.monotonic() - self._since
        self._noise = {key: (number - self._before[key]) / took for key, number in counted.items()}
        return sum(rate for (verb, _), rate in self._noise.items() if verb in WRITES)

    async def start(self) -> None:
        """Begin to count."""
        self._before = parse(await self._read())
        self._since = time.monotonic()

    async def stop(self) -> dict[tuple[str, str], float]:
        """Requests since `start`, without the noise."""
        counted = parse(await self._read())
        took = time.monotonic() - self._since
        less = {key: counted[key] - self._before[key] - self._noise.get(key, 0.0) * took for key in counted}
        return {key: number for key, number in less.items() if number >= 0.5}


def writes(counted: dict[tuple[str, str], float]) -> float:
    """How many of the requests change something."""
    return sum(number for (verb, _), number in counted.items() if verb in WRITES)
