"""Reconciling deployments: each nominal time once, old runs out, and what the deployment says of itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintaka_core.names import scheduled_run_name
from mintaka_core.reconciling.deployments import FAULTS_OF_THE_DEPLOYMENT, DeploymentObservation, FinishedRun, Problem, reconcile
from mintaka_core.reconciling.plans import CreateRun, DeleteRun, DeploymentPlan, DeploymentWarning
from mintaka_core.resources import FlowDeployment

START = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Stage:
    """A deployment, a clock, and the names of the runs that were created."""

    def __init__(self, *schedules: dict[str, Any], settled: bool = True, **spec: Any) -> None:
        self.now = START
        self.problem: Problem | None = None
        self.last_end: tuple[datetime, Problem] | None = None
        self.finished: tuple[FinishedRun, ...] = ()
        self.active = 0
        self.created: dict[str, CreateRun] = {}
        self.warnings: list[DeploymentWarning] = []
        self.retired: list[DeleteRun] = []
        self.due: datetime | None = None
        self.deployment = FlowDeployment.model_validate(
            {
                "metadata": {"name": "etl", "namespace": "team", "uid": "u", "generation": 1},
                "spec": {"entrypoint": "m:f", "schedules": list(schedules), **spec},
            }
        )
        if settled:
            self.settle()

    def plan(self) -> DeploymentPlan:
        """What the reconciler wants now."""
        oldest_first = sorted(self.finished, key=lambda run: (run.end_time, run.name))
        excess = oldest_first[: max(len(oldest_first) - self.deployment.spec.history.limit, 0)]
        seen = DeploymentObservation(self.deployment, self.active, tuple(excess), self.problem, self.last_end)
        return reconcile(seen, self.now)

    def settle(self) -> Stage:
        """Do what it wants; asked again, it wants nothing."""
        plan = self.plan()
        for run in plan.create:
            self.created.setdefault(run.name, run)
        self.warnings += plan.warnings
        self.retired += plan.retire
        gone = {run.name for run in plan.retire}
        self.finished = tuple(run for run in self.finished if run.name not in gone)
        self.due = plan.due
        if plan.status is not None:
            self.deployment = self.deployment.model_copy(update={"status": plan.status})
        again = self.plan()
        assert (again.create, again.retire, again.status, again.warnings) == ((), (), None, ())
        return self

    def pass_time(self, amount: timedelta) -> Stage:
        """Time goes by."""
        self.now += amount
        return self.settle()

    def change(self, **spec: Any) -> Stage:
        """The owner changes the spec."""
        wire = self.deployment.to_wire()
        wire["spec"] |= spec
        wire["metadata"]["generation"] += 1
        self.deployment = FlowDeployment.model_validate(wire)
        return self.settle()

    @property
    def times(self) -> list[str]:
        """The nominal times of all created runs."""
        return [f"{run.nominal_time:%H:%M}" for run in self.created.values()]

    @property
    def missed(self) -> list[str]:
        """What was said of missed times."""
        return [warning.message for warning in self.warnings if warning.reason == "MissedSchedule"]

    @property
    def ready(self) -> str:
        """The Ready condition in short."""
        (found,) = (condition for condition in self.deployment.status.conditions if condition.type == "Ready")
        return f"{found.status} {found.reason}"


MINUTELY = {"name": "often", "cron": "* * * * *"}
HOURLY = {"name": "hourly", "interval": "1h"}


def test_a_new_schedule_waits_for_its_next_time() -> None:
    """What would have been before it was seen is not made up for."""
    stage = Stage(HOURLY)
    assert stage.created == {}
    assert stage.due == stage.deployment.status.next_schedule_time == datetime(2026, 1, 1, 13, tzinfo=UTC)


def test_each_time_creates_one_run_with_a_name_of_its_own() -> None:
    """The name tells the minute and follows from deployment, schedule and time alone; parameters come along."""
    stage = Stage({**HOURLY, "parameters": {"a": 1}})
    for _ in range(3):
        stage.pass_time(HOUR)
    assert stage.times == ["13:00", "14:00", "15:00"]
    first = next(iter(stage.created.values()))
    assert first == CreateRun(scheduled_run_name("etl", "hourly", first.nominal_time), "hourly", first.nominal_time, {"a": 1})
    assert stage.deployment.status.last_schedule_time == datetime(2026, 1, 1, 15, tzinfo=UTC)
    assert stage.missed == []


def test_a_restart_before_the_status_was_written_asks_for_the_same_run() -> None:
    """`AlreadyExists` then means done."""
    stage = Stage(HOURLY)
    stage.now += HOUR
    assert stage.plan().create == stage.plan().create
    before = stage.plan().create
    stage.now += timedelta(seconds=20)
    assert stage.plan().create == before


def test_of_several_missed_times_the_latest_is_made_up_for() -> None:
    """One run, and a word about it."""
    stage = Stage(MINUTELY).pass_time(5 * MINUTE)
    assert stage.times == ["12:05"]
    assert stage.missed == ["schedule 'often' made up for the latest of 5 missed times; the others are skipped"]


def test_a_very_long_absence_is_looked_through_at_once() -> None:
    """A year of every second: the latest of 31 million times, found without counting them."""
    stage = Stage({"name": "often", "interval": "1s"})
    started = time.process_time()
    stage.pass_time(timedelta(days=365, milliseconds=300))
    assert time.process_time() - started < 2
    assert [run.nominal_time for run in stage.created.values()] == [stage.now.replace(microsecond=0)]
    assert "more than 500" in stage.missed[0]


@pytest.mark.parametrize(("late", "created"), [(60, True), (61, False)], ids=["in time", "too late"])
def test_a_time_missed_by_more_than_its_deadline_is_skipped(late: int, *, created: bool) -> None:
    """Skipped for good, and said."""
    stage = Stage({**HOURLY, "startingDeadlineSeconds": 60})
    stage.now = datetime(2026, 1, 1, 13, tzinfo=UTC) + timedelta(seconds=late)
    stage.settle()
    assert (stage.times == ["13:00"]) is created
    assert bool(stage.missed) is not created
    assert stage.due == datetime(2026, 1, 1, 14, tzinfo=UTC)


#: kind, schedule, how long the operator was away, times made up for, what is said.
ABSENCES: list[tuple[str, dict[str, Any], timedelta, list[str], list[str]]] = [
    ("a year with a deadline", {"cron": "0 2 * * *", "startingDeadlineSeconds": 30}, timedelta(days=365), [],
     ["skipped 365 missed times, the latest of them 2027-01-01T02:00:00Z: all were missed by more than its startingDeadlineSeconds of 30"]),
    ("a year without one", {"cron": "0 2 * * *"}, timedelta(days=365), ["02:00"],
     ["made up for the latest of 365 missed times; the others are skipped"]),
    ("a year, the latest in time", {"cron": "0 12 * * *", "startingDeadlineSeconds": 30}, timedelta(days=365), ["12:00"],
     ["made up for the latest of 365 missed times; the others are skipped"]),
    ("a year of seconds with a deadline", {"interval": "1m", "anchor": "2026-01-01T00:00:15Z", "startingDeadlineSeconds": 10}, timedelta(days=365), [],
     ["skipped more than 500 missed times, the latest of them 2027-01-01T12:00:15Z: all were missed by more than its startingDeadlineSeconds of 10"]),
    ("a deadline as long as the period", {"interval": "1m", "anchor": "2026-01-01T00:00:15Z", "startingDeadlineSeconds": 60}, HOUR, ["13:00"],
     ["made up for the latest of 60 missed times; the others are skipped"]),
    ("one time, too late", {"cron": "0 13 * * *", "startingDeadlineSeconds": 30}, HOUR + MINUTE, [],
     ["skipped 2026-01-01T13:00:00Z: it was missed by more than its startingDeadlineSeconds of 30"]),
    ("one time, in time", {"cron": "0 13 * * *", "startingDeadlineSeconds": 90}, HOUR + MINUTE, ["13:00"], []),
    ("no time", {"cron": "0 13 * * *", "startingDeadlineSeconds": 30}, 59 * MINUTE, [], []),
    ("a leap day", {"cron": "0 0 29 2 *", "startingDeadlineSeconds": 30}, timedelta(days=365 * 3), [],
     ["skipped 2028-02-29T00:00:00Z: it was missed by more than its startingDeadlineSeconds of 30"]),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "away", "made", "said"), [case[1:] for case in ABSENCES], ids=[case[0] for case in ABSENCES])
def test_an_absence_is_told_in_one_sentence_that_is_true(
    schedule: dict[str, Any], away: timedelta, made: list[str], said: list[str]
) -> None:
    """What was created, and what was not."""
    stage = Stage({"name": "s", **schedule}).pass_time(away)
    assert stage.times == made
    assert stage.missed == [f"schedule 's' {words}" for words in said]


def test_after_a_suspension_nothing_counts_as_missed() -> None:
    """Also if the operator was away when it began and ended."""
    stage = Stage({**HOURLY, "startingDeadlineSeconds": 30}).change(schedules=[{**HOURLY, "suspend": True}])
    stage.now += timedelta(days=300)
    stage.change(schedules=[{**HOURLY, "startingDeadlineSeconds": 30}])
    assert (stage.times, stage.missed) == ([], [])


#: kind, schedule, the next times from 2026-01-01T12:00:30Z on.
NEXT: list[tuple[str, dict[str, Any], list[str]]] = [
    ("day of month or of week", {"cron": "0 10 1-7 * 1"},
     ["2026-01-02T10:00:00+00:00", "2026-01-03T10:00:00+00:00", "2026-01-04T10:00:00+00:00", "2026-01-05T10:00:00+00:00", "2026-01-06T10:00:00+00:00"]),
    ("local time across a change of clocks", {"cron": "30 2 29-31 3 *", "timeZone": "Europe/Berlin"},
     ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00", "2027-03-29T02:30:00+02:00", "2027-03-30T02:30:00+02:00"]),
    ("a zone without summer time", {"cron": "0 9 1 1,7 *", "timeZone": "EST"},
     ["2026-01-01T09:00:00-05:00", "2026-07-01T09:00:00-05:00", "2027-01-01T09:00:00-05:00", "2027-07-01T09:00:00-05:00", "2028-01-01T09:00:00-05:00"]),
    ("an interval", {"interval": "6h"},
     ["2026-01-01T18:00:00+00:00", "2026-01-02T00:00:00+00:00", "2026-01-02T06:00:00+00:00", "2026-01-02T12:00:00+00:00", "2026-01-02T18:00:00+00:00"]),
    ("leap days", {"cron": "0 0 29 2 *"},
     ["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00", "2036-02-29T00:00:00+00:00", "2040-02-29T00:00:00+00:00", "2044-02-29T00:00:00+00:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "times"), [case[1:] for case in NEXT], ids=[case[0] for case in NEXT])
def test_the_status_shows_the_next_five_times_by_the_schedules_own_clock(schedule: dict[str, Any], times: list[str]) -> None:
    """Which `kubectl describe` prints."""
    entry = Stage({"name": "s", **schedule}).deployment.status.to_wire()["schedules"][0]
    assert entry["nextTimes"] == times
    assert datetime.fromisoformat(entry["nextTime"]) == datetime.fromisoformat(times[0])


def test_next_times_cost_no_writes_of_their_own() -> None:
    """The status changes when the schedule advances, not as time goes by; one from before they were shown gets them."""
    stage = Stage(HOURLY)
    stage.now += 30 * MINUTE
    assert stage.plan().status is None
    (entry,) = stage.deployment.status.schedules
    status = stage.deployment.status.model_copy(update={"schedules": (entry.model_copy(update={"next_times": ()}),)})
    stage.deployment = stage.deployment.model_copy(update={"status": status})
    assert stage.settle().deployment.status.schedules == (entry,)
    stage.deployment = FlowDeployment.model_validate_json(stage.deployment.model_dump_json(by_alias=True))
    assert stage.plan().status is None


def test_a_schedule_that_ends_shows_the_times_that_are_left() -> None:
    """The year 9999 is the last."""
    stage = Stage(settled=False)
    stage.now = datetime(9999, 12, 30, 12, tzinfo=UTC)
    stage.change(schedules=[{"name": "s", "cron": "0 0 * * *"}])
    assert [f"{time:%m-%d}" for time in stage.deployment.status.schedules[0].next_times] == ["12-31"]


@pytest.mark.parametrize("whole", [True, False], ids=["the deployment", "one schedule"])
def test_what_passes_while_suspended_is_not_made_up_for(*, whole: bool) -> None:
    """Resumed, the schedule goes on with its next time."""
    stage = Stage(HOURLY)
    suspend, resume = ({"suspend": value} if whole else {"schedules": [{**HOURLY, "suspend": value}]} for value in (True, False))
    stage.change(**suspend)
    assert (stage.due, stage.deployment.status.next_schedule_time) == (None, None)
    stage.pass_time(5 * HOUR).change(**resume)
    assert stage.created == {}
    assert stage.pass_time(HOUR).times == ["18:00"]


def test_a_changed_definition_starts_a_new_series() -> None:
    """No time of the new one before the change counts as missed."""
    stage = Stage(HOURLY).change(schedules=[{**HOURLY, "interval": "10m"}])
    assert stage.created == {}
    assert stage.pass_time(10 * MINUTE).times == ["12:10"]


def test_changed_parameters_do_not_move_the_times() -> None:
    """A time that is due when they change is not lost, and has the new ones."""
    stage = Stage(HOURLY)
    stage.now += HOUR
    stage.change(schedules=[{**HOURLY, "parameters": {"a": 2}}])
    assert [run.parameters for run in stage.created.values()] == [{"a": 2}]


def test_a_schedule_that_is_gone_leaves_no_trace() -> None:
    """Named again, it starts anew."""
    stage = Stage(HOURLY).change(schedules=[])
    assert stage.deployment.status.schedules == ()
    assert stage.pass_time(3 * HOUR).change(schedules=[HOURLY]).created == {}


def test_schedules_of_one_time_make_a_run_each() -> None:
    """They meet on the hour, and do not take each other's names."""
    stage = Stage(HOURLY, {"name": "other", "cron": "0 * * * *"}).pass_time(HOUR)
    assert stage.times == ["13:00", "13:00"]
    assert len(stage.created) == 2


