"""Databases and a control plane for the integration tests; each test gets an empty database and namespaces of its own."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api_testing import Namespace
from control_plane import ControlPlane
from mintaka_api.cluster import Cluster
from mintaka_history.database import Database
from mintaka_history.migrating import migrate
from postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests; those that stop it take one of their own."""
    server = PostgresServer(fsync="off")
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'mintaka.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database with the current schema."""
    opened = Database(database_url)
    migrate(opened)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[str]:
    """A kubeconfig with our CRDs: MINTAKA_TEST_KUBECONFIG, or a private control plane."""
    given = os.environ.get("MINTAKA_TEST_KUBECONFIG")
    plane = None if given else ControlPlane()
    try:
        if plane is not None:
            plane.start()
        path = given or str(plane.kubeconfig if plane else "")
        subprocess.run(
            ["kubectl", "--kubeconfig", path, "apply", "--server-side", "--force-conflicts", "-f", _CRDS], check=True, capture_output=True
        )
        wait = ["kubectl", "--kubeconfig", path, "wait", "--for=condition=Established", "--timeout=30s", "-f", _CRDS]
        subprocess.run(wait, check=True, capture_output=True)
        yield path
    finally:
        if plane is not None:
            plane.remove()


@pytest.fixture
async def namespace(kubeconfig: str) -> AsyncIterator[Namespace]:
    """An empty namespace."""
    cluster = Cluster(kubeconfig)
    name = f"api-{uuid.uuid4().hex[:10]}"
    await cluster.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    there = Namespace(cluster, name)
    yield there
    for run in await there.names():
        await there.drop_finalizers(run)
    await cluster.request("DELETE", f"/api/v1/namespaces/{name}")
    await cluster.close()
