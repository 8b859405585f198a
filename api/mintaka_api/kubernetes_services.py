"""The parts of the API that need a cluster: run control, the mirror and the problems of both."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mintaka_api import cluster_problems
from mintaka_api.app import create_app
from mintaka_api.background_tasks import BackgroundTask, Part
from mintaka_api.cluster import Cluster
from mintaka_api.kubernetes_intents import KubernetesRunControl
from mintaka_api.leader import Leader
from mintaka_api.mirror import Mirror

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from mintaka_api.services import Services
    from mintaka_api.settings import Settings


def create_cluster_app(settings: Settings) -> FastAPI:
    """Create the application for a cluster.

    Raises:
        InvalidDatabaseUrl: the database's URL cannot be used.
    """
    app = create_app(settings, attach=attach_kubernetes)
    cluster_problems.install(app)
    return app


@asynccontextmanager
async def attach_kubernetes(services: Services, settings: Settings) -> AsyncIterator[list[BackgroundTask]]:
    """Attach a cluster to `services`, for run control and the mirror, until the end of the block; the background tasks of both."""
    cluster = Cluster(settings.kubeconfig)
    services.runs = KubernetesRunControl(cluster, services.validator)
    leader = services.leader = Leader(cluster, settings, services.metrics)
    mirror = services.mirror = Mirror(services.database, services.names, cluster, settings, services.metrics, leader)

    async def mirroring(_: Part) -> None:
        await leader.while_leading(mirror.run)

    tasks = [BackgroundTask(Part("mirror"), mirroring)]
    if leader.elected:
        tasks.append(BackgroundTask(Part("leader-election"), leader.run))
    try:
        yield tasks
    finally:
        await cluster.close()
