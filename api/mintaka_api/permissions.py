"""Authorization: each route's permission, in one place, denied by default.

Permissions use Kubernetes' terms (verb, resource, subresource, namespace), so that Kubernetes can decide on them. An *authenticator*
identifies the sender of a request, an *authorizer* decides whether the sender is allowed. Today every sender is `Anonymous`
and may do everything. The app refuses to start with a route that is not in the table below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotation

from mintaka_api.problems import Problem
from mintaka_core.errors import MintakaError
from mintaka_history.queries import flow_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.routing import BaseRoute

    from mintaka_api.services import Services


@dataclass(frozen=True, slots=True)
class Permission:
    """A right: `verb` on `resource`, or on one of its virtual subresources (`flowruns/cancel`)."""

    verb: str
    resource: str


#: The path prefix of all routes except health.
PREFIX = "/api/v1"

#: Open to everyone who can reach the port.
PUBLIC = Permission("get", "")

#: The permission each route requires, by the name of its function.
PERMISSIONS: dict[str, Permission] = {
    "healthz": PUBLIC,
    "readyz": PUBLIC,
    "metrics": PUBLIC,
    "openapi_document": PUBLIC,
    "open_start_page": PUBLIC,
    "create_login_code": Permission("create", "logincodes"),
    "list_flow_deployments": Permission("list", "flowdeployments"),
    "get_flow_deployment": Permission("get", "flowdeployments"),
    "list_versions": Permission("get", "flowdeployments"),
    "get_histogram": Permission("list", "flowruns"),
    "get_counts": Permission("list", "flowruns"),
    "get_facets": Permission("list", "flowruns"),
    "list_flow_runs": Permission("list", "flowruns"),
    "get_flow_run": Permission("get", "flowruns"),
    "get_flow_run_by_name": Permission("get", "flowruns"),
    "explain_flow_run": Permission("get", "flowruns"),
    "list_transitions": Permission("get", "flowruns"),
    "list_attempts": Permission("get", "flowruns"),
    "list_task_runs_of_flow_run": Permission("get", "flowruns/taskruns"),
    "list_task_runs": Permission("list", "flowruns/taskruns"),
    "get_graph": Permission("get", "flowruns/taskruns"),
    "list_logs": Permission("get", "flowruns/log"),
    "list_artifacts": Permission("get", "flowruns/artifacts"),
    "list_pauses": Permission("get", "flowruns"),
    "get_pause": Permission("get", "flowruns"),
    "put_pause": Permission("create", "flowruns/reports"),
    "answer_pause": Permission("create", "flowruns/suspend"),
    "rerun_flow_run": Permission("create", "flowruns/suspend"),
    "store_history": Permission("create", "flowruns/reports"),
    "get_stop_reason": Permission("get", "flowruns"),
    "put_container_log": Permission("update", "flowruns/log"),
    "begin_attempt": Permission("create", "flowruns/reports"),
    "list_ended_runs": Permission("list", "flowruns"),
    "create_flow_run": Permission("create", "flowruns"),
    "cancel_flow_run": Permission("create", "flowruns/cancel"),
    "suspend_flow_run": Permission("create", "flowruns/suspend"),
    "resume_flow_run": Permission("create", "flowruns/suspend"),
    "delete_flow_run": Permission("delete", "flowruns"),
    "list_changes": Permission("watch", "flowruns"),
    "list_events": Permission("list", "flowruns/events"),
    "apply_documents": Permission("update", "documents"),
    "create_document": Permission("create", "documents"),
    "list_documents": Permission("list", "documents"),
    "get_document": Permission("get", "documents"),
    "delete_document": Permission("delete", "documents"),
    "list_variables": Permission("list", "variables"),
    "get_variable": Permission("get", "variables"),
    "put_variable": Permission("update", "variables"),
    "delete_variable": Permission("delete", "variables"),
    "list_limits": Permission("list", "concurrencylimits"),
    "get_limit": Permission("get", "concurrencylimits"),
    "list_leases": Permission("get", "concurrencylimits"),
    "put_limit": Permission("update", "concurrencylimits"),
    "delete_limit": Permission("delete", "concurrencylimits"),
    "reserve_slots": Permission("create", "concurrencylimits/reservations"),
    "ask_for_slots": Permission("create", "concurrencyleases"),
    "renew_leases": Permission("update", "concurrencyleases"),
    "dry_run_rules": Permission("create", "rules/dryrun"),
    "get_retention": Permission("get", "retention"),
    "release_lease": Permission("delete", "concurrencyleases"),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request: the kind of principal and its name."""

    kind: str
    name: str


ANONYMOUS = Principal("Anonymous", "anonymous")


class Authenticator(Protocol):
    """Identifies the sender of a request; raises a Problem if the credentials are bad."""

    async def authenticate(self, request: Request) -> Principal:
        """The principal of `request`."""


class Authorizer(Protocol):
    """Decides whether a principal has a permission."""

    async def allows(self, principal: Principal, permission: Permission, namespace: str | None) -> bool:
        """True if the principal has it in `namespace` (None: in all namespaces; also used if the namespace is not known)."""


class AllowAnonymous:
    """Everyone is anonymous and may do everything: for clusters whose network decides who reaches the API."""

    async def authenticate(self, request: Request) -> Principal:
        """Always the anonymous principal."""
        del request
        return ANONYMOUS

    async def allows(self, principal: Principal, permission: Permission, namespace: str | None) -> bool:
        """Always true."""
        del principal, permission, namespace
        return True


class UndeclaredRoute(MintakaError):
    """A route without a declared permission."""


async def authorize(request: Request) -> None:
    """The dependency that runs before every route: authenticates, then checks the route's permission."""
    authenticator: Authenticator = request.app.state.authenticator
    authorizer: Authorizer = request.app.state.authorizer
    permission = PERMISSIONS[request.scope["route"].name]
    principal = await authenticator.authenticate(request)
    request.state.principal = principal
    if permission is PUBLIC:
        return
    for namespace in [None] if isinstance(authorizer, AllowAnonymous) else await namespaces_of(request):
        if not await authorizer.allows(principal, permission, namespace):
            where = "in all namespaces" if namespace is None else f"in namespace {namespace}"
            raise Problem("forbidden", f"{principal.name} may not {permission.verb} {permission.resource} {where}")


async def namespaces_of(request: Request) -> Sequence[str | None]:
    """The namespaces in which a request acts: that of its path, that of the flow run in its path, or those that a list is limited to.

    None means all namespaces. It is also returned for a flow run that history does not know.
    """
    path = request.path_params
    if "namespace" in path:
        return [path["namespace"]]
    if "uid" not in path:
        return request.query_params.getlist("namespace") or [None]
    try:
        uid = str(UUID(path["uid"]))
    except ValueError:
        return [None]
    services: Services = request.app.state.services
    run = await services.database.read(flow_runs.key, services.names, uid)
    return [None if run is None else run.namespace]


#: The dependencies that each router is created with.
GUARDED = [Depends(authorize)]


def require_permissions(routes: Iterable[BaseRoute]) -> None:
    """Refuse to start with a route that is not in `PERMISSIONS` or does not depend on `authorize`."""
    for route in routes:
        guarded = isinstance(route, APIRoute) and any(dependency.dependency is authorize for dependency in route.dependencies)
        if not guarded or getattr(route, "name", "") not in PERMISSIONS:
            message = f"route {getattr(route, 'path', route)!r} has no permission: declare it in mintaka_api.permissions.PERMISSIONS"
            raise UndeclaredRoute(message)
