"""What is kept of a run that no mirror saw the end of: its last state, without its secrets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mintaka_controller.applying import apply_effect
from mintaka_controller.context import Context, ControllerSettings
from mintaka_controller.ports import ObjectProblem, Ports, Snapshot
from mintaka_core.reconciling.observation import RunObservation
from mintaka_core.reconciling.plans import ReleaseRun
from mintaka_core.resources import FlowRun
from mintaka_core.secret_parameters import MASK

CANARY = "c4nary"
SCHEMA = {"properties": {"token": {"format": "password"}}}
PARAMETERS = {"token": CANARY, "region": "north"}


@dataclass
class Resources:
    """Keeps the tombstones that are written."""

    tombstones: list[dict[str, Any]] = field(default_factory=list)

    async def write_tombstone(self, _key: object, _uid: str, document: dict[str, Any]) -> None:
        """Keep it."""
        self.tombstones.append(document)

    async def write_finalizers(self, _run: FlowRun, _version: str, _finalizers: tuple[str, ...]) -> None:
        """The run is gone."""


def deployment(**spec: Any) -> dict[str, Any]:
    """A deployment as the API server has it."""
    return {"metadata": {"name": "etl", "namespace": "ns", "uid": "d", "resourceVersion": "1"}, "spec": {"entrypoint": "a:b", **spec}}


#: kind, spec of the run beside its parameters, the deployment that is known, what is kept of the parameters.
CASES: list[tuple[str, dict[str, Any], Snapshot | None, dict[str, Any]]] = [
    ("marked by its deployment", {"deployment": "etl"}, Snapshot(deployment(parameterSchema=SCHEMA)), {"token": MASK, "region": "north"}),
    ("marked by nothing", {"deployment": "etl"}, Snapshot(deployment()), PARAMETERS),
    ("of a deployment that is gone", {"deployment": "etl"}, None, {"token": MASK, "region": MASK}),
    (
        "of a deployment that cannot be read",
        {"deployment": "etl"},
        Snapshot(deployment(), ObjectProblem("TooDeep", "too deep")),
        {"token": MASK, "region": MASK},
    ),
    (
        "marked by its own template",
        {"template": {"entrypoint": "a:b", "parameters": {"token": CANARY}, "parameterSchema": SCHEMA}},
        None,
        {"token": MASK, "region": "north"},
    ),
]


@pytest.mark.parametrize(("spec", "known", "kept"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_tombstone_holds_no_secret(spec: dict[str, Any], known: Snapshot | None, kept: dict[str, Any]) -> None:
    """Nor does kubectl's copy of the manifest in it."""
    spec = {**spec, "parameters": PARAMETERS}
    copy = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": spec})} if kept != PARAMETERS else {}
    metadata = {"name": "run", "namespace": "ns", "uid": "r", "resourceVersion": "2", "annotations": copy}
    document = {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowRun", "metadata": metadata, "spec": spec, "status": {"attempt": 1}}
    resources = Resources()
    context = Context(
        cast(
            "Ports",
            SimpleNamespace(
                resources=resources, clock=SimpleNamespace(now=lambda: datetime.now(UTC)), rules=SimpleNamespace(expressions=None)
            ),
        ),
        ControllerSettings(),
    )
    context.runs.put(Snapshot(document))
    if known is not None:
        context.deployments.put(known)
    asyncio.run(apply_effect(context, RunObservation(FlowRun.model_validate(document), None), ReleaseRun(tombstone=True)))
    (tombstone,) = resources.tombstones
    assert tombstone["spec"]["parameters"] == kept
    assert (CANARY in json.dumps(tombstone)) is (kept == PARAMETERS)
    assert tombstone["status"] == {"attempt": 1}
