"""Finds the flow runs whose time is up, as trees: a run and the runs it called.

A tree is due when its root's limit is over since the last end in it, no run of it is unfinished, and none is still in a
cluster. The counts of flow runs (`flow_run_counts`) say which namespaces, deployments and states have runs that are old
enough, and since when; so that a search that finds nothing reads a few rows.

On PostgreSQL the runs with the longest limit are left to the partition of their week (`partitions`), until a day after the
limit of the whole week is over: if it was not dropped by then, an unfinished run or one without a limit holds it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.enum_codes import STATE_OF_CODE, TERMINAL_CODES
from mintaka_history.maintenance.policy import RetentionPolicy
from mintaka_history.maintenance.statements import ENDED, HOUR_MICROSECONDS, IN_CLUSTER, among

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mintaka_history.writing.sessions import Session

#: Higher than every number.
NO_BOUND = 2**62
_ROOTS_AT_ONCE = 200
#: The most runs of trees to hold at a time, unless one tree is larger.
_MEMBERS_AT_ONCE = 20_000

_GROUPS = """
SELECT g.ns, g.deployment, g.state, min(g.hour) FROM (
  SELECT hour, ns, deployment, state FROM flow_run_counts
  WHERE hour >= 0 AND hour <= ? AND deployment <> -1 GROUP BY hour, ns, deployment, state HAVING sum(n) > 0
) AS g GROUP BY g.ns, g.deployment, g.state ORDER BY g.ns, g.deployment, g.state
"""
_ROOTS = f"""
SELECT f.created, f.no FROM flow_runs AS f
WHERE f.ns = ? AND {{deployment}} AND f.state = ? AND f.created >= ? AND f.created <= ? AND f.no < ? AND {ENDED} < ? AND NOT {IN_CLUSTER}
  AND (f.created, f.no) > (?, ?) AND (f.parent IS NULL OR NOT EXISTS (SELECT 1 FROM flow_runs AS p WHERE p.no = f.parent))
