"""Folders with a kustomization.yaml, without kubectl: the subset that adds source files to a deployment.

`resources`, `namespace` and `configMapGenerator` with `files` and `literals` are read (Kubernetes, "Declarative Management of Kubernetes
Objects Using Kustomize"). Any other field is refused by name, because without it something else would be applied.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import yaml

from mintaka.cli.parsing import BadArgument
from mintaka.manifests import as_json

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka.histories import Document

#: The file names that kustomize accepts, in its order.
FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_FIELDS = frozenset({"apiVersion", "kind", "resources", "namespace", "configMapGenerator", "generatorOptions"})
_OPTIONS = frozenset({"disableNameSuffixHash", "labels", "annotations"})
_GENERATOR = frozenset({"name", "namespace", "files", "literals", "options"})
_DEEPEST = 8


def kustomization_of(folder: Path) -> Path | None:
    """The kustomization of a folder; None if it has none."""
    return next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)


def render(file: Path) -> str:
    """The documents of a kustomization, as the JSON of a List.

    Raises:
        BadArgument: it cannot be read, or uses an unsupported field.
    """
    return as_json({"apiVersion": "v1", "kind": "List", "items": _documents(file, 0)})


def _documents(file: Path, depth: int) -> list[Document]:
    content = _mapping(file)
    _require_known(file, content, _FIELDS, "")
    if depth > _DEEPEST:
        message = f"{file}: kustomizations are nested more than {_DEEPEST} deep"
        raise BadArgument(message)
    found: list[Document] = []
    for resource in _list_of(file, content, "resources"):
        found += _resource(file, str(resource), depth)
    options = content.get("generatorOptions") or {}
    found += [_config_map(file, generator, options) for generator in _list_of(file, content, "configMapGenerator")]
    if namespace := content.get("namespace"):
        found = [{**document, "metadata": {**(document.get("metadata") or {}), "namespace": namespace}} for document in found]
    return found


def _resource(file: Path, name: str, depth: int) -> list[Document]:
    path = file.parent / name
    if path.is_dir() and (inner := kustomization_of(path)) is not None:
        return _documents(inner, depth + 1)
    if not path.is_file():
        message = f"{file}: resources: there is no file or kustomization {name}"
        raise BadArgument(message)
    return [document for document in _read(path) if document is not None]


def _config_map(file: Path, generator: Any, shared: Any) -> Document:
    if not isinstance(generator, dict) or not isinstance(generator.get("name"), str):
        message = f"{file}: configMapGenerator: each has a name"
        raise BadArgument(message)
    name = generator["name"]
    _require_known(file, generator, _GENERATOR, f"configMapGenerator {name}: ")
    options = {**shared, **(generator.get("options") or {})}
    _require_known(file, options, _OPTIONS, "generatorOptions: ")
    if not options.get("disableNameSuffixHash"):
        message = (
            f"{file}: configMapGenerator {name}: names with a hash are not understood here; set generatorOptions.disableNameSuffixHash: true, "
            f"or use kubectl kustomize {file.parent} | mintaka apply -"
        )
        raise BadArgument(message)
    data, binary = {}, {}
    for entry in _list_of(file, generator, "files"):
        key, _, source = str(entry).rpartition("=")
        path = file.parent / source
        try:
            content = path.read_bytes()
        except OSError as error:
            message = f"{file}: configMapGenerator {name}: {path} cannot be read: {error.strerror}"
            raise BadArgument(message) from error
        try:
            data[key or path.name] = content.decode()
        except UnicodeDecodeError:
            binary[key or path.name] = base64.b64encode(content).decode()
    for entry in _list_of(file, generator, "literals"):
        key, equals, value = str(entry).partition("=")
        if not equals:
            message = f"{file}: configMapGenerator {name}: {entry!r} is not KEY=VALUE"
            raise BadArgument(message)
        data[key] = value
    metadata: Document = {"name": name} | {field: options[field] for field in ("labels", "annotations") if options.get(field)}
    if generator.get("namespace"):
        metadata["namespace"] = generator["namespace"]
    document: Document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    return document | ({"data": data} if data else {}) | ({"binaryData": binary} if binary else {})


def _mapping(file: Path) -> Document:
    contents = _read(file)
    if len(contents) != 1 or not isinstance(contents[0], dict):
        message = f"{file} is not one object"
        raise BadArgument(message)
    return contents[0]


def _read(path: Path) -> list[Any]:
    try:
        return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        message = f"{path} cannot be read: {' '.join(str(error).split())}"
        raise BadArgument(message) from error


def _list_of(file: Path, content: Document, field: str) -> list[Any]:
    value = content.get(field) or []
    if not isinstance(value, list):
        message = f"{file}: {field} is a list"
        raise BadArgument(message)
    return value


def _require_known(file: Path, content: Document, known: frozenset[str], where: str) -> None:
    if unknown := sorted(map(str, set(content) - known)):
        message = f"{file}: {where}{', '.join(unknown)} is not understood here: kubectl kustomize {file.parent} | mintaka apply -"
        raise BadArgument(message)
