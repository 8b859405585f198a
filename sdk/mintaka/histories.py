"""Reading history: of the embedded database or of an API, asked and answered alike.

Every answer is a document of the shape that the API's OpenAPI description gives, as plain dictionaries and lists: instants
are RFC 3339 texts. `history()` gives the one that the environment names, as for writing (`mintaka.recording.homes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from mintaka.recording.homes import Home

type Document = dict[str, Any]


class HistoryError(MintakaError):
    """History could not be read; the message says from where and why."""


class FlowRunNotFound(HistoryError):
    """There is no such flow run."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which flow runs: of these state types, with this prefix of their name, of this deployment, with all of these tags.

    `called`: only those that other flow runs called in their process, which lists omit otherwise; `parent` and `root`: only
    those that the flow run with this uid called, or that were called below it, at any depth.
    """

    states: Sequence[str] = ()
    name: str | None = None
    deployment: str | None = None
    tags: Sequence[str] = ()
    called: bool = False
    parent: str | None = None
    root: str | None = None


def of_a_script(run: Document) -> bool:
    """True if a flow run is outside of clusters: its own process reported it, with the name of its flow."""
    return run.get("flow") is not None and not is_called(run)


def is_called(run: Document) -> bool:
    """True if a flow run was called in the process of another one, its root."""
    return run.get("kind") == "called"


#: Every flow run.
ANY = Wanted()


class History(Protocol):
    """Where history is read from. Use it as a context manager, or `close` it. Every method raises `HistoryError`."""

    def flow_runs(self, wanted: Wanted = ANY, *, limit: int = 50) -> list[Document]:
        """The newest flow runs that are wanted, newest first."""

    def flow_run(self, run: str) -> Document:
        """One flow run, by uid, or the newest of that name; raises FlowRunNotFound."""

    def transitions(self, uid: str) -> list[Document]:
        """Its transitions with the decisions behind them, oldest first."""

    def task_runs(self, uid: str, *, attempt: int | None = None, states: Sequence[str] = ()) -> Iterator[Document]:
        """The task runs of an attempt (None: the current one), by number; of these state types ((): of all)."""

    def logs(self, uid: str, *, attempt: int | None = None, after: int | None = None, level: int | None = None) -> Iterator[Document]:
        """Lines of an attempt's log, oldest first: those after line number `after`, of at least `level` (20 INFO, 30 WARNING)."""

    def pauses(self, uid: str) -> list[Document]:
        """The pauses in which it waits for somebody, oldest first, with the JSON Schema of what it waits for."""

    def artifacts(self, uid: str) -> list[Document]:
        """The artifacts of a flow run, oldest first."""

    def close(self) -> None:
        """Let go of connections."""

    def __enter__(self) -> Self:
        """For `with`."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close."""


def history(where: Home | None = None, namespace: str | None = None) -> History:
    """The history of `where` (None: what the environment says); lists and names mean `namespace` alone (None: all).

    Raises:
        HistoryError: history is switched off, or its database cannot be opened.
    """
    from mintaka.recording.homes import home  # noqa: PLC0415 - start-up time

    where = where or home()
    if where.api_url:
        from mintaka.recording.remote_history import RemoteHistory  # noqa: PLC0415 - start-up time: httpx

        return RemoteHistory(where.api_url, namespace=namespace)
    if where.database is None:
        message = "history is switched off (MINTAKA_HISTORY=off), so there is none to read"
        raise HistoryError(message)
    from mintaka.recording.local_history import LocalHistory  # noqa: PLC0415 - start-up time: SQLAlchemy

    return LocalHistory(where.database, namespace)
