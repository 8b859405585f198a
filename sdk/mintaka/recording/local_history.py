"""History of the embedded database, through the API's own queries."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import msgspec

from mintaka.histories import ANY, FlowRunNotFound, HistoryError
from mintaka_core.states import StateType
from mintaka_history.database import Database, DatabaseAway
from mintaka_history.embedded_sqlite import EmbeddedDatabase, HistoryBusy, HistoryUnreadable
from mintaka_history.enum_codes import RunKind
from mintaka_history.paging import Page, Part
from mintaka_history.queries import artifacts, flow_runs, logs, pauses, task_runs
from mintaka_history.queries.flow_run_filters import FlowRunFilter
from mintaka_history.queries.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from mintaka.histories import Document, Wanted
    from mintaka_history.queries.flow_runs import RunKey

_PAGE = 500


class LocalHistory:
    """The history in the file `path`; runs whose process is gone are recorded as crashed when it is opened and listed.

    Where `namespace` is given, lists and names mean that namespace alone.
    """

    def __init__(self, path: Path, namespace: str | None = None) -> None:
        """Open the file, making or migrating its schema where needed.

        Raises:
            HistoryError: it cannot be opened.
        """
        try:
            self._embedded = EmbeddedDatabase(path)
        except (HistoryBusy, HistoryUnreadable) as error:
            raise HistoryError(str(error)) from error
        self._database = Database(f"sqlite:///{path}", read_connections=1)
        self._database.migrated = True
        self._names = Names()
        self._namespace = namespace

    def flow_runs(self, wanted: Wanted = ANY, *, limit: int = 50) -> list[Document]:
        """The newest flow runs that are wanted, newest first."""
        self._look()
        states = tuple(StateType(state) for state in wanted.states)
        namespaces = () if self._namespace is None else (self._namespace,)
        asked = FlowRunFilter(
            namespaces=namespaces,
            states=states,
            name=wanted.name,
            deployment=wanted.deployment,
            tags=tuple(wanted.tags),
            parent=wanted.parent,
            root=wanted.root,
            kinds=(RunKind.CALLED,) if wanted.called else (),
        )
        page = Page(limit, descending=True)
        return [_document(run) for run in self._ask(flow_runs.page, self._names, asked, "created", page, None).items]

    def flow_run(self, run: str) -> Document:
        """One flow run, by uid, or the newest of that name; raises FlowRunNotFound."""
        self._look()
        try:
            found = self._ask(flow_runs.one, self._names, str(UUID(run)))
        except ValueError:
            named = flow_runs.newest_of_name if self._namespace is None else partial(flow_runs.newest, namespace=self._namespace)
            found = self._ask(named, self._names, name=run)
        if found is None:
            place = f"namespace {self._namespace} of " if self._namespace else ""
            message = f"there is no flow run {run} in {place}{self._embedded.path}"
            raise FlowRunNotFound(message)
        return _document(found)

    def transitions(self, uid: str) -> list[Document]:
        """Its transitions, oldest first."""
        number = self._key(uid).no
        return list(self._pages(lambda page: self._ask(flow_runs.transitions, number, page)))

    def task_runs(self, uid: str, *, attempt: int | None = None, states: Sequence[str] = ()) -> Iterator[Document]:
        """The task runs of an attempt, by number."""
        run = self._key(uid)
        number = attempt or max(run.attempt, run.reported_attempt, 1)
        asked = task_runs.TaskRunFilter(states=tuple(StateType(state) for state in states))
        return self._pages(lambda page: self._ask(task_runs.page_of_run, self._names, run, number, asked, "n", page, None))

    def logs(self, uid: str, *, attempt: int | None = None, after: int | None = None, level: int | None = None) -> Iterator[Document]:
        """Lines of an attempt's log, oldest first."""
        run = self._key(uid)
        number = attempt or max(run.attempt, run.reported_attempt, 1)
        wanted = logs.LogFilter(level=level, after=after)
        return self._pages(lambda page: self._ask(logs.page, self._names, run, number, page, wanted))

    def pauses(self, uid: str) -> list[Document]:
        """The pauses in which it waits for somebody, oldest first."""
        return [_document(pause) for pause in self._ask(pauses.open_of_run, str(UUID(uid)))]

    def artifacts(self, uid: str) -> list[Document]:
        """The artifacts of a flow run, oldest first."""
        run = self._key(uid)
        return list(self._pages(lambda page: self._ask(artifacts.page, run, page)))

    def close(self) -> None:
        """Close the file."""
        self._embedded.close()
        self._database.dispose()

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _look(self) -> None:
        """See whose process is gone; a file that cannot be written now can still be read."""
        with suppress(HistoryBusy):
            self._embedded.crash_abandoned()

    def _ask[T](self, query: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            with self._database.reading() as connection:
                return query(connection, *args, **kwargs)
        except DatabaseAway as error:
            raise HistoryError(str(error)) from error

    def _key(self, uid: str) -> RunKey:
        run = self._ask(flow_runs.key, self._names, str(UUID(uid)))
        if run is None:
            message = f"there is no flow run {uid} in {self._embedded.path}"
            raise FlowRunNotFound(message)
        return run

    @staticmethod
    def _pages(part_of: Callable[[Page], Part[Any]]) -> Iterator[Document]:
        after: tuple[Any, ...] | None = None
        while True:
            part = part_of(Page(_PAGE, descending=False, after=after))
            yield from map(_document, part.items)
            if part.last is None:
                return
            after = part.last


def _document(answer: Any) -> Document:
    """The answer as it would come out of the API."""
    document: Document = msgspec.to_builtins(answer)
    return document
