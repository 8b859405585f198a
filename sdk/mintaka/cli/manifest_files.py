"""Manifests as `mintaka apply` hands them to kubectl: read before, so that nothing is sent that passes a limit.

What cannot be read as YAML is left to kubectl, which says what is wrong with it. Nesting is measured on the parser's events,
before anything is built of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mintaka_core.errors import TooLarge
from mintaka_core.limits import DEPTH_LIMIT, check_resource
from mintaka_core.names import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".yaml", ".yml", ".json")
#: Levels of a document around the fields of `spec`, a list of resources included.
_AROUND = 6
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPEN = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSE = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


def checked_resources(what: str, text: str | None) -> list[tuple[str, dict[str, Any]]]:
    """Our resources in a file, a folder's files or `text` (standard input), each with the name of its place.

    Raises:
        TooLarge: one passes a limit; the message names file and resource.
    """
    found = []
    for place, content in [("standard input", text)] if text is not None else _files(what):
        for resource in _resources(place, content):
            name = f"{place}: {resource['kind']} {(resource.get('metadata') or {}).get('name', '')}".rstrip()
            if (excess := check_resource(resource)) is not None:
                message = f"{name}: {excess.message}"
                raise TooLarge(message)
            found.append((name, resource))
    return found


def _files(what: str) -> Iterator[tuple[str, str]]:
    path = Path(what)
    if path.is_dir():
        paths = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
    else:
        paths = [path] if path.is_file() else []  # anything else, such as a URL, is read by kubectl
    for each in paths:
        yield str(each), each.read_text(encoding="utf-8", errors="replace")


def _resources(place: str, text: str) -> Iterator[dict[str, Any]]:
    """The FlowDeployments and FlowRuns of a file, those in lists included."""
    try:
        if _depth(text) > DEPTH_LIMIT + _AROUND:
            message = f"{place} is nested more than {DEPTH_LIMIT} levels deep, which is the most that is allowed in a field of spec"
            raise TooLarge(message)
        waiting = list(yaml.load_all(text, Loader=_LOADER))
    except (yaml.YAMLError, ValueError):
        return
    while waiting:
        document = waiting.pop(0)
        if not isinstance(document, dict):
            continue
        if document.get("kind") in {"FlowDeployment", "FlowRun"} and str(document.get("apiVersion", "")).startswith(f"{GROUP}/"):
            yield document
        elif isinstance(items := document.get("items"), list):
            waiting += items


def _depth(text: str) -> int:
    """How deep a text of YAML is nested, at most one more than what is allowed."""
    depth = deepest = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, _OPEN) - isinstance(event, _CLOSE)
        deepest = max(deepest, depth)
        if deepest > DEPTH_LIMIT + _AROUND:
            break
    return deepest
