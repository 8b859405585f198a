"""Deletes rows of the small tables that nothing will read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.maintenance.statements import DAY_MICROSECONDS

if TYPE_CHECKING:
    from mintaka_history.writing.sessions import Session

_AT_ONCE = 500
# A pause can be announced before anything else is known of its run.
_PAUSES = f"""
DELETE FROM pauses WHERE (flow_run, key) IN (
  SELECT p.flow_run, p.key FROM pauses AS p
  WHERE p.created < ? AND NOT EXISTS (SELECT 1 FROM flow_runs AS f WHERE f.uid = p.flow_run) LIMIT {_AT_ONCE}
) RETURNING 1
"""  # noqa: S608 - our own number
# A process that waits, or holds slots, repeats the request or renews the lease within minutes; a request for the same limit removes
# the others, but some limits get no further request.
_LEASES = f"""
DELETE FROM concurrency_leases WHERE (id, name) IN (
  SELECT id, name FROM concurrency_leases WHERE expires < ? ORDER BY id, name LIMIT {_AT_ONCE}
) RETURNING 1
"""  # noqa: S608 - our own number


def delete_leftovers(session: Session, now: int) -> int:
    """Delete some pauses of runs that do not exist, and some leases that expired more than a day ago; return their number."""
    before = now - DAY_MICROSECONDS
    return len(session.run(_PAUSES, (before,))) + len(session.run(_LEASES, (before,)))
