"""Where a command looks and acts: the history that scripts keep on this machine, an API, or a cluster.

`kubectl mintaka …` and `--cluster` mean the cluster of the current kubectl context. Else MINTAKA_API_URL means that API, and
without it the local history is meant, as for scripts (`mintaka.recording.homes`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.parsing import BadArgument
from mintaka.cli.showing import is_over
from mintaka.histories import history, is_called, of_a_script
from mintaka.recording.homes import home
from mintaka.sharing import shared
from mintaka_core.errors import InvalidNameError
from mintaka_core.names import checked_namespace

if TYPE_CHECKING:
    from mintaka.histories import Document, History
    from mintaka.recording.homes import Home
    from mintaka.sharing.protocol import Shared

RunArgument = Annotated[str, typer.Argument(help="A flow run: its uid, or its name (the newest of that name).", metavar="RUN")]
ClusterOption = Annotated[bool, typer.Option("--cluster", help="Ask the cluster of kubectl's context, not the API or the local history.")]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace. Default: kubectl's in a cluster, else all."),
]

SharingNamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help="The namespace. Default: kubectl's for kubectl mintaka, else MINTAKA_NAMESPACE, else local.",
    ),
]
EverywhereOption = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")]

_PLUGIN = "kubectl-mintaka"


def in_cluster(cluster: bool) -> bool:
    """True where the cluster itself is meant."""
    return cluster or Path(sys.argv[0]).name.startswith(_PLUGIN)


def place(*, cluster: bool, namespace: str | None = None) -> History:
    """What to read from.

    Raises:
        HistoryError: it cannot be opened.
    """
    if in_cluster(cluster):
        from mintaka.cli.clusters import ClusterHistory  # noqa: PLC0415 - start-up time

        return ClusterHistory(namespace)
    return history(home(), namespace)


def sharing_place(namespace: str | None) -> Shared:
    """Where variables and limits are: `namespace` of the local database, or of an API (None: that of kubectl or of scripts).

    Raises:
        BadArgument: the cluster is meant, whose API kubectl does not reach; or there can be no such namespace.
        SharingError: there is no such place, or it cannot be opened.
    """
    plugin = in_cluster(cluster=False)
    if plugin and not home().api_url:
        message = (
            "variables and limits of a cluster are at its API: kubectl port-forward -n mintaka-system service/mintaka-api 4200, "
            "and set MINTAKA_API_URL=http://localhost:4200"
        )
        raise BadArgument(message)
    if namespace is None and plugin:
        from mintaka.cli.cluster_api import current_namespace  # noqa: PLC0415 - start-up time

        namespace = current_namespace()
    try:
        return shared(None if namespace is None else checked_namespace(namespace))
    except InvalidNameError as error:
        raise BadArgument(str(error)) from error


def sharing_places(namespace: str | None, *, everywhere: bool) -> Shared:
    """`sharing_place` for lists, which may be of all namespaces.

    Raises:
        BadArgument: as above; or one namespace and all of them are meant.
    """
    if everywhere and namespace is not None:
        message = "--all-namespaces goes with no --namespace"
        raise BadArgument(message)
    return sharing_place(namespace)


def intend(run: str, action: str, *, cluster: bool, namespace: str | None = None) -> dict[str, Any]:
    """Ask for `action` (cancel or suspend) on a flow run; returns the flow run as it was then.

    Raises:
        BadArgument: it is over, or one of a script that cannot be told that.
        NotCancellable: it is one of a script whose process cannot be told.
        HistoryError: the API or cluster refused or cannot be asked.
    """
    if in_cluster(cluster):
        return _intend_in_cluster(run, action, namespace)
    where = home()
    with place(cluster=False, namespace=namespace) as there:
        document = there.flow_run(run)
    require_own_process(document, action)
    _require_unfinished(document, action)
    waits_without_process = of_a_script(document) and document["state"]["name"] == "Suspended"
    if waits_without_process and action == "suspend":
        message = f"{document['name']} is suspended already; it goes on with mintaka resume {document['uid']}"
        raise BadArgument(message)
    if not where.api_url:
        _intend_here(document, action, where)
        return document
    if of_a_script(document) and not waits_without_process:
        message = (
            f"flow run {document['name']} belongs to a script, not to a cluster: end its process where it was started (Ctrl-C, or SIGTERM)"
        )
        raise BadArgument(message)
    from mintaka.recording.remote_history import RemoteHistory  # noqa: PLC0415 - start-up time: httpx

    with RemoteHistory(where.api_url) as api:
        api.post(f"/flow-runs/{document['uid']}/{action}")
    return document


def _intend_in_cluster(run: str, action: str, namespace: str | None) -> dict[str, Any]:
    from mintaka.cli.clusters import ClusterHistory, patch  # noqa: PLC0415 - start-up time

    with ClusterHistory(namespace) as where:
        document = where.resource_of(run)
    _require_unfinished(document, action)
    patch(document, {action: True})
    return document


def _intend_here(run: Document, action: str, where: Home) -> None:
    """Tell the process that runs it; it can be cancelled, but only stops to be resumed where the flow itself says so."""
    if action != "cancel" or where.database is None:
        message = (
            f"{run['name']} runs on this machine, in a process of its own: nobody else can {action} it; "
            "mintaka cancel ends it, and mintaka resume starts it again where results are persisted"
        )
        raise BadArgument(message)
    from mintaka.engine.cancelling import cancel  # noqa: PLC0415 - start-up time

    cancel(where.database, run["uid"])


def require_own_process(run: Document, action: str) -> None:
    """Refuse to `action` a flow run that was called in the process of another one.

    Raises:
        BadArgument: it was.
    """
    if is_called(run):
        message = f"flow run {run['name']} was called by another one, in whose process it is: mintaka {action} {run['root']}"
        raise BadArgument(message)


def _require_unfinished(run: Document, action: str) -> None:
    if is_over(run):
        message = f"flow run {run['namespace']}/{run['name']} has already ended {run['state']['name']}: there is nothing to {action}"
        raise BadArgument(message)