@pytest.mark.parametrize(
    "broken", [{"cron": "0 0 31 2 *"}, {"cron": "* * * *"}, {"cron": "@daily", "timeZone": "Mars/Olympus"}, {"interval": "0s"}, {}]
)
def test_an_invalid_schedule_is_told_while_the_others_go_on(broken: dict[str, str]) -> None:
    """Ready is False with the schedule's name; mended, it is True again."""
    stage = Stage({"name": "broken", **broken}, HOURLY).pass_time(HOUR)
    assert (stage.ready, stage.times) == ("False InvalidSchedule", ["13:00"])
    assert "'broken'" in stage.deployment.status.conditions[0].message
    assert stage.change(schedules=[HOURLY]).ready == "True Ready"


def test_a_problem_is_told_once_and_again_when_it_is_another() -> None:
    """As a warning beside Ready, for an Event."""
    stage = Stage({"name": "a", "cron": "@daily", "timeZone": "Europe/Berln"}, {"name": "b", "cron": "0 0 31 2 *"})
    stage.pass_time(HOUR)
    (warning,) = stage.warnings
    assert warning.reason == "InvalidSchedule"
    assert "schedule 'a': time zone 'Europe/Berln' is not in the tz database: did you mean Europe/Berlin?" in warning.message
    assert "schedule 'b': cron expression '0 0 31 2 *' is not valid" in warning.message
    stage.change(schedules=[{"name": "a", "cron": "@daily", "timeZone": "Europe/Berlinn"}])
    stage.pass_time(HOUR)
    assert [each.message for each in stage.warnings[1:]] == [
        "schedule 'a': time zone 'Europe/Berlinn' is not in the tz database: did you mean Europe/Berlin?"
    ]
    stage.change(schedules=[])
    stage.problem = Problem("ConfigMapNotFound", "no such ConfigMap")
    stage.settle()
    assert stage.warnings[2:] == [DeploymentWarning("ConfigMapNotFound", "no such ConfigMap")]


