"""Orchestration rules in manifests: validated as by an API server, then compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_core.errors import MintakaError
from mintaka_core.names import CLUSTER_RULE, RULE_KINDS
from mintaka_core.resources.orchestration_rules import OrchestrationRule
from mintaka_core.rule_actions import InvalidRule
from mintaka_core.user_rules import compile_rule
from mintaka_validation.errors import InvalidDocument
from mintaka_validation.validation import validate_new

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mintaka_core.user_rules import Expressions, UserRule


class UnusableRule(MintakaError):
    """A manifest is not an orchestration rule that can be applied; the message begins with its name."""


def rules_of(documents: Sequence[Mapping[str, Any]], expressions: Expressions, namespace: str) -> list[UserRule]:
    """The rules of manifests; those without a namespace are of `namespace`. Raises UnusableRule."""
    return [_rule_of(document, expressions, namespace) for document in documents]


def _rule_of(document: Mapping[str, Any], expressions: Expressions, namespace: str) -> UserRule:
    kind, metadata = document.get("kind"), document.get("metadata")
    if kind not in RULE_KINDS or not isinstance(metadata, dict):
        message = f"a dry run takes {' and '.join(RULE_KINDS)}, each with its metadata, not {kind!r:.100}"
        raise UnusableRule(message)
    named = {name: value for name, value in metadata.items() if name != "namespace"}
    if kind != CLUSTER_RULE:
        named["namespace"] = metadata.get("namespace") or namespace
    try:
        checked = validate_new(str(kind), {**document, "metadata": named})
        resource = OrchestrationRule.model_validate(checked)
        return compile_rule(str(kind), resource.metadata.namespace, resource.metadata.name, resource.spec, expressions)
    except InvalidDocument as invalid:
        raise UnusableRule(str(invalid)) from invalid
    except InvalidRule as invalid:
        message = f"{kind} {named.get('name', '')}: {invalid}"
        raise UnusableRule(message) from invalid
