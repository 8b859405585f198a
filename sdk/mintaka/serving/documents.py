"""FlowDeployments applied, and read, at the place that commands act on: a server over HTTP, or a cluster through kubectl."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from mintaka.exceptions import DeploymentError
from mintaka.histories import FlowRunNotFound, HistoryError
from mintaka.recording.remote_history import ApiRefusal, RemoteHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

type Document = dict[str, Any]

_RESOURCE = "flowdeployments.mintaka.dev"
#: States of a run that has a process.
_ACTIVE = ("PENDING", "RUNNING", "CANCELLING")
_PAGE = 200


class Documents(Protocol):
    """A store of FlowDeployments. Each method raises DeploymentError."""

    def apply(self, manifests: Sequence[Document]) -> list[Document]:
        """Apply all of them, or none; returns the stored documents."""

    def deployment(self, namespace: str, name: str) -> Document | None:
        """One FlowDeployment; None if it does not exist."""


class ServerDocuments:
    """The FlowDeployments of the local server at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def apply(self, manifests: Sequence[Document]) -> list[Document]:
        """See `Documents`."""
        with self._asked() as api:
            answer = api.request("PUT", "/documents", {"documents": list(manifests)})
        return [item["document"] for item in answer["items"]]

    def deployment(self, namespace: str, name: str) -> Document | None:
        """See `Documents`."""
        with self._asked() as api:
            try:
                return api.request("GET", f"/documents/FlowDeployment/{quote(namespace, safe='')}/{quote(name, safe='')}")
            except FlowRunNotFound:
                return None

    def active_runs(self, namespace: str, name: str) -> list[Document]:
        """The flow runs of a deployment that have a process."""
        query = {"namespace": namespace, "deployment": name, "state": _ACTIVE, "limit": _PAGE}
        with self._asked() as api:
            items: list[Document] = api.request("GET", "/flow-runs", **query)["items"]
        return items

    def cancel(self, uid: str) -> None:
        """Cancel a flow run; no effect if it is over."""
        with self._asked() as api, suppress(ApiRefusal):
            api.request("POST", f"/flow-runs/{quote(uid, safe='')}/cancel")

    @contextmanager
    def _asked(self) -> Iterator[RemoteHistory]:
        """The API, whose refusals are DeploymentErrors."""
        with RemoteHistory(self._url) as api:
            try:
                yield api
            except ApiRefusal as refusal:
                messages = [
                    ": ".join(filter(None, (error.get("path"), error.get("message")))) for error in refusal.problem.get("errors") or ()
                ]
                raise DeploymentError("; ".join(messages) or str(refusal)) from refusal
            except HistoryError as error:
                raise DeploymentError(str(error)) from error


class ClusterDocuments:
    """The FlowDeployments of a cluster; `kubectl` runs it with arguments and a standard input, and returns what it prints."""

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
        text = self._called("get", _RESOURCE, name, *place, "--ignore-not-found", "--output", "json")
        found: Document | None = json.loads(text) if text.strip() else None
        return found

    def _called(self, *arguments: str, given: str | None = None) -> str:
        try:
            return self._kubectl(*arguments, given=given)
        except HistoryError as error:
            raise DeploymentError(str(error)) from error
