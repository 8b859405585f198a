"""Where a command looks and acts: the history that scripts keep on this machine, an API, or a cluster.

`kubectl mintaka …` and `--cluster` mean the cluster of the current kubectl context. Else MINTAKA_API_URL means that API, and
without it the local history is meant, as for scripts (`mintaka.homes`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.parsing import BadArgument
from mintaka.histories import history
from mintaka.homes import home

if TYPE_CHECKING:
    from mintaka.histories import History

RunArgument = Annotated[str, typer.Argument(help="A flow run: its uid, or its name (the newest of that name).")]
ClusterOption = Annotated[bool, typer.Option("--cluster", help="Ask the cluster of kubectl's context, not the API or the local history.")]

_TIMEOUT_SECONDS = 10.0
_PLUGIN = "kubectl-mintaka"


def in_cluster(cluster: bool) -> bool:
    """True where the cluster itself is meant."""
    return cluster or Path(sys.argv[0]).name.startswith(_PLUGIN)


def place(*, cluster: bool) -> History:
    """What to read from.

    Raises:
        HistoryError: it cannot be opened.
    """
    if in_cluster(cluster):
        from mintaka.cli.clusters import ClusterHistory  # noqa: PLC0415 - start-up time

        return ClusterHistory()
    return history()


def intend(run: str, action: str, *, cluster: bool) -> dict[str, Any]:
    """Ask for `action` (cancel, suspend or resume) on a flow run; returns the flow run as it was then.

    Raises:
        BadArgument: a local run, which only its own process can do that to.
        HistoryError: the API or cluster refused or cannot be asked.
    """
    with place(cluster=cluster) as where:
        document = where.flow_run(run)
    if in_cluster(cluster):
        from mintaka.cli.clusters import patch  # noqa: PLC0415 - start-up time

        patch(document, {"cancel": {"cancel": True}, "suspend": {"suspend": True}, "resume": {"suspend": False}}[action])
        return document
    url = home().api_url
    if not url:
        message = f"{run} runs on this machine, in a process of its own: only that process can {action} it (Ctrl-C, or SIGTERM, cancels it)"
        raise BadArgument(message)
    _post(f"{url.rstrip('/')}/api/v1/flow-runs/{document['uid']}/{action}")
    return document


def _post(url: str) -> None:
    import httpx  # noqa: PLC0415 - start-up time

    from mintaka.histories import HistoryError  # noqa: PLC0415 - start-up time

    try:
        response = httpx.post(url, timeout=_TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        message = f"{url} cannot be asked: {error}"
        raise HistoryError(message) from error
    if not response.is_success:
        message = f"{url}: HTTP {response.status_code}: {response.text[:500]}"
        raise HistoryError(message)
