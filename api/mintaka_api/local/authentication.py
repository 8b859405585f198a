"""Authenticates requests to a local server: a middleware around the whole application, so that no path is left out.

1. `Host` must name this machine and the server's port. A browser sends the name in its address bar, so a page of another
   name that resolves to 127.0.0.1 (DNS rebinding) is refused with 421.
2. A request has the token (`Authorization: Bearer`) or a session (a cookie), or is answered with 401. Health probes need neither.
3. A session is valid only for reading (GET, HEAD), and only for requests of the server's own pages: cookies and SameSite do not
   distinguish ports. A browser sends the cookie to every port of 127.0.0.1, and a server of another user there can replay it,
   with any header. No page of this server writes, so nothing needs a session that may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse

from mintaka_api.local.credentials import SESSION_SECONDS
from mintaka_api.permissions import Principal
from mintaka_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mintaka_api.local.credentials import Credentials

_PROBES = frozenset({"/healthz", "/readyz"})
#: The methods for which a session is valid: routes with these change nothing.
_READING = frozenset({"GET", "HEAD"})
#: The relations of a page to the server (Fetch Metadata) for which a session is valid: its own pages, and the address bar.
_OWN_PAGES = frozenset({"", "same-origin", "none"})
_HINT = "mintaka server status prints a link for the browser; commands and flows find the token by themselves (MINTAKA_HOME)"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class LocalUser:
    """The authenticator of the routes: every request that reaches them comes from the user who started the server."""

    def __init__(self, name: str) -> None:
        self._principal = Principal("User", name)

    async def authenticate(self, request: Request) -> Principal:
        """Always the user: the middleware has checked the request."""
        del request
        return self._principal


class LocalAuthentication:
    """ASGI middleware that lets only requests of the server's user through."""

    def __init__(self, app: ASGIApp, credentials: Credentials, hosts: Collection[str], port: int) -> None:
        """`hosts` are the values of `Host` that mean this server at `port`."""
        self._app = app
        self._credentials = credentials
        self._hosts = frozenset(host.encode() for host in hosts)
        self._origins = frozenset(f"http://{host}".encode() for host in hosts)
        self._cookie = cookie_name(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._respond(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if headers.get(b"host", b"") not in self._hosts:
            detail = "the Host header names another server: use 127.0.0.1 or localhost, with the port"
            await self._refuse(Problem("misdirected", detail), scope, receive, send)
        elif scope["path"] == "/" and (session := self._new_session(scope)):
            response = RedirectResponse("/", status_code=303, headers=_HEADERS)
            response.set_cookie(self._cookie, session, max_age=SESSION_SECONDS, httponly=True, samesite="strict")
            await response(scope, receive, send)
        elif scope["path"] in _PROBES or self._is_authentic(headers, scope["method"]):
            await self._app(scope, receive, send)
        elif scope["path"] == "/" and _code_in(scope):
            detail = "this link was used before, or is older than 60 seconds: mintaka server status prints a new one"
            await self._refuse(Problem("unauthenticated", detail), scope, receive, send)
        else:
            await self._refuse(Problem("unauthenticated", f"this request has no valid token: {_HINT}"), scope, receive, send)

    def _is_authentic(self, headers: dict[bytes, bytes], method: str) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme:
            return scheme.lower() == "bearer" and self._credentials.is_token(token.strip())
        session = cookie_parser(headers.get(b"cookie", b"").decode("latin-1")).get(self._cookie, "")
        return bool(session) and method in _READING and self._is_of_own_page(headers) and self._credentials.is_session(session)

    def _is_of_own_page(self, headers: dict[bytes, bytes]) -> bool:
        origin = headers.get(b"origin")
        return headers.get(b"sec-fetch-site", b"").decode("latin-1") in _OWN_PAGES and (origin is None or origin in self._origins)

    def _new_session(self, scope: Scope) -> str | None:
        """The session for the code in a request of a browser; None if there is no code, or it is no longer valid."""
        code = _code_in(scope) if scope["method"] == "GET" else ""
        return self._credentials.session_of_code(code) if code else None

    async def _refuse(self, problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
        response = problem.response()
        response.headers.update(_HEADERS)
        await response(scope, receive, send)


def _code_in(scope: Scope) -> str:
    return QueryParams(scope["query_string"]).get("code", "")


def cookie_name(port: int) -> str:
    """The cookie of the server at `port`: cookies do not distinguish ports, and several servers may run."""
    return f"mintaka_session_{port}"


def hosts_of(port: int) -> list[str]:
    """The values of `Host` that mean the server at `port`."""
    names = ["localhost", "127.0.0.1", "[::1]"]
    return [f"{name}:{port}" for name in names] + (names if port == _HTTP_PORT else [])


#: Browsers leave the port out if it is that of the scheme.
_HTTP_PORT = 80
