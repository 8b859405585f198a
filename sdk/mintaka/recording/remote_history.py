"""History of an API, over REST."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote
from uuid import UUID

import httpx

from mintaka.exceptions import NotPausedError
from mintaka.histories import ANY, FlowRunNotFound, HistoryError
from mintaka.recording.api_access import UnusableToken, access_to, authorization

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from mintaka.histories import Document, Wanted

_TIMEOUT_SECONDS = 10.0
_PAGE = 200
#: A dry run reads all decisions of a week.
_DRY_RUN_SECONDS = 300.0


class ApiRefusal(HistoryError):
    """The API refused a request; `problem` is its problem document (RFC 9457)."""

    def __init__(self, message: str, problem: Document) -> None:
        super().__init__(message)
        self.problem = problem


class RemoteHistory:
    """The history of the API at `url`; where `namespace` is given, lists and names mean that namespace alone."""

    def __init__(self, url: str, client: httpx.Client | None = None, *, namespace: str | None = None) -> None:
        """`client` None: one of its own."""
        self._root = url.rstrip("/")
        self._url = self._root + "/api/v1"
        self._client = client or httpx.Client(timeout=_TIMEOUT_SECONDS)
        self._namespace = namespace

    def flow_runs(self, wanted: Wanted = ANY, *, limit: int = 50) -> list[Document]:
        """The newest flow runs that are wanted, newest first."""
        asked = {"state": list(wanted.states), "name": wanted.name, "deployment": wanted.deployment, "tag": list(wanted.tags)}
        asked |= {"kind": ["called"] if wanted.called else [], "parent": wanted.parent, "root": wanted.root}
        return list(islice(self.pages("/flow-runs", {**asked, "namespace": self._namespace}, min(limit, _PAGE)), limit))

    def flow_run(self, run: str) -> Document:
        """One flow run, by uid, or the newest of that name; raises FlowRunNotFound."""
        try:
            return self._get(f"/flow-runs/{UUID(run)}", {})
        except ValueError:
            for found in self.pages("/flow-runs", {"name": run, "namespace": self._namespace}, _PAGE):
                if found["name"] == run:
                    return found
        place = f" in namespace {self._namespace}" if self._namespace else ""
        message = f"there is no flow run {run}{place} at {self._url}"
        raise FlowRunNotFound(message)

    def transitions(self, uid: str) -> list[Document]:
        """Its transitions, oldest first."""
        return list(self.pages(f"/flow-runs/{quote(uid, safe='')}/transitions", {}))

    def task_runs(self, uid: str, *, attempt: int | None = None, states: Sequence[str] = ()) -> Iterator[Document]:
        """The task runs of an attempt, by number."""
        return self.pages(f"/flow-runs/{quote(uid, safe='')}/task-runs", {"attempt": attempt, "state": list(states)}, _PAGE)

    def logs(self, uid: str, *, attempt: int | None = None, after: int | None = None, level: int | None = None) -> Iterator[Document]:
        """Lines of an attempt's log, oldest first."""
        return self.pages(f"/flow-runs/{quote(uid, safe='')}/logs", {"attempt": attempt, "after": after, "level": level}, _PAGE)

    def pauses(self, uid: str) -> list[Document]:
        """The pauses in which it waits for somebody, oldest first."""
        items: list[Document] = self._get(f"/flow-runs/{quote(uid, safe='')}/pauses", {})["items"]
        return items

    def artifacts(self, uid: str) -> list[Document]:
        """The artifacts of a flow run, oldest first."""
        return list(self.pages(f"/flow-runs/{quote(uid, safe='')}/artifacts", {}))

    def retention(self, days: float | None) -> Document:
        """What the API's retention would delete now; `days` in place of its general limit."""
        return self._get("/retention", {"days": days})

    def dry_run_rules(self, body: Document) -> Document:
        """Which recorded decisions would have been different with the rules in `body`; raises as `post`."""
        return self._answer("POST", self._url + "/rules/dry-run", json=body, timeout=_DRY_RUN_SECONDS)

    def health(self) -> Document:
        """What the API says of itself: its `status` and `version`."""
        return self._answer("GET", self._root + "/healthz")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close."""
        self.close()

    def pages(self, path: str, query: Mapping[str, Any], limit: int | None = None) -> Iterator[Document]:
        """All items; `limit` None leaves the size of a page to the API, of which older releases refuse one for some lists."""
        cursor: str | None = None
        while True:
            page = self._get(path, {**query, "limit": limit, "cursor": cursor})
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def _get(self, path: str, query: Mapping[str, Any]) -> Document:
        given = {key: value for key, value in query.items() if value is not None and value != []}
        return self._answer("GET", self._url + path, params=given)

    def post(self, path: str, document: Any = None) -> Document:
        """Ask the API to do something, with a JSON document (None: none); what it answers.

        Raises:
            NotPausedError: the flow run does not wait.
            HistoryError: it refused for another reason, or cannot be asked.
        """
        return self.request("POST", path, document)

    def request(self, method: str, path: str, document: Any = None, **query: Any) -> Document:
        """Send any request, `path` below /api/v1, and return the answer; raises as `post`."""
        given = {key: value for key, value in query.items() if value is not None}
        return self._answer(method, self._url + path, params=given, **({} if document is None else {"json": document}))

    def _answer(self, method: str, url: str, **given: Any) -> Document:
        try:
            response = self._client.request(method, url, headers=authorization(self._root), **given)
        except UnusableToken as error:
            raise HistoryError(str(error)) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            message = f"{self._url} is no address of an API: write MINTAKA_API_URL=http://HOST:PORT ({error})"
            raise HistoryError(message) from error
        except httpx.TimeoutException as error:
            message = f"the API at {self._url} cannot be asked: no answer within {_TIMEOUT_SECONDS:.0f} s"
            raise HistoryError(message) from error
        except httpx.HTTPError as error:
            message = f"the API at {self._url} cannot be asked: {error}; {access_to(self._root).if_away}"
            raise HistoryError(message) from error
        return self._read(response)

    def _read(self, response: httpx.Response) -> Document:
        """The answer's document; whatever else it is, as an error that says so."""
        kind = response.headers.get("content-type", "").partition(";")[0]
        document = None
        if kind.endswith("json"):
            try:
                document = response.json()
            except ValueError:
                document = None
        if response.status_code == httpx.codes.UNAUTHORIZED:
            said = f": {document['detail']}" if isinstance(document, dict) and "detail" in document else ""
            access = access_to(self._root)
            what = "refuses the token" if access.token else "requires a token"
            message = f"the API at {self._url} {what} (HTTP 401{said}); {access.if_refused}"
            raise HistoryError(message)
        if isinstance(document, dict) and document.get("kind") == "Status":  # of a kube-apiserver between here and there
            message = f"{document.get('message') or document.get('reason')} (HTTP {response.status_code})"
            raise HistoryError(message)
        if not isinstance(document, dict) or (response.is_error and "detail" not in document and "title" not in document):
            message = f"what answers at {self._url} is not the API of Mintaka (HTTP {response.status_code}, {kind or 'no document'}): correct MINTAKA_API_URL"
            raise HistoryError(message)
        if response.is_success:
            return document
        if str(document.get("type")).endswith("/not-paused"):
            raise NotPausedError(document["detail"])
        message = f"{_path(response)}: {document.get('detail') or document.get('title')} (HTTP {response.status_code})"
        if response.status_code == httpx.codes.BAD_REQUEST:
            message += "; is the API of the same version as this? mintaka doctor tells"
        raise FlowRunNotFound(message) if response.status_code == httpx.codes.NOT_FOUND else ApiRefusal(message, document)


def _path(response: httpx.Response) -> str:
    return str(response.url.copy_with(query=None))
