"""Concurrency of deployments: which runs of a key may be active at the same time, and which one is next.

Runs of the deployments that share a key compete for its slots. A run holds a slot while it is live: PENDING, RUNNING, CANCELLING, or
with a workload whose creation is not recorded yet. Nothing else is counted, and no count is stored: as soon as a holder is
known to have ended, its slot is free. The others wait in order of (priority, scheduled time or creation, creation, uid), which follows
from their specs alone, so that the order survives restarts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

#: The reason of a run that its deployment's policy CancelNew cancelled.
LIMIT_REACHED = "ConcurrencyLimitReached"
#: The reason of a deployment, and of its runs, whose key its namespace may not use.
KEY_NOT_ALLOWED = "ConcurrencyKeyNotAllowed"

#: Keys that begin so are shared by all namespaces that may use them.
CLUSTER_PREFIX = "cluster/"
#: In a list of namespaces: all of them.
EVERY_NAMESPACE = "*"

#: The message of a wait names the runs that hold the slots. It is renewed after a while, less often for runs that wait for long or
#: are far behind, since each renewal may cost a write.
_RENEW_FIRST, _RENEW_LAST, _RENEW_PER_PLACE = timedelta(seconds=60), timedelta(hours=1), timedelta(seconds=4)
_RENEW_SHARE = 4

type SlotKey = tuple[str, str]
"""(namespace, name) of a key; the namespace is "" for keys of the cluster."""


class Policy(StrEnum):
    """What happens to a new run while all slots are taken.

    Queue: it waits. Allow: it starts anyway, and takes a slot that others wait for. CancelNew: it ends CANCELLED.
    Replace: older runs are cancelled, and it starts once they have stopped.
    """

    QUEUE = "Queue"
    ALLOW = "Allow"
    CANCEL_NEW = "CancelNew"
    REPLACE = "Replace"


class Outcome(StrEnum):
    """FREE: the run may start. WAIT, REFUSE, REPLACE: what happens to it, since it may not."""

    FREE = "FREE"
    WAIT = "WAIT"
    REFUSE = "REFUSE"
    REPLACE = "REPLACE"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A run's place in the order of its key; the smallest is next. `urgency` is the negative of its priority."""

    urgency: int
    since: datetime
    created: datetime
    uid: str


def place_of(priority: int, scheduled_time: datetime | None, created: datetime, uid: str) -> Place:
    """The place of a run: higher priorities first, then earlier scheduled times (or creations)."""
    return Place(-priority, scheduled_time or created, created, uid)


@dataclass(frozen=True, slots=True)
class Contender:
    """A run that holds a slot of a key, or waits for one. `leaving`: it is being cancelled."""

    namespace: str
    name: str
    uid: str
    place: Place
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """The position of a run among those of its key.

    `holders` of at most `limit` slots are taken, `holder` is the run that has held one longest ("" if none is taken), `position` is
    the number of waiting runs ahead. `victims` are the runs of its own namespace that it replaces. `caller` is the run that called
    it, if that holds a slot itself ("": it does not). Runs of other namespaces are not named.
    """

    outcome: Outcome
    key: str
    limit: int
    holders: int = 0
    holder: str = ""
    position: int = 0
    victims: tuple[str, ...] = ()
    caller: str = ""

    @property
    def sentence(self) -> str:
        """Why the run does not start, as a sentence."""
        runs = "1 run" if self.limit == 1 else f"{self.limit} runs"
        parts = [f"key {self.key!r} admits {runs} at a time"]
        if self.holders:
            others = f" and {self.holders - 1} {'other' if self.holders == 2 else 'others'}" if self.holders > 1 else ""  # noqa: PLR2004
            parts[0] += (
                f": {self.holder}{others} {'hold slots' if self.holders > 1 else 'holds the slot' if self.limit == 1 else 'holds a slot'}"
            )
        if self.victims:
            parts.append(f"it replaces {' and '.join(f'flow run {name!r}' for name in self.victims[:2])}{_more(self.victims)}")
        elif self.position:
            parts.append(f"{self.position} {'run is' if self.position == 1 else 'runs are'} ahead of it")
        if self.caller:
            parts.append(f"flow run {self.caller!r}, which called it, holds a slot: if it waits for this run, neither continues")
        return "; ".join(parts)


def _more(victims: Sequence[str]) -> str:
    return f" and {len(victims) - 2} more" if len(victims) > 2 else ""  # noqa: PLR2004


def standing(
    run: Contender,
    key: str,
    *,
    limit: int,
    policy: Policy,
    new: bool,
    holders: Collection[Contender] = (),
    waiting: Iterable[Contender] = (),
    position: int = 0,
    caller_uid: str = "",
) -> Standing:
    """The position of `run`, which is due and holds no slot, among those of its `key`.

    `holders` hold a slot, the oldest holder first; `position` is the number of runs that wait before it, `waiting` are those of its
    own deployment among them, in order, as far as `policy` is Replace. `new`: it has not held a slot before; only such a run is
    cancelled or replaces others. `caller_uid` is the uid of the run that called it ("": none).
    """
    if policy is Policy.ALLOW or position < limit - len(holders):
        return Standing(Outcome.FREE, key, limit, len(holders), _name_of(run, holders), position)
    outcome, victims = Outcome.WAIT, list[str]()
    if policy is Policy.CANCEL_NEW and new:
        outcome = Outcome.REFUSE
    elif policy is Policy.REPLACE and new:
        victims = [victim.name for victim in victims_of(run, limit, holders, waiting)]
        outcome = Outcome.REPLACE if victims else Outcome.WAIT
    caller = next((holder for holder in holders if caller_uid and holder.uid == caller_uid and holder.namespace == run.namespace), None)
    return Standing(
        outcome, key, limit, len(holders), _name_of(run, holders), position, tuple(victims), caller.name if caller is not None else ""
    )


def victims_of(run: Contender, limit: int, holders: Iterable[Contender], waiting: Iterable[Contender]) -> list[Contender]:
    """The runs that a new run with the policy Replace cancels: as many as exceed the limit with it, the least urgent and oldest first.

    Those that are being cancelled already count. Runs of a higher priority and of other namespaces are not replaced, nor runs that are
    newer than it: of several new runs, the newest remains.
    """
    older = [
        other for other in (*holders, *waiting) if other.uid != run.uid and (other.place.since, other.uid) < (run.place.since, run.uid)
    ]
    staying = [other for other in older if not other.leaving]
    excess = len(staying) + 1 - limit
    allowed = [other for other in staying if other.namespace == run.namespace and other.place.urgency >= run.place.urgency]
    allowed.sort(key=lambda other: (-other.place.urgency, other.place.since, other.place.created, other.uid))
    return allowed[: max(excess, 0)]


def _name_of(run: Contender, holders: Iterable[Contender]) -> str:
    """The first holder, as it may be shown to the owner of `run`."""
    first = next(iter(holders), None)
    if first is None:
        return ""
    return f"flow run {first.name!r}" if first.namespace == run.namespace else "a run of another namespace"


def renewal_of(position: int, waited: timedelta) -> timedelta:
    """When a run that has `waited` should renew its message; the end of a holder wakes the next run in any case."""
    return min(max(_RENEW_FIRST, _RENEW_PER_PLACE * position, waited / _RENEW_SHARE), _RENEW_LAST)


def slot_key(namespace: str, key: str) -> SlotKey:
    """The key that a deployment of `namespace` names."""
    return ("", key) if key.startswith(CLUSTER_PREFIX) else (namespace, key)
