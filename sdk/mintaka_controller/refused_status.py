"""A smaller status for one that the API server refuses as invalid or too large. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRunStatus

#: The length of its texts.
_SHORT = 200
#: The number of its transitions; one pass makes no more.
_FEW = 8


def without_texts(status: FlowRunStatus) -> FlowRunStatus:
    """The same status with short messages and only the last decisions without their facts, for one that the API server refuses as too large."""
    state = status.state.model_copy(update={"message": status.state.message[:_SHORT]}) if status.state else None
    bare: dict[str, Any] = {"trail": (), "facts": None}
    transitions = tuple(each.model_copy(update={"message": each.message[:_SHORT], **bare}) for each in status.transitions[-_FEW:])
    conditions = tuple(condition.model_copy(update={"message": condition.message[:_SHORT]}) for condition in status.conditions)
    attempts = tuple(attempt.model_copy(update={"diagnosis": attempt.diagnosis[:_SHORT], "log_tail": ""}) for attempt in status.attempts)
    return status.model_copy(update={"state": state, "transitions": transitions, "conditions": conditions, "attempts": attempts})
