"""What the handlers of the mirror's informers remember, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from mintaka_api.backlog import Backlog
from mintaka_api.event_handlers import FlowDeploymentHandler, Intake
from mintaka_core.names import API_VERSION


def deployment(name: str, uid: str) -> dict[str, Any]:
    """A flow deployment as a watch shows it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowDeployment",
        "metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": "1"},
        "spec": {"entrypoint": "etl:main", "tags": [uid]},
    }


async def nothing() -> dict[str, str]:
    """No deployment is stored, and there is always room."""
    return {}


@pytest.fixture
def handler() -> FlowDeploymentHandler:
    async def room() -> None:
        await nothing()

    return FlowDeploymentHandler(Intake(Backlog(), lambda: None, room), nothing)


@pytest.mark.parametrize("seen", [True, False], ids=["with an event", "without an event"])
def test_nothing_is_remembered_of_deployments_that_left_the_cluster(handler: FlowDeploymentHandler, seen: bool) -> None:
    """However many come and go."""
    for number in range(100):
        handler.present(deployment(f"d{number}", f"u{number}"))
    assert len(handler.inherited) == 100
    if seen:
        for number in range(100):
            handler.gone(deployment(f"d{number}", f"u{number}"))
    else:
        handler.vanished([f"u{number}" for number in range(100)])
    handler.vanished(["never seen"])
    assert not handler.inherited
    assert not handler._keys
    assert not handler._uids


def test_a_deployment_that_was_created_again_keeps_what_its_runs_inherit(handler: FlowDeploymentHandler) -> None:
    """The end of the earlier one of its name may be noticed later."""
    handler.present(deployment("d", "old"))
    handler.present(deployment("d", "new"))
    handler.vanished(["old"])
    assert handler.inherited["ns", "d"].tags == ("new",)
    handler.gone(deployment("d", "new"))
    assert not handler.inherited
