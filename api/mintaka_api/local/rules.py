"""Orchestration rules of the local server: the controller's port `Rules`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.names import CLUSTER_RULE
from mintaka_validation.rule_expressions import RuleExpressions

if TYPE_CHECKING:
    from mintaka_api.local.document_store import DocumentStore
    from mintaka_controller.ports import Document
    from mintaka_core.resources import OrchestrationRule, OrchestrationRuleStatus


class LocalRules:
    """Compiles their conditions with CEL, and writes their status into the document store."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self.expressions = RuleExpressions()

    async def write_status(self, rule: OrchestrationRule, status: OrchestrationRuleStatus) -> Document:
        """Replace the status, if the rule still has the version of `rule`. Raises Conflict, Missing."""
        metadata = rule.metadata
        key = ("" if rule.kind == CLUSTER_RULE else metadata.namespace, metadata.name)
        return await self._store.write_status(rule.kind, key, metadata.resource_version, status.to_wire())
