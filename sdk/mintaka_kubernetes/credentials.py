"""The address of the kube-apiserver and how to authenticate: a service account in a pod, a kubeconfig elsewhere.

This sends nothing; it reads files. The kubelet rotates the token of a service account (Kubernetes, "Bound service account
tokens"), so its file is read again once it is a minute old. A kubeconfig is read by the official client (`kubeconfig`),
which is loaded then.
"""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_AGE_SECONDS = 60.0


class NoCluster(MintakaError):
    """There are no credentials for a kube-apiserver: neither a service account nor a usable kubeconfig."""


class Credentials:
    """The server's URL, the TLS context (None for plain http), a proxy's URL, and the headers that authenticate the caller.

    These never change; subclasses have headers that expire.
    """

    def __init__(
        self, server: str, tls: ssl.SSLContext | None = None, *, proxy: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.server = server
        self.tls = tls
        self.proxy = proxy
        self.headers = dict(headers or {})

    @property
    def stale(self) -> bool:
        """True if `refresh` must be called before the next request."""
        return False

    def refresh(self) -> None:
        """Update `headers`. May block: it reads files, runs programs and calls identity providers. Raises NoCluster."""

    def reject(self) -> None:
        """Note that the server did not accept the headers (401)."""


class ServiceAccount(Credentials):
    """The credentials of a pod."""

    def __init__(self, server: str, folder: Path) -> None:
        super().__init__(server, tls_context(authority=str(folder / "ca.crt")))
        self._token = folder / "token"
        self._read_time = float("-inf")

    @property
    def stale(self) -> bool:
        """True if the token was read more than a minute ago."""
        return time.monotonic() - self._read_time > _TOKEN_AGE_SECONDS

    def refresh(self) -> None:
        """Read the token."""
        try:
            token = self._token.read_text(encoding="utf-8").strip()
        except OSError as error:
            message = f"the service account's token cannot be read: {error}"
            raise NoCluster(message) from error
        self.headers = {"Authorization": f"Bearer {token}"}
        self._read_time = time.monotonic()

    def reject(self) -> None:
        """Read the token again before the next request."""
        self._read_time = float("-inf")


def find_credentials(kubeconfig: str | None) -> Credentials:
    """The credentials of `kubeconfig`, or of KUBECONFIG, of the pod's service account, or of ~/.kube/config.

    As in KUBECONFIG, several files are separated by colons. May block, like `Credentials.refresh`. Raises NoCluster.
    """
    paths = kubeconfig or os.environ.get("KUBECONFIG", "")
    if paths:
        return _from_kubeconfig(paths)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if host and (_ACCOUNT / "token").exists():
        return ServiceAccount(f"https://{f'[{host}]' if ':' in host else host}:{port}", _ACCOUNT)
    default = Path.home() / ".kube" / "config"
    if default.exists():
        return _from_kubeconfig(str(default))
    message = "no Kubernetes: not in a pod with a service account, and neither KUBECONFIG nor ~/.kube/config exists"
    raise NoCluster(message)


def _from_kubeconfig(paths: str) -> Credentials:
    from mintaka_kubernetes.kubeconfig import KubeconfigCredentials  # noqa: PLC0415 - loads the official client: 35 MiB, never in a pod

    return KubeconfigCredentials(paths)


def tls_context(*, authority: str | None = None, server_name: str | None = None, verify: bool = True) -> ssl.SSLContext:
    """A context for clients that trusts the certificates in the file `authority` (None: the system's).

    `server_name` is the name in the server's certificate, if it is not the one in its URL. Unlike Python's default, the
    context does not require the extensions that RFC 5280 demands of authorities: those of many clusters lack them, and no
    other client requires them.
    """
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = server_name
    if authority:
        context.load_verify_locations(cafile=authority)
    else:
        context.load_default_certs()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _NamedContext(ssl.SSLContext):
    """Expects a name of its own in the server's certificate, whichever client uses it."""

    server_name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name or server_hostname, session)
