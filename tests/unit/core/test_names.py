"""Names: valid, bounded, the same each time, different for different things."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from mintaka_core import names

DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
ALNUM = st.sampled_from(string.ascii_lowercase + string.digits)
INNER = st.text(string.ascii_lowercase + string.digits + "-", max_size=80)
LABELS = st.builds(lambda first, inner, last: first + inner + last, ALNUM, INNER, ALNUM) | ALNUM
#: Object names as the API server admits them, up to the 200 characters that ours may have.
OBJECT_NAMES = st.lists(LABELS, min_size=1, max_size=3).map(lambda parts: ".".join(parts)[:200]).map(lambda name: name.rstrip("-."))
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@given(OBJECT_NAMES, st.integers(1, 10**9))
@example("a" * 200, 10**6)
@example("a." * 99 + "a", 1)
def test_pod_names_are_valid_and_begin_with_their_run(run: str, attempt: int) -> None:
    """A pod is named after its run and attempt, within what Kubernetes takes."""
    name = names.pod_name(run, attempt)
    assert DNS_NAME.fullmatch(name)
    assert name == f"{run}-{attempt}"
    assert len(name) <= names.NAME_LIMIT


@given(st.lists(st.tuples(OBJECT_NAMES, st.integers(1, 10**6)), unique=True, min_size=2, max_size=20))
@example([("a", 11), ("a-1", 1), ("a-1", 11), ("a-1-1", 1)])
def test_different_attempts_never_share_a_pod(pairs: list[tuple[str, int]]) -> None:
    """Two attempts, of one run or of two, have two names; a run called a-1 is no attempt of run a."""
    assert len({names.pod_name(*pair) for pair in pairs}) == len(pairs)


@given(OBJECT_NAMES, LABELS, INSTANTS)
@example("a" * 200, "s", datetime(2026, 1, 1, tzinfo=UTC))
@example("a" * 38 + "--" + "b" * 100, "s", datetime(2026, 1, 1, tzinfo=UTC))
def test_names_of_scheduled_runs_fit_a_label_and_a_host_name(deployment: str, schedule: str, instant: datetime) -> None:
    """At most 63 characters, so that the run can be a label's value as it is."""
    name = names.scheduled_run_name(deployment, schedule, instant)
    assert DNS_NAME.fullmatch(name)
    assert len(name) <= names.LABEL_LIMIT
    assert f"{instant:%Y%m%d%H%M}" in name


@given(OBJECT_NAMES, LABELS, INSTANTS, st.sampled_from(["Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia"]))
def test_only_the_instant_counts_not_the_zone_it_is_written_in(deployment: str, schedule: str, instant: datetime, zone: str) -> None:
    """Two operators in two time zones name the same run."""
    told_elsewhere = instant.astimezone(ZoneInfo(zone))
    assert names.scheduled_run_name(deployment, schedule, instant) == names.scheduled_run_name(deployment, schedule, told_elsewhere)


def test_a_schedule_of_every_second_never_meets_its_own_names() -> None:
    """A collision would be taken for a run that exists already: hours of seconds, each on its half, give as many names."""
    start = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    found = {names.scheduled_run_name("etl", "often", start + timedelta(seconds=second)) for second in range(20_000)}
    assert len(found) == 20_000


def test_schedules_and_deployments_that_meet_at_an_instant_have_names_of_their_own() -> None:
    """The deployment's name and the schedule's name are part of what is digested."""
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    found = {names.scheduled_run_name(f"etl{letter}", f"s{number}", instant) for letter in "ab" for number in range(50)}
    assert len(found) == 100


@given(st.lists(OBJECT_NAMES, unique=True, min_size=2, max_size=20))
@example(["a" * 63 + "b", "a" * 63 + "c", "a" * 54])
def test_label_values_are_valid_and_different(objects: list[str]) -> None:
    """A long name is cut, but its digest tells it from others that begin alike."""
    values = [names.label_value(name) for name in objects]
    assert all(LABEL.fullmatch(value) and len(value) <= names.LABEL_LIMIT for value in values)
    assert len(set(values)) == len(objects)
    assert all(value == name for name, value in zip(objects, values, strict=True) if len(name) <= names.LABEL_LIMIT)


@given(st.lists(st.text() | st.integers(), max_size=4))
def test_a_draw_is_a_number_below_one_that_only_its_parts_decide(parts: list[object]) -> None:
    """Jitter survives a restart: the same run and attempt draw the same."""
    assert 0 <= names.draw(*parts) < 1
    assert names.draw(*parts) == names.draw(*parts)


def test_draws_are_spread_evenly() -> None:
    """Of a thousand runs, about a hundred fall into each tenth."""
    draws = [names.draw("uid", number) for number in range(1000)]
    for tenth in range(10):
        assert 60 < len([draw for draw in draws if tenth <= draw * 10 < tenth + 1]) < 140
