"""One seeded story of a deployment: its schedules, an operator that dies and forgets, runs that end and leave the cluster."""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from mintaka_core.names import LABEL_SCHEDULE
from mintaka_core.resources.schedules import CatchUp
from simulated.agenda import START
from simulated.story import Story

if TYPE_CHECKING:
    from datetime import datetime

    from simulated.events import Event

_SECONDS = 1200.0
_REST_SECONDS = 400.0
#: The operator's longest absence, and what a relist and retries take.
_CAUGHT_UP_SECONDS = 240.0
#: How far the clock of an operator may be off.
_SKEW = timedelta(seconds=2)
_SCHEDULES = (
    {"cron": "* * * * *"},
    {"cron": "*/5 * * * *"},
    {"interval": "90s"},
    {"interval": "45s"},
    {"interval": "PT50S"},
    {"rrule": "FREQ=MINUTELY;INTERVAL=2"},
    {"rrule": "FREQ=SECONDLY;INTERVAL=40"},
)
_CATCH_UPS = ({}, {}, {"catchUp": "All"}, {"catchUp": "All", "catchUpLimit": 5}, {"catchUp": "None"})


class Timetable(Story):
    """`created` are the schedule and the nominal time of each run, by its name."""

    def _settle(self, only: tuple[str, ...] | None) -> None:
        random = self.random
        del only
        self.namespaces, self.plots = ["a"], []
        self.overlapping = self.referee.overlapping = False
        self.respawn_seconds = random.choice([1.0, 5.0, 200.0])
        self.created: dict[str, tuple[str, datetime]] = {}
        self.limit = random.choice([0, 1, 10])
        schedules = [
            {"name": f"s{number}", **random.choice(_SCHEDULES), **random.choice(_CATCH_UPS)} for number in range(random.choice([1, 1, 3]))
        ]
        self.deploy(
            "a",
            "d",
            entrypoint="m:f",
            schedules=schedules,
            history={"limit": self.limit, "ttlSecondsAfterFinished": 604800},
            retries={},
            timeoutSeconds=20,
            pendingTimeoutSeconds=20,
        )
        self.server.watchers.append(self._see_run)
        self.agenda.after(0.0, self.start_operator)

    def _tell(self) -> None:
        """Let twenty minutes pass, then a while in which nothing goes wrong; raises Broken."""
        self.agenda.go_to(_SECONDS)
        self._end_faults()
        self.respawn_seconds = 1.0
        self.cluster.api.come_back()
        self.agenda.go_to(_SECONDS + _REST_SECONDS)
        self._check()
        self.agenda.go_to(self.agenda.seconds)

    def _see_run(self, event: Event) -> None:
        if event.kind != "run" or event.found is None or event.found.model.metadata.generation > 1:
            return
        run = event.found.model
        if run.status.state is not None or event.uid in self.seen:
            return
        self.seen[event.uid] += 1
        name, due = run.metadata.name, run.spec.scheduled_time
        schedule = run.metadata.labels[LABEL_SCHEDULE]
        demand = self.referee.demand
        if self.created.get(name) and self.seen[event.uid] == 1:
            demand(holds=False, otherwise=f"{name} was created twice")
        demand((schedule, due) not in self.created.values(), f"{due} of {schedule} has two runs")
        demand(START - _SKEW < due <= self.agenda.now + _SKEW, f"{name} was created for {due}")
        self.created[name] = schedule, due

    def _check(self) -> None:
        """In the calm at the end each time has its run; one that makes up for all has a run for each time; the history limit holds."""
        deployment = self.server.deployments["a", "d"].model
        self._check_made_up()
        calm = START + timedelta(seconds=_SECONDS + _CAUGHT_UP_SECONDS)
        end = START + timedelta(seconds=_SECONDS + _REST_SECONDS - 10)
        for schedule in deployment.spec.schedules:
            upcoming = schedule.next_time(calm)
            while upcoming <= end:
                self.referee.demand((schedule.name, upcoming) in self.created.values(), f"{upcoming} of {schedule.name} has no run")
                upcoming = schedule.next_time(upcoming)
        finished = [
            key
            for key, stored in self.server.runs.items()
            if stored.model.status.end_time and stored.model.status.end_time < end - timedelta(seconds=80)
        ]
        self.referee.demand(len(finished) <= self.limit, f"{len(finished)} finished runs are kept, {self.limit} are allowed")

    def _check_made_up(self) -> None:
        """With catchUp All and a limit that is never reached, no time after the first run's is without a run."""
        end = START + timedelta(seconds=_SECONDS + _REST_SECONDS - 10)
        for schedule in self.server.deployments["a", "d"].model.spec.schedules:
            if schedule.catch_up is not CatchUp.ALL or schedule.catch_up_limit is not None:
                continue
            created = {due for name, due in self.created.values() if name == schedule.name}
            if not created:
                continue
            for time in takewhile(lambda time: time <= end, schedule.times_after(min(created))):
                self.referee.demand(time in created, f"{time} of {schedule.name} was not made up for")
