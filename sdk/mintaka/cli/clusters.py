"""Flow runs of a cluster, through kubectl: its contexts, credentials and proxies are the user's own.

The FlowRun resources say how their runs stand. Task runs, logs, artifacts and what has left the cluster are only known to
the API, which is asked through the kube-apiserver as well (`mintaka.cli.cluster_api`).
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from mintaka.cli.cluster_api import ApiInCluster
from mintaka.cli.kubectl import kubectl
from mintaka.cli.masking import DeploymentSecrets
from mintaka.cli.places import EVERYWHERE
from mintaka.histories import ANY, FlowRunNotFound, HistoryError
from mintaka_core.states import SUSPENDED_ITSELF

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from mintaka.histories import Document, Wanted
    from mintaka.recording.remote_history import RemoteHistory

_RESOURCE = "flowruns.mintaka.dev"


class ClusterHistory:
    """The flow runs of `namespace` (None: kubectl's): from the resources, and what else there is from the API.

    Where the API cannot be asked, that is said once on standard error, and the resources alone answer: no task runs, the last
    transitions only, the pod's own log.
    """

    def __init__(self, namespace: str | None = None) -> None:
        self.there = ["--all-namespaces"] if namespace == EVERYWHERE else ["--namespace", namespace] if namespace else []
        self._api = ApiInCluster(None if namespace == EVERYWHERE else namespace, everywhere=namespace == EVERYWHERE)
        self._secrets = DeploymentSecrets(self.there)
        self._said = False
        #: Names by uid, of what was found by uid before.
        self._names: dict[str, str] = {}

    def flow_runs(self, wanted: Wanted = ANY, *, limit: int = 50) -> list[Document]:
        """The newest matching flow runs in the cluster, newest first. Only the API knows called flow runs."""
        if wanted.called or wanted.parent or wanted.root:
            called = self._asked()
            return [] if called is None else called.flow_runs(wanted, limit=limit)
        items = json.loads(kubectl("get", _RESOURCE, *self.there, "--output", "json"))["items"]
        wanted_items = sorted((item for item in items if _is_wanted(flow_run_of(item), wanted)), key=_created, reverse=True)[:limit]
        runs = [flow_run_of(self._secrets.masked(item)) for item in wanted_items]
        if runs and (api := self._asked()) is not None:
            counts = {run["uid"]: run["task_counts"] for run in api.flow_runs(wanted, limit=limit)}
            for run in runs:
                run["task_counts"] = counts.get(run["uid"], {})
        return runs

    def flow_run(self, run: str) -> Document:
        """One flow run, by name or uid; one that has left the cluster as the API has it."""
        try:
            found = self.resource_of(run)
        except FlowRunNotFound:
            api = self._asked()
            if api is None:
                raise
            return api.flow_run(run)
        if (api := self._asked()) is not None:
            with suppress(FlowRunNotFound):  # it may have been created just now
                known = api.flow_run(found["uid"])
                return {**known, **{key: value for key, value in found.items() if value not in (None, [], {})}}
        return found

    def resource_of(self, run: str) -> Document:
        """One flow run as its resource has it, by name or uid.

        Raises:
            FlowRunNotFound: it is not in the cluster.
        """
        try:
            found = json.loads(kubectl("get", _RESOURCE, self._names.get(run, run), *self.there, "--output", "json"))
        except FlowRunNotFound:
            items = json.loads(kubectl("get", _RESOURCE, *self.there, "--output", "json"))["items"]
            found = next((item for item in items if item["metadata"]["uid"] == run), None)
            if found is None:
                raise
        self._names[found["metadata"]["uid"]] = found["metadata"]["name"]
        return flow_run_of(self._secrets.masked(found))

    def transitions(self, uid: str) -> list[Document]:
        """Its transitions, oldest first: all that the API has, else the last ones of the resource."""
        api = self._asked()
        known = []
        if api is not None:
            with suppress(FlowRunNotFound):
                known = api.transitions(uid)
        try:
            own: list[Document] = self.resource_of(uid)["transitions"]
        except FlowRunNotFound:
            if not known:
                raise
            return known
        last = known[-1]["sequence"] if known else 0
        return known + [transition for transition in own if transition["sequence"] > last]

    def task_runs(self, uid: str, *, attempt: int | None = None, states: Sequence[str] = ()) -> Iterator[Document]:
        """The task runs of an attempt, by number, from the API."""
        api = self._asked()
        if api is not None:
            with suppress(FlowRunNotFound):
                yield from api.task_runs(uid, attempt=attempt, states=states)

    def logs(self, uid: str, *, attempt: int | None = None, after: int | None = None, level: int | None = None) -> Iterator[Document]:
        """Lines of an attempt's log: of the run from the API, else those that its pod printed, which have no level."""
        api = self._asked()
        if api is None:
            return self._pod_log(self.resource_of(uid), attempt, after)
        return api.logs(uid, attempt=attempt, after=after, level=level)

    def _pod_log(self, run: Document, attempt: int | None, after: int | None) -> Iterator[Document]:
        pod = run["pod"] if attempt is None else f"{run['name']}-{attempt}"
        if not pod:
            return
        for number, line in enumerate(kubectl("logs", pod, "--namespace", run["namespace"], "--timestamps").splitlines()):
            if after is None or number > after:
                time, _, message = line.partition(" ")
                yield {"seq": number, "time": time, "level": 20, "logger": "", "n": None, "message": message}

    def pauses(self, uid: str) -> list[Document]:
        """The pauses in which it waits for somebody, from the API; else that it suspended itself, which the resource tells."""
        api = self._asked()
        if api is not None:
            with suppress(FlowRunNotFound):
                return api.pauses(uid)
        status = self.resource_of(uid)["status"]
        if status.get("state", {}).get("reason") != SUSPENDED_ITSELF:
            return []
        deadline = status.get("nextTime")
        return [{"key": status.get("suspension", ""), "suspended": True, "schema": None, "deadline": deadline, "refusal": ""}]

    def post(self, path: str, document: Any = None) -> None:
        """Ask the API to do something.

        Raises:
            HistoryError: it refused, or cannot be asked.
        """
        self._api.history().post(path, document)

    def artifacts(self, uid: str) -> list[Document]:
        """The artifacts of a flow run, from the API."""
        api = self._asked()
        return [] if api is None else api.artifacts(uid)

    def _asked(self) -> RemoteHistory | None:
        """The API; None where it cannot be asked, which is said once."""
        try:
            return self._api.history()
        except HistoryError as error:
            if not self._said:
                self._said = True
                sys.stderr.write(f"only what the FlowRuns themselves say, without task runs: {error}\n")
            return None

    def close(self) -> None:
        """Let go of the way to the API."""
        self._api.close()

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close."""
        self.close()


def _created(resource: dict[str, Any]) -> str:
    created: str = resource["metadata"]["creationTimestamp"]
    return created


def _is_wanted(run: Document, wanted: Wanted) -> bool:
    return (
        (not wanted.states or run["state"]["type"] in wanted.states)
        and run["name"].startswith(wanted.name or "")
        and wanted.deployment in (None, run["deployment"])
        and set(wanted.tags) <= set(run["tags"])
    )


def _transition_of(transition: dict[str, Any]) -> Document:
    """A decision as the API answers it: the trail as lists of rule, verdict and reason."""
    trail = [[each.get(name, "") for name in ("rule", "verdict", "reason")] for each in transition.get("trail", [])]
    return {**transition, "trail": trail} if trail else transition


def flow_run_of(resource: dict[str, Any]) -> Document:
    """A FlowRun as the API answers it, as far as the resource tells, with its `transitions`."""
    metadata, spec, status = resource["metadata"], resource.get("spec", {}), resource.get("status", {})
    state = {"type": "SCHEDULED", "name": "Scheduled", "reason": "", "message": "", "time": None} | status.get("state", {})
    return {
        "uid": metadata["uid"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "deployment": spec.get("deployment"),
        "state": state,
        "sequence": status.get("sequence", 0),
        "attempt": status.get("attempt", 0),
        "failures": status.get("failures", 0),
        "crashes": status.get("crashes", 0),
        "created": metadata["creationTimestamp"],
        "scheduled": spec.get("scheduledTime"),
        "started": status.get("startTime"),
        "ended": status.get("endTime"),
        "tags": spec.get("tags", []),
        "parameters": spec.get("parameters", {}),
        "pod": status.get("podName"),
        "task_counts": {},
        "transitions": [_transition_of(each) for each in status.get("transitions", [])],
        "spec": spec,
        "status": status,
    }
