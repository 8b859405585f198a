"""A private etcd and kube-apiserver on loopback: the real thing, without nodes and without anybody else's operator.

Tests may stop and start the apiserver as they like. MINTAKA_TEST_KUBECONFIG names another cluster to use instead.
The binaries are those of `cluster/build`.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 90
_BUILD_SECONDS = 3600


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binaries() -> Path:
    done = subprocess.run(
        [_ROOT / "cluster" / "build", "etcd", "kube-apiserver"], capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
    )
    if done.returncode:
        message = f"the kube-apiserver that the tests run on could not be built (set MINTAKA_TEST_KUBECONFIG to use another): {done.stderr}"
        raise RuntimeError(message)
    return Path(done.stdout.strip())


class ControlPlane:
    """etcd and kube-apiserver as processes; `kubeconfig` is an administrator's."""

    def __init__(self) -> None:
        """Start etcd and prepare the apiserver; `start` runs it."""
        self._bin = _binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="mintaka-control-plane-"))
        self.kubeconfig = self.folder / "kubeconfig"
        self.port = _free_port()
        self._etcd_port, peer_port = _free_port(), _free_port()
        self._token = secrets.token_hex(16)
        (self.folder / "tokens.csv").write_text(f'{self._token},admin,admin,"system:masters"\n', encoding="utf-8")
        subprocess.run(["openssl", "genrsa", "-out", self.folder / "accounts.key", "2048"], check=True, capture_output=True)
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{peer_port}"
        self._etcd = self._spawn(
            "etcd",
            *("--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync", "--log-level", "warn"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
        )
        self._apiserver: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the apiserver and wait until it is ready."""
        key = str(self.folder / "accounts.key")
        self._apiserver = self._spawn(
            "kube-apiserver",
            *("--etcd-servers", f"http://127.0.0.1:{self._etcd_port}", "--bind-address", "127.0.0.1", "--secure-port", str(self.port)),
            *("--advertise-address", "192.0.2.1", "--endpoint-reconciler-type", "none", "--cert-dir", str(self.folder / "pki")),
            *(
                "--authorization-mode",
                "RBAC",
                "--token-auth-file",
                str(self.folder / "tokens.csv"),
                "--service-cluster-ip-range",
                "10.0.0.0/24",
            ),
            *(
                "--service-account-issuer",
                "https://kubernetes.default.svc",
                "--service-account-key-file",
                key,
                "--service-account-signing-key-file",
                key,
            ),
            *("--disable-admission-plugins", "ServiceAccount"),
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._ready():
            if time.monotonic() > deadline or self._apiserver.poll() is not None:
                message = f"kube-apiserver did not start: {(self.folder / 'kube-apiserver.log').read_text(encoding='utf-8')[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the apiserver; etcd keeps what it had."""
        if self._apiserver is not None:
            self._apiserver.kill()
            self._apiserver.wait()
            self._apiserver = None

    def remove(self) -> None:
        """Stop both and delete their folder."""
        self.stop()
        self._etcd.kill()
        self._etcd.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ready(self) -> bool:
        certificate = self.folder / "pki" / "apiserver.crt"
        if not certificate.exists():
            return False
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(certificate), "tls-server-name": "kubernetes"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
        }
        self.kubeconfig.write_text(json.dumps(config), encoding="utf-8")
        ask = ["kubectl", "--kubeconfig", self.kubeconfig, "--request-timeout=2s", "get", "--raw", "/readyz"]
        return subprocess.run(ask, check=False, capture_output=True).returncode == 0

    def _spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([str(self._bin / name), *arguments], stdout=log, stderr=log, cwd=self.folder)
