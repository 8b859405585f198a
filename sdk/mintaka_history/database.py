"""Connections, transactions and their errors.

Queries are plain functions of a connection; they run in threads, each in one transaction. SQLite has one write connection
(its pool of one is the queue of writers) that uses BEGIN IMMEDIATE, so a write never fails half-way because it cannot get
the lock. PostgreSQL has one pool for writes and one for reads, so a burst of reports cannot starve readers. Errors caused
by the database become `DatabaseAway`, which the API answers with 503.

Behind a pooler that assigns a connection of the server to each transaction (PgBouncer's transaction mode), nothing may belong to a
session: there are no prepared statements and no start-up options, and each transaction begins with its settings, in the same request.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate

from sqlalchemy import create_engine, event, exc

from mintaka_core.errors import MintakaError
from mintaka_history import database_urls
from mintaka_history.sqlite_wal import enable_wal
from mintaka_history.tables import prepare_for_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection as Connection  # noqa: PLC0414 - modules that pass it on name it without using SQL
    from sqlalchemy import Engine

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
#: The queries that queue behind a migration's lock wait as long.
_MIGRATION_LOCK_TIMEOUT_MILLISECONDS = 2000
#: The pooler that gives each transaction a connection of the server.
TRANSACTION_POOLER = "transaction"
POOLERS = ("", TRANSACTION_POOLER)
_POOLER_HINT = "set MINTAKA_DATABASE_POOLER=transaction (chart: api.database.pooler)"
#: What a pooler, or PostgreSQL behind one, says of what needs a session.
_POOLER_SIGNS = ("unsupported startup parameter", 'prepared statement "_pg3_')


class DatabaseAway(MintakaError):
    """The database cannot be reached, is locked, or took too long; nothing was written."""


class PartitionMade(DatabaseAway):
    """The rows' table got a partition for them while they were written; nothing was written. The next try succeeds."""


class DatabaseRefusal(MintakaError):
    """The database refuses a value; trying again would not help."""


class Database:
    """Access to the database: `read`, `page` and `write` run a query function in a thread and a transaction."""

    def __init__(
        self, url: str, *, password: str | None = None, pooler: str = "", write_connections: int = 4, read_connections: int = 8
    ) -> None:
        """Prepare the pools for `url` (see `database_urls`); no connection is opened yet.

        `password` replaces the one in the URL. `pooler` is one of `POOLERS`: what stands between us and PostgreSQL.
        """
        self.url = database_urls.parse(url, password)
        self.is_postgresql = self.url.get_backend_name() == "postgresql"
        self._pooled = pooler == TRANSACTION_POOLER
        writers = write_connections if self.is_postgresql else 1
        self.migrated = False
        #: Grows when a connection is opened after a failure: the database may have been replaced meanwhile, by a backup or a replica.
        self.epoch = 0
        self._failures = 0
        #: Called, in any thread, whenever `epoch` grows: to forget what was remembered of the database.
        self.forget: list[Callable[[], None]] = []
        self.write_engine = self._engine(writers, writing=True)
        self.read_engine = self._engine(read_connections, writing=False)
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
    def writing(self, *, epoch: int | None = None) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block.

        Raises DatabaseAway if the database may have been replaced since it was in `epoch`.
        """
        with self._transaction(self.write_engine) as connection:
            if epoch is not None and epoch != self.epoch:
                message = "the connection to the database was lost and is open again"
                raise DatabaseAway(message)
            yield connection

    @contextmanager
    def reading(self, *, pages: bool = False) -> Iterator[Connection]:
        """A read transaction; `pages` makes the planner prefer index scans."""
        with self._transaction(self.read_engine) as connection:
            if pages and self.is_postgresql:
                connection.exec_driver_sql(_PAGE_SETTINGS)
            yield connection

    @contextmanager
    def migration_connection(self) -> Iterator[Connection]:
        """A connection to PostgreSQL of its own, for migrations: statements may take long, but wait for a lock for two seconds at most.

        There is no transaction yet, and building an index outside of one waits without limit.
        """
        from sqlalchemy.pool import NullPool  # noqa: PLC0415 - rarely needed

        settings = {"lock_timeout": _MIGRATION_LOCK_TIMEOUT_MILLISECONDS}
        arguments = self._connect_arguments({"statement_timeout": 0})
        engine = create_engine(self.url, poolclass=NullPool, connect_args=arguments, use_native_hstore=False)
        event.listen(engine, "begin", _begin_with({"statement_timeout": 0, **settings} if self._pooled else settings, pooled=self._pooled))
        with engine.connect() as connection:
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
        try:
            with translated(), engine.begin() as connection:
                yield connection
        except DatabaseAway:
            self._failures += 1
            raise

    def _notice_connections(self, engine: Engine) -> None:
        """Let `epoch` grow when `engine` opens a connection after a failure."""
        seen = 0

        def opened(*_: object) -> None:
            nonlocal seen
            if seen != self._failures:
                seen = self._failures
                self.epoch += 1
                for forget in self.forget:
                    forget()

        event.listen(engine, "connect", opened)

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
            settings = {"statement_timeout": timeout, "idle_in_transaction_session_timeout": 60000}
            # No hstore: each new connection would begin with a query for its number, and be lost if that fails.
            engine = create_engine(self.url, connect_args=self._connect_arguments(settings), use_native_hstore=False, **options)
            if self._pooled:
                event.listen(engine, "begin", _begin_with(settings, pooled=True))
            self._notice_connections(engine)
            return engine
        from sqlalchemy.pool import QueuePool  # noqa: PLC0415 - the class is only named for SQLite

        engine = create_engine(self.url, poolclass=QueuePool, connect_args={"check_same_thread": False, "timeout": 5}, **options)
        self._notice_connections(engine)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate if writing else _begin)
        return engine

    def _connect_arguments(self, settings: dict[str, int]) -> dict[str, Any]:
        """Psycopg's arguments; `settings` hold for the session, or are left to its transactions behind a pooler."""
        common = {"connect_timeout": 3, "application_name": "mintaka-api", "keepalives_idle": 10, "tcp_user_timeout": 10000}
        if self._pooled:  # psycopg shall not send BEGIN: see `_begin_with`
            return {**common, "prepare_threshold": None, "autocommit": True}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return {**common, "prepare_threshold": 1, "options": f"{options} -c timezone=UTC"}


