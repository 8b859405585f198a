"""Who holds slots and who is next: decided from what the database says, without asking it anything.

Slots are not counted anywhere: what is free is what no lease of a live holder takes. A lease is alive until it expires,
unless its holder is known to be gone before: the process that wrote it, or its attempt of a flow run. Waiting is a lease
that was not granted yet; those who asked first come first, and nobody takes a slot that somebody before him needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mintaka_history.sharing.limits import Limit


class Lease(NamedTuple):
    """`slots` of one limit, for somebody who `asked` for them; `granted` None: he waits. Instants are µs since the epoch.

    `holder` is the number of a process of this machine (`mintaka_history.process_locks`). `ended` is True where the flow run is
    known to be over in this `attempt`, or in a later one.
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

    def is_alive(self, now: int, is_gone: Callable[[int], bool]) -> bool:
        """Whether somebody still holds it, or waits for it."""
        return self.expires > now and not self.ended and not (self.holder is not None and is_gone(self.holder))


class Allocation(NamedTuple):
    """Where somebody stands who wants slots: `free` for him at once, or after so many `turns` of all slots (0: he is next).

    `blocked` are the limits that have not enough for him, with how many slots of them are held.
    """

    free: bool
    turns: int
    blocked: Mapping[str, int]


def allocate(limits: Iterable[Limit], alive: Sequence[Lease], own: str, asked: int, slots: int) -> Allocation:
    """Where the one with the id `own` stands, who asked for `slots` of each of `limits` at `asked`."""
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
