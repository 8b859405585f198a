"""The protocol between `schema_process` and `schema_worker`: frames of a length and that many bytes.

A request is three frames, the schema, the value and the value's name; a reply is JSON. Schemas and values are encoded with
Python's own `marshal`, which is faster than JSON and preserves every JSON value; both sides are the same Python.
"""

from __future__ import annotations

import marshal
from typing import Any, Final

LENGTH_BYTES: Final = 4
#: Private memory of a worker, of which Python and the library take 11 MiB.
MEMORY_BYTES: Final = 64 * 1024 * 1024


def frame(content: bytes) -> bytes:
    """`content` prefixed with its length."""
    return len(content).to_bytes(LENGTH_BYTES) + content


def encode(content: Any) -> bytes:
    """Encode JSON for `encode_request`; equal values give equal bytes.

    Raises:
        ValueError: it is thousands of levels deep, or not JSON.
    """
    return marshal.dumps(content, 2)  # version 2 does not depend on which of the parts are the same object


def decode(content: bytes) -> Any:
    """Decode the result of `encode`."""
    return marshal.loads(content)  # noqa: S302 - between a process and its parent


def encode_request(schema: bytes, value: bytes, name: str) -> bytes:
    """The frame of a request to check `value`, called `name`, against `schema`."""
    return frame(frame(schema) + frame(value) + frame(name.encode()))


def decode_request(request: bytes) -> tuple[bytes, bytes, str]:
    """Schema, value and name of a request without its own length."""
    parts = []
    while request:
        end = LENGTH_BYTES + int.from_bytes(request[:LENGTH_BYTES])
        parts.append(request[LENGTH_BYTES:end])
        request = request[end:]
    schema, value, name = parts
    return schema, value, name.decode()
