"""Dry runs of orchestration rules at a place: an API does it itself, of a file they are done here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.cli.parsing import BadArgument
from mintaka_core.instants import format_time
from mintaka_core.names import RULE_KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mintaka.cli.manifest_files import Manifests
    from mintaka.cli.places import Place
    from mintaka.histories import Document


def kinds_of_rule(name: str) -> list[tuple[str, str]]:
    """The kinds that `KIND/NAME` or `NAME` may mean, each with the plain name."""
    kind, slash, plain = name.rpartition("/")
    if not slash:
        return [(each, plain) for each in RULE_KINDS]
    found = [(each, plain) for each in RULE_KINDS if each.lower() == kind.lower()]
    if not found:
        message = f"{kind!r} is not a kind of rule: write {' or '.join(each.lower() for each in RULE_KINDS)}"
        raise BadArgument(message)
    return found


def rule_documents(manifests: Manifests) -> list[Document]:
    """The rules in a file or folder. Raises BadArgument if there is none."""
    found = [document for _, document in manifests.parsed() if document.get("kind") in RULE_KINDS]
    if not found:
        message = f"there is no {' or '.join(RULE_KINDS)} in {manifests.shown}"
        raise BadArgument(message)
    return found


def dry_run_of(
    there: Place, documents: Sequence[Document], since: datetime, *, namespace: str = "", run: str = "", shown: int = 100
) -> dict[str, Any]:
    """The answer of `POST /rules/dry-run`."""
    body = {"documents": list(documents), "since": format_time(since), "namespace": namespace, "run": run, "limit": shown}
    answer: dict[str, Any] = there.dry_run_rules(body)
    return answer
