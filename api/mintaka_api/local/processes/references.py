"""Variables of podTemplate's container whose values are stored elsewhere, and references to other variables.

ConfigMaps are documents of the local server. It has no Secrets: the value of a Secret's key is the content of the file
`secrets/NAMESPACE/NAME/KEY` under MINTAKA_HOME, which only its owner should be able to read.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from mintaka_core.errors import MintakaError
from mintaka_core.json_values import items, mapping, text
from mintaka_core.states import CRASHED, FAILED
from mintaka_core.workloads import CreateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mintaka_core.json_values import Json

#: How long a run waits for a ConfigMap or a file that is missing.
_PATIENCE = timedelta(minutes=10)
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


class Objects(Protocol):
    """Reads what templates refer to."""

    async def config_map(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """The files of a ConfigMap; None if it does not exist."""

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """The keys of a Secret; None if it does not exist."""


class InvalidReference(MintakaError):
    """A variable whose value cannot be found; `error` says why no process can be started."""

    def __init__(self, reason: str, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.error = CreateError(reason, message, FAILED) if lasting else CreateError(reason, message, CRASHED, _PATIENCE)


async def container_variables(container: Json, namespace: str, fields: Mapping[str, str], objects: Objects) -> dict[str, str]:
    """The variables of a container; `fields` are those of its pod that a variable may refer to, by path. Raises InvalidReference."""
    found: dict[str, str] = {}
    for source in items(container.get("envFrom")):
        found |= await _all_of(source, namespace, objects)
    for variable in items(container.get("env")):
        name = text(variable.get("name"))
        if isinstance(variable.get("valueFrom"), dict):
            value = await _value_from(name, variable["valueFrom"], namespace, fields, objects)
        else:
            value = expanded(text(variable.get("value")), found)
        if name and value is not None:
            found[name] = value
    return found


async def secret_value(namespace: str, name: str, key: str, variable: str, objects: Objects) -> str:
    """The value of a Secret's key for a variable. Raises InvalidReference."""
    value = await _value_from(variable, {"secretKeyRef": {"name": name, "key": key}}, namespace, {}, objects)
    return value or ""


async def _all_of(source: Json, namespace: str, objects: Objects) -> dict[str, str]:
    for kind, read in (("configMapRef", objects.config_map), ("secretRef", objects.secret)):
        reference = mapping(source.get(kind))
        name = text(reference.get("name"))
        if not name:
            continue
        content = await read(namespace, name)
        if content is None and reference.get("optional") is not True:
            raise _missing(kind, namespace, name, "", "envFrom")
        prefix = text(source.get("prefix"))
        return {f"{prefix}{key}": _text_of(value) for key, value in (content or {}).items()}
    return {}


async def _value_from(variable: str, source: Json, namespace: str, fields: Mapping[str, str], objects: Objects) -> str | None:
    """The value; None for an optional one that is missing."""
    for kind, read in (("configMapKeyRef", objects.config_map), ("secretKeyRef", objects.secret)):
        reference = mapping(source.get(kind))
        if not reference:
            continue
        name, key = text(reference.get("name")), text(reference.get("key"))
        value = (await read(namespace, name) or {}).get(key)
        if value is None and reference.get("optional") is not True:
            raise _missing(kind, namespace, name, key, f"variable {variable}")
        return None if value is None else _text_of(value)
    path = text(mapping(source.get("fieldRef")).get("fieldPath"))
    if path in fields:
        return fields[path]
    what = f"field {path}" if path else ", ".join(source)
    message = f"variable {variable} of podTemplate's container takes its value from {what}, which a process does not have: write a value"
    raise InvalidReference("InvalidTemplate", message, lasting=True)


def _missing(kind: str, namespace: str, name: str, key: str, needed: str) -> InvalidReference:
    of_key = f" with key {key!r}" if key else ""
    if kind.startswith("configMap"):
        return InvalidReference("ConfigMapNotFound", f"{needed} needs ConfigMap {namespace}/{name}{of_key}: apply it")
    file = "/".join(filter(None, ("secrets", namespace, name, key)))
    return InvalidReference("SecretNotFound", f"{needed} needs Secret {name}{of_key}: create {file} under MINTAKA_HOME, with mode 0600")


def _text_of(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def expanded(value: str, variables: Mapping[str, str]) -> str:
    """`value` with `$(NAME)` replaced as Kubernetes does it: unknown names stay, `$$` is `$`."""
    return _REFERENCE.sub(lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0]), value)


def config_map_files(document: Mapping[str, Any]) -> dict[str, bytes]:
    """The content of a ConfigMap document."""
    files = {key: value.encode() for key, value in mapping(document.get("data")).items() if isinstance(value, str)}
    for key, value in mapping(document.get("binaryData")).items():
        try:
            files[key] = base64.b64decode(text(value), validate=True)
        except binascii.Error:
            continue
    return files


def secret_files(home: Path, namespace: str, name: str) -> dict[str, bytes] | None:
    """The files of a Secret's folder by name; None if there is no such folder."""
    folder = home / "secrets" / namespace / name
    if not name or "/" in name or not folder.is_dir():
        return None
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
