"""Facts about task runs that the rules of `TASK_RUN_POLICY` read, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class KeptResult:
    """A cached result of an earlier run: its `key`, when it was `created` and when it expires (None: never)."""

    key: str
    created: datetime
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class TagLimits:
    """The concurrency limits of a run's tags, by name, such as `tag:gpu`.

    `blocked` are those without a free slot and `issue` is why none can be requested ("": no issue); the slots are requested again at
    `next_time` (None: they are held).
    """

    names: tuple[str, ...]
    blocked: tuple[str, ...] = ()
    issue: str = ""
    next_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unpersisted:
    """Why the result of a completed run could not be persisted; `name` is the name of the state of such runs."""

    name: str
    reason: str = ""
    message: str = ""
