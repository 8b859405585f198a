"""The source code of flows on the local server: the controller's port `Sources`.

A source is inline, a ConfigMap document, or, without any, files of this machine: an entrypoint that is an absolute path, or a path in
`process.workingDir`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from mintaka_controller.ports import Missing
from mintaka_core.reconciling.deployments import Problem
from mintaka_core.revisions import SourceVersion, source_version

if TYPE_CHECKING:
    from mintaka_api.local.document_store import DocumentStore
    from mintaka_core.resources import FlowTemplate

_KIND = "ConfigMap"


class LocalSources:
    """Checks whether the code of a template exists, and reads ConfigMaps."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def find_problem(self, namespace: str, template: FlowTemplate) -> Problem | None:
        """Why the code cannot be read; None if it can."""
        if template.source is None:
            path = flow_file(template)
            return await asyncio.to_thread(_problem_of_file, path) if path else None
        if template.source.config_map is None:
            return None
        name = template.source.config_map.name
        try:
            await self._store.version_of(_KIND, (namespace, name))
        except Missing:
            message = f"there is no ConfigMap {name!r} in namespace {namespace!r}, which spec.source.configMap names: apply it"
            return Problem("ConfigMapNotFound", message)
        return None

    async def find_version(self, namespace: str, name: str) -> str:
        """The resource version of a ConfigMap. Raises Missing."""
        return await self._store.version_of(_KIND, (namespace, name))

    async def read_files(self, namespace: str, name: str) -> SourceVersion:
        """The content of a ConfigMap. Raises Missing."""
        found = await self._store.read(_KIND, (namespace, name))
        return source_version(name, found["metadata"]["resourceVersion"], found.get("data") or {}, found.get("binaryData") or {})


def flow_file(template: FlowTemplate) -> Path | None:
    """The file of this machine that an entrypoint names; None if it is a module, or if only the process can resolve its path."""
    place, colon, _ = (template.entrypoint or "").rpartition(":")
    if not (colon and place.endswith(".py")):
        return None
    process = template.to_wire().get("process")
    folder = Path(str((process or {}).get("workingDir") or "")).expanduser()
    path = folder / Path(place).expanduser()
    return path if path.is_absolute() else None


def _problem_of_file(path: Path) -> Problem | None:
    try:
        with path.open("rb"):
            return None
    except FileNotFoundError:
        message = f"there is no file {path}, which spec.entrypoint names: write it, or correct spec.entrypoint or spec.process.workingDir"
        return Problem("EntrypointNotFound", message)
    except OSError as error:
        return Problem("EntrypointNotReadable", f"{path}, which spec.entrypoint names, cannot be read: {error.strerror}")
