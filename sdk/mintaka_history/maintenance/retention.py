"""Deletes flow runs whose time is up; and says before which ones those are, by the same search.

On PostgreSQL a partition of which every run is due is dropped first, which takes milliseconds for any number of rows. Then the
rows that are left of all due runs are deleted in steps.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.enum_codes import shown_state
from mintaka_history.maintenance import partitions, run_deletion
from mintaka_history.maintenance.due_runs import NO_BOUND, DueRuns, texts_of
from mintaka_history.maintenance.jobs import search, step
from mintaka_history.maintenance.partitions import Partition
from mintaka_history.maintenance.row_estimates import RowEstimates
from mintaka_history.queries.dialects import SqlalchemySession

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mintaka_history.database import Database
    from mintaka_history.maintenance.due_runs import Member
    from mintaka_history.maintenance.policy import RetentionPolicy
    from mintaka_history.writing.sessions import Session

#: The most runs that a dry run lists; it reports if there are more.
_LISTED = 50_000
_NAMES = 10


class Progress(NamedTuple):
    """The result of one step: the rows it deleted by table, and the partition it dropped."""

    rows: Counter[str]
    partition: Partition | None = None


@dataclass(slots=True)
class Plan:
    """What retention would delete at a time.

    `states` and `deployments` (`namespace/name`, "namespace/" for runs of none) are numbers of flow runs; `oldest` and
    `newest` their creation in µs. `rows` by table, and `size` in bytes, are estimates. `partitions` are dropped as a whole:
    their rows belong to the runs. `complete` is False if there are more runs than were counted.
    """

    flow_runs: int = 0
    states: Counter[str] = field(default_factory=Counter)
    deployments: Counter[str] = field(default_factory=Counter)
    oldest: int | None = None
    newest: int | None = None
    names: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    size: int = 0
    partitions: list[Partition] = field(default_factory=list)
    complete: bool = True


def plan(database: Database, policy: RetentionPolicy, now: int) -> Plan:
    """What `steps` would delete at the time `now` (µs). Only reads."""
    found = Plan()
    if policy.shortest() is None:
        return found
    with _reading(database) as session:
        old = partitions.old_partitions(session, policy, now) if session.postgresql else []
    for partition in old:
        with _reading(database) as session:
            if partitions.is_due(session, policy, now, partition.low, partition.high):
                found.partitions.append(partition)
    estimates = RowEstimates()
    with _reading(database) as session:
        due = _due_runs(session, policy, now, found.partitions)
    while found.complete:
        with _reading(database) as session:
            trees = due.next(session)
            if trees is None:
                break
            members = [member for tree in trees for member in tree]
            estimates.add(session, [member.no for member in members])
            texts = texts_of(session, {number for member in members for number in (member.ns, member.deployment)})
        _count(found, members, texts)
        found.complete = found.flow_runs < _LISTED
    found.rows, found.size = estimates.total(postgresql=database.is_postgresql)
    return found


def steps(database: Database, policy: RetentionPolicy, now: int) -> Iterator[Progress]:
    """Delete what is due at the time `now` (µs); a job like those of `jobs`."""
    if policy.shortest() is None:
        return
    if database.is_postgresql:
        yield from _drop_partitions(database, policy, now)
    with search(database) as session:
        due = _due_runs(session, policy, now, ())
    while True:
        with search(database) as session:
            trees = due.next(session)
        if trees is None:
            return
        for runs in run_deletion.slices(trees):
            done = False
            while not done:
                with step(database) as session:
                    deleted = run_deletion.delete_some(session, runs)
                done = deleted.done
                yield Progress(deleted.rows)


@contextmanager
def _reading(database: Database) -> Iterator[Session]:
    with database.reading() as connection:
        yield SqlalchemySession(connection)


def _due_runs(session: Session, policy: RetentionPolicy, now: int, dropped: Sequence[Partition]) -> DueRuns:
    return DueRuns(policy, now, partitions.weekly_bound(session, policy, now, dropped) if session.postgresql else NO_BOUND)


def _drop_partitions(database: Database, policy: RetentionPolicy, now: int) -> Iterator[Progress]:
    with search(database) as session:
        old = partitions.old_partitions(session, policy, now)
    kept: set[tuple[int, int]] = set()
    for partition in old:
        weeks = (partition.low, partition.high)
        if weeks in kept:
            continue
        with step(database) as session:
            due = partitions.is_due(session, policy, now, *weeks)
            if due:
                partitions.drop(session, partition)
        if due:
            yield Progress(Counter({partition.table: partition.rows}), partition)
        else:
            kept.add(weeks)


def _count(found: Plan, members: Sequence[Member], texts: dict[int, str]) -> None:
    for member in members:
        namespace = texts.get(member.ns, "")
        found.flow_runs += 1
        found.states[shown_state(member.state)] += 1
        found.deployments[f"{namespace}/{texts.get(member.deployment or 0, '')}"] += 1
        found.oldest = member.created if found.oldest is None else min(found.oldest, member.created)
        found.newest = member.created if found.newest is None else max(found.newest, member.created)
        if len(found.names) < _NAMES:
            found.names.append(f"{namespace}/{member.name}")
