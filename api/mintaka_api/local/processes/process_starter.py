"""Starts the process of an attempt: folder, request to the fork server, outcome of the request."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mintaka_api.local.processes.process_start import ProcessStart
from mintaka_controller.ports import CreateRefused, Unavailable
from mintaka_core.states import CRASHED
from mintaka_core.workloads import CreateError, CreateErrorKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_api.local.processes.attempt_folder import AttemptFolder
    from mintaka_api.local.processes.attempt_store import AttemptStore
    from mintaka_api.local.processes.fork_server_client import ForkServer
    from mintaka_api.local.processes.launch import Launch
    from mintaka_api.local.processes.process_start import Outcome


class ProcessStarter:
    """Starts processes; of several requests for one attempt, one is served."""

    def __init__(self, store: AttemptStore, fork_server: ForkServer) -> None:
        self._store = store
        self.fork_server = fork_server

    async def start(self, folder: AttemptFolder, launch: Launch, record: Mapping[str, Any]) -> bool:
        """Request the process of an attempt, with `record` in its folder; False if another request was served.

        Raises CreateRefused, Unavailable: then it was not started, and will not be.
        """
        try:
            await asyncio.to_thread(self._store.create, folder, launch.files, launch.notes)
            outcome = await self._request(folder, launch, record)
        except FileExistsError:
            return False
        except OSError as error:
            raise CreateRefused(_refusal(error)) from error
        if outcome.begun:
            return True
        if outcome.error is not None:
            with suppress(OSError):  # the next request uses the folder again
                await asyncio.to_thread(self._store.abandon, folder)
            raise CreateRefused(_refusal(outcome.error))
        if await self._is_abandoned(folder):
            message = "the supervisor of the process did not begin: is the machine overloaded?"
            raise Unavailable(message)
        return False

    async def _request(self, folder: AttemptFolder, launch: Launch, record: Mapping[str, Any]) -> Outcome:
        request = {
            "folder": folder.path,
            "command": launch.command,
            "directory": launch.directory,
            "environment": launch.environment,
            "grace_seconds": launch.grace_seconds,
            "record": record,
        }
        start = ProcessStart(folder)
        try:
            outcome = await start.outcome(await self.fork_server.request(request))
            return await start.outcome(await self.fork_server.request(request)) if outcome.unserved else outcome
        finally:
            start.close()

    async def _is_abandoned(self, folder: AttemptFolder) -> bool:
        """Whether the request will never be served. Raises CreateRefused if that cannot be recorded."""
        try:
            return await asyncio.to_thread(self._store.abandon, folder)
        except OSError as error:
            raise CreateRefused(_refusal(error)) from error


def _refusal(error: OSError) -> CreateError:
    """Why no process can be started at present; the cause is the machine, not the run."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return CreateError("DiskFull", f"{error}: free disk space", CRASHED, None, CreateErrorKind.TRANSIENT)
    if error.errno in {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}:
        return CreateError("NoResources", f"no process can be started: {error}", CRASHED, None, CreateErrorKind.TRANSIENT)
    message = f"{error}: MINTAKA_HOME is a folder of a local file system with named pipes, which the server may write"
    return CreateError("HomeUnusable", message, CRASHED, None, CreateErrorKind.TRANSIENT)
