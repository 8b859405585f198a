"""The published limits of resources, checked before a resource is sent and again when it is read.

The API server allows objects of 1.5 MiB and 10,000 levels; decoders and databases behind it do not. Everything that writes
a resource (CLI, SDK, REST) refuses values beyond these limits; for resources created by kubectl, the operator ends the run
with the same reason and message. A check takes time in proportion to the limit, not to the value: values that contain
themselves, or one list a billion times, end the check as soon as they exceed a limit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mintaka_core.errors import TooLarge

#: The maximum size of a FlowDeployment or FlowRun in bytes of JSON, without `status`, `metadata.managedFields` and kubectl's copy.
RESOURCE_LIMIT_BYTES = 256 * 1024
#: The maximum nesting of objects and lists in a field of `spec`; one without members is one level deep.
DEPTH_LIMIT = 100
#: The maximum size of the parameters of a run in bytes of JSON, including those of its deployment.
PARAMETERS_LIMIT_BYTES = 16 * 1024
#: The maximum size of `source.inline` in bytes of UTF-8.
SOURCE_LIMIT_BYTES = 64 * 1024

_INTEGERS = range(-(2**63), 2**63)
#: The annotation in which kubectl stores a copy of the applied manifest.
KUBECTL_COPY = "kubectl.kubernetes.io/last-applied-configuration"
#: The maximum length of a place's name in characters.
_PLACE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Excess:
    """A value beyond a limit: `reason` for programs (the reason of the run's state), `message` with the limit and what to do instead.

    Reasons: ResourceTooLarge, ParametersTooLarge, SourceTooLarge, TooDeep, NotJson.
    """

    reason: str
    message: str


def refuse(excess: Excess | None) -> None:
    """Raise TooLarge if there is an excess."""
    if excess is not None:
        raise TooLarge(excess.message)


def check_resource(document: Mapping[str, Any], received_bytes: int | None = None) -> Excess | None:
    """What is wrong with a FlowDeployment or FlowRun; None: nothing.

    `received_bytes` is the size in which it was received; if that is within the limit, the size need not be measured.
    """
    spec = document.get("spec")
    fields = spec if isinstance(spec, Mapping) else {"": spec}
    for name, value in fields.items():
        if (excess := check_value(f"spec.{name}" if name else "spec", value)) is not None:
            return excess
    if (excess := _check_parts(fields, "spec") or _check_parts(fields.get("template"), "spec.template")) is not None:
        return excess
    if received_bytes is not None and received_bytes <= RESOURCE_LIMIT_BYTES:
        return None
    size = size_of({"metadata": _authored(document.get("metadata")), "spec": spec})
    if size <= RESOURCE_LIMIT_BYTES:
        return None
    sizes = {f"spec.{name}": size_of(value) for name, value in fields.items()} | {"metadata": size_of(_authored(document.get("metadata")))}
    return too_large(size, sizes)


def check_parameters(parameters: Any, name: str = "parameters") -> Excess | None:
    """What is wrong with the parameters of a run; None: nothing. `name` is their name in the message."""
    excess = check_value(name, parameters)
    if excess is not None:
        return excess
    size = size_of(parameters)
    if size <= PARAMETERS_LIMIT_BYTES:
        return None
    message = (
        f"{name} take {size} bytes of JSON, at most {PARAMETERS_LIMIT_BYTES} are allowed: "
        "put large inputs into a file or an object store and pass its address"
    )
    return Excess("ParametersTooLarge", message)


def check_source(text: str, name: str = "source.inline") -> Excess | None:
    """What is wrong with source code for a resource; None: nothing."""
    size = len(text.encode(errors="surrogatepass"))
    if size <= SOURCE_LIMIT_BYTES:
        return None
    message = (
        f"{name} takes {size} bytes of UTF-8, at most {SOURCE_LIMIT_BYTES} are allowed: "
        "put the code into a ConfigMap (source.configMap) or an image"
    )
    return Excess("SourceTooLarge", message)


def check_value(name: str, value: Any) -> Excess | None:
    """Check that `value` is JSON that Kubernetes stores unchanged, within the depth limit; its size is only bounded roughly."""
    keys: list[Any] = [name]
    levels: list[Iterator[tuple[Any, Any]]] = []
    current = value
    for _ in range(RESOURCE_LIMIT_BYTES):  # each value takes at least a byte
        if isinstance(current, dict | list | tuple):
            levels.append(_members(current))
            keys.append(None)
            if len(levels) > DEPTH_LIMIT:
                return too_deep(name)
        elif (fault := _fault(current)) is not None:
            return Excess("NotJson", f"{_place(keys)} {fault}")
        member = None
        while levels and (member := next(levels[-1], None)) is None:
            levels.pop()
            keys.pop()
        if member is None:
            return None
        keys[-1], current = member
        if (fault := _fault_of_key(keys[-1])) is not None:
            return Excess("NotJson", f"{_place(keys[:-1])} has a key that {fault}")
    return Excess("ResourceTooLarge", f"{name} has more than {RESOURCE_LIMIT_BYTES} values, more than a resource can hold")


def _check_parts(template: Any, name: str) -> Excess | None:
    """Check the parts of a template that have limits of their own."""
    if not isinstance(template, Mapping):
        return None
    source, parameters = template.get("source"), template.get("parameters")
    inline = source.get("inline") if isinstance(source, Mapping) else None
    excess = check_source(inline, f"{name}.source.inline") if isinstance(inline, str) else None
    return excess or (check_parameters(parameters, f"{name}.parameters") if parameters else None)


def size_of(value: Any) -> int:
    """Bytes of `value` as compact JSON; `value` must have passed `check_value`."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass"))


