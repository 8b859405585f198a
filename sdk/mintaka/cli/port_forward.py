"""A port of a pod behind a Unix socket, as `kubectl port-forward` does it, by the official client of Kubernetes.

Each connection to the socket is a stream of its own through the kube-apiserver and the node's kubelet; threads of their own pass the bytes
on, so that no request waits for another's.
"""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mintaka.cli.kubectl import kubectl, kubectl_context
from mintaka.histories import HistoryError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_CHUNK_BYTES = 65536
_MISSING = "a forwarded port needs the official client of Kubernetes: pip install 'mintaka[kubernetes]'"


class PodPort(NamedTuple):
    """A port of a pod."""

    namespace: str
    pod: str
    port: int


def port_behind(namespace: str, service: str) -> PodPort:
    """The port of a ready pod that a Service leads to. Raises HistoryError."""
    spec = json.loads(kubectl("get", "service", service, "--namespace", namespace, "--output", "json"))["spec"]
    selector = ",".join(f"{name}={value}" for name, value in spec["selector"].items())
    pods = json.loads(kubectl("get", "pods", "--namespace", namespace, "--selector", selector, "--output", "json"))["items"]
    pod = next(filter(_is_ready, pods), None)
    if pod is None:
        message = f"no pod of service {namespace}/{service} is ready"
        raise HistoryError(message)
    return PodPort(namespace, pod["metadata"]["name"], _number(spec["ports"][0], pod))


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _number(port: dict[str, Any], pod: dict[str, Any]) -> int:
    """The container's port: a Service names it or gives its number."""
    target = port.get("targetPort", port["port"])
    names = {each.get("name"): each["containerPort"] for container in pod["spec"]["containers"] for each in container.get("ports", ())}
    return int(names.get(target, target))


class PortForward:
    """Forwards the connections to a socket until it is closed."""

    def __init__(self, target: PodPort, path: Path) -> None:
        """Listen at `path`. Raises HistoryError if there is no client, or no usable kubeconfig."""
        self._target = target
        self._api = _core_api()
        self._opening = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, name="port-forward", daemon=True).start()

    def close(self) -> None:
        """Accept no more; connections end with their ends."""
        # Closing alone does not wake the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(connection,), name="port-forward", daemon=True).start()

    def _forward(self, connection: socket.socket) -> None:
        with connection:
            try:
                stream = self._open()
            except Exception:  # noqa: BLE001 - whatever the client raises, the caller sees its connection end
                return
            with closing(stream.socket(self._target.port)) as remote:
                back = threading.Thread(target=_pass_on, args=(remote, connection), name="port-forward", daemon=True)
                back.start()
                _pass_on(connection, remote)
                back.join()

    def _open(self) -> Any:
        from kubernetes.stream import portforward  # noqa: PLC0415 - start-up time

        method = self._api.connect_get_namespaced_pod_portforward
        # The client is patched while it opens a stream.
        with self._opening:
            return portforward(method, self._target.pod, self._target.namespace, ports=str(self._target.port))


def _core_api() -> Any:
    try:
        from kubernetes import client, config  # noqa: PLC0415 - start-up time
    except ImportError as error:
        raise HistoryError(_MISSING) from error
    settings = client.Configuration()
    context = kubectl_context() or kubectl("config", "current-context").strip()
    try:
        config.load_kube_config(context=context, client_configuration=settings)
    except Exception as error:  # the client lets the errors of all its libraries through
        message = f"the official client of Kubernetes cannot use the kubeconfig: {error}"
        raise HistoryError(message) from error
    return client.CoreV1Api(client.ApiClient(settings))


def _pass_on(source: Any, target: Any) -> None:
    """Bytes from one socket to another until either ends, which ends the other."""
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
