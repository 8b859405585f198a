"""Instants that RFC 3339 can write and UTC cannot express: refused in a spec, clamped in a record, never an OverflowError."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mintaka_core.errors import InvalidSchedule
from mintaka_core.instants import EARLIEST, LATEST, clamp, to_utc
from mintaka_core.reconciling.deployments import DeploymentObservation, reconcile
from mintaka_core.resources import FlowDeployment, FlowRun
from mintaka_core.resources.schedules import Schedule
from mintaka_core.schedules import next_cron, next_interval

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEYOND = ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"]
ZONES = ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin", "America/New_York"]
#: Times at the ends of a datetime's range and in between, with every offset.
_OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_FIRST, _LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - the offset follows
EDGES = st.one_of(
    st.datetimes(_FIRST, _FIRST + timedelta(days=2), timezones=_OFFSETS),
    st.datetimes(_LAST - timedelta(days=2), _LAST, timezones=_OFFSETS),
    st.datetimes(timezones=_OFFSETS),
)


def deployment(**schedule: Any) -> FlowDeployment:
    """A deployment with one schedule."""
    spec = {"entrypoint": "m:f", "schedules": [{"name": "s", **schedule}]}
    return FlowDeployment.model_validate({"metadata": {"name": "d", "uid": "u", "generation": 1}, "spec": spec})


@given(EDGES)
def test_an_instant_is_clamped_to_the_nearest_one_that_can_be_computed_with(instant: datetime) -> None:
    """A year can be added or subtracted."""
    clamped = clamp(instant)
    assert clamped.tzinfo is UTC
    assert EARLIEST <= clamped <= LATEST
    assert clamped in {instant, EARLIEST if instant < EARLIEST else LATEST}
    assert clamped - timedelta(days=366) < clamped < clamped + timedelta(days=366)


@given(EDGES)
def test_an_instant_has_a_utc_form_or_is_refused_with_a_sentence(instant: datetime) -> None:
    """Never with an OverflowError."""
    try:
        assert to_utc(instant) == instant
    except ValueError as error:
        assert "years 1 to 9999" in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize("time", BEYOND)
def test_a_spec_with_such_a_time_is_not_valid(time: str) -> None:
    """The message names the field and what to write."""
    with pytest.raises(ValidationError, match="write an earlier or later time") as of_a_run:
        FlowRun.model_validate({"metadata": {"name": "r"}, "spec": {"scheduledTime": time}})
    with pytest.raises(ValidationError, match="write an earlier or later time") as of_a_deployment:
        deployment(interval="1h", anchor=time)
    assert of_a_run.value.errors()[0]["loc"] == ("spec", "scheduledTime")
    assert of_a_deployment.value.errors()[0]["loc"] == ("spec", "schedules", 0, "anchor")


def test_the_last_and_first_times_of_utc_are_valid() -> None:
    """People write them for never and always."""
    for time in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        run = FlowRun.model_validate({"metadata": {"name": "r"}, "spec": {"scheduledTime": time}})
        assert run.to_wire()["spec"]["scheduledTime"] == time.replace("Z", ".000000Z")
        assert FlowRun.model_validate(run.to_wire()) == run


@pytest.mark.parametrize("time", [*BEYOND, "0000-01-01T00:00:00Z"])
def test_a_status_with_such_times_is_read_and_written(time: str) -> None:
    """All that is recorded beside them still counts."""
    state = {"type": "RUNNING", "name": "Running", "time": time}
    transition = {"sequence": 1, "to": "RUNNING", "name": "Running", "proposed": "RUNNING", "verdict": "Accept", "attempt": 1, "time": time}
    status = {"state": state, "startTime": time, "endTime": time, "nextTime": time, "transitions": [transition]}
    metadata = {"name": "r", "creationTimestamp": time, "deletionTimestamp": time}
    run = FlowRun.model_validate({"metadata": metadata, "spec": {}, "status": status})
    assert FlowRun.model_validate(run.to_wire()) == run
    assert run.status.start_time in {EARLIEST, LATEST}
    assert run.metadata.creation_timestamp in {EARLIEST, LATEST}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("interval", ["1s", "1h", "23h", "24h", "8760h", "60000000h"])
@pytest.mark.parametrize(
    "anchor", [None, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T00:00:00Z", "2026-01-01T00:00:00+14:00"]
)
def test_a_schedule_at_the_ends_of_time_has_a_status(zone: str, interval: str, anchor: str | None) -> None:
    """It fires, or its deployment says that it never does."""
    given_one = deployment(interval=interval, anchor=anchor, timeZone=zone)
    plan = reconcile(DeploymentObservation(given_one), NOW)
    assert plan.status is not None
    assert plan.status.to_wire()
    (ready,) = plan.status.conditions
    assert ready.reason in {"Ready", "InvalidSchedule"}


@pytest.mark.parametrize("zone", ZONES)
@given(EDGES)
def test_schedules_are_computed_after_any_instant(zone: str, after: datetime) -> None:
    """The next time is later, or the schedule never fires again."""
    for schedule in (Schedule(name="s", interval="24h", time_zone=zone), Schedule(name="s", interval="1h", time_zone=zone)):
        for compute in (lambda each=schedule: each.next_time(after), lambda: next_cron("0 6 * * *", zone, after)):
            try:
                assert compute() > after
            except InvalidSchedule:
                continue
    with suppress(InvalidSchedule):
        assert next_interval(timedelta(hours=1), after, zone, NOW) > NOW
