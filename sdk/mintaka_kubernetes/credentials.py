"""Where the kube-apiserver is and how to identify to it: a service account in a pod, a kubeconfig elsewhere.

Nothing is sent here; files are read. A service account's token file is read again for each request that finds it older
than a minute, because the kubelet rotates it (Kubernetes, "Bound service account tokens").
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mintaka_core.errors import MintakaError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_AGE_SECONDS = 60.0
_EXEC_TIMEOUT_SECONDS = 30


class NoCluster(MintakaError):
    """There is no way to a kube-apiserver: neither a service account nor a usable kubeconfig."""


@dataclass(slots=True)
class Token:
    """A bearer token: fixed, from a file, or from a credential plugin; read again when older than a minute."""

    value: str = ""
    file: Path | None = None
    command: dict[str, Any] | None = None
    _read: float = field(default=float("-inf"), init=False)

    @property
    def expired(self) -> bool:
        """True where `value` is not to be sent any more: reading it anew may block."""
        return bool(self.file or self.command) and time.monotonic() - self._read > _TOKEN_AGE_SECONDS

    def current(self) -> str:
        """The token to send now; "" for none. May block for a credential plugin."""
        if self.expired:
            self.value = self.file.read_text(encoding="utf-8").strip() if self.file else _plugin_token(self.command or {})
            self._read = time.monotonic()
        return self.value


@dataclass(frozen=True, slots=True)
class Credentials:
    """The server's URL, the TLS context (None for plain http), the name to expect in its certificate, and a token."""

    server: str
    tls: ssl.SSLContext | None
    server_name: str | None
    token: Token


def find_credentials(kubeconfig: str | None) -> Credentials:
    """The credentials of `kubeconfig`, or of KUBECONFIG, of the pod's service account, or of ~/.kube/config."""
    explicit = kubeconfig or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    if explicit:
        return _from_kubeconfig(Path(explicit))
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if host and (_ACCOUNT / "token").exists():
        context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
        return Credentials(f"https://{f'[{host}]' if ':' in host else host}:{port}", context, None, Token(file=_ACCOUNT / "token"))
    if (default := Path.home() / ".kube" / "config").exists():
        return _from_kubeconfig(default)
    message = "no Kubernetes: not in a pod with a service account, and neither KUBECONFIG nor ~/.kube/config exists"
    raise NoCluster(message)


def _from_kubeconfig(path: Path) -> Credentials:
    import yaml  # noqa: PLC0415 - start-up time: a pod never needs it

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"] or {}
        token_file = path.parent / user["tokenFile"] if user.get("tokenFile") else None
        token = Token(str(user.get("token", "")), token_file, user.get("exec"))
        server = str(cluster["server"]).rstrip("/")
        tls = _tls(path.parent, cluster, user) if server.startswith("https") else None
        return Credentials(server, tls, cluster.get("tls-server-name"), token)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        message = f"kubeconfig {path} cannot be used: {type(error).__name__}: {error}"
        raise NoCluster(message) from error


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return {entry["name"]: entry for entry in entries}[name]


def _tls(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    authority = cluster.get("certificate-authority-data")
    file = cluster.get("certificate-authority")
    context = ssl.create_default_context(
        cafile=str(folder / file) if file else None,
        cadata=base64.b64decode(authority).decode() if authority else None,
    )
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate := _content(folder, user, "client-certificate"):
        key = _content(folder, user, "client-key") or b""
        with tempfile.NamedTemporaryFile() as pair:  # OpenSSL only reads certificates from files; this one is 0600 and gone at once
            pair.write(certificate + b"\n" + key)
            pair.flush()
            context.load_cert_chain(pair.name)
    return context


def _content(folder: Path, entry: dict[str, Any], name: str) -> bytes | None:
    if data := entry.get(f"{name}-data"):
        return base64.b64decode(data)
    return (folder / entry[name]).read_bytes() if entry.get(name) else None


def _plugin_token(command: dict[str, Any]) -> str:
    """The token of a client-go credential plugin (client.authentication.k8s.io, ExecCredential)."""
    environment = os.environ | {entry["name"]: entry["value"] for entry in command.get("env") or ()}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(
        {"apiVersion": command["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    )
    arguments = [command["command"], *(command.get("args") or ())]
    try:
        # The command is the kubeconfig's owner's own.
        done = subprocess.run(arguments, env=environment, capture_output=True, check=True, timeout=_EXEC_TIMEOUT_SECONDS)  # noqa: S603
        return str(json.loads(done.stdout)["status"]["token"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        message = f"credential plugin {command['command']!r} gave no token: {error}"
        raise NoCluster(message) from error
