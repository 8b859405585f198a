"""The API of a cluster, called through the kube-apiserver with the rights of the user.

`kubectl proxy` lends its credentials to a socket in a folder of our own, for the service of this API alone. If that is not allowed, or the
kube-apiserver does not reach the service, a port of the API's pod is forwarded to such a socket (`port_forward`). If MINTAKA_API_URL is
set, that API is called instead.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

from mintaka.cli.kubectl import kubectl, kubectl_command
from mintaka.histories import HistoryError

if TYPE_CHECKING:
    from mintaka.recording.remote_history import RemoteHistory

_SELECTOR = "app.kubernetes.io/part-of=mintaka,app.kubernetes.io/component=api"
_START_SECONDS = 15.0
_POLL_SECONDS = 0.02
_TIMEOUT_SECONDS = 15.0


class Service(NamedTuple):
    """The Service of an API."""

    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Where the kube-apiserver lets it be reached."""
        return f"/api/v1/namespaces/{self.namespace}/services/{self.name}:http/proxy"


class ApiInCluster:
    """The API of the cluster of kubectl's context; the way to it is found when it is first asked for."""

    def __init__(self, namespace: str | None = None, *, everywhere: bool = False) -> None:
        """`namespace`: whose runs are asked for (None: kubectl's, or, `everywhere`, those of all)."""
        self._namespace = namespace
        self._everywhere = everywhere
        self._way = ExitStack()
        self._history: RemoteHistory | None = None
        self._problem = ""

    def history(self) -> RemoteHistory:
        """What to read from.

        Raises:
            HistoryError: the API cannot be found or reached; said again when asked again.
        """
        if self._problem:
            raise HistoryError(self._problem)
        if self._history is None:
            try:
                self._history = self._opened()
            except HistoryError as error:
                self._problem = str(error)
                self.close()
                raise
        return self._history

    def close(self) -> None:
        """Let go of the way to it."""
        self._history = None
        self._way.close()

    def _opened(self) -> RemoteHistory:
        import httpx  # noqa: PLC0415 - start-up time

        from mintaka.recording.remote_history import RemoteHistory  # noqa: PLC0415 - start-up time

        namespace = None if self._everywhere else self._namespace or current_namespace()
        if url := os.environ.get("MINTAKA_API_URL"):
            return self._way.enter_context(RemoteHistory(url, namespace=namespace))
        service = api_service()
        problems = []
        for way, socket_of, path in (
            ("through the kube-apiserver", _proxied, service.path),
            ("through a forwarded port", _forwarded, ""),
        ):
            with ExitStack() as stack:
                try:
                    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_of(service, stack))), timeout=_TIMEOUT_SECONDS)
                    found = stack.enter_context(RemoteHistory(f"http://localhost{path}", client, namespace=namespace))
                    found.flow_runs(limit=1)
                except HistoryError as error:
                    problems.append(f"{way}: {error}")
                    continue
                self._way.push(stack.pop_all())
                return found
        message = f"the API of the cluster (service {service.namespace}/{service.name}) does not answer {'; '.join(problems)}"
        raise HistoryError(message)


def _proxied(service: Service, stack: ExitStack) -> Path:
    """A socket that leads to the kube-apiserver, with kubectl's credentials, for this service alone."""
    socket = _socket(stack)
    command = [
        *kubectl_command(),
        "proxy",
        f"--unix-socket={socket}",
        f"--accept-paths=^{re.escape(service.path)}/",
        "--reject-methods=^(PUT|PATCH|DELETE)$",
    ]
    errors = stack.enter_context(socket.with_name("errors").open("w+b"))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)  # noqa: S603
    stack.callback(_ended, process)
    until = monotonic() + _START_SECONDS
    while not socket.exists():
        if process.poll() is not None or monotonic() > until:
            errors.seek(0)
            message = f"kubectl proxy did not start: {errors.read().decode(errors='replace').strip() or 'it said nothing'}"
            raise HistoryError(message)
        sleep(_POLL_SECONDS)
    return socket


def _forwarded(service: Service, stack: ExitStack) -> Path:
    """A socket that leads to a pod of the service."""
    from mintaka.cli.port_forward import PortForward, port_behind  # noqa: PLC0415 - start-up time

    socket = _socket(stack)
    stack.enter_context(PortForward(port_behind(service.namespace, service.name), socket))
    return socket


def _socket(stack: ExitStack) -> Path:
    """A place for a socket in a folder that nobody else may enter."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mintaka-")), "api")


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


def api_service() -> Service:
    """The API's Service: found by its labels, or by name in the namespace that MINTAKA_API_NAMESPACE says (mintaka-system).

    Raises:
        HistoryError: there is none, or it may not be looked for.
    """
    try:
        items = json.loads(kubectl("get", "services", "--all-namespaces", "--selector", _SELECTOR, "--output", "json"))["items"]
    except HistoryError as error:
        why = str(error)
    else:
        if items:
            return Service(items[0]["metadata"]["namespace"], items[0]["metadata"]["name"])
        why = "no Service has the labels of one"
    namespace = os.environ.get("MINTAKA_API_NAMESPACE") or "mintaka-system"
    try:
        kubectl("get", "service", "mintaka-api", "--namespace", namespace, "--output", "name")
    except HistoryError as error:
        message = f"the API is not found in the cluster ({why}; {error}): say where it is in MINTAKA_API_NAMESPACE, or set MINTAKA_API_URL"
        raise HistoryError(message) from error
    return Service(namespace, "mintaka-api")


def current_namespace() -> str:
    """The namespace of kubectl's context."""
    return kubectl("config", "view", "--minify", "--output", "jsonpath={..namespace}").strip() or "default"
