"""Reading a request's body within limits: what is too large is refused while it arrives, packed or not."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from mintaka_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from starlette.requests import Request

#: The most bytes of a body, unpacked.
BODY_LIMIT = 4 * 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """The body of `request`, unpacked; a Problem where it passes `limit` or its encoding is not gzip."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:18]) > limit:
        raise too_large(limit)
    match encoding:
        case "identity" | "":
            return await _plain(request.stream(), limit)
        case "gzip" | "x-gzip":
            return await _unpacked(request.stream(), limit)
        case _:
            raise Problem("unsupported-encoding", f"Content-Encoding {encoding[:50]!r} is not supported: send gzip, or none")


def too_large(limit: int) -> Problem:
    """The Problem of a body that passes `limit` bytes."""
    return Problem("too-large", f"the body passes {limit} bytes: send it in parts")


async def _plain(chunks: AsyncIterable[bytes], limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        parts.append(chunk)
    return b"".join(parts)


async def _unpacked(chunks: AsyncIterable[bytes], limit: int) -> bytes:
    """Unpack as it arrives, never more than `limit` and a byte."""
    unpacker = zlib.decompressobj(_GZIP)
    parts: list[bytes] = []
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
            parts.append(part)
    except zlib.error as error:
        raise Problem("malformed", f"the body is not gzip: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise Problem("malformed", "the body is not one whole gzip member")
    return b"".join(parts)
