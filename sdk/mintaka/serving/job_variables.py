"""The variables of a Prefect work pool (`job_variables`) as parts of a FlowDeployment.

Those of the Kubernetes pool become fields of the pod template or next to it; those of process pools (`env`, `working_dir`) too.
A variable without a counterpart becomes a note, a sentence that begins with its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Variables that set a field of the pod, whatever the value.
_OF_THE_POD = {"service_account_name": "serviceAccountName", "node_selector": "nodeSelector", "tolerations": "tolerations", "affinity": "affinity",
               "volumes": "volumes", "priority_class_name": "priorityClassName"}  # fmt: skip
_OF_THE_CONTAINER = {
    "image_pull_policy": "imagePullPolicy",
    "volume_mounts": "volumeMounts",
    "env_from": "envFrom",
    "working_dir": "workingDir",
    "resources": "resources",
}
_RESOURCES = {"cpu_request": ("requests", "cpu"), "cpu_limit": ("limits", "cpu"), "memory_request": ("requests", "memory"),
              "memory_limit": ("limits", "memory")}  # fmt: skip
_NEEDLESS = {
    "stream_output": "the output of a run is always in its log",
    "cluster_config": "the cluster is the one that the manifest is applied to",
    "job_watch_timeout_seconds": "nothing watches a job; spec.timeoutSeconds bounds how long an attempt may run",
    "name": "pods are named after their runs",
    "command": "a run is started with python -m mintaka.runner; podTemplate may replace the command of the container named flow",
}
_SECONDS = re.compile(r"[1-9][0-9]{0,6}")


class TemplateParts:
    """What `job_variables` add to a deployment: `metadata` and `spec` to be merged into its manifest, and `notes`."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.spec: dict[str, Any] = {}
        self.notes: list[str] = []
        self._pod: dict[str, Any] = {}
        self._pod_metadata: dict[str, Any] = {}
        self._container: dict[str, Any] = {}
        self._env_by_name: dict[str, dict[str, Any]] = {}

    def add(self, variables: Mapping[str, Any]) -> None:
        """Convert the variables one by one."""
        for name, value in variables.items():
            if value is None:
                continue
            if name in _NEEDLESS:
                self.notes.append(f"{name}: {_NEEDLESS[name]}")
            elif not self._added(name, value):
                shown = " ".join(repr(value).split())
                self.notes.append(f"{name}: no counterpart for {shown[:80]}; podTemplate accepts any field of a pod")

    def set_variable(self, name: str, value: str) -> None:
        """Set an environment variable of the flow's container."""
        self._env_by_name[name] = {"name": name, "value": value}

    def annotate(self, name: str, text: str) -> None:
        """Set an annotation of the pod template."""
        self._pod_metadata.setdefault("annotations", {})[name] = text

    @property
    def pod_template(self) -> dict[str, Any] | None:
        """`spec.podTemplate`; None if nothing is in it."""
        env = {"env": list(self._env_by_name.values())} if self._env_by_name else {}
        container = {**self._container, **env}
        pod = {**self._pod, **({"containers": [{"name": "flow", **container}]} if container else {})}
        template = {**({"metadata": self._pod_metadata} if self._pod_metadata else {}), **({"spec": pod} if pod else {})}
        return template or None

    def _added(self, name: str, value: Any) -> bool:
        """Convert one variable; False if it has no counterpart, or not for this value."""
        if name in _OF_THE_POD:
            self._pod[_OF_THE_POD[name]] = value
        elif name in _OF_THE_CONTAINER:
            self._container[_OF_THE_CONTAINER[name]] = value
        elif name in _RESOURCES:
            kind, resource = _RESOURCES[name]
            self._container.setdefault("resources", {}).setdefault(kind, {})[resource] = str(value)
        else:
            special = _SPECIAL.get(name)
            return special is not None and special(self, value)
        return True

    def _image(self, value: Any) -> bool:
        self.spec["image"] = str(value)
        return True

    def _env(self, value: Any) -> bool:
        if isinstance(value, Mapping):
            entries = [{"name": str(key), "value": str(text)} for key, text in value.items() if text is not None]
            self.notes += [f"env: {key} is not removed from the environment" for key, text in value.items() if text is None]
        elif isinstance(value, list) and all(isinstance(entry, Mapping) and "name" in entry for entry in value):
            entries = [dict(entry) for entry in value]
        else:
            return False
        self._env_by_name.update({str(entry["name"]): entry for entry in entries})
        return True

    def _namespace(self, value: Any) -> bool:
        self.metadata["namespace"] = str(value)
        return True

    def _labels(self, value: Any) -> bool:
        return self._words("labels", value)

    def _annotations(self, value: Any) -> bool:
        return self._words("annotations", value)

    def _words(self, field: str, value: Any) -> bool:
        if not isinstance(value, Mapping):
            return False
        self._pod_metadata.setdefault(field, {}).update({str(key): str(text) for key, text in value.items()})
        return True

    def _pull_secrets(self, value: Any) -> bool:
        secrets = value if isinstance(value, list) else [value]
        self._pod["imagePullSecrets"] = [secret if isinstance(secret, Mapping) else {"name": str(secret)} for secret in secrets]
        return True

    def _pending_timeout(self, value: Any) -> bool:
        return self._seconds("pendingTimeoutSeconds", value)

    def _retention(self, value: Any) -> bool:
        if not _SECONDS.fullmatch(str(value)):
            return False
        self.spec["podRetention"] = {"completedSeconds": int(value), "failedSeconds": int(value)}
        return True

    def _crashes(self, value: Any) -> bool:
        if str(value) == "0":  # the default of both
            return True
        if not _SECONDS.fullmatch(str(value)):
            return False
        self.spec["retries"] = {"onCrash": {"limit": int(value)}}
        self.notes.append(f"backoff_limit: {value} new pods only after crashes; for failures of the code set spec.retries.onFailure")
        return True

    def _seconds(self, field: str, value: Any) -> bool:
        if not _SECONDS.fullmatch(str(value)):
            return False
        self.spec[field] = int(value)
        return True


_SPECIAL: dict[str, Callable[[TemplateParts, Any], bool]] = {
    "image": TemplateParts._image,  # noqa: SLF001 - a table of this module's own
    "env": TemplateParts._env,  # noqa: SLF001
    "namespace": TemplateParts._namespace,  # noqa: SLF001
    "labels": TemplateParts._labels,  # noqa: SLF001
    "annotations": TemplateParts._annotations,  # noqa: SLF001
    "image_pull_secrets": TemplateParts._pull_secrets,  # noqa: SLF001
    "pod_watch_timeout_seconds": TemplateParts._pending_timeout,  # noqa: SLF001
    "finished_job_ttl": TemplateParts._retention,  # noqa: SLF001
    "backoff_limit": TemplateParts._crashes,  # noqa: SLF001
}
