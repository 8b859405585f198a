"""A local server in a thread of the caller's process: for `flow.serve` when no server runs."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mintaka_api.local.server import CannotStart, LocalServer
from mintaka_api.local.settings import LocalSettings, checked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_SECONDS = 60.0


@contextmanager
def embedded_server(home: Path, *, port: int = 0, database_url: str = "", max_processes: int | None = None) -> Iterator[str]:
    """Serve in a thread until the end of the block; the server's URL. `port` 0 takes a free one.

    Other processes find it as they find `mintaka server start` (`mintaka.server_address`).

    Raises:
        CannotStart: the server cannot start; `AlreadyRuns` if another one runs on `home`.
    """
    settings = LocalSettings(home.expanduser().absolute(), port=port, database_url=database_url)
    server = LocalServer(checked(settings if max_processes is None else replace(settings, max_processes=max_processes)))
    thread = _ServerThread(server)
    try:
        thread.start()
        thread.wait_until_ready()
        yield server.url
    finally:
        thread.stop()
        server.release()


class _ServerThread:
    """The thread in which the server's loop runs."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._changed = threading.Event()
        self._ready = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mintaka-server", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_until_ready(self) -> None:
        """Raise the error that prevented the server from starting."""
        self._changed.wait(_START_SECONDS)
        if not self._ready:
            message = "the server did not become ready"
            raise CannotStart(message) from self._error

    def stop(self) -> None:
        """Stop the server and wait for the thread; a second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._server.serve(self._stop, self._set_ready))
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            self._error = error
        finally:
            self._changed.set()
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def _set_ready(self) -> None:
        self._ready = True
        self._changed.set()
