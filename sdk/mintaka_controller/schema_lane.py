"""A queue of schema checks in front of one worker process, fair between namespaces.

Namespaces take turns, so that a thousand checks of one delay another's by one. The worker starts with the first check, is
replaced after it was killed, and ends when it has been idle for a while.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from mintaka_controller.schema_process import RequestTooCostly, SchemaProcess, WorkerLost, WorkerNotStarted
from mintaka_core.errors import MintakaError

logger = logging.getLogger("mintaka.controller")

_TRIES = 3
_RESTART_SECONDS = 1.0


class CheckUnavailable(MintakaError):
    """A check could not be made now, through no fault of the schema; the same call may succeed later."""


class Penalties:
    """Namespaces under penalty, each for a limited time."""

    def __init__(self, seconds: float) -> None:
        """Each penalty lasts `seconds`."""
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def add(self, namespace: str) -> None:
        """Start or restart the penalty of `namespace`."""
        now = time.monotonic()
        self._until = {name: until for name, until in self._until.items() if until > now} | {namespace: now + self._seconds}

    def __contains__(self, namespace: str) -> bool:
        return time.monotonic() < self._until.get(namespace, 0.0)


@dataclass(slots=True)
class Check:
    """One value to check; `result` gets the worker's answer, RequestTooCostly or CheckUnavailable."""

    namespace: str
    frame: bytes
    result: asyncio.Future[dict[str, Any]]


class Lane:
    """Checks that wait for one worker, each with the same deadline."""

    def __init__(self, *, deadline_seconds: float, idle_seconds: float, niceness: int = 0, penalties: Penalties | None = None) -> None:
        """A namespace whose check was too costly gets a penalty; checks of such namespaces are refused as too costly without a try."""
        self.restarts = 0
        self._deadline_seconds = deadline_seconds
        self._idle_seconds = idle_seconds
        self._niceness = niceness
        self._penalties = penalties
        self._waiting: dict[str, deque[Check]] = {}
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._process: SchemaProcess | None = None
        self._broken = ("", 0.0)

    @property
    def process_id(self) -> int | None:
        """The worker's process id; None if no worker runs."""
        return self._process.pid if self._process else None

    def submit(self, namespace: str, frame: bytes) -> asyncio.Future[dict[str, Any]]:
        """Queue a check."""
        check = Check(namespace, frame, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(namespace, deque()).append(check)
        self._arrived.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return check.result

    async def close(self) -> None:
        """End the worker; waiting checks are refused."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail_all("the check was interrupted by the end of this process")

    async def _run(self) -> None:
        try:
            while (check := await self._next()) is not None:
                await self._serve(check)
        finally:
            self._task = None
            process, self._process = self._process, None
            if process is not None:
                await process.stop()

    async def _next(self) -> Check | None:
        """The next check in turn; None after the idle time without any."""
        while not self._waiting:
            self._arrived.clear()
            try:
                async with asyncio.timeout(self._idle_seconds):
                    await self._arrived.wait()
            except TimeoutError:
                if not self._waiting:
                    return None
        namespace = next(iter(self._waiting))
        checks = self._waiting.pop(namespace)
        check = checks.popleft()
        if checks:
            self._waiting[namespace] = checks  # at the end of the turn
        return check

    async def _serve(self, check: Check) -> None:
        if check.result.done():
            return
        if self._penalties is not None and check.namespace in self._penalties:
            check.result.set_exception(RequestTooCostly("was not tried"))
            return
        try:
            answer = await self._answer(check)
        except (RequestTooCostly, CheckUnavailable) as error:
            _settle(check, error)
        except asyncio.CancelledError:
            _settle(check, CheckUnavailable("the check was interrupted by the end of this process"))
            raise
        except Exception:  # whatever it is, this check and the next ones get an answer
            logger.exception("a JSON Schema could not be checked")
            _settle(check, CheckUnavailable("the check failed; the log has the details"))
            await self._discard()
        else:
            _settle(check, answer)

    async def _answer(self, check: Check) -> dict[str, Any]:
        lost: MintakaError | None = None
        for _ in range(_TRIES):
            process = await self._running()
            try:
                answer: dict[str, Any] = json.loads(await process.request(check.frame, self._deadline_seconds))
            except RequestTooCostly as error:
                logger.info("checking against a JSON Schema of namespace %s %s", check.namespace, error)
                if self._penalties is not None:
                    self._penalties.add(check.namespace)
                await self._discard()
                raise
            except WorkerLost as error:
                logger.warning("%s; starting another", error)
                lost = error
                await self._discard()
                continue
            if answer["retiring"]:
                await self._discard()
            return answer
        raise CheckUnavailable(str(lost)) from lost

    async def _running(self) -> SchemaProcess:
        if self._process is None:
            reason, until = self._broken
            if time.monotonic() < until:
                raise CheckUnavailable(reason)
            try:
                self._process = await SchemaProcess.start(niceness=self._niceness)
            except WorkerNotStarted as error:
                logger.error("%s", error)  # noqa: TRY400 - the message says it all
                self._broken = (str(error), time.monotonic() + _RESTART_SECONDS)
                raise CheckUnavailable(str(error)) from error
            self.restarts += 1
        return self._process

    async def _discard(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    def _fail_all(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for checks in waiting.values():
            for check in checks:
                _settle(check, CheckUnavailable(reason))


def _settle(check: Check, outcome: dict[str, Any] | MintakaError) -> None:
    if check.result.done():  # its caller was cancelled
        return
    if isinstance(outcome, MintakaError):
        check.result.set_exception(outcome)
    else:
        check.result.set_result(outcome)
