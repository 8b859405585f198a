"""Times that passed while no run could be created: none of them, the latest, or all in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mintaka_core.reconciling.deployments import DeploymentObservation, reconcile
from mintaka_core.reconciling.schedule_times import CREATED_PER_PASS
from mintaka_core.resources import FlowDeployment

START = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Operator:
    """A deployment that an operator reconciles, and what it did."""

    def __init__(self, *schedules: dict[str, Any]) -> None:
        self.now = START
        self.passes: list[list[str]] = []
        self.missed: list[str] = []
        self.deployment = FlowDeployment.model_validate(
            {"metadata": {"name": "etl", "namespace": "team", "uid": "u", "generation": 1},
             "spec": {"entrypoint": "m:f", "schedules": list(schedules)}},
        )  # fmt: skip
        self.reconcile()

    def reconcile(self) -> Operator:
        """Reconcile until nothing is due any more."""
        self.passes = []
        for _ in range(1000):
            plan = reconcile(DeploymentObservation(self.deployment), self.now)
            self.passes.append([f"{run.nominal_time:%m-%dT%H:%M}" for run in plan.create])
            self.missed += [warning.message for warning in plan.warnings if warning.reason == "MissedSchedule"]
            if plan.status is not None:
                self.deployment = self.deployment.model_copy(update={"status": plan.status})
            if plan.due is None or plan.due > self.now:
                return self
        raise AssertionError("it never rests")

    def be_away(self, amount: timedelta) -> Operator:
        """Reconcile after some time."""
        self.now += amount
        return self.reconcile()

    @property
    def times(self) -> list[str]:
        """The times of all runs of the last absence, in the order in which they were created."""
        return [time for each in self.passes for time in each]


#: kind, schedule, absence, runs created, messages.
ABSENCES: list[tuple[str, dict[str, Any], timedelta, list[str], list[str]]] = [
    ("None, on time", {"cron": "0 * * * *", "catchUp": "None"}, HOUR, ["01-01T13:00"], []),
    ("None, two minutes late", {"cron": "0 * * * *", "catchUp": "None"}, HOUR + 2 * MINUTE, [],
     ["skipped 2026-01-01T13:00:00Z: it was missed by more than 60 seconds, and its catchUp is None"]),
    ("None, the latest of three is in time", {"cron": "0 * * * *", "catchUp": "None"}, 3 * HOUR, ["01-01T15:00"],
     ["skipped 2 missed times; the latest is in time"]),
    ("None with a deadline", {"cron": "0 * * * *", "catchUp": "None", "startingDeadlineSeconds": 600}, HOUR + 2 * MINUTE, ["01-01T13:00"], []),
    ("Latest", {"cron": "0 * * * *", "catchUp": "Latest"}, 3 * HOUR, ["01-01T15:00"],
     ["made up for the latest of 3 missed times; the others are skipped"]),
    ("All", {"cron": "0 * * * *", "catchUp": "All"}, 3 * HOUR, ["01-01T13:00", "01-01T14:00", "01-01T15:00"],
     ["makes up for 3 missed times, the oldest first"]),
    ("All, one time", {"cron": "0 * * * *", "catchUp": "All"}, HOUR, ["01-01T13:00"], []),
    ("All, with a limit", {"cron": "0 * * * *", "catchUp": "All", "catchUpLimit": 2}, 4 * HOUR, ["01-01T15:00", "01-01T16:00"],
     ["makes up for 2 missed times, the oldest first; 2 older ones are skipped: catchUpLimit is 2"]),
    ("All, with a deadline", {"cron": "0 * * * *", "catchUp": "All", "startingDeadlineSeconds": 5400}, 4 * HOUR, ["01-01T15:00", "01-01T16:00"],
     ["makes up for 2 missed times, the oldest first; 2 older ones are skipped: they were missed by more than its startingDeadlineSeconds of 5400"]),
    ("All, all too late", {"cron": "0 13 * * *", "catchUp": "All", "startingDeadlineSeconds": 60}, 2 * DAY - HOUR, [],
     ["skipped 2 missed times: all were missed by more than its startingDeadlineSeconds of 60"]),
    ("All, by a rule", {"rrule": "FREQ=DAILY;BYHOUR=6", "catchUp": "All"}, 3 * DAY, ["01-02T06:00", "01-03T06:00", "01-04T06:00"],
     ["makes up for 3 missed times, the oldest first"]),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "away", "created", "said"), [case[1:] for case in ABSENCES], ids=[case[0] for case in ABSENCES])
def test_what_is_made_up_for_after_an_absence(schedule: dict[str, Any], away: timedelta, created: list[str], said: list[str]) -> None:
    """In order, and reported in one sentence."""
    operator = Operator({"name": "s", **schedule}).be_away(away)
    assert operator.times == created
    assert operator.missed == [f"schedule 's' {words}" for words in said]
    assert operator.be_away(timedelta(0)).times == []


def test_all_are_created_a_few_per_pass_and_a_restart_continues() -> None:
    """A year of hours: the latest hundred, each once."""
    operator = Operator({"name": "s", "interval": "1h", "catchUp": "All"}).be_away(365 * DAY)
    assert [len(each) for each in operator.passes[:10]] == [CREATED_PER_PASS] * 10
    assert len(operator.times) == len(set(operator.times)) == 100
    assert (operator.times[0], operator.times[-1]) == ("12-28T09:00", "01-01T12:00")
    assert len(operator.missed) == 1
    assert "more than 500 older ones are skipped: catchUpLimit is 100" in operator.missed[0]


def test_a_pass_whose_status_is_lost_creates_the_same_runs() -> None:
    """`AlreadyExists` then means done."""
    operator = Operator({"name": "s", "interval": "1h", "catchUp": "All"})
    operator.now += 30 * HOUR
    plans = [reconcile(DeploymentObservation(operator.deployment), operator.now + after * MINUTE) for after in (0, 5)]
    assert plans[0].create == plans[1].create


def test_a_schedule_that_has_ended_is_not_a_problem_of_the_deployment() -> None:
    """It has no next time, and its neighbours continue."""
    operator = Operator({"name": "end", "rrule": "FREQ=DAILY;BYHOUR=13;UNTIL=20260102"}, {"name": "s", "interval": "1h"})
    assert operator.be_away(25 * HOUR).times == ["01-02T13:00", "01-02T13:00"]
    end = operator.deployment.status.schedules[0]
    assert (end.next_time, end.next_times) == (None, ())
    assert operator.deployment.status.conditions[0].status == "True"
    assert operator.be_away(HOUR).times == ["01-02T14:00"]


@pytest.mark.parametrize("edit", [{"catchUp": "All"}, {"parameters": {"a": 1}}, {"startingDeadlineSeconds": 90}])
def test_an_edit_of_anything_else_neither_moves_nor_repeats_nor_skips_a_time(edit: dict[str, Any]) -> None:
    """The series continues where it was, also if the operator was away meanwhile."""
    operator = Operator({"name": "s", "rrule": "FREQ=HOURLY"})
    wire = operator.deployment.to_wire()
    wire["spec"]["schedules"] = [{"name": "s", "rrule": "FREQ=HOURLY", **edit}]
    operator.deployment = FlowDeployment.model_validate(wire)
    assert operator.be_away(HOUR).times == ["01-01T13:00"]


def test_a_deployment_that_is_deleted_and_created_again_names_the_run_of_a_time_the_same() -> None:
    """Operators whose clocks differ by seconds would else create it twice."""
    names = []
    for uid in ("one", "two"):
        operator = Operator({"name": "s", "cron": "0 * * * *"})
        metadata = operator.deployment.metadata.model_copy(update={"uid": uid})
        operator.deployment = operator.deployment.model_copy(update={"metadata": metadata})
        names += [run.name for run in reconcile(DeploymentObservation(operator.deployment), START + HOUR).create]
    assert len(names) == 2
    assert len(set(names)) == 1
