"""Manifests as `mintaka apply` sends them: they are read first, so that nothing over a limit is sent.

For a cluster kubectl reads the files and reports invalid YAML; for a server they are read here. Nesting is
measured on the parser's events, before any object is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mintaka.cli.parsing import BadArgument
from mintaka_core.errors import TooLarge
from mintaka_core.limits import DEPTH_LIMIT, check_resource
from mintaka_core.names import CLUSTER_RULE, GROUP, RULE_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mintaka.histories import Document

SUFFIXES = (".yaml", ".yml", ".json")
_KINDS = frozenset({"FlowDeployment", "FlowRun", *RULE_KINDS})
#: Levels of a document around the fields of `spec`, a list of resources included.
_AROUND = 6
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPEN = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSE = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


class _TextDates(_LOADER):  # type: ignore[misc]  # the loader is chosen at run time
    """Reads dates as text, as kubectl does; JSON has no other form for them."""


_TextDates.add_constructor("tag:yaml.org,2002:timestamp", _LOADER.construct_yaml_str)


@dataclass(frozen=True, slots=True)
class Manifests:
    """A file, a folder of files, or a `text` (`what` "-"); `named` is the name of the text in messages."""

    what: str
    text: str | None = None
    named: str = "standard input"

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return self.what if self.text is None else self.named

    def checked(self) -> list[tuple[str, Document]]:
        """Our resources, each with the name of its place.

        Raises:
            TooLarge: one exceeds a limit; the message names file and resource.
        """
        found = []
        for place, content in self._contents():
            for resource in _documents(place, content, strict=False):
                if resource.get("kind") not in _KINDS or not str(resource.get("apiVersion", "")).startswith(f"{GROUP}/"):
                    continue
                if (excess := check_resource(resource)) is not None:
                    message = f"{_named(place, resource)}: {excess.message}"
                    raise TooLarge(message)
                found.append((_named(place, resource), resource))
        return found

    def are_several_of_ours(self) -> bool:
        """True for more than one document, none of which another may depend on, as on a namespace."""
        kinds = [document.get("kind") for place, content in self._contents() for document in _documents(place, content, strict=False)]
        return len(kinds) > 1 and set(kinds) <= {*_KINDS, "ConfigMap"}

    def parsed(self) -> list[tuple[str, Document]]:
        """All documents, those in lists included, each with the name of its place.

        Raises:
            BadArgument: there is no such file, it is not YAML, or there is no document in it.
            TooLarge: a document is nested too deeply.
        """
        contents = list(self._contents())
        if not contents:
            message = f"there is no manifest at {self.what}: give a file or a folder of files that end in {', '.join(SUFFIXES)}"
            raise BadArgument(message)
        found = [(_named(place, document), document) for place, content in contents for document in _documents(place, content, strict=True)]
        if not found:
            message = f"there is no document in {self.shown}"
            raise BadArgument(message)
        return found

    def _contents(self) -> Iterator[tuple[str, str]]:
        return iter([(self.named, self.text)]) if self.text is not None else _files(self.what)


def placed(found: Sequence[tuple[str, Document]], namespace: str | None, default: str) -> list[Document]:
    """The documents, in `namespace` if one is given, else in their own, or in the `default` one.

    Raises:
        BadArgument: a document is in another namespace than the given one.
    """
    documents = []
    for place, document in found:
        metadata = document.get("metadata")
        if not isinstance(metadata, dict):
            message = f"{place}: metadata is missing: give it a name"
            raise BadArgument(message)
        own = metadata.get("namespace")
        if namespace and own and own != namespace:
            message = f"{place} is in namespace {own}, not {namespace}: leave --namespace out, or correct metadata.namespace"
            raise BadArgument(message)
        there = {} if document.get("kind") == CLUSTER_RULE else {"namespace": namespace or own or default}
        documents.append({**document, "metadata": {**metadata, **there}})
    return documents


def _named(place: str, document: Document) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return f"{place}: {document.get('kind', 'a document')} {name}".rstrip()


def _files(what: str) -> Iterator[tuple[str, str]]:
    path = Path(what)
    if path.is_dir():
        paths = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
    else:
        paths = [path] if path.is_file() else []  # anything else, such as a URL, is read by kubectl
    for each in paths:
        yield str(each), each.read_text(encoding="utf-8", errors="replace")


def _documents(place: str, text: str, *, strict: bool) -> Iterator[Document]:
    """The documents of a file, those in lists included; invalid YAML is an error if `strict`, else the file has no documents."""
    try:
        waiting = documents_in(place, text)
    except (yaml.YAMLError, ValueError) as error:
        if strict:
            message = f"{place} is not YAML: {' '.join(str(error).split())}"
            raise BadArgument(message) from error
        return
    while waiting:
        document = waiting.pop(0)
        if isinstance(document, dict) and isinstance(items := document.get("items"), list):
            waiting = items + waiting
        elif isinstance(document, dict):
            yield document
        elif strict and document is not None:
            message = f"{place} has a document that is not an object: {document!r:.100}"
            raise BadArgument(message)


def documents_in(place: str, text: str) -> list[Any]:
    """The documents of a YAML text, of any type.

    Raises:
        TooLarge: one is nested too deeply.
        yaml.YAMLError, ValueError: it is not YAML.
    """
    if _depth(text) > DEPTH_LIMIT + _AROUND:
        message = f"{place} is nested more than {DEPTH_LIMIT} levels deep, which is the most that is allowed in a field of spec"
        raise TooLarge(message)
    return list(yaml.load_all(text, Loader=_TextDates))


def _depth(text: str) -> int:
    """How deep a text of YAML is nested, at most one more than what is allowed."""
    depth = deepest = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, _OPEN) - isinstance(event, _CLOSE)
        deepest = max(deepest, depth)
        if deepest > DEPTH_LIMIT + _AROUND:
            break
    return deepest
