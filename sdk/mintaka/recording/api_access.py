"""The token that goes with each request to an API: found by the API's URL, so that no token is sent to another one.

| the URL is that of | its token |
| --- | --- |
| the chosen context, or another one of `contexts.json` | its `token_file`, or its `token` |
| MINTAKA_API_URL | MINTAKA_API_TOKEN, else the file that MINTAKA_API_TOKEN_FILE names |
| the server that runs on MINTAKA_HOME | the token file that its `server.json` names |

Files are read for each request, because mounted tokens are rotated.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mintaka.recording.contexts import Context, contexts
from mintaka.recording.data_folder import data_folder
from mintaka.server_address import running_server
from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class UnusableToken(MintakaError, OSError):
    """The token of an API cannot be read or sent; an OSError, because the API then cannot be reached either."""


class Access(NamedTuple):
    """The `token` of an API ("": none); what to do if nothing answers there, and what to do if the token is refused."""

    token: str = ""
    if_away: str = "start it, or correct MINTAKA_API_URL"
    if_refused: str = "set MINTAKA_API_TOKEN_FILE beside MINTAKA_API_URL, or give a context its token: mintaka context add --help"


def authorization(url: str, variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The headers that authenticate requests to the API at `url`; empty if there is no token for it.

    Raises:
        UnusableToken: its file cannot be read, or it is not allowed in a header.
        InvalidEnvironment: the file with contexts cannot be understood.
    """
    token = access_to(url, variables).token
    return {"Authorization": f"Bearer {token}"} if token else {}


def access_to(url: str, variables: Mapping[str, str] = os.environ) -> Access:
    """How this process reaches the API at `url`; raises as `authorization` does."""
    first: Access | None = None
    for access in _known(url.rstrip("/"), variables):
        if access.token:
            return access
        first = first or access
    return first or Access()


def _known(wanted: str, variables: Mapping[str, str]) -> Iterator[Access]:
    """The settings that name the API at `wanted`, in the order in which tokens are looked up."""
    folder = data_folder(variables)
    there = contexts(folder)
    chosen = variables.get("MINTAKA_CONTEXT") or there.current
    yield from (_of_context(each) for each in sorted(there.known.values(), key=lambda each: each.name != chosen) if each.server == wanted)
    if (variables.get("MINTAKA_API_URL") or "").rstrip("/") == wanted:
        yield _of_variables(variables)
    server = running_server(folder)
    if server is not None and server.url.rstrip("/") == wanted:
        path = str(folder / "server.json")
        yield Access(
            _checked(server.token, path),
            f"mintaka server status shows whether process {server.pid}, which {path} names, is the server",
            f"{path} names process {server.pid}, which is perhaps another user's server, or has another token file: start it again",
        )


def _of_context(context: Context) -> Access:
    name = context.name
    token = _of_file(context.token_file, f"context {name}") if context.token_file else _checked(context.token, f"context {name}")
    return Access(
        token,
        f"start it, or correct context {name}: mintaka context show {name}",
        f"give context {name} another token: mintaka context add {name} --server {context.server} --token-file FILE --replace",
    )


def _of_variables(variables: Mapping[str, str]) -> Access:
    if given := variables.get("MINTAKA_API_TOKEN"):
        return Access(_checked(given.strip(), "MINTAKA_API_TOKEN"), if_refused="correct MINTAKA_API_TOKEN")
    if path := variables.get("MINTAKA_API_TOKEN_FILE"):
        return Access(_of_file(path, "MINTAKA_API_TOKEN_FILE"), if_refused=f"correct MINTAKA_API_TOKEN_FILE, or the token in {path}")
    return Access()


def _of_file(path: str, named_by: str) -> str:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        message = f"the token file {path} that {named_by} names cannot be read: {error.strerror}"
        raise UnusableToken(message) from error
    return _checked(text.strip(), path)


def _checked(token: str, place: str) -> str:
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    message = f"the token of {place} has characters that are not allowed in a header: it must be one word of ASCII letters, digits and punctuation"
    raise UnusableToken(message)
