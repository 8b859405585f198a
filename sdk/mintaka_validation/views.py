"""What rules see of a document: the fields that they name, with the types that the schema gives them in CEL.

In CEL a member of type `number` is a double also if it is whole. A `date-time` is an instant; the runtime takes instants only as
declared variables and not within objects, so they are texts here that are equal if the instants are. That serves every
comparison for equality, and `Selection.of` raises for a rule that does more with one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka_validation.schema import Node

type _Path = tuple[str, ...]
_NAMES: Final = re.compile(r"\b(?:self|oldSelf)\b((?:\.[A-Za-z_]\w*)*)")
_PRESENCE: Final = re.compile(r"\bhas\(\s*(?:self|oldSelf)((?:\.[A-Za-z_]\w*)+)\s*\)")
_COMPARED_AFTER: Final = re.compile(r"\s*[=!]=")
_COMPARED_BEFORE: Final = re.compile(r"[=!]=\s*$")
_INSTANT: Final = re.compile(r"(?i)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Selection:
    """The paths that rules read, and those that they check for presence only."""

    read: tuple[_Path, ...]
    asked: tuple[_Path, ...]

    @classmethod
    def of(cls, sources: Iterable[str], node: Node) -> Selection:
        """What some expressions need of a value of `node`.

        Raises:
            ValueError: one does more with a time than compare it for equality.
        """
        read: set[_Path] = set()
        asked: set[_Path] = set()
        for source in sources:
            asked |= {_known(match[1], node) for match in _PRESENCE.finditer(source)}
            rest = _PRESENCE.sub("", source)
            for match in _NAMES.finditer(rest):
                path = _known(match[1], node)
                if _is_time(node, path) and not (
                    _COMPARED_AFTER.match(rest, match.end()) or _COMPARED_BEFORE.search(rest[: match.start()])
                ):
                    message = f"validation compares times in rules for equality only: {source}"
                    raise ValueError(message)
                read.add(path)
        return cls(tuple(sorted(read)), tuple(sorted(asked)))

    def view(self, value: Any, node: Node) -> Any:
        """The part of `value` that was selected."""
        if () in self.read or not isinstance(value, dict):
            return _typed(node, value)
        chosen: dict[str, Any] = {}
        for path in self.asked:
            _choose(chosen, value, node, path, whole=False)
        for path in self.read:  # after the others, whose marks they replace
            _choose(chosen, value, node, path, whole=True)
        return chosen


def _known(dotted: str, node: Node) -> _Path:
    """The longest beginning of a path that consists of fields: methods may follow."""
    path: list[str] = []
    part: Node | None = node
    for name in dotted.split(".")[1:]:
        if part is None or (name not in part.properties and path != ["metadata"]):
            break
        path.append(name)
        part = part.properties.get(name)
    return tuple(path)


def _is_time(node: Node, path: _Path) -> bool:
    part: Node | None = node
    for name in path:
        part = part.properties.get(name) if part is not None else None
    return part is not None and part.format == "date-time"


def _choose(chosen: dict[str, Any], value: dict[str, Any], node: Node, path: _Path, *, whole: bool) -> None:
    part: Node | None = node
    for depth, name in enumerate(path):
        if name not in value:
            return
        part = part.properties.get(name) if part is not None else None
        member = value[name]
        if depth == len(path) - 1:
            if whole:
                chosen[name] = _typed(part, member)
            else:
                chosen.setdefault(name, {} if isinstance(member, dict) else True)
            return
        if not isinstance(member, dict):
            return
        inner = chosen.setdefault(name, {})
        value, chosen = member, inner if isinstance(inner, dict) else {}


def _typed(node: Node | None, value: Any) -> Any:
    """`value` with the types of its schema."""
    if node is None or not node.is_retyped:
        return value
    if isinstance(value, dict):
        return {name: _typed(node.child(name), member) for name, member in value.items()}
    if isinstance(value, list):
        return [_typed(node.items, member) for member in value]
    if isinstance(value, str):
        return _instant(value) if node.format == "date-time" else value
    return float(value) if "number" in node.types and not isinstance(value, bool) and value is not None else value


def _instant(text: str) -> str:
    """A time in UTC with as few digits as possible; unchanged if Python cannot represent it."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        return text
    try:
        instant = datetime.fromisoformat(f"{match[1]}{match[3]}".upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{(match[2] or '')[:9].rstrip('0')}Z"
