"""Cancelling a flow run of this machine from another process.

A word is left beside the database, and the process that runs it gets SIGTERM; its flow, which finds the word where it judges what
ended it, is CANCELLED instead of CRASHED. Only a process that listens, and that runs nothing else, is told.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mintaka.engine.outcomes import Interrupted
from mintaka.exceptions import Suspension
from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Callable


class NotCancellable(MintakaError):
    """The run's process cannot be told; the message says why, and what to do."""


def judging(database: Path, uid: str, usual: Callable[[BaseException], Interrupted]) -> Callable[[BaseException], Interrupted]:
    """What an interruption amounts to: CANCELLED where somebody asks for that from now on, else what `usual` says."""
    word = _word(database, uid)
    with suppress(OSError):
        word.unlink()  # left for an earlier attempt, which was killed before it looked

    def judge(error: BaseException) -> Interrupted:
        if isinstance(error, Suspension) or not word.exists():
            return usual(error)
        from mintaka.states import Cancelled  # noqa: PLC0415 - would be a cycle

        word.unlink(missing_ok=True)
        return Interrupted.all(Cancelled(reason="Cancelled", message="somebody asked for it"))

    return judge


def cancel(database: Path, uid: str) -> None:
    """Ask the process that runs the flow run `uid` of that database to cancel it; one that is suspended has none, and is CANCELLED at once.

    Raises:
        NotCancellable: it cannot be found or told.
    """
    from mintaka_history.embedded_sqlite import EmbeddedDatabase  # noqa: PLC0415 - start-up time
    from mintaka_history.runners import runner_of  # noqa: PLC0415
    from mintaka_history.writing.restarts import cancel_suspended  # noqa: PLC0415

    opened = EmbeddedDatabase(database)
    try:
        with opened.writing() as session:
            if cancel_suspended(session, uid):
                return
        runner = runner_of(opened, uid)
    finally:
        opened.close()
    told = f"flow run {uid} is run by a process of this machine that"
    stop_it = "end it where it was started (Ctrl-C, or SIGTERM)"
    if runner is None:
        message = f"{told} is not known: {stop_it}"
        raise NotCancellable(message)
    if runner.flow_runs > 1:
        message = f"{told} runs {runner.flow_runs - 1} others as well (process {runner.pid}): it would take them along; {stop_it}"
        raise NotCancellable(message)
    if not _listens(runner.pid):
        message = f"{told} does not listen (process {runner.pid}): its flow is not in the main thread; {stop_it}"
        raise NotCancellable(message)
    word = _word(database, uid)
    word.touch()
    try:
        os.kill(runner.pid, signal.SIGTERM)
    except OSError as error:
        word.unlink(missing_ok=True)
        message = f"{told} cannot be told (process {runner.pid}: {error}): {stop_it}"
        raise NotCancellable(message) from error


def _word(database: Path, uid: str) -> Path:
    return Path(f"{database}-cancel-{uid}")


def _listens(pid: int) -> bool:
    """Whether the process handles SIGTERM instead of being killed by it, where that can be seen (Linux, proc(5))."""
    if sys.platform != "linux":
        return True
    try:
        status = Path("/proc", str(pid), "status").read_text(encoding="utf-8")
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
