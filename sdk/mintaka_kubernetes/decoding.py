"""Decodes objects of the API server one at a time, so that no object can prevent the others from being read.

The API server stores objects of 1.5 MiB that are 10,000 levels deep. The readers here cannot handle that: `orjson.loads`
fails beyond 1,024 levels, `orjson.dumps` beyond 254, pydantic's JSON parser beyond 200, the standard library beyond about
1,500 on Python 3.12. A page is therefore split into its objects first, and each object is decoded and checked for size and
depth separately. One that exceeds the published limits (mintaka_core.limits) or cannot be decoded is read in parts: the
valid parts remain, the rest is omitted (`Unreadable`).

`metadata.managedFields` is never delivered: nothing reads it, and it repeats the structure of the whole object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from mintaka_core.limits import DEPTH_LIMIT, KUBECTL_COPY, RESOURCE_LIMIT_BYTES, Excess, too_deep, too_large
from mintaka_kubernetes.json_scanner import is_deeper, scan_items, scan_members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka_kubernetes.json_scanner import Members

type Document = dict[str, Any]
type _Bytes = bytes | memoryview

#: Levels of an object whose `spec` fields have DEPTH_LIMIT of them.
_OBJECT_DEPTH = DEPTH_LIMIT + 2
#: Larger fields of an unreadable object are omitted.
_KEPT_BYTES = {"metadata": 16 * 1024, "spec": 1024}
#: Objects whose members are parts of their own.
_OPENED = frozenset({"object", "metadata", "spec"})
_HTML_ESCAPES = (rb"\u003c", rb"\u003e", rb"\u0026")

_CONTAINERS = (dict, list)
_NOT_OPENING = bytes(set(range(256)) - set(b"[{"))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that cannot be processed as it is.

    `document` has the readable parts of its metadata and status, and of its spec only members without structure
    (`deployment`, `cancel`), never parameters or schemas. `reason` is TooDeep, ResourceTooLarge or Unreadable; `message`
    names the limit that is exceeded and what to do instead.
    """

    document: Document
    reason: str
    message: str

    @classmethod
    def of(cls, document: Document, message: str) -> Unreadable:
        """A document that was decoded but cannot be processed, for the reason in `message`."""
        spec = document.get("spec")
        plain = {name: value for name, value in spec.items() if not isinstance(value, dict | list)} if isinstance(spec, dict) else {}
        return cls({**document, "spec": plain}, "Unreadable", message)


type Decoded = Document | Unreadable


def decode(raw: _Bytes, *, typed: bool = False) -> Decoded:
    """Decode one object. Raises ValueError if `raw` is not a JSON object at all.

    `typed` means that the API server knows every field of this kind (pods, ConfigMaps): such an object is not deep, and any
    size is accepted.
    """
    if typed or len(raw) <= RESOURCE_LIMIT_BYTES:
        try:
            document = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return _join(split_members(raw, levels=2), typed=typed)
        if _is_ordinary(raw, document, typed=typed):
            return document  # type: ignore[no-any-return] # it is a dict
    return _join(split_members(raw, levels=2), typed=typed)


def decode_event(line: bytes, *, typed: bool = False) -> dict[str, Any]:
    """The event `{"type": …, "object": …}` of a watch, whose object is `Decoded`. Raises ValueError if it is not an event."""
    if typed or len(line) <= RESOURCE_LIMIT_BYTES:
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            return _split_event(line, typed=typed)
        if isinstance(event, dict) and _is_ordinary(line, event.get("object"), typed=typed):
            return event
    return _split_event(line, typed=typed)


def decode_page(body: bytes, *, typed: bool = False) -> Page:
    """One page of a list, split but not decoded yet. Raises ValueError if it is not a list."""
    try:
        found = _LIST.decode(body)
    except (RecursionError, msgspec.MsgspecError):
        members = scan_members(body, levels=1)
        metadata = _METADATA_OF_LIST.decode(members.get("metadata", b"{}"))
        return Page(metadata.resource_version, metadata.next_page, scan_items(members.get("items", b"[]")), typed)
    metadata = found.metadata
    return Page(metadata.resource_version, metadata.next_page, [memoryview(item) for item in found.items or ()], typed)


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a list: the resource version of the list, its continue token ("": the last page), and the objects' JSON."""

    version: str
    next_page: str
    items: list[memoryview]
    typed: bool = False

    def __iter__(self) -> Iterator[Decoded]:
        """Each object, decoded lazily: only the JSON of all of them is in memory at once."""
        return (_decode_item(item, typed=self.typed) for item in self.items)

    def changed(self, known: dict[str, str]) -> Iterator[Decoded]:
        """The objects that are not in `known` (resource version by uid) with that version, or are being deleted.

        Every object found is removed from `known`.
        """
        for item in self.items:
            metadata = _metadata_of(item) if known else _MetadataOfObject()
            before = known.pop(metadata.uid, None)
            if before is None or before != metadata.resource_version or metadata.deletion_time:
                yield _decode_item(item, typed=self.typed)


