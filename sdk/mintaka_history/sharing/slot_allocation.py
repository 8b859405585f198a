"""Decides who holds slots and who is next, from the database's rows. Pure.

Slots are not counted anywhere: a slot is free if no lease of a live holder takes it. A lease is alive until it expires,
unless its holder is known to be gone earlier: the process that wrote it, or its attempt of a flow run. A waiting request is
a lease that was not granted yet; requests are served in order, and none takes a slot that an earlier one needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mintaka_history.sharing.limits import Limit


class Lease(NamedTuple):
    """`slots` of one limit, requested at `asked`; `granted` None: the request waits. Times are µs since the epoch.

    `holder` is the number of a process of this machine (`mintaka_history.process_locks`). `ended` is True if the flow run
    is known to be over in this `attempt`, or in a later one.
    """

    id: str
    name: str
    slots: int
    asked: int
    granted: int | None
    expires: int
    holder: int | None
    ended: bool
    who: str
    namespace: str

    def is_alive(self, now: int, is_gone: Callable[[int], bool]) -> bool:
        """Whether the lease is still held, or waited for."""
        return self.expires > now and not self.ended and not (self.holder is not None and is_gone(self.holder))


class Allocation(NamedTuple):
    """The standing of a request: `free` at once, or after this many `turns` of all slots (0: it is next).

    `blocked` are the limits with too few free slots, with the number of their held slots.
    """

    free: bool
    turns: int
    blocked: Mapping[str, int]


def allocate(limits: Iterable[Limit], alive: Sequence[Lease], own: str, asked: int, slots: int) -> Allocation:
    """The standing of the request `own`, made at `asked`, for `slots` of each of `limits`."""
    blocked: dict[str, int] = {}
    turns = 0
    for limit in limits:
        others = [lease for lease in alive if lease.name == limit.name and lease.id != own]
        held = sum(lease.slots for lease in others if lease.granted is not None)
        before = sum(lease.slots for lease in others if lease.granted is None and (lease.asked, lease.id) < (asked, own))
        if held + before + slots > limit.slots:
            blocked[limit.name] = held
        turns = max(turns, (before + slots - 1) // max(limit.slots, 1))
    return Allocation(not blocked, turns, blocked)
