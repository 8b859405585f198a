"""The real cluster: Mintaka installed with its Helm chart from its own images, a namespace for each test."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kube import Api, Kube, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SYSTEM = "mintaka-system"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the cluster."""
    for item in items:
        if Path(item.fspath).is_relative_to(ROOT / "tests" / "cluster"):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def installed() -> str:
    """The namespace of an installation by Helm, as `make run` makes it; relisting often, so that healing can be watched."""
    kubectl("wait", "--for=condition=Ready", "nodes", "--selector=type!=kwok", "--timeout=60s")
    command = [str(ROOT / "tools" / "install"), "--values", str(ROOT / "tests" / "cluster" / "values.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr + kubectl("--namespace", SYSTEM, "get", "pods,events")
    # What a test or benchmark that was killed has left behind is none of the operator's business here.
    kubectl("delete", "namespaces", "--selector=mintaka.dev/leftover", "--wait=false")
    return SYSTEM


@pytest.fixture(scope="session")
def api(installed: str) -> Iterator[Api]:
    """The installation's API."""
    found = Api(installed, "service/mintaka-api")
    yield found
    found.close()


def _namespace() -> Iterator[Kube]:
    name = f"t-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "mintaka.dev/leftover=test")
    yield Kube(name)
    kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def kube(installed: str) -> Iterator[Kube]:  # noqa: ARG001 - the installation acts in it
    """A namespace of the test's own."""
    yield from _namespace()


@pytest.fixture
def another_kube(installed: str) -> Iterator[Kube]:  # noqa: ARG001 - the installation acts in it
    """A second namespace of the test's own."""
    yield from _namespace()


@pytest.fixture(scope="module")
def shared_kube(installed: str) -> Iterator[Kube]:  # noqa: ARG001 - the installation acts in it
    """A namespace that the tests of a module share."""
    yield from _namespace()


@pytest.fixture
def operator_away(installed: str) -> Iterator[None]:
    """The installed operator is away, so that a test can run its own."""
    kubectl("--namespace", installed, "scale", "deployment/mintaka-operator", "--replicas=0")
    kubectl("--namespace", installed, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s")
    yield
    kubectl("--namespace", installed, "scale", "deployment/mintaka-operator", "--replicas=1")
    kubectl("--namespace", installed, "rollout", "status", "deployment/mintaka-operator", "--timeout=60s")
