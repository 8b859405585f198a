"""Maps the parts of a flow run's status to rows and columns: transitions, attempts and conditions. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_core.reports import storable
from mintaka_history.enum_codes import CODE_OF_WORD, DEFAULT_NAME_OF_CODE
from mintaka_history.json_text import encode_storable, storable_json
from mintaka_history.timestamps import optional_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_api.decisions import Attempt, Decision, Opinion
    from mintaka_core.resources.model import Condition

#: The largest number of an attempt that its column can store.
_LATEST_ATTEMPT = 2**15 - 1
_LARGEST_EXIT_CODE = 2**31 - 1


def clean(text: str) -> str | None:
    """Text that the database can store; None if empty."""
    return storable(text) or None


def transition_row(transition: Decision) -> dict[str, Any]:
    """The row of a decision, without `flow_run`. One that waits or was refused has the same state before and after."""
    to, name, facts = CODE_OF_WORD[transition.to], transition.name, transition.facts_json
    return {
        "seq": transition.sequence,
        "at": to_microseconds(transition.time),
        "attempt": transition.attempt,
        "from_state": CODE_OF_WORD[transition.from_type] if transition.from_type else None,
        "to_state": to,
        "proposed": CODE_OF_WORD[transition.proposed],
        "name": None if not name or name == DEFAULT_NAME_OF_CODE[to] else storable(name),
        "rule": transition.rule or None,
        "verdict": transition.verdict,
        "reason": clean(transition.reason),
        "message": clean(transition.message),
        "until": optional_microseconds(transition.until),
        "trail": _trail(transition.trail) if len(transition.trail) > 1 else None,
        "facts": None if facts is None else storable_json(facts).decode(),
    }


def _trail(opinions: Sequence[Opinion]) -> str:
    """`[rule, verdict, reason]` of each opinion, as in the histories of task runs."""
    return encode_storable([(opinion.rule, opinion.verdict, opinion.reason) for opinion in opinions])


def attempt_row(attempt: Attempt) -> dict[str, Any] | None:
    """The row of an attempt, without `flow_run`; None if its number is out of range. Columns of what is not known are None."""
    if attempt.number > _LATEST_ATTEMPT:
        return None
    code = attempt.exit_code
    return {
        "attempt": attempt.number,
        "created": optional_microseconds(attempt.created),
        "started": optional_microseconds(attempt.started),
        "ended": optional_microseconds(attempt.ended),
        "state": CODE_OF_WORD[attempt.state] if attempt.state else None,
        "exit_code": code if code is None or abs(code) <= _LARGEST_EXIT_CODE else None,
        "pod": clean(attempt.pod_name),
        "pod_uid": clean(attempt.pod_uid),
        "node": clean(attempt.node),
        "revision": clean(attempt.revision),
        "reason": clean(attempt.reason),
        "diagnosis": clean(attempt.diagnosis),
        "log_tail": clean(attempt.log_tail),
    }


def condition_columns(conditions: Sequence[Condition]) -> dict[str, Any]:
    """The columns of a run's conditions.

    `conditions` is JSON of `[type, status, reason, message, time of the last transition in µs]`, None without any;
    `history_reason` is the reason of HistoryComplete=False.
    """
    history = next((condition for condition in conditions if condition.type == "HistoryComplete"), None)
    incomplete = history is not None and history.status == "False"
    shown = [(one.type, one.status, one.reason, one.message, to_microseconds(one.last_transition_time)) for one in conditions]
    return {
        "history_condition": None if history is None else not incomplete,
        "history_reason": clean(history.reason) if history is not None and incomplete else None,
        "conditions": encode_storable(shown) if shown else None,
    }
