"""The CEL rules of a schema (`x-kubernetes-validations`), evaluated as in apiextensions, `schema/cel/validation.go`.

A rule sees its place as `self`; a transition rule also sees the old value, as `oldSelf`, and is skipped if there is none.
Only the fields that a rule names are handed to it: a rule about `self.deployment` costs the same whatever the parameters are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from mintaka_validation.cel import CelError, Environment, Program
from mintaka_validation.errors import FieldError, duplicate, forbidden, invalid, required, whole
from mintaka_validation.views import Selection

if TYPE_CHECKING:
    from mintaka_validation.ratcheting import Before
    from mintaka_validation.schema import Node

_IMPLEMENTED: Final = frozenset({"rule", "message", "messageExpression", "reason", "fieldPath"})
_OLD: Final = re.compile(r"\boldSelf\b")
_SIMPLE_PATH: Final = re.compile(r"(\.[A-Za-z_]\w*)*")
_MESSAGE_LIMIT_BYTES: Final = 5 * 1024


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `field` is the path below the rule's place to which its error belongs, such as `.inline`."""

    program: Program
    is_transition: bool
    message: str
    message_program: Program | None
    reason: str
    field: str

    @property
    def sources(self) -> tuple[str, ...]:
        """Its expressions."""
        return (self.program.expression, *([self.message_program.expression] if self.message_program else []))


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of a place that are evaluated together, and what they read."""

    rules: tuple[Rule, ...]
    selection: Selection

    @classmethod
    def of(cls, rules: list[Rule], node: Node) -> RuleSet:
        """The set of some rules of a node."""
        return cls(tuple(rules), Selection.of([source for rule in rules for source in rule.sources], node))


def compile_rule(rule: dict[str, Any]) -> Rule:
    """A rule of a schema.

    Raises:
        ValueError: it has a member that is not implemented. CelError: its expression is not valid.
    """
    field = rule.get("fieldPath", "")
    if rule.keys() - _IMPLEMENTED or not _SIMPLE_PATH.fullmatch(field):
        message = f"validation does not implement this rule: {rule}"
        raise ValueError(message)
    message_source = rule.get("messageExpression")
    return Rule(
        program=_environment().compile(rule["rule"]),
        # The word could only stand in a constant otherwise; then the rule would be skipped on creation, which a test would show.
        is_transition=_OLD.search(rule["rule"]) is not None,
        message=rule.get("message", "").strip() or f"failed rule: {rule['rule'].strip()}",
        message_program=_environment().compile(message_source) if message_source else None,
        reason=rule.get("reason", "FieldValueInvalid"),
        field=field,
    )


def check_rules(node: Node, value: Any, path: str, before: Before) -> list[FieldError]:
    """The errors of all rules at a place and below it. The types must be those of the schema."""
    if value is None:
        return []
    chosen = node.rules_for_update if before.value is not None else node.rules_for_new
    errors = _check_place(node, chosen, value, path, before) if chosen is not None else []
    if isinstance(value, dict):
        for name, member in value.items():
            child = node.child(name)
            if child is not None and child.has_rules:
                inner = f"{path}.{name}" if name in node.properties else f"{path}[{name}]"
                errors += check_rules(child, member, inner.removeprefix("."), before.key(name, value))
    elif isinstance(value, list) and node.items is not None and node.items.has_rules:
        for index, member in enumerate(value):
            errors += check_rules(node.items, member, f"{path}[{index}]", before.item(node, index, value))
    return errors


def _check_place(node: Node, chosen: RuleSet, value: Any, path: str, before: Before) -> list[FieldError]:
    if not chosen.rules:
        return []
    values = {"self": chosen.selection.view(value, node)}
    if before.value is not None:
        values["oldSelf"] = chosen.selection.view(before.value, node)
    prepared = chosen.rules[0].program.prepare(values)
    errors = []
    for rule in chosen.rules:
        try:
            if rule.program.evaluate_prepared(prepared) is True:
                continue
        except CelError as error:
            errors.append(_failure(rule, str(error), path, node.types[0]))
            continue
        if rule.is_transition or not before.unchanged(value):
            errors.append(_violation(rule, prepared, path, node.types[0]))
    return errors


def _violation(rule: Rule, prepared: Any, path: str, kind: str) -> FieldError:
    place, detail = whole((path + rule.field).removeprefix(".")), _message(rule, prepared)
    match rule.reason:
        case "FieldValueForbidden":
            return forbidden(place, detail)
        case "FieldValueRequired":
            return required(place, detail)
        case "FieldValueDuplicate":
            return duplicate(place, kind)
        case _:
            return invalid(place, kind, detail)


def _failure(rule: Rule, fault: str, path: str, kind: str) -> FieldError:
    name = rule.message.removeprefix("failed rule: ")
    if fault.startswith("no such overload"):
        detail = f"'{fault}': call arguments did not match a supported operator, function or macro signature for rule: {name}"
    else:
        detail = f"{fault} evaluating rule: {name}"
    return invalid(whole(path), kind, detail)


def _message(rule: Rule, prepared: Any) -> str:
    """The rule's message; that of its expression, if that has a usable value."""
    if rule.message_program is None:
        return rule.message
    try:
        text = rule.message_program.evaluate_prepared(prepared)
    except CelError:
        return rule.message
    usable = isinstance(text, str) and text.strip() and "\n" not in text.strip() and len(text.strip().encode()) <= _MESSAGE_LIMIT_BYTES
    return text.strip() if usable else rule.message


@cache
def _environment() -> Environment:
    return Environment({"self": "dyn", "oldSelf": "dyn"})
