"""Rendering the chart with the real helm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm import CHART, helm_path

KUBERNETES = "1.34.0"


@dataclass(frozen=True)
class Release:
    """The objects of one rendering."""

    objects: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All objects of `kind`."""
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        """The one object of that kind and name."""
        found = [
            candidate
            for candidate in self.of(kind)
            if candidate["metadata"]["name"] == name and (namespace is None or candidate["metadata"].get("namespace") == namespace)
        ]
        assert len(found) == 1, f"{kind} {name}: {len(found)} of {[candidate['metadata']['name'] for candidate in self.of(kind)]}"
        return found[0]

    def pod(self, component: str) -> dict[str, Any]:
        """The pod template of the Deployment of `component`."""
        return self.one("Deployment", f"mintaka-{component}")["spec"]["template"]

    def container(self, component: str) -> dict[str, Any]:
        """The container of the Deployment of `component`."""
        return self.pod(component)["spec"]["containers"][0]

    def environment(self, component: str) -> dict[str, Any]:
        """The environment of `component`: values, or where they come from."""
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in self.container(component)["env"]}


type Render = Callable[..., Release]
type Refusal = Callable[[dict[str, Any]], str]


@pytest.fixture(scope="session")
def helm() -> str:
    """Path of helm."""
    return helm_path()


@pytest.fixture(scope="session")
def template(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `helm template` with values, a dict or the path of a file; the same once per session."""

    @cache
    def done(values: Path | str, release: str, chart: Path) -> subprocess.CompletedProcess[str]:
        if not isinstance(values, Path):
            path = tmp_path_factory.mktemp("values") / "values.json"
            path.write_text(values, encoding="utf-8")
            values = path
        command = [helm, "template", release, chart, "--namespace", "mintaka-system", "--kube-version", KUBERNETES, "--values", values]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    def run(values: dict[str, Any] | Path | None = None, release: str = "mintaka", chart: Path = CHART) -> subprocess.CompletedProcess[str]:
        return done(values if isinstance(values, Path) else json.dumps(values or {}), release, chart)

    return run


@pytest.fixture(scope="session")
def render(template: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    """The objects the chart makes: `render(values, release=…, chart=…)`."""

    def rendered(values: dict[str, Any] | Path | None = None, release: str = "mintaka", chart: Path = CHART) -> Release:
        done = template(values, release, chart)
        assert done.returncode == 0, done.stderr
        return Release([found for found in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if found])  # ten times faster

    return rendered


@pytest.fixture(scope="session")
def refusal(template: Callable[..., subprocess.CompletedProcess[str]]) -> Refusal:
    """What helm says of values it refuses: `refusal(values)`."""

    def refused(values: dict[str, Any]) -> str:
        done = template(values)
        assert done.returncode != 0, "helm accepted them"
        return done.stderr

    return refused
