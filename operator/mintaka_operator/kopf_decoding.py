"""Makes kopf accept any object: it is passed the identity of each flow deployment, with the rest as text.

kopf decodes with the standard library, which raises at about 1,500 levels on Python 3.12, and an exception there ends the
operator's watch of a kind for good. Therefore its session and response class are ours: `GuardedResponse` decodes lists and
events object by object (mintaka_kubernetes.decoding) before kopf sees them. An object that cannot be processed gets a mark.

kopf holds many objects at once, a page of a list and one per worker, and decoded ones can take twenty-five times as much
memory as their text: they are decoded one at a time after kopf, by `unpack`.

kopf removes its finalizer from any object that has it, which users may add and our role does not let kopf patch: kopf would
retry for minutes and occupy one of its workers. Finalizers are not part of the identity, so kopf never sees one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from mintaka_core.names import GROUP
from mintaka_kubernetes.decoding import Unreadable, decode, decode_event, decode_page, split_members

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.client_reqrep import ClientResponse
    from aiohttp.connector import Connection

    from mintaka_kubernetes import Decoded, Document

_logger = logging.getLogger(__name__)

#: The member with an object's text, and what is wrong with it. The API server drops members it does not know, so no user can write it.
_PACKED = f"{GROUP}/packed"
#: The events whose object is a flow deployment; those of others are errors and bookmarks.
_OF_OBJECTS = frozenset({"ADDED", "MODIFIED", "DELETED"})
#: What kopf reads of an object's metadata.
_IDENTITY = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")


@dataclass(frozen=True, slots=True)
class Packed:
    """An object as JSON; `reason` and `message` say why it cannot be processed ("": it can)."""

    text: str
    reason: str = ""
    message: str = ""


def packed_of(document: Document) -> Packed:
    """The object that kopf passed to a handler."""
    return Packed(**document[_PACKED])


def unpack(packed: Packed) -> Decoded:
    """Decode an object; `Unreadable` if it cannot be processed."""
    document = orjson.loads(packed.text)
    return Unreadable(document, packed.reason, packed.message) if packed.reason else document


def _for_kopf(found: Decoded) -> Document:
    """The identity of an object, with the object itself as text."""
    document, fault = (found.document, {"reason": found.reason, "message": found.message}) if isinstance(found, Unreadable) else (found, {})
    metadata = document.get("metadata") or {}
    return {
        **{name: document[name] for name in ("apiVersion", "kind") if name in document},
        "metadata": {name: metadata[name] for name in _IDENTITY if name in metadata},
        _PACKED: {"text": orjson.dumps(document).decode(), **fault},
    }


class GuardedResponse(aiohttp.ClientResponse):
    """A response of the API server in which an undecodable object does not prevent kopf from reading the others."""

    async def start(self, connection: Connection) -> ClientResponse:
        """Start as aiohttp does; the lines of a watch are guarded."""
        await super().start(connection)
        self.content = _GuardedStream(self.content)  # type: ignore[assignment] # it has everything that kopf and aiohttp call
        return self

    async def json(self, **_: Any) -> Any:
        """A list with each of its objects, or one document."""
        body = await self.read()
        return _decoded(body) if body.strip() else None


class _GuardedStream:
    """A stream of events, line by line; delegates everything else to the wrapped stream."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Whole lines, as soon as they arrive."""
        pieces: list[bytes] = []
        async for chunk in self._stream.iter_chunked(size):
            first, *others = chunk.split(b"\n")
            pieces.append(first)
            for other in others:
                yield _guarded(b"".join(pieces))
                pieces = [other]
        yield _guarded(b"".join(pieces))


def _decoded(body: bytes) -> Document:
    members = split_members(body)
    if "items" not in members:
        found = decode(body, typed=True)
        return found.document if isinstance(found, Unreadable) else found
    others = {name: orjson.loads(member) for name, member in members.items() if name != "items"}
    return {**others, "items": [_for_kopf(found) for found in decode_page(body)]}


def _guarded(line: bytes) -> bytes:
    """A line that kopf can decode; empty if it is not an event, for example if the connection broke within it."""
    if not line.strip():
        return b""
    try:
        event = decode_event(line)
    except ValueError as error:
        _logger.warning("kopf received a line that is no event: %s", error)
        return b""
    found = event["object"]
    if event["type"] in _OF_OBJECTS:
        return orjson.dumps({"type": event["type"], "object": _for_kopf(found)}) + b"\n"
    if isinstance(found, Unreadable):
        return orjson.dumps({"type": event["type"], "object": found.document}) + b"\n"
    return line + b"\n"
