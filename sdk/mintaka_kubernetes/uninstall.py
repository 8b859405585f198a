"""Prepares a release for `helm uninstall`: stops what would add finalizers again, removes finalizers, and reports what stays.

A run has the finalizer `mintaka.dev/mirror` until the API has its history, a pod `mintaka.dev/attempt` until its end is
recorded. Once operator and API are gone nothing removes them, and neither the objects nor their namespaces can be deleted.
Therefore both are first scaled to 0, the operator before the API, then every finalizer is removed. All of it can be
repeated, and works if the Deployments are already gone.

Pods are found by their finalizer among all pods: other tools may have overwritten or removed their labels.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mintaka_core.errors import MintakaError
from mintaka_core.names import GROUP, LABEL_FLOW_RUN, LABEL_TOMBSTONE, MIRROR_FINALIZER, POD_FINALIZER, VERSION
from mintaka_kubernetes.client import JSON_PATCH, MERGE_PATCH, ApiError
from mintaka_kubernetes.decoding import Unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mintaka_kubernetes.client import Client

_FORBIDDEN, _NOT_FOUND = 403, 404
#: The codes with which a patch fails if the object has changed or gone meanwhile: the next round lists it again.
_CHANGED = frozenset({404, 409, 422})
_PAGE_SIZE = 500
_AT_ONCE = 16
_POLL_SECONDS = 0.5
#: How long a pod may outlive its grace period before its node is considered lost.
_OVERDUE_SECONDS = 30.0
_DEFAULT_GRACE_SECONDS = 30.0
_LIVE = "status.phase!=Succeeded,status.phase!=Failed"


class Unfinished(MintakaError):
    """Finalizers are left, or operator and API cannot be stopped."""


@dataclass(frozen=True, slots=True)
class Release:
    """A Helm release of the chart: its namespace and name, and the namespaces it serves (None: those of its operator)."""

    namespace: str
    name: str
    served: tuple[str, ...] | None = None


@dataclass(slots=True)
class Summary:
    """What was done and what stays. Runs and pods that lost their finalizers are listed by uid."""

    stopped: list[str] = field(default_factory=list)
    served: tuple[str, ...] = ()
    released_runs: set[str] = field(default_factory=set)
    released_pods: set[str] = field(default_factory=set)
    held_again: int = 0
    forbidden: list[str] = field(default_factory=list)
    flow_runs: int = 0
    flow_deployments: int = 0
    live_pods: int = 0
    tombstones: int = 0
    claims: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The summary for people."""
        done = [f"stopped {', '.join(self.stopped)}" if self.stopped else "neither operator nor API was there to be stopped"]
        done.append(f"took finalizers off {_counted(len(self.released_runs), 'flow run')} and {_counted(len(self.released_pods), 'pod')}")
        done += [f"cannot look into namespace {namespace}: it does not exist, or access is denied" for namespace in self.forbidden]
        if self.held_again:
            done.append(
                f"{_counted(self.held_again, 'object')} have a finalizer again: another operator serves their namespaces and takes it off"
            )
        if self.flow_runs or self.flow_deployments:
            kept = f"{_counted(self.flow_runs, 'flow run')} and {_counted(self.flow_deployments, 'flow deployment')}"
            done.append(f"left: {kept}, as long as the CustomResourceDefinitions stay (crds.keep)")
        if self.live_pods:
            done.append(f"left: {_counted(self.live_pods, 'pod')} of flows still to end; what they end with will not be recorded")
        if self.tombstones:
            done.append(f"left: {_counted(self.tombstones, 'tombstone')} (ConfigMaps labelled {LABEL_TOMBSTONE}=true)")
        done += [f"left: PersistentVolumeClaim {claim} with the history" for claim in self.claims]
        return done


