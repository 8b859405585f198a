"""Revisions of a flow deployment: what its runs run, by content, under a name that follows from the content.

A revision has the fields of the deployment that concern a run, as they are stored, without those that concern the deployment
as a whole (`schedules`, `suspend`, `concurrency`, `priority`, `history`, `description`). The files of a ConfigMap source are part of it, in
`source.configMap.files`, unless they are too large or not text: then only name, resource version and digest are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mintaka_core import names

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun

#: The most that the files of a source may take in a revision, names included. In a pod they are annotations, which take at
#: most 256 KiB together (Kubernetes, "Annotations").
SOURCE_COPY_LIMIT_BYTES = 128 * 1024
#: The length of each of the two digests in a name. A collision would run another spec of the same deployment: 40 bits.
_DIGEST = 10
_OF_THE_DEPLOYMENT = frozenset({"schedules", "suspend", "concurrency", "priority", "history", "description"})


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """A ConfigMap with source files in one version. `files` is None if they are too large or not text, and are not copied."""

    name: str
    version: str
    digest: str
    files: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision; `data` is never changed. `number` grows with each new revision of a deployment (0: not known)."""

    name: str
    deployment: str
    deployment_uid: str
    data: dict[str, Any]
    number: int = 0

    @property
    def intact(self) -> bool:
        """True if the data is what the name was made from."""
        source = source_of(self.data)
        plain = {**self.data, "source": {"configMap": {"name": source.name}}} if source else self.data
        expected = revision_digest(template_digest(self.deployment_uid, plain), source.digest if source else "")
        return _digest_of(self.name) == expected and (source is None or source.files is None or digest(source.files) == source.digest)


def template_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a deployment's spec that concerns its runs."""
    template = {field: value for field, value in spec.items() if field not in _OF_THE_DEPLOYMENT}
    config_map = config_map_of(template)
    return {**template, "source": {"configMap": {"name": config_map}}} if config_map else template


def config_map_of(template: Mapping[str, Any]) -> str:
    """The name of the ConfigMap with the source of a template, "" if there is none."""
    source = template.get("source")
    found = source.get("configMap") if isinstance(source, dict) else None
    return str(found.get("name", "")) if isinstance(found, dict) else ""


def digest(value: Any) -> str:
    """A digest of a JSON value that does not depend on the order of its members."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


def template_digest(deployment_uid: str, template: Mapping[str, Any]) -> str:
    """The digest of a template; one of another deployment, also of an earlier one of the same name, has another."""
    return digest([deployment_uid, template])


def revision_digest(template: str, source: str = "") -> str:
    """The end of a revision's name: the digests of its template and, if it has a ConfigMap source, of that."""
    return template + source


def revision_name(deployment: str, template: str, source: str = "") -> str:
    """`DEPLOYMENT-DIGEST`."""
    return names.shortened(deployment, f"-{revision_digest(template, source)}", names.NAME_LIMIT)


def has_template(revision: str, template: str) -> bool:
    """True if the revision of that name has the template with that digest, regardless of its source."""
    return bool(template) and _digest_of(revision)[:_DIGEST] == template


def has_source(revision: str, source: str) -> bool:
    """True if the revision of that name has the source with that digest ("": none)."""
    return _digest_of(revision)[_DIGEST:] == source


def source_version(name: str, version: str, text: Mapping[str, str], binary: Mapping[str, str]) -> SourceVersion:
    """A ConfigMap's content: its `data` and `binaryData`."""
    size = sum(len(key.encode()) + len(content.encode()) for key, content in text.items())
    copied = not binary and size <= SOURCE_COPY_LIMIT_BYTES
    return SourceVersion(name, version, digest(text if not binary else [text, binary]), dict(text) if copied else None)


def revision_data(template: Mapping[str, Any], source: SourceVersion | None) -> dict[str, Any]:
    """What is stored: the template, with its ConfigMap source by content."""
    if source is None:
        return dict(template)
    copy: dict[str, Any] = {"name": source.name, "resourceVersion": source.version, "digest": source.digest}
    return {**template, "source": {"configMap": copy if source.files is None else {**copy, "files": dict(source.files)}}}


def source_of(data: Mapping[str, Any]) -> SourceVersion | None:
    """The ConfigMap source in a revision's data; None if it has none."""
    source = data.get("source")
    stored = source.get("configMap") if isinstance(source, dict) else None
    if not isinstance(stored, dict):
        return None
    files = stored.get("files")
    copied = files if isinstance(files, dict) and all(isinstance(content, str) for content in files.values()) else None
    name, version, content = (str(stored.get(field, "")) for field in ("name", "resourceVersion", "digest"))
    return SourceVersion(name, version, content, copied)


def wants_latest(run: FlowRun) -> bool:
    """True if the owner wants further attempts of the run to take the newest revision."""
    return run.metadata.annotations.get(names.ANNOTATION_REVISION) == names.REVISION_LATEST


def _digest_of(name: str) -> str:
    return name.rpartition("-")[2]
