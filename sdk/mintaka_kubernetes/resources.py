"""Kinds of objects and their REST paths."""

from __future__ import annotations

from dataclasses import dataclass

from mintaka_core.names import GROUP, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """A namespaced kind: its API group ("" for the core's), version and plural.

    `typed` means that the API server knows every field of it, so that its objects are neither deep nor, beyond etcd's
    limit, large.
    """

    group: str
    version: str
    plural: str
    typed: bool = True

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """The path of a collection (of all namespaces if None) or of one object."""
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace is not None else ""
        return f"{prefix}{scope}/{self.plural}" + (f"/{name}" if name is not None else "")


FLOW_RUNS = Resource(GROUP, VERSION, "flowruns", typed=False)
ORCHESTRATION_RULES = Resource(GROUP, VERSION, "orchestrationrules", typed=False)
#: Not namespaced: its namespace is always None.
CLUSTER_ORCHESTRATION_RULES = Resource(GROUP, VERSION, "clusterorchestrationrules", typed=False)
FLOW_DEPLOYMENTS = Resource(GROUP, VERSION, "flowdeployments", typed=False)
PODS = Resource("", "v1", "pods")
CONFIG_MAPS = Resource("", "v1", "configmaps")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
#: Their `data` is any JSON.
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", typed=False)
EVENTS = Resource("", "v1", "events")
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas")
LIMIT_RANGES = Resource("", "v1", "limitranges")
#: Not namespaced: its namespace is always None.
NODES = Resource("", "v1", "nodes")
