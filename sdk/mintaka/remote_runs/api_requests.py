"""Requests to the API that runs deployments: a server on this machine, or the API of a cluster."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from mintaka.context import CURRENT
from mintaka.engine.stopping import STOP
from mintaka.exceptions import ConfigurationError, DeploymentNotFound, RunRequestAway, RunRequestError
from mintaka.manifests import deployment_object_name
from mintaka.recording.homes import command_home
from mintaka.recording.sending import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0
#: Answers after which the same request may succeed later: too many requests, and those of 500 and above.
_LATER = frozenset({408, 429})
_FIRST_SERVER_ERROR = 500
#: How long the API of a cluster may take to know a deployment that was applied.
_MIRROR_SECONDS = 1.5


class Place(NamedTuple):
    """The API at `url`, and the `namespace` in which names are looked up first."""

    url: str
    namespace: str


def place() -> Place:
    """The API from which the running code requests runs: that of its flow run or, outside of flow runs, of the process.

    Raises:
        ConfigurationError: there is no API.
    """
    where, context = command_home(), CURRENT.get()
    launch = context.flow.launch if context is not None and context.flow is not None else None
    url = (launch.api_url if launch is not None else "") or where.api_url
    if not url:
        what = "the current context is a cluster, whose API is not known" if where.cluster is not None else "there is none"
        message = (
            f"run_deployment needs an API that runs deployments, and {what}: start a server on this machine (mintaka server start), "
            "or set MINTAKA_API_URL to the API of a cluster"
        )
        raise ConfigurationError(message)
    return Place(url.rstrip("/"), (launch.namespace if launch is not None else "") or where.namespace)


def ask(url: str, method: str, path: str, document: Any = None, *, timeout_seconds: float = 10.0) -> tuple[int, Any]:
    """One request; returns the status and the document of the answer, unless the API is away.

    Raises:
        RunRequestAway: there was no answer, or a temporary failure.
        RunRequestError: the answer is not from the API, or it refused for a reason other than 404.
    """
    try:
        with closing(Connection(url, timeout_seconds)) as connection:
            status, answer = connection.exchange(method, path, document)
    except (OSError, http.client.HTTPException) as error:
        message = f"the API at {url} does not answer: {type(error).__name__}: {error}"
        raise RunRequestAway(message) from error
    except ValueError as error:
        message = f"what answers at {url} is not the API of Mintaka: correct its address"
        raise RunRequestError(message) from error
    return status, _checked(url, method, path, status, answer)


def _checked(url: str, method: str, path: str, status: int, answer: Any) -> Any:
    known = isinstance(answer, dict) and (status < http.client.MULTIPLE_CHOICES or "type" in answer)
    if known and (status < http.client.MULTIPLE_CHOICES or status == http.client.NOT_FOUND):
        return answer
    detail = answer.get("detail") or answer.get("title") if isinstance(answer, dict) else None
    places = (
        "; ".join(f"{each['path']}: {each['message']}" for each in (answer.get("errors") or ()) if known)
        if isinstance(answer, dict)
        else ""
    )
    message = f"the API at {url}: {method} {path}: HTTP {status}: {detail or 'no document of the API'}{f' ({places})' if places else ''}"
    raise (RunRequestAway if status in _LATER or status >= _FIRST_SERVER_ERROR else RunRequestError)(message)


def repeat[T](request: Callable[[], T], patience_seconds: float, over: Callable[[], bool] = bool) -> T:
    """What `request` returns; it is repeated for so many seconds while the API is away.

    Raises:
        RunRequestError: as the last request.
    """
    pause, left = _FIRST_PAUSE_SECONDS, patience_seconds
    while True:
        try:
            return request()
        except RunRequestAway:
            if left <= 0 or STOP.requested or over():
                raise
        STOP.sleep(min(pause, left), over)
        left -= pause
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


class Deployment(NamedTuple):
    """A flow deployment; `storage_url` is where it stores results, "" if it has none."""

    namespace: str
    name: str
    storage_url: str

    @property
    def path(self) -> str:
        """The path of the request that creates a run of it."""
        return f"/namespaces/{quote(self.namespace, safe='')}/flow-deployments/{quote(self.name, safe='')}/runs"


def find_deployment(where: Place, name: str) -> Deployment:
    """The deployment called `deployment`, `flow/deployment` or `namespace/deployment`; a second try finds one that was just applied.

    Raises:
        DeploymentNotFound: there is no such deployment.
        RunRequestError: the API refuses or is away.
    """
    try:
        return _find(where, name)
    except DeploymentNotFound:
        STOP.sleep(_MIRROR_SECONDS)
        return _find(where, name)


def _find(where: Place, name: str) -> Deployment:
    first, slash, last = name.partition("/")
    if not slash:
        found = _read(where.url, where.namespace, name)
        if found is not None:
            return _deployment(where.namespace, name, found)
        message = f"there is no flow deployment {name!r} in namespace {where.namespace!r} of the API at {where.url}"
        raise DeploymentNotFound(message)
    served = deployment_object_name(first, last)
    if (named := _read(where.url, where.namespace, served)) is not None:
        return _deployment(where.namespace, served, named)
    here = _read(where.url, where.namespace, last)
    if here is not None and (first == where.namespace or _flow_name(here) == _normal(first)):
        return _deployment(where.namespace, last, here)
    there = _read(where.url, first, last) if first != where.namespace else None
    if there is not None:
        return _deployment(first, last, there)
    message = f"there is no flow deployment {last!r} in namespace {first!r} of the API at {where.url}"
    if here is not None:
        message += f", and that of namespace {where.namespace!r} is of another flow, {here['entrypoint'] or 'a container'}"
    else:
        message += f", nor one of flow {first!r} in namespace {where.namespace!r}"
    raise DeploymentNotFound(message)


def _read(url: str, namespace: str, name: str) -> dict[str, Any] | None:
    status, document = ask(url, "GET", f"/flow-deployments/{quote(namespace, safe='')}/{quote(name, safe='')}")
    return None if status == http.client.NOT_FOUND or document["deleted"] is not None else document


def _deployment(namespace: str, name: str, document: dict[str, Any]) -> Deployment:
    return Deployment(namespace, name, document.get("result_storage") or "")


def _flow_name(document: dict[str, Any]) -> str:
    """The name of the flow's function."""
    return _normal((document["entrypoint"] or "").rpartition(":")[2].rpartition(".")[2])


def _normal(name: str) -> str:
    """Prefect names a flow after its function, with hyphens."""
    return name.lower().replace("_", "-").replace(" ", "-")