@pytest.mark.parametrize(
    ("zone", "words"), [("EST", "EST has no summer time"), ("Etc/GMT+5", "5 h behind UTC"), ("Europe/Berlin", ""), ("UTC", "")]
)
def test_what_is_easily_mistaken_of_a_zone_stands_in_the_ready_condition(zone: str, words: str) -> None:
    """Which stays True."""
    stage = Stage({"name": "s", "cron": "@daily", "timeZone": zone})
    assert stage.ready == "True Ready"
    message = stage.deployment.status.conditions[0].message
    assert words in message
    assert bool(message) == bool(words)


def test_a_problem_that_can_be_seen_lasts_as_long_as_it_is_there() -> None:
    """A ConfigMap that is missing, then is not; schedules go on meanwhile."""
    stage = Stage(HOURLY)
    stage.problem = Problem("ConfigMapNotFound", "no such ConfigMap")
    assert stage.pass_time(HOUR).ready == "False ConfigMapNotFound"
    assert stage.times == ["13:00"]
    assert stage.due == stage.now + timedelta(seconds=30)
    stage.last_end = (stage.now, stage.problem)
    stage.problem = None
    assert stage.settle().ready == "True Ready"


@pytest.mark.parametrize("reason", sorted(FAULTS_OF_THE_DEPLOYMENT))
def test_a_run_that_shows_the_deployment_at_fault_makes_it_unready_until_it_is_changed(reason: str) -> None:
    """The next run would end the same way; what ended before the change says nothing about it."""
    stage = Stage()
    stage.last_end = (stage.now + MINUTE, Problem(reason, "as it says"))
    assert stage.pass_time(2 * MINUTE).ready == f"False {reason}"
    assert stage.pass_time(HOUR).ready == f"False {reason}"
    assert stage.change(image="better").ready == "True Ready"
    assert stage.pass_time(HOUR).ready == "True Ready"


