"""Credentials of a kubeconfig, as the official client reads them: tokens, certificates, exec plugins, OIDC, proxies, several files.

Any error in one becomes one sentence (NoCluster). Beyond the official client: the first file that has a current context
decides, as for kubectl; a token's file is read again, and an OIDC token renewed, periodically.
"""

from __future__ import annotations

import logging
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from kubernetes.client import Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from mintaka_kubernetes.credentials import Credentials, NoCluster, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

_REREAD_SECONDS = 60.0
#: How long before a token's expiry a new one is requested.
_EXPIRY_MARGIN = timedelta(seconds=60)
#: If a server rejects every token, a plugin must not run with every request.
_REJECTION_SECONDS = 10.0
_PROXY_SCHEMES = frozenset({"http", "https"})
_NO_SERVER = "its cluster has no server"
_NO_PROXY = "its proxy {} is not one for HTTP"
_BROKEN = (ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, ValueError, AttributeError)


class KubeconfigCredentials(Credentials):
    """The credentials of the current context of the files `paths`, separated as in KUBECONFIG."""

    def __init__(self, paths: str) -> None:
        self._paths = paths
        self._rejected = False
        configuration = self._load()
        server = str(configuration.host)
        try:
            tls = _tls_of(configuration) if server.startswith("https") else None
        except OSError as error:
            raise self._unusable(error) from error
        super().__init__(server, tls, proxy=self._proxy_of(configuration), headers=self._headers)

    @property
    def stale(self) -> bool:
        """True if a file must be read or an identity provider called again, or the token of a plugin expires."""
        age = time.monotonic() - self._load_time
        if self._rejected:
            return age > _REJECTION_SECONDS
        if self._expiry is not None:
            return datetime.now(UTC) > self._expiry - _EXPIRY_MARGIN and age > _REJECTION_SECONDS
        return self._changes and age > _REREAD_SECONDS

    def refresh(self) -> None:
        """Read the kubeconfig again, which runs its plugin."""
        configuration = self._load()
        self.headers = self._headers
        if self.tls is not None and configuration.cert_file:
            self.tls.load_cert_chain(configuration.cert_file, configuration.key_file)

    def reject(self) -> None:
        """Read the kubeconfig again before the next request, if that may change the credentials."""
        self._rejected = self._changes

    def _load(self) -> Any:
        """The official client's configuration of the current context."""
        self._load_time, self._rejected = time.monotonic(), False
        configuration = Configuration()
        configuration.host = ""
        try:
            with _complaints() as complaints:
                files = KubeConfigMerger(self._paths)
                context = _current_context(files)
                loader = KubeConfigLoader(files.config, active_context=context, config_base_path=None, config_persister=files.save_changes)
                loader.load_and_set(configuration)
                configuration.proxy = getattr(loader, "proxy", None)  # not the environment's, which may name exceptions
            user = _user_of(files, loader)
        except _BROKEN as error:
            raise self._unusable(error) from error
        token = configuration.api_key.get("BearerToken")
        if "exec" in user and not token and not configuration.cert_file:
            raise self._unusable(complaints[-1] if complaints else "its credential plugin gave neither token nor certificate")
        if not configuration.host:
            raise self._unusable(_NO_SERVER)
        self._headers = {"Authorization": str(token).strip()} if token else {}
        expiry = getattr(loader, "expiry", None)
        self._expiry = expiry if isinstance(expiry, datetime) else None
        self._changes = any(user.get(source) for source in ("tokenFile", "exec", "auth-provider"))
        return configuration

    def _proxy_of(self, configuration: Any) -> str | None:
        proxy = configuration.proxy
        if not proxy:
            address = urlsplit(str(configuration.host))
            proxy = None if urllib.request.proxy_bypass(address.hostname or "") else urllib.request.getproxies().get(address.scheme)
        if proxy and urlsplit(proxy).scheme not in _PROXY_SCHEMES:
            raise self._unusable(_NO_PROXY.format(proxy))
        return str(proxy) if proxy else None

    def _unusable(self, reason: object) -> NoCluster:
        text = str(reason) if not isinstance(reason, KeyError) else f"{reason} is missing"
        return NoCluster(f"kubeconfig {self._paths} cannot be used: {' '.join((text or repr(reason)).split())}")


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """The messages that the official client logs meanwhile: if a plugin fails, it only logs that and continues."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    root, collector = logging.getLogger(), Collector(logging.ERROR)
    root.addHandler(collector)
    try:
        yield messages
    finally:
        root.removeHandler(collector)


def _current_context(files: KubeConfigMerger) -> str:
    """The current context's name, of the first file that has one, as for kubectl."""
    if files.config is None:
        message = "there is no such file"
        raise ConfigException(message)
    for content in files.config_files.values():
        if context := content.get("current-context"):
            return str(context)
    message = "it has no current context: kubectl config use-context NAME"
    raise ConfigException(message)


def _user_of(files: KubeConfigMerger, loader: KubeConfigLoader) -> dict[str, Any]:
    """The user's entry of the current context; {} if it names none."""
    name = loader.current_context["context"].get("user")
    found = files.config["users"].get_with_name(name, safe=True) if name else None
    return dict(found["user"].value) if found else {}


def _tls_of(configuration: Any) -> ssl.SSLContext:
    context = tls_context(authority=configuration.ssl_ca_cert, server_name=configuration.tls_server_name, verify=configuration.verify_ssl)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
