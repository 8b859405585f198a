"""One key of the work queue: gather, decide, apply; whatever happens, the key is reconciled again when needed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from mintaka_controller.announcing import announce_missing_revision, announce_transitions
from mintaka_controller.applying import (
    add_finalizer,
    apply_effect,
    cancel_called,
    create_run,
    create_workload,
    delete_run,
    write_deployment_status,
    write_run_status,
)
from mintaka_controller.create_checks import place_of
from mintaka_controller.gathering import gather_deployment, gather_run, know_deployments, reread_doubtful, ttl_of
from mintaka_controller.orphans import release_orphans
from mintaka_controller.ports import Conflict, Missing, PortError, Rejected, Unavailable
from mintaka_controller.refused_status import without_texts
from mintaka_controller.rule_facts import holders_in
from mintaka_controller.run_template import store_revision
from mintaka_core.concurrency import Outcome
from mintaka_core.errors import InvalidResource
from mintaka_core.instants import later
from mintaka_core.reconciling import deployments, runs
from mintaka_core.reconciling.attempts import complete_attempts
from mintaka_core.reconciling.plans import AddFinalizer, CreateRevision, CreateWorkload, RunPlan, StopWorkload
from mintaka_core.states import AWAITING_CONCURRENCY_SLOT, PENDING, SCHEDULED

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_controller.context import Context
    from mintaka_controller.ports import Name
    from mintaka_controller.work_queue import WorkQueue
    from mintaka_core.reconciling.observation import RunObservation
    from mintaka_core.reconciling.plans import DeploymentPlan
    from mintaka_core.resources.runs import TransitionStatus
    from mintaka_core.workloads import CreateError

_logger = logging.getLogger(__name__)

#: A deployment counts its runs at most this often, whatever happens to them.
_COUNT_SECONDS = 5.0
#: While the queue is busy, PENDING of a new attempt may wait this long for what follows; the keys that wait take as long in a burst.
PENDING_SECONDS = 15.0
#: After a conflict the key is read and decided again.
_CONFLICT_SECONDS = 0.02


class Key(NamedTuple):
    """The resource to reconcile."""

    kind: Literal["run", "deployment"]
    namespace: str
    name: str

    @property
    def pair(self) -> Name:
        """(namespace, name)."""
        return self.namespace, self.name


class _Deferral(NamedTuple):
    """PENDING of the run with that uid is not written: since when it is PENDING, and until when (the loop's clock) it may stay so."""

    uid: str
    since: datetime
    until: float


class Reconciler:
    """Reconciles keys; one instance serves all workers of the queue."""

    def __init__(self, context: Context, queue: WorkQueue[Key]) -> None:
        self._context = context
        self._queue = queue
        #: Keys whose cached version may be stale: a decision met a conflict, or the answer to a write never arrived.
        self._doubtful: set[Key] = set()
        self._deferrals: dict[Key, _Deferral] = {}
        #: By run: its uid, and the decisions about it to write along with its next change.
        self._noted: dict[Key, tuple[str, tuple[TransitionStatus, ...]]] = {}

    async def reconcile(self, key: Key) -> None:
        """Reconcile `key`, when there is memory for its resources; errors are logged and retried."""
        async with self._context.memory.reserve(self._reservation(key)):
            await self._reconcile(key)

    def _reservation(self, key: Key) -> int:
        """What the large resources of a key may take when they are parsed."""
        run = self._context.runs.get(key.pair) if key.kind == "run" else None
        name = key.name if key.kind == "deployment" else run.deployment if run else ""
        deployment = self._context.deployments.get((key.namespace, name))
        revision = self._context.revisions.reservation((key.namespace, run.revision)) if run and run.revision else 0
        return (run.reservation if run else 0) + max(deployment.reservation if deployment else 0, revision)

    async def _reconcile(self, key: Key) -> None:
        telemetry, time = self._context.ports.telemetry, asyncio.get_running_loop().time
        started, doubtful = time(), key in self._doubtful
        try:
            if doubtful:
                await self._refresh(key)
                self._doubtful.discard(key)
            due = await (self._run(key) if key.kind == "run" else self._deployment(key))
        except (Conflict, Missing):
            self._doubtful.add(key)
            if doubtful:  # although the decision was based on a fresh read
                self._queue.retry(key)
            else:
                self._queue.add_after(key, _CONFLICT_SECONDS)
        except PortError as error:
            self._doubtful.add(key)
            telemetry.failed(key.kind)
            seconds = self._queue.retry(key, getattr(error, "retry_after", None) or 0.0)
            _logger.warning("%s %s/%s: %s; again in %.1f s", *key, error, seconds)
        except InvalidResource as error:
            telemetry.failed(key.kind)
            self._queue.retry(key)
            _logger.error("%s", error)  # noqa: TRY400 - the trace says nothing
        except Exception:  # a bug of ours that affects one key must not end the others
            telemetry.failed(key.kind)
            seconds = self._queue.retry(key)
            _logger.exception("%s %s/%s: reconciling failed; again in %.1f s", *key, seconds)
        else:
            self._queue.forget(key)
            if due is not None:
                seconds = (due - self._context.ports.clock.now()).total_seconds() + 0.001
                self._queue.add_after(key, seconds, urgent=key.kind == "deployment")  # its schedules fire in time
        finally:
            telemetry.reconciled(key.kind, time() - started)

    def _rests_until(self, key: Key) -> datetime | None:
        """Until when a finished run needs nothing, according to the caches; None: it has to be reconciled.

        Without this, a controller that starts would read every finished run from the API server, and new ones would wait for that.
        """
        context = self._context
        entry = context.runs.get(key.pair)
        if entry is None or not entry.finished or entry.deleting or entry.end_time is None or context.workloads.owned_by(key.pair):
            return None
        end = later(entry.end_time, ttl_of(context, key.namespace, entry.deployment))
        return end if context.ports.clock.now() < end else None

    async def _run(self, key: Key) -> datetime | None:
        context = self._context
        rests_until = self._rests_until(key)
        if rests_until is not None:
            self._forget(key)
            return rests_until
        await reread_doubtful(context, key.pair)
        seen = await gather_run(context, key.pair)
        await release_orphans(context, key.pair, seen.run.metadata.uid if seen else None)
        if seen is None:
            self._forget(key)
            return None
        if runs.has_to_be_cancelled(seen) and await cancel_called(context, seen.run):
            return context.ports.clock.now()
        seen, plan = await self._decide(self._recall(key, seen))
        create = next((effect for effect in plan.effects if isinstance(effect, CreateWorkload)), None)
        error = await self._create(seen, create) if create else None
        if error is not None:
            context.slots.release(key.pair, blocked=True)
            again = await gather_run(context, key.pair, error)
            if again is None:
                return None
            seen, plan = await self._decide(self._recall(key, again))
        elif create and plan.status:
            owned = context.workloads.of_run(key.pair, seen.run.metadata.uid)
            plan = replace(plan, status=complete_attempts(plan.status, owned, context.ports.clock.now()))
        if self._defers(key, seen, plan):
            context.slots.release(key.pair)
            return None
        try:
            await self._write(seen, plan)
        except Rejected:
            await self._stop_all(seen, plan)
            raise
        self._note(key, seen, plan)
        self._record_rules(key, seen, plan)
        self._stop_waiting(key, seen, plan)
        # A run that could start but does not, because something else has to happen first, must not prevent others from starting.
        free = seen.slot is None or seen.slot.outcome is Outcome.FREE
        context.slots.release(key.pair, blocked=free and (create is None or error is not None))
        self._wake_deployment(key.pair)
        # The end of an attempt is written before its workload is removed.
        effects = [effect for effect in plan.effects if not isinstance(effect, CreateWorkload | CreateRevision | AddFinalizer)]
        dues = [await apply_effect(context, seen, effect) for effect in effects]
        # The written status may already be stale, for example if the pod ended meanwhile: its event has added the key again.
        return min((due for due in (*dues, self._next(seen, plan)) if due), default=None)

    async def _decide(self, seen: RunObservation) -> tuple[RunObservation, RunPlan]:
        """The plan, once the revision that it names exists; if that cannot be stored, the run has none.

        There is no await between finding a free slot and claiming it.
        """
        slots, pair = self._context.slots, _name(seen)
        if slots.limits(pair):
            await know_deployments(self._context)
            slot = None if seen.create_error else slots.standing_of(pair)
            replaced_by = slots.replaced_by(seen.run.metadata.uid)
            seen = replace(seen, slot=slot, concurrency=slots.record_of(pair), replaced_by=replaced_by)
        plan = runs.reconcile(seen, self._context.ports.clock.now())
        if any(isinstance(effect, CreateWorkload) for effect in plan.effects):
            slots.claim(pair, seen.run.metadata.uid)
        needed = next((effect for effect in plan.effects if isinstance(effect, CreateRevision)), None)
        refused = await store_revision(self._context, seen.run, needed.name) if needed else ""
        if refused:
            _logger.warning("flow run %s/%s: its revision cannot be stored: %s", *_name(seen), refused)
            seen = replace(seen, revision="")
            plan = runs.reconcile(seen, self._context.ports.clock.now())
        return seen, plan

    def _forget(self, key: Key) -> None:
        """Forget what is remembered of a run that needs nothing."""
        self._deferrals.pop(key, None)
        self._noted.pop(key, None)
        self._context.slots.release(key.pair)
        self._context.rules.release(key.pair)
        self._wake_runs(self._context.backoff.forget(key.pair))

    def _recall(self, key: Key, seen: RunObservation) -> RunObservation:
        """The observation with what earlier passes left to be written."""
        uid, deferral = seen.run.metadata.uid, self._deferrals.get(key)
        if deferral and deferral.uid == uid:
            seen = replace(seen, pending_since=deferral.since)
        owner, noted = self._noted.get(key, ("", ()))
        return replace(seen, noted=noted) if noted and owner == uid else seen

    def _record_rules(self, key: Key, seen: RunObservation, plan: RunPlan) -> None:
        """Record what rules of users did, and which of them hold the run back."""
        rules = self._context.rules
        if len(rules):
            rules.record(key.pair, seen.journal, holders_in(plan, seen.run.status), self._context.ports.clock.now())
        else:
            rules.release(key.pair)

    def _note(self, key: Key, seen: RunObservation, plan: RunPlan) -> None:
        """Remember the decisions that are not written yet."""
        if plan.noted:
            self._noted[key] = (seen.run.metadata.uid, plan.noted)
        else:
            self._noted.pop(key, None)

    def _defers(self, key: Key, seen: RunObservation, plan: RunPlan) -> bool:
        """Whether a busy queue lets PENDING wait, to be written together with what follows.

        The workload exists, and any controller that finds it continues from it, as after a crash of this process.
        """
        now, uid = asyncio.get_running_loop().time(), seen.run.metadata.uid
        deferral = self._deferrals.pop(key, None)
        if len(self._queue) <= self._context.settings.busy_queue or not _only_starts(seen, plan):
            return False
        if deferral is None or deferral.uid != uid:
            deferral = _Deferral(uid, self._context.ports.clock.now(), now + PENDING_SECONDS)
        if now >= deferral.until:
            return False
        self._deferrals[key] = deferral
        self._queue.add_after(key, deferral.until - now)
        return True

    async def _stop_all(self, seen: RunObservation, plan: RunPlan) -> None:
        """Stop the workloads of a run whose status cannot be written: none may continue against its owner's intent."""
        for effect in plan.effects:
            if isinstance(effect, StopWorkload):
                await apply_effect(self._context, seen, effect)

    async def _create(self, seen: RunObservation, effect: CreateWorkload) -> CreateError | None:
        """Create a workload, unless the run has to wait before its request; return the error if that fails."""
        context = self._context
        place = place_of(context, seen.run)
        held = context.backoff.hold(place, context.ports.clock.now())
        if held is not None:
            return held
        error = await create_workload(context, seen, effect)
        if error is None:
            woken = context.backoff.accept(place, context.ports.clock.now())
        else:
            error, woken = context.backoff.refuse(place, error, context.ports.clock.now())
        self._wake_runs(woken)
        return error

    async def _write(self, seen: RunObservation, plan: RunPlan) -> None:
        version = seen.run.metadata.resource_version
        if AddFinalizer() in plan.effects:
            try:
                version = await add_finalizer(self._context, seen.run)
            except Rejected as error:  # no reason to leave it without a state
                _logger.error("flow run %s/%s cannot be held for the mirror: %s", *_name(seen), error)  # noqa: TRY400
        if plan.status is None:
            return
        try:
            await write_run_status(self._context, seen.run, version, plan.status)
        except Rejected as error:
            # Too large or not valid: write the state without the texts.
            _logger.error("flow run %s/%s: its status was refused, written without texts: %s", *_name(seen), error)  # noqa: TRY400
            await write_run_status(self._context, seen.run, version, without_texts(plan.status))
        await announce_transitions(self._context, seen.run, plan.transitions)
        await announce_missing_revision(self._context, seen)

    def _stop_waiting(self, key: Key, seen: RunObservation, plan: RunPlan) -> None:
        status = plan.status or seen.run.status
        if status.state is None or status.state.type != SCHEDULED or not status.state.reason:
            self._wake_runs(self._context.backoff.forget(key.pair))

    def _next(self, seen: RunObservation, plan: RunPlan) -> datetime | None:
        """When to reconcile again: the plan's time, or the deadline in its new status."""
        if plan.status is None:
            return plan.due
        state = plan.status.state
        over = state is not None and state.reason == AWAITING_CONCURRENCY_SLOT  # its time has come: it waits for the end of another run
        known = [moment for moment in (plan.due, None if over else plan.status.next_time) if moment]
        if plan.status.is_terminal and seen.run.metadata.deletion_timestamp is not None:
            return self._context.ports.clock.now()  # to be released, now or in time
        if plan.status.is_terminal and plan.status.end_time:
            known.append(plan.status.end_time + seen.ttl)
        return min(known, default=None)

    def _wake_deployment(self, run: Name) -> None:
        entry = self._context.runs.get(run)
        if entry and entry.deployment:
            self._queue.add_after(Key("deployment", run[0], entry.deployment), _COUNT_SECONDS)

    def _wake_runs(self, names: list[Name]) -> None:
        for name in names:
            self._queue.add(Key("run", *name))

    async def _deployment(self, key: Key) -> datetime | None:
        context = self._context
        seen = await gather_deployment(context, key.pair)
        if seen is None:
            return None
        plan = deployments.reconcile(seen, context.ports.clock.now())
        for wish in plan.create:
            created = await create_run(context, seen.deployment, wish)
            if created:
                _logger.info("schedule %s of flow deployment %s/%s created flow run %s", wish.schedule, key.namespace, key.name, created[1])
                self._queue.add(Key("run", *created))
        for warning in plan.warnings:
            await context.ports.events.record_warning(seen.deployment, warning.reason, warning.message)
        if plan.status is not None:
            await write_deployment_status(context, seen.deployment, plan.status)
        await self._retire(key, plan)
        return plan.due

    async def _retire(self, key: Key, plan: DeploymentPlan) -> None:
        """Delete each run on its own: a failed deletion does not prevent the others."""
        for retired in plan.retire:
            try:
                if await delete_run(self._context, retired):
                    self._queue.add(Key("run", retired.namespace, retired.name))
            except Unavailable:
                raise
            except PortError as error:
                _logger.warning("flow run %s/%s cannot be retired yet: %s", retired.namespace, retired.name, error)
        if plan.retire:
            self._queue.add_after(key, _COUNT_SECONDS)

    async def _refresh(self, key: Key) -> None:
        """Our copy was stale: read the resource, so that the next decision is based on its current state."""
        context = self._context
        cache = context.runs if key.kind == "run" else context.deployments
        read = context.ports.resources.read_run if key.kind == "run" else context.ports.resources.read_deployment
        try:
            cache.put(await read(key.pair))
        except Missing:
            cache.remove(key.pair)


def _only_starts(seen: RunObservation, plan: RunPlan) -> bool:
    """Whether all there is to write is that an attempt was started, and nothing that was written before misleads meanwhile."""
    status, written = plan.status, seen.run.status.state
    if written is not None and written.reason:
        return False
    started = status is not None and status.state is not None and status.state.type == PENDING and bool(plan.transitions)
    return started and all(isinstance(effect, CreateWorkload | AddFinalizer) for effect in plan.effects)


def _name(seen: RunObservation) -> Name:
    return seen.run.metadata.namespace, seen.run.metadata.name
