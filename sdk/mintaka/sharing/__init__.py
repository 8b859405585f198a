"""What the runs of a namespace share, variables and concurrency limits: in the embedded database, or at an API, by what the environment says.

`shared()` gives the place, the same one that history goes to (`mintaka.recording.homes`), in the namespace of the flow run, or of
the process outside of all runs. Tasks in workers share with their flow's API and namespace, regardless of the worker's environment.
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
#: The places of this process, and what they were opened for: they differ only in their namespace.
_opened: dict[Home, Shared] = {}
#: What a forked child has of its parent's: SQLite's connections must be neither used nor closed there.
_inherited: list[object] = []


def shared(namespace: str | None = None, home_of_command: Home | None = None) -> Shared:
    """Where this process finds variables and limits; opened once, stays open.

    `namespace` is for commands that people run; None: that of the flow run, or of the process outside of all runs. A command may mean
    another place than flows do (`command_home`).

    Raises:
        SharingError: there is no such place, or it cannot be opened.
    """
    where = _place(namespace, home_of_command)
    known = _opened.get(where)
    if known is not None:
        return known
    with _lock:
        if where not in _opened:
            if any(replace(other, namespace=where.namespace) != where for other in _opened):
                close()
            _opened[where] = _open(where)
        return _opened[where]


def _place(namespace: str | None, home_of_command: Home | None) -> Home:
    where = home_of_command or home()
    context = CURRENT.get()
    if context is not None and context.flow is not None:
        launch = context.flow.launch
        if launch.api_url:
            where = replace(where, api_url=launch.api_url, database=None)
        if launch.namespace and launch.namespace != where.namespace:
            where = replace(where, namespace=launch.namespace)
    return where if namespace is None else replace(where, namespace=namespace)


def close() -> None:
    """Let go of the places, if any are open; the next use opens them again."""
    while _opened:
        _opened.popitem()[1].close()


atexit.register(close)


def _open(where: Home) -> Shared:
    if where.api_url:
        from mintaka.sharing.remote import RemoteShared  # noqa: PLC0415 - start-up time

        return RemoteShared(where.api_url, where.namespace)
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

    return LocalShared(where.database, where.namespace)


def _begin_anew() -> None:
    global _lock, _opened  # noqa: PLW0603 - another thread of the parent may have held the lock
    _lock = threading.Lock()
    _inherited.append(_opened)
    _opened = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
