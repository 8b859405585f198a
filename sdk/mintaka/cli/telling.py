"""Decisions in sentences: what was proposed, and what each rule said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka.histories import Document

#: Verdicts with which a run stays in its state.
_STAYS = frozenset({"Wait", "Abort"})
_SAID = {"Redirect": "changed that", "Wait": "had it wait", "Abort": "refused", "Accept": "let it pass"}


def transition_told(transition: Document) -> str:
    """One decision about a flow run: the state it entered, or that it stays in its state, and why."""
    state = transition.get("name") or transition["to"]
    trail = transition.get("trail") or _decided(transition)
    text = decision_told(transition.get("proposed") or transition["to"], transition["to"], trail)
    # A resource keeps the state's own reason; with a rule it is the rule's, which is already in the text.
    reason = "" if trail else transition.get("reason") or ""
    message = transition.get("message") or ""
    if transition.get("trail"):  # the message of a resource begins with the reason of the rule that decided, which is already in the text
        message = message.removeprefix(trail[-1][2]).removeprefix(": ")
    until = f"until {transition['until']}" if transition.get("until") else ""
    why = "; ".join(part for part in (text, ": ".join(part for part in (reason, message) if part), until) if part)
    moved = f"stays {state}" if transition.get("verdict") in _STAYS else f"{transition.get('from') or 'new'} → {state}"
    return f"{transition['time']}  {moved}" + (f"  {why}" if why else "")


def task_told(task: Document) -> list[str]:
    """The decisions about a task run: one line each, none where every rule let everything pass."""
    return [
        f"{task['name']} {name}: {decision_told(proposed, kind, trail)}"
        for kind, name, _, proposed, trail in task.get("history", ())
        if trail
    ]


def inputs_told(task: Document) -> str:
    """Whose results came in through which parameter; many numbers in a row as a range: `rows=1-500 wait_for=7`."""
    inputs: dict[str, list[int]] = task.get("inputs") or {}
    named = {n for numbers in inputs.values() for n in numbers}
    others = [n for n in task.get("upstream", ()) if n not in named]
    parts = [f"{name}={','.join(_ranges(numbers))}" for name, numbers in inputs.items()]
    return " ".join([*parts, *([",".join(_ranges(others))] if others else [])])


def _ranges(numbers: Sequence[int]) -> list[str]:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ["-".join(map(str, part)) for part in found]


def decision_told(proposed: str, entered: str, trail: Sequence[Sequence[str]]) -> str:
    """What was proposed, where that is not what came of it, and what each rule said."""
    refused = bool(trail) and trail[-1][1] == "Abort"
    asked = f"{proposed} was proposed" if proposed != entered or refused else ""
    said = [f"{rule} {_SAID.get(verdict, verdict)}: {reason}".rstrip(": ") for rule, verdict, reason in trail]
    return "; ".join(part for part in (asked, *said) if part)


def _decided(transition: Document) -> list[tuple[str, str, str]]:
    """The rule that decided, where that is all there is."""
    rule = transition.get("rule") or ""
    return [(rule, transition.get("verdict") or "", transition.get("reason") or "")] if rule else []
