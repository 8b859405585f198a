"""An operator as the real one works (gathering, working, applying, relisting), with everything that can go wrong with it.

Its cache hears of changes late, twice, out of order or never; a periodic relist heals that. Each call to the API server may
be lost on the way there or on the way back. It may die between any two of its effects, and then knows nothing any more.

Three habits of it are what the promises rest on: a write bears the version of the run it was decided from; after a call whose
answer was lost the run is read anew; and the pod of the current attempt is only taken for gone when the API server says so,
whatever state a run is in that has not ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core import names
from mintaka_core.reconciling import runs
from mintaka_core.reconciling.observation import RunObservation
from mintaka_core.reconciling.plans import AddFinalizer, CreateWorkload, DeleteRun, ReleaseRun, RunEffect, RunPlan, StopWorkload
from mintaka_core.resources import FlowTemplate
from mintaka_core.states import CRASHED, FAILED, PAUSED, SCHEDULED
from mintaka_core.workloads import CreateError
from simulated.server import Conflict, Exists, Missing, OverQuota, Pod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from random import Random

    from mintaka_core.resources import FlowRun
    from simulated.agenda import Agenda
    from simulated.server import Server

RELIST_SECONDS = 60.0
MIRROR_PATIENCE = timedelta(seconds=200)


class Lost(Exception):
    """The call, or its answer, never arrived."""


class Stale(Exception):
    """Decided from an old version."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad things are: the share of events that are lost, late or told twice, of calls that fail, of deaths per effect."""

    lost: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    failing: float = 0.0
    deadly: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator is configured with."""

    template: FlowTemplate | None
    ttl: timedelta
    mirrored: bool


class Operator:
    """One process. `relevant` decides what it is told of `uid`s; `skew` is how far its clock is off."""

    def __init__(self, agenda: Agenda, server: Server, random: Random, weather: Weather, settings: Settings, skew: float = 0.0) -> None:
        self._agenda, self._server, self._random, self.weather = agenda, server, random, weather
        self.settings = settings
        self._skew = timedelta(seconds=skew)
        self._runs: dict[str, FlowRun] = {}
        self._pods: dict[str, Pod] = {}
        self._queued: set[str] = set()
        self._working: set[str] = set()
        self._doubtful: set[str] = set()
        self.alive = True
        self.effects: list[str] = []
        server.watchers.append(self._watch)
        self._heal()

    def die(self) -> None:
        """It is gone, and with it all it knew; what it was doing stays half done."""
        self.alive = False
        if self._watch in self._server.watchers:
            self._server.watchers.remove(self._watch)

    @property
    def now(self) -> datetime:
        """Its own clock."""
        return self._agenda.now + self._skew

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._agenda.after(seconds, lambda: action() if self.alive else None)

    # Hearing of things.

    def _watch(self, kind: str, name: str, found: FlowRun | Pod | None) -> None:
        random, weather = self._random, self.weather
        uid = "" if found is not None else self._known_uid(kind, name)
        for _ in range(2 if random.random() < weather.twice else 1):
            if random.random() >= weather.lost:
                lag = random.expovariate(1 / 3) if random.random() < weather.late else random.uniform(0, 0.05)
                self._later(lag, lambda: self._hear(kind, name, found, uid))

    def _known_uid(self, kind: str, name: str) -> str:
        if kind == "run":
            known_run = self._runs.get(name)
            return known_run.metadata.uid if known_run else ""
        known_pod = self._pods.get(name)
        return known_pod.workload.uid if known_pod else ""

    def _hear(self, kind: str, name: str, found: FlowRun | Pod | None, uid: str) -> None:
        if kind == "run":
            self._keep_run(name, found, uid)  # type: ignore[arg-type]
            self.wake(name)
            return
        owner = self._keep_pod(name, found, uid)  # type: ignore[arg-type]
        if owner:
            self.wake(owner)

    def _keep_run(self, name: str, found: FlowRun | None, uid: str = "") -> None:
        known = self._runs.get(name)
        if found is None:
            if known and known.metadata.uid == uid:
                del self._runs[name]
        elif known is None or int(found.metadata.resource_version) > int(known.metadata.resource_version):
            self._runs[name] = found

    def _keep_pod(self, name: str, found: Pod | None, uid: str = "") -> str:
        """The name of the run it matters to."""
        known = self._pods.get(name)
        if found is None:
            if known is None or known.workload.uid != uid:
                return ""
            del self._pods[name]
        elif known is None or found.version > known.version:
            self._pods[name] = found
        return name.rsplit("-", 1)[0]

    def _heal(self) -> None:
        """List everything; what differs is taken over, and every run that has a pod is looked at."""
        for name in self._runs.keys() | self._server.runs.keys():
            found, known = self._server.runs.get(name), self._runs.get(name)
            if found is not known:
                self._keep_run(name, found, known.metadata.uid if known else "")
                self.wake(name)
        for name in self._pods.keys() | self._server.pods.keys():
            listed, held = self._server.pods.get(name), self._pods.get(name)
            self.wake(self._keep_pod(name, listed, held.workload.uid if held else "") or name.rsplit("-", 1)[0])
        self._later(RELIST_SECONDS, self._heal)

    # Working.

    def wake(self, name: str, seconds: float = 0.0) -> None:
        """Look at a run, now or later; at one time once."""
        if seconds > 0:
            self._later(seconds, lambda: self.wake(name))
        elif name not in self._queued:
            self._queued.add(name)
            self._later(self._random.uniform(0, 0.01), lambda: self._begin(name))

    def _begin(self, name: str) -> None:
        if name in self._working:
            self._later(0.02, lambda: self._begin(name))
            return
        self._queued.discard(name)
        self._working.add(name)
        self._go_on(name, self._reconcile(name))

    def _go_on(self, name: str, steps: Iterator[None]) -> None:
        """One step of a pass; between two of them anything may happen."""
        try:
            next(steps)
        except StopIteration:
            self._working.discard(name)
        except (Stale, Conflict, Missing):
            self._working.discard(name)
            self._keep_run(name, self._server.runs.get(name), self._known_uid("run", name))
            self.wake(name, 0.02)
        except Lost:
            self._working.discard(name)
            self._doubtful.add(name)
            self.wake(name, self._random.uniform(0.1, 2))
        else:
            if self._random.random() < self.weather.deadly:
                self.die()
            else:
                self._later(self._random.uniform(0.001, 0.03), lambda: self._go_on(name, steps))

    def _reconcile(self, name: str) -> Iterator[None]:
        if name in self._doubtful:  # a write may have been done whose answer was lost
            self._keep_run(name, self._call(lambda: self._server.runs.get(name)), self._known_uid("run", name))
            self._doubtful.discard(name)
        seen = self._gather(name)
        if seen is None:
            return
        yield
        plan = runs.reconcile(seen, self.now)
        for effect in [effect for effect in plan.effects if isinstance(effect, CreateWorkload)]:
            create_error = self._apply(seen.run, effect)
            yield
            if create_error is not None:
                again = self._gather(name, create_error)
                if again is None:
                    return
                seen, plan = again, runs.reconcile(again, self.now)
        yield from self._write(name, seen, plan)
        for effect in [effect for effect in plan.effects if not isinstance(effect, CreateWorkload | AddFinalizer)]:
            self._apply(seen.run, effect)
            yield
        due = self._due(seen, plan)
        if due is not None:
            self.wake(name, max((due - self.now).total_seconds(), 0.0) + 0.001)

    def _write(self, name: str, seen: RunObservation, plan: RunPlan) -> Iterator[None]:
        version = int(seen.run.metadata.resource_version)
        if AddFinalizer() in plan.effects:
            held = self._call(lambda: self._server.set_finalizers(name, version, (*seen.run.metadata.finalizers, names.MIRROR_FINALIZER)))
            self._keep_run(name, held)
            version = int(held.metadata.resource_version) if held else version
            yield
        if plan.status is not None:
            status = plan.status
            self._keep_run(name, self._call(lambda: self._server.write_status(name, version, status)))
            yield

    def _due(self, seen: RunObservation, plan: RunPlan) -> datetime | None:
        if plan.status is None:
            return plan.due
        if plan.status.is_terminal and plan.status.end_time:
            return plan.status.end_time + seen.ttl
        return min([moment for moment in (plan.due, plan.status.next_time) if moment], default=None)

    def _gather(self, name: str, create_error: CreateError | None = None) -> RunObservation | None:
        run = self._runs.get(name)
        if run is None:
            return None
        status, settings = run.status, self.settings
        state = status.state.type if status.state else None
        current = names.pod_name(name, status.attempt)
        if status.attempt and (not status.is_terminal or run.rerun_wanted) and current not in self._pods:
            found = self._call(lambda: self._server.pods.get(current))
            if found is not None:
                self._keep_pod(current, found)
        template = settings.template
        if template is None and (state in {None, SCHEDULED, PAUSED} or run.rerun_wanted) and create_error is None:
            create_error = CreateError("DeploymentNotFound", "no such deployment", FAILED, timedelta(seconds=10))
        workloads = {pod.workload.attempt: pod.workload for pod in self._pods.values() if pod.owner_uid == run.metadata.uid}
        return RunObservation(
            run, template, workloads, create_error, ttl=settings.ttl, mirrored=settings.mirrored, mirror_patience=MIRROR_PATIENCE
        )

    # Acting.

    def _call[T](self, request: Callable[[], T]) -> T:
        if self._random.random() < self.weather.failing:
            raise Lost
        answer = request()
        if self._random.random() < self.weather.failing:
            raise Lost
        return answer

    def _apply(self, run: FlowRun, effect: RunEffect) -> CreateError | None:
        name, version = run.metadata.name, int(run.metadata.resource_version)
        self.effects.append(type(effect).__name__ + ("(force)" if isinstance(effect, StopWorkload) and effect.force else ""))
        match effect:
            case CreateWorkload(attempt):
                return self._create(run, attempt)
            case StopWorkload():
                self._stop(effect)
            case ReleaseRun():
                self._call(lambda: self._server.set_finalizers(name, version, ()))
            case DeleteRun(_, _, uid):
                self._call(lambda: self._server.delete_run(name, uid, version))
        return None

    def _create(self, run: FlowRun, attempt: int) -> CreateError | None:
        pod_name = names.pod_name(run.metadata.name, attempt)
        try:
            self._keep_pod(pod_name, self._call(lambda: self._server.create_pod(run, attempt)))
        except Exists:
            found = self._call(lambda: self._server.pods.get(pod_name))
            if found is None:
                raise Stale from None
            if found.owner_uid != run.metadata.uid:
                return CreateError("PodNameTaken", "somebody else's", CRASHED, timedelta(minutes=5))
            self._keep_pod(pod_name, found)
        except OverQuota:
            return CreateError("QuotaExceeded", "no room", CRASHED, None)
        return None

    def _stop(self, effect: StopWorkload) -> None:
        try:
            answer = self._call(lambda: self._server.delete_pod(effect.name, effect.uid, force=effect.force))
        except Missing:
            self._keep_pod(effect.name, None, effect.uid)
            return
        if answer is not None:
            self._keep_pod(effect.name, answer)
