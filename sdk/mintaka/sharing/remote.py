"""Variables and limits of an API, over REST."""

from __future__ import annotations

import http.client
import json
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from mintaka.exceptions import SharingAway, SharingError
from mintaka.recording.sending import Connection
from mintaka.sharing.protocol import StoredLease, StoredLimit, StoredVariable
from mintaka_history.sharing import limits, variables
from mintaka_history.sharing.leases import SlotDecision
from mintaka_history.sharing.limits import Reservation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mintaka_history.sharing.leases import SlotRequest

_PAGE = 200


class RemoteShared:
    """Variables and limits of `namespace` at the API `url`; as many connections as threads send requests at the same time."""

    pauses = (0.05, 0.5)

    def __init__(self, url: str, namespace: str) -> None:
        self.place = f"namespace {namespace} of the API at {url}"
        self.namespace = namespace
        self._api = f"the API at {url}"
        self._scope = f"/namespaces/{quote(namespace, safe='')}"
        self._url = url
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def variable(self, name: str) -> StoredVariable | None:
        """See `Shared`."""
        status, document = self._ask("GET", self._variable_path(name), also=(http.client.NOT_FOUND,))
        return None if status == http.client.NOT_FOUND else self._read(_stored, document)

    def variables(self, prefix: str = "", *, everywhere: bool = False) -> list[StoredVariable]:
        """See `Shared`."""
        return [self._read(_stored, document) for document in self._pages("/variables", prefix, everywhere=everywhere)]

    def put_variable(self, name: str, value: Any, tags: Sequence[str], *, overwrite: bool) -> bool:
        """See `Shared`."""
        text, words = variables.encoded_value(value), variables.encoded_tags(tags)
        body = f'{{"value":{text},"tags":{words},"overwrite":{str(overwrite).lower()}}}'
        status, _ = self._ask("PUT", self._variable_path(name), body.encode(), also=(http.client.CONFLICT,))
        return status != http.client.CONFLICT

    def remove_variable(self, name: str) -> bool:
        """See `Shared`."""
        status, _ = self._ask("DELETE", self._variable_path(name), also=(http.client.NOT_FOUND,))
        return status != http.client.NOT_FOUND

    def limits(self, prefix: str = "", *, everywhere: bool = False) -> list[StoredLimit]:
        """See `Shared`."""
        return [self._read(_limit, document) for document in self._pages("/concurrency-limits", prefix, everywhere=everywhere)]

    def limit(self, name: str) -> StoredLimit | None:
        """See `Shared`."""
        status, document = self._ask("GET", self._limit_path(name), also=(http.client.NOT_FOUND,))
        return None if status == http.client.NOT_FOUND else self._read(_limit, document)

    def put_limit(self, name: str, slots: int, decay_per_second: float, *, overwrite: bool) -> bool:
        """See `Shared`."""
        limits.check_numbers(slots, decay_per_second)
        body = {"slots": slots, "decay_per_second": decay_per_second, "overwrite": overwrite}
        status, _ = self._ask("PUT", self._limit_path(name), json.dumps(body).encode(), also=(http.client.CONFLICT,))
        return status != http.client.CONFLICT

    def remove_limit(self, name: str) -> bool:
        """See `Shared`."""
        status, _ = self._ask("DELETE", self._limit_path(name), also=(http.client.NOT_FOUND,))
        return status != http.client.NOT_FOUND

    def request(self, wanted: SlotRequest) -> SlotDecision:
        """See `Shared`."""
        body = {
            "id": wanted.id,
            "names": wanted.names,
            "slots": wanted.slots,
            "seconds": wanted.seconds,
            "flow_run": wanted.flow_run,
            "attempt": wanted.attempt,
            "who": wanted.who,
        }
        _, answer = self._ask("POST", f"{self._scope}/concurrency-leases", json.dumps(body).encode())
        return self._read(_verdict, answer)

    def renew(self, leases: Sequence[str], seconds: float) -> set[str]:
        """See `Shared`."""
        body = json.dumps({"leases": list(leases), "seconds": seconds}).encode()
        _, answer = self._ask("POST", f"{self._scope}/concurrency-leases/renewals", body)
        return self._read(lambda answer: set(answer["leases"]), answer)

    def release(self, lease: str) -> None:
        """See `Shared`."""
        self._ask("DELETE", f"{self._scope}/concurrency-leases/{lease}", also=(http.client.NOT_FOUND,))

    def reserve(self, names: Sequence[str], slots: int, longest_seconds: float | None) -> Reservation:
        """See `Shared`."""
        body = json.dumps({"names": list(names), "slots": slots, "longest_seconds": longest_seconds}).encode()
        _, answer = self._ask("POST", f"{self._scope}/concurrency-limits/reservations", body)
        return self._read(lambda answer: Reservation(answer["granted"], answer["seconds"]), answer)

    def close(self) -> None:
        """See `Shared`."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    def _variable_path(self, name: str) -> str:
        return f"{self._scope}/variables/{quote(variables.checked_name(name), safe='')}"

    def _limit_path(self, name: str) -> str:
        return f"{self._scope}/concurrency-limits/{quote(limits.checked_name(name), safe='')}"

    def _pages(self, path: str, prefix: str, *, everywhere: bool) -> Iterator[Any]:
        query = ({"name": prefix} if prefix else {}) | ({} if everywhere else {"namespace": self.namespace})
        cursor: dict[str, Any] = {}
        while True:
            _, page = self._ask("GET", f"{path}?{urlencode({**query, **cursor, 'limit': _PAGE})}")
            items, following = self._read(lambda page: (list(page["items"]), page["next"]), page)
            yield from items
            if following is None:
                return
            cursor = {"cursor": following}

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
        reported = document.get("detail") if isinstance(document, dict) else text[:300].decode(errors="replace")
        message = f"{self._api}: {method} {path.partition('?')[0]}: HTTP {status}: {reported}"
        raise (SharingAway if status >= http.client.INTERNAL_SERVER_ERROR else SharingError)(message)

    def _read[T](self, reader: Callable[[Any], T], document: Any) -> T:
        """`document` as what `reader` makes of it; a proxy, say, may answer with one of its own."""
        try:
            return reader(document)
        except (KeyError, TypeError, ValueError) as error:
            message = f"{self._api} answers as no API of Mintaka does ({type(error).__name__}: {error}): check its address"
            raise SharingError(message) from error

    def _answered(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        with self._lock:
            connection: Connection | None = self._idle.pop() if self._idle else None
        connection = connection or Connection(self._url)
        try:
            return connection.ask(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            message = f"{self._api} does not answer: {type(error).__name__}: {error}"
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
    return StoredVariable(document["namespace"], document["name"], document["value"], document["tags"], created, updated)


def _verdict(document: Any) -> SlotDecision:
    missing, rates, small = (tuple(document[key]) for key in ("missing", "rates", "small"))
    return SlotDecision(document["granted"], document["turns"], missing, rates, small, document["blocked"])


def _limit(document: Any) -> StoredLimit:
    leases = [
        StoredLease(each["id"], each["slots"], each["who"], *(_instant(each[key]) for key in ("asked", "granted", "expires")))
        for each in document["leases"]
    ]
    namespace, name, slots, decay = (document[key] for key in ("namespace", "name", "slots", "decay_per_second"))
    return StoredLimit(namespace, name, slots, decay, document["held"], document["waiting"], leases)


def _instant(text: str | None) -> Any:
    return None if text is None else datetime.fromisoformat(text)
