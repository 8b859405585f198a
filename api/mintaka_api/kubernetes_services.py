"""The parts of the API that need a cluster: run control and the mirror."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mintaka_api.cluster import Cluster
from mintaka_api.kubernetes_intents import KubernetesRunControl
from mintaka_api.leader import Leader
from mintaka_api.mirror import Mirror

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_api.services import Services
    from mintaka_api.settings import Settings


@asynccontextmanager
async def attach_kubernetes(services: Services, settings: Settings) -> AsyncIterator[None]:
    """Attach a cluster to `services`, for run control and the mirror, until the end of the block."""
    cluster = Cluster(settings.kubeconfig)
    services.runs = KubernetesRunControl(cluster, services.validator)
    services.leader = Leader(cluster, settings, services.metrics)
    services.mirror = Mirror(services.database, services.names, cluster, settings, services.metrics, services.leader)
    try:
        yield
    finally:
        await cluster.close()
