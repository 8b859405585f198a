"""Objects that the cluster accepted and that are not valid: what can be done is done, the rest is refused with the field's name."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mintaka_api.intents import RunRequest
from mintaka_api.kubernetes_intents import KubernetesRunControl
from mintaka_api.problems import Problem
from mintaka_controller.schema_validation import SchemaValidator
from mintaka_core.errors import InvalidResource
from mintaka_history.queries.flow_runs import RunKey
from mintaka_kubernetes import Unreadable

pytestmark = pytest.mark.anyio
KEY = RunKey(1, "uid", "sales", "nightly", 1, 1, terminal=False, deleted=False, of_a_script=False)
METADATA = {"name": "nightly", "namespace": "sales", "uid": "uid", "resourceVersion": "7"}
OVER = {"state": {"type": "FAILED", "name": "Failed", "time": "2026-03-04T05:00:00Z"}, "sequence": 3, "attempt": 1}


class OneObject:
    """A cluster with one object."""

    def __init__(self, found: dict[str, Any] | Unreadable) -> None:
        self.found = found
        self.patches: list[Any] = []

    async def get(self, *_: Any) -> dict[str, Any] | Unreadable:
        return self.found

    async def patch(self, *arguments: Any) -> None:
        self.patches.append(arguments[-1][1:])


def run(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": METADATA, "spec": {"deployment": "d", **spec}, "status": status}


def deployment(**spec: Any) -> dict[str, Any]:
    return {"metadata": METADATA, "spec": {"entrypoint": "a:b", **spec}}


def control(found: dict[str, Any] | Unreadable) -> tuple[KubernetesRunControl, OneObject]:
    cluster = OneObject(found)
    return KubernetesRunControl(cast("Any", cluster), SchemaValidator()), cluster


INVALID_RUNS = {
    "a time zone that does not exist": run(OVER, scheduledTime="2026-03-04T05:00:00+99:99"),
    "a year that does not exist": run(OVER, scheduledTime="0000-01-01T00:00:00Z"),
    "a count that is text": run(OVER, reruns="two"),
}


@pytest.mark.parametrize("found", INVALID_RUNS.values(), ids=INVALID_RUNS)
async def test_a_run_that_is_not_valid_is_not_started_again(found: dict[str, Any]) -> None:
    """Neither by rerun nor by resume: what its spec asked for before is not known."""
    controls, cluster = control(found)
    for act in (controls.rerun, controls.resume):
        with pytest.raises(InvalidResource, match=r"sales/nightly cannot be read: spec\."):
            await act(KEY)
    assert cluster.patches == []


@pytest.mark.parametrize("found", INVALID_RUNS.values(), ids=INVALID_RUNS)
async def test_a_run_that_is_not_valid_can_be_cancelled(found: dict[str, Any]) -> None:
    """Which takes nothing of its spec."""
    controls, cluster = control({**found, "status": {**OVER, "state": {**OVER["state"], "type": "RUNNING"}}})
    await controls.cancel(KEY)
    assert cluster.patches == [[{"op": "add", "path": "/spec/cancel", "value": True}]]


@pytest.mark.parametrize(
    "found",
    [
        deployment(schedules=[{"name": "s", "interval": "15m", "anchor": "2026-13-01T00:00:00Z"}]),
        deployment(retries={"onFailure": {"limit": "many"}}),
    ],
    ids=["a month that does not exist", "a number that is text"],
)
async def test_no_run_is_created_of_a_deployment_that_is_not_valid(found: dict[str, Any]) -> None:
    """It would be created without the schema, and fail."""
    controls, _ = control(found)
    with pytest.raises(InvalidResource, match=r"sales/nightly cannot be read: spec\."):
        await controls.create("sales", "nightly", RunRequest({}, None, None, ()))


async def test_what_cannot_be_decoded_is_refused_with_its_reason() -> None:
    """Too deep, or too large."""
    unreadable = Unreadable(run(OVER), "TooDeep", "spec.parameters is nested more than 100 levels deep")
    controls, cluster = control(unreadable)
    for act in (controls.rerun, controls.resume):
        with pytest.raises(Problem) as refused:
            await act(KEY)
        assert (refused.value.name, refused.value.members) == ("invalid-resource", {"reason": "TooDeep"})
        assert refused.value.detail == (
            "flow run sales/nightly cannot be started again: spec.parameters is nested more than 100 levels deep"
        )
    assert cluster.patches == []
