"""Requests that a local server accepts: they have the right Host, and the token or a session of the server's own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import PlainTextResponse

from mintaka_api.local.authentication import LocalAuthentication, cookie_name, hosts_of
from mintaka_api.local.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

HERE = "127.0.0.1:4200"
PATH = "/api/v1/flow-runs"


class Server:
    """A server behind the middleware that answers every request it gets."""

    def __init__(self) -> None:
        self.credentials = Credentials("secret")
        self._app = LocalAuthentication(self._answer, self.credentials, hosts_of(4200), 4200)

    @staticmethod
    async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("reached")(scope, receive, send)

    async def request(self, method: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """The answer to a request; `Host` is this server's unless `headers` say otherwise."""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://irrelevant") as client:
            return await client.request(method, path, headers={"Host": HERE, **headers})

    def session(self) -> str:
        """A session of a browser."""
        session = self.credentials.session_of_code(self.credentials.new_code())
        assert session is not None
        return session


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer secret"}, 200),
        ({"Authorization": "bearer  secret"}, 200),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"Cookie": "mintaka_session_4200=1.x"}, 401),
        ({"Authorization": "Bearer wrong", "Cookie": "SESSION"}, 401),
        ({"Cookie": "SESSION"}, 200),
        ({"Cookie": "a=b; SESSION", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Cookie": "SESSION", "Sec-Fetch-Site": "none"}, 200),
        ({"Cookie": "SESSION", "Sec-Fetch-Site": "same-site"}, 401),
        ({"Cookie": "SESSION", "Sec-Fetch-Site": "cross-site"}, 401),
        ({"Cookie": "SESSION", "Origin": "http://localhost:5000"}, 401),
        ({"Cookie": "SESSION", "Origin": "http://localhost:4200"}, 200),
    ],
    ids=[
        "without credentials",
        "with the token",
        "with the token, the scheme spelled otherwise",
        "with a wrong token",
        "with an empty token",
        "with another scheme",
        "with a forged session",
        "with a session, but a wrong token",
        "with a session",
        "with a session, from the server's own page",
        "with a session, from the address bar",
        "with a session, from a page on another port",
        "with a session, from another site",
        "with a session, from the origin of another port",
        "with a session, from its own origin",
    ],
)
async def test_reading_takes_the_token_or_a_session(headers: dict[str, str], status: int) -> None:
    """All other requests get a problem document."""
    server = Server()
    cookie = f"{cookie_name(4200)}={server.session()}"
    response = await server.request("GET", PATH, {name: value.replace("SESSION", cookie) for name, value in headers.items()})
    assert response.status_code == status
    if status == 401:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["www-authenticate"] == "Bearer"
        assert "mintaka server status" in response.json()["detail"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "origin",
    [None, "http://127.0.0.1:4200", "http://127.0.0.1:9000", "null"],
    ids=["no origin", "the server's own", "that of another port", "an opaque one"],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_a_session_is_for_reading_only(method: str, origin: str | None) -> None:
    """A server on another port of this machine gets the cookie from the browser, and can send it with any header."""
    server = Server()
    headers = {"Cookie": f"{cookie_name(4200)}={server.session()}"} | (
        {"Origin": origin, "Sec-Fetch-Site": "same-origin"} if origin else {}
    )
    assert (await server.request(method, PATH, headers)).status_code == 401
    assert (await server.request(method, PATH, {"Authorization": "Bearer secret"})).status_code == 200


@pytest.mark.anyio
async def test_a_session_reads_headers_as_well() -> None:
    server = Server()
    assert (await server.request("HEAD", PATH, {"Cookie": f"{cookie_name(4200)}={server.session()}"})).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost:4200", "[::1]:4200"])
async def test_the_names_of_this_machine_are_served(host: str) -> None:
    """Their Host header includes the port."""
    assert (await Server().request("GET", "/healthz", {"Host": host})).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    "host", ["evil.example:4200", "127.0.0.1.evil.example:4200", "localhost", "127.0.0.1:80", "localhost:4200.evil.example", ""]
)
async def test_another_host_is_refused_even_with_the_token(host: str) -> None:
    """A page whose name resolves to this machine could otherwise read everything; this includes health probes."""
    for path in (PATH, "/healthz"):
        response = await Server().request("GET", path, {"Host": host, "Authorization": "Bearer secret"})
        assert (response.status_code, response.json()["type"].rsplit("/", 1)[1]) == (421, "misdirected")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/healthz", 200), ("GET", "/readyz", 200), ("GET", "/metrics", 401), ("GET", "/unknown", 401), ("GET", "/", 401)],
)
async def test_only_health_is_open(method: str, path: str, status: int) -> None:
    """Unknown paths also get 401."""
    assert (await Server().request(method, path, {})).status_code == status


@pytest.mark.anyio
async def test_a_code_opens_a_browser_once() -> None:
    """It becomes a cookie that no script reads and no other site sends, and leaves the address bar."""
    server = Server()
    code = server.credentials.new_code()
    first = await server.request("GET", f"/?code={code}", {})
    assert (first.status_code, first.headers["location"], first.headers["referrer-policy"]) == (303, "/", "no-referrer")
    cookie, *attributes = first.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(attributes)
    assert (await server.request("GET", "/", {"Cookie": cookie})).text == "reached"
    second = await server.request("GET", f"/?code={code}", {})
    assert (second.status_code, "set-cookie" in second.headers) == (401, False)
    assert "was used before" in second.json()["detail"]
    assert (await server.request("GET", f"/?code={code}", {"Cookie": cookie})).text == "reached", "the page was loaded again"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/?code=CODE"), ("GET", "/healthz/?code=CODE"), ("GET", "/api/v1/flow-runs?code=CODE")]
)
async def test_a_code_opens_nothing_but_the_start_page(method: str, path: str) -> None:
    """Trying it on another page does not use it up."""
    server = Server()
    code = server.credentials.new_code()
    assert (await server.request(method, path.replace("CODE", code), {})).status_code == 401
    assert server.credentials.session_of_code(code) is not None
