"""Where things are at the API server."""

from __future__ import annotations

from mintaka_core.names import API_VERSION

_GROUP = f"/apis/{API_VERSION}"


def flow_runs(namespace: str | None = None, name: str = "", subresource: str = "") -> str:
    """FlowRuns: of the cluster (None) or of a namespace, or one of them."""
    return _path(_GROUP, "flowruns", namespace, name, subresource)


def flow_deployments(namespace: str | None = None, name: str = "", subresource: str = "") -> str:
    """FlowDeployments: of the cluster (None) or of a namespace, or one of them."""
    return _path(_GROUP, "flowdeployments", namespace, name, subresource)


def pods(namespace: str | None = None, name: str = "") -> str:
    """Pods: of the cluster (None) or of a namespace, or one of them."""
    return _path("/api/v1", "pods", namespace, name)


def events(namespace: str) -> str:
    """Kubernetes Events of a namespace."""
    return _path("/api/v1", "events", namespace)


def config_maps(namespace: str, name: str = "") -> str:
    """ConfigMaps of a namespace, or one of them."""
    return _path("/api/v1", "configmaps", namespace, name)


def leases(namespace: str, name: str = "") -> str:
    """Leases of a namespace, or one of them."""
    return _path("/apis/coordination.k8s.io/v1", "leases", namespace, name)


def _path(group: str, plural: str, namespace: str | None, name: str = "", subresource: str = "") -> str:
    scope = f"/namespaces/{namespace}" if namespace else ""
    return "/".join(part for part in (f"{group}{scope}/{plural}", name, subresource) if part)
