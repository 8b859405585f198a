"""An operator: the real controller over ports in memory, with everything that can go wrong around it.

It hears of changes late, twice, out of order or never; the controller's own listings heal that. It may die between any two of its
calls, and then knows nothing any more; a request that it has sent may still arrive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_controller.controller import Controller
from mintaka_controller.rule_cache import RuleKey
from simulated.connection import Connection
from simulated.ports import make_ports

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mintaka_controller.context import ControllerSettings
    from simulated.cluster import Cluster
    from simulated.events import Event
    from simulated.faults import Faults

_LISTING_SECONDS = 0.1


class Operator:
    """One process; `skew` is how many seconds its clock is off. It begins at the next turn of the loop."""

    def __init__(self, cluster: Cluster, faults: Faults, settings: ControllerSettings, skew: float = 0.0) -> None:
        self._cluster = cluster
        self.connection = Connection(cluster, faults, self.die)
        self.started = cluster.agenda.seconds
        self.alive = True
        self.controller = Controller(make_ports(cluster, self.connection, skew), settings)
        self._task: asyncio.Task[None] | None = None
        cluster.agenda.after(0.0, self._begin)

    def die(self) -> None:
        """It is gone, and with it all it knew; what it was doing stays half done."""
        self.alive = False
        if self._watch in self._cluster.server.watchers:
            self._cluster.server.watchers.remove(self._watch)
        if self._task is not None:
            self._task.cancel()

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        self._cluster.agenda.after(seconds, lambda: action() if self.alive else None)

    def _begin(self) -> None:
        """Pods are listed first, because a run is judged by its pods, then runs; then it works while deployments are listed."""
        if not self.alive:
            return
        server, random, controller = self._cluster.server, self._cluster.random, self.controller
        server.watchers.append(self._watch)
        for pod in server.pods.by_key.values():
            controller.observe_workload(pod.owned)
        for stored in server.runs.values():
            controller.observe_run(stored.snapshot)
        for rule in self._cluster.rules.snapshots():
            controller.observe_rule(rule)
        self._task = self._cluster.agenda.loop.create_task(controller.run())
        self._task.add_done_callback(self._ended)
        for deployed in server.deployments.values():
            self._later(random.uniform(0, _LISTING_SECONDS), lambda snapshot=deployed.snapshot: controller.observe_deployment(snapshot))  # type: ignore[misc]

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Only its death may end it."""
        if not task.cancelled():
            self._cluster.agenda.fail(task.exception() or AssertionError("the controller ended"))

    # Hearing of changes.

    def _watch(self, event: Event) -> None:
        random, faults = self._cluster.random, self.connection.faults
        for _ in range(2 if random.random() < faults.twice else 1):
            if random.random() >= faults.lost:
                lag = random.expovariate(1 / 3) if random.random() < faults.late else random.uniform(0, 0.05)
                self._later(lag, lambda: self._hear(event))

    def _hear(self, event: Event) -> None:
        controller, found = self.controller, event.found
        match event.kind:
            case "capacity":
                controller.free_capacity(event.key[0])
            case "workload":
                controller.observe_workload(found.owned) if found else controller.forget_workload(event.key, event.uid)
            case "rule":
                rule = self._cluster.rules.snapshot(event.uid)
                controller.observe_rule(rule) if rule else controller.forget_rule(RuleKey("OrchestrationRule", *event.key), event.uid)
            case "run":
                controller.observe_run(found.snapshot) if found else controller.forget_run(event.key, event.uid)
            case "deployment":
                controller.observe_deployment(found.snapshot) if found else controller.forget_deployment(event.key, event.uid)
