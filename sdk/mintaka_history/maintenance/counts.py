"""Adds up the counts of flow runs (`flow_run_counts`).

On PostgreSQL each transaction that changes flow runs adds rows of its own, so that no two wait for each other. Here those of
finished transactions become one row per hour, namespace, deployment and state. A row whose count is zero is deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mintaka_history.writing.sessions import Session

_AT_ONCE = 5_000
# The rows of a transaction that has not finished are not visible. One statement: a reader sees the sum before it or after it.
_FOLD = f"""
WITH chosen AS (
  SELECT hour, ns, deployment, state, part FROM flow_run_counts WHERE part <> 0 LIMIT {_AT_ONCE} FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM flow_run_counts AS f USING chosen AS c
  WHERE f.hour = c.hour AND f.ns = c.ns AND f.deployment = c.deployment AND f.state = c.state AND f.part = c.part
  RETURNING f.hour, f.ns, f.deployment, f.state, f.n
), added AS (
  INSERT INTO flow_run_counts AS t (hour, ns, deployment, state, part, n)
  SELECT hour, ns, deployment, state, 0, sum(n) FROM gone GROUP BY hour, ns, deployment, state
  ON CONFLICT (hour, ns, deployment, state, part) DO UPDATE SET n = t.n + excluded.n
)
SELECT count(*) FROM gone
"""  # noqa: S608 - our own words
_ZEROS = f"""
DELETE FROM flow_run_counts WHERE part = 0 AND n = 0 AND (hour, ns, deployment, state) IN (
  SELECT hour, ns, deployment, state FROM flow_run_counts WHERE part = 0 AND n = 0 LIMIT {_AT_ONCE}
) RETURNING 1
"""  # noqa: S608 - our own words


def add_up(session: Session) -> bool:
    """Add up some rows; True if more may be left. SQLite's triggers add up by themselves."""
    return session.postgresql and bool(session.run(_FOLD)[0][0] == _AT_ONCE)


def drop_zeros(session: Session) -> bool:
    """Delete some rows whose count is zero; True if more may be left."""
    return len(session.run(_ZEROS)) == _AT_ONCE
