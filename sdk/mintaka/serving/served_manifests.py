"""The FlowDeployments of served flows: run with this process's interpreter, in its working directory."""

from __future__ import annotations

import json
import os
import sys
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mintaka.engine.semantics import VARIABLE
from mintaka.exceptions import InvalidSettingError
from mintaka.manifests import warnings_of
from mintaka.serving.job_variables import TemplateParts
from mintaka.serving.schedule_arguments import with_anchors
from mintaka_core.names import ANNOTATION_PROCESS_LIMITS
from mintaka_core.resources import FlowDeployment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mintaka.serving.documents import Document, Documents
    from mintaka.serving.runner_deployments import RunnerDeployment


class ServedManifests:
    """The manifests of the deployments that one call of `serve` serves, in `namespace`.

    Raises:
        InvalidSettingError: two deployments have the same name.
    """

    def __init__(self, deployments: Sequence[RunnerDeployment], namespace: str, limit: int | None) -> None:
        self._deployments = deployments
        self.namespace = namespace
        self.names = [deployment.object_name for deployment in deployments]
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            message = f"two deployments are called {', '.join(sorted(twice))}: give each a unique name"
            raise InvalidSettingError(message)
        group = {f"serve/{'+'.join(sorted(self.names))}": limit} if limit else {}
        now = datetime.now(UTC)
        self._manifests = [served_manifest(deployment, namespace, group, now) for deployment in deployments]
        for deployment in deployments:
            deployment.warn()
        for name, sentence in (
            (name, each) for name, manifest in zip(self.names, self._manifests, strict=True) for each in warnings_of(manifest)
        ):
            warnings.warn(f"{name}: {sentence}", UserWarning, stacklevel=4)

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Namespace and name of each."""
        return [(manifest["metadata"]["namespace"], manifest["metadata"]["name"]) for manifest in self._manifests]

    def register(self, documents: Documents) -> None:
        """Apply all of them, not paused unless they were made so; intervals continue from their first anchor."""
        now = datetime.now(UTC)
        for manifest, key in zip(self._manifests, self.keys, strict=True):
            if schedules := manifest["spec"].get("schedules"):
                existing = documents.deployment(*key) or {}
                manifest["spec"]["schedules"] = with_anchors(schedules, existing.get("spec", {}).get("schedules") or (), now)
        documents.apply(self._manifests)

    def pause(self, documents: Documents) -> None:
        """Apply them with all schedules suspended."""
        documents.apply([{**manifest, "spec": {**manifest["spec"], "suspend": True}} for manifest in self._manifests])

    def lines(self) -> Iterator[str]:
        """The served deployments, for the terminal."""
        now = datetime.now(UTC)
        for deployment, manifest in zip(self._deployments, self._manifests, strict=True):
            spec = FlowDeployment.model_validate(manifest).spec
            times = [time for schedule in spec.schedules if not schedule.suspend and (time := schedule.time_after(now))]
            when = "paused" if spec.suspend and times else f"next run {min(times):%Y-%m-%d %H:%M:%S} UTC" if times else "no schedule"
            yield f"{deployment.full_name}: {when}; a run at once: mintaka run deployment/{deployment.object_name}"


def served_manifest(deployment: RunnerDeployment, namespace: str, group: dict[str, int], now: datetime) -> Document:
    """The FlowDeployment of one, with the limits on its processes that `group` names.

    Raises:
        MintakaError: the server would refuse it.
    """
    parts, place = TemplateParts(), deployment.place
    variables: dict[str, Any] = dict(deployment.job_variables)
    folder = str(variables.pop("working_dir", None) or place.folder)
    parts.spec["process"] = {"python": sys.executable, "workingDir": folder}
    limits = {**group, **({f"deployment/{deployment.object_name}": deployment.concurrency_limit} if deployment.concurrency_limit else {})}
    if limits:
        parts.annotate(ANNOTATION_PROCESS_LIMITS, json.dumps(limits, sort_keys=True))
    if semantics := os.environ.get(VARIABLE):  # a server passes on only a few of the variables with our prefix
        parts.set_variable(VARIABLE, semantics)
    if path := os.pathsep.join(filter(None, (place.path, os.environ.get("PYTHONPATH")))):
        parts.set_variable("PYTHONPATH", path)
    manifest = deployment.manifest(now=now, parts=parts, variables=variables)
    manifest["metadata"].setdefault("namespace", namespace)
    return manifest
