"""A token that is not accepted any more is read again, and its request repeated once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, cast

import pytest

from mintaka_kubernetes import ApiError, Client, Credentials, NoCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    import aiohttp

PATH = "/api/v1/pods"


class Token(Credentials):
    """A token in a file: `newest` is what the file has."""

    def __init__(self, newest: str) -> None:
        super().__init__("http://server")
        self.newest = newest
        self.reads = 0
        self.rejected = True

    @property
    def stale(self) -> bool:
        return self.rejected

    def refresh(self) -> None:
        self.reads += 1
        if not self.newest:
            raise NoCluster("the service account's token cannot be read")
        self.headers, self.rejected = {"Authorization": self.newest}, False

    def reject(self) -> None:
        self.rejected = True


class Response:
    """What the server answers."""

    def __init__(self, status: int) -> None:
        self.status, self.reason, self.headers = status, "", {"Retry-After": ""}
        self.released = False
        self.content = self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        self.released = True

    async def read(self) -> bytes:
        return b"{}"

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield b'{"kind": "Pod"}'


class Session:
    """A server that accepts one token; it stands in for aiohttp's session."""

    def __init__(self, accepted: str) -> None:
        self.accepted = accepted
        self.tokens: list[str] = []
        self.responses: list[Response] = []
        self.before: Callable[[], Awaitable[Any]] = _at_once

    async def request(self, _method: str, _path: str, *, headers: dict[str, str], **_: Any) -> Response:
        self.tokens.append(headers.get("Authorization", ""))
        accepted = self.tokens[-1] == self.accepted
        await self.before()
        self.responses.append(Response(200 if accepted else 401))
        return self.responses[-1]


async def _at_once() -> None:
    """Answer at once."""


def client_of(session: Session, credentials: Credentials, counts: list[int] | None = None) -> Client:
    """A client that sends to `session`."""
    client = Client(credentials, count=lambda _method, _path, code: (counts if counts is not None else []).append(code))
    client._session = cast("aiohttp.ClientSession", session)
    return client


async def watched(client: Client) -> None:
    """Open a watch."""
    async for _ in client.watch(PATH, "1", seconds=60):
        return


async def listed(client: Client) -> None:
    """Read a collection."""
    async for _ in client.list_pages(PATH, page_size=10):
        pass


REQUESTS: dict[str, Callable[[Client], Coroutine[Any, Any, Any]]] = {
    "reading": lambda client: client.read(PATH),
    "writing": lambda client: client.request("POST", PATH, body={}),
    "listing": listed,
    "watching": watched,
}


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_a_rotated_token_costs_no_request(request_of: Callable[[Client], Coroutine[Any, Any, Any]]) -> None:
    """The old one is refused, the new one is in the file."""
    session, token, counts = Session("new"), Token("old"), list[int]()
    client = client_of(session, token, counts)
    token.refresh()
    token.newest = "new"
    asyncio.run(request_of(client))
    assert session.tokens == ["old", "new"]
    assert counts == [401, 200]
    assert all(response.released for response in session.responses)


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_a_token_that_stays_refused_is_an_error_that_may_pass(request_of: Callable[[Client], Coroutine[Any, Any, Any]]) -> None:
    """The request is repeated once, and the file is read again with the next one."""
    session, token = Session("other"), Token("old")
    client = client_of(session, token)
    for expected in (2, 4):
        with pytest.raises(ApiError) as raised:
            asyncio.run(request_of(client))
        assert (raised.value.code, raised.value.transient) == (401, True)
        assert len(session.tokens) == token.reads == expected


def test_credentials_that_do_not_change_are_not_tried_twice() -> None:
    """There is nothing to read again."""
    session = Session("other")
    with pytest.raises(ApiError) as raised:
        asyncio.run(client_of(session, Credentials("http://server")).read(PATH))
    assert (raised.value.code, len(session.tokens)) == (401, 1)


def test_many_requests_at_once_read_a_rotated_token_once() -> None:
    """The file, or a program that costs a second."""
    session, token = Session("new"), Token("old")
    token.refresh()
    token.newest = "new"

    async def story() -> None:
        together = asyncio.Barrier(20)
        session.before = lambda: asyncio.wait_for(together.wait(), 30) if len(session.tokens) <= 20 else _at_once()
        client = client_of(session, token)
        await asyncio.gather(*(client.read(PATH) for _ in range(20)))

    asyncio.run(story())
    assert session.tokens == ["old"] * 20 + ["new"] * 20
    assert token.reads == 2


def test_a_token_that_cannot_be_read_again_is_said_so() -> None:
    """As when there never was one."""
    session, token = Session("new"), Token("old")
    token.refresh()
    token.newest = ""
    with pytest.raises(NoCluster):
        asyncio.run(client_of(session, token).read(PATH))
    assert session.responses[0].released
