"""Retry-After: seconds, up to two minutes; anything else is ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from mintaka_kubernetes import ApiError
from mintaka_kubernetes.client import refusal_of

if TYPE_CHECKING:
    import aiohttp


class Response:
    """A response with that header."""

    def __init__(self, retry_after: str) -> None:
        self.status, self.reason, self.headers = 429, "Too Many Requests", {"Retry-After": retry_after}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("120", 120.0), ("121", 120.0), ("86400", 120.0), ("9" * 400, 120.0)]
    + [(header, None) for header in ("", "²", "٣", "-1", "1.5", "1e3", "nan", "Wed, 21 Oct 2026 07:28:00 GMT")],
)
def test_the_header(header: str, seconds: float | None) -> None:
    """A date would need the server's clock."""
    assert refusal_of(cast("aiohttp.ClientResponse", Response(header)), b"{}").retry_after == seconds


def test_no_error_asks_for_more_than_two_minutes() -> None:
    """Wherever it comes from."""
    assert ApiError(503, "", "", 3600.0).retry_after == 120.0
