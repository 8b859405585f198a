"""Limits and leases as the API returns them; the statements are those of `mintaka_history.sharing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from mintaka_history.coordination_responses import HoldingAnswer, LeasesAnswer, LimitAnswer, ReservationAnswer, SlotDecisionAnswer
from mintaka_history.paging import Part
from mintaka_history.queries import flow_runs, pages
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.sharing import leases, limits, summaries
from mintaka_history.tables import concurrency_leases
from mintaka_history.timestamps import from_microseconds, now_microseconds, optional_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from mintaka_history.paging import Page
    from mintaka_history.queries.names import Names
    from mintaka_history.sharing.leases import SlotDecision, SlotRequest
    from mintaka_history.sharing.slot_allocation import Lease
    from mintaka_history.sharing.summaries import Summary

_c = concurrency_leases.c
LEASE_KEY_TYPES: tuple[type, ...] = (int, str)


def page(connection: Connection, namespaces: Sequence[str], prefix: str, page: Page) -> Part[LimitAnswer]:
    """A page of the limits of `namespaces` (none: of all) whose names begin with `prefix`, by namespace and name."""
    after = None if page.after is None else (page.after[0], page.after[1])
    found = summaries.list_page(SqlalchemySession(connection), namespaces, _unknown, prefix=prefix, after=after, limit=page.limit + 1)
    shown = found[: page.limit]
    return Part([_answer(each) for each in shown], (shown[-1].namespace, shown[-1].name) if len(found) > page.limit else None)


def one(connection: Connection, namespace: str, name: str) -> LimitAnswer | None:
    """The limit of that name, if there is one."""
    found = summaries.one(SqlalchemySession(connection), namespace, name, _unknown)
    return None if found is None else _answer(found)


def leases_page(connection: Connection, namespace: str, name: str, page: Page) -> Part[HoldingAnswer]:
    """A page of the leases of a limit that have not expired, in order of request."""
    query = select(_c.id, _c.slots, _c.who, _c.asked, _c.granted, _c.expires)
    query = query.where(_c.ns == namespace, _c.name == name, _c.expires > now_microseconds())
    rows, ends = pages.fetch(connection, query, (_c.asked, _c.id), page)
    return pages.part(rows, ends, _holding)


def put(connection: Connection, namespace: str, name: str, slots: int, decay_per_second: float, *, overwrite: bool) -> LimitAnswer | None:
    """Create or change a limit; return it, or None if it exists and may not be overwritten."""
    made = limits.put(SqlalchemySession(connection), namespace, name, slots, decay_per_second, overwrite=overwrite)
    return one(connection, namespace, name) if made else None


def remove(connection: Connection, namespace: str, name: str) -> LimitAnswer | None:
    """Delete a limit; return its last state, or None if there was none."""
    found = one(connection, namespace, name)
    return found if limits.remove(SqlalchemySession(connection), namespace, name) else None


def peek(connection: Connection, wanted: SlotRequest) -> SlotDecisionAnswer | None:
    """What `request` would return, if it would change nothing."""
    decision = leases.peek(SqlalchemySession(connection), wanted, _unknown)
    return None if decision is None else _decision_answer(wanted, decision)


def request(connection: Connection, names: Names, wanted: SlotRequest) -> SlotDecisionAnswer | None:
    """Grant slots, or a place in the queue for them; None if the flow run is of another namespace."""
    run = flow_runs.key(connection, names, wanted.flow_run) if wanted.flow_run is not None else None
    if run is not None and run.namespace != wanted.namespace:
        return None
    return _decision_answer(wanted, leases.request(SqlalchemySession(connection), wanted, _unknown))


def renew(connection: Connection, namespace: str, ids: Sequence[str], seconds: float) -> LeasesAnswer:
    """Renew leases of a namespace; return those that still exist."""
    return LeasesAnswer(sorted(leases.renew(SqlalchemySession(connection), namespace, ids, seconds)))


def release(connection: Connection, namespace: str, lease: str) -> LeasesAnswer:
    """Release a lease or leave the queue; an empty answer if there was neither."""
    return LeasesAnswer([lease] if leases.release(SqlalchemySession(connection), namespace, lease) else [])


def reserve(connection: Connection, namespace: str, names: Sequence[str], slots: int, longest_seconds: float | None) -> ReservationAnswer:
    """Reserve slots of rates."""
    granted, seconds = limits.reserve(SqlalchemySession(connection), namespace, names, slots, longest_seconds)
    return ReservationAnswer(granted, seconds)


def _unknown(_holder: int) -> bool:
    """Always false: it is unknown here whether processes of other machines are gone."""
    return False


def _decision_answer(wanted: SlotRequest, decision: SlotDecision) -> SlotDecisionAnswer:
    missing, rates, small = list(decision.missing), list(decision.rates), list(decision.small)
    return SlotDecisionAnswer(wanted.id, decision.granted, decision.turns, missing, rates, small, dict(decision.blocked))


def _answer(summary: Summary) -> LimitAnswer:
    limit = summary.limit
    return LimitAnswer(
        namespace=limit.namespace,
        name=limit.name,
        slots=limit.slots,
        decay_per_second=limit.decay_per_second,
        held=summary.held,
        waiting=summary.waiting,
        leases=[_holding(lease) for lease in summary.leases],
        created=from_microseconds(limit.created),
        updated=from_microseconds(limit.updated),
    )


def _holding(lease: Lease | Row[Any]) -> HoldingAnswer:
    asked, granted, expires = from_microseconds(lease.asked), optional_datetime(lease.granted), from_microseconds(lease.expires)
    return HoldingAnswer(lease.id, lease.slots, lease.who, asked, granted, expires)
