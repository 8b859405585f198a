"""The small integers for states and kinds of names in the database: never renumber, only append."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from mintaka_core.states import DEFAULT_NAMES, StateType

STATE_CODES: dict[StateType, int] = {
    StateType.SCHEDULED: 1,
    StateType.PENDING: 2,
    StateType.RUNNING: 3,
    StateType.COMPLETED: 4,
    StateType.FAILED: 5,
    StateType.CRASHED: 6,
    StateType.PAUSED: 7,
    StateType.CANCELLING: 8,
    StateType.CANCELLED: 9,
}
#: The same for words from the wire: an enum's hash is a Python function, which is measurable for thousands of lookups.
CODE_OF_WORD: dict[str, int] = {state.value: code for state, code in STATE_CODES.items()}
STATE_OF_CODE: dict[int, StateType] = {code: state for state, code in STATE_CODES.items()}
DEFAULT_NAME_OF_CODE: dict[int, str] = {code: DEFAULT_NAMES[state] for state, code in STATE_CODES.items()}
TERMINAL_CODES = frozenset(code for state, code in STATE_CODES.items() if state.is_terminal)


class NameKind(IntEnum):
    """The kind of a row of the table `names`."""

    NAMESPACE = 1
    DEPLOYMENT = 2
    TASK = 3
    TAG = 4
    LOGGER = 5
    FLOW = 6
    CONTAINER = 7
    CLUSTER = 8


class RunKind(IntEnum):
    """What a flow run is. DEPLOYED: a resource of a cluster. CALLED: a flow called in another one's process. SCRIPT: of a script."""

    DEPLOYED = 1
    CALLED = 2
    SCRIPT = 3


class ChangeKind(IntEnum):
    """What a row of the table `changes` is about."""

    FLOW_RUN = 1
    FLOW_DEPLOYMENT = 2


#: The type of a state on the wire: as strict as the enum, and a plain string.
StateWord = Literal["SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "PAUSED", "CANCELLING", "CANCELLED"]
#: A rule's verdict on a proposal.
VerdictWord = Literal["Accept", "Redirect", "Wait", "Abort"]
#: The verdicts of rules on one proposal, in the order in which they were evaluated: rule, verdict, reason.
type Trail = tuple[tuple[str, VerdictWord, str], ...]


#: The type of a state in answers: a newer release may have stored one that this release does not know.
ShownState = Literal["SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "PAUSED", "CANCELLING", "CANCELLED", "UNKNOWN"]


def shown_state(code: int) -> ShownState:
    """The state of a stored code."""
    state = STATE_OF_CODE.get(code)
    return "UNKNOWN" if state is None else state.value


def shown_name(code: int, name: str | None) -> str:
    """The name of a state whose stored name is `name`."""
    return name or DEFAULT_NAME_OF_CODE.get(code, "Unknown")


def stored_name(state_type: StateType, name: str) -> str | None:
    """A state's name as stored: None for the default name of its type."""
    return None if name == DEFAULT_NAMES[state_type] or not name else name