def test_a_fault_from_before_a_change_does_not_come_back_with_another_problem() -> None:
    """Unready for a ConfigMap in between, the deployment is not reminded of its past when that is there again."""
    stage = Stage()
    stage.last_end = (stage.now + MINUTE, Problem("ImagePullBackOff", "no such image"))
    stage.pass_time(2 * MINUTE).change(image="better")
    stage.problem = Problem("ConfigMapNotFound", "no such ConfigMap")
    assert stage.pass_time(MINUTE).ready == "False ConfigMapNotFound"
    stage.problem = None
    assert stage.pass_time(MINUTE).ready == "True Ready"


def test_a_good_run_makes_it_ready_again() -> None:
    """The image was pushed at last: nothing had to be changed."""
    stage = Stage()
    stage.last_end = (stage.now + MINUTE, Problem("ImagePullBackOff", "no such image"))
    stage.pass_time(2 * MINUTE)
    stage.last_end = (stage.now + MINUTE, Problem("COMPLETED", ""))
    assert stage.pass_time(2 * MINUTE).ready == "True Ready"


@pytest.mark.parametrize("reason", ["ValueError", "OOMKilled", "Evicted", "TimedOut", "Cancelled"])
def test_an_ordinary_bad_end_is_not_the_deployments_fault(reason: str) -> None:
    """The next run may end well."""
    stage = Stage()
    stage.last_end = (stage.now + MINUTE, Problem(reason, ""))
    assert stage.pass_time(HOUR).ready == "True Ready"


