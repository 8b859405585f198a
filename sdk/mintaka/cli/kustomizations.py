"""Folders with a kustomization.yaml, without kubectl: the subset that adds source files to a deployment.

`resources`, `namespace` and `configMapGenerator` with `files` and `literals` are read (Kubernetes, "Declarative Management of Kubernetes
Objects Using Kustomize"). Any other field is refused by name, because the result would be different without it. As with kustomize's
default load restrictor, a kustomization reads only files of its folder and below; only its bases may be in other folders.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mintaka.cli.config_map_generators import config_map, options_of
from mintaka.cli.kustomization_files import list_of, named_file, require_known, text_of, texts_of
from mintaka.cli.manifest_files import documents_in
from mintaka.cli.parsing import BadArgument
from mintaka.manifests import as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka.histories import Document

#: The file names that kustomize accepts, in its order.
FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_TYPE = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
_FIELDS = frozenset({*_TYPE, "resources", "namespace", "configMapGenerator", "generatorOptions"})
#: Kinds of Kubernetes for which kustomize's `namespace` does something other than set metadata.namespace.
_OTHERWISE_PLACED = frozenset(
    {
        *(
            "APIService",
            "CertificateSigningRequest",
            "ClusterRole",
            "ClusterRoleBinding",
            "CSIDriver",
            "CSINode",
            "CustomResourceDefinition",
        ),
        *("FlowSchema", "IngressClass", "MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PriorityClass"),
        *("PriorityLevelConfiguration", "RoleBinding", "RuntimeClass", "StorageClass", "ValidatingAdmissionPolicy"),
        *("ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "VolumeAttachment"),
    }
)
_DEEPEST = 8


def kustomization_of(folder: Path) -> Path | None:
    """The kustomization of a folder; None if it has none."""
    return next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)


def render(file: Path) -> str:
    """The documents of a kustomization, as the JSON of a List.

    Raises:
        BadArgument: it cannot be read, it names a file outside of its folder, or it uses an unsupported field.
        TooLarge: a document is nested too deeply.
    """
    documents = _documents(file, ())
    try:
        return as_json({"apiVersion": "v1", "kind": "List", "items": documents})
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{file}: a resource has a value that cannot be written as JSON: {error}"
        raise BadArgument(message) from error


def _documents(file: Path, referrers: tuple[Path, ...]) -> list[Document]:
    root = Path(os.path.realpath(file.parent))
    if inner := next((each for each in referrers if each.is_relative_to(root)), None):
        message = f"{file}: this kustomization is a base of {inner}, which is in its own folder: remove one of the references"
        raise BadArgument(message)
    if len(referrers) > _DEEPEST:
        message = f"{file}: kustomizations are nested more than {_DEEPEST} deep"
        raise BadArgument(message)
    content = _kustomization(file)
    found: list[Document] = []
    for resource in texts_of(file, content, "resources"):
        found += _resource(file, resource, (*referrers, root))
    options = options_of(file, "generatorOptions", content.get("generatorOptions"))
    found += [config_map(file, generator, options) for generator in list_of(file, content, "configMapGenerator")]
    _require_distinct(file, found)
    if namespace := text_of(file, content, "namespace"):
        found = [_in_namespace(file, document, namespace) for document in found]
        _require_distinct(file, found)
    return found


def _kustomization(file: Path) -> Document:
    if len(several := [name for name in FILE_NAMES if (file.parent / name).is_file()]) > 1:
        message = f"{file.parent} has {' and '.join(several)}: keep one of them"
        raise BadArgument(message)
    contents = _read(file, named_file(file, "", file.name))
    if len(contents) != 1 or not isinstance(contents[0], dict):
        message = f"{file} must be one object"
        raise BadArgument(message)
    content: Document = contents[0]
    require_known(file, content, _FIELDS, "")
    for field, expected in _TYPE.items():
        if content.get(field, expected) != expected:
            message = f"{file}: {field} is {content[field]!r:.100}, not {expected}"
            raise BadArgument(message)
    return content


def _resource(file: Path, name: str, referrers: tuple[Path, ...]) -> list[Document]:
    path = file.parent / name
    if path.is_dir():
        if Path(name).is_absolute():
            message = f"{file}: resources: the folder {name} is an absolute path: write it relative to {file.parent}"
            raise BadArgument(message)
        if (inner := kustomization_of(path)) is None:
            message = f"{file}: resources: the folder {name} has no kustomization.yaml: add one, or list its files"
            raise BadArgument(message)
        return _documents(inner, referrers)
    if "://" in name:
        message = f"{file}: resources: {name} is a URL, which is not understood here: kubectl kustomize {file.parent} | mintaka apply -"
        raise BadArgument(message)
    contents = _read(path, named_file(file, "resources: ", name))
    return [document for content in contents if content is not None for document in _objects(path, content, 0)]


def _objects(path: Path, content: Any, depth: int) -> Iterator[Document]:
    """The object, or those of a list, which may be in lists again."""
    if depth > _DEEPEST:
        message = f"{path}: lists are nested more than {_DEEPEST} deep"
        raise BadArgument(message)
    if not isinstance(content, dict):
        message = f"{path}: each document must be an object with kind and metadata.name, not {content!r:.100}"
        raise BadArgument(message)
    kind, metadata = content.get("kind"), content.get("metadata")
    if not kind or not isinstance(kind, str):
        message = f"{path}: an object has no kind"
        raise BadArgument(message)
    if kind == "List" or (kind.endswith("List") and "items" in content):
        for item in list_of(path, content, "items"):
            yield from _objects(path, item, depth + 1)
        return
    if not isinstance(metadata, dict) or not metadata.get("name") or not isinstance(metadata["name"], str):
        message = f"{path}: the {kind} needs a metadata.name, which must be text"
        raise BadArgument(message)
    yield content


def _in_namespace(file: Path, document: Document, namespace: str) -> Document:
    group, slash, _ = str(document.get("apiVersion", "")).rpartition("/")
    if document["kind"] in _OTHERWISE_PLACED and (not slash or group.endswith(".k8s.io")):
        message = (
            f"{file}: namespace: resources of kind {document['kind']} are not understood here with it: "
            f"kubectl kustomize {file.parent} | mintaka apply -"
        )
        raise BadArgument(message)
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}


def _require_distinct(file: Path, documents: list[Document]) -> None:
    """Refuse two objects with the same identity: the second would silently replace the first."""
    identities = Counter(
        (str(document.get("apiVersion")), document["kind"], metadata.get("namespace") or "default", metadata["name"])
        for document in documents
        for metadata in (document["metadata"],)
    )
    if several := next((identity for identity, number in identities.items() if number > 1), None):
        message = f"{file}: there is more than one {several[1]} {several[3]} in namespace {several[2]}: remove or rename one"
        raise BadArgument(message)


def _read(named: Path, path: Path) -> list[Any]:
    """The documents of the file at `path`; messages name it as the user did."""
    try:
        return documents_in(str(named), path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError) as error:
        message = f"{named} cannot be read: {' '.join(str(error).split())}"
        raise BadArgument(message) from error
