"""`configMapGenerator` and `generatorOptions` of a kustomization: ConfigMaps made of files and literals, as kustomize makes them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from mintaka.cli.kustomization_files import mapping_of, named_file, require_known, text_of, texts_of
from mintaka.cli.parsing import BadArgument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mintaka.histories import Document

_ADDED = ("labels", "annotations")
_OPTIONS = frozenset({"disableNameSuffixHash", *_ADDED})
_GENERATOR = frozenset({"name", "namespace", "files", "literals", "options"})


def options_of(file: Path, where: str, value: Any) -> Document:
    """Checked `generatorOptions`, or the `options` of one generator.

    Raises:
        BadArgument: they are not a mapping, or a field is unknown or of another type.
    """
    options = mapping_of(file, where, value)
    require_known(file, options, _OPTIONS, f"{where}: ")
    if not isinstance(options.get("disableNameSuffixHash") or False, bool):
        message = f"{file}: {where}: disableNameSuffixHash must be true or false"
        raise BadArgument(message)
    for field in _ADDED:
        for key in (added := mapping_of(file, f"{where}: {field}", options.get(field))):
            if not isinstance(key, str):
                message = f"{file}: {where}: {field}: {key!r:.100} is not text: put it in quotes"
                raise BadArgument(message)
            text_of(file, added, key, f"{where}: {field}: ")
    return options


def config_map(file: Path, generator: Any, shared: Document) -> Document:
    """The ConfigMap of one entry of `configMapGenerator`; `shared` are the generatorOptions.

    Raises:
        BadArgument: a field is unknown or of another type, a file cannot be read, or its name would get a hash.
    """
    if not isinstance(generator, dict) or not generator.get("name") or not isinstance(generator["name"], str):
        message = f"{file}: configMapGenerator: each entry must be a mapping with a name"
        raise BadArgument(message)
    name = generator["name"]
    where = f"configMapGenerator {name}: "
    require_known(file, generator, _GENERATOR, where)
    own = options_of(file, f"{where}options", generator.get("options"))
    if not (shared.get("disableNameSuffixHash") or own.get("disableNameSuffixHash")):
        message = (
            f"{file}: {where}names with a hash are not understood here; set generatorOptions.disableNameSuffixHash: true, "
            f"or use kubectl kustomize {file.parent} | mintaka apply -"
        )
        raise BadArgument(message)
    metadata: Document = {"name": name}
    for field in _ADDED:
        if added := {**(shared.get(field) or {}), **(own.get(field) or {})}:
            metadata[field] = added
    if namespace := text_of(file, generator, "namespace", where):
        metadata["namespace"] = namespace
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata} | _data(file, generator, where)


def _data(file: Path, generator: Document, where: str) -> Document:
    data: dict[str, str] = {}
    binary: dict[str, str] = {}
    for key, content in (*_literals(file, generator, where), *_files(file, generator, where)):
        if key in data or key in binary:
            message = f"{file}: {where}key {key} is given twice: remove one"
            raise BadArgument(message)
        try:
            data[key] = content.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(content).decode()
    return ({"data": data} if data else {}) | ({"binaryData": binary} if binary else {})


def _literals(file: Path, generator: Document, where: str) -> Iterator[tuple[str, bytes]]:
    """Like kustomize, remove one pair of quotes around each value, and change nothing else."""
    for entry in texts_of(file, generator, "literals", where):
        key, equals, value = entry.partition("=")
        if not key or not equals:
            message = f"{file}: {where}literals: {entry!r} is not KEY=VALUE"
            raise BadArgument(message)
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        yield key, (value[1:-1] if quoted else value).encode(errors="surrogatepass")


def _files(file: Path, generator: Document, where: str) -> Iterator[tuple[str, bytes]]:
    for entry in texts_of(file, generator, "files", where):
        key, equals, source = entry.rpartition("=")
        if not source or (equals and not key) or "=" in key:
            message = f"{file}: {where}files: {entry!r} is not FILE or KEY=FILE, with no other equals sign"
            raise BadArgument(message)
        path = named_file(file, f"{where}files: ", source)
        try:
            yield key or source.rpartition("/")[2], path.read_bytes()
        except OSError as error:
            message = f"{file}: {where}files: {source} cannot be read: {error.strerror}"
            raise BadArgument(message) from error
