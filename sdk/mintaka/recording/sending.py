"""One connection to the API, and what its answers mean for a report."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import suppress
from enum import Enum
from typing import Any
from urllib.parse import quote, urlsplit

from mintaka.exceptions import LoadError
from mintaka.recording.api_access import authorization
from mintaka_core.stop_reasons import StopReason
from mintaka_history.json_text import encode_storable

TIMEOUT_SECONDS = 10.0


class Answer(Enum):
    """What became of one report."""

    ACCEPTED = "accepted"
    #: The API is away or busy: the same report again, later.
    UNAVAILABLE = "unavailable"
    #: The report itself is not acceptable: again would be refused again.
    REFUSED = "refused"
    #: A newer attempt has taken over.
    FENCED = "fenced"
    #: Its wire version is not served any more: no API takes it from now on.
    TOO_OLD = "too old"
    #: Its wire version is not served yet: an API that is upgraded takes it.
    TOO_NEW = "too new"
    #: Nothing can be delivered here, now or later: everything is kept on disk.
    HOPELESS = "hopeless"


class Connection:
    """A kept-alive HTTP connection to the API at `url`, with its token; for one thread."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            message = f"MINTAKA_API_URL is not an http(s) URL: {url!r}"
            raise LoadError(message)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._http = kind(parts.hostname, parts.port, timeout=timeout_seconds)
        self._url = url
        self._prefix = parts.path.rstrip("/") + "/api/v1"
        self._interrupted = False
        #: What the last answer other than ACCEPTED said, for the log.
        self.problem = ""
        #: The highest report of the attempt that the database had before the last accepted one; None if the API does not say.
        self.previous: int | None = None

    def send_report(self, flow_run_id: str, number: int, body: bytes, timeout_seconds: float, *, late: bool = False) -> Answer:
        """Send one report, `body` gzipped JSON; each step of it (connect, send, receive) may take `timeout_seconds`.

        `late` says that somebody sends it who is not the process it speaks of: no sign that this lives.
        """
        self._http.timeout = timeout_seconds
        if self._http.sock is not None:
            self._http.sock.settimeout(timeout_seconds)
        path = f"{self._prefix}/flow-runs/{quote(flow_run_id, safe='')}/reports{'?late=true' if late else ''}"
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        try:
            status, text = self._ask("POST", path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.problem = f"{type(error).__name__}: {error}"
            return Answer.UNAVAILABLE
        answer = judged(status, text, number)
        if answer == Answer.ACCEPTED:
            previous = _document_of(text).get("previous")
            self.previous = previous if isinstance(previous, int) else None
        elif answer in (Answer.TOO_OLD, Answer.TOO_NEW):
            self.problem = str(_document_of(text).get("detail"))
        else:
            self.problem = f"HTTP {status}: {text[:300].decode(errors='replace')}"
        return answer

    def exchange(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        """Ask for `path` (below `/api/v1`) with a JSON document; the status and the JSON that was answered.

        Raises:
            OSError, http.client.HTTPException: the API cannot be reached.
            ValueError: the answer is not JSON.
        """
        body = None if document is None else encode_storable(document).encode()
        status, text = self._ask(method, self._prefix + path, body, {"Content-Type": "application/json"})
        return status, json.loads(text)

    def stop_reason(self, flow_run_id: str, attempt: int) -> StopReason | None:
        """Why an attempt of a flow run is asked to stop; None if the API does not answer."""
        try:
            path = f"{self._prefix}/flow-runs/{quote(flow_run_id, safe='')}/attempts/{attempt}/stop-reason"
            status, text = self._ask("GET", path, None, {})
            return StopReason(json.loads(text)["reason"]) if status == http.client.OK else None
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            self.problem = f"{type(error).__name__}: {error}"
            return None

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One request of a `path` below /api/v1, its body JSON: status and body of the answer.

        Raises:
            OSError, http.client.HTTPException: there was none.
        """
        return self._ask(method, self._prefix + path, body, {"Content-Type": "application/json"} if body else {})

    def interrupt(self) -> None:
        """Have a request that is under way fail now; from any thread. There is no other one afterwards."""
        self._interrupted = True
        sock = self._http.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; it opens again when it is used."""
        self._http.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """One request; a kept-alive connection that the server closed meanwhile is opened anew once."""
        fresh = self._http.sock is None
        try:
            return self._request(method, path, body, headers)
        except (ConnectionError, http.client.BadStatusLine):
            if fresh or self._interrupted:
                raise
            return self._request(method, path, body, headers)

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            self._http.request(method, path, body, {**headers, **authorization(self._url)})
            response = self._http.getresponse()
            return response.status, response.read()
        except BaseException:
            self._http.close()
            raise


def judged(status: int, text: bytes, number: int) -> Answer:
    """What an answer to report `number` means.

    Only an acknowledgement by number counts as one: a proxy's friendly page does not. Of the refusals, only those that
    speak of the report itself are final; "not found" or "forbidden" come from something between us and the API, but where the
    API itself says "not found", in its own words, or anybody "gone".
    """
    answer = _document_of(text)
    if status == http.client.OK:
        return Answer.ACCEPTED if answer.get("report") == number else Answer.UNAVAILABLE
    if status == http.client.CONFLICT and str(answer.get("type", "")).endswith("stale-attempt"):
        return Answer.FENCED
    if status == http.client.UPGRADE_REQUIRED and str(answer.get("type", "")).endswith("/unserved-version"):
        version, newest = answer.get("version"), answer.get("newest")
        return Answer.TOO_NEW if isinstance(version, int) and isinstance(newest, int) and version > newest else Answer.TOO_OLD
    if status == http.client.NOT_FOUND and str(answer.get("type", "")).endswith("/not-found"):
        return Answer.REFUSED
    if status in (http.client.GONE, http.client.BAD_REQUEST, http.client.REQUEST_ENTITY_TOO_LARGE, http.client.UNPROCESSABLE_ENTITY):
        return Answer.REFUSED
    return Answer.UNAVAILABLE


def _document_of(text: bytes) -> dict[str, Any]:
    """The JSON object in an answer; empty if it is something else."""
    try:
        data: Any = json.loads(text)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
