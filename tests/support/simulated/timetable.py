"""One seeded story of a deployment: its schedules, an operator that dies and forgets, runs that end and leave the cluster."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from mintaka_core.reconciling.deployments import DeploymentObservation, FinishedRun, reconcile
from mintaka_core.resources import FlowDeployment
from simulated.agenda import START, Agenda
from simulated.referee import Broken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka_core.reconciling.plans import CreateRun
    from mintaka_core.resources.deployments import FlowDeploymentStatus

_SECONDS = 1200.0
_REST_SECONDS = 400.0
_SCHEDULES = ({"cron": "* * * * *"}, {"cron": "*/5 * * * *"}, {"interval": "90s"}, {"interval": "20s"})


class Timetable:
    """The truth about one deployment; an operator that copies it, decides, and acts, with something going wrong at each step."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.agenda = Agenda()
        self.failing = random.choice([0, 0.05, 0.3])
        self.deadly = random.choice([0, 0.02, 0.1])
        schedules = [{"name": f"s{number}", **random.choice(_SCHEDULES)} for number in range(random.choice([1, 1, 3]))]
        self.deployment = FlowDeployment.model_validate(
            {
                "metadata": {"name": "d", "uid": "u", "generation": 1},
                "spec": {"entrypoint": "m:f", "schedules": schedules, "history": {"limit": random.choice([0, 1, 10])}},
            }
        )
        self.version = 1
        self.ended: dict[str, datetime | None] = {}
        self.created: dict[str, tuple[str, datetime]] = {}
        self.cached = self.deployment, self.version
        self.generation = 0
        self._start()

    def tell(self) -> Timetable:
        """Let twenty minutes pass, then a while in which nothing goes wrong; raises Broken."""
        while self.agenda.step(_SECONDS):
            pass
        self.failing = self.deadly = 0
        while self.agenda.step(_SECONDS + _REST_SECONDS):
            pass
        self._check()
        return self

    def _start(self) -> None:
        """A new process: it knows what it lists."""
        self.cached = self.deployment, self.version
        self._begin(self.generation)

    def _die(self) -> None:
        self.generation += 1
        self.agenda.after(self.random.choice([0.1, 5, 200]), self._start)

    def _begin(self, generation: int) -> None:
        if generation == self.generation:
            self._go_on(generation, self._reconcile())

    def _go_on(self, generation: int, steps: Iterator[float | None]) -> None:
        if generation != self.generation:
            return
        if self.random.random() < self.deadly:
            self._die()
            return
        try:
            wait = next(steps)
        except StopIteration:
            self.agenda.after(0.1, lambda: self._begin(generation))
        except ConnectionError:
            self.agenda.after(self.random.uniform(0.1, 10), lambda: self._begin(generation))
        else:
            self.agenda.after(wait or 0.01, lambda: self._go_on(generation, steps))

    def _call(self) -> None:
        if self.random.random() < self.failing:
            raise ConnectionError

    def _reconcile(self) -> Iterator[float | None]:
        deployment, version = self.cached
        finished = tuple(FinishedRun(name, name, end) for name, end in self.ended.items() if end is not None)
        plan = reconcile(DeploymentObservation(deployment, len(self.ended) - len(finished), finished), self.agenda.now)
        yield None
        for wish in plan.create:
            self._call()
            self._create(wish)
            self._call()
            yield None
        for retired in plan.retire:
            self._call()
            self.ended.pop(retired.name, None)
            yield None
        if plan.status is not None:
            self._call()
            self._write(plan.status, version)
            self._call()
            self.cached = self.deployment, self.version
        if plan.due is not None:
            yield min(max((plan.due - self.agenda.now).total_seconds(), 0.0), 20.0)

    def _create(self, wish: CreateRun) -> None:
        if wish.name in self.ended:
            return
        if wish.name in self.created:
            self._broken(f"{wish.name} was created twice")
        if (wish.schedule, wish.nominal_time) in self.created.values():
            self._broken(f"{wish.nominal_time} of {wish.schedule} has two runs")
        if not START < wish.nominal_time <= self.agenda.now:
            self._broken(f"{wish.name} was created for {wish.nominal_time}")
        self.created[wish.name] = wish.schedule, wish.nominal_time
        self.ended[wish.name] = None
        self.agenda.after(self.random.expovariate(1 / 10), lambda: self._end(wish.name))

    def _end(self, name: str) -> None:
        if name in self.ended:
            self.ended[name] = self.agenda.now

    def _write(self, status: FlowDeploymentStatus, version: int) -> None:
        if version != self.version:
            self.cached = self.deployment, self.version
            raise ConnectionError
        self.version += 1
        self.deployment = self.deployment.model_copy(update={"status": status})

    def _check(self) -> None:
        """In the calm at the end each time has its run; the history limit holds."""
        calm = START + timedelta(seconds=_SECONDS + 210)
        end = START + timedelta(seconds=_SECONDS + _REST_SECONDS - 10)
        for schedule in self.deployment.spec.schedules:
            upcoming = schedule.next_time(calm)
            while upcoming <= end:
                if (schedule.name, upcoming) not in self.created.values():
                    self._broken(f"{upcoming} of {schedule.name} has no run")
                upcoming = schedule.next_time(upcoming)
        finished = [name for name, moment in self.ended.items() if moment is not None and moment < end - timedelta(seconds=20)]
        if len(finished) > self.deployment.spec.history.limit:
            self._broken(f"{len(finished)} finished runs are kept")

    def _broken(self, what: str) -> None:
        raise Broken(f"at {self.agenda.seconds:.3f} s: {what}")
