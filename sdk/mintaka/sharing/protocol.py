"""What a place of variables and limits can do. A place is of one namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mintaka_history.sharing.leases import SlotDecision, SlotRequest
    from mintaka_history.sharing.limits import Reservation


class StoredVariable(NamedTuple):
    """A variable as it is kept: `value` is any JSON value."""

    namespace: str
    name: str
    value: Any
    tags: list[str]
    created: datetime
    updated: datetime


class StoredLease(NamedTuple):
    """Somebody who holds `slots` of a limit, or waits for them (`granted` None)."""

    id: str
    slots: int
    who: str
    asked: datetime
    granted: datetime | None
    expires: datetime


class StoredLimit(NamedTuple):
    """A limit as it is kept; `held` slots are held now (of a rate: taken, and not back yet), `waiting` runs wait.

    `leases` are those who hold or wait, who asked first first, of many only some.
    """

    namespace: str
    name: str
    slots: int
    decay_per_second: float
    held: float
    waiting: int
    leases: list[StoredLease]


class Shared(Protocol):
    """Variables and limits, for any thread. Every method raises SharingAway where nobody answers, SharingError where it is refused."""

    #: What it is called in messages.
    place: str
    #: The namespace whose variables and limits are meant.
    namespace: str

    def variable(self, name: str) -> StoredVariable | None:
        """The variable of that name."""

    def variables(self, prefix: str = "", *, everywhere: bool = False) -> list[StoredVariable]:
        """All whose names begin so, by name; `everywhere`: of all namespaces, by namespace and name."""

    def put_variable(self, name: str, value: Any, tags: Sequence[str], *, overwrite: bool) -> bool:
        """Make or change it; False where it exists and may not be overwritten.

        Raises:
            InvalidNameError, InvalidValueError: not a name, value or tag that a variable can have.
        """

    def remove_variable(self, name: str) -> bool:
        """Delete it; False where there was none."""

    #: How long to wait before asking for slots again, in seconds: at first, and at most where one is next; others ask less often.
    pauses: tuple[float, float]

    def limits(self, prefix: str = "", *, everywhere: bool = False) -> list[StoredLimit]:
        """All limits whose names begin so, by name; `everywhere`: of all namespaces, by namespace and name."""

    def limit(self, name: str) -> StoredLimit | None:
        """The limit of that name, with who holds its slots."""

    def put_limit(self, name: str, slots: int, decay_per_second: float, *, overwrite: bool) -> bool:
        """Make or change it; False where it exists and may not be overwritten.

        Raises:
            InvalidNameError, InvalidLimitError: not a name or number that a limit can have.
        """

    def remove_limit(self, name: str) -> bool:
        """Delete it; False where there was none."""

    def request(self, wanted: SlotRequest) -> SlotDecision:
        """Request slots, or repeat a request to learn its state: idempotent. The namespace of the request is that of this place."""

    def renew(self, leases: Sequence[str], seconds: float) -> set[str]:
        """Let leases go on for `seconds` from now; the ids of those that are still there."""

    def release(self, lease: str) -> None:
        """Let go of a lease, or of a place among those who wait."""

    def reserve(self, names: Sequence[str], slots: int, longest_seconds: float | None) -> Reservation:
        """Take slots of rates that come back within `longest_seconds` (None: however late)."""

    def close(self) -> None:
        """Let go of connections."""