async def uninstall(client: Client, release: Release, seconds: float, say: Callable[[str], None]) -> Summary:
    """Stop operator and API of `release` and remove finalizers, within `seconds`; progress is passed to `say`.

    Raises:
        Unfinished: something is left to do; calling it again continues.
        ApiError: the API server refuses a necessary request.
    """
    deadline = time.monotonic() + seconds
    summary = Summary()
    deployments = await _deployments(client, release)
    for component in ("operator", "api"):
        for deployment in deployments:
            if deployment["metadata"]["labels"].get("app.kubernetes.io/component") == component:
                summary.stopped.append(await _stop(client, release, deployment, component, deadline, say))
    summary.served = _served(release, deployments)
    await _release_all(client, summary, deadline, say)
    await _count_leftovers(client, release, summary)
    return summary


async def _deployments(client: Client, release: Release) -> list[dict[str, Any]]:
    path = f"/apis/apps/v1/namespaces/{release.namespace}/deployments"
    answer = await client.request("GET", path, query={"labelSelector": _selector(release)})
    return answer.get("items") or []


def _selector(release: Release, component: str = "") -> str:
    labels = f"app.kubernetes.io/part-of=mintaka,app.kubernetes.io/instance={release.name}"
    return f"{labels},app.kubernetes.io/component={component}" if component else labels


def _served(release: Release, deployments: list[dict[str, Any]]) -> tuple[str, ...]:
    """The namespaces the release serves; empty: all."""
    if release.served is not None:
        return release.served
    for deployment in deployments:
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for variable in container.get("env") or ():
                if variable["name"] == "MINTAKA_NAMESPACES":
                    return tuple(name for name in (variable.get("value") or "").split(",") if name)
    return ()


