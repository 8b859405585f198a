"""Listing and watching, against a scripted server."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_api import informer as module
from mintaka_api.cluster import FLOW_RUNS, OPENED
from mintaka_api.informer import Informer
from mintaka_kubernetes import ClusterAway, ClusterRefusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

pytestmark = pytest.mark.anyio


class ScriptOver(Exception):
    """The script has no more steps."""


def thing(name: str, version: str) -> dict[str, Any]:
    """An object."""
    return {"metadata": {"uid": name, "name": name, "resourceVersion": version}}


def page(version: str, *names: str, more: str = "") -> dict[str, Any]:
    """A page of a list."""
    return {"metadata": {"resourceVersion": version, "continue": more}, "items": [thing(name, version) for name in names]}


def event(kind: str, name: str, version: str) -> dict[str, Any]:
    """An event of a watch."""
    return {"type": kind, "object": thing(name, version)}


class Server:
    """Answers lists and watches from a script: a page, a list of events, or an exception."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.asked: list[str] = []

    async def list_page(self, _resource: Any, _namespace: str | None, query: Mapping[str, str]) -> dict[str, Any]:
        self.asked.append(f"list {query.get('continue', '')}".strip())
        return dict(self._step())

    async def watch(self, _resource: Any, _namespace: str | None, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        self.asked.append(f"watch {query['resourceVersion']}")
        for one in [{"type": OPENED}, *self._step()]:
            if isinstance(one, Exception):
                raise one
            yield one

    def _step(self) -> Any:
        if not self.steps:
            raise ScriptOver
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


class Notes:
    """A sink that writes down what it is told."""

    def __init__(self, *known: str) -> None:
        self.told: list[str] = []
        self._known = set(known)

    async def known(self) -> set[str]:
        return set(self._known)

    def present(self, document: dict[str, Any]) -> None:
        self.told.append(f"+{document['metadata']['uid']}")

    def gone(self, document: dict[str, Any]) -> None:
        self.told.append(f"-{document['metadata']['uid']}")

    def vanished(self, uids: set[str]) -> None:
        self.told.append(f"?{','.join(sorted(uids))}")


async def play(monkeypatch: pytest.MonkeyPatch, notes: Notes, *steps: Any) -> tuple[Server, Informer, list[float]]:
    """Run an informer until the script is over; also the pauses it made."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(module.asyncio, "sleep", pause)
    server = Server(*steps)
    informer = Informer(server, FLOW_RUNS, None, notes)
    with pytest.raises(ScriptOver):
        await informer.run()
    return server, informer, pauses


async def test_a_list_is_followed_by_a_watch_from_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are read to the end; a watch that ends is taken up where it stopped, bookmarks included."""
    events = [event("ADDED", "c", "11"), event("MODIFIED", "a", "12"), event("DELETED", "b", "13"), event("BOOKMARK", "", "20")]
    notes = Notes()
    server, informer, _ = await play(monkeypatch, notes, page("9", "a", more="next"), page("10", "b"), events, [])
    assert server.asked == ["list", "list next", "watch 10", "watch 20", "watch 20"]
    assert notes.told == ["+a", "+b", "+c", "+a", "-b"]
    assert informer.synced.is_set()
    assert informer.problem == ""


async def test_what_was_known_and_is_not_listed_has_vanished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told after the list."""
    notes = Notes("a", "x", "y")
    await play(monkeypatch, notes, page("10", "a", "b"))
    assert notes.told == ["+a", "+b", "?x,y"]


@pytest.mark.parametrize(
    "expiry",
    [
        [{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}],
        ClusterRefusal(410, "Gone", "too old"),
    ],
    ids=["within the watch", "as its answer"],
)
async def test_an_expired_watch_leads_to_a_new_list(monkeypatch: pytest.MonkeyPatch, expiry: Any) -> None:
    """410, in either form."""
    notes = Notes("b")
    server, _, _ = await play(monkeypatch, notes, page("10", "a", "b"), expiry, page("30", "a"), [])
    assert server.asked == ["list", "watch 10", "list", "watch 30", "watch 30"]
    assert notes.told == ["+a", "+b", "+a", "?b"]


async def test_errors_are_waited_out_with_growing_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch goes on from where it was; what ails it can be read meanwhile."""
    away = [ClusterAway("no route") for _ in range(5)]
    server, informer, pauses = await play(monkeypatch, Notes(), page("10"), *away)
    assert server.asked == ["list", *["watch 10"] * 6]
    assert "no route" in informer.problem
    assert all(later > earlier for earlier, later in pairwise(pauses))


async def test_a_list_that_expires_between_its_pages_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing vanishes by half a list."""
    notes = Notes("b")
    server, _, _ = await play(
        monkeypatch, notes, page("10", "a", more="next"), ClusterRefusal(410, "Expired", "continue"), page("11", "a", "b")
    )
    assert server.asked[:3] == ["list", "list next", "list"]
    assert notes.told == ["+a", "+a", "+b"]
