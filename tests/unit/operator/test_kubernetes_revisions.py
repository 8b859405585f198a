"""ControllerRevisions behind the controller's port."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from mintaka_controller.ports import Exists, Missing, Rejected, Unavailable
from mintaka_core.resources import FlowRun
from mintaka_core.revisions import Revision
from mintaka_kubernetes.resources import CONTROLLER_REVISIONS
from mintaka_operator.cluster import ApiError
from mintaka_operator.kubernetes_revisions import KubernetesRevisions, revision_of

if TYPE_CHECKING:
    from memory_cluster import MemoryCluster
    from mintaka_operator.cluster import Cluster

RUN = FlowRun.model_validate({"metadata": {"name": "r", "namespace": "team", "uid": "u"}, "spec": {"deployment": "etl"}})


def revision(name: str, deployment: str = "etl") -> Revision:
    """A revision of a deployment."""
    return Revision(name, deployment, f"uid-of-{deployment}", {"entrypoint": "a:b"})


@pytest.fixture
def revisions(cluster: MemoryCluster) -> KubernetesRevisions:
    """Those of an empty cluster."""
    return KubernetesRevisions(cast("Cluster", cluster), lambda: (None,))


def test_each_deployment_counts_its_own(revisions: KubernetesRevisions, cluster: MemoryCluster) -> None:
    """Also after one was deleted."""
    numbers = [asyncio.run(revisions.create(RUN, each)) for each in (revision("etl-1"), revision("etl-2"), revision("web-1", "web"))]
    assert numbers == [1, 2, 1]
    first = CONTROLLER_REVISIONS.path("team", "etl-1")
    asyncio.run(revisions.delete(("team", "etl-1"), cluster.objects[first]["metadata"]["uid"]))
    assert first not in cluster.objects
    assert asyncio.run(revisions.create(RUN, revision("etl-3"))) == 3


def test_one_that_exists_is_said_to_exist(revisions: KubernetesRevisions) -> None:
    asyncio.run(revisions.create(RUN, revision("etl-1")))
    with pytest.raises(Exists):
        asyncio.run(revisions.create(RUN, revision("etl-1")))


def test_what_was_stored_is_read(revisions: KubernetesRevisions) -> None:
    asyncio.run(revisions.create(RUN, revision("etl-1")))
    assert asyncio.run(revisions.read(("team", "etl-1"))) == Revision("etl-1", "etl", "uid-of-etl", {"entrypoint": "a:b"}, 1)
    with pytest.raises(Missing):
        asyncio.run(revisions.read(("team", "etl-2")))


def test_another_one_of_the_name_is_not_deleted(revisions: KubernetesRevisions, cluster: MemoryCluster) -> None:
    asyncio.run(revisions.create(RUN, revision("etl-1")))
    asyncio.run(revisions.delete(("team", "etl-1"), "another-uid"))
    asyncio.run(revisions.delete(("team", "gone"), "uid"))
    assert CONTROLLER_REVISIONS.path("team", "etl-1") in cluster.objects


def test_ours_are_listed_and_no_others(revisions: KubernetesRevisions, cluster: MemoryCluster) -> None:
    asyncio.run(revisions.create(RUN, revision("etl-1")))
    cluster.put(CONTROLLER_REVISIONS.path("team", "web-5f6d"), {"metadata": {"uid": "w"}, "revision": 4})

    async def list_all() -> list[Any]:
        return [each async for page in revisions.list_all() for each in page]

    (listed,) = asyncio.run(list_all())
    assert (listed.key, listed.deployment, listed.number) == (("team", "etl-1"), "etl", 1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ApiError(403, "Forbidden", "no"), Rejected),
        (ApiError(0, "Unreachable", "no answer"), Unavailable),
        (ApiError(500, "InternalError", ""), Unavailable),
    ],
    ids=["forbidden", "away", "failing"],
)
def test_refusals_and_outages_are_told_apart(
    revisions: KubernetesRevisions, cluster: MemoryCluster, error: ApiError, expected: type[Exception]
) -> None:
    cluster.fault = lambda _method, _path: error
    for request in (
        lambda: revisions.read(("team", "etl-1")),
        lambda: revisions.create(RUN, revision("etl-1")),
        lambda: revisions.delete(("team", "etl-1"), "uid"),
    ):
        with pytest.raises(expected):
            asyncio.run(request())


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"metadata": {"name": "x"}}, id="bare"),
        pytest.param({"metadata": {"name": "x", "labels": None, "annotations": 3}, "data": [], "revision": "many"}, id="wrong types"),
    ],
)
def test_what_others_wrote_reads_as_empty(document: dict[str, Any]) -> None:
    """And is not intact, so that it is not run."""
    found = revision_of(document)
    assert (found.name, found.deployment, found.deployment_uid, found.data, found.number) == ("x", "", "", {}, 0)
    assert not found.intact