@contextmanager
def translated() -> Iterator[None]:
    """Translate errors caused by the database to `DatabaseAway` and bad values to `DatabaseRefusal`; our own mistakes pass."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
        message = _with_hint(error)
        raise DatabaseAway(message) from error
    except exc.TimeoutError as error:
        message = "all database connections are busy"
        raise DatabaseAway(message) from error
    except (exc.DataError, exc.IntegrityError) as error:
        if _routed_too_early(error.orig):
            message = "database: the table got a partition for these rows while they were written: nothing was written, try again"
            raise PartitionMade(message) from error
        message = f"database: {str(error.orig).strip()}"
        raise DatabaseRefusal(message) from error
    except exc.DBAPIError as error:
        if type(error) is exc.DatabaseError:  # what SQLite raises if the file is damaged or not a database
            message = f"database: {str(error.orig).strip()}: move the file away, or bring one back from a backup"
            raise DatabaseAway(message) from error
        if not error.connection_invalidated and error.statement is not None:
            raise
        # The connection broke, or could not be opened, for instance because of an option in the URL that does not exist.
        message = f"database: {str(error.orig).strip()}"
        raise DatabaseAway(message) from error


def _with_hint(error: exc.DBAPIError) -> str:
    """The driver's words, and what to set if a pooler refuses our request."""
    words = f"database: {str(error.orig).strip()}"
    return f"{words}: {_POOLER_HINT}" if any(sign in words for sign in _POOLER_SIGNS) else words


def _begin_with(settings: dict[str, int], *, pooled: bool) -> Callable[[Connection], None]:
    """A listener that gives a transaction its settings. Behind a pooler it sends BEGIN too: all of it is one request of the simple protocol."""
    statements = [f"SET LOCAL {name} = {value}" for name, value in settings.items()]
    script = "; ".join(["BEGIN", *statements, "SET LOCAL timezone = 'UTC'"] if pooled else statements)

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(script, execution_options={"no_parameters": True})

    return begin


def _routed_too_early(error: object) -> bool:
    """True if PostgreSQL chose the default partition for a row, waited for its lock, and the row's own partition was attached
    meanwhile (`maintenance.partitions`). Other checks have a name.
    """
    diagnosis = getattr(error, "diag", None)
    return getattr(error, "sqlstate", "") == "23514" and diagnosis is not None and diagnosis.constraint_name is None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    enable_wal(connection)
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
