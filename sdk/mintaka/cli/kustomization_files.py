"""Fields of a kustomization.yaml, and the files that they name; each message begins with the kustomization."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintaka.cli.parsing import BadArgument

if TYPE_CHECKING:
    from mintaka.histories import Document


def named_file(file: Path, where: str, name: str) -> Path:
    """The file that the kustomization `file` calls `name`, without symbolic links.

    Raises:
        BadArgument: it is not a file, or not in the kustomization's folder or below (kustomize: LoadRestrictionsRootOnly).
    """
    root = Path(os.path.realpath(file.parent))
    try:
        path = Path(os.path.realpath(file.parent / name, strict=True))
    except (OSError, ValueError) as error:
        message = f"{file}: {where}{name} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise BadArgument(message) from error
    if not path.is_relative_to(root):
        led = "" if path == Path(os.path.normpath(root / name)) else f", a symbolic link to {path},"
        message = (
            f"{file}: {where}{name}{led} is not in the folder of the kustomization: move it to {file.parent} or below, or use "
            f"kubectl kustomize --load-restrictor LoadRestrictionsNone {file.parent} | mintaka apply -"
        )
        raise BadArgument(message)
    if not path.is_file():
        message = f"{file}: {where}{name} is not a file"
        raise BadArgument(message)
    return path


def list_of(file: Path, content: Document, field: str, where: str = "") -> list[Any]:
    """The list at `field`; empty if the field is missing."""
    value = content.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        message = f"{file}: {where}{field} must be a list"
        raise BadArgument(message)
    return value


def texts_of(file: Path, content: Document, field: str, where: str = "") -> list[str]:
    """The list of texts at `field`; empty if the field is missing."""
    values = list_of(file, content, field, where)
    for value in values:
        if not isinstance(value, str):
            message = f"{file}: {where}{field} must be a list of texts, and {value!r:.100} is not text: put it in quotes"
            raise BadArgument(message)
    return values


def text_of(file: Path, content: Document, field: str, where: str = "") -> str:
    """The text at `field`; empty if the field is missing."""
    value = content.get(field)
    if value is not None and not isinstance(value, str):
        message = f"{file}: {where}{field} must be text, not {value!r:.100}: put it in quotes"
        raise BadArgument(message)
    return value or ""


def mapping_of(file: Path, where: str, value: Any) -> Document:
    """`value` as a mapping; empty for null."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        message = f"{file}: {where} must be a mapping, not {value!r:.100}"
        raise BadArgument(message)
    return value


def require_known(file: Path, content: Document, known: frozenset[str], where: str) -> None:
    """Refuse fields that are not understood here."""
    if unknown := sorted(map(str, set(content) - known)):
        message = f"{file}: {where}{', '.join(unknown)} is not understood here: kubectl kustomize {file.parent} | mintaka apply -"
        raise BadArgument(message)
