"""History read from an API: lists by pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mintaka.recording.remote_history import RemoteHistory

if TYPE_CHECKING:
    from collections.abc import Callable

LISTS: dict[str, Callable[[RemoteHistory], list[Any]]] = {
    "transitions": lambda history: history.transitions("uid"),
    "artifacts": lambda history: history.artifacts("uid"),
}


@pytest.mark.parametrize("called", LISTS)
def test_a_list_is_read_to_its_last_page_with_pages_of_the_apis_size(called: str) -> None:
    """An older API refuses to be told a size, and has one page."""
    asked: list[dict[str, str]] = []
    pages = {"": {"items": [1, 2], "next": "a"}, "a": {"items": [3], "next": "b"}, "b": {"items": [4], "next": None}}

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == f"/api/v1/flow-runs/uid/{called}"
        asked.append(dict(request.url.params))
        return httpx.Response(200, json=pages[request.url.params.get("cursor", "")])

    with RemoteHistory("http://api", httpx.Client(transport=httpx.MockTransport(answer))) as history:
        assert LISTS[called](history) == [1, 2, 3, 4]
    assert asked == [{}, {"cursor": "a"}, {"cursor": "b"}]
