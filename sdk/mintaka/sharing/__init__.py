"""What runs share, variables and concurrency limits: in the embedded database, or at an API, by what the environment says.

`shared()` gives the place, the same one that history goes to (`mintaka.recording.homes`). Tasks in workers share with their flow's API,
whatever the environment of the worker says.
"""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from mintaka.context import CURRENT
from mintaka.exceptions import SharingError
from mintaka.recording.homes import home

if TYPE_CHECKING:
    from mintaka.recording.homes import Home
    from mintaka.sharing.protocol import Shared


class NoPlace(SharingError):
    """There is neither a database nor an API for variables and limits."""


_lock = threading.Lock()
#: The place of this process, and what it was opened for.
_opened: tuple[Home, Shared] | None = None
#: What a forked child has of its parent's: SQLite's connections must be neither used nor closed there.
_inherited: list[object] = []


def shared() -> Shared:
    """Where this process finds variables and limits; opened once, stays open.

    Raises:
        SharingError: there is no such place, or it cannot be opened.
    """
    global _opened  # noqa: PLW0603 - one connection for the process
    where = home()
    context = CURRENT.get()
    if context is not None and context.flow is not None and context.flow.launch.api_url:
        where = replace(where, api_url=context.flow.launch.api_url, database=None)
    known = _opened
    if known is not None and known[0] == where:
        return known[1]
    with _lock:
        if _opened is None or _opened[0] != where:
            close()
            _opened = where, _open(where)
        return _opened[1]


def close() -> None:
    """Let go of the place, if one is open; the next use opens it again."""
    global _opened
    known, _opened = _opened, None
    if known is not None:
        known[1].close()


atexit.register(close)


def _open(where: Home) -> Shared:
    if where.api_url:
        from mintaka.sharing.remote import RemoteShared  # noqa: PLC0415 - start-up time

        return RemoteShared(where.api_url)
    if os.environ.get("MINTAKA_FLOW_RUN_UID"):
        message = "variables and limits of a pod are at the API, and this pod has none: set MINTAKA_API_URL, or the chart's api.enabled"
        raise NoPlace(message)
    if where.database is None:
        message = (
            "variables and limits are kept in a database, and there is none (MINTAKA_HISTORY=off): "
            "unset it for the SQLite file of this machine, or set MINTAKA_API_URL to an API"
        )
        raise NoPlace(message)
    from mintaka.sharing.local import LocalShared  # noqa: PLC0415 - start-up time

    return LocalShared(where.database)


def _begin_anew() -> None:
    global _lock, _opened  # noqa: PLW0603 - another thread of the parent may have held the lock
    _lock = threading.Lock()
    _inherited.append(_opened)
    _opened = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
