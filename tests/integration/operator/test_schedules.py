"""What a user sees of schedules: the operator as a process, a real kube-apiserver, kubectl."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kube import API_VERSION, eventually
from namespaced_operator import NamespacedOperator

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(120)


class Operator(NamespacedOperator):
    """An operator of one namespace, without an API."""

    def deploy(self, name: str, *schedules: dict[str, Any]) -> dict[str, Any]:
        """Create a deployment with these schedules, and wait until the operator has seen them."""
        spec = {"entrypoint": "a:b", "schedules": [{"name": f"s{number}", **schedule} for number, schedule in enumerate(schedules)]}
        self.kubectl(
            "create", "-f", "-", given={"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": {"name": name}, "spec": spec}
        )
        return eventually(lambda: self.status("flowdeployment", name), f"a status of {name}", 60)

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reason and message of the Events on a deployment."""
        items = json.loads(self.kubectl("get", "events", "--output", "json"))["items"]
        return [(item["reason"], item["message"]) for item in items if item["involvedObject"]["name"] == name]


@pytest.fixture(scope="module")
def operator(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """It runs."""
    made = Operator("schedules", kubeconfig, tmp_path_factory.mktemp("operator") / "log")
    made.start()
    yield made
    made.process.stop()


def test_a_year_of_missed_times_with_a_deadline_is_one_event(operator: Operator) -> None:
    """That is true: nothing was made up for."""
    status = operator.deploy("missed", {"cron": "0 2 * * *", "startingDeadlineSeconds": 30})
    status["schedules"][0] |= {"lastTime": "2025-01-01T00:00:00Z"}
    operator.kubectl("patch", "flowdeployment", "missed", "--subresource=status", "--type=merge", "--patch", json.dumps({"status": status}))
    ((reason, message),) = eventually(lambda: operator.events("missed"), "an Event", 60)
    assert reason == "MissedSchedule"
    assert message.startswith("schedule 's0' skipped ")
    assert message.endswith("02:00:00Z: all were missed by more than its startingDeadlineSeconds of 30")
    assert operator.kubectl("get", "flowruns").strip() == ""


def test_describe_shows_the_next_five_times_and_what_is_easily_mistaken(operator: Operator) -> None:
    """Either day field counts, and EST has no summer time."""
    status = operator.deploy("next", {"cron": "0 10 1-7 * 1", "timeZone": "Europe/Berlin"}, {"cron": "0 9 * * *", "timeZone": "EST"})
    described = operator.kubectl("describe", "flowdeployment", "next")
    for schedule in status["schedules"]:
        assert len(schedule["nextTimes"]) == 5
        assert all(time in described for time in schedule["nextTimes"])
    assert all("T10:00:00" in time for time in status["schedules"][0]["nextTimes"])
    assert all(time.endswith("T09:00:00-05:00") for time in status["schedules"][1]["nextTimes"])
    assert "EST has no summer time: America/New_York is the zone whose clocks change." in described


@pytest.mark.parametrize(
    ("name", "zone", "meant"),
    [("misspelt", "Europe/Berln", "Europe/Berlin"), ("offset", "UTC+2", "Etc/GMT-2"), ("removed", "US/Pacific-New", "US/Pacific")],
)
def test_a_zone_that_does_not_exist_has_an_event_that_suggests_one(operator: Operator, name: str, zone: str, meant: str) -> None:
    """Ready is False with the same words; the other schedules go on."""
    status = operator.deploy(name, {"cron": "@daily", "timeZone": zone}, {"interval": "1h"})
    (ready,) = status["conditions"]
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSchedule")
    assert f"time zone '{zone}' is not in the tz database: did you mean {meant}?" in ready["message"]
    assert [schedule["name"] for schedule in status["schedules"]] == ["s1"]
    assert eventually(lambda: operator.events(name), "an Event", 60) == [("InvalidSchedule", ready["message"])]
    assert ready["message"] in operator.kubectl("describe", "flowdeployment", name)
