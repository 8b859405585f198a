"""One local server: what it claims before it starts, how it serves, and what it leaves behind when it stops.

Order: home folder → lock of the home → lock of the database's file → port → token → application. What is claimed is
released in the reverse order; the kernel releases locks and port of a server that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import getpass
import json
import logging
import os
import socket
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from mintaka_api import document_problems
from mintaka_api.app import create_app
from mintaka_api.local.attached import attach_local
from mintaka_api.local.authentication import LocalAuthentication, LocalUser, hosts_of
from mintaka_api.local.credentials import CODE_SECONDS, Credentials, token_in, write_private
from mintaka_api.local.settings import of_api
from mintaka_api.response_models import LoginCodeAnswer
from mintaka_core.errors import MintakaError
from mintaka_core.instants import format_time
from mintaka_history import database_urls
from mintaka_history.server_locks import ServerLock, ServerLocked, describe_server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from fastapi import FastAPI

    from mintaka_api.local.settings import LocalSettings

logger = logging.getLogger("mintaka.server")

_OTHERS = 0o077
_OWNER_ONLY = 0o700
_BACKLOG = 512
#: How long requests may take that are in progress when the server is stopped.
_DRAIN_SECONDS = 3


class CannotStart(MintakaError):
    """The server cannot start; the message says what to do."""

    exit_code = 2


class AlreadyRuns(CannotStart):
    """Another server runs on the home folder or the database."""

    exit_code = 3


class LocalServer:
    """A server that has claimed its home, its database's file and its port. `release` it."""

    def __init__(self, settings: LocalSettings) -> None:
        """Claim them.

        Raises:
            CannotStart: they cannot be claimed.
            InvalidDatabaseUrl: the database's URL cannot be used.
        """
        self.settings = settings
        self.token_file = settings.home / "server.token"
        self._record_file = settings.home / "server.json"
        self._stack = contextlib.ExitStack()
        self._stop: asyncio.Event | None = None
        self._refusal: AlreadyRuns | None = None
        #: Set as soon as the controller runs.
        self.controlling = asyncio.Event()
        with contextlib.ExitStack() as claimed:
            _prepare_home(settings.home)
            locks = [_locked(path, claimed) for path in _lock_files(settings)]
            self._socket = claimed.enter_context(_bound(settings.host, settings.port))
            self.port: int = self._socket.getsockname()[1]
            self.url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{self.port}"
            self.record = {
                "url": self.url,
                "pid": os.getpid(),
                "token_file": str(self.token_file),
                "started": format_time(datetime.now(UTC)),
            }
            for lock in locks:
                lock.write(self.record)
            self.token = token_in(self.token_file)
            self.credentials = Credentials(self.token)
            self._stack = claimed.pop_all()
        self.app = self._new_app()

    def _new_app(self) -> FastAPI:
        attach = partial(attach_local, local=self.settings, server=self)
        app = create_app(of_api(self.settings), attach=attach, authenticator=LocalUser(getpass.getuser()))
        document_problems.install(app)
        return app

    def create(self) -> LoginCodeAnswer:
        """A code for a browser: the services' `login_codes`."""
        code = self.credentials.new_code()
        return LoginCodeAnswer(code, f"{self.url}/?code={code}", CODE_SECONDS)

    async def serve(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until `stop` is set; `ready` is called once flows run. Processes of runs are left to the next server.

        Raises:
            CannotStart: the application does not start.
        """
        config = uvicorn.Config(
            LocalAuthentication(self.app, self.credentials, hosts_of(self.port), self.port),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            ws="none",
            lifespan="on",
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        self._stop = stop
        server = _Server(config, stop, self._listening(ready))
        try:
            with contextlib.suppress(SystemExit):  # uvicorn's, when the application does not start
                await server.serve(sockets=[self._socket])
        finally:
            self._remove_record()
        if self._refusal is not None:
            raise self._refusal
        if not server.started:
            message = "the server did not start: the lines above say why"
            raise CannotStart(message)

    def refuse(self, holder: str) -> None:
        """End, since another server has the database."""
        self._refusal = AlreadyRuns(f"{holder} has this database already: use that one, or stop it (mintaka server stop)")
        if self._stop is not None:
            self._stop.set()

    def release(self) -> None:
        """Release what was claimed; a second call does nothing."""
        self._stack.close()

    async def _listening(self, ready: Callable[[], None]) -> None:
        """Publish the server's address as soon as it listens, then wait until it runs flows."""
        write_private(self._record_file, json.dumps(self.record) + "\n")
        await self.controlling.wait()
        ready()

    def _remove_record(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if json.loads(self._record_file.read_bytes()).get("pid") == os.getpid():
                self._record_file.unlink()


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by an event: its own loop would wake up ten times a second, and it handles signals itself."""

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event, listening: Coroutine[None, None, None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield

    async def main_loop(self) -> None:
        """Wait for the event."""
        self.server_state.default_headers = list(self.config.encoded_headers)
        listening = asyncio.create_task(self._listening)
        await self._stop.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def _prepare_home(home: Path) -> None:
    """Create the folder, or close it to other users."""
    try:
        home.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        status = home.stat()
        if status.st_uid != os.getuid():
            message = f"{home} belongs to another user: set MINTAKA_HOME to a folder of your own"
            raise CannotStart(message)
        if status.st_mode & _OTHERS:
            home.chmod(_OWNER_ONLY)
            logger.warning("%s was open to other users of this machine, and is closed now (mode 0700)", home)
    except OSError as error:
        message = f"the folder {home} cannot be used: {error.strerror}; set MINTAKA_HOME to a folder of your own"
        raise CannotStart(message) from error


def _lock_files(settings: LocalSettings) -> list[Path]:
    """The lock of the home, and that beside the database if it is a file."""
    url = database_urls.parse(settings.database)
    files = [settings.home / "server.lock"]
    if url.get_backend_name() == "sqlite":
        if not url.database:
            message = "the database's URL does not name a file: use sqlite:///FILE"
            raise CannotStart(message)
        path = Path(os.path.realpath(url.database))
        _create_private(path)
        files.append(path.with_name(f"{path.name}-server"))
    return files


def _create_private(path: Path) -> None:
    """Create the database's file if it is missing, so that only its owner may read it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        message = f"the database {path} cannot be opened: {error.strerror}"
        raise CannotStart(message) from error


def _locked(path: Path, claimed: contextlib.ExitStack) -> ServerLock:
    lock = ServerLock(path)
    try:
        lock.acquire()
    except ServerLocked as locked:
        what = "this MINTAKA_HOME" if path.name == "server.lock" else f"the database {path.name.removesuffix('-server')}"
        message = f"{describe_server(locked.record)} has {what} already: use that one, or stop it (mintaka server stop)"
        raise AlreadyRuns(message) from locked
    except OSError as error:
        message = f"{path} cannot be opened: {error.strerror}"
        raise CannotStart(message) from error
    claimed.callback(lock.release)
    return lock


def _bound(host: str, port: int) -> socket.socket:
    """A socket bound to the address, which does not listen yet."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            message = f"another program listens on port {port} of {host}: end it, or choose another port (--port; 0 takes a free one)"
        else:
            message = f"port {port} of {host} cannot be used: {error.strerror}; choose another (--port)"
        raise CannotStart(message) from error
    return bound