class _MetadataOfList(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    next_page: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _MetadataOfList = msgspec.field(default_factory=_MetadataOfList)
    items: list[msgspec.Raw] | None = None


class _MetadataOfObject(msgspec.Struct):
    uid: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    deletion_time: str | None = msgspec.field(name="deletionTimestamp", default=None)


class _Object(msgspec.Struct):
    metadata: _MetadataOfObject


_LIST = msgspec.json.Decoder(_List)
_METADATA_OF_LIST = msgspec.json.Decoder(_MetadataOfList)
_OBJECT = msgspec.json.Decoder(_Object)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _metadata_of(item: memoryview) -> _MetadataOfObject:
    """The identity of an object, without decoding the rest: a fifth of the cost."""
    try:
        return _OBJECT.decode(item).metadata
    except (RecursionError, msgspec.MsgspecError):
        return _MetadataOfObject()


def _decode_item(item: memoryview, *, typed: bool) -> Decoded:
    try:
        return decode(item, typed=typed)
    except ValueError:
        return _no_object()


def _no_object() -> Unreadable:
    return Unreadable({"metadata": {}, "spec": {}}, "Unreadable", "the API server sent something that is not an object")


def _is_ordinary(raw: _Bytes, document: Any, *, typed: bool) -> bool:
    """Whether a decoded object can be processed; removes its managedFields."""
    if not isinstance(document, dict):
        return False
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    if typed:
        return True
    # With fewer brackets it cannot be that deep: two microseconds instead of fifteen.
    return len(bytes(raw).translate(None, _NOT_OPENING)) <= _OBJECT_DEPTH or depth_of(document, _OBJECT_DEPTH) <= _OBJECT_DEPTH


def depth_of(value: Any, limit: int) -> int:
    """The number of levels of objects and lists in `value`; counting stops beyond `limit`."""
    depth = 0
    level = [value] if isinstance(value, _CONTAINERS) else []
    while level and depth <= limit:
        level = [
            member
            for container in level
            for member in (container.values() if type(container) is dict else container)
            if type(member) is dict or type(member) is list
        ]
        depth += 1
    return depth


def _split_event(line: bytes, *, typed: bool) -> dict[str, Any]:
    members = split_members(line, levels=3)
    if "type" not in members or "object" not in members:
        message = "an event of a watch has a type and an object"
        raise ValueError(message)
    found = members["object"]
    return {"type": orjson.loads(members["type"]), "object": _join(found, typed=typed) if isinstance(found, dict) else _no_object()}


def split_members(raw: _Bytes, *, levels: int = 1) -> Members:
    """The members of an object by name, as JSON; with more `levels`, those of its metadata and spec in turn.

    Raises ValueError if it is not an object.
    """
    try:
        members: Members = {name: memoryview(member) for name, member in _MEMBERS.decode(raw).items()}
    except (RecursionError, msgspec.MsgspecError):  # too deep, or a name that is not UTF-8
        return scan_members(raw, levels=levels, opened=_OPENED)
    for name in _OPENED & members.keys() if levels > 1 else ():
        if bytes(members[name][:1]) == b"{":
            members[name] = split_members(members[name], levels=levels - 1)
    return members


def _join(members: Members, *, typed: bool) -> Decoded:
    """Assemble an object from its parts."""
    sizes = {path: _authored_size(path, member) for path, member in _walk(members) if "." in path}
    size = sum(sizes.values())
    if size > RESOURCE_LIMIT_BYTES and not typed:
        return _remainder(members, too_large(size, sizes))
    document: Document = {}
    for path, member in _walk(members):
        value, excess = _decode_part(path, member)
        if excess is not None:
            return _remainder(members, excess)
        name, _, field = path.partition(".")
        if field:
            document.setdefault(name, {})[field] = value
        else:
            document[name] = value
    return document


def _walk(members: Members) -> Iterator[tuple[str, memoryview]]:
    """The parts of an object by path: `status`, `metadata.name`, `spec.parameters`; without managedFields."""
    for name, member in members.items():
        if not isinstance(member, dict):
            yield name, member
            continue
        for field, value in member.items():
            if (name, field) != ("metadata", "managedFields"):
                yield f"{name}.{field}", value


def _remainder(members: Members, excess: Excess) -> Unreadable:
    """The parts that are delivered of an object that cannot be processed."""
    document: Document = {"metadata": {}, "spec": {}}
    for path, member in _walk(members):
        name, _, field = path.partition(".")
        if len(member) > _KEPT_BYTES.get(name, RESOURCE_LIMIT_BYTES) or (name == "spec" and bytes(member[:1]) in {b"[", b"{"}):
            continue
        value, fault = _decode_part(path, member)
        if fault is None and field:
            document[name][field] = value
        elif fault is None and name not in {"metadata", "spec"}:
            document[name] = value
    return Unreadable(document, excess.reason, excess.message)


def _decode_part(path: str, raw: memoryview) -> tuple[Any, Excess | None]:
    """A value and None, or None and what is wrong with it."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return None, too_deep(path) if is_deeper(raw, DEPTH_LIMIT) else Excess("Unreadable", f"{path} cannot be decoded: {error.msg}")
    return (value, None) if depth_of(value, DEPTH_LIMIT) <= DEPTH_LIMIT else (None, too_deep(path))


def _authored_size(path: str, member: memoryview) -> int:
    """Bytes of JSON as its author wrote it: the API server escapes `<`, `>` and `&` with six bytes, and kubectl stores a
    copy of the whole.
    """
    raw = bytes(member)
    if path == "metadata.annotations":
        annotations, _ = _decode_part(path, member)
        raw = orjson.dumps({name: text for name, text in (annotations or {}).items() if name != KUBECTL_COPY})
    return len(raw) - 5 * sum(raw.count(escape) for escape in _HTML_ESCAPES)
