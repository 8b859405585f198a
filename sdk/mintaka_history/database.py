"""Connections, transactions and their errors.

Queries are plain functions of a connection; they run in threads, each in one transaction. SQLite has one write connection
(its pool of one is the queue of writers) that uses BEGIN IMMEDIATE, so a write never fails half-way because it cannot get
the lock. PostgreSQL has one pool for writes and one for reads, so a burst of reports cannot starve readers. Errors caused
by the database become `DatabaseAway`, which the API answers with 503.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate

from sqlalchemy import create_engine, event, exc, make_url

from mintaka_core.errors import MintakaError
from mintaka_history.sqlite_wal import enable_wal
from mintaka_history.tables import prepare_for_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL, Connection, Engine

#: These settings make PostgreSQL plan a page as an index scan: a generic plan is made once, and neither a sort nor a
#: bitmap looks cheaper than the order of the index (measured: 0.75 ms instead of 127 ms for a frequent tag). If a sort is
#: unavoidable, the cost that stands for "off" would trigger JIT compilation, which takes seconds; hence no JIT.
_PAGE_SETTINGS = (
    "SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_sort', 'off', true), "
    "set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true)"
)
#: Overwritten data, such as a parameter that turns out to be secret, is zeroed if that needs no further write.
_SQLITE_PRAGMAS = (
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=5000",
    "cache_size=-8192",
    "temp_store=MEMORY",
    "secure_delete=FAST",
)
_READ_TIMEOUT_MILLISECONDS = 2000
_WRITE_TIMEOUT_MILLISECONDS = 30000


class DatabaseAway(MintakaError):
    """The database cannot be reached, is locked, or took too long; nothing was written."""


class DatabaseRefusal(MintakaError):
    """The database refuses a value; trying again would not help."""


class Database:
    """Access to the database: `read`, `page` and `write` run a query function in a thread and a transaction."""

    def __init__(self, url: str, *, write_connections: int = 4, read_connections: int = 8) -> None:
        """Prepare the pools for `url`; no connection is opened yet."""
        self.url = _normal(url)
        self.is_postgresql = self.url.get_backend_name() == "postgresql"
        writers = write_connections if self.is_postgresql else 1
        self.write_engine = self._engine(writers, writing=True)
        self.read_engine = self._engine(read_connections, writing=False)
        self.migrated = False
        # One thread per connection: a function that has a thread never waits for a connection.
        self._threads = {True: ThreadPoolExecutor(writers, "database-write"), False: ThreadPoolExecutor(read_connections, "database-read")}

    async def read[**P, T](self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `query(connection, …)` in a read transaction."""
        return await self._run(writing=False, function=lambda: self._retried(query, *args, pages=False, **kwargs))

    async def page[**P, T](self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `query(connection, …)` in a read transaction that prefers ordered index scans."""
        return await self._run(writing=False, function=lambda: self._retried(query, *args, pages=True, **kwargs))

    async def write[**P, T](self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `query(connection, …)` in a write transaction, committed when this returns."""

        def run() -> T:
            with self.writing() as connection:
                return query(connection, *args, **kwargs)

        return await self._run(writing=True, function=run)

    async def in_writer[**P, T](self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(…)` in a writer's thread; it opens its own transactions with `writing`."""
        return await self._run(writing=True, function=lambda: function(*args, **kwargs))

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block."""
        with self._transaction(self.write_engine) as connection:
            yield connection

    @contextmanager
    def reading(self, *, pages: bool = False) -> Iterator[Connection]:
        """A read transaction; `pages` makes the planner prefer index scans."""
        with self._transaction(self.read_engine) as connection:
            if pages and self.is_postgresql:
                connection.exec_driver_sql(_PAGE_SETTINGS)
            yield connection

    def dispose(self) -> None:
        """Wait for running queries, then close all connections."""
        for threads in self._threads.values():
            threads.shutdown()
        self.write_engine.dispose()
        self.read_engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        if not self.migrated:
            message = "the database's schema is not ready yet"
            raise DatabaseAway(message)
        with translated(), engine.begin() as connection:
            yield connection

    def _retried[T](self, query: Callable[..., T], *args: Any, pages: bool, **kwargs: Any) -> T:
        """Run a reading `query`; retry once if a pooled connection turned out to be dead."""
        try:
            with self.reading(pages=pages) as connection:
                return query(connection, *args, **kwargs)
        except DatabaseAway as away:
            if not getattr(away.__cause__, "connection_invalidated", False):
                raise
        with self.reading(pages=pages) as connection:
            return query(connection, *args, **kwargs)

    async def _run[T](self, *, writing: bool, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads[writing], function)

    def _engine(self, connections: int, *, writing: bool) -> Engine:
        options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": 5}
        if self.is_postgresql:
            prepare_for_postgresql()
            timeout = _WRITE_TIMEOUT_MILLISECONDS if writing else _READ_TIMEOUT_MILLISECONDS
            options["connect_args"] = {
                "connect_timeout": 3,
                "prepare_threshold": 1,
                "application_name": "mintaka-api",
                "keepalives_idle": 10,
                "tcp_user_timeout": 10000,
                "options": f"-c statement_timeout={timeout} -c idle_in_transaction_session_timeout=60000 -c timezone=UTC",
            }
            return create_engine(self.url, **options)
        from sqlalchemy.pool import QueuePool  # noqa: PLC0415 - the class is only named for SQLite

        engine = create_engine(self.url, poolclass=QueuePool, connect_args={"check_same_thread": False, "timeout": 5}, **options)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate if writing else _begin)
        return engine


@contextmanager
def translated() -> Iterator[None]:
    """Translate errors caused by the database to `DatabaseAway` and bad values to `DatabaseRefusal`; our own mistakes pass."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
        message = f"database: {str(error.orig).strip()}"
        raise DatabaseAway(message) from error
    except exc.TimeoutError as error:
        message = "all database connections are busy"
        raise DatabaseAway(message) from error
    except (exc.DataError, exc.IntegrityError) as error:
        if _routed_too_early(error.orig):
            message = "database: the table got a partition for these rows while they were written: nothing was written, try again"
            raise DatabaseAway(message) from error
        message = f"database: {str(error.orig).strip()}"
        raise DatabaseRefusal(message) from error
    except exc.DBAPIError as error:
        if type(error) is exc.DatabaseError:  # what SQLite raises if the file is damaged or not a database
            message = f"database: {str(error.orig).strip()}: move the file away, or bring one back from a backup"
            raise DatabaseAway(message) from error
        if not error.connection_invalidated:
            raise
        message = f"database: {str(error.orig).strip()}"
        raise DatabaseAway(message) from error


def _routed_too_early(error: object) -> bool:
    """True if PostgreSQL chose the default partition for a row, waited for its lock, and the row's own partition was attached
    meanwhile (`maintenance.partitions`). Other checks have a name.
    """
    diagnosis = getattr(error, "diag", None)
    return getattr(error, "sqlstate", "") == "23514" and diagnosis is not None and diagnosis.constraint_name is None


def _normal(text: str) -> URL:
    """`text` as a URL with the drivers we use: psycopg 3 and the standard library's sqlite3."""
    url = make_url(text)
    match url.get_backend_name():
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
        case "sqlite":
            return url.set(drivername="sqlite+pysqlite")
        case other:
            message = f"database {other!r} is not supported: use sqlite:///FILE or postgresql://HOST/NAME"
            raise MintakaError(message)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    enable_wal(connection)
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
