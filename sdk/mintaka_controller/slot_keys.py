"""Which concurrency key a deployment's runs use, with what limit and priority, and which namespaces may use keys of the cluster.

A run uses the key of its deployment as that is now; if the deployment is gone or cannot be read, the key that the run recorded. After a
start of the controller the deployments of some runs may not be known yet: these are noted, to be read before a slot is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mintaka_core.concurrency import CLUSTER_PREFIX, EVERY_NAMESPACE, KEY_NOT_ALLOWED, Policy, SlotKey, slot_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_controller.deployment_cache import DeploymentCache
    from mintaka_controller.ports import Name
    from mintaka_controller.run_cache import RunEntry
    from mintaka_core.resources.concurrency import Concurrency


@dataclass(frozen=True, slots=True)
class Terms:
    """The settings of a deployment: its key (None: nothing is limited, or the key is not `allowed`), limit (None: it does not count),
    policy of new runs, and their priority.
    """

    key: SlotKey | None = None
    limit: int | None = None
    policy: Policy = Policy.QUEUE
    priority: int = 0
    allowed: bool = True


class SlotKeys:
    """The terms of all known deployments.

    `cluster_keys` are the namespaces that may use each key of the cluster, by its name without `cluster/`; None: all namespaces may use any.
    """

    def __init__(self, deployments: DeploymentCache, cluster_keys: Mapping[str, tuple[str, ...]] | None) -> None:
        self._deployments = deployments
        self._cluster_keys = cluster_keys
        self._terms: dict[Name, Terms] = {}
        #: Deployments of unfinished runs that are not known yet, in order of appearance.
        self.unknown: dict[Name, None] = {}
        self._absent: set[Name] = set()

    def observe(self, name: Name) -> tuple[Terms | None, Terms | None]:
        """A deployment has changed, or is gone: its terms before and now (None: unknown)."""
        self._absent.discard(name)
        self.unknown.pop(name, None)
        before, now = self._terms.pop(name, None), self._terms_of(name)
        if now is not None:
            self._terms[name] = now
        return before, now

    def _terms_of(self, name: Name) -> Terms | None:
        entry = self._deployments.get(name)
        if entry is None or entry.problem is not None:
            return None
        concurrency = entry.concurrency
        if concurrency is None:
            return Terms(priority=entry.priority)
        limit = None if concurrency.policy is Policy.ALLOW else concurrency.limit
        key = self._allowed(name[0], concurrency.key or name[1])
        return Terms(key, limit, concurrency.policy, entry.priority, allowed=key is not None)

    def miss(self, name: Name) -> None:
        """There is no such deployment, or it cannot be read."""
        self.unknown.pop(name, None)
        self._absent.add(name)

    def key_of(self, namespace: str, entry: RunEntry) -> SlotKey | None:
        """The key whose slots a run uses; None if it shares none."""
        if not entry.deployment:
            return None
        name = namespace, entry.deployment
        terms = self._terms.get(name)
        if terms is not None:
            return terms.key
        if not entry.finished and name not in self._absent and self._deployments.get(name) is None:
            self.unknown[name] = None
        return self._allowed(namespace, entry.slot_key) if entry.slot_key else None

    def policy_of(self, namespace: str, entry: RunEntry) -> Policy:
        """What happens to the run while all slots are taken."""
        terms = self._terms.get((namespace, entry.deployment))
        return terms.policy if terms else Policy.QUEUE

    def priority_of(self, namespace: str, entry: RunEntry) -> int:
        """Its own priority, or that of its deployment."""
        if entry.priority is not None:
            return entry.priority
        terms = self._terms.get((namespace, entry.deployment))
        return terms.priority if terms else 0

    def problem_of(self, namespace: str, deployment: str, concurrency: Concurrency | None) -> tuple[str, str] | None:
        """Why runs of a deployment cannot start because of its key: a reason and a sentence; None if they can."""
        key = concurrency.key or deployment if concurrency else ""
        if not key or self._allowed(namespace, key):
            return None
        message = (
            f"namespace {namespace!r} may not use key {key!r} (spec.concurrency.key): list it in the operator's settings "
            f"(value concurrency.clusterKeys of the chart), or name a key without {CLUSTER_PREFIX!r}"
        )
        return KEY_NOT_ALLOWED, message

    def _allowed(self, namespace: str, key: str) -> SlotKey | None:
        if key.startswith(CLUSTER_PREFIX) and self._cluster_keys is not None:
            namespaces = self._cluster_keys.get(key.removeprefix(CLUSTER_PREFIX), ())
            if namespace not in namespaces and EVERY_NAMESPACE not in namespaces:
                return None
        return slot_key(namespace, key)
