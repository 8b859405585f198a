"""One key of the work queue: gather, decide, apply; whatever happens, the key is looked at again when it should be."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import ValidationError

from mintaka_core.reconciling import deployments, runs
from mintaka_core.reconciling.plans import AddFinalizer, CreateWorkload, RunPlan
from mintaka_operator import metrics, paths
from mintaka_operator.applying import Stale, add_finalizer, apply_run_effect, create_run, delete_run, write_status
from mintaka_operator.cluster import ApiError
from mintaka_operator.event_recorder import record_event, transition_event, warning_event
from mintaka_operator.gathering import gather_deployment, gather_run

if TYPE_CHECKING:
    from mintaka_core.reconciling.passes import RunObservation
    from mintaka_core.resources.runs import TransitionStatus
    from mintaka_operator.queueing import WorkQueue
    from mintaka_operator.stores import Name, ResourceStore
    from mintaka_operator.world import World

_logger = logging.getLogger(__name__)

#: A deployment counts its runs at most this often, whatever happens to them.
_COUNT_SECONDS = 5.0
_NOT_FOUND = 404


class Key(NamedTuple):
    """What is to be reconciled."""

    kind: Literal["run", "deployment"]
    namespace: str
    name: str

    @property
    def pair(self) -> Name:
        """(namespace, name)."""
        return self.namespace, self.name


class Worker:
    """Reconciles keys; the same one serves all tasks of the queue."""

    def __init__(self, world: World, queue: WorkQueue[Key]) -> None:
        self._world = world
        self._queue = queue
        #: What we know of these may be old: a decision was refused as such, or the answer to a write never came.
        self._doubtful: set[Key] = set()

    async def work(self, key: Key) -> None:
        """Reconcile `key`; errors are logged and lead to another try."""
        started = time.monotonic()
        try:
            if key in self._doubtful:
                await self._refresh(key)
                self._doubtful.discard(key)
            due = await (self._run(key) if key.kind == "run" else self._deployment(key))
        except Stale:
            self._doubtful.add(key)
            self._queue.add_after(key, 0.02)
        except ApiError as error:
            self._doubtful.add(key)
            metrics.RECONCILE_ERRORS.labels(key.kind).inc()
            seconds = self._queue.retry(key)
            _logger.warning("%s %s/%s: %s; again in %.1f s", *key, error, seconds)
        except ValidationError as error:
            # The schema let it through and we cannot read it: a newer resource than this operator.
            metrics.RECONCILE_ERRORS.labels(key.kind).inc()
            self._queue.retry(key)
            _logger.error("%s %s/%s cannot be read: %s", *key, error)  # noqa: TRY400 - the trace says nothing
        except Exception:
            metrics.RECONCILE_ERRORS.labels(key.kind).inc()
            seconds = self._queue.retry(key)
            _logger.exception("%s %s/%s: reconciling failed; again in %.1f s", *key, seconds)
        else:
            self._queue.forget(key)
            if due is not None:
                self._queue.add_after(key, (due - datetime.now(UTC)).total_seconds() + 0.001)
        finally:
            metrics.RECONCILE_SECONDS.labels(key.kind).observe(time.monotonic() - started)

    async def _run(self, key: Key) -> datetime | None:
        world = self._world
        seen = await gather_run(world, key.pair)
        if seen is None:
            return None
        plan = runs.reconcile(seen, datetime.now(UTC))
        for effect in plan.effects:
            create_error = await apply_run_effect(world, seen, effect) if isinstance(effect, CreateWorkload) else None
            if create_error:
                again = await gather_run(world, key.pair, create_error)
                if again is None:
                    return None
                seen, plan = again, runs.reconcile(again, datetime.now(UTC))
                break
        version = seen.run.metadata.resource_version
        if AddFinalizer() in plan.effects:
            version = await add_finalizer(world, seen.run)
        if plan.status is not None:
            await write_status(world, world.runs, version, seen.run, plan.status)
            await self._tell(seen, plan)
        # What is seen of an ended flow is written down before anything takes its pod away.
        for effect in plan.effects:
            if not isinstance(effect, CreateWorkload | AddFinalizer):
                await apply_run_effect(world, seen, effect)
        self._wake_deployment(key.pair)
        # What is written may already be out of date, as when the pod ended meanwhile: its event has put the key back.
        return self._next(seen, plan)

    def _next(self, seen: RunObservation, plan: RunPlan) -> datetime | None:
        """When to look again: what the plan says, or the deadline its status now bears."""
        if plan.status is None:
            return plan.due
        if plan.status.is_terminal and plan.status.end_time:
            return plan.status.end_time + seen.ttl
        known = [moment for moment in (plan.due, plan.status.next_time) if moment]
        return min(known, default=None)

    async def _tell(self, seen: RunObservation, plan: RunPlan) -> None:
        for transition in plan.transitions:
            metrics.count_transition(transition.to, transition.reason)
            _log(seen, transition)
            event = transition_event(seen.run, transition)
            if event:
                await record_event(self._world.cluster, event)

    def _wake_deployment(self, run: Name) -> None:
        entry = self._world.runs.get(run)
        if entry and entry.deployment:
            self._queue.add_after(Key("deployment", run[0], entry.deployment), _COUNT_SECONDS)

    async def _deployment(self, key: Key) -> datetime | None:
        world = self._world
        seen = await gather_deployment(world, key.pair)
        if seen is None:
            return None
        plan = deployments.reconcile(seen, datetime.now(UTC))
        for wish in plan.create:
            created = await create_run(world, seen.deployment, wish)
            if created:
                _logger.info("schedule %s of flow deployment %s/%s created flow run %s", wish.schedule, key.namespace, key.name, created[1])
                self._queue.add(Key("run", *created))
        for retired in plan.retire:
            await delete_run(world, retired)
        for warning in plan.warnings:
            await record_event(world.cluster, warning_event(seen.deployment, warning.reason, warning.message))
        if plan.status is not None:
            await write_status(world, world.deployments, seen.deployment.metadata.resource_version, seen.deployment, plan.status)
        return plan.due

    async def _refresh(self, key: Key) -> None:
        """Our copy was old: read the resource, so that the next decision rests on what is."""
        world = self._world
        store: ResourceStore = world.runs if key.kind == "run" else world.deployments
        path = paths.flow_runs(*key.pair) if key.kind == "run" else paths.flow_deployments(*key.pair)
        try:
            store.put(await world.cluster.get(path))
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            store.remove(key.pair)


def _log(seen: RunObservation, transition: TransitionStatus) -> None:
    metadata = seen.run.metadata
    _logger.info(
        "flow run %s/%s: %s -> %s%s",
        metadata.namespace,
        metadata.name,
        transition.from_type or "new",
        transition.name,
        f" ({transition.message})" if transition.message else "",
        extra={
            "flow_run": metadata.name,
            "namespace": metadata.namespace,
            "flow_run_uid": metadata.uid,
            "sequence": transition.sequence,
            "attempt": transition.attempt,
            "state": transition.to,
            "rule": transition.rule,
            "reason": transition.reason,
        },
    )