async def _stop(
    client: Client, release: Release, deployment: dict[str, Any], component: str, deadline: float, say: Callable[[str], None]
) -> str:
    """Scale a Deployment to 0 and wait until its pods are gone; return its name."""
    name: str = deployment["metadata"]["name"]
    path = f"/apis/apps/v1/namespaces/{release.namespace}/deployments/{name}/scale"
    await client.request("PATCH", path, body={"spec": {"replicas": 0}}, content_type=MERGE_PATCH)
    grace = deployment["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS)
    overdue = time.monotonic() + grace + _OVERDUE_SECONDS
    say(f"stopping {name}")
    while left := await _count(client, _pods_of(release.namespace), _selector(release, component), _LIVE):
        if time.monotonic() > deadline:
            message = f"{name} is scaled to 0, but its pods have not stopped in time: repeat this, or give it longer"
            raise Unfinished(message)
        if time.monotonic() > overdue:
            say(f"{_counted(left, 'pod')} of {name} should have stopped long ago: continuing, as if the node were lost")
            break
        await asyncio.sleep(_POLL_SECONDS)
    return name


async def _release_all(client: Client, summary: Summary, deadline: float, say: Callable[[str], None]) -> None:
    """Remove finalizers, repeatedly until every object of the first round has lost its own once.

    Finalizers that come back or appear later belong to another operator: operator and API of this release have stopped.
    """
    kinds = ((_flow_runs, MIRROR_FINALIZER, summary.released_runs), (_pods_of, POD_FINALIZER, summary.released_pods))
    first: set[str] | None = None
    while True:
        found: set[str] = set()
        for namespace in summary.served or (None,):
            for path_of, finalizer, released in kinds:
                if namespace in summary.forbidden:
                    continue
                try:
                    found |= await _release_in(client, path_of(namespace), finalizer, released, deadline)
                except ApiError as error:
                    if error.code != _FORBIDDEN or namespace is None:
                        raise
                    summary.forbidden.append(namespace)
        first = found if first is None else first
        pending = (first & found) - summary.released_runs - summary.released_pods
        if not pending:
            return
        if time.monotonic() > deadline:
            message = f"{_counted(len(pending), 'object')} still have a finalizer, and the time is over: repeat this, or give it longer"
            raise Unfinished(message)
        say(f"{_counted(len(pending), 'object')} still have a finalizer")
        await asyncio.sleep(_POLL_SECONDS)


async def _release_in(client: Client, path: str, finalizer: str, released: set[str], deadline: float) -> set[str]:
    """One round over a collection: the uids that had the finalizer. It is removed from those not in `released`, which grows."""
    found: set[str] = set()
    places = asyncio.Semaphore(_AT_ONCE)

    async def release(metadata: dict[str, Any]) -> None:
        async with places:
            if time.monotonic() <= deadline and await _remove(client, path, metadata, finalizer):
                released.add(metadata["uid"])

    async for page in _pages(client, path):
        held = {item["metadata"]["uid"]: item["metadata"] for item in page if _holds(item, finalizer)}
        found |= held.keys()
        await asyncio.gather(*(release(metadata) for uid, metadata in held.items() if uid not in released))
    return found


def _holds(item: dict[str, Any], finalizer: str) -> bool:
    return finalizer in (item["metadata"].get("finalizers") or ())


def _runs_flow(metadata: dict[str, Any], released: set[str]) -> bool:
    """Whether it is a pod of a flow run, by any sign: labels and owners may have been removed, the finalizer by us."""
    owned = any(owner.get("kind") == "FlowRun" for owner in metadata.get("ownerReferences") or ())
    return owned or LABEL_FLOW_RUN in (metadata.get("labels") or ()) or metadata["uid"] in released


async def _remove(client: Client, collection: str, metadata: dict[str, Any], finalizer: str) -> bool:
    """Remove the finalizer from one object; False if the object has changed meanwhile."""
    path = collection
    if "/namespaces/" not in collection:
        group, plural = collection.rsplit("/", 1)
        path = f"{group}/namespaces/{metadata['namespace']}/{plural}"
    place = f"/metadata/finalizers/{metadata['finalizers'].index(finalizer)}"
    patch = [{"op": "test", "path": place, "value": finalizer}, {"op": "remove", "path": place}]
    try:
        await client.request("PATCH", f"{path}/{metadata['name']}", body=patch, content_type=JSON_PATCH, metadata_only=True)
    except ApiError as error:
        if error.code not in _CHANGED and not error.transient:
            raise
        return False
    return True


async def _count_leftovers(client: Client, release: Release, summary: Summary) -> None:
    for namespace in summary.served or (None,):
        if namespace in summary.forbidden:
            continue
        async for page in _pages(client, _flow_runs(namespace)):
            summary.flow_runs += len(page)
            summary.held_again += sum(_holds(item, MIRROR_FINALIZER) for item in page)
        async for page in _pages(client, _pods_of(namespace)):
            summary.held_again += sum(_holds(item, POD_FINALIZER) for item in page)
        async for page in _pages(client, _pods_of(namespace), fields=_LIVE):
            summary.live_pods += sum(_runs_flow(item["metadata"], summary.released_pods) for item in page)
        summary.flow_deployments += await _count(client, _custom(namespace, "flowdeployments"))
    own = f"/api/v1/namespaces/{release.namespace}"
    summary.tombstones = await _count(client, f"{own}/configmaps", f"{LABEL_TOMBSTONE}=true")
    async for page in _pages(client, f"{own}/persistentvolumeclaims", _selector(release)):
        summary.claims += [f"{release.namespace}/{claim['metadata']['name']}" for claim in page]


async def _count(client: Client, path: str, labels: str = "", fields: str = "") -> int:
    return sum([len(page) async for page in _pages(client, path, labels, fields)])


async def _pages(client: Client, path: str, labels: str = "", fields: str = "") -> AsyncIterator[list[dict[str, Any]]]:
    """The objects of a collection page by page, as metadata; none if the collection itself does not exist."""
    query = {**({"labelSelector": labels} if labels else {}), **({"fieldSelector": fields} if fields else {})}
    try:
        async for page in client.list_pages(path, query, page_size=_PAGE_SIZE, metadata_only=True):
            yield [found.document if isinstance(found, Unreadable) else found for found in page]
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise


def _flow_runs(namespace: str | None) -> str:
    return _custom(namespace, "flowruns")


def _custom(namespace: str | None, plural: str) -> str:
    return f"/apis/{GROUP}/{VERSION}{_scope(namespace)}/{plural}"


def _pods_of(namespace: str | None) -> str:
    return f"/api/v1{_scope(namespace)}/pods"


def _scope(namespace: str | None) -> str:
    return f"/namespaces/{namespace}" if namespace else ""


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
