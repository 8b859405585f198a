"""Decisions as sentences: what was proposed, and the opinion of each rule. They are made from documents as the API returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Verdicts with which a run stays in its state.
_STAYS = frozenset({"Wait", "Abort"})
_SAID = {"Redirect": "changed that", "Wait": "had it wait", "Abort": "refused", "Accept": "let it pass"}


def transition_sentence(transition: Mapping[str, Any]) -> str:
    """One decision about a flow run: the state it entered, or that it stays in its state, and why."""
    state = transition.get("name") or transition["to"]
    trail = transition.get("trail") or _deciding_rule(transition)
    text = decision_sentence(transition.get("proposed") or transition["to"], transition["to"], trail)
    # A resource keeps the state's own reason; with a rule it is the rule's, which is already in the text.
    reason = "" if trail else transition.get("reason") or ""
    message = transition.get("message") or ""
    if transition.get("trail"):  # the message of a resource begins with the reason of the rule that decided, which is already in the text
        message = message.removeprefix(trail[-1][2]).removeprefix(": ")
    until = f"until {transition['until']}" if transition.get("until") else ""
    why = "; ".join(part for part in (text, ": ".join(part for part in (reason, message) if part), until) if part)
    moved = f"stays {state}" if transition.get("verdict") in _STAYS else f"{transition.get('from') or 'new'} → {state}"
    return f"{transition['time']}  {moved}" + (f"  {why}" if why else "")


def task_sentences(task: Mapping[str, Any]) -> list[str]:
    """The decisions about a task run: one line each, none if every rule let everything pass."""
    return [
        f"{task['name']} {name}: {decision_sentence(proposed, kind, trail)}"
        for kind, name, _, proposed, trail in task.get("history", ())
        if trail
    ]


def decision_sentence(proposed: str, entered: str, trail: Sequence[Sequence[str]]) -> str:
    """What was proposed, if the outcome is different, and the opinion of each rule."""
    refused = bool(trail) and trail[-1][1] == "Abort"
    asked = f"{proposed} was proposed" if proposed != entered or refused else ""
    said = [f"{rule} {_SAID.get(verdict, verdict)}: {reason}".rstrip(": ") for rule, verdict, reason in trail]
    return "; ".join(part for part in (asked, *said) if part)


def _deciding_rule(transition: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The rule that decided, if there is no trail."""
    rule = transition.get("rule") or ""
    return [(rule, transition.get("verdict") or "", transition.get("reason") or "")] if rule else []
