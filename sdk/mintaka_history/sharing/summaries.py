"""Limits as shown to people: the number of held slots, their holders and the waiting requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.sharing import leases, limits
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mintaka_history.sharing.limits import Limit
    from mintaka_history.sharing.slot_allocation import Lease
    from mintaka_history.writing.sessions import Session

#: The maximum number of leases shown per limit.
SHOWN = 100


class Summary(NamedTuple):
    """A limit with the number of slots `held` and of requests `waiting` (up to `leases.WAITERS`), and its live leases in order of request."""

    limit: Limit
    held: float
    waiting: int
    leases: list[Lease]

    @property
    def namespace(self) -> str:
        """The limit's namespace."""
        return self.limit.namespace

    @property
    def name(self) -> str:
        """The limit's name."""
        return self.limit.name


def one(session: Session, namespace: str, name: str, is_gone: Callable[[int], bool]) -> Summary | None:
    """The limit of that name, if there is one."""
    limit = limits.get(session, namespace, [name]).get(name)
    return None if limit is None else _summary(limit, leases.queue_of(session, [(namespace, name)]).leases, is_gone)


def list_page(
    session: Session,
    namespaces: Sequence[str],
    is_gone: Callable[[int], bool],
    *,
    prefix: str = "",
    after: tuple[str, str] | None = None,
    limit: int,
) -> list[Summary]:
    """At most `limit` limits of `namespaces` (none: of all) whose names begin with `prefix`, after the one with key `after`, by key."""
    found = limits.list_page(session, namespaces, prefix=prefix, after=after, limit=limit)
    of_limit: dict[tuple[str, str], list[Lease]] = {(each.namespace, each.name): [] for each in found}
    for lease in leases.queue_of(session, of_limit).leases:
        of_limit[lease.namespace, lease.name].append(lease)
    return [_summary(each, of_limit[each.namespace, each.name], is_gone) for each in found]


def _summary(limit: Limit, of_limit: list[Lease], is_gone: Callable[[int], bool]) -> Summary:
    now = now_microseconds()
    alive = [lease for lease in of_limit if lease.is_alive(now, is_gone)]
    held = limit.taken_at(now) if limit.is_rate else float(sum(lease.slots for lease in alive if lease.granted is not None))
    return Summary(limit, held, sum(lease.granted is None for lease in alive), alive[:SHOWN])