ORDER BY f.created, f.no LIMIT {_ROOTS_AT_ONCE}
"""  # noqa: S608 - our own words
_MEMBERS = f"""
WITH RECURSIVE tree(root, no) AS (
  SELECT no, no FROM flow_runs WHERE no {{roots}}
  UNION SELECT t.root, c.no FROM tree AS t JOIN flow_runs AS c ON c.parent = t.no
)
SELECT t.root, f.no, f.parent, f.sequence, f.ns, f.deployment, f.state, {ENDED}, {IN_CLUSTER}, f.created, f.name
FROM tree AS t JOIN flow_runs AS f ON f.no = t.no LIMIT {{limit}}
"""  # noqa: S608 - our own words


class Member(NamedTuple):
    """A flow run of a tree; `ended` and `created` in microseconds."""

    root: int
    no: int
    parent: int | None
    sequence: int
    ns: int
    deployment: int | None
    state: int
    ended: int
    in_cluster: bool
    created: int
    name: str

    @property
    def is_over(self) -> bool:
        """True if it has ended and left its cluster."""
        return self.state in TERMINAL_CODES and not self.in_cluster


class Group(NamedTuple):
    """The finished runs of a namespace, deployment (0: none) and state that have a limit; the oldest was created at `since` (µs).

    Those that ended before `cutoff` (µs) and have a number below `bound` are due.
    """

    ns: int
    deployment: int
    state: int
    since: int
    cutoff: int
    bound: int


@dataclass(slots=True)
class DueRuns:
    """A search for due trees at the time `now` (µs). Each tree is found once.

    `bound`: of the runs with the longest limit, only those with lower numbers are found (`partitions.weekly_bound`).
    """

    policy: RetentionPolicy
    now: int
    bound: int = NO_BOUND
    _groups: list[Group] | None = None
    _after: tuple[int, int] = (-1, -1)
    _waiting: list[int] = field(default_factory=list)

    def next(self, session: Session) -> list[list[Member]] | None:
        """Some due trees, each with its root last; None if there are no more. A page may be empty."""
        if self._groups is None:
            self._groups = groups_with_limit(session, self.policy, self.now, self.bound)
        while self._groups and not self._waiting:
            self._waiting = self._page_of_roots(session, self._groups[-1])
        if not self._groups:
            return None
        group = self._groups[-1]
        roots, self._waiting = self._waiting, []
        members = _members(session, roots, _MEMBERS_AT_ONCE + 1)
        while len(members) > _MEMBERS_AT_ONCE and len(roots) > 1:
            roots, rest = roots[: len(roots) // 2], roots[len(roots) // 2 :]
            self._waiting = rest + self._waiting
            members = _members(session, roots, _MEMBERS_AT_ONCE + 1)
        if len(members) > _MEMBERS_AT_ONCE:
            members = _members(session, roots, None)
        return [tree for tree in _trees(members) if all(each.is_over and each.ended < group.cutoff for each in tree)]

    def _page_of_roots(self, session: Session, group: Group) -> list[int]:
        """The next runs of the group that are due themselves and were not called; leaves the group behind if there are none."""
        deployment = "f.deployment = ?" if group.deployment else "f.deployment IS NULL"
        values = [
            group.ns,
            *([group.deployment] if group.deployment else []),
            group.state,
            group.since,
            group.cutoff,
            group.bound,
            group.cutoff,
        ]
        rows = session.run(_ROOTS.format(deployment=deployment), (*values, *self._after))
        self._after = tuple(rows[-1]) if rows else (-1, -1)
        if not rows and self._groups:
            self._groups.pop()
        return [number for _, number in rows]


def groups_with_limit(session: Session, policy: RetentionPolicy, now: int, bound: int) -> list[Group]:
    """The groups of runs that have a limit and are old enough that some may be due."""
    shortest = policy.shortest()
    if shortest is None:
        return []
    rows = session.run(_GROUPS, ((now - shortest) // HOUR_MICROSECONDS,))
    texts = texts_of(session, {number for ns, deployment, _, _ in rows for number in (ns, deployment)})
    groups = []
    for ns, deployment, state, hour in rows:
        limit = limit_of(policy, texts, ns, deployment, state)
        if limit is not None and hour * HOUR_MICROSECONDS <= now - limit:
            groups.append(
                Group(ns, deployment, state, hour * HOUR_MICROSECONDS, now - limit, bound if limit == policy.longest() else NO_BOUND)
            )
    return groups


def limit_of(policy: RetentionPolicy, texts: dict[int, str], ns: int, deployment: int | None, state: int) -> int | None:
    """The limit of a group of runs in microseconds; None: no limit, or unfinished, or of a state this release does not know."""
    known = STATE_OF_CODE.get(state)
    return None if known is None else policy.limit(texts.get(ns, ""), texts.get(deployment or 0, ""), known)


def texts_of(session: Session, ids: Iterable[int | None]) -> dict[int, str]:
    """The names with these ids."""
    wanted = sorted({number for number in ids if number})
    found: dict[int, str] = {}
    for start in range(0, len(wanted), 500):
        condition, values = among(session, wanted[start : start + 500])
        found |= dict(session.run(f"SELECT id, value FROM names WHERE id {condition}", values))  # noqa: S608 - only placeholders
    return found


def _members(session: Session, roots: Sequence[int], limit: int | None) -> list[Member]:
    condition, values = among(session, roots)
    statement = _MEMBERS.format(roots=condition, limit=2**62 if limit is None else limit)
    return [Member(*row)._replace(in_cluster=bool(row[8])) for row in session.run(statement, values)]


def _trees(members: list[Member]) -> list[list[Member]]:
    """The members by tree, called runs before those that called them."""
    by_root: dict[int, dict[int, Member]] = defaultdict(dict)
    for member in members:
        by_root[member.root][member.no] = member
    return [_called_first(root, tree) for root, tree in by_root.items()]


def _called_first(root: int, tree: dict[int, Member]) -> list[Member]:
    called: dict[int | None, list[Member]] = defaultdict(list)
    for member in tree.values():
        if member.no != root:
            called[member.parent].append(member)
    order = [tree[root]]
    for member in order:
        order += called[member.no]
    return order[::-1]
