"""The pod's containers other than the flow's: failures before it, and processes killed for memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_core.json_values import integer, items, mapping, text
from mintaka_operator.podview import terminated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mintaka_operator.podview import PodView


def failed_init(view: PodView) -> Mapping[str, Any]:
    """How the first failed init container ended, with its `name`; empty if none failed.

    Native sidecars do not count: they are restarted, or killed because a later init container failed.
    """
    sidecars = {
        text(container.get("name")) for container in items(view.spec.get("initContainers")) if container.get("restartPolicy") == "Always"
    }
    for status in items(view.status.get("initContainerStatuses")):
        end, name = terminated(status), text(status.get("name"))
        if integer(end.get("exitCode")) and name not in sidecars:
            return {**end, "name": name}
    return {}


def killed_for_memory(view: PodView) -> list[str]:
    """The containers in which a process was killed for memory: the container's own, or one that it had started."""
    return [
        text(status.get("name"))
        for status in _statuses(view)
        if "OOMKilled"
        in (text(end.get("reason")) for end in (terminated(status), mapping(mapping(status.get("lastState")).get("terminated"))))
    ]


def _statuses(view: PodView) -> Iterator[Mapping[str, Any]]:
    """The statuses of all containers, in the order in which they start."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from items(view.status.get(kind))
