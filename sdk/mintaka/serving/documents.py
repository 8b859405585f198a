"""FlowDeployments applied, and read, where the user's commands act: a local server over HTTP, or a cluster through kubectl."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from mintaka.exceptions import DeploymentError
from mintaka.recording.sending import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

type Document = dict[str, Any]

_SECONDS = 30.0
_KIND = "FlowDeployment"


class Documents(Protocol):
    """Where FlowDeployments are. Each method raises DeploymentError."""

    def apply(self, manifests: Sequence[Document]) -> list[Document]:
        """Apply all of them, or none: the documents as they are stored."""

    def deployment(self, namespace: str, name: str) -> Document | None:
        """One FlowDeployment; None if there is none."""


class ServerDocuments:
    """Those of the local server at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def apply(self, manifests: Sequence[Document]) -> list[Document]:
        """See `Documents`."""
        answer = self._ask("PUT", "/documents", {"documents": list(manifests)})
        return [item["document"] for item in answer["items"]]

    def deployment(self, namespace: str, name: str) -> Document | None:
        """See `Documents`."""
        path = f"/documents/{_KIND}/{quote(namespace, safe='')}/{quote(name, safe='')}"
        answer: Document | None = self._ask("GET", path, missing=http.client.NOT_FOUND)
        return answer

    def active_runs(self, namespace: str, name: str) -> list[Document]:
        """The flow runs of a deployment that a process works on."""
        query = f"namespace={quote(namespace)}&deployment={quote(name)}&state=PENDING&state=RUNNING&state=CANCELLING&limit=200"
        items: list[Document] = self._ask("GET", f"/flow-runs?{query}")["items"]
        return items

    def cancel(self, uid: str) -> None:
        """Ask for the end of a flow run; nothing if it is over."""
        self._ask("POST", f"/flow-runs/{quote(uid, safe='')}/cancel", missing=http.client.CONFLICT)

    def _ask(self, method: str, path: str, document: Any = None, *, missing: int = 0) -> Any:
        """What the server answers; None for the status `missing`."""
        connection = Connection(self._url, _SECONDS)
        try:
            status, answer = connection.exchange(method, path, document)
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"the server at {self._url} does not answer: {error}"
            raise DeploymentError(message) from error
        finally:
            connection.close()
        if status == missing:
            return None
        if status >= http.client.BAD_REQUEST:
            message = f"the server at {self._url} refused: {'; '.join(_complaints(answer)) or f'HTTP {status}'}"
            raise DeploymentError(message)
        return answer


class ClusterDocuments:
    """Those of a cluster; `kubectl` runs it with arguments and a standard input, and returns what it prints."""

    def __init__(self, kubectl: Callable[..., str]) -> None:
        self._kubectl = kubectl

    def apply(self, manifests: Sequence[Document]) -> list[Document]:
        """See `Documents`."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        answer = json.loads(self._called("apply", "--filename", "-", "--output", "json", given=json.dumps(listed)))
        found: list[Document] = answer["items"] if answer.get("kind") == "List" else [answer]
        return found

    def deployment(self, namespace: str, name: str) -> Document | None:
        """See `Documents`; `namespace` "" is that of kubectl's context."""
        place = ["--namespace", namespace] if namespace else []
        text = self._called("get", "flowdeployments.mintaka.dev", name, *place, "--ignore-not-found", "--output", "json")
        found: Document | None = json.loads(text) if text.strip() else None
        return found

    def _called(self, *arguments: str, given: str | None = None) -> str:
        from mintaka.histories import HistoryError  # noqa: PLC0415 - start-up time

        try:
            return self._kubectl(*arguments, given=given)
        except HistoryError as error:
            raise DeploymentError(str(error)) from error


def _complaints(answer: Any) -> Iterator[str]:
    """What a problem document (RFC 9457) says, and about which fields."""
    problem: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    if detail := problem.get("detail") or problem.get("title"):
        yield str(detail)
    for error in problem.get("errors") or ():
        if isinstance(error, dict):
            yield ": ".join(str(error[key]) for key in ("kind", "name", "path", "field", "message", "detail") if error.get(key))
        else:
            yield str(error)
