"""Maps fields of a pod to their paths in the deployment's podTemplate: `podTemplate.spec.containers[flow].resources.limits.cpu`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mintaka_core.json_values import items, mapping, text
from mintaka_core.names import FLOW_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ROOT = "podTemplate.spec"
_KINDS = ("containers", "initContainers")
_INDEX = re.compile(r"spec\.(containers|initContainers)\[(\d{1,6})\]")
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?\d+)?)(m|u|n|k|[MGTPE]|[KMGTPE]i)?")
_SUFFIXES = {
    suffix: Decimal(10) ** power for suffix, power in {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}.items()
}
_SUFFIXES |= {f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)}
#: The maximum number of fields to name; a pod with forty containers can lack hundreds.
_NAMED = 8
#: Paths have names and keys of the pod's author in them, quantities are the author's: no ordinary one is longer.
_LONGEST_PATH, _LONGEST_QUANTITY = 300, 64


class PodFields:
    """The paths of the fields of one pod manifest, as its author knows them."""

    def __init__(self, pod: Mapping[str, Any] | None) -> None:
        spec = mapping((pod or {}).get("spec"))
        #: Both are read once for each field that the API server names, which may be thousands.
        self._containers = {kind: items(spec.get(kind)) for kind in _KINDS}
        self._initial = {text(container.get("name")) for container in self._containers["initContainers"]}

    def of_container(self, name: str, field: str) -> str:
        """A field of the container with that name."""
        return f"{_ROOT}.{_KINDS[name in self._initial]}[{name}].{field}"[:_LONGEST_PATH]

    def of_path(self, path: str) -> str:
        """A field given as the API server's path in the pod, such as `spec.containers[0].image`."""
        found = _INDEX.match(path)
        if found is None:
            return f"podTemplate.{path}"[:_LONGEST_PATH]
        there = self._containers[found[1]]
        index = int(found[2])
        name = text(there[index].get("name")) if index < len(there) else ""
        return f"{_ROOT}.{found[1]}[{name or index}]{path[found.end() :]}"[:_LONGEST_PATH]

    def of_resource(self, kind: str, resource: str, value: str = "") -> str:
        """`resources.KIND.RESOURCE` of the containers that have that value ("": any), or of the flow's container if none has."""
        wanted = quantity(value)
        having = [
            text(container.get("name"))
            for containers in self._containers.values()
            for container in containers
            if (found := mapping(mapping(container.get("resources")).get(kind)).get(resource)) is not None
            and (wanted is None or quantity(found) == wanted)
        ]
        return listed(self.of_container(name, f"resources.{kind}.{resource}") for name in having or [FLOW_CONTAINER])


def listed(fields: Iterable[str]) -> str:
    """The first fields, and the number of remaining ones."""
    fields = list(fields)
    rest = f" and {len(fields) - _NAMED} more" if len(fields) > _NAMED else ""
    return ", ".join(fields[:_NAMED]) + rest


def quantity(value: Any) -> Decimal | None:
    """A Kubernetes quantity such as `100m`, `1Gi` or 2 as a number; None if it is not valid."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = _QUANTITY.fullmatch(str(value)[: _LONGEST_QUANTITY + 1])
    if found is None or found.end() > _LONGEST_QUANTITY:
        return None
    try:
        return Decimal(found[1]) * _SUFFIXES.get(found[2], Decimal(1))
    except ArithmeticError:  # not a number, or beyond the range of a Decimal
        return None