def test_finished_runs_beyond_the_limit_are_retired_oldest_first() -> None:
    """The newest stay; the order does not depend on how they were listed."""
    stage = Stage(history={"limit": 2}, settled=False)
    stage.now += 5 * HOUR
    ends = {"a": 3, "b": 1, "c": 4, "d": 2}
    stage.finished = tuple(FinishedRun(name, f"uid-{name}", START + hours * HOUR) for name, hours in ends.items())
    stage.settle()
    assert stage.retired == [DeleteRun("team", name, f"uid-{name}", "the history limit is exceeded") for name in ("b", "d")]


@pytest.mark.parametrize(("limit", "left"), [(0, 0), (3, 3), (100, 4)])
def test_the_limit_is_how_many_stay(limit: int, left: int) -> None:
    """None where it is zero, all where there are fewer."""
    stage = Stage(history={"limit": limit}, settled=False)
    stage.finished = tuple(FinishedRun(name, name, START) for name in "abcd")
    assert len(stage.settle().finished) == left


def test_a_run_that_is_created_once_more_is_not_retired() -> None:
    """Its status could not be written: were it gone, it would be created, and run, twice."""
    stage = Stage(HOURLY, history={"limit": 0})
    stage.now += HOUR
    (made,) = stage.plan().create
    stage.finished = (FinishedRun(made.name, "uid", stage.now), FinishedRun("older", "uid", START))
    plan = stage.plan()
    assert ([run.name for run in plan.create], [run.name for run in plan.retire]) == ([made.name], ["older"])


