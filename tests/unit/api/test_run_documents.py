"""What both adapters of `RunControl` read of a run that was called: its document without secret parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from local_documents import NAMESPACE, deployment, flow_run
from mintaka_api.kubernetes_intents import KubernetesRunControl
from mintaka_api.local.run_control import LocalRunControl
from mintaka_controller.schema_validation import SchemaValidator
from mintaka_kubernetes import FLOW_DEPLOYMENTS, FLOW_RUNS, ClusterRefusal, Unreadable

if TYPE_CHECKING:
    from mintaka_api.local.document_store import DocumentStore

pytestmark = pytest.mark.anyio
SCHEMA = {"type": "object", "properties": {"token": {"type": "string", "format": "password"}, "day": {"type": "integer"}}}
DESCRIBED, ALL_SECRET = {"token": "********", "day": 1}, {"token": "********", "day": "********"}
KNOWN = deployment("etl", parameterSchema=SCHEMA)
RUN = flow_run("run", owner=KNOWN | {"metadata": {"name": "etl", "uid": "uid"}}, parameters={"token": "swordfish", "day": 1})


class Objects:
    """The objects of a cluster, one of each kind."""

    def __init__(self, **objects: Any) -> None:
        self.objects = {FLOW_RUNS: objects.get("run"), FLOW_DEPLOYMENTS: objects.get("deployment")}

    async def get(self, resource: Any, _namespace: str, name: str) -> Any:
        found = self.objects[resource]
        if found is None:
            raise ClusterRefusal(404, "NotFound", f"{name} not found")
        return found


IN_A_CLUSTER: dict[str, tuple[Any, dict[str, Any]]] = {
    "its deployment has a schema": (KNOWN, DESCRIBED),
    "its deployment is missing": (None, ALL_SECRET),
    "its deployment is not valid": (deployment("etl", entrypoint=7, parameterSchema=SCHEMA), ALL_SECRET),
    "its deployment cannot be decoded": (Unreadable({"metadata": {}, "spec": {}}, "TooDeep", "nested too deeply"), ALL_SECRET),
}


@pytest.mark.parametrize(("owner", "shown"), IN_A_CLUSTER.values(), ids=IN_A_CLUSTER)
async def test_a_run_in_a_cluster_is_read_without_its_secrets(owner: Any, shown: dict[str, Any]) -> None:
    control = KubernetesRunControl(cast("Any", Objects(run=RUN, deployment=owner)), SchemaValidator())
    read = await control.read(NAMESPACE, "run")
    assert read == RUN | {"spec": RUN["spec"] | {"parameters": shown}}


@pytest.mark.parametrize(
    ("known", "shown"), [(True, DESCRIBED), (False, ALL_SECRET)], ids=["with its deployment", "without its deployment"]
)
async def test_a_run_of_a_local_server_is_read_without_its_secrets(store: DocumentStore, known: bool, shown: dict[str, Any]) -> None:
    if known:
        await store.create("FlowDeployment", KNOWN)
    stored = await store.create("FlowRun", {**RUN, "metadata": {"name": "run"}})
    read = await LocalRunControl(store, SchemaValidator()).read(NAMESPACE, "run")
    assert read == stored | {"spec": stored["spec"] | {"parameters": shown}}


async def test_a_missing_run_is_not_read(store: DocumentStore) -> None:
    assert await LocalRunControl(store, SchemaValidator()).read(NAMESPACE, "run") is None
    assert await KubernetesRunControl(cast("Any", Objects()), SchemaValidator()).read(NAMESPACE, "run") is None
