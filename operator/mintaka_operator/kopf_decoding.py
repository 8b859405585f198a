"""Makes kopf accept any object: one that it cannot decode is passed to it in part, with a mark.

kopf decodes with the standard library, which raises at about 1,500 levels on Python 3.12, and an exception there ends the
operator's watch of a kind for good. Therefore its session and response class are ours: `GuardedResponse` decodes lists and
events object by object (mintaka_kubernetes.decoding) before kopf sees them. An object that cannot be processed gets a mark,
which `unmarked` reads.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from mintaka_kubernetes.decoding import Unreadable, decode, decode_event, decode_page, split_members

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.client_reqrep import ClientResponse
    from aiohttp.connector import Connection

    from mintaka_kubernetes import Decoded, Document

_logger = logging.getLogger(__name__)

#: The member that says what is wrong with an object. The API server drops members it does not know, so no user can write it.
_MARK = "mintaka.dev/unreadable"


def unmarked(document: Document) -> Decoded:
    """An object as kopf passed it to a handler; `Unreadable` if it cannot be processed."""
    mark = document.get(_MARK)
    if mark is None:
        return document
    return Unreadable({name: value for name, value in document.items() if name != _MARK}, mark["reason"], mark["message"])


def _marked(found: Decoded) -> Document:
    if isinstance(found, Unreadable):
        return {**found.document, _MARK: {"reason": found.reason, "message": found.message}}
    return found


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
        return _marked(decode(body, typed=True))
    others = {name: orjson.loads(member) for name, member in members.items() if name != "items"}
    return {**others, "items": [_marked(found) for found in decode_page(body)]}


def _guarded(line: bytes) -> bytes:
    """A line that kopf can decode; empty if it is not an event, for example if the connection broke within it."""
    if not line.strip():
        return b""
    try:
        event = decode_event(line)
    except ValueError as error:
        _logger.warning("kopf received a line that is no event: %s", error)
        return b""
    if isinstance(event["object"], Unreadable):
        line = orjson.dumps({"type": event["type"], "object": _marked(event["object"])})
    return line + b"\n"
