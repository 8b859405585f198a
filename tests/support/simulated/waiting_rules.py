"""What must hold about runs whose pods are refused: they start in order of age, and nobody is asked for a pod again and again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core.states import SCHEDULED
from simulated.agenda import START

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.resources import FlowRun
    from simulated.events import Event
    from simulated.pods import Pod, Refusal
    from simulated.referee import Referee

CAPACITY_REASONS = frozenset({"QuotaExceeded", "LimitRange"})
_SETTLED_SECONDS = 5.0
_WINDOW_SECONDS = 60.0
#: What one lane may ask in a minute by itself: 5, 10, 20 and 40 s apart, and one more; a namespace whose webhook is down: 1, 2, 4, 8, 10 … s.
_ASKED_BY_A_LANE = 6
_ASKED_IN_AN_OUTAGE = 12
#: What a lane may ask because capacity became free, of which its pauses are short again.
_ASKED_AFTER_AN_END = 3


class WaitingRules:
    """`started` is when the present operator started (None: there was none yet); `asked_at_once` is how many of its workers may ask
    before the first refusal, `asked_again` how often one question may be asked.
    """

    def __init__(self, referee: Referee) -> None:
        self._referee = referee
        self.asked_at_once = self.asked_again = 1
        self._server, self._agenda = referee.cluster.server, referee.cluster.agenda
        self.started: float | None = None
        self._starts: list[float] = []
        #: When capacity may have become free, by namespace, so that a lane may ask at once.
        self._freed: list[tuple[float, str]] = []
        self._alive: set[str] = set()
        self._server.watchers.append(self._watch)

    def note_start(self) -> None:
        """An operator starts; it knows nothing of refusals."""
        self.started = self._agenda.seconds
        self._starts.append(self._agenda.seconds)

    def _watch(self, event: Event) -> None:
        if event.kind in {"capacity", "deployment"}:
            self._freed.append((self._agenda.seconds, event.key[0]))
        elif event.kind == "workload":
            pod: Pod | None = event.found
            if pod is not None and event.uid not in self._alive and pod.workload.alive:
                self._alive.add(event.uid)
                self._check_order(pod)
            elif event.uid in self._alive and (pod is None or not pod.workload.alive):
                self._alive.discard(event.uid)
                self._freed.append((self._agenda.seconds, event.key[0]))

    def _check_order(self, pod: Pod) -> None:
        """A run got its pod: no older one of its lane waits."""
        stored = self._server.runs.get(pod.run)
        if stored is None or stored.model.spec.deployment is None or self._referee.overlapping or self.started is None:
            return
        run = stored.model
        for other in self._server.runs.values():
            if other.model is run or self._lane(other.model) != self._lane(run) or not self._waits_for_long(other.model):
                continue
            ahead = _age(other.model) < _age(run) and not self._server.pods.of_run(other.model.metadata.uid)
            self._referee.demand(not ahead, f"{run.metadata.name} got a pod before {other.model.metadata.name}, which is older and waits")

    def _lane(self, run: FlowRun) -> tuple[str, str | None]:
        return run.metadata.namespace, run.spec.deployment

    def _waits_for_long(self, run: FlowRun) -> bool:
        state, spec, started = run.status.state, run.spec, self.started or 0.0
        if state is None or state.type != SCHEDULED or state.reason not in CAPACITY_REASONS:
            return False
        if spec.suspend or spec.cancel or run.metadata.deletion_timestamp is not None:
            return False
        return (
            state.time <= self._agenda.now - timedelta(seconds=_SETTLED_SECONDS)
            and self._agenda.seconds - started > _SETTLED_SECONDS + (self._agenda.now - state.time).total_seconds()
        )

    def check_refusals(self) -> None:
        """In the end: how often pods were asked for in vain."""
        refused = self._server.pods.refused
        for first, refusal in enumerate(refused):
            window = [each for each in refused[first:] if each.seconds < refusal.seconds + _WINDOW_SECONDS and _together(each, refusal)]
            allowed = self._allowed(refusal, window)
            self._referee.demand(
                len(window) <= allowed,
                f"{len(window)} pods were asked for within a minute of {refusal.seconds:.0f} s, and refused: {refusal.reason}; {allowed} are allowed",
            )

    def _allowed(self, refusal: Refusal, window: list[Refusal]) -> int:
        begin, end = refusal.seconds - 1.0, refusal.seconds + _WINDOW_SECONDS
        starts = 1 + self._referee.overlapping + sum(begin - 10 < start < end for start in self._starts)
        freed = sum(begin < moment < end and namespace == refusal.namespace for moment, namespace in self._freed)
        by_itself = _ASKED_IN_AN_OUTAGE if refusal.transient else _ASKED_BY_A_LANE
        lanes = 1 if refusal.transient else len({each.lane for each in window})
        return starts * (self.asked_at_once + by_itself * lanes * self.asked_again) + freed * lanes * _ASKED_AFTER_AN_END * self.asked_again


def _together(one: Refusal, other: Refusal) -> bool:
    return one.namespace == other.namespace and one.transient == other.transient


def _age(run: FlowRun) -> datetime:
    """Of runs of the same second any may be first."""
    return run.spec.scheduled_time or run.metadata.creation_timestamp or START
