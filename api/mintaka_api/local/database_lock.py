"""Holds the lock of a local server in PostgreSQL for as long as the server runs.

A session holds it, so PostgreSQL releases it when the server is killed. A session that is lost is replaced; if another server has
got the lock meanwhile, this one ends. A database in a file needs none of this: its lock is a file beside it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from mintaka_api.queries.server_locks import lock_server, ping
from mintaka_history.database import DatabaseAway, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from mintaka_api.background_tasks import Part
    from mintaka_history.database import Database

_PING_SECONDS = 5.0
_RETRY_SECONDS = 1.0
#: How long a session of a server that was killed may take to end.
_GRACE_SECONDS = 3.0


class DatabaseLock:
    """The claim of the server at `url` to a database; `refuse` is called with the name of the server that has it."""

    def __init__(self, database: Database, url: str, pid: int, refuse: Callable[[str], None]) -> None:
        self._database = database
        self._name = f"mintaka server {url} (pid {pid} on {socket.gethostname()[:20]})"
        self._refuse = refuse
        #: Set once the lock is held, or at once if the database is a file.
        self.held = asyncio.Event()
        if not database.is_postgresql:
            self.held.set()

    async def run(self, part: Part) -> None:
        """Hold the lock until cancelled; return if another server has it."""
        while True:
            try:
                if await self._hold(part):
                    return
            except DatabaseAway as away:
                part.problem = str(away)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _hold(self, part: Part) -> bool:
        """Hold the lock while the session lasts; True if another server has it. Raises DatabaseAway."""
        context = self._database.migration_connection()
        connection: Connection = await _in_thread(context.__enter__)
        try:
            if (holder := await self._locked(connection)) is not None:
                part.problem = f"{holder} has the database"
                self._refuse(holder)
                return True
            part.problem = ""
            self.held.set()
            while True:
                await asyncio.sleep(_PING_SECONDS)
                await _in_thread(ping, connection)
        finally:
            await asyncio.shield(asyncio.to_thread(context.__exit__, None, None, None))

    async def _locked(self, connection: Connection) -> str | None:
        deadline = asyncio.get_running_loop().time() + _GRACE_SECONDS
        while (holder := await _in_thread(lock_server, connection, self._name)) is not None:
            if asyncio.get_running_loop().time() >= deadline:
                return holder
            await asyncio.sleep(_RETRY_SECONDS / 4)
        return None


async def _in_thread[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that speaks to the database in a thread; its errors become DatabaseAway."""

    def run() -> T:
        with translated():
            return function(*args, **kwargs)

    return await asyncio.to_thread(run)
