"""Makes kopf accept any object: one that it cannot decode is passed to it in part, with a mark.

kopf decodes with the standard library, which raises at about 1,500 levels on Python 3.12, and an exception there ends the
operator's watch of a kind for good. Therefore its session and response class are ours: `GuardedResponse` decodes lists and
events object by object (mintaka_kubernetes.decoding) before kopf sees them. An object that cannot be processed gets a mark,
which `unmarked` reads.

kopf removes its finalizer from any object that has it, which users may add and our role does not let kopf patch: kopf would
retry for minutes and occupy one of its workers. So it never sees that finalizer.
"""

from __future__ import annotations

import logging
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

#: The member that says what is wrong with an object. The API server drops members it does not know, so no user can write it.
_MARK = f"{GROUP}/unreadable"
#: The finalizer that kopf is configured with. It never adds it, since no handler of ours needs one.
KOPF_FINALIZER = f"{GROUP}/unused-by-kopf"


def unmarked(document: Document) -> Decoded:
    """An object as kopf passed it to a handler; `Unreadable` if it cannot be processed."""
    mark = document.get(_MARK)
    if mark is None:
        return document
    return Unreadable({name: value for name, value in document.items() if name != _MARK}, mark["reason"], mark["message"])


def _for_kopf(found: Decoded) -> Document:
    """The object without kopf's finalizer, with a mark if it cannot be processed."""
    document = found.document if isinstance(found, Unreadable) else found
    if _has_kopf_finalizer(document):
        metadata = document["metadata"]
        others = [finalizer for finalizer in metadata["finalizers"] if finalizer != KOPF_FINALIZER]
        document = {**document, "metadata": {**metadata, "finalizers": others}}
    if isinstance(found, Unreadable):
        return {**document, _MARK: {"reason": found.reason, "message": found.message}}
    return document


def _has_kopf_finalizer(document: Document) -> bool:
    metadata = document.get("metadata")
    finalizers = metadata.get("finalizers") if isinstance(metadata, dict) else None
    return isinstance(finalizers, list) and KOPF_FINALIZER in finalizers


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
        return _for_kopf(decode(body, typed=True))
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
    if isinstance(found, Unreadable) or _has_kopf_finalizer(found):
        line = orjson.dumps({"type": event["type"], "object": _for_kopf(found)})
    return line + b"\n"
