"""Runs that flow runs call, with a real API server: created once, run again, cancelled along with the caller, and unchangeable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api_testing import Namespace, running
from mintaka_api.settings import Settings
from mintaka_controller.ports import Conflict
from mintaka_core.names import API_VERSION
from mintaka_kubernetes import FLOW_DEPLOYMENTS, FLOW_RUNS, ClusterRefusal, find_credentials
from mintaka_operator.cluster import Cluster as OperatorCluster
from mintaka_operator.kubernetes_resources import KubernetesResources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

pytestmark = pytest.mark.anyio

CALLER = {"uid": "0190f5fe-0000-7000-8000-000000000001", "name": "caller", "call": "a"}


@pytest.fixture
async def api(tmp_path: Path, kubeconfig: str, namespace: Namespace) -> AsyncIterator[httpx.AsyncClient]:
    """An API, and a flow deployment `nightly`."""
    spec = {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": {"name": "nightly"}, "spec": {"entrypoint": "etl:main"}}
    await namespace.cluster.create(FLOW_DEPLOYMENTS, namespace.name, spec)
    url = f"sqlite:///{tmp_path / 'mintaka.db'}"
    async with running(
        Settings(database_url=url, kubeconfig=kubeconfig, namespaces=(namespace.name,), release_namespace=namespace.name)
    ) as client:
        yield client


async def call(api: httpx.AsyncClient, namespace: Namespace, **caller: Any) -> tuple[int, dict[str, Any]]:
    """Request the run of a call; status and answer."""
    body = {"called_by": CALLER | caller, "overrides": {"pod_template": {"spec": {"priorityClassName": "low"}}}}
    answer = await api.post(f"/api/v1/namespaces/{namespace.name}/flow-deployments/nightly/runs", json=body)
    return answer.status_code, answer.json()


async def test_the_run_of_a_call_exists_once_and_runs_again(api: httpx.AsyncClient, namespace: Namespace) -> None:
    """Kubernetes accepts what the API writes."""
    created, run = await call(api, namespace)
    found, same = await call(api, namespace, attempt=2)
    assert (created, found, same["uid"]) == (201, 200, run["uid"]), (run, same)
    await namespace.set_status(run["name"], {"state": {"type": "FAILED", "name": "Failed", "time": "2026-01-01T00:00:00Z"}, "sequence": 4})
    assert [(await call(api, namespace, attempt=2))[0] for _ in range(2)] == [202, 202], "the rerun is pending"
    stored: Any = await namespace.cluster.get(FLOW_RUNS, namespace.name, run["name"])
    assert stored["spec"]["reruns"] == 1
    assert stored["metadata"]["annotations"]["mintaka.dev/called-in"] == "2.0"
    assert stored["spec"]["overrides"] == {"podTemplate": {"spec": {"priorityClassName": "low"}}}


@pytest.mark.parametrize("field", ["calledBy/uid", "overrides/podTemplate"])
async def test_who_called_a_run_and_its_overrides_stay(api: httpx.AsyncClient, namespace: Namespace, field: str) -> None:
    _, run = await call(api, namespace)
    with pytest.raises(ClusterRefusal, match=f"{field.partition('/')[0]} cannot be changed once the run exists"):
        await namespace.cluster.patch(FLOW_RUNS, namespace.name, run["name"], [{"op": "remove", "path": f"/spec/{field}"}, *ADDED[field]])


ADDED: dict[str, list[dict[str, Any]]] = {
    "calledBy/uid": [{"op": "add", "path": "/spec/calledBy/uid", "value": "x"}],
    "overrides/podTemplate": [{"op": "add", "path": "/spec/overrides/podTemplate", "value": {}}],
}


async def test_an_operator_cancels_what_was_called(api: httpx.AsyncClient, kubeconfig: str, namespace: Namespace) -> None:
    """Only the run with that uid is cancelled, not another run with its name."""
    _, run = await call(api, namespace)
    cluster = OperatorCluster(find_credentials(kubeconfig))
    try:
        resources, key = KubernetesResources(cluster, namespace.name), (namespace.name, run["name"])
        with pytest.raises(Conflict):
            await resources.cancel_run(key, "another uid")
        assert (await resources.cancel_run(key, run["uid"])).document["spec"]["cancel"] is True
        assert (await resources.cancel_run(key, run["uid"])).document["spec"]["cancel"] is True
    finally:
        await cluster.close()
