"""How long flow runs are stored: settings, and which of them counts for a run."""

from __future__ import annotations

import pytest

from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, RUNNING, StateType
from mintaka_history.maintenance.policy import InvalidRetention, policy_of
from mintaka_history.maintenance.statements import DAY_MICROSECONDS

DOCUMENT = """{"states": {"FAILED": {"days": 90}, "CRASHED": {"days": 0}}, "deployments": [
  {"match": "etl/hourly", "days": 2},
  {"match": "etl/*", "days": 14, "states": {"FAILED": {"days": 0}, "COMPLETED": {"days": 0.5}}},
  {"match": "*/audit-*", "days": 0},
  {"match": "scripts/", "days": 1}
]}"""


@pytest.mark.parametrize(
    ("kind", "namespace", "deployment", "state", "days"),
    [
        ("the general limit", "web", "nightly", COMPLETED, 30),
        ("the state's own limit", "web", "nightly", FAILED, 90),
        ("a state without limit", "web", "nightly", CRASHED, None),
        ("a run that is not over", "web", "nightly", RUNNING, None),
        ("a suspended run", "web", "nightly", PAUSED, None),
        ("the first entry that matches", "etl", "hourly", COMPLETED, 2),
        ("an entry replaces the states' limits too", "etl", "hourly", FAILED, 2),
        ("a state of an entry", "etl", "daily", COMPLETED, 0.5),
        ("a state of an entry without limit", "etl", "daily", FAILED, None),
        ("a run without deployment matches a whole namespace", "etl", "", CANCELLED, 14),
        ("a deployment in any namespace", "web", "audit-log", COMPLETED, None),
        ("only the runs without deployment", "scripts", "", COMPLETED, 1),
        ("not those with one", "scripts", "x", COMPLETED, 30),
        ("upper and lower case differ", "ETL", "hourly", COMPLETED, 30),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_limit_of_a_run(kind: str, namespace: str, deployment: str, state: StateType, days: float | None) -> None:
    """Deployment before state before the general limit."""
    del kind
    assert policy_of("30", DOCUMENT).limit(namespace, deployment, state) == (None if days is None else days * DAY_MICROSECONDS)


def test_by_default_nothing_is_ever_deleted() -> None:
    policy = policy_of("", "")
    assert policy.limit("web", "nightly", COMPLETED) is None
    assert (policy.shortest(), policy.longest()) == (None, None)


def test_the_shortest_and_the_longest_limit_leave_out_those_without() -> None:
    policy = policy_of("30", DOCUMENT)
    assert (policy.shortest(), policy.longest()) == (0.5 * DAY_MICROSECONDS, 90 * DAY_MICROSECONDS)


@pytest.mark.parametrize(
    ("kind", "days", "document", "message"),
    [
        ("a word", "long", "", "MINTAKA_RETENTION_DAYS='long' is not a number of days"),
        ("a negative number", "-1", "", "MINTAKA_RETENTION_DAYS='-1'"),
        ("not a number", "nan", "", "MINTAKA_RETENTION_DAYS='nan'"),
        ("without end", "inf", "", "MINTAKA_RETENTION_DAYS='inf'"),
        ("too many", "36501", "", "MINTAKA_RETENTION_DAYS='36501'"),
        ("no JSON", "", "{", "MINTAKA_RETENTION is not valid"),
        ("a list", "", "[]", "MINTAKA_RETENTION is not valid"),
        ("an unknown member", "", '{"day": 1}', "unknown field `day`"),
        ("an unknown state", "", '{"states": {"DONE": {"days": 1}}}', "MINTAKA_RETENTION is not valid"),
        ("a state in which no run ends", "", '{"states": {"RUNNING": {"days": 1}}}', "no run ends in state RUNNING"),
        ("one of a deployment", "", '{"deployments": [{"match": "a/b", "days": 1, "states": {"PAUSED": {"days": 1}}}]}', "PAUSED"),
        ("a pattern without namespace", "", '{"deployments": [{"match": "nightly", "days": 1}]}', "match"),
        ("an entry without days", "", '{"deployments": [{"match": "a/b"}]}', "days"),
        ("negative days of a state", "", '{"states": {"FAILED": {"days": -1}}}', "days"),
    ],
)
def test_what_is_not_valid_is_refused_with_what_is_wrong(kind: str, days: str, document: str, message: str) -> None:
    """At the start of the API."""
    del kind
    with pytest.raises(InvalidRetention, match=message.replace("[", r"\[")):
        policy_of(days, document)
