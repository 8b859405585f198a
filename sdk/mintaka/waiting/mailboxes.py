"""Where those outside of the process learn of a pause and answer it: the API, or the SQLite file that scripts keep.

Several pauses of a process may use one mailbox at once, each in a thread of its own. A mailbox never raises because it cannot be
reached: a pause that could not be announced is announced when it is asked for the next time, and what cannot be asked now is
asked again.
"""

from __future__ import annotations

import json
import logging
import threading
from contextlib import closing, contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mintaka.recording.homes import home
from mintaka.recording.sending import Connection
from mintaka.waiting.pausing import Answer
from mintaka_history.embedded_sqlite import EmbeddedDatabase, HistoryBusy, HistoryUnreadable
from mintaka_history.json_text import encode_storable
from mintaka_history.writing import pauses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mintaka.context import Launch
    from mintaka.waiting.pausing import Mailbox, Pause

logger = logging.getLogger("mintaka")

_TIMEOUT_SECONDS = 5.0
_OK, _CREATED = 200, 300


def mailbox_of(launch: Launch) -> Mailbox | None:
    """The mailbox of a flow run; None where nobody outside of its process could reach it."""
    if launch.mailbox is None and launch.flow_run_id and (launch.local or launch.namespace):
        launch.mailbox = _at_home(in_database=launch.local)
    return launch.mailbox


def known_answer_to(pause: Pause) -> Answer | None:
    """What an earlier try or attempt of the flow run was answered, or the run that is replayed; None where nobody knows of it."""
    launch = pause.flow.launch
    if (known := pause.flow.answers.get(pause.name)) is not None:
        return known
    mailbox = _at_home(in_database=True) if launch.replay is not None else mailbox_of(launch) if launch.attempt > 1 else None
    return None if mailbox is None else mailbox.answer(pause)


def _at_home(*, in_database: bool) -> Mailbox | None:
    where = home()
    if where.api_url:
        return ApiMailbox(where.api_url)
    return DatabaseMailbox(where.database) if in_database and where.database is not None else None


class DatabaseMailbox:
    """Pauses in the SQLite file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def paused(self, pause: Pause) -> None:
        """Announce it."""
        launch, schema = pause.flow.launch, pause.schema()
        text = None if schema is None else encode_storable(schema)
        with _warning(pause), self._opened() as database, database.writing() as session:
            pauses.announce(
                *(session, pause.flow_run_id, launch.namespace, pause.name, launch.attempt),
                suspended=pause.suspends,
                deadline=pause.deadline_micros,
                schema=text,
            )

    def answer(self, pause: Pause) -> Answer | None:
        """What somebody answered."""
        row = None
        with _warning(pause), self._opened() as database:
            row = pauses.one(database.reading(), pause.flow_run_id, pause.name)
        if row is None or row.answered is None:
            return None
        return Answer(None if row.answer is None else json.loads(row.answer))

    def refused(self, pause: Pause, why: str) -> None:
        """Say so beside it."""
        with _warning(pause), self._opened() as database, database.writing() as session:
            pauses.refuse(session, pause.flow_run_id, pause.name, why)

    def over(self, pause: Pause) -> None:
        """Keep what was answered, for later attempts; nobody needs to answer any more."""
        with _warning(pause), self._opened() as database, database.writing() as session:
            if pause.is_answered:
                pauses.answer(session, pause.flow_run_id, pause.name, encode_storable(plain(pause.value)))
            pauses.end(session, pause.flow_run_id, pause.name)

    @contextmanager
    def _opened(self) -> Iterator[EmbeddedDatabase]:
        """The file, for a moment: pauses are long, and nobody says when the last one is over."""
        with self._lock, closing(EmbeddedDatabase(self._path)) as database:
            yield database


@contextmanager
def _warning(pause: Pause) -> Iterator[None]:
    try:
        yield
    except (HistoryBusy, HistoryUnreadable) as error:
        logger.warning("a pause of flow run %s cannot be told to others: %s", pause.flow_run_id, error)


class ApiMailbox:
    """Pauses at the API at `url`."""

    def __init__(self, url: str) -> None:
        self._connection = Connection(url, _TIMEOUT_SECONDS)
        self._unannounced: set[str] = set()
        self._lock = threading.Lock()

    def paused(self, pause: Pause) -> None:
        """Announce it, or do so when it is asked for next."""
        self._unannounced.add(pause.name)
        if self._put(pause):
            self._unannounced.discard(pause.name)

    def answer(self, pause: Pause) -> Answer | None:
        """What somebody answered."""
        if pause.name in self._unannounced:
            self.paused(pause)
        found = self._asked("GET", pause, None)
        return Answer(found.get("answer")) if found and found.get("answered") else None

    def refused(self, pause: Pause, why: str) -> None:
        """Say so beside it."""
        self._put(pause, refusal=why)

    def over(self, pause: Pause) -> None:
        """Keep what was answered, for later attempts; nobody needs to answer any more."""
        self._put(pause, over=True, answered=pause.is_answered, answer=plain(pause.value))

    def _put(self, pause: Pause, **more: Any) -> bool:
        launch = pause.flow.launch
        body: dict[str, Any] = {"attempt": launch.attempt, "namespace": launch.namespace or None, "suspended": pause.suspends}
        body |= {"deadline": pause.deadline_micros, "schema": pause.schema()}
        return self._asked("PUT", pause, {**body, **more}) is not None

    def _asked(self, method: str, pause: Pause, document: dict[str, Any] | None) -> dict[str, Any] | None:
        path = f"/flow-runs/{quote(pause.flow_run_id, safe='')}/pauses/{quote(pause.name, safe='')}"
        try:
            with self._lock:
                status, answer = self._connection.exchange(method, path, document)
        except (OSError, HTTPException, ValueError) as error:
            logger.warning("the API cannot be asked about the pause of flow run %s: %s: %s", pause.flow_run_id, type(error).__name__, error)
            return None
        if _OK <= status < _CREATED and isinstance(answer, dict):
            return answer
        if method != "GET":
            logger.warning("the API does not take the pause of flow run %s: HTTP %d: %s", pause.flow_run_id, status, answer)
        return None


def plain(value: Any) -> Any:
    """`value` as JSON has it: null for NaN and Infinity, U+FFFD for what no database stores."""
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - start-up time

    return json.loads(encode_storable(to_jsonable_python(value, fallback=str)))
