"""The controller as a whole: events update its caches and wake keys of its work queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mintaka_controller.context import Context, ControllerSettings
from mintaka_controller.live_wakes import LiveWakes
from mintaka_controller.reconciler import Key, Reconciler
from mintaka_controller.resync import Resync
from mintaka_controller.rule_cache import rule_key
from mintaka_controller.rule_status import RuleStatusWriter
from mintaka_controller.run_cache import name_of, version_of
from mintaka_controller.work_queue import WorkQueue

if TYPE_CHECKING:
    from mintaka_controller.ports import Name, OwnedWorkload, Ports, Snapshot
    from mintaka_controller.rule_cache import RuleKey

_COUNT_SECONDS = 5.0


class Controller:
    """One controller; it may act as soon as `run` is called. The `observe` and `forget` methods return whether anything changed."""

    def __init__(self, ports: Ports, settings: ControllerSettings) -> None:
        self.queue: WorkQueue[Key] = WorkQueue(_lane_of, lane_limit=settings.lane_limit, waited=ports.telemetry.waited_in_queue)
        self.context = Context(ports, settings, wrote=self._wrote, wake=self.wake_run)
        self.context.observe_run = self.observe_run
        self.context.observe_deployment = self.observe_deployment
        self.context.workloads.ended = self.free_capacity
        self.context.runs.called.wake = self._wake_called
        self.resync = Resync(self)
        self._reconciler = Reconciler(self.context, self.queue)
        self._rule_status = RuleStatusWriter(self.context.rules, ports.rules, ports.clock)
        self._live_wakes = LiveWakes(self.context.rules, self.wake_run)
        self.context.runs.live_changed = self._live_wakes.add

    async def run(self) -> None:
        """Reconcile, and resync with what exists, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.resync.run())
            group.create_task(self.context.log_copies.run())
            group.create_task(self._rule_status.run())
            group.create_task(self.queue.run(self.context.settings.workers, self._reconciler.reconcile))

    def observe_run(self, snapshot: Snapshot) -> bool:
        """Observe a version of a flow run."""
        if not self.context.runs.put(snapshot):
            return False
        self.wake_run(name_of(snapshot.document), version_of(snapshot.document))
        return True

    def forget_run(self, key: Name, uid: str | None = None) -> bool:
        """Forget a flow run that is gone."""
        known = self.context.runs.get(key)
        if known is None or not self.context.runs.remove(key, uid):
            return False
        self.wake_run(key)
        if known.deployment:
            self.queue.add_after(Key("deployment", key[0], known.deployment), _COUNT_SECONDS)
        return True

    def observe_deployment(self, snapshot: Snapshot) -> bool:
        """Observe a version of a flow deployment."""
        key = name_of(snapshot.document)
        before = self.context.deployments.get(key)
        if not self.context.deployments.put(snapshot):
            return False
        self.queue.add(Key("deployment", *key))
        after = self.context.deployments.get(key)
        if before is None or before.problem:
            for run in self.context.runs.active(key):  # some may have waited for it
                self.wake_run(run)
        elif after and after.generation != before.generation:
            for run in self.context.backoff.free_lane(*key, self.context.ports.clock.now()):
                self.wake_run(run)
        return True

    def forget_deployment(self, key: Name, uid: str | None = None) -> bool:
        """Forget a flow deployment that is gone."""
        return self.context.deployments.remove(key, uid)

    def observe_rule(self, snapshot: Snapshot) -> bool:
        """Observe a version of an orchestration rule; runs that it holds back are reconciled if it changed."""
        if not self.context.rules.put(snapshot):
            return False
        self._wake_held(rule_key(snapshot.document))
        return True

    def forget_rule(self, key: RuleKey, uid: str | None = None) -> bool:
        """Forget an orchestration rule that is gone."""
        if not self.context.rules.remove(key, uid):
            return False
        self._wake_held(key)
        return True

    def _wake_held(self, rule: RuleKey) -> None:
        for run in self.context.rules.held_by(rule):
            self.wake_run(run)

    def observe_workload(self, owned: OwnedWorkload) -> bool:
        """Observe a version of a workload."""
        if not self.context.workloads.put(owned):
            return False
        self.wake_run(owned.run, owned.version)
        return True

    def forget_workload(self, key: Name, uid: str | None = None) -> bool:
        """Forget a workload that is gone."""
        known = self.context.workloads.get(key)
        run = self.context.workloads.remove(key, uid)
        if run is None or known is None:
            return False
        self.wake_run(run)
        self.context.log_copies.forget(known.workload.uid)
        return True

    def lose_workload(self, key: Name, uid: str | None = None) -> None:
        """A watch no longer shows a workload: it is gone, or only its labels have changed.

        One whose end may still have to be recorded or that has our finalizer is read before it is forgotten.
        """
        known = self.context.workloads.get(key)
        if known is None or (uid and known.workload.uid != uid):
            return
        if known.workload.alive or known.workload.held:
            self.reassess_workload(key)
        else:
            self.forget_workload(key, uid)

    def reassess_workload(self, key: Name) -> None:
        """Read a workload again when its run is reconciled: its cached version may be incomplete."""
        known = self.context.workloads.get(key)
        if known is not None:
            self.context.workloads.doubt(key)
            self.wake_run(known.run)

    def free_capacity(self, namespace: str) -> None:
        """Retry workloads that were refused for lack of capacity; they may be admitted now."""
        for run in self.context.backoff.free_capacity(namespace, self.context.ports.clock.now()):
            self.wake_run(run)

    def wake_all(self) -> None:
        """Reconcile everything that waits for a time: the clock was set, or stood still."""
        for key in self.context.deployments.names():
            self.queue.add(Key("deployment", *key))
        for key in self.context.runs.names():
            self.wake_run(key)

    def wake_run(self, run: Name, version: int = 0) -> None:
        """Have a run reconciled; `version` is the observed one, 0 for any other cause."""
        self.queue.add(Key("run", *run), version)

    def _wake_called(self, runs: list[Name]) -> None:
        """Reconcile runs whose caller was cancelled."""
        for run in runs:
            self.wake_run(run)

    def _wrote(self, run: Name, version: int) -> None:
        self.queue.wrote(Key("run", *run), version)


def _lane_of(key: Key) -> str:
    return key.namespace
