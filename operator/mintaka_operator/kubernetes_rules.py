"""Orchestration rules of a Kubernetes cluster: the controller's port `Rules`, and the handler of their informers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_controller.rule_cache import rule_key
from mintaka_core import names
from mintaka_core.names import CLUSTER_RULE, NAMESPACED_RULE
from mintaka_kubernetes.resources import CLUSTER_ORCHESTRATION_RULES, ORCHESTRATION_RULES
from mintaka_operator.kubernetes_resources import snapshot_of
from mintaka_operator.port_errors import port_errors
from mintaka_validation.rule_expressions import RuleExpressions

if TYPE_CHECKING:
    from collections.abc import Collection

    from mintaka_controller.controller import Controller
    from mintaka_controller.ports import Document
    from mintaka_controller.rule_cache import RuleKey
    from mintaka_core.resources import OrchestrationRule, OrchestrationRuleStatus
    from mintaka_kubernetes.decoding import Unreadable
    from mintaka_operator.cluster import Cluster


class KubernetesRules:
    """Compiles their conditions with CEL, and writes their status."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.expressions = RuleExpressions()

    async def write_status(self, rule: OrchestrationRule, status: OrchestrationRuleStatus) -> Document:
        """Replace the status, if the rule still has the version of `rule`. Raises Conflict, Missing."""
        metadata, whole_cluster = rule.metadata, rule.kind == CLUSTER_RULE
        resource = CLUSTER_ORCHESTRATION_RULES if whole_cluster else ORCHESTRATION_RULES
        body = {
            "apiVersion": names.API_VERSION,
            "kind": rule.kind,
            "metadata": {
                "name": metadata.name,
                **({} if whole_cluster else {"namespace": metadata.namespace}),
                "uid": metadata.uid,
                "resourceVersion": metadata.resource_version,
            },
            "status": status.to_wire(),
        }
        with port_errors():
            path = resource.path(None if whole_cluster else metadata.namespace, metadata.name)
            return _of_kind(await self._cluster.replace(f"{path}/status", body), rule.kind)


class RuleHandler:
    """Rules of one kind, in one namespace (None: in all, or of the cluster)."""

    def __init__(self, controller: Controller, kind: str, namespace: str | None) -> None:
        self._controller = controller
        self._kind = kind
        self._namespace = namespace
        self._keys: dict[str, RuleKey] = {}

    async def known(self) -> dict[str, str]:
        """Versions of the rules known to the controller, by uid."""
        rules = self._controller.context.rules
        keys = [key for key in rules.keys() if key.kind == self._kind and self._namespace in {None, key.namespace}]  # noqa: SIM118
        entries = [(key, entry) for key in keys if (entry := rules.get(key)) is not None]
        self._keys = {entry.uid: key for key, entry in entries}
        return {entry.uid: str(entry.version) for _, entry in entries}

    async def ready(self) -> None:
        """Never wait, because there are few rules."""

    def present(self, document: Document) -> None:
        """Observe a rule."""
        self._controller.observe_rule(snapshot_of(_of_kind(document, self._kind)))

    def unreadable(self, found: Unreadable) -> None:
        """Observe a rule that cannot be read: it is not applied, and its status reports that."""
        _of_kind(found.document, self._kind)
        self._controller.observe_rule(snapshot_of(found))

    def gone(self, document: Document) -> None:
        """Forget a rule."""
        self._controller.forget_rule(rule_key(_of_kind(document, self._kind)), document["metadata"].get("uid"))

    def vanished(self, uids: Collection[str]) -> None:
        """Forget rules that were deleted without an event."""
        for uid in uids:
            self._controller.forget_rule(self._keys[uid], uid)


def _of_kind(document: Document, kind: str) -> Document:
    """The document, which in a list does not name its kind."""
    document["kind"] = kind
    return document


RULE_KINDS = {NAMESPACED_RULE: ORCHESTRATION_RULES, CLUSTER_RULE: CLUSTER_ORCHESTRATION_RULES}