def test_a_scheduled_run_stays_for_a_minute_after_its_end() -> None:
    """A request to create it that was sent twice may arrive late; a run without a schedule is removed at once."""
    for schedule, left in [(HOURLY, ["just ended"]), (None, [])]:
        stage = Stage(*([schedule] if schedule else []), history={"limit": 0})
        stage.pass_time(30 * MINUTE)
        stage.finished = (FinishedRun("just ended", "uid", stage.now), FinishedRun("older", "uid", stage.now - MINUTE))
        plan = stage.plan()
        assert [run.name for run in plan.retire] == [name for name in ("older", "just ended") if name not in left]
        assert (plan.due == stage.now + MINUTE) == bool(left)
        stage.now += MINUTE
        assert [run.name for run in stage.plan().retire] == ["older", "just ended"]


def test_active_runs_are_counted_in_the_status() -> None:
    """As the column shows them."""
    stage = Stage()
    stage.active = 7
    assert stage.settle().deployment.status.active_runs == 7


def test_a_deployment_that_is_being_deleted_does_nothing() -> None:
    """Not a run, not a word."""
    stage = Stage(MINUTELY)
    metadata = stage.deployment.metadata.model_copy(update={"deletion_timestamp": stage.now})
    stage.deployment = stage.deployment.model_copy(update={"metadata": metadata})
    stage.now += HOUR
    assert stage.plan() == DeploymentPlan()


SCHEDULES = st.sampled_from(
    [
        {"cron": "*/5 * * * *"},
        {"cron": "30 2 * * *", "timeZone": "Europe/Berlin"},
        {"cron": "*/20 1-3 * * *", "timeZone": "Europe/Berlin"},
        {"interval": "7m"},
        {"interval": "24h", "timeZone": "Europe/Berlin", "anchor": "2026-01-01T01:30:00Z"},
    ]
)


@settings(max_examples=60)
@given(SCHEDULES, st.sampled_from([datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)]), st.data())
def test_looked_at_at_random_moments_no_time_is_made_twice_and_none_lost(
    definition: dict[str, str], start: datetime, data: st.DataObject
) -> None:
    """Across a change of clocks, with restarts that lose the status: each look makes the latest missed time, once."""
    stage = Stage({"name": "s", **definition}, settled=False)
    stage.now = start
    stage.settle()
    schedule = stage.deployment.spec.schedules[0]
    last = start
    for _ in range(data.draw(st.integers(1, 12))):
        stage.now += data.draw(st.timedeltas(timedelta(seconds=1), timedelta(hours=9)))
        lost = data.draw(st.booleans(), label="the status was lost")
        made = [run.nominal_time for run in stage.plan().create]
        expected = []
        upcoming = schedule.next_time(last)
        while upcoming <= stage.now:
            expected = [upcoming]
            upcoming = schedule.next_time(upcoming)
        assert made == expected
        if lost:
            for run in stage.plan().create:
                assert stage.created.setdefault(run.name, run) == run
        stage.settle()
        last = max([last, *expected])
    nominal = [run.nominal_time for run in stage.created.values()]
    assert len(set(nominal)) == len(nominal) == len(stage.created)
