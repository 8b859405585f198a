"""What runs share at an API, where something else answers in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mintaka.exceptions import SharingError
from mintaka.sharing.remote import RemoteShared
from mintaka_history.sharing.leases import SlotRequest

if TYPE_CHECKING:
    from collections.abc import Callable

ASKED: dict[str, Callable[[RemoteShared], Any]] = {
    "a variable": lambda place: place.variable("regions"),
    "all variables": lambda place: place.variables(),
    "a limit": lambda place: place.limit("db"),
    "all limits": lambda place: place.limits(),
    "slots": lambda place: place.request(SlotRequest("id", "ns", ("db",), 1, 60.0, None, 0, None, "script")),
    "more time for slots": lambda place: place.renew(["id"], 60.0),
    "a rate's slots": lambda place: place.reserve(["db"], 1, None),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("answer", [b"{}", b'{"items": 1, "leases": null, "granted": 2}'], ids=["nothing", "something else"])
def test_a_good_answer_of_another_kind_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[RemoteShared], Any], answer: bytes
) -> None:
    """A proxy's own page, say; the thread that renews leases lives on, because it expects a SharingError."""
    place = RemoteShared("http://127.0.0.1:1", "ns")
    monkeypatch.setattr(place, "_answered", lambda *_: (200, answer))
    with pytest.raises(SharingError, match="answers as no API of Mintaka does"):
        ask(place)
