"""The API's settings: environment variables, overridden by the command line."""

from __future__ import annotations

import argparse
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mintaka_core.errors import MintakaError
from mintaka_history.database import POOLERS
from mintaka_history.maintenance.policy import RetentionPolicy, policy_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class InvalidSetting(MintakaError):
    """A setting that is not valid."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one API process.

    MINTAKA_LISTEN_HOST and MINTAKA_LISTEN_PORT set the address to listen on: Kubernetes itself sets MINTAKA_API_PORT in
    pods next to a Service named mintaka-api. An empty `host` means every IPv4 and IPv6 address ("::" is IPv6 only,
    "0.0.0.0" IPv4 only). `database_password` replaces the one in `database_url`, and needs no encoding; `database_pooler` is
    "transaction" behind PgBouncer in that mode. Empty `namespaces` means all; the operator creates tombstones in
    `release_namespace`. `mirror` False serves only the database. `cluster_name` is the key of the cluster's runs in the database
    (empty: the uid of `release_namespace`). Of the replicas that share the Lease `lease_name` in `release_namespace` one mirrors,
    known by its `identity`; without a Lease this process always does. A script that sends nothing for `silence_seconds` is
    considered dead (`mintaka_api.zombie_detection`). `retention` says when finished flow runs are deleted; by default never.
    """

    host: str = "127.0.0.1"
    port: int = 4200
    database_url: str = field(default="sqlite:///mintaka.db", repr=False)  # it may contain a password
    database_password: str | None = field(default=None, repr=False)
    database_pooler: str = ""
    namespaces: tuple[str, ...] = ()
    release_namespace: str = "mintaka-system"
    mirror: bool = True
    cluster_name: str = ""
    lease_name: str = ""
    identity: str = field(default_factory=socket.gethostname)
    silence_seconds: int = 60
    kubeconfig: str | None = None
    write_connections: int = 4
    read_connections: int = 8
    log_level: str = "INFO"
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings from environment variables."""
    default = Settings()
    return Settings(
        host=environment.get("MINTAKA_LISTEN_HOST", default.host),
        port=_number(environment, "MINTAKA_LISTEN_PORT", default.port),
        database_url=environment.get("MINTAKA_DATABASE_URL", default.database_url),
        database_password=environment.get("MINTAKA_DATABASE_PASSWORD") or None,
        database_pooler=_choice(environment, "MINTAKA_DATABASE_POOLER", POOLERS),
        namespaces=_words(environment.get("MINTAKA_NAMESPACES", "")),
        release_namespace=environment.get("MINTAKA_RELEASE_NAMESPACE") or default.release_namespace,
        mirror=_truth(environment, "MINTAKA_MIRROR", default.mirror),
        cluster_name=environment.get("MINTAKA_CLUSTER_NAME", "").strip(),
        lease_name=environment.get("MINTAKA_LEASE_NAME", ""),
        identity=environment.get("MINTAKA_POD_NAME") or default.identity,
        silence_seconds=max(_number(environment, "MINTAKA_SILENCE_SECONDS", default.silence_seconds), 1),
        kubeconfig=environment.get("MINTAKA_KUBECONFIG") or None,
        write_connections=_number(environment, "MINTAKA_WRITE_CONNECTIONS", default.write_connections),
        read_connections=_number(environment, "MINTAKA_READ_CONNECTIONS", default.read_connections),
        log_level=environment.get("MINTAKA_LOG_LEVEL", default.log_level).upper(),
        retention=policy_of(environment.get("MINTAKA_RETENTION_DAYS", ""), environment.get("MINTAKA_RETENTION", "")),
    )


def from_command_line(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of `python -m mintaka_api`: options override environment variables."""
    base = from_environment(environment)
    parser = argparse.ArgumentParser(prog="python -m mintaka_api", description="The API of Mintaka.")
    parser.add_argument(
        "--host", default=base.host, help="address to listen on, empty: every IPv4 and IPv6 address (MINTAKA_LISTEN_HOST, %(default)s)"
    )
    parser.add_argument("--port", type=int, default=base.port, help="port to listen on (MINTAKA_LISTEN_PORT, %(default)s)")
    parser.add_argument(
        "--database-url",
        default=base.database_url,
        help="sqlite:///FILE or postgresql://USER@HOST/NAME (MINTAKA_DATABASE_URL; the password in MINTAKA_DATABASE_PASSWORD)",
    )
    parser.add_argument(
        "--database-pooler", default=base.database_pooler, choices=POOLERS, help="what stands before PostgreSQL (MINTAKA_DATABASE_POOLER)"
    )
    parser.add_argument(
        "--namespace", action="append", help="namespace to mirror, repeatable (MINTAKA_NAMESPACES, comma-separated); none: all"
    )
    parser.add_argument(
        "--cluster-name",
        default=base.cluster_name,
        help="key of the cluster's runs in the database (MINTAKA_CLUSTER_NAME); empty: the uid of the release's namespace",
    )
    parser.add_argument("--kubeconfig", default=base.kubeconfig, help="kubeconfig outside a cluster (MINTAKA_KUBECONFIG, else KUBECONFIG)")
    parser.add_argument("--mirror", action=argparse.BooleanOptionalAction, default=base.mirror, help="mirror a cluster (MINTAKA_MIRROR)")
    parser.add_argument("--log-level", default=base.log_level, choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="MINTAKA_LOG_LEVEL")
    options = parser.parse_args(arguments)
    return Settings(
        host=options.host,
        port=options.port,
        database_url=options.database_url,
        database_password=base.database_password,
        database_pooler=options.database_pooler,
        namespaces=tuple(options.namespace) if options.namespace else base.namespaces,
        release_namespace=base.release_namespace,
        mirror=options.mirror,
        cluster_name=options.cluster_name,
        lease_name=base.lease_name,
        identity=base.identity,
        silence_seconds=base.silence_seconds,
        kubeconfig=options.kubeconfig,
        write_connections=base.write_connections,
        read_connections=base.read_connections,
        log_level=options.log_level,
        retention=base.retention,
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        message = f"{name}={text!r} is not a number"
        raise InvalidSetting(message)
    return int(text)


def _choice(environment: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    text = environment.get(name, "")
    if text not in choices:
        message = f"{name}={text!r} is not one of {', '.join(repr(choice) for choice in choices)}"
        raise InvalidSetting(message)
    return text


def _truth(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name, "").lower()
    if text in _TRUE or text in _FALSE or not text:
        return text in _TRUE if text else default
    message = f"{name}={text!r} is neither true nor false"
    raise InvalidSetting(message)
