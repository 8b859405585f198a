"""How many runs may be active at the same time: as a deployment wants it, and as a run records it."""

from __future__ import annotations

from pydantic import Field

from mintaka_core.concurrency import Policy
from mintaka_core.resources.model import Model

#: Priorities are numbers of this range.
LOWEST_PRIORITY, HIGHEST_PRIORITY = -1_000_000, 1_000_000


class Concurrency(Model):
    """How many runs of this deployment, and of others with the same key, may be active at the same time."""

    limit: int = Field(ge=1, le=1_000_000)
    """How many runs of the key may be PENDING, RUNNING or CANCELLING at the same time. If deployments with the same key have
    different limits, the lowest counts; those with the policy Allow do not.
    """
    policy: Policy = Policy.QUEUE
    """What happens to a new run while all slots are taken. Queue: it waits until it is next. Allow: it starts anyway, and takes
    a slot that others wait for. CancelNew: it ends CANCELLED. Replace: older runs of its namespace are cancelled, and it starts once
    they have stopped. Retries and reruns wait, whatever the policy.
    """
    key: str | None = Field(default=None, min_length=1, max_length=253, pattern=r"^(cluster/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    """Deployments of the namespace with the same key share its slots. Absent: the deployment's name. Keys that begin with
    `cluster/` are shared by all namespaces that the operator's settings allow to use them.
    """


class ConcurrencyStatus(Model):
    """The key whose slots a run uses, as its deployment last set it; it counts if the deployment was deleted."""

    key: str = Field(max_length=253)
    """The key."""
    limit: int = Field(ge=1)
    """How many runs of it may be active at the same time."""
