"""A server, or the API of a cluster, over REST."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mintaka.cli.file_place import stop_script
from mintaka.cli.manifest_files import placed
from mintaka.cli.parsing import BadArgument
from mintaka.cli.places import waits_without_process
from mintaka.cli.rule_dry_runs import kinds_of_rule
from mintaka.cli.server_preview import ServerPreview
from mintaka.histories import HistoryError, of_a_script
from mintaka.manifests import run_of_template
from mintaka.recording.remote_history import ApiRefusal, RemoteHistory
from mintaka_core.names import CLUSTER_RULE, RULE_KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka.cli.manifest_files import Manifests
    from mintaka.cli.places import NewRun
    from mintaka.histories import Document
    from mintaka.recording.homes import Home
    from mintaka_core.planning import Candidate

_PAGE = 200
#: Reasons of errors whose messages contain the location.
_SELF_CONTAINED = frozenset({"UnknownField", "Malformed", "TooLarge"})
#: The prefix of an error's path that locates a document in the request.
_PLACE = re.compile(r"documents\[(\d+)\]\.")
_RESOURCES = {"FlowDeployment": "flowdeployment.mintaka.dev", "FlowRun": "flowrun.mintaka.dev", "ConfigMap": "configmap"} | {
    kind: f"{kind.lower()}.mintaka.dev" for kind in RULE_KINDS
}
_NOT_FOUND = 404


class ServerPlace(RemoteHistory):
    """The API of `home`; see `mintaka.cli.places.Place`. If it is this machine's server, scripts write to the file next to it."""

    pause_seconds = 0.5

    def __init__(self, home: Home, namespace: str | None = None) -> None:
        super().__init__(home.api_url, namespace=namespace)
        self._home = home
        self._only = namespace

    def stop(self, run: Document, action: str) -> None:
        """Send a request to the API, or signal the process of a script on this machine."""
        if of_a_script(run) and not waits_without_process(run):
            if self._home.database is not None:
                stop_script(self._home.database, run, action)
                return
            message = (
                f"flow run {run['name']} belongs to a script, not to a cluster: end its process where it was started (Ctrl-C, or SIGTERM)"
            )
            raise BadArgument(message)
        self.post(f"/flow-runs/{run['uid']}/{action}")

    def resume(self, run: Document, value: Any, *, given: bool) -> bool:
        """Send a request to the API; False for a script's run that does not wait in its process."""
        waits = self.pauses(run["uid"])
        if not of_a_script(run) or waits or given:
            self.post(f"/flow-runs/{run['uid']}/resume", {"input": value})
        return not of_a_script(run) or any(not pause["suspended"] for pause in waits[:1])

    def deployments(self, *, name: str | None = None, tags: Sequence[str] = (), limit: int = 50) -> list[Document]:
        """The deployments that were not deleted."""
        query = {"name": name, "tag": list(tags) or None, "namespace": self._only}
        found = self.pages("/flow-deployments", query, min(limit, _PAGE))
        return [each for each, _ in zip((each for each in found if not each["deleted"]), range(limit), strict=False)]

    def deployment(self, name: str) -> Document:
        """The deployment of that name, in any namespace."""
        found = [each for each in self.deployments(name=name, limit=_PAGE) if each["name"] == name]
        if len(found) == 1:
            return found[0]
        if found:
            message = f"there are flow deployments {name} in namespaces {', '.join(each['namespace'] for each in found)}: choose one with --namespace"
            raise BadArgument(message)
        place = f" in namespace {self._only}" if self._only else ""
        message = f"there is no flow deployment {name}{place} at {self._home.api_url}: mintaka get deployments lists them"
        raise HistoryError(message)

    def apply(self, manifests: Manifests, *, dry_run: bool, as_json: bool) -> str:
        """Apply in one request; documents without a namespace get that of scripts."""
        parsed = manifests.parsed()
        documents = placed(parsed, self._only, self._home.namespace)
        try:
            answer = self.request("PUT", "/documents", {"documents": documents, "dry_run": dry_run})
        except ApiRefusal as refusal:
            raise HistoryError(_complaint(refusal, [name for name, _ in parsed])) from refusal
        if as_json:
            applied = [item["document"] for item in answer["items"]]
            shown = applied[0] if len(applied) == 1 else {"apiVersion": "v1", "kind": "List", "items": applied}
            return json.dumps(shown, indent=4, ensure_ascii=False) + "\n"
        dry = " (server dry run)" if dry_run else ""
        return "".join(f"{_RESOURCES[item['kind']]}/{item['name']} {item['result']}{dry}\n" for item in answer["items"])

    def preview(self, manifests: Manifests) -> list[Candidate]:
        """Dry runs at the server."""
        documents = placed(manifests.parsed(), self._only, self._home.namespace)
        return ServerPreview(self, errors_by_document).candidates(documents)

    def create_run(self, deployment: str, run: NewRun) -> Document:
        """Create it through the API, which checks the parameters."""
        namespace = self._only or self.deployment(deployment)["namespace"]
        body = {"parameters": run.parameters, "name": run.name or None, "tags": list(run.tags)}
        return self.post(f"/namespaces/{quote(namespace, safe='')}/flow-deployments/{quote(deployment, safe='')}/runs", body)

    def create_from_template(self, manifest: Document, run: NewRun) -> Document:
        """Create a FlowRun with an inline template."""
        document = run_of_template(manifest, run.parameters, run.name, run.tags)
        created = self.post("/documents", placed([("the run", document)], self._only, self._home.namespace)[0])
        metadata: Document = created["metadata"]
        return metadata

    def delete_deployment(self, name: str) -> Document:
        """Delete it and what it owns."""
        found = self.deployment(name)
        path = f"/documents/FlowDeployment/{quote(found['namespace'], safe='')}/{quote(name, safe='')}"
        self.request("DELETE", path)
        return found

    def delete_run(self, run: Document) -> None:
        """Delete it, which cancels it first; its history remains."""
        self.request("DELETE", f"/flow-runs/{run['uid']}")

    def rule(self, name: str) -> Document:
        """Read it from the server's documents."""
        for kind, plain in kinds_of_rule(name):
            namespace = "-" if kind == CLUSTER_RULE else self._only or self._home.namespace
            try:
                return self.request("GET", f"/documents/{kind}/{quote(namespace, safe='')}/{quote(plain, safe='')}")
            except ApiRefusal as refusal:
                if refusal.problem.get("status") != _NOT_FOUND:
                    raise
        message = f"there is no orchestration rule {name} at {self._home.api_url}"
        raise HistoryError(message)


def errors_by_document(refusal: ApiRefusal) -> dict[int, list[str]]:
    """The errors of a refusal by the position of the document they are about (-1: unknown)."""
    errors: dict[int, list[str]] = {}
    for error in refusal.problem.get("errors") or ():
        position, path = str(error.get("document", "")), error.get("path", "")
        if found := _PLACE.match(path):
            position, path = found[1], path[found.end() :]
        field = "" if error.get("reason") in _SELF_CONTAINED else path
        text = ": ".join(part for part in (field, error.get("message", "")) if part)
        errors.setdefault(int(position) if position.isdecimal() else -1, []).append(text)
    return errors


def _complaint(refusal: ApiRefusal, names: Sequence[str]) -> str:
    """Each error with the name of the document it is about."""
    lines = [
        ": ".join(part for part in (names[position] if 0 <= position < len(names) else "", text) if part)
        for position, texts in errors_by_document(refusal).items()
        for text in texts
    ]
    return f"nothing was applied: {'; '.join(lines)}" if lines else str(refusal)
