"""A forwarded port: connections side by side, of any size, that end when either end does."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import kubernetes.stream
import pytest

from mintaka.cli import port_forward
from mintaka.cli.port_forward import PodPort, PortForward, port_behind
from mintaka.histories import HistoryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = PodPort("system", "api-1", 4200)


class Stream:
    """What the official client gives for a forwarded port, led to a pod that echoes."""

    def __init__(self) -> None:
        self._socket, pod = socket.socketpair()
        threading.Thread(target=self._echo, args=(pod,), daemon=True).start()

    def socket(self, port: int) -> socket.socket:
        assert port == TARGET.port
        return self._socket

    @staticmethod
    def _echo(pod: socket.socket) -> None:
        with pod:
            while data := pod.recv(65536):
                if data == b"end":
                    return
                pod.sendall(data)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A socket that is forwarded."""

    class Api:
        connect_get_namespaced_pod_portforward = None

    monkeypatch.setattr(port_forward, "_core_api", Api)
    monkeypatch.setattr(kubernetes.stream, "portforward", lambda *_arguments, **_options: Stream())
    with PortForward(TARGET, tmp_path / "api"):
        yield tmp_path / "api"


def connected(path: Path) -> socket.socket:
    """A connection."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(path))
    return connection


def echoed(path: Path, data: bytes) -> bytes:
    """What comes back of `data`."""
    with connected(path) as connection:
        threading.Thread(target=connection.sendall, args=(data,), daemon=True).start()
        answer = bytearray()
        while len(answer) < len(data):
            answer += connection.recv(65536)
    return bytes(answer)


def test_connections_do_not_wait_for_each_other(path: Path) -> None:
    """One that is idle holds up none; each gets its own bytes, megabytes too."""
    with connected(path), ThreadPoolExecutor(8) as threads:
        sent = [bytes([number]) * (3_000_000 + number) for number in range(8)]
        assert list(threads.map(lambda data: echoed(path, data), sent)) == sent


def test_the_end_of_the_pod_ends_the_connection(path: Path) -> None:
    """As a closed connection does."""
    with connected(path) as connection:
        connection.sendall(b"end")
        assert connection.recv(10) == b""


def test_a_stream_that_cannot_be_opened_ends_its_connection(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is tried again."""

    def refused(*_arguments: Any, **_options: Any) -> None:
        raise RuntimeError("pods/portforward is forbidden")

    with monkeypatch.context() as patched:
        patched.setattr(kubernetes.stream, "portforward", refused)
        with connected(path) as connection:
            assert connection.recv(10) == b""
    assert echoed(path, b"hello") == b"hello"


POD: dict[str, Any] = {
    "metadata": {"name": "api-1"},
    "spec": {"containers": [{"ports": [{"name": "metrics", "containerPort": 9000}, {"name": "http", "containerPort": 4200}]}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.mark.parametrize(("target", "port"), [({"targetPort": "http"}, 4200), ({"targetPort": 4201}, 4201), ({}, 80)])
def test_the_port_is_the_one_the_service_leads_to(monkeypatch: pytest.MonkeyPatch, target: dict[str, Any], port: int) -> None:
    """By name or number; of a pod that is ready."""
    starting = {**POD, "metadata": {"name": "api-0"}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    answers = {"service": {"spec": {"selector": {"app": "api"}, "ports": [{"port": 80, **target}]}}, "pods": {"items": [starting, POD]}}
    monkeypatch.setattr(port_forward, "kubectl", lambda _get, kind, *_: port_forward.json.dumps(answers[kind]))
    assert port_behind("system", "api") == PodPort("system", "api-1", port)
    answers["pods"] = {"items": [starting]}
    with pytest.raises(HistoryError, match="no pod of service system/api is ready"):
        port_behind("system", "api")
