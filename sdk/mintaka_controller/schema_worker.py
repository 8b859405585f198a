"""The process that checks values against users' JSON Schemas: `python -m mintaka_controller.schema_worker`.

`schema_process` starts it and may kill it at any time. It reads requests from the socket that is its standard input and
answers each with JSON; it ends with the socket, or once a request takes too long, although its parent was killed meanwhile.
It cannot open files or further sockets, has little memory, and the kernel's out-of-memory killer chooses it before its parent.
"""

from __future__ import annotations

import json
import math
import os
import resource
import socket
import sys
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema_rs  # noqa: F401 - loaded before the limits apply; `compile_schema` imports it late

from mintaka_controller.schema_protocol import LENGTH_BYTES, MEMORY_BYTES, decode, decode_request, frame
from mintaka_core.json_schema import CompiledSchema, InvalidSchema, compile_schema

#: A worker that has grown to this size is replaced: freed memory does not always return to the system.
_RETIREMENT_BYTES = 48 * 1024 * 1024
_CACHED_SCHEMAS = 128
_OPEN_FILES = 3
#: Processor time of one request after which the kernel ends the process; its parent, if alive, kills it much earlier.
_REQUEST_CPU_SECONDS = 10


def main() -> int:
    """Answer requests until the socket is closed."""
    null = os.open(os.devnull, os.O_WRONLY)
    memory = Memory()
    _restrict(int(sys.argv[1]))
    connection = socket.socket(fileno=0)
    checker = Checker()
    # From here on the parent reports errors; the library's last messages about memory must not appear in its log.
    os.dup2(null, sys.stderr.fileno())
    os.close(null)
    connection.sendall(frame(b"{}"))
    while (length := _receive(connection, LENGTH_BYTES)) and (request := _receive(connection, int.from_bytes(length))):
        _limit_cpu(_REQUEST_CPU_SECONDS)
        answer = checker.answer(request)
        answer["retiring"] = memory.resident_bytes() > _RETIREMENT_BYTES
        connection.sendall(frame(json.dumps(answer).encode()))
    return 0


class Memory:
    """The memory of this process; unlike getrusage(2), which starts with that of the parent."""

    def __init__(self) -> None:
        """Open the kernel's statistics before files can no longer be opened."""
        statistics = Path("/proc/self/statm")
        self._file = statistics.open("rb", buffering=0) if statistics.exists() else None

    def resident_bytes(self) -> int:
        """Resident memory in bytes; 0 if the system does not report it."""
        return 0 if self._file is None else int(os.pread(self._file.fileno(), 100, 0).split()[1]) * resource.getpagesize()


class Checker:
    """Answers requests, with a cache of recently used compiled schemas."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[bytes, CompiledSchema] = OrderedDict()

    def answer(self, request: bytes) -> dict[str, Any]:
        """`violations`, or `invalid` with what is wrong with the schema."""
        schema, value, name = decode_request(request)
        try:
            return {"violations": self._compiled_schema(schema).violations(decode(value), name)}
        except InvalidSchema as error:
            return {"invalid": str(error)}

    def _compiled_schema(self, schema: bytes) -> CompiledSchema:
        if (known := self._compiled.get(schema)) is not None:
            self._compiled.move_to_end(schema)
            return known
        compiled = self._compiled[schema] = compile_schema(decode(schema))
        if len(self._compiled) > _CACHED_SCHEMAS:
            self._compiled.popitem(last=False)
        return compiled


def _receive(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes, fewer at the end of the connection."""
    received = bytearray()
    while len(received) < size and (part := connection.recv(min(size - len(received), 1 << 16))):
        received += part
    return bytes(received)


def _restrict(niceness: int) -> None:
    os.nice(niceness)
    with suppress(OSError):  # not on every system
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_DATA, MEMORY_BYTES)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)


def _limit_cpu(seconds: int) -> None:
    """Have the kernel end this process after further `seconds` of processor time."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(time.process_time()) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (until if hard == resource.RLIM_INFINITY else min(until, hard), hard))


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value, value) if hard == resource.RLIM_INFINITY or hard > value else (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
