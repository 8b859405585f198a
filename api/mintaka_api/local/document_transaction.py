"""Changes of documents within one transaction of the database, as an API server of Kubernetes makes them.

A document that changes gets the next resource version, one that does not keeps its own. A deleted document stays while
finalizers hold it; when it is removed, what it owned is removed too, unless another owner is left. Every change is recorded for the
history, which is written in the same transaction, and for subscribers.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import orjson

from mintaka_api.local.document_validation import require_readable, validate_new, validate_update
from mintaka_api.local.kinds import kind_of
from mintaka_api.local.merging import applied, merge_patched, with_last_applied
from mintaka_api.local.object_metadata import (
    being_deleted,
    changed_document,
    generated_name,
    is_released,
    key_of,
    new_document,
    owned_by_only,
    owners_of,
    with_generation,
    with_version,
)
from mintaka_api.queries import documents
from mintaka_controller.ports import Conflict, Rejected
from mintaka_core.instants import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_controller.ports import Document, Name
    from mintaka_history.database import Connection

#: How many generated names are tried, as in Kubernetes.
_NAME_TRIES = 8


class Change(NamedTuple):
    """A version of a document that was written, or the last one of a document that is gone."""

    kind: str
    document: Document
    deleted: bool


class DocumentTransaction:
    """Reads and changes documents on a connection; `close` stores the version reached. No other writer interleaves."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.changes: list[Change] = []
        self._version = self._stored_version = documents.lock_counter(connection)
        self._now = format_time(datetime.now(UTC))

    def close(self) -> None:
        """Store the last version that was assigned."""
        if self._version != self._stored_version:
            documents.set_counter(self.connection, self._version)

    def read(self, kind: str, key: Name) -> Document:
        """A document. Raises Missing."""
        text = documents.read(self.connection, kind_of(kind).name, key)
        if text is None:
            raise kind_of(kind).missing(key)
        found: Document = orjson.loads(text)
        return found

    def create(self, kind: str, manifest: Document) -> Document:
        """Store a new document. Raises Exists, InvalidDocument."""
        require_readable(kind, manifest)
        prefix = "" if key_of(manifest)[1] else (manifest.get("metadata") or {}).get("generateName")
        if not prefix:
            return self._add(kind, manifest)
        for _ in range(_NAME_TRIES):
            named = {**manifest, "metadata": {**manifest["metadata"], "name": generated_name(str(prefix))}}
            if documents.read(self.connection, kind, key_of(named)) is None:
                return self._add(kind, named)
        raise kind_of(kind).exists(key_of(named))

    def apply(self, kind: str, manifest: Document) -> tuple[Document, str]:
        """Create a document, or merge the manifest into it: the result, and "created", "configured" or "unchanged"."""
        require_readable(kind, manifest)
        key = key_of(manifest)
        wanted = with_last_applied(manifest)
        text = documents.read(self.connection, kind_of(kind).name, key)
        if text is None:
            return self._add(kind, wanted), "created"
        old = orjson.loads(text)
        metadata = manifest.get("metadata") or {}
        self._require(kind, old, version=metadata.get("resourceVersion"), uid=metadata.get("uid"))
        new = self._update(kind, old, applied(old, wanted))
        return new, "unchanged" if new is old else "configured"

    def patch(self, kind: str, key: Name, merge: Document, version: str | None) -> Document:
        """Apply a merge patch to metadata and spec. Raises Conflict, Missing, InvalidDocument."""
        old = self.read(kind, key)
        self._require(kind, old, version=version)
        return self._update(kind, old, merge_patched(old, merge))

    def write_status(self, kind: str, key: Name, version: str, status: Document) -> Document:
        """Replace the status of a document that still has that version. Raises Conflict, Missing."""
        old = self.read(kind, key)
        self._require(kind, old, version=version)
        return self._store(kind, old, {**old, "status": status})

    def write_finalizers(self, kind: str, key: Name, version: str, finalizers: Sequence[str]) -> Document | None:
        """Replace the finalizers of a document that still has that version; None if that removed it. Raises Conflict, Missing."""
        old = self.read(kind, key)
        self._require(kind, old, version=version)
        new = self._store(kind, old, {**old, "metadata": {**old["metadata"], "finalizers": list(finalizers)}})
        return None if is_released(new) else new

    def delete(self, kind: str, key: Name, *, uid: str | None = None, version: str | None = None) -> Document | None:
        """Delete a document; the remaining document while finalizers hold it, else None. Raises Conflict, Missing."""
        old = self.read(kind, key)
        self._require(kind, old, version=version, uid=uid)
        return self._delete(kind, old)

    def _add(self, kind: str, manifest: Document) -> Document:
        key = key_of(manifest)
        document = validate_new(kind, new_document(kind_of(kind), manifest, str(uuid.uuid4()), self._now))
        document = self._next(document)
        if not documents.add(self.connection, _row(kind, document)):
            raise kind_of(kind).exists(key)
        self.changes.append(Change(kind, document, deleted=False))
        if document["metadata"].get("ownerReferences"):
            owners = owners_of(document)
            documents.set_owners(self.connection, document["metadata"]["uid"], owners)
            if not documents.existing(self.connection, owners):
                self._delete(kind, document)  # its owner was deleted meanwhile
        return document

    def _update(self, kind: str, old: Document, new: Document) -> Document:
        """Store a change of anything but the status; `old` itself if there is none."""
        new = changed_document(kind_of(kind), old, new)
        new = validate_update(kind, old, new)
        return self._store(kind, old, with_generation(kind_of(kind), old, new))

    def _store(self, kind: str, old: Document, new: Document) -> Document:
        """Store another version of a document, or remove it if nothing holds it any more."""
        if new == old:
            return old
        new = self._next(new)
        if is_released(new):
            self._remove(kind, new)
            return new
        documents.replace(self.connection, _row(kind, new))
        if new["metadata"].get("ownerReferences") != old["metadata"].get("ownerReferences"):
            documents.set_owners(self.connection, new["metadata"]["uid"], owners_of(new))
        self.changes.append(Change(kind, new, deleted=False))
        return new

    def _delete(self, kind: str, old: Document) -> Document | None:
        if not old["metadata"].get("finalizers"):
            self._remove(kind, self._next(old))
            return None
        return old if old["metadata"].get("deletionTimestamp") else self._store(kind, old, being_deleted(old, self._now))

    def _remove(self, kind: str, document: Document) -> None:
        """Remove a document and, with it, what no one else owns."""
        uid = document["metadata"]["uid"]
        documents.remove(self.connection, uid)
        self.changes.append(Change(kind, document, deleted=True))
        for text in documents.owned_by(self.connection, uid):
            owned = orjson.loads(text)
            if left := documents.existing(self.connection, owners_of(owned)):
                self._store(owned["kind"], owned, owned_by_only(owned, left))
            else:
                self._delete(owned["kind"], owned)

    def _next(self, document: Document) -> Document:
        self._version += 1
        return with_version(document, self._version)

    def _require(self, kind: str, document: Document, *, version: str | None = None, uid: str | None = None) -> None:
        """Raise Conflict unless the document has the expected uid and version."""
        metadata = document["metadata"]
        if uid and uid != metadata["uid"]:
            message = (
                f"{kind_of(kind).plural} {'/'.join(key_of(document))}: UID in precondition: {uid}, UID in object meta: {metadata['uid']}"
            )
            raise Conflict(message)
        if version and version != metadata["resourceVersion"]:
            raise kind_of(kind).changed(key_of(document))


def _row(kind: str, document: Document) -> documents.DocumentRow:
    metadata = document["metadata"]
    try:
        text = orjson.dumps(document).decode()
    except TypeError as error:
        message = f"{kind} {'/'.join(key_of(document))} is not JSON that can be stored: {error}"
        raise Rejected(message) from error
    return documents.DocumentRow(
        kind,
        metadata.get("namespace") or "",
        metadata["name"],
        metadata["uid"],
        int(metadata["resourceVersion"]),
        metadata.get("generation", 0),
        text,
    )
