"""What kubectl prints of FlowRuns and FlowDeployments, without their secrets.

The resources hold the values; what is secret the FlowDeployment's parameterSchema says. If that cannot be read, all
parameters are masked.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mintaka.cli.kubectl import kubectl
from mintaka.histories import HistoryError
from mintaka.manifests import parameters_in
from mintaka_core.secret_parameters import UNKNOWN, SecretParameters, masked_deployment, masked_run

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEPLOYMENTS = "flowdeployments.mintaka.dev"


class DeploymentSecrets:
    """The secrets of the FlowDeployments that runs name, read when they are first needed."""

    def __init__(self, there: Sequence[str] = ()) -> None:
        """`there`: kubectl's options for the namespaces where most of them are."""
        self._there = there
        self._known: dict[tuple[str, str], SecretParameters] = {}
        self._asked = False

    def masked(self, run: dict[str, Any]) -> dict[str, Any]:
        """The FlowRun `run` without its secrets."""
        deployment = run.get("spec", {}).get("deployment")
        return masked_run(run, self._of(run["metadata"].get("namespace", ""), deployment) if deployment else UNKNOWN)

    def _of(self, namespace: str, name: str) -> SecretParameters:
        if not self._asked:
            self._asked = True
            self._read(*self._there)
        key = namespace, name
        if key not in self._known:
            self._known[key] = UNKNOWN
            self._read(name, "--namespace", namespace)
        return self._known[key]

    def _read(self, *arguments: str) -> None:
        with suppress(HistoryError):
            found = json.loads(kubectl("get", _DEPLOYMENTS, *arguments, "--output", "json"))
            for item in found.get("items", [found]):
                key = item["metadata"]["namespace"], item["metadata"]["name"]
                self._known[key] = SecretParameters(item.get("spec", {}).get("parameterSchema"))


def masked_json(text: str) -> str:
    """Resources as `kubectl --output json` prints them, ours without their secrets."""
    secrets = DeploymentSecrets()

    def masked(document: dict[str, Any]) -> dict[str, Any]:
        if document.get("kind") == "FlowRun":
            return secrets.masked(document)
        if document.get("kind") == "FlowDeployment":
            return masked_deployment(document)
        return {**document, "items": [masked(item) for item in document["items"]]} if "items" in document else document

    return json.dumps(masked(json.loads(text)), indent=4, ensure_ascii=False) + "\n"


def without_secrets(text: str, resources: Sequence[dict[str, Any]]) -> str:
    """`text`, which may quote `resources`, without their secrets."""
    for resource in resources:
        for secrets, parameters in parameters_in(resource):
            text = secrets.redacted(text, parameters)
    return text
