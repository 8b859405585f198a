"""Variables and limits of the embedded database."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from mintaka.engine.bookkeeping import uninterrupted
from mintaka.exceptions import SharingAway, SharingError
from mintaka.sharing.protocol import StoredLease, StoredLimit, StoredVariable
from mintaka_history import process_locks
from mintaka_history.embedded_sqlite import EmbeddedDatabase, HistoryBusy, HistoryUnreadable
from mintaka_history.sharing import leases, limits, summaries, variables
from mintaka_history.timestamps import from_microseconds, optional_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mintaka_history.sharing.leases import SlotDecision, SlotRequest
    from mintaka_history.sharing.limits import Reservation
    from mintaka_history.sharing.summaries import Summary
    from mintaka_history.sharing.variables import VariableRow
    from mintaka_history.writing.sessions import Session

#: SQLite bounds the depth of a condition: a page may be of as many namespaces as it has limits.
_PAGE = 500


class _Closed(SharingError):
    """The place was closed while another thread used it."""


class LocalShared:
    """Variables and limits of `namespace` in the file `path`; threads take turns."""

    pauses = (0.01, 0.25)

    def __init__(self, path: Path, namespace: str) -> None:
        """Open the file.

        Raises:
            SharingAway: it is locked, or cannot be written now.
            SharingError: it is none of ours.
        """
        self.place = f"namespace {namespace} of {path}"
        self.namespace = namespace
        self._path = path
        self._lock = threading.Lock()
        self._closed = False
        with _translated():
            self._database = EmbeddedDatabase(path)

    def variable(self, name: str) -> StoredVariable | None:
        """See `Shared`."""
        row = self._read(variables.get, self.namespace, variables.checked_name(name))
        return None if row is None else _stored(row)

    def variables(self, prefix: str = "", *, everywhere: bool = False) -> list[StoredVariable]:
        """See `Shared`."""
        return [_stored(row) for row in self._all(variables.list_page, self._namespaces(everywhere), prefix=prefix)]

    def put_variable(self, name: str, value: Any, tags: Sequence[str], *, overwrite: bool) -> bool:
        """See `Shared`."""
        text, words = variables.encoded_value(value), variables.encoded_tags(tags)
        return self._write(variables.put, self.namespace, variables.checked_name(name), text, words, overwrite=overwrite)

    def remove_variable(self, name: str) -> bool:
        """See `Shared`."""
        return self._write(variables.remove, self.namespace, variables.checked_name(name))

    def limits(self, prefix: str = "", *, everywhere: bool = False) -> list[StoredLimit]:
        """See `Shared`."""
        return [_shown(each) for each in self._all(summaries.list_page, self._namespaces(everywhere), self._is_gone, prefix=prefix)]

    def limit(self, name: str) -> StoredLimit | None:
        """See `Shared`."""
        found = self._read(summaries.one, self.namespace, limits.checked_name(name), self._is_gone)
        return None if found is None else _shown(found)

    def put_limit(self, name: str, slots: int, decay_per_second: float, *, overwrite: bool) -> bool:
        """See `Shared`."""
        limits.check_numbers(slots, decay_per_second)
        return self._write(limits.put, self.namespace, limits.checked_name(name), slots, decay_per_second, overwrite=overwrite)

    def remove_limit(self, name: str) -> bool:
        """See `Shared`."""
        return self._write(limits.remove, self.namespace, limits.checked_name(name))

    def request(self, wanted: SlotRequest) -> SlotDecision:
        """See `Shared`. Nothing is written if the request has to continue to wait."""
        own = wanted._replace(namespace=self.namespace, holder=self._database.holder)
        return self._read(leases.peek, own, self._is_gone) or self._write(leases.request, own, self._is_gone)

    def renew(self, leases_held: Sequence[str], seconds: float) -> set[str]:
        """See `Shared`."""
        return self._write(leases.renew, self.namespace, leases_held, seconds)

    def release(self, lease: str) -> None:
        """See `Shared`. A place that is closed, as at the end of the process, has nothing to release: leases end with their process."""
        with suppress(_Closed):
            self._write(leases.release, self.namespace, lease)

    def reserve(self, names: Sequence[str], slots: int, longest_seconds: float | None) -> Reservation:
        """See `Shared`."""
        return self._write(limits.reserve, self.namespace, names, slots, longest_seconds)

    def _is_gone(self, holder: int) -> bool:
        return process_locks.is_gone(f"{self._path}-holders", holder)

    @uninterrupted
    def close(self) -> None:
        """See `Shared`."""
        with self._lock:
            self._closed = True
            self._database.close()

    def _namespaces(self, everywhere: bool) -> Sequence[str]:
        return () if everywhere else (self.namespace,)

    def _all(self, question: Callable[..., list[Any]], *args: Any, prefix: str) -> Iterator[Any]:
        """The rows of a list, page by page."""
        after: tuple[str, str] | None = None
        while True:
            page = self._read(question, *args, prefix=prefix, after=after, limit=_PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].namespace, page[-1].name

    @uninterrupted
    def _read[T](self, question: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        session: Session
        with self._lock, _translated():
            self._check_open()
            session = self._database.reading()
            return question(session, *args, **kwargs)

    @uninterrupted
    def _write[T](self, change: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self._lock, _translated():
            self._check_open()
            with self._database.writing() as session:
                return change(session, *args, **kwargs)

    def _check_open(self) -> None:
        if self._closed:
            message = f"{self._path} is closed"
            raise _Closed(message)


def _stored(row: VariableRow) -> StoredVariable:
    created, updated = from_microseconds(row.created), from_microseconds(row.updated)
    return StoredVariable(row.namespace, row.name, json.loads(row.value), json.loads(row.tags), created, updated)


def _shown(summary: Summary) -> StoredLimit:
    limit = summary.limit
    holding = [
        StoredLease(
            lease.id,
            lease.slots,
            lease.who,
            from_microseconds(lease.asked),
            optional_datetime(lease.granted),
            from_microseconds(lease.expires),
        )
        for lease in summary.leases
    ]
    return StoredLimit(limit.namespace, limit.name, limit.slots, limit.decay_per_second, summary.held, summary.waiting, holding)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except HistoryBusy as error:
        raise (SharingAway if error.passing else SharingError)(str(error)) from error
    except HistoryUnreadable as error:
        raise SharingError(str(error)) from error
