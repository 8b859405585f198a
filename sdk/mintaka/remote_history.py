"""History of an API, over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote
from uuid import UUID

import httpx

from mintaka.histories import FlowRunNotFound, HistoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from mintaka.histories import Document

_TIMEOUT_SECONDS = 10.0
_PAGE = 200


class RemoteHistory:
    """The history of the API at `url`."""

    def __init__(self, url: str, client: httpx.Client | None = None) -> None:
        """`client` None: one of its own."""
        self._url = url.rstrip("/") + "/api/v1"
        self._client = client or httpx.Client(timeout=_TIMEOUT_SECONDS)

    def flow_runs(self, *, limit: int = 50, states: Sequence[str] = (), name: str | None = None) -> list[Document]:
        """The newest flow runs, newest first."""
        found: list[Document] = []
        for run in self._pages("/flow-runs", {"state": list(states), "name": name}, min(limit, _PAGE)):
            found.append(run)
            if len(found) >= limit:
                break
        return found

    def flow_run(self, run: str) -> Document:
        """One flow run, by uid, or the newest of that name; raises FlowRunNotFound."""
        try:
            return self._get(f"/flow-runs/{UUID(run)}", {})
        except ValueError:
            for found in self._pages("/flow-runs", {"name": run}, _PAGE):
                if found["name"] == run:
                    return found
        message = f"there is no flow run {run} at {self._url}"
        raise FlowRunNotFound(message)

    def transitions(self, uid: str) -> list[Document]:
        """Its transitions, oldest first."""
        items: list[Document] = self._get(f"/flow-runs/{quote(uid, safe='')}/transitions", {})["items"]
        return items

    def task_runs(self, uid: str, *, attempt: int | None = None) -> Iterator[Document]:
        """The task runs of an attempt, by number."""
        return self._pages(f"/flow-runs/{quote(uid, safe='')}/task-runs", {"attempt": attempt}, _PAGE)

    def logs(self, uid: str, *, attempt: int | None = None, after: int | None = None, level: int | None = None) -> Iterator[Document]:
        """Lines of an attempt's log, oldest first."""
        return self._pages(f"/flow-runs/{quote(uid, safe='')}/logs", {"attempt": attempt, "after": after, "level": level}, _PAGE)

    def artifacts(self, uid: str) -> list[Document]:
        """The artifacts of a flow run, oldest first."""
        items: list[Document] = self._get(f"/flow-runs/{quote(uid, safe='')}/artifacts", {})["items"]
        return items

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _pages(self, path: str, query: Mapping[str, Any], limit: int) -> Iterator[Document]:
        cursor: str | None = None
        while True:
            page = self._get(path, {**query, "limit": limit, "cursor": cursor})
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def _get(self, path: str, query: Mapping[str, Any]) -> Document:
        given = {key: value for key, value in query.items() if value is not None and value != []}
        try:
            response = self._client.get(self._url + path, params=given)
            document: Document = response.json()
        except (httpx.HTTPError, ValueError) as error:
            message = f"the API at {self._url} cannot be asked: {error}"
            raise HistoryError(message) from error
        if response.is_success:
            return document
        detail = document.get("detail", "") if isinstance(document, dict) else ""
        message = f"{self._url}{path}: HTTP {response.status_code}: {detail}"
        raise FlowRunNotFound(message) if response.status_code == httpx.codes.NOT_FOUND else HistoryError(message)
