"""How many runs of each deployment are in each state, for rules that hold runs back while others are live."""

from __future__ import annotations

from collections import Counter

from mintaka_core.states import TERMINAL

_FINISHED = frozenset(str(state) for state in TERMINAL)


class LiveCounts:
    """Unfinished runs by namespace, deployment and state type; new runs without a state are not counted."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, Counter[str]]] = {}

    def add(self, namespace: str, deployment: str, state: str) -> None:
        """Count a run of a deployment ("": of none, which is not counted)."""
        if deployment and state and state not in _FINISHED:
            self._counts.setdefault(namespace, {}).setdefault(deployment, Counter())[state] += 1

    def remove(self, namespace: str, deployment: str, state: str) -> None:
        """Stop counting a run."""
        known = self._counts.get(namespace, {}).get(deployment)
        if known is None or state not in known:
            return
        known[state] -= 1
        if known[state] <= 0:
            del known[state]
        if not known:
            del self._counts[namespace][deployment]
        if not self._counts[namespace]:
            del self._counts[namespace]

    def of(self, namespace: str, own_deployment: str, own_state: str) -> dict[str, dict[str, int]]:
        """The counts of a namespace without one run of that deployment in that state; zero counts are left out."""
        found = {deployment: dict(counts) for deployment, counts in self._counts.get(namespace, {}).items()}
        own = found.get(own_deployment, {})
        if own_state in own:
            own[own_state] -= 1
            if not own[own_state]:
                del own[own_state]
            if not own:
                del found[own_deployment]
        return found
