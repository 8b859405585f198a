"""Copying container logs: the end of each, and what kubelet and API may answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import web

from mintaka_controller.ports import Missing, NodeUnavailable, Rejected, Unavailable
from mintaka_core.workloads import Phase, Workload
from mintaka_kubernetes import ClusterAway, ClusterRefusal, NoCluster
from mintaka_kubernetes.resources import PODS
from mintaka_operator.container_logs import LIMIT_BYTES, ContainerLogs

if TYPE_CHECKING:
    from memory_cluster import MemoryCluster
    from mintaka_operator.cluster import Cluster

LOG = PODS.path("sales", "nightly-2") + "/log"
WORKLOAD = Workload("nightly-2", "p2", 2, Phase.ENDED, datetime(2026, 3, 4, tzinfo=UTC), node="a", container="main")


class Api:
    """An API that keeps what it is sent; `status` is its answer."""

    def __init__(self, status: int = 204) -> None:
        self.status = status
        self.received: list[tuple[str, dict[str, Any]]] = []

    async def _put(self, request: web.Request) -> web.Response:
        self.received.append((request.path, await request.json()))
        return web.Response(status=self.status)

    async def start(self) -> tuple[web.AppRunner, str]:
        """Serve on loopback."""
        app = web.Application(client_max_size=4 * LIMIT_BYTES)
        app.router.add_put("/{rest:.*}", self._put)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def copied(cluster: MemoryCluster, api: Api, *workloads: Workload) -> None:
    """Copy the logs of all at once."""

    async def story() -> None:
        runner, url = await api.start()
        logs = ContainerLogs(cast("Cluster", cluster), url)
        try:
            await asyncio.gather(*(logs.copy("sales", "9f1c", workload) for workload in workloads))
        finally:
            await logs.close()
            await runner.cleanup()

    asyncio.run(story())


def test_a_log_is_put_where_its_attempt_is(cluster: MemoryCluster) -> None:
    """With the pod's name, and whole."""
    cluster.texts[LOG] = b"2026-03-04T05:00:00Z hello\n"
    api = Api()
    copied(cluster, api, WORKLOAD)
    assert api.received == [
        (
            "/api/v1/flow-runs/9f1c/attempts/2/container-logs/main",
            {"text": "2026-03-04T05:00:00Z hello\n", "truncated": False, "pod": "nightly-2"},
        )
    ]


def test_of_a_long_log_the_end_is_copied_from_the_beginning_of_a_line(cluster: MemoryCluster) -> None:
    """Half a line has no time stamp."""
    cluster.texts[LOG] = b"".join(b"2026-03-04T05:00:00Z line %07d\n" % number for number in range(50_000))
    api = Api()
    copied(cluster, api, WORKLOAD)
    ((_, body),) = api.received
    assert body["truncated"]
    assert body["text"].startswith("2026-03-04T05:00:00Z line ")
    assert body["text"].endswith("line 0049999\n")
    assert LIMIT_BYTES - 100 < len(body["text"]) <= LIMIT_BYTES


def test_what_is_not_utf_8_is_copied_too(cluster: MemoryCluster) -> None:
    """A container may print anything."""
    cluster.texts[LOG] = b"2026-03-04T05:00:00Z \xff\xfe\n"
    api = Api()
    copied(cluster, api, WORKLOAD)
    assert api.received[0][1]["text"] == "2026-03-04T05:00:00Z \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\n"


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (ClusterAway("TimeoutError"), NodeUnavailable),
        (ClusterRefusal(500, "InternalError", 'Get "https://10.0.0.7:10250/containerLogs/x": dial tcp 10.0.0.7:10250: i/o timeout'), NodeUnavailable),
        (ClusterRefusal(504, "Timeout", "the kubelet took too long"), NodeUnavailable),
        (ClusterRefusal(429, "TooManyRequests", "slow down"), Unavailable),
        (ClusterRefusal(401, "Unauthorized", "Unauthorized"), Unavailable),
        (NoCluster("the token cannot be read"), Unavailable),
        (ClusterRefusal(404, "NotFound", "no such pod"), Missing),
        (ClusterRefusal(400, "BadRequest", "the container never started"), Rejected),
    ],
    ids=str,
)  # fmt: skip
def test_a_log_that_cannot_be_read(cluster: MemoryCluster, answer: Exception, raised: type[Exception]) -> None:
    """A node that does not answer has an error of its own: its other logs would wait as long."""
    cluster.fault = lambda _method, _path: answer
    with pytest.raises(raised) as error:
        copied(cluster, Api(), WORKLOAD)
    assert type(error.value) is raised


@pytest.mark.parametrize(
    ("status", "raised"),
    [(404, Unavailable), (429, Unavailable), (503, Unavailable), (413, Rejected), (400, Rejected)],
    ids=["not mirrored yet", "throttled", "starting", "too large", "not understood"],
)
def test_a_refusal_of_the_api(cluster: MemoryCluster, status: int, raised: type[Exception]) -> None:
    """What may pass is tried again, the rest is not."""
    cluster.texts[LOG] = b"2026-03-04T05:00:00Z hello\n"
    with pytest.raises(raised):
        copied(cluster, Api(status), WORKLOAD)


def test_an_api_that_does_not_answer_is_tried_again(cluster: MemoryCluster) -> None:
    """Nothing listens there."""
    cluster.texts[LOG] = b"2026-03-04T05:00:00Z hello\n"

    async def story() -> None:
        logs = ContainerLogs(cast("Cluster", cluster), "http://127.0.0.1:9")
        try:
            await logs.copy("sales", "9f1c", WORKLOAD)
        finally:
            await logs.close()

    with pytest.raises(Unavailable):
        asyncio.run(story())


def test_without_an_api_nothing_is_copied(cluster: MemoryCluster) -> None:
    """Nor read."""
    asyncio.run(ContainerLogs(cast("Cluster", cluster), "").copy("sales", "9f1c", WORKLOAD))
    assert cluster.requests == []
