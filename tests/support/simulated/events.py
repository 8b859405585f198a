"""What the API server in memory reports to its watchers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mintaka_controller.ports import Name


@dataclass(frozen=True, slots=True)
class Event:
    """A change; `found` (Stored or Pod) is None for what is gone. The kind `capacity` is a changed quota or LimitRange."""

    kind: Literal["run", "deployment", "workload", "capacity", "rule"]
    key: Name
    uid: str
    found: Any = None


type Watcher = Callable[[Event], None]
