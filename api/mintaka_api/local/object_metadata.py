"""The metadata of documents: names, times, generation and owners, as an API server of Kubernetes maintains them. Pure, but for names."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Any

from mintaka_core.names import CLUSTER_RULE, MIRROR_FINALIZER

if TYPE_CHECKING:
    from mintaka_api.local.kinds import Kind
    from mintaka_controller.ports import Document, Name

#: The namespace of documents that do not name one: that of scripts.
NAMESPACE = "local"
#: Characters of generated names, without vowels and easily confused ones, as in Kubernetes.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_PREFIX_LIMIT = 63 - _SUFFIX_LENGTH
#: What the server maintains; a manifest may repeat it.
_MAINTAINED = ("resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
#: What is not stored at all.
_NOT_STORED = ("managedFields", "selfLink")


def key_of(document: Document) -> Name:
    """Namespace and name of a document or manifest; "" for a name that is generated later."""
    metadata = document.get("metadata") or {}
    namespace = "" if document.get("kind") == CLUSTER_RULE else str(metadata.get("namespace") or NAMESPACE)
    return namespace, str(metadata.get("name") or "")


def generated_name(prefix: str) -> str:
    """A name that begins with `prefix`."""
    return prefix[:_PREFIX_LIMIT] + "".join(secrets.choice(_LETTERS) for _ in range(_SUFFIX_LENGTH))


def new_document(kind: Kind, manifest: Document, uid: str, now: str) -> Document:
    """The document of a manifest that has name and namespace: with uid, time and generation, without status or version."""
    metadata = _authored(manifest)
    metadata |= {"namespace": key_of({"kind": kind.name, **manifest})[0], "uid": uid, "creationTimestamp": now}
    if kind.custom:
        metadata["generation"] = 1
    if kind.name == "FlowRun":
        # As with the mirror's finalizer in a cluster, deleting a run cancels it, and it stays until its end is in the history.
        metadata["finalizers"] = list(dict.fromkeys((*(metadata.get("finalizers") or ()), MIRROR_FINALIZER)))
    document = {"apiVersion": kind.api_version, "kind": kind.name, **manifest, "metadata": metadata}
    if kind.custom:
        document.pop("status", None)
    return document


def changed_document(kind: Kind, old: Document, new: Document) -> Document:
    """`new` with the fields of `old` that a change cannot modify: version, times, generation, status."""
    before = old["metadata"]
    metadata = {"uid": before["uid"], "namespace": before.get("namespace") or "", "name": before["name"], **_authored(new)}
    metadata |= {name: before[name] for name in _MAINTAINED if name in before}
    document = {**new, "metadata": metadata}
    if kind.custom:
        document.pop("status", None)
        document |= {"status": old["status"]} if "status" in old else {}
    return document


def with_generation(kind: Kind, old: Document, new: Document) -> Document:
    """`new` with the next generation if anything but metadata and status differs from `old`."""
    if not kind.custom or _content(old) == _content(new):
        return new
    return {**new, "metadata": {**new["metadata"], "generation": old["metadata"]["generation"] + 1}}


def being_deleted(document: Document, now: str) -> Document:
    """The document with a deletion time: it is removed when its finalizers are."""
    metadata = {**document["metadata"], "deletionTimestamp": now, "deletionGracePeriodSeconds": 0}
    if "generation" in metadata:
        metadata["generation"] += 1
    return {**document, "metadata": metadata}


def with_version(document: Document, version: int) -> Document:
    """The document under another resource version."""
    return {**document, "metadata": {**document["metadata"], "resourceVersion": str(version)}}


def is_released(document: Document) -> bool:
    """True for a deleted document that no finalizer holds."""
    metadata = document["metadata"]
    return bool(metadata.get("deletionTimestamp")) and not metadata.get("finalizers")


def owners_of(document: Document) -> set[str]:
    """The uids of a document's owners; one that is not a UUID belongs to no document and is left out."""
    found = (_uuid(reference.get("uid")) for reference in document["metadata"].get("ownerReferences") or ())
    return {uid for uid in found if uid}


def owned_by_only(document: Document, uids: set[str]) -> Document:
    """The document without its references to owners whose uid is not one of these."""
    references = [reference for reference in document["metadata"].get("ownerReferences") or () if _uuid(reference.get("uid")) in uids]
    metadata: dict[str, Any] = {**document["metadata"], "ownerReferences": references}
    if not references:
        del metadata["ownerReferences"]
    return {**document, "metadata": metadata}


def _authored(document: Document) -> dict[str, Any]:
    """The metadata that a writer may choose, or has to repeat unchanged."""
    ignored = {*_MAINTAINED, *_NOT_STORED}
    return {name: value for name, value in (document.get("metadata") or {}).items() if name not in ignored and value is not None}


def _uuid(text: Any) -> str:
    """A UUID in its usual spelling; "" if it is not one."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, TypeError, AttributeError):
        return ""


def _content(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in {"metadata", "status"}}
