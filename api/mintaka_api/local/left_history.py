"""Imports history that processes left on disk because no server was running when they ended.

`mintaka deliver` does it, in a process of its own, over the server's REST API: it detects which folders' processes have ended. It is
started only if there are folders, and less and less often while the same folders remain, those of running processes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka_api.background_tasks import Part

logger = logging.getLogger("mintaka.server")

_COMMAND = ("-P", "-c", "from mintaka.cli import main; main()", "deliver")
_LOOK_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 300.0
#: The subfolder for folders that cannot be delivered.
_SET_ASIDE = "set-aside"


class LeftHistory:
    """Delivers the history left in `folder` to the API at `url`."""

    def __init__(self, folder: Path, url: str, token_file: Path) -> None:
        self.folder = folder
        self._environment = {"MINTAKA_API_URL": url, "MINTAKA_API_TOKEN_FILE": str(token_file)}

    async def run(self, part: Part) -> None:
        """Look for folders until cancelled."""
        wait, before = _LOOK_SECONDS, frozenset[str]()
        while True:
            await asyncio.sleep(wait)
            found = self._folders()
            wait = _LOOK_SECONDS if found != before else min(2 * wait, _LONGEST_WAIT_SECONDS)
            if found:
                part.problem = await self._deliver()
                found = self._folders()
            before = found

    def _folders(self) -> frozenset[str]:
        try:
            return frozenset(entry.name for entry in os.scandir(self.folder) if entry.is_dir() and entry.name != _SET_ASIDE)
        except FileNotFoundError:
            return frozenset()

    async def _deliver(self) -> str:
        """Deliver what can be delivered; returns the problem, "" if there is no problem."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *_COMMAND,
            str(self.folder),
            env=os.environ | self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.terminate()
        words = " ".join(said.decode(errors="replace").split())
        if process.returncode != 0:
            return f"history that processes left in {self.folder} is not delivered: {words}"
        logger.info("history that processes left in %s: %s", self.folder, words)
        return ""