def too_large(size: int, sizes: Mapping[str, int]) -> Excess:
    """The Excess for a resource of `size` bytes beyond RESOURCE_LIMIT_BYTES; `sizes` has the sizes of its parts."""
    largest = max(sizes, key=lambda name: sizes[name])
    message = (
        f"the resource takes {size} bytes of JSON ({largest} alone {sizes[largest]}), at most {RESOURCE_LIMIT_BYTES} are allowed: "
        "keep code in an image or a ConfigMap, large inputs in a file or an object store, and pass their address"
    )
    return Excess("ResourceTooLarge", message)


def too_deep(name: str) -> Excess:
    """The Excess for the value `name` with more than DEPTH_LIMIT levels."""
    message = (
        f"{name} is nested more than {DEPTH_LIMIT} levels deep, which is the most that is allowed: "
        "flatten it, or pass it as text or as the address of a file"
    )
    return Excess("TooDeep", message)


def _members(container: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """Members by name, or by a `_Position`."""
    return (
        iter(container.items()) if isinstance(container, dict) else ((_Position(index), member) for index, member in enumerate(container))
    )


class _Position(int):
    """A position in a list; an ordinary int would be a key of an object, which JSON does not have."""


def _fault(value: Any) -> str | None:
    """Why a value without members is not JSON."""
    match value:
        case None | bool():
            return None
        case str():
            return (
                None
                if _is_unicode(value)
                else "contains half of a surrogate pair, which is not Unicode text: encode it, for example as base64"
            )
        case int():
            return None if value in _INTEGERS else "is an integer of more than 64 bits, which Kubernetes would round: pass it as text"
        case float():
            return None if math.isfinite(value) else f"is {value}, which JSON cannot express: pass null, or text"
    return f"is a {type(value).__name__}, which JSON cannot express: pass text or a number"


def _fault_of_key(key: Any) -> str | None:
    if type(key) is _Position:
        return None
    if not isinstance(key, str):
        return f"is not text but a {type(key).__name__}"
    return None if _is_unicode(key) else "contains half of a surrogate pair, which is not Unicode text"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _place(keys: Iterable[Any]) -> str:
    text = "".join(f"[{key}]" if type(key) is _Position else f".{key}" for key in keys).removeprefix(".")
    text = text.encode(errors="replace").decode()
    return text if len(text) <= _PLACE_CHARACTERS else text[: _PLACE_CHARACTERS - 1] + "…"


def _authored(metadata: Any) -> Any:
    """Metadata without the fields that the API server and kubectl add."""
    if not isinstance(metadata, Mapping):
        return metadata
    annotations = metadata.get("annotations")
    own = {name: value for name, value in annotations.items() if name != KUBECTL_COPY} if isinstance(annotations, Mapping) else annotations
    return {name: value for name, value in metadata.items() if name not in {"managedFields", "annotations"}} | {"annotations": own}
