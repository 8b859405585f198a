"""The ids of runs: UUIDs that are computed from the place of a run, alike by everyone, so that none has to be stored.

A flow run in a cluster has the uid of its resource, a script's run has one of its own. A task run or subflow run has its number
`n` within an attempt of the flow run, which is what history is keyed by; its id is made of the three (RFC 9562, version 5).
"""

from __future__ import annotations

from uuid import UUID, uuid5

_NAMESPACE = UUID("5f0a4f3c-1f0e-5b0e-9f5d-6d696e74616b")


def flow_run_id(uid: str) -> UUID:
    """The id of the flow run called `uid`, which is that UUID; of any other text, one that is made of it."""
    try:
        return UUID(uid)
    except ValueError:
        return uuid5(_NAMESPACE, f"flow run {uid}")


def task_run_id(flow_run: UUID, attempt: int, n: int) -> UUID:
    """The id of run `n`, a task run or subflow run, in an attempt of a flow run."""
    return uuid5(flow_run, f"{attempt}/{n}")


def flow_id(name: str) -> UUID:
    """The id of the flow called `name`: flows of one name have one id."""
    return uuid5(_NAMESPACE, f"flow {name}")


def deployment_id(namespace: str, name: str) -> UUID:
    """The id of a flow deployment."""
    return uuid5(_NAMESPACE, f"deployment {namespace}/{name}")
