"""Why a process is asked to stop, as the API tells it: what the cluster says now, whatever the mirror has seen of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from api_testing import API, report, running
from mintaka_api import cluster_problems
from mintaka_api.kubernetes_intents import KubernetesRunControl
from mintaka_api.settings import Settings
from mintaka_kubernetes import ClusterAway, ClusterRefusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

pytestmark = pytest.mark.anyio
UID = "0190f5fe-0000-7000-8000-00000000000a"
REASON = f"{API}/flow-runs/{UID}/attempts/1/stop-reason"
TIME = "2026-03-04T05:00:00Z"


class OneRun:
    """A cluster with one flow run; `fault` is raised instead of it."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] = {"deployment": "nightly"}
        self.uid = UID
        self.fault: BaseException | None = None

    async def get(self, *_: Any) -> dict[str, Any]:
        if self.fault is not None:
            raise self.fault
        state = {"type": "RUNNING", "name": "Running", "reason": "", "message": "", "time": TIME}
        metadata = {"name": "run", "namespace": "ns", "uid": self.uid, "creationTimestamp": TIME, "resourceVersion": "7"}
        return {"metadata": metadata, "spec": self.spec, "status": {"state": state, "sequence": 3, "attempt": 1}}


@pytest.fixture
def cluster() -> OneRun:
    return OneRun()


@pytest.fixture
async def api(database_url: str, cluster: OneRun) -> AsyncIterator[httpx.AsyncClient]:
    """An API that knows the run as RUNNING."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        cluster_problems.install(client.app)  # type: ignore[attr-defined]
        services = client.app.state.services  # type: ignore[attr-defined]
        services.runs = KubernetesRunControl(cast("Any", cluster), services.validator)
        assert (await client.post(f"{API}/flow-runs/{UID}/reports", json=report())).status_code == 200
        yield client


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({}, "Outside"), ({"suspend": True}, "Suspended"), ({"cancel": True}, "Cancelled")],
    ids=["drained", "suspended", "cancelled"],
)
async def test_the_cluster_is_asked_not_the_mirror(api: httpx.AsyncClient, cluster: OneRun, spec: dict[str, Any], reason: str) -> None:
    """The mirror has not seen the wish yet when the pod is stopped for it."""
    cluster.spec |= spec
    answer = await api.get(REASON)
    assert (answer.status_code, answer.json()) == (200, {"reason": reason})


@pytest.mark.parametrize("gone", ["deleted", "made anew"])
async def test_a_run_that_has_left_the_cluster_is_cancelled(api: httpx.AsyncClient, cluster: OneRun, gone: str) -> None:
    """Deleting a run cancels it; another one may have its name."""
    if gone == "deleted":
        cluster.fault = ClusterRefusal(404, "NotFound", "no such run")
    else:
        cluster.uid = "0190f5fe-0000-7000-8000-00000000000b"
    assert (await api.get(REASON)).json() == {"reason": "Cancelled"}


async def test_a_cluster_that_does_not_answer_is_no_reason(api: httpx.AsyncClient, cluster: OneRun) -> None:
    """Nobody knows then; a run that nobody knows is not found."""
    cluster.fault = ClusterAway("no answer")
    assert (await api.get(REASON)).status_code == 503
    assert (await api.get(REASON.replace(UID, cluster.uid[:-1] + "f"))).status_code == 404
    assert (await api.get(REASON.replace("attempts/1", "attempts/0"))).status_code == 422


async def test_without_a_cluster_the_database_is_all_there_is(api: httpx.AsyncClient) -> None:
    """An API beside a database alone."""
    api.app.state.services.runs = None  # type: ignore[attr-defined]
    assert (await api.get(REASON)).json() == {"reason": "Outside"}
