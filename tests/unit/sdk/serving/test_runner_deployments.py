"""`flow.to_deployment`: which FlowDeployment the arguments result in, and which arguments are refused."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from mintaka import flow, serve
from mintaka.exceptions import DeploymentError, EntrypointNotFound, InvalidSettingError, MissingContextError
from mintaka.manifests import deployment_object_name
from mintaka.schedules import Cron, Interval, Schedule
from mintaka.serving.schedule_arguments import duration_text, manifest_schedules, with_anchors
from mintaka.serving.served_manifests import ServedManifests
from mintaka_core.errors import InvalidResource

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka.serving.runner_deployments import RunnerDeployment

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)


@flow(version="7", tags=["own"])
def report(region: str = "north", day: date | None = None, token: SecretStr | None = None) -> str:
    """Sales of a region."""
    return f"{region} {day} {token}"


def deployment(**settings: Any) -> RunnerDeployment:
    """`report` with these settings."""
    return report.to_deployment("daily", _sync=True, **settings)


def spec(**settings: Any) -> dict[str, Any]:
    """The spec of its FlowDeployment."""
    found: dict[str, Any] = deployment(**settings).manifest(now=NOW)["spec"]
    return found


def test_the_flow_says_what_the_arguments_do_not() -> None:
    found = deployment().manifest(now=NOW)
    assert found["metadata"] == {"name": "report-daily"}
    assert found["spec"]["entrypoint"].endswith("test_runner_deployments:report")
    assert (found["spec"]["version"], found["spec"]["description"], found["spec"]["tags"]) == ("7", "Sales of a region.", ["own"])
    assert set(found["spec"]["parameterSchema"]["properties"]) == {"region", "day", "token"}
    assert not {"schedules", "suspend", "parameters", "podTemplate"} & found["spec"].keys()


def test_the_arguments_take_its_place_or_are_added() -> None:
    found = spec(
        version="8", description="Other", tags=["more"], paused=True, parameters={"day": date(2026, 1, 2)}, enforce_parameter_schema=False
    )
    assert (found["version"], found["description"], found["tags"], found["suspend"]) == ("8", "Other", ["more", "own"], True)
    assert found["parameters"] == {"day": "2026-01-02"}
    assert "parameterSchema" not in found


@dataclass
class PrefectSchedule:
    """As `prefect.client.schemas.schedules.CronSchedule` is."""

    cron: str
    timezone: str | None = None
    day_or: bool = True


UTC_CRON = {"name": "main", "cron": "0 6 * * *", "timeZone": "UTC"}
SCHEDULES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "one cron": ({"cron": "0 6 * * *"}, [UTC_CRON]),
    "several crons": ({"cron": ["0 6 * * *", "0 7 * * sun"]}, [UTC_CRON, {"name": "schedule-2", "cron": "0 7 * * sun", "timeZone": "UTC"}]),
    "seconds": ({"interval": 90}, [{"name": "main", "interval": "1m30s", "timeZone": "UTC"}]),
    "a timedelta": ({"interval": timedelta(days=1)}, [{"name": "main", "interval": "24h", "timeZone": "UTC"}]),
    "a rule": ({"rrule": "RRULE:FREQ=WEEKLY;BYDAY=MO"}, [{"name": "main", "rrule": "RRULE:FREQ=WEEKLY;BYDAY=MO", "timeZone": "UTC"}]),
    "schedule=": ({"schedule": Cron("0 6 * * *", timezone="Asia/Tokyo")}, [{**UTC_CRON, "timeZone": "Asia/Tokyo"}]),
    "schedules=": (
        {"schedules": [Cron("0 6 * * *", slug="Early", active=False, parameters={"day": date(2026, 1, 2)})]},
        [{**UTC_CRON, "name": "early", "parameters": {"day": "2026-01-02"}, "suspend": True}],
    ),
    "slugs that are the same": ({"schedules": [Interval(60, slug="a"), Interval(120, slug="A")]}, [
        {"name": "a", "interval": "1m", "timeZone": "UTC"}, {"name": "a-2", "interval": "2m", "timeZone": "UTC"}]),
    "an anchor in the schedule's zone": (
        {"schedule": Interval(3600, anchor_date=datetime(2024, 7, 1, 9), timezone="Europe/Berlin")},  # noqa: DTZ001 - what is tried
        [{"name": "main", "interval": "1h", "anchor": "2024-07-01T07:00:00Z", "timeZone": "Europe/Berlin"}],
    ),
    "Prefect's older form": ({"schedules": [{"schedule": PrefectSchedule("0 6 * * *"), "active": True}]}, [UTC_CRON]),
    "an object with the attributes of one": ({"schedules": [PrefectSchedule("0 6 * * *")]}, [UTC_CRON]),
    "a weekday of a week of the month": (
        {"schedule": Cron("0 9 8-14 * FRI", day_or=False)}, [{"name": "main", "cron": "0 9 * * FRI#2", "timeZone": "UTC"}]),
    "day_or if one field is every day": ({"schedule": Cron("0 6 * * *", day_or=False)}, [UTC_CRON]),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "expected"), SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_in_all_of_prefects_forms(settings: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    assert spec(**settings)["schedules"] == expected


class Block:
    """An object that is not a schedule."""


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two kinds of schedule": ({"cron": "0 6 * * *", "interval": 60}, "one is given, not interval and cron"),
    "a cron expression that cannot be read": ({"cron": "0 25 * * *"}, "cron expression '0 25"),
    "an interval below a second": ({"interval": 0.5}, "at least one second"),
    "days that both match": ({"schedule": Cron("0 9 13 * FRI", day_or=False)}, "day_or=False"),
    "a rule that ends": ({"rrule": "FREQ=DAILY;COUNT=2"}, "has ended"),
    "a text that is not a schedule": ({"schedules": ["@daily"]}, "is not a schedule"),
    "an object that is not a schedule": ({"schedules": [Block()]}, "is not a schedule"),
    "a parameter that the flow does not have": ({"parameters": {"regoin": 1}}, "no parameter 'regoin'; it has region"),
    "a parameter of a schedule that it does not have": ({"schedule": Cron("@daily", parameters={"x": 1})}, "no parameter 'x'"),
    "a secret": ({"parameters": {"token": SecretStr("hidden")}}, "is secret, and a deployment shows its parameters"),
    "a value that JSON does not have": ({"parameters": {"region": object()}}, "cannot be JSON"),
    "a limit of zero": ({"concurrency_limit": 0}, "1 or more, not 0"),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "why"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_by_the_call(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidSettingError, match=why) as refused:
        deployment(**settings)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "a/b", "50%"])
def test_a_name_that_no_deployment_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidSettingError, match="the name of a deployment"):
        report.to_deployment(name, _sync=True)


@pytest.mark.parametrize("given", [{}, {"cron": "@daily", "interval": timedelta(1)}])
def test_a_schedule_is_of_one_kind(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError, match="exactly one of"):
        Schedule(**given)


NAMES = {
    ("etl", "daily"): "etl-daily",
    ("etl", "etl"): "etl",
    ("etl", "etl-daily"): "etl-daily",
    ("My Flow", "Prod (EU)"): "my-flow-prod-eu",
}


@pytest.mark.parametrize(("names", "expected"), NAMES.items(), ids=[f"{flow} {name}" for flow, name in NAMES])
def test_the_object_of_a_deployment_has_the_names_of_flow_and_deployment(names: tuple[str, str], expected: str) -> None:
    assert deployment_object_name(*names) == expected


def test_arguments_without_a_counterpart_give_a_warning_each() -> None:
    made = deployment(work_pool_name="pool", triggers=[object()], job_variables={"env": {"A": 1}, "odd": 1})
    with pytest.warns(UserWarning, match="deployment report/daily") as warned:
        made.warn()
    messages = [str(warning.message) for warning in warned]
    assert [text.split(": ", 1)[1].split(" ")[0] for text in messages] == ["triggers", "work_pool_name", "job_variables:"]


def test_in_async_code_it_is_awaited() -> None:
    async def main() -> str:
        return (await report.to_deployment("daily", _sync=False)).full_name

    assert asyncio.run(main()) == "report/daily"


def test_a_flow_of_another_folder_is_deployed_from_there(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("from mintaka import flow\n@flow\ndef etl(): return 'there'\n", encoding="utf-8")
    found = flow.from_source(tmp_path, "elsewhere.py:etl")
    made = found.to_deployment("daily", _sync=True)
    assert (found(), made.entrypoint, made.place.folder) == ("there", "elsewhere.py:etl", tmp_path.resolve())
    assert report.from_source(str(tmp_path), "./elsewhere.py:etl").to_deployment("x", _sync=True).entrypoint == "elsewhere.py:etl"
    assert flow.from_source(tmp_path, "elsewhere.etl").to_deployment("x", _sync=True).entrypoint == "elsewhere:etl"
    with pytest.raises(EntrypointNotFound):
        flow.from_source(tmp_path, "elsewhere.py:other")


@pytest.mark.parametrize("source", ["https://user:secret@github.com/x/y.git", "git@github.com:x/y.git", "/no/such/folder", Block()])
def test_code_is_not_fetched_from_elsewhere(source: Any) -> None:
    with pytest.raises(InvalidSettingError, match="folder") as refused:
        flow.from_source(source, "x.py:y")
    assert "secret" not in str(refused.value)


def test_an_interval_continues_from_where_it_began() -> None:
    schedules = manifest_schedules([Interval(60), Interval(60, slug="other"), Cron("@daily")], NOW)
    first = with_anchors(schedules, (), NOW)
    assert [one.get("anchor") for one in first] == ["2026-03-03T12:00:00Z", "2026-03-03T12:00:00Z", None]
    later = NOW + timedelta(hours=5)
    assert with_anchors(schedules, first, later) == first
    changed = with_anchors(manifest_schedules([Interval(90)], NOW), first, later)
    assert changed[0]["anchor"] == "2026-03-03T17:00:00Z"


@pytest.mark.parametrize(("seconds", "text"), [(1, "1s"), (90, "1m30s"), (86400, "24h"), (1.5, "1.5s"), (3600.25, "1h0.25s")])
def test_durations_as_manifests_have_them(seconds: float, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


def test_served_flows_run_with_this_interpreter_in_this_folder_within_their_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/more")
    made = deployment(concurrency_limit=1, job_variables={"env": {"A": 1}, "working_dir": "/data"})
    applied: list[dict[str, Any]] = []

    class Documents:
        def apply(self, manifests: Any) -> list[dict[str, Any]]:
            applied[:] = manifests
            return applied

        def deployment(self, namespace: str, name: str) -> None:
            assert (namespace, name) == ("local", "report-daily")

    manifests = ServedManifests((made,), "local", 3)
    manifests.register(Documents())
    served = applied[0]["spec"]
    assert served["process"] == {"python": sys.executable, "workingDir": "/data"}
    assert served["podTemplate"] == {
        "metadata": {"annotations": {"mintaka.dev/process-limits": '{"deployment/report-daily": 1, "serve/report-daily": 3}'}},
        "spec": {
            "containers": [
                {"name": "flow", "env": [{"name": "PYTHONPATH", "value": f"{made.place.path}:/more"}, {"name": "A", "value": "1"}]}
            ]
        },
    }
    assert "suspend" not in served
    manifests.pause(Documents())
    assert applied[0]["spec"] == {**served, "suspend": True}
    assert list(manifests.lines()) == ["report/daily: no schedule; a run at once: mintaka run deployment/report-daily"]


def test_two_deployments_of_one_name_are_not_served_together() -> None:
    with pytest.raises(InvalidSettingError, match="two deployments are called report-daily"):
        ServedManifests((deployment(), deployment()), "local", None)


def test_serving_blocks_so_that_async_code_has_to_await() -> None:
    async def main() -> None:
        report.serve("daily")

    with pytest.raises(MissingContextError, match="await aserve"):
        asyncio.run(main())


def test_a_flow_run_does_not_serve() -> None:
    @flow
    def around() -> None:
        report.serve("daily")

    with pytest.raises(MissingContextError, match="a flow run cannot serve deployments"):
        around()


def test_serving_is_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_API_URL", "http://127.0.0.1:9")
    with pytest.raises(DeploymentError, match=r"selects http://127\.0\.0\.1:9: use flow\.deploy"):
        report.serve("daily")


def test_deploying_takes_a_server_or_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    with pytest.raises(DeploymentError, match="no server runs on this machine: start one"):
        report.deploy("daily", _sync=True)


def test_what_no_server_would_accept_is_refused_without_a_request() -> None:
    with pytest.raises(InvalidResource, match=r"spec\.tags"):
        ServedManifests((deployment(tags=["x" * 101]),), "local", None)


@pytest.mark.parametrize("limit", [0, -1, "3"])
def test_a_limit_is_a_number_of_runs(limit: Any) -> None:
    with pytest.raises(InvalidSettingError, match="limit is a number of runs"):
        serve(deployment(), limit=limit)
