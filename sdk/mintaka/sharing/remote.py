"""Variables and limits of an API, over REST."""

from __future__ import annotations

import http.client
import json
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from mintaka.exceptions import SharingAway, SharingError
from mintaka.sending import Connection
from mintaka.sharing.protocol import StoredVariable
from mintaka_history.sharing import variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PAGE = 200


class RemoteShared:
    """Variables and limits at the API `url`; as many connections as threads ask at the same time."""

    def __init__(self, url: str) -> None:
        self.place = f"the API at {url}"
        self._url = url
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def variable(self, name: str) -> StoredVariable | None:
        """See `Shared`."""
        status, document = self._ask("GET", f"/variables/{quote(variables.checked_name(name), safe='')}", also=(http.client.NOT_FOUND,))
        return None if status == http.client.NOT_FOUND else _stored(document)

    def variables(self, prefix: str = "") -> list[StoredVariable]:
        """See `Shared`."""
        return [_stored(document) for document in self._pages("/variables", {"name": prefix} if prefix else {})]

    def put_variable(self, name: str, value: Any, tags: Sequence[str], *, overwrite: bool) -> bool:
        """See `Shared`."""
        text, words = variables.encoded_value(value), variables.encoded_tags(tags)
        body = f'{{"value":{text},"tags":{words},"overwrite":{str(overwrite).lower()}}}'
        path = f"/variables/{quote(variables.checked_name(name), safe='')}"
        status, _ = self._ask("PUT", path, body.encode(), also=(http.client.CONFLICT,))
        return status != http.client.CONFLICT

    def remove_variable(self, name: str) -> bool:
        """See `Shared`."""
        status, _ = self._ask("DELETE", f"/variables/{quote(variables.checked_name(name), safe='')}", also=(http.client.NOT_FOUND,))
        return status != http.client.NOT_FOUND

    def close(self) -> None:
        """See `Shared`."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    def _pages(self, path: str, query: dict[str, Any]) -> Iterator[Any]:
        cursor: dict[str, Any] = {}
        while True:
            _, page = self._ask("GET", f"{path}?{urlencode({**query, **cursor, 'limit': _PAGE})}")
            yield from page["items"]
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}

    def _ask(self, method: str, path: str, body: bytes | None = None, also: Sequence[int] = ()) -> tuple[int, Any]:
        """Status and document of an answer that is good, or has one of the statuses `also`."""
        status, text = self._answered(method, path, body)
        try:
            document: Any = json.loads(text)
        except ValueError:
            document = None
        well_formed = isinstance(document, dict)
        if well_formed and (status < http.client.MULTIPLE_CHOICES or (status in also and "type" in document)):
            return status, document
        told = document.get("detail") if isinstance(document, dict) else text[:300].decode(errors="replace")
        message = f"{self.place}: {method} {path.partition('?')[0]}: HTTP {status}: {told}"
        raise (SharingAway if status >= http.client.INTERNAL_SERVER_ERROR else SharingError)(message)

    def _answered(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        with self._lock:
            connection: Connection | None = self._idle.pop() if self._idle else None
        connection = connection or Connection(self._url)
        try:
            return connection.ask(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            message = f"{self.place} does not answer: {type(error).__name__}: {error}"
            raise SharingAway(message) from error
        finally:
            with self._lock:
                if not self._closed:
                    self._idle.append(connection)
                    connection = None
            if connection is not None:
                connection.close()


def _stored(document: Any) -> StoredVariable:
    created, updated = (datetime.fromisoformat(document[key]) for key in ("created", "updated"))
    return StoredVariable(document["name"], document["value"], document["tags"], created, updated)
