"""The settings of the local server: environment variables, overridden by the command line."""

from __future__ import annotations

import argparse
import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mintaka_api.settings import InvalidSetting, Settings
from mintaka_api.settings import from_environment as api_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PORT = 4200
_HIGHEST_PORT = 65535
#: SQLite has one writer; a laptop's dashboard and commands need few readers.
_CONNECTIONS = 4


def default_processes() -> int:
    """As many processes as there are cores that this process may use, and at least two."""
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """The settings of one local server.

    `home` holds the token, the lock and the files of processes, and the database unless `database_url` names another.
    `host` is a loopback address. `port` 0 takes a free one. At most `max_processes` runs have a process at once.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = PORT
    database_url: str = field(default="", repr=False)  # it may contain a password
    database_password: str | None = field(default=None, repr=False)
    max_processes: int = field(default_factory=default_processes)
    log_level: str = "INFO"
    api: Settings = field(default_factory=Settings, repr=False)

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.home / 'history.db'}"


def checked(settings: LocalSettings) -> LocalSettings:
    """The settings if they are valid, with those of the API in accord.

    Raises:
        InvalidSetting: the address is not a loopback address, or a number is out of bounds.
    """
    if not is_loopback(settings.host):
        message = (
            f"the server cannot listen on {settings.host!r}: it has no authentication of users yet, so it serves this machine alone; "
            "use 127.0.0.1 or ::1, and ssh -L or kubectl port-forward to reach it from elsewhere"
        )
        raise InvalidSetting(message)
    if not 0 <= settings.port <= _HIGHEST_PORT:
        message = f"port {settings.port} is not a number from 0 to {_HIGHEST_PORT}"
        raise InvalidSetting(message)
    if settings.max_processes < 1:
        message = f"at most {settings.max_processes} processes would run nothing: --max-processes takes 1 or more"
        raise InvalidSetting(message)
    if settings.api.database_pooler:
        message = "the server holds a lock in a session of PostgreSQL: connect it to PostgreSQL itself, without a pooler (MINTAKA_DATABASE_POOLER)"
        raise InvalidSetting(message)
    return settings


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a socket that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def of_api(settings: LocalSettings) -> Settings:
    """The settings of the API that this server runs."""
    base = settings.api
    return Settings(
        host=settings.host,
        port=settings.port,
        database_url=settings.database,
        database_password=settings.database_password,
        database_pooler=base.database_pooler,
        mirror=False,
        silence_seconds=base.silence_seconds,
        write_connections=_CONNECTIONS,
        read_connections=_CONNECTIONS,
        log_level=settings.log_level,
        retention=base.retention,
    )


def from_command_line(arguments: Sequence[str], environment: Mapping[str, str]) -> LocalSettings:
    """The settings of `python -m mintaka_api.local`, checked; options override environment variables.

    Raises:
        InvalidSetting: one of them is not valid.
    """
    base = api_settings(environment)
    parser = argparse.ArgumentParser(prog="python -m mintaka_api.local", description="The local server of Mintaka.")
    parser.add_argument("--home", type=Path, required=True, help="the folder of token, lock and database")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="port to listen on, 0: a free one (%(default)s)")
    parser.add_argument("--max-processes", type=int, default=default_processes(), help="runs with a process at once (%(default)s)")
    parser.add_argument("--log-level", default=base.log_level, choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="MINTAKA_LOG_LEVEL")
    options = parser.parse_args(arguments)
    return checked(
        LocalSettings(
            home=options.home.expanduser().absolute(),
            host=options.host,
            port=options.port,
            database_url=environment.get("MINTAKA_DATABASE_URL", ""),
            database_password=base.database_password,
            max_processes=options.max_processes,
            log_level=options.log_level,
            api=base,
        )
    )
