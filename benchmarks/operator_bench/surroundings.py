"""A namespace of our own, enough fake nodes, an operator that has warmed up; all of it taken away at the end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from mintaka_kubernetes.client import open_session
from mintaka_operator.cluster import ApiError, Cluster
from operator_bench import subjects
from operator_bench.installed import InstalledRelease
from operator_bench.operators import OperatorProcess
from operator_bench.rounds import Bench, pace, run_round
from shared.requests import RequestCount

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_ROOT = Path(__file__).resolve().parents[2]
_PODS_PER_NODE = 900
_QUIET_SECONDS = 8.0


async def fake_nodes(cluster: Cluster, pods: int) -> int:
    """See to it that there are fake nodes for so many pods; returns how many there were before."""
    nodes = await cluster.list("/api/v1/nodes", labelSelector="type=kwok")
    wanted = max(2, math.ceil(pods / _PODS_PER_NODE))
    # Also where there are enough: somebody has to play them.
    await asyncio.to_thread(_make_fake_nodes, max(wanted, len(nodes)))
    return len(nodes)


def _make_fake_nodes(number: int) -> None:
    subprocess.run([_ROOT / "cluster/fake-nodes", str(number)], check=True, stdout=subprocess.DEVNULL)


@contextlib.asynccontextmanager
async def surroundings(
    title: str, pods: int, settings: dict[str, str], *, calibrate: bool = True, operator_kubeconfig: str = "", installed: bool = False
) -> AsyncIterator[Bench]:
    """What a benchmark runs in."""
    namespace = f"bench-{title}-{os.getpid()}"
    kubeconfig = {"KUBECONFIG": operator_kubeconfig} if operator_kubeconfig else {}
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster(user_agent="mintaka-benchmark"))
        await fake_nodes(cluster, pods)
        metadata = {"name": namespace, "labels": {"mintaka.dev/leftover": "benchmark"}}
        await cluster.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        try:
            subject = InstalledRelease() if installed else OperatorProcess(namespace, settings | kubeconfig)
            operator = await stack.enter_async_context(subject)
            requests = RequestCount(lambda: _read_metrics(cluster))
            bench = Bench(cluster, namespace, operator, requests, min(pace() for _ in range(100)))
            await run_round(bench, subjects.RUNS, 20, duration="100ms")
            if calibrate:
                noise = await requests.calibrate(_QUIET_SECONDS)
                print(f"others write {noise:.1f} times a second (subtracted); load {os.getloadavg()[0]:.1f}")
            yield bench
        finally:
            await remove(cluster, namespace)


async def _read_metrics(cluster: Cluster) -> str:
    credentials = cluster.credentials
    credentials.refresh()
    async with open_session(credentials) as session, session.get("/metrics", headers=credentials.headers) as answer:
        return await answer.text()


async def _release_pods(cluster: Cluster, namespace: str) -> None:
    """Take the operator's finalizer off, for it may be gone."""
    path = subjects.pods(namespace)
    for pod in await cluster.list(path):
        if pod["metadata"].get("finalizers"):
            with contextlib.suppress(ApiError):
                await cluster.patch(f"{path}/{pod['metadata']['name']}", {"metadata": {"finalizers": None}})


async def remove(cluster: Cluster, namespace: str) -> None:
    """Delete the namespace; what a finalizer holds is released, for no mirror will come."""
    path = subjects.RUNS.collection(namespace)
    with contextlib.suppress(ApiError):
        await cluster.delete(f"/api/v1/namespaces/{namespace}")
    for _ in range(30):
        with contextlib.suppress(ApiError):
            runs = await cluster.list(path)
            held = [run["metadata"]["name"] for run in runs if run["metadata"].get("finalizers")]
            await _release_pods(cluster, namespace)
            for name in held:
                with contextlib.suppress(ApiError):
                    await cluster.patch(f"{path}/{name}", {"metadata": {"finalizers": None}})
            if not runs:
                return
        await asyncio.sleep(1.0)
