"""Waiting for the ends of flow runs: one thread of this process polls an API for all runs that its code waits for.

A request stays open until one of the runs is over, two seconds at most, so that 200 runs cost the API no more than one. Once a minute
the API compares the runs with its cluster, and answers for those whose awaited end will never come.
"""

from __future__ import annotations

import http.client
import logging
import os
import threading
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from mintaka.exceptions import RunRequestAway, RunRequestError
from mintaka.remote_runs.api_requests import ask

_logger = logging.getLogger("mintaka")

_WAIT_SECONDS = 2.0
_MOST_AT_ONCE = 1000
#: How often the API is requested to check runs whose end has not come.
_CHECK_SECONDS = 60.0
#: Waits that start within this time share a request.
_LINGER_SECONDS = 0.02
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0


class Awaited(Future[dict[str, Any]]):
    """The document of a run once it is over, with a sequence above `after` or for good. Cancel it when it is no longer needed.

    It raises RunRequestError if the API has lost the run, or refuses the request. `namespace` and `name` are "" if the run cannot be
    checked.
    """

    def __init__(self, uid: str, after: int, namespace: str, name: str) -> None:
        super().__init__()
        self.uid = uid
        self.after = after
        self.namespace = namespace
        self.name = name


class EndWatch:
    """Watches runs of the API at `url`; its thread lives while there are any."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._awaited: dict[Awaited, None] = {}
        self._thread: threading.Thread | None = None

    def wait_for(self, uid: str, after: int = -1, *, namespace: str = "", name: str = "") -> Awaited:
        """A future of the end of a run."""
        awaited = Awaited(uid, after, namespace, name)
        with self._lock:
            self._awaited[awaited] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mintaka-run-ends", daemon=True)
                self._thread.start()
        return awaited

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        checked = monotonic()
        while self._has_work():
            sleep(_LINGER_SECONDS)
            wanted = self._wanted()
            check = monotonic() - checked >= _CHECK_SECONDS
            if check:
                checked = monotonic()
            try:
                outcomes = self._request(wanted, check=check)
            except RunRequestAway as away:
                _logger.warning("%s; the next request for the awaited runs is in %.1f s", away, pause)
                sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - raised in the callers, which would wait forever
                for awaited in wanted:
                    self._settle(awaited, error)
            else:
                pause = _FIRST_PAUSE_SECONDS
                for awaited in wanted:
                    if awaited.uid in outcomes:
                        self._settle(awaited, outcomes[awaited.uid])

    def _has_work(self) -> bool:
        """Whether any run is still awaited; if not, the next wait starts another thread."""
        with self._lock:
            for awaited in [awaited for awaited in self._awaited if awaited.done()]:
                del self._awaited[awaited]
            if not self._awaited:
                self._thread = None
            return bool(self._awaited)

    def _wanted(self) -> list[Awaited]:
        """The awaited runs, the oldest first."""
        with self._lock:
            return list(self._awaited)[:_MOST_AT_ONCE]

    def _request(self, wanted: list[Awaited], *, check: bool) -> dict[str, dict[str, Any] | RunRequestError]:
        """The documents of the runs that are over, by uid, and the errors of those that the API has lost."""
        runs: dict[str, Awaited] = {}
        for awaited in wanted:
            if awaited.uid not in runs or awaited.after > runs[awaited.uid].after:
                runs[awaited.uid] = awaited
        items = [{"uid": each.uid, "after": each.after, "namespace": each.namespace, "name": each.name} for each in runs.values()]
        body = {"runs": items, "wait": 0 if check else _WAIT_SECONDS, "check": check}
        status, document = ask(self._url, "POST", "/flow-runs/ended", body, timeout_seconds=_WAIT_SECONDS + 10)
        if status == http.client.NOT_FOUND:
            message = f"the API at {self._url} is of an older release, which cannot wait for runs: upgrade it"
            raise RunRequestError(message)
        lost = {uid: self._lost(runs[uid]) for uid in document["gone"] if uid in runs}
        return {**lost, **{run["uid"]: run for run in document["items"]}}

    def _lost(self, awaited: Awaited) -> RunRequestError:
        message = (
            f"the API at {self._url} has no flow run {awaited.namespace}/{awaited.name} ({awaited.uid}) any more, nor its history: "
            "it was deleted, or the database was restored from an earlier state; how it ended is not known"
        )
        return RunRequestError(message)

    def _settle(self, awaited: Awaited, outcome: dict[str, Any] | Exception) -> None:
        with self._lock:
            self._awaited.pop(awaited, None)
        with suppress(Exception):  # it was cancelled meanwhile
            if isinstance(outcome, Exception):
                awaited.set_exception(outcome)
            else:
                awaited.set_result(outcome)


_watches: dict[tuple[int, str], EndWatch] = {}
_lock = threading.Lock()


def watch_of(url: str) -> EndWatch:
    """The watch of this process for an API; a forked child has one of its own."""
    with _lock:
        return _watches.setdefault((os.getpid(), url), EndWatch(url))


def _begin_anew() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    _watches.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
