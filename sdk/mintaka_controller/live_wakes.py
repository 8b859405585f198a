"""Wakes runs that rules hold back while others are live: at once when a run enters or leaves a state, then at most once a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Name
    from mintaka_controller.rule_cache import RuleCache

#: A thousand runs that wait for one deployment must not be evaluated with each of a thousand events.
_REST_SECONDS = 1.0


class LiveWakes:
    """Wakes per namespace."""

    def __init__(self, rules: RuleCache, wake: Callable[[Name], None]) -> None:
        self._rules = rules
        self._wake = wake
        self._resting: dict[str, bool] = {}

    def add(self, namespace: str) -> None:
        """A run of the namespace entered or left a state."""
        if namespace in self._resting:
            self._resting[namespace] = True
            return
        waiting = self._rules.waits_for_live_runs(namespace)
        if not waiting:
            return
        for run in waiting:
            self._wake(run)
        self._resting[namespace] = False
        asyncio.get_running_loop().call_later(_REST_SECONDS, self._rested, namespace)

    def _rested(self, namespace: str) -> None:
        if self._resting.pop(namespace, False):
            self.add(namespace)
