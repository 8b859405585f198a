"""Reads request bodies within limits: an oversized body is refused while it arrives, compressed or not.

The total size of all bodies being received or processed is limited too (`Intake`), as is the time in which one arrives: pods
that deliver at once, or clients that never finish, must not exhaust the API's memory.
"""

from __future__ import annotations

import asyncio
import zlib
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from mintaka_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

#: The maximum size of a body in bytes, decompressed.
BODY_LIMIT = 4 * 1024 * 1024
#: The maximum total size in bytes of the bodies being received or processed, decompressed.
INTAKE_LIMIT = 64 * 1024 * 1024
_ARRIVAL_SECONDS = 60.0
_GZIP = 16 + zlib.MAX_WBITS
#: The key of a request's scope under which its held bodies are.
_HELD = "mintaka.bodies"


class Intake:
    """The bodies that are being received or processed."""

    def __init__(self, limit: int = INTAKE_LIMIT, arrival_seconds: float = _ARRIVAL_SECONDS) -> None:
        """At most `limit` bytes at a time, each body received within `arrival_seconds`."""
        self._limit = limit
        self._arrival_seconds = arrival_seconds
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request, limit: int = BODY_LIMIT) -> AsyncIterator[bytes]:
        """The body of `request`, at most `limit` bytes, which counts until the end of the block.

        Raises a Problem if it is too large, does not arrive, or if there is no room for it now.
        """
        parts: list[bytes] = []
        try:
            await self._receive(request, parts, limit)
            yield b"".join(parts)
        finally:
            self._held -= sum(map(len, parts))

    async def hold(self, request: Request, limit: int) -> bytes:
        """The body of `request` like `body`; it counts until the request is answered."""
        held: AsyncExitStack = request.scope[_HELD]
        return await held.enter_async_context(self.body(request, limit))

    async def _receive(self, request: Request, parts: list[bytes], limit: int) -> None:
        """Append the body's chunks to `parts` and count them."""
        try:
            async with asyncio.timeout(self._arrival_seconds):
                async for part in _parts(request, limit):
                    if self._held + len(part) > self._limit:
                        raise Problem("overloaded", f"bodies of {self._limit} bytes are being processed: send it again")
                    parts.append(part)
                    self._held += len(part)
        except TimeoutError as error:
            raise Problem("too-slow", f"the body did not arrive within {self._arrival_seconds:g} s") from error


class HeldBodies:
    """ASGI middleware that releases the bodies which a request holds (`Intake.hold`) when it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        async with AsyncExitStack() as held:
            await self._app({**scope, _HELD: held} if scope["type"] == "http" else scope, receive, send)


def too_large(limit: int) -> Problem:
    """The Problem for a body that exceeds `limit` bytes."""
    return Problem("too-large", f"the body passes {limit} bytes: send it in parts")


def _parts(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The decompressed body as it arrives."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:18]) > limit:
        raise too_large(limit)
    match encoding:
        case "identity" | "":
            return _plain(request.stream(), limit)
        case "gzip" | "x-gzip":
            return _unpacked(request.stream(), limit)
        case _:
            raise Problem("unsupported-encoding", f"Content-Encoding {encoding[:50]!r} is not supported: send gzip, or none")


async def _plain(chunks: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        yield chunk


async def _unpacked(chunks: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
    """Decompress the body as it arrives, never more than `limit` + 1 bytes."""
    unpacker = zlib.decompressobj(_GZIP)
    size = received = 0
    try:
        async for chunk in chunks:
            received += len(chunk)
            if received > limit:
                raise too_large(limit)
            part = unpacker.decompress(chunk, limit + 1 - size)
            size += len(part)
            if size > limit or unpacker.unconsumed_tail:
                raise too_large(limit)
            yield part
    except zlib.error as error:
        raise Problem("malformed", f"the body is not gzip: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise Problem("malformed", "the body is not one whole gzip member")
