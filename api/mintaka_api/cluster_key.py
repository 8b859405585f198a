"""The key of a cluster: which runs and deployments in the database are this cluster's.

It is the setting `clusterName`, or the uid of the release's namespace, which two clusters never share, unless one was restored from a
backup of the other. Only what belongs to this cluster can leave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from mintaka_api.cluster import Cluster
    from mintaka_api.settings import Settings


class UnknownCluster(MintakaError):
    """It cannot be found out which cluster this is."""


async def read_cluster_key(cluster: Cluster, settings: Settings) -> str:
    """The key of `cluster`. Raises UnknownCluster."""
    if settings.cluster_name:
        return settings.cluster_name
    namespace = settings.release_namespace
    try:
        found = await cluster.request("GET", f"/api/v1/namespaces/{namespace}")
        uid = str((found.get("metadata") or {}).get("uid") or "")
    except MintakaError as error:
        uid, why = "", f": {error}"
    else:
        why = ", which has none"
    if not uid:
        message = (
            f"nothing is mirrored before this cluster has a key: set clusterName, or let the uid of namespace {namespace} be read{why}"
        )
        raise UnknownCluster(message)
    return uid
