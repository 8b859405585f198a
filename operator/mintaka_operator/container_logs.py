"""Copies the part of a container's log that no report of the SDK delivered into its run's log, before its pod is deleted.

The log is read from the kubelet and sent to the API. The caller copies one at a time per node.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import aiohttp
import orjson

from mintaka_controller.ports import NodeUnavailable, Rejected, Unavailable
from mintaka_kubernetes.resources import PODS
from mintaka_operator.cluster import ApiError
from mintaka_operator.port_errors import port_errors

if TYPE_CHECKING:
    from mintaka_core.workloads import Workload
    from mintaka_operator.cluster import Cluster

#: The maximum size of the copied end of a log.
LIMIT_BYTES = 1024 * 1024
_LEAST_CHARACTERS = 10_000
_NO_ANSWER = 0
_CLIENT_ERROR, _NOT_FOUND, _TOO_LARGE, _THROTTLED, _SERVER_ERROR = 400, 404, 413, 429, 500
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)


class ContainerLogs:
    """Copies logs from kubelets to the API at `api_url` ("": there is none, and nothing is copied)."""

    def __init__(self, cluster: Cluster, api_url: str) -> None:
        self._cluster = cluster
        self._api_url = api_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections to the API."""
        if self._session is not None:
            await self._session.close()

    async def copy(self, namespace: str, run_uid: str, workload: Workload) -> None:
        """Copy the end of the log. Raises Missing, Rejected, Unavailable; NodeUnavailable if the kubelet does not answer."""
        if not self._api_url:
            return
        text, truncated = await self._read(namespace, workload)
        await self._send(run_uid, workload, text, truncated=truncated)

    async def _read(self, namespace: str, workload: Workload) -> tuple[str, bool]:
        """The end of the log with timestamps, and whether its beginning was cut off."""
        path = PODS.path(namespace, workload.name) + "/log"
        try:
            with port_errors():
                raw, truncated = await self._cluster.read_end(path, LIMIT_BYTES, container=workload.container, timestamps="true")
        except Unavailable as error:
            # The API server passes the request on to the kubelet: no answer, or 5xx, is mostly the kubelet's.
            cause = error.__cause__
            if isinstance(cause, ApiError) and (cause.code == _NO_ANSWER or cause.code >= _SERVER_ERROR):
                raise NodeUnavailable(str(error), error.retry_after) from cause
            raise
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
