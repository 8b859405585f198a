"""The place that a command acts on: this machine's history file, a server (or another API), or a cluster. All have the same interface.

`kubectl mintaka …` and `--cluster` select a cluster. Else `--context`, MINTAKA_CONTEXT, MINTAKA_API_URL, the current context, the server of
this machine and its file apply, in this order (`mintaka.recording.homes`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from mintaka.cli.parsing import BadArgument
from mintaka.cli.plugin import is_plugin
from mintaka.cli.showing import is_over
from mintaka.histories import History, HistoryError, is_called, of_a_script
from mintaka.recording.homes import command_home
from mintaka_core.errors import InvalidNameError
from mintaka_core.names import checked_namespace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka.cli.manifest_files import Manifests
    from mintaka.histories import Document
    from mintaka.recording.homes import Home
    from mintaka.sharing.protocol import Shared
    from mintaka_core.planning import Candidate

RunArgument = Annotated[str, typer.Argument(help="A flow run: its uid, or its name (the newest of that name).", metavar="RUN")]
ClusterOption = Annotated[bool, typer.Option("--cluster", help="Use the cluster of kubectl's context, whatever else is set.")]
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

#: The prefix of a flow deployment's name in arguments that accept other objects too.
DEPLOYMENT = "deployment/"
#: Instead of a namespace: all of them. Only for lists.
EVERYWHERE = "*"


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to create, under the name `name` or a generated one."""

    parameters: dict[str, Any]
    name: str = ""
    tags: tuple[str, ...] = ()


class Place(History, Protocol):
    """A place. Use it as a context manager. Every method raises HistoryError if the place refuses or does not answer."""

    #: How long to wait before the next check.
    pause_seconds: float

    def stop(self, run: Document, action: str) -> None:
        """Request `cancel` or `suspend` of a run that is not over. Raises BadArgument if the run does not support it."""

    def resume(self, run: Document, value: Any, *, given: bool) -> bool:
        """Resume a run, with `value` if it is `given`; False if a process of this machine has to start it."""

    def deployments(self, *, name: str | None = None, tags: Sequence[str] = (), limit: int = 50) -> list[Document]:
        """Flow deployments by name, those whose names begin with `name`, as the API returns them (`FlowDeploymentAnswer`)."""

    def deployment(self, name: str) -> Document:
        """One flow deployment."""

    def apply(self, manifests: Manifests, *, dry_run: bool, as_json: bool) -> str:
        """Apply all documents or, if one is not valid, none; returns what `kubectl apply` would print."""

    def preview(self, manifests: Manifests) -> list[Candidate]:
        """What applying would make of each document, by a dry run."""

    def create_run(self, deployment: str, run: NewRun) -> Document:
        """Create a run of a flow deployment."""

    def create_from_template(self, manifest: Document, run: NewRun) -> Document:
        """Create a run of the flow that the FlowDeployment `manifest` describes, without the deployment."""

    def delete_deployment(self, name: str) -> Document:
        """Delete a flow deployment and its runs; returns the deployment."""

    def delete_run(self, run: Document) -> None:
        """Delete a flow run, which is cancelled first."""

    def dry_run_rules(self, body: Document) -> Document:
        """The answer of `POST /rules/dry-run`."""

    def rule(self, name: str) -> Document:
        """An orchestration rule, by KIND/NAME, or by its name: that of the namespace comes before that of the cluster."""


def in_cluster(cluster: bool) -> bool:
    """True if the place is a cluster."""
    return command_place(cluster=cluster).cluster is not None


def command_place(*, cluster: bool) -> Home:
    """The place that a command acts on, with regard to `--cluster` and the plug-in of kubectl.

    Raises:
        BadArgument: `--cluster` with a context that is not a cluster.
        InvalidEnvironment: there is no such context, or the file with contexts is not valid.
    """
    where = command_home()
    if not (cluster or is_plugin()) or where.cluster is not None:
        return where
    if cluster and not is_plugin() and (named := os.environ.get("MINTAKA_CONTEXT")):
        message = f"context {named} is not a cluster: leave --cluster out, or name a cluster with --context"
        raise BadArgument(message)
    return replace(where, cluster="")


def place(*, cluster: bool, namespace: str | None = None) -> Place:
    """What to read from and act on; lists and names refer only to `namespace` (None: kubectl's in a cluster, else all).

    Raises:
        HistoryError: it cannot be opened.
    """
    where = command_place(cluster=cluster)
    if where.cluster is not None:
        from mintaka.cli.cluster_place import ClusterPlace  # noqa: PLC0415 - start-up time

        return ClusterPlace(namespace)
    namespace = None if namespace == EVERYWHERE else namespace
    if where.api_url:
        from mintaka.cli.server_place import ServerPlace  # noqa: PLC0415 - start-up time: httpx

        return ServerPlace(where, namespace)
    if where.database is None:
        message = "history is switched off (MINTAKA_HISTORY=off), so there is none to read"
        raise HistoryError(message)
    from mintaka.cli.file_place import FilePlace  # noqa: PLC0415 - start-up time: SQLAlchemy

    return FilePlace(where.database, namespace)


def sharing_place(namespace: str | None) -> Shared:
    """Where variables and limits are: `namespace` of the local database, or of an API (None: that of kubectl or of scripts).

    Raises:
        BadArgument: the cluster is meant, whose API kubectl does not reach; or there can be no such namespace.
        SharingError: there is no such place, or it cannot be opened.
    """
    where = command_place(cluster=False)
    if where.cluster is not None:
        url = os.environ.get("MINTAKA_API_URL")
        if not url:
            message = (
                "variables and limits of a cluster are at its API: kubectl port-forward -n mintaka-system service/mintaka-api 4200, "
                "and set MINTAKA_API_URL=http://localhost:4200"
            )
            raise BadArgument(message)
        where = replace(where, api_url=url)
        if namespace is None:
            from mintaka.cli.cluster_api import current_namespace  # noqa: PLC0415 - start-up time

            namespace = current_namespace()
    from mintaka.sharing import shared  # noqa: PLC0415 - start-up time

    try:
        return shared(None if namespace is None else checked_namespace(namespace), where)
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


def stop(run: str, action: str, *, cluster: bool, namespace: str | None = None) -> Document:
    """Ask for `action` (cancel or suspend) on a flow run; returns the flow run as it was then.

    Raises:
        BadArgument: it is over, or it belongs to a script whose process does not support the action.
        NotCancellable: it belongs to a script whose process cannot be signalled.
        HistoryError: the place refused or does not answer.
    """
    with place(cluster=cluster, namespace=namespace) as where:
        found = where.flow_run(run)
        require_own_process(found, action)
        if is_over(found):
            message = (
                f"flow run {found['namespace']}/{found['name']} has already ended {found['state']['name']}: there is nothing to {action}"
            )
            raise BadArgument(message)
        if action == "suspend" and waits_without_process(found):
            message = f"{found['name']} is suspended already; continue it with mintaka resume {found['uid']}"
            raise BadArgument(message)
        where.stop(found, action)
        return found


def waits_without_process(run: Document) -> bool:
    """True for the suspended run of a script: it has no process that could be signalled."""
    return of_a_script(run) and run["state"]["name"] == "Suspended"


def require_own_process(run: Document, action: str) -> None:
    """Refuse to `action` a flow run that was called in the process of another one.

    Raises:
        BadArgument: it was called that way.
    """
    if is_called(run):
        message = f"flow run {run['name']} was called by another one and runs in its process: mintaka {action} {run['root']}"
        raise BadArgument(message)
