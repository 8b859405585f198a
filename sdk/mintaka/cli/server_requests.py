"""Requests of `mintaka server` to the local server over HTTP."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import httpx

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from mintaka.server_address import ServerAddress

_TIMEOUT_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_PAGE = 200
_OVER = frozenset({404, 409})
#: The states of runs that have a process.
_ACTIVE = ("PENDING", "RUNNING", "CANCELLING")


class Unanswered(MintakaError):
    """The server did not answer, or refused."""


def readiness(address: ServerAddress) -> dict[str, str]:
    """The problems by part; {} if the server is ready. Raises Unanswered."""
    document = _request(address, "GET", "/readyz", accepted=frozenset({503})).json()
    return {part: document["parts"][part] for part in document["ill"]}


def login_url(address: ServerAddress) -> str:
    """An address that opens the server in a browser, once and within a minute. Raises Unanswered."""
    url: str = _request(address, "POST", "/api/v1/login-codes").json()["url"]
    return url


def count_active(address: ServerAddress) -> int:
    """How many flow runs have a process, of up to 200. Raises Unanswered."""
    return len(_active(address))


def cancel_active(address: ServerAddress, deadline: float) -> None:
    """Cancel the flow runs that have a process and wait for their ends, until `deadline` (monotonic).

    Raises:
        Unanswered: the server does not answer, or some of them have not ended.
    """
    asked: set[str] = set()
    while active := _active(address):
        for run in active:
            if run["uid"] not in asked:
                _request(address, "POST", f"/api/v1/flow-runs/{run['uid']}/cancel", accepted=_OVER)
                asked.add(run["uid"])
        if monotonic() >= deadline:
            message = f"{len(active)} flow runs have not ended yet, {active[0]['name']} among them; the server continues"
            raise Unanswered(message)
        sleep(_LOOK_SECONDS)


def _active(address: ServerAddress) -> list[dict[str, Any]]:
    query = {"state": _ACTIVE, "kind": "deployed", "fields": "uid,name", "limit": str(_PAGE)}
    items: list[dict[str, Any]] = _request(address, "GET", "/api/v1/flow-runs", params=query).json()["items"]
    return items


def _request(address: ServerAddress, method: str, path: str, *, accepted: frozenset[int] = frozenset(), **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {address.token}"}
    try:
        # Proxies of the environment are not for this machine.
        with httpx.Client(headers=headers, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            response = client.request(method, address.url + path, **options)
    except httpx.HTTPError as error:
        message = f"the server at {address.url} does not answer: {error}"
        raise Unanswered(message) from error
    if response.is_error and response.status_code not in accepted:
        message = f"the server at {address.url} refused {method} {path}: {response.status_code} {response.text[:500]}"
        raise Unanswered(message)
    return response
