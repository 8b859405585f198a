"""The source code of flows in a Kubernetes cluster: the controller's port `Sources`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.json_values import mapping
from mintaka_core.reconciling.deployments import Problem
from mintaka_core.revisions import SourceVersion, source_version
from mintaka_kubernetes.resources import CONFIG_MAPS
from mintaka_operator.cluster import ApiError
from mintaka_operator.port_errors import port_error, port_errors

if TYPE_CHECKING:
    from mintaka_core.resources import FlowTemplate
    from mintaka_operator.cluster import Cluster

_NOT_FOUND = 404


class KubernetesSources:
    """Checks whether a ConfigMap that a template names exists, and reads it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def find_problem(self, namespace: str, template: FlowTemplate) -> Problem | None:
        """Why the code cannot be read; None if it can."""
        if template.source is None or template.source.config_map is None:
            return None
        name = template.source.config_map.name
        try:
            await self._cluster.exists(CONFIG_MAPS.path(namespace, name))
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise port_error(error) from error
            message = f"there is no ConfigMap {name!r} in namespace {namespace!r}, which spec.source.configMap names"
            return Problem("ConfigMapNotFound", message)
        return None

    async def find_version(self, namespace: str, name: str) -> str:
        """The resource version of a ConfigMap; its content stays on the server. Raises Missing."""
        with port_errors():
            found = await self._cluster.request("GET", CONFIG_MAPS.path(namespace, name), metadata_only=True)
        return str(found["metadata"].get("resourceVersion", ""))

    async def read_files(self, namespace: str, name: str) -> SourceVersion:
        """The content of a ConfigMap. Raises Missing."""
        with port_errors():
            found = await self._cluster.get(CONFIG_MAPS.path(namespace, name))
        version = str(found["metadata"].get("resourceVersion", ""))
        return source_version(name, version, mapping(found.get("data")), mapping(found.get("binaryData")))
