"""The result that `kubectl apply` would have: a dry run on the API server for each manifest, so that one refusal hides no other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mintaka.cli.kubectl import kubectl
from mintaka.cli.masking import DeploymentSecrets, without_secrets
from mintaka.histories import HistoryError
from mintaka_core.plan_differences import differences
from mintaka_core.planning import Candidate, PlannedRun
from mintaka_core.secret_parameters import MASK, masked_deployment
from mintaka_core.states import StateType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka.histories import Document

_RUNS = "flowruns.mintaka.dev"


class ClusterPreview:
    """Dry runs in the cluster of kubectl's context; `only` are kubectl's options for the namespace."""

    def __init__(self, only: Sequence[str]) -> None:
        self._only = only
        self._secrets = DeploymentSecrets(only)

    def candidates(self, found: Sequence[tuple[str, Document]]) -> list[Candidate]:
        """The result for each of these documents. Raises HistoryError if the cluster does not answer."""
        kubectl("get", "--raw", "/version")
        created = {str(_metadata(document).get("name")) for _, document in found if document.get("kind") == "Namespace"}
        return [self._candidate(document, created) for _, document in found]

    def _candidate(self, document: Document, namespaces: set[str]) -> Candidate:
        kind, metadata, text = str(document.get("kind", "")), _metadata(document), json.dumps(document)
        namespace, name = (
            str(metadata.get("namespace") or "".join(self._only[1:])),
            str(metadata.get("name") or metadata.get("generateName") or ""),
        )
        generated = "name" not in metadata and "generateName" in metadata
        try:
            live = None if generated else self._read(text)
            verb = ["create"] if generated else ["apply"]
            planned = json.loads(kubectl(*verb, "--dry-run=server", "--output", "json", "--filename", "-", *self._only, given=text))
        except HistoryError as error:
            refusal = without_secrets(str(error), [document])
            if namespace in namespaces and f'namespaces "{namespace}" not found' in refusal:
                return Candidate(kind, namespace, name, None, self._masked(document))  # it cannot be tried before its namespace exists
            return Candidate(kind, namespace, name, None, None, refusal)
        namespace, name = planned["metadata"].get("namespace", ""), planned["metadata"]["name"] if not generated else name
        changed = live is not None and bool(differences(live, planned))
        runs = self._unfinished(namespace, name) if kind == "FlowDeployment" and changed else ()
        before = None if live is None else self._masked(live)
        return Candidate(kind, namespace, name, before, self._masked(planned), changed=changed, runs=runs)

    def _read(self, text: str) -> Document | None:
        answer = kubectl("get", "--ignore-not-found", "--output", "json", "--filename", "-", *self._only, given=text)
        found: Document = json.loads(answer) if answer.strip() else {"items": []}
        items = found.get("items", [found])  # of a manifest, kubectl prints a list
        return items[0] if items else None

    def _unfinished(self, namespace: str, deployment: str) -> list[PlannedRun]:
        selector = f"spec.deployment={deployment}"
        items = json.loads(kubectl("get", _RUNS, "--namespace", namespace, "--field-selector", selector, "--output", "json"))["items"]
        runs = (_run_of(item) for item in items)
        return [run for run in runs if run.state not in _ENDS]

    def _masked(self, document: Document) -> Document:
        kind = document.get("kind")
        if kind == "FlowRun":
            return self._secrets.masked(document)
        if kind == "FlowDeployment":
            return masked_deployment(document)
        if kind == "Secret":
            return {**document, **{part: dict.fromkeys(document[part], MASK) for part in ("data", "stringData") if document.get(part)}}
        return document


_ENDS = frozenset(str(kind) for kind in StateType if kind.is_terminal)


def _run_of(item: Document) -> PlannedRun:
    status: dict[str, Any] = item.get("status") or {}
    state = status.get("state") or {}
    kind, reason = state.get("type", "SCHEDULED"), state.get("reason", "")
    return PlannedRun(item["metadata"]["name"], kind, status.get("attempt", 0), status.get("revision", ""), reason)


def _metadata(document: Document) -> dict[str, Any]:
    found = document.get("metadata")
    return found if isinstance(found, dict) else {}
