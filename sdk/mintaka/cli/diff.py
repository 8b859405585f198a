"""`mintaka diff`: what differs between two flow runs that an API knows."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from mintaka.cli.parsing import BadArgument
from mintaka.comparing import compared

if TYPE_CHECKING:
    from mintaka.comparing import Difference

_PAGE = 200
_SECONDS = 30.0


def command(
    first: Annotated[str, typer.Argument(help="Uid of a flow run.")],
    second: Annotated[str, typer.Argument(help="Uid of another one.")],
    api: Annotated[str, typer.Option("--api", help="Base URL of the API; else MINTAKA_API_URL.")] = "",
) -> None:
    """Show what differs between two flow runs; exit code 1 where something does."""
    url = api or os.environ.get("MINTAKA_API_URL", "")
    if not url:
        message = "where is the API? Give --api URL, or set MINTAKA_API_URL"
        raise BadArgument(message)
    with httpx.Client(base_url=f"{url.rstrip('/')}/api/v1", timeout=_SECONDS) as client:
        runs = [_asked(client, f"/flow-runs/{uid}") for uid in (first, second)]
        tasks = [_all(client, f"/flow-runs/{uid}/task-runs") for uid in (first, second)]
    differences = compared(runs[0], runs[1], tasks[0], tasks[1])
    sys.stdout.write(_shown(differences))
    sys.exit(1 if differences else 0)


def _asked(client: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    try:
        response = client.get(path, params=query)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
    except httpx.HTTPError as error:
        message = f"the API at {client.base_url} cannot be asked for {path}: {error}"
        raise BadArgument(message) from error
    return answer


def _all(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    items: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": _PAGE}
    while True:
        answer = _asked(client, path, **query)
        items += answer["items"]
        if not answer.get("next"):
            return items
        query["cursor"] = answer["next"]


def _shown(differences: list[Difference]) -> str:
    if not differences:
        return "no difference\n"
    width = max(len(f"{each.kind} {each.what}") for each in differences)
    return "".join(
        f"{f'{each.kind} {each.what}':<{width}}  {each.first or '(not there)'}  →  {each.second or '(not there)'}\n" for each in differences
    )
