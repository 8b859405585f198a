"""Variables and limits of the embedded database."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mintaka.bookkeeping import uninterrupted
from mintaka.exceptions import SharingAway, SharingError
from mintaka.sharing.protocol import StoredVariable
from mintaka_history.embedded import EmbeddedDatabase, HistoryBusy, HistoryUnreadable
from mintaka_history.instants import from_microseconds
from mintaka_history.sharing import variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mintaka_history.sharing.variables import VariableRow
    from mintaka_history.writing.sessions import Session

_PAGE = 1000


class LocalShared:
    """Variables and limits in the file `path`; threads take turns."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            SharingAway: it is locked, or cannot be written now.
            SharingError: it is none of ours.
        """
        self.place = str(path)
        self._lock = threading.Lock()
        with _translated():
            self._database = EmbeddedDatabase(path)

    def variable(self, name: str) -> StoredVariable | None:
        """See `Shared`."""
        row = self._read(variables.get, variables.checked_name(name))
        return None if row is None else _stored(row)

    def variables(self, prefix: str = "") -> list[StoredVariable]:
        """See `Shared`."""
        found: list[StoredVariable] = []
        after: str | None = None
        while True:
            page = self._read(variables.listed, prefix=prefix, after=after, limit=_PAGE)
            found += map(_stored, page)
            if len(page) < _PAGE:
                return found
            after = page[-1].name

    def put_variable(self, name: str, value: Any, tags: Sequence[str], *, overwrite: bool) -> bool:
        """See `Shared`."""
        text, words = variables.encoded_value(value), variables.encoded_tags(tags)
        return self._write(variables.put, variables.checked_name(name), text, words, overwrite=overwrite)

    def remove_variable(self, name: str) -> bool:
        """See `Shared`."""
        return self._write(variables.remove, variables.checked_name(name))

    @uninterrupted
    def close(self) -> None:
        """See `Shared`."""
        with self._lock:
            self._database.close()

    @uninterrupted
    def _read[T](self, question: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        session: Session
        with self._lock, _translated():
            session = self._database.reading()
            return question(session, *args, **kwargs)

    @uninterrupted
    def _write[T](self, change: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self._lock, _translated(), self._database.writing() as session:
            return change(session, *args, **kwargs)


def _stored(row: VariableRow) -> StoredVariable:
    created, updated = from_microseconds(row.created), from_microseconds(row.updated)
    return StoredVariable(row.name, json.loads(row.value), json.loads(row.tags), created, updated)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except HistoryBusy as error:
        raise (SharingAway if error.passing else SharingError)(str(error)) from error
    except HistoryUnreadable as error:
        raise SharingError(str(error)) from error
