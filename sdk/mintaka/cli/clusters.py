"""Flow runs of a cluster, through kubectl: its contexts, credentials and proxies are the user's own."""

from __future__ import annotations

import json
import subprocess
from shutil import which
from typing import TYPE_CHECKING, Any, Self

from mintaka.histories import FlowRunNotFound, HistoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from mintaka.histories import Document

_RESOURCE = "flowruns.mintaka.dev"
_SECONDS = 30


def kubectl(*arguments: str, given: str | None = None) -> str:
    """What kubectl prints.

    Raises:
        HistoryError: kubectl is not there, or says no.
    """
    path = which("kubectl")
    if path is None:
        message = "kubectl is not on the PATH, and clusters are asked through it"
        raise HistoryError(message)
    try:
        ended = subprocess.run([path, *arguments], input=given, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        message = f"kubectl did not answer within {_SECONDS} s"
        raise HistoryError(message) from error
    if ended.returncode:
        message = ended.stderr.strip() or f"kubectl ended with {ended.returncode}"
        raise FlowRunNotFound(message) if "NotFound" in message else HistoryError(message)
    return ended.stdout


def patch(run: Document, spec: dict[str, Any]) -> None:
    """Merge `spec` into the spec of a flow run."""
    body = json.dumps({"spec": spec})
    kubectl("patch", _RESOURCE, run["name"], "--namespace", run["namespace"], "--type", "merge", "--patch", body)


class ClusterHistory:
    """What the FlowRun resources themselves tell: no task runs, the last transitions, the pod's own log."""

    def flow_runs(self, *, limit: int = 50, states: Sequence[str] = (), name: str | None = None) -> list[Document]:
        """The newest flow runs of kubectl's namespace, newest first."""
        items = json.loads(kubectl("get", _RESOURCE, "--output", "json"))["items"]
        runs = [flow_run_of(item) for item in items]
        wanted = [run for run in runs if (not states or run["state"]["type"] in states) and run["name"].startswith(name or "")]
        return sorted(wanted, key=lambda run: run["created"], reverse=True)[:limit]

    def flow_run(self, run: str) -> Document:
        """One flow run, by name or uid."""
        try:
            return flow_run_of(self._resource(run))
        except FlowRunNotFound:
            found = next((each for each in self.flow_runs(limit=10**6) if each["uid"] == run), None)
            if found is None:
                raise
            return found

    def transitions(self, uid: str) -> list[Document]:
        """Its last transitions, oldest first."""
        name = self.flow_run(uid)["name"]
        transitions: list[Document] = self._resource(name).get("status", {}).get("transitions", [])
        return transitions

    def task_runs(self, uid: str, *, attempt: int | None = None) -> Iterator[Document]:  # noqa: ARG002 - the protocol's signature
        """Task runs are never in the cluster: ask the API for them."""
        return iter(())

    def logs(self, uid: str, *, attempt: int | None = None, after: int | None = None, level: int | None = None) -> Iterator[Document]:  # noqa: ARG002 - a pod's log has no levels
        """Lines of the pod's log."""
        run = self.flow_run(uid)
        pod = run["pod"] if attempt is None else f"{run['name']}-{attempt}"
        if not pod:
            return
        for number, line in enumerate(kubectl("logs", pod, "--namespace", run["namespace"], "--timestamps").splitlines()):
            if after is None or number > after:
                time, _, message = line.partition(" ")
                yield {"seq": number, "time": time, "level": 20, "logger": "", "n": None, "message": message}

    def artifacts(self, uid: str) -> list[Document]:  # noqa: ARG002 - the protocol's signature
        """Artifacts are never in the cluster: ask the API for them."""
        return []

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Nothing is open."""

    @staticmethod
    def _resource(name: str) -> dict[str, Any]:
        resource: dict[str, Any] = json.loads(kubectl("get", _RESOURCE, name, "--output", "json"))
        return resource


def flow_run_of(resource: dict[str, Any]) -> Document:
    """A FlowRun as the API answers it, as far as the resource tells."""
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
    }
