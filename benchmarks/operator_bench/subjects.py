"""What is compared: flow runs, native Jobs and bare pods, all with the same one-container pod on fake nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mintaka_core.names import API_VERSION, MIRROR_FINALIZER
from mintaka_core.states import TERMINAL

_NO_GRACE = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind of thing: where it is, how to make one, when it has ended."""

    title: str
    collection: Callable[[str], str]
    manifest: Callable[[str, str, dict[str, Any]], dict[str, Any]]
    ended: Callable[[dict[str, Any]], bool]
    finalizer: bool = False
    pods_end: bool = True


def pod_template(duration: str) -> dict[str, Any]:
    """The pod everybody runs: it ends by itself after `duration`."""
    return {
        "metadata": {"annotations": {"kwok.mintaka.dev/duration": duration}},
        "spec": {
            "nodeSelector": {"type": "kwok"},
            "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
            "containers": [{"name": "flow", "image": "none", "command": ["true"]}],
            "terminationGracePeriodSeconds": _NO_GRACE,
        },
    }


def _runs(namespace: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/flowruns"


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def pods(namespace: str) -> str:
    """Where the pods of a namespace are."""
    return f"/api/v1/namespaces/{namespace}/pods"


def _run(finalizers: list[str]) -> Callable[[str, str, dict[str, Any]], dict[str, Any]]:
    def manifest(namespace: str, name: str, template: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": API_VERSION,
            "kind": "FlowRun",
            "metadata": {"name": name, "namespace": namespace, "finalizers": finalizers},
            "spec": {"template": {"podTemplate": template}},
        }

    return manifest


def _job(namespace: str, name: str, template: dict[str, Any]) -> dict[str, Any]:
    pod = {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 0, "template": pod},
    }


def bare_pods(owner: dict[str, Any]) -> Subject:
    """Pods without a controller; `owner` is a suspended Job, which makes KWOK end them and takes no notice of them."""
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}

    def manifest(namespace: str, name: str, template: dict[str, Any]) -> dict[str, Any]:
        metadata = {**template["metadata"], "name": name, "namespace": namespace, "ownerReferences": [reference]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**template["spec"], "restartPolicy": "Never"}}

    return Subject("bare pods", pods, manifest, pod_ended)


def owner_of_bare_pods(namespace: str) -> tuple[str, dict[str, Any]]:
    """Where to create the owner of bare pods, and its manifest."""
    job = _job(namespace, "owner", pod_template("1s"))
    return _jobs(namespace), {**job, "spec": {**job["spec"], "suspend": True}}


def pod_ended(pod: dict[str, Any]) -> bool:
    """True once a pod's containers have."""
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _run_ended(run: dict[str, Any]) -> bool:
    return ((run.get("status") or {}).get("state") or {}).get("type") in TERMINAL


def _job_ended(job: dict[str, Any]) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(condition["type"] in {"Complete", "Failed"} and condition["status"] == "True" for condition in conditions)


RUNS = Subject("flow runs", _runs, _run([MIRROR_FINALIZER]), _run_ended, finalizer=True)
#: As `kubectl create` makes them: the operator puts the finalizer on.
RUNS_WITHOUT_FINALIZER = Subject("flow runs, no finalizer", _runs, _run([]), _run_ended, finalizer=True)
JOBS = Subject("Jobs", _jobs, _job, _job_ended)
