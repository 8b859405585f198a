"""A server of processes that is killed at a given moment: `python process_server.py HOME MOMENT` reads a run from its standard input.

MOMENT: `requested` (the folder exists, no supervisor is requested), `sent` (a supervisor is requested, no answer has arrived),
`running` (the process runs), `never`. It prints `ready` when it waits to be killed from outside.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mintaka_api.local.processes.fork_server_client import ForkServer
from mintaka_core.resources import FlowRun
from process_world import ProcessWorld


def die() -> None:
    """Kill this process, as from outside."""
    os.kill(os.getpid(), signal.SIGKILL)


class DyingForkServer(ForkServer):
    """Dies before or after a request."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self._after = after

    async def request(self, request: Any) -> Any:
        """Die with it."""
        if self._after:
            self._send(_line(request))
        die()


def _line(request: Any) -> bytes:
    import json  # noqa: PLC0415 - only here

    return json.dumps(request).encode() + b"\n"


async def main(home: Path, moment: str) -> None:
    """Create the run's process, then do nothing."""
    run = FlowRun.model_validate_json(sys.stdin.read())
    async with ProcessWorld(home) as world:
        if moment in {"requested", "sent"}:
            world.workloads.starter.fork_server = DyingForkServer(after=moment == "sent")
        await world.create(run)
        if moment == "running":
            die()
        print("ready", flush=True)
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
