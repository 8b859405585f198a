"""Copies the part of a container's log that no report of the SDK delivered into its run's log, before its pod is deleted.

The log is read from the kubelet and sent to the API. Logs are copied one at a time per node, because a kubelet that serves
many large logs at once is slow to start pods.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
import orjson

from mintaka_controller.ports import Rejected, Unavailable
from mintaka_kubernetes.resources import PODS
from mintaka_operator.port_errors import port_errors

if TYPE_CHECKING:
    from mintaka_core.workloads import Workload
    from mintaka_operator.cluster import Cluster

#: The maximum size of the copied end of a log.
LIMIT_BYTES = 1024 * 1024
_LEAST_CHARACTERS = 10_000
_CLIENT_ERROR, _NOT_FOUND, _TOO_LARGE, _THROTTLED, _SERVER_ERROR = 400, 404, 413, 429, 500
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)


class ContainerLogs:
    """Copies logs from kubelets to the API at `api_url` ("": there is none, and nothing is copied)."""

    def __init__(self, cluster: Cluster, api_url: str) -> None:
        self._cluster = cluster
        self._api_url = api_url.rstrip("/")
        self._nodes: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections to the API."""
        if self._session is not None:
            await self._session.close()

    async def copy(self, namespace: str, run_uid: str, workload: Workload) -> None:
        """Copy the end of the log. Raises Missing, Rejected, Unavailable."""
        if not self._api_url:
            return
        self._waiting[workload.node] += 1
        try:
            async with self._nodes.setdefault(workload.node, asyncio.Lock()):
                text, truncated = await self._read(namespace, workload)
                await self._send(run_uid, workload, text, truncated=truncated)
        finally:
            self._waiting[workload.node] -= 1
            if not self._waiting[workload.node]:
                del self._waiting[workload.node], self._nodes[workload.node]

    async def _read(self, namespace: str, workload: Workload) -> tuple[str, bool]:
        """The end of the log with timestamps, and whether its beginning was cut off."""
        path = PODS.path(namespace, workload.name) + "/log"
        with port_errors():
            raw, truncated = await self._cluster.read_end(path, LIMIT_BYTES, container=workload.container, timestamps="true")
        if truncated:
            raw = raw.partition(b"\n")[2]
        return raw.decode(errors="replace"), truncated

    async def _send(self, run_uid: str, workload: Workload, text: str, *, truncated: bool) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        url = f"{self._api_url}/api/v1/flow-runs/{run_uid}/attempts/{workload.attempt}/container-logs/{workload.container}"
        body = orjson.dumps({"text": text, "truncated": truncated, "pod": workload.name})
        try:
            async with self._session.put(url, data=io.BytesIO(body), headers={"Content-Type": "application/json"}) as answer:
                if answer.status < _CLIENT_ERROR:
                    return None
                if answer.status == _TOO_LARGE and len(text) > _LEAST_CHARACTERS:  # control characters take six bytes each
                    return await self._send(run_uid, workload, text[len(text) // 2 :].partition("\n")[2], truncated=True)
                message = f"the API answered {answer.status} to the log of {workload.name}: {(await answer.text())[:200]}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"the API did not answer: {type(error).__name__}: {error}"
            raise Unavailable(message) from error
        # The API may not know the run yet: the mirror may be behind.
        if answer.status >= _SERVER_ERROR or answer.status in {_THROTTLED, _NOT_FOUND}:
            raise Unavailable(message)
        raise Rejected(message)
