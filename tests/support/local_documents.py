"""Manifests for the local server's document store, and queries of the history that it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from mintaka_core.names import API_VERSION
from mintaka_history.enum_codes import shown_state
from mintaka_history.tables import attempts, flow_deployment_versions, flow_deployments, flow_run_transitions, flow_runs

if TYPE_CHECKING:
    from mintaka_history.database import Database

NAMESPACE = "local"
TEMPLATE = {"entrypoint": "etl:main"}


def deployment(name: str = "etl", **spec: Any) -> dict[str, Any]:
    """A FlowDeployment."""
    return {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": {"name": name}, "spec": {**TEMPLATE, **spec}}


def flow_run(name: str = "run", *, owner: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A FlowRun with a template of its own, or of the deployment `owner`."""
    metadata: dict[str, Any] = {"name": name}
    if owner is None:
        return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": {"template": TEMPLATE, **spec}}
    metadata["ownerReferences"] = [owner_reference(owner)]
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": metadata,
        "spec": {"deployment": owner["metadata"]["name"], **spec},
    }


def owner_reference(owner: dict[str, Any]) -> dict[str, Any]:
    """A reference to a document."""
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}


def config_map(name: str = "code", **members: Any) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"flow.py": "x = 1\n"}, **members}


async def history_of(database: Database, uid: str) -> dict[str, Any]:
    """The history of a flow run: its columns by name, with states as words, `transitions` and `attempts`; {} if there is none."""

    def read(connection: Any) -> dict[str, Any]:
        row = connection.execute(select(flow_runs).where(flow_runs.c.uid == uid)).mappings().first()
        if row is None:
            return {}
        t, a = flow_run_transitions.c, attempts.c
        decisions = connection.execute(select(t.seq, t.to_state, t.rule).where(t.flow_run == row["no"]).order_by(t.seq))
        tries = connection.execute(select(a.attempt, a.state).where(a.flow_run == row["no"]).order_by(a.attempt))
        return {
            **row,
            "state": shown_state(row["state"]),
            "transitions": [(seq, shown_state(state), rule) for seq, state, rule in decisions],
            "attempts": [(number, None if state is None else shown_state(state)) for number, state in tries],
        }

    return await database.read(read)


async def deployments_in_history(database: Database, name: str) -> list[tuple[str, int, bool, int]]:
    """The deployments of that name by age: uid, generation, whether it was deleted, and how many versions of it are stored."""

    def read(connection: Any) -> list[tuple[str, int, bool, int]]:
        d, v = flow_deployments.c, flow_deployment_versions.c
        found = connection.execute(select(d.uid, d.generation, d.deleted).where(d.name == name).order_by(d.created)).all()
        return [
            (
                row.uid,
                row.generation,
                row.deleted is not None,
                len(connection.execute(select(v.revision).where(v.deployment == row.uid)).all()),
            )
            for row in found
        ]

    return await database.read(read)
