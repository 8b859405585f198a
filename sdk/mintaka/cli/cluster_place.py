"""A cluster, through kubectl."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mintaka.cli.cluster_preview import ClusterPreview
from mintaka.cli.clusters import ClusterHistory, flow_run_of
from mintaka.cli.kubectl import kubectl
from mintaka.cli.masking import masked_json, without_secrets
from mintaka.cli.parsing import BadArgument
from mintaka.cli.places import EVERYWHERE
from mintaka.cli.rule_dry_runs import kinds_of_rule
from mintaka.cli.showing import is_over
from mintaka.histories import FlowRunNotFound, HistoryError
from mintaka.manifests import run_of_deployment, run_of_template
from mintaka_core.secret_parameters import masked_deployment
from mintaka_core.states import SUSPENDED_ITSELF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka.cli.manifest_files import Manifests
    from mintaka.cli.places import NewRun
    from mintaka.histories import Document
    from mintaka_core.planning import Candidate

_RUNS, _DEPLOYMENTS = "flowruns.mintaka.dev", "flowdeployments.mintaka.dev"


class ClusterPlace(ClusterHistory):
    """See `mintaka.cli.places.Place`; `namespace` None means kubectl's."""

    pause_seconds = 1.5

    def __init__(self, namespace: str | None = None) -> None:
        super().__init__(namespace)
        self._only = ["--namespace", namespace] if namespace and namespace != EVERYWHERE else []

    def stop(self, run: Document, action: str) -> None:
        """Patch the spec: the operator acts on it."""
        self._patch(run, {action: True})

    def resume(self, run: Document, value: Any, *, given: bool) -> bool:
        """Send the answer through the API if the run waits for something, else reset spec.suspend or increment spec.reruns."""
        found = self.resource_of(run["uid"])
        waits = [] if is_over(found) else self.pauses(found["uid"])
        if given or any(pause["schema"] is not None or not pause["suspended"] for pause in waits[:1]):
            self.post(f"/flow-runs/{found['uid']}/resume", {"input": value})
            return True
        state, spec = found["state"], found["spec"]
        if spec.get("cancel"):
            message = f"{found['name']} is cancelled for good: create another FlowRun with spec.resumeFrom: {found['name']}"
            raise BadArgument(message)
        changes: dict[str, Any] = {"suspend": False} if spec.get("suspend") else {}
        if state["reason"] == SUSPENDED_ITSELF or is_over(found):
            changes["reruns"] = spec.get("reruns", 0) + 1
        if not changes:
            message = f"{found['name']} is {state['name']}: it is neither suspended nor over, and waits for nothing"
            raise BadArgument(message)
        self._patch(found, changes)
        return True

    def deployments(self, *, name: str | None = None, tags: Sequence[str] = (), limit: int = 50) -> list[Document]:
        """The deployments of the cluster."""
        items = json.loads(kubectl("get", _DEPLOYMENTS, *self.there, "--output", "json"))["items"]
        found = (deployment_of(item) for item in items)
        return [each for each in found if each["name"].startswith(name or "") and set(tags) <= set(each["tags"])][:limit]

    def deployment(self, name: str) -> Document:
        """The deployment of that name."""
        return deployment_of(json.loads(kubectl("get", _DEPLOYMENTS, name, *self._only, "--output", "json")))

    def dry_run_rules(self, body: Document) -> Document:
        """Use the API, which has the recorded decisions."""
        return self._api.history().dry_run_rules(body)

    def rule(self, name: str) -> Document:
        """Read it with kubectl."""
        for kind, plain in kinds_of_rule(name):
            found = kubectl("get", f"{kind.lower()}s.mintaka.dev", plain, *self._only, "--output", "json", "--ignore-not-found")
            if found.strip():
                document: Document = json.loads(found)
                return document
        message = f"there is no orchestration rule {name}"
        raise HistoryError(message)

    def apply(self, manifests: Manifests, *, dry_run: bool, as_json: bool) -> str:
        """Apply with kubectl; secrets are removed from its output."""
        options = [*self._only, *(["--dry-run=server"] if dry_run else []), *(["--output", "json"] if as_json else [])]
        words = ["apply", "--filename", manifests.what]
        before = ""
        try:
            if not dry_run and manifests.are_several_of_ours():  # kubectl would apply those before and after one that is refused
                before = "nothing was applied: "
                kubectl(*words, *self._only, "--dry-run=server", given=manifests.text)
                before = ""
            answer = kubectl(*words, *options, given=manifests.text)
        except HistoryError as error:  # kubectl quotes a rejected patch
            masked = without_secrets(str(error), [resource for _, resource in manifests.checked()])
            message = f"{before}{masked}"
            raise HistoryError(message) from None
        return masked_json(answer) if as_json else answer

    def preview(self, manifests: Manifests) -> list[Candidate]:
        """Dry runs on the API server."""
        manifests.checked()
        return ClusterPreview(self._only).candidates(manifests.parsed())

    def create_run(self, deployment: str, run: NewRun) -> Document:
        """Create it with kubectl: no API is needed, and the operator checks the parameters."""
        namespace = self.deployment(deployment)["namespace"]
        return self._created(run_of_deployment(namespace, deployment, run.parameters, run.name, run.tags))

    def create_from_template(self, manifest: Document, run: NewRun) -> Document:
        """Create a FlowRun with an inline template."""
        return self._created(run_of_template(manifest, run.parameters, run.name, run.tags))

    def delete_deployment(self, name: str) -> Document:
        """Delete it; Kubernetes then deletes what it owns."""
        found = self.deployment(name)
        kubectl("delete", _DEPLOYMENTS, name, "--namespace", found["namespace"], "--wait=false")
        return found

    def delete_run(self, run: Document) -> None:
        """Delete it, which cancels it first; its history remains."""
        kubectl("delete", _RUNS, run["name"], "--namespace", run["namespace"], "--wait=false")

    def _created(self, document: Document) -> Document:
        answer = kubectl("create", "--filename", "-", "--output", "json", *self._only, given=json.dumps(document))
        return flow_run_of(json.loads(answer))

    def _patch(self, run: Document, spec: dict[str, Any]) -> None:
        """Merge `spec` into the spec of a flow run."""
        if "spec" not in run:  # only the API has it
            message = f"flow run {run['name']} has left the cluster; only its history is left"
            raise FlowRunNotFound(message)
        body = json.dumps({"spec": spec})
        kubectl("patch", _RUNS, run["name"], "--namespace", run["namespace"], "--type", "merge", "--patch", body)


def deployment_of(resource: Document) -> Document:
    """A FlowDeployment in the form the API returns, as far as the resource contains the data, without its secrets."""
    masked = masked_deployment(resource)
    metadata, spec, status = masked["metadata"], masked.get("spec", {}), masked.get("status", {})
    ready = next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), None)
    return {
        "uid": metadata["uid"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        **{name: spec.get(name) for name in ("entrypoint", "image", "version", "description")},
        "tags": spec.get("tags", []),
        "parameters": spec.get("parameters", {}),
        "parameter_schema": spec.get("parameterSchema"),
        "suspend": spec.get("suspend", False),
        "schedules": spec.get("schedules", []),
        "ready": ready,
        "active_runs": status.get("activeRuns", 0),
        "last_schedule_time": status.get("lastScheduleTime"),
        "next_schedule_time": status.get("nextScheduleTime"),
        "generation": metadata.get("generation", 1),
        "created": metadata["creationTimestamp"],
        "deleted": None,
    }
