"""A namespace in an API server in memory with one deployment, its runs and their pods, for what happens between attempts."""

from __future__ import annotations

import asyncio
from typing import Any

from memory_cluster import MemoryCluster
from memory_controller import MemoryController
from mintaka_controller.context import ControllerSettings
from mintaka_controller.ports import Snapshot
from mintaka_controller.revision_collection import collect_revisions
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_kubernetes.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, FLOW_DEPLOYMENTS, FLOW_RUNS, PODS

NAMESPACE = "team"
CREATED = "2026-03-04T05:00:00Z"
STARTED, ENDED = "2026-03-04T05:00:02Z", "2026-03-04T05:01:02Z"
#: A second attempt begins in the pass that finds the first one ended.
AT_ONCE = {"limit": 5, "backoff": {"delaySeconds": 0, "jitter": 0}}


class RevisionWorld:
    """`world` is the controller; `restart` makes another one that knows nothing."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self._deployment_uid = 0
        self.restart()

    def restart(self) -> None:
        """Another controller, which has listed everything that exists."""
        self.world = MemoryController(self.cluster, settings=ControllerSettings(busy_queue=100))
        for path in list(self.cluster.objects):
            self._watch(path)

    def _watch(self, path: str) -> None:
        document = self.cluster.objects[path]
        match path.split("/")[-2]:
            case "flowruns":
                self.world.observe_run(document)
            case "flowdeployments":
                self.world.context.deployments.put(Snapshot(document))
            case "pods":
                self.world.observe_pod(document)

    # What users do.

    def apply(self, image: str, name: str = "etl", **spec: Any) -> None:
        """Create or change the deployment."""
        path = FLOW_DEPLOYMENTS.path(NAMESPACE, name)
        known = self.cluster.objects.get(path)
        if known is None:
            self._deployment_uid += 1
        generation = known["metadata"]["generation"] + 1 if known else 1
        uid = known["metadata"]["uid"] if known else f"deployment-{self._deployment_uid}"
        full = {"entrypoint": "flow.py:main", "image": image, "retries": {"onFailure": AT_ONCE, "onCrash": AT_ONCE}, **spec}
        self.cluster.put(path, {"kind": "FlowDeployment", "metadata": {"uid": uid, "generation": generation}, "spec": full})
        self._watch(path)

    def delete_deployment(self) -> None:
        """Delete it; what the garbage collector would do with revisions is left to the test."""
        del self.cluster.objects[FLOW_DEPLOYMENTS.path(NAMESPACE, "etl")]
        self.world.controller.forget_deployment((NAMESPACE, "etl"))

    def write_files(self, **files: str) -> None:
        """Create or change the ConfigMap with the source."""
        self.cluster.put(
            CONFIG_MAPS.path(NAMESPACE, "code"), {"kind": "ConfigMap", "data": {f"{name}.py": text for name, text in files.items()}}
        )

    def create_run(self, name: str = "r", annotations: dict[str, str] | None = None, **spec: Any) -> None:
        """Create a run of the deployment, and reconcile it for the first time."""
        metadata = {
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": CREATED,
            "finalizers": [MIRROR_FINALIZER],
            "annotations": annotations or {},
        }
        path = FLOW_RUNS.path(NAMESPACE, name)
        self.cluster.put(path, {"kind": "FlowRun", "metadata": metadata, "spec": {"deployment": "etl", **spec}})
        self._watch(path)
        self.reconcile(name)

    def change_run(self, name: str = "r", annotations: dict[str, str] | None = None, **spec: Any) -> None:
        """Change a run's spec or annotations, and reconcile it."""
        path = FLOW_RUNS.path(NAMESPACE, name)
        run = self.cluster.objects[path]
        metadata = {**run["metadata"], **({"annotations": annotations} if annotations else {})}
        self.cluster.put(path, {**run, "metadata": metadata, "spec": {**run["spec"], **spec}})
        self._watch(path)
        self.reconcile(name)

    # What pods do.

    def start(self, attempt: int = 1, name: str = "r") -> None:
        """The pod of an attempt is bound and starts."""
        self._see(name, attempt, "Running", {"running": {"startedAt": STARTED}})

    def end(self, attempt: int = 1, name: str = "r", exit_code: int = 1, **terminated: Any) -> None:
        """The pod of an attempt ends, and its run is reconciled."""
        phase = "Failed" if exit_code else "Succeeded"
        report = {"exitCode": exit_code, "startedAt": STARTED, "finishedAt": ENDED, "reason": "Error", **terminated}
        self._see(name, attempt, phase, {"terminated": report})

    def _see(self, name: str, attempt: int, phase: str, state: dict[str, Any]) -> None:
        path = PODS.path(NAMESPACE, f"{name}-{attempt}")
        pod = self.cluster.objects[path]
        container = {"name": "flow", "state": state, "ready": True, "restartCount": 0, "image": "", "imageID": ""}
        spec, labels = {**pod["spec"], "nodeName": "node-1"}, {**pod["metadata"]["labels"], "mintaka.dev/reports": "false"}
        metadata = {**pod["metadata"], "labels": labels}
        self.cluster.put(path, {**pod, "metadata": metadata, "spec": spec, "status": {"phase": phase, "containerStatuses": [container]}})
        self._watch(path)
        self.reconcile(name)

    # What the controller does.

    def reconcile(self, name: str = "r") -> None:
        """Reconcile a run once."""
        asyncio.run(self.world.reconcile(NAMESPACE, name))

    def collect(self) -> int:
        """Collect revisions."""
        return asyncio.run(collect_revisions(self.world.context))

    # What is there.

    def status(self, name: str = "r") -> dict[str, Any]:
        """The status of a run."""
        return dict(self.cluster.objects[FLOW_RUNS.path(NAMESPACE, name)].get("status", {}))

    def state(self, name: str = "r") -> str:
        """`TYPE reason`."""
        state = self.status(name)["state"]
        return f"{state['type']} {state['reason']}".strip()

    def pod(self, attempt: int = 1, name: str = "r") -> dict[str, Any]:
        """The pod of an attempt."""
        return self.cluster.objects[PODS.path(NAMESPACE, f"{name}-{attempt}")]

    def image(self, attempt: int = 1, name: str = "r") -> str:
        """The image that an attempt runs."""
        return str(self.pod(attempt, name)["spec"]["containers"][0]["image"])

    @property
    def revisions(self) -> dict[str, dict[str, Any]]:
        """The stored revisions by name."""
        return self._of_kind(CONTROLLER_REVISIONS.path(NAMESPACE))

    @property
    def events(self) -> list[dict[str, Any]]:
        """The recorded Events."""
        return list(self._of_kind(f"/api/v1/namespaces/{NAMESPACE}/events").values())

    def _of_kind(self, path: str) -> dict[str, dict[str, Any]]:
        return {key.rsplit("/", 1)[1]: body for key, body in self.cluster.objects.items() if key.startswith(f"{path}/")}

    def delete_revisions(self) -> None:
        """A user deletes all revisions."""
        for name in self.revisions:
            del self.cluster.objects[CONTROLLER_REVISIONS.path(NAMESPACE, name)]

    def writes(self) -> list[tuple[str, str]]:
        """The requests that write, by method and kind."""
        found = []
        for method, path in self.cluster.requests:
            parts = path.strip("/").split("/")
            kinds = [part for part in parts if part in {"flowruns", "pods", "controllerrevisions", "events", "status"}]
            if method in {"POST", "PUT", "PATCH", "DELETE"}:
                found.append((method, "/".join(kinds)))
        return found
