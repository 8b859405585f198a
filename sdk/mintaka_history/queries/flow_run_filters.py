"""Filters of flow runs as ranges of indexes.

What a filter excludes is turned into what remains if that is a small set (states, up to 31 deployments or namespaces), so
that a list without the one deployment that makes most of the runs is as fast as any other. "Alive in a window" is a range
per class of duration (`tables.SPAN`): of those that ended, only runs created at most that long before the window can reach it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Integer, and_, literal_column, or_, select

from mintaka_core.states import COMPLETED, StateType
from mintaka_history.enum_codes import DEFAULT_NAME_OF_CODE, STATE_CODES, NameKind, RunKind
from mintaka_history.queries import pages
from mintaka_history.tables import SPAN, SPAN_LIMITS, flow_run_tags, flow_runs
from mintaka_history.tables import names as names_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Select

    from mintaka_history.queries.names import Names

_r = flow_runs.c
_span: ColumnElement[int] = literal_column(SPAN.format("flow_runs."), Integer)
#: The number of remaining names up to which an exclusion is a range per name.
_REMAINING = 31


@dataclass(frozen=True, slots=True)
class FlowRunFilter:
    """Filters flow runs; empty or None means any. Times in microseconds; `name` is a prefix; a run must have all `tags`.

    `not_…` are excluded. Only runs that no other run called or started are listed, unless `any_parent`, `parent` or `root` (uids),
    `kinds` or `name` is given. Alive in [`alive_after`, `alive_before`): started before its end and not ended before its start.
    """

    namespaces: tuple[str, ...] = ()
    deployment: str | None = None
    states: tuple[StateType, ...] = ()
    state_name: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    created_after: int | None = None
    created_before: int | None = None
    alive_after: int | None = None
    alive_before: int | None = None
    not_namespaces: tuple[str, ...] = ()
    not_deployments: tuple[str, ...] = ()
    not_states: tuple[StateType, ...] = ()
    not_tags: tuple[str, ...] = ()
    parent: str | None = None
    root: str | None = None
    any_parent: bool = False
    kinds: tuple[RunKind, ...] = ()

    @property
    def roots_only(self) -> bool:
        """True if runs that other runs called or started are left out: unless they, or the runs of a deployment, are requested."""
        asked = self.any_parent or self.parent or self.root or self.kinds
        return not (asked or self.name is not None or self.deployment is not None)

    @property
    def narrowed_by_names_only(self) -> bool:
        """True if no other index than those of namespaces and deployments may find fewer rows."""
        others = (self.states, self.not_states, self.tags, self.kinds, self.parent, self.root, self.name, self.alive_after)
        return not any(others)


@dataclass(frozen=True, slots=True)
class Spans(pages.Choice):
    """The classes of duration, each with the bounds of runs that were alive at or after `alive_after`."""

    alive_after: int = 0

    @property
    def must_split(self) -> bool:
        """Always: the classes together are the whole table."""
        return True

    def bounds(self, value: int) -> list[ColumnElement[bool]]:
        """The conditions that a run of class `value` had not ended at `alive_after`."""
        if not value:
            return [_r.ended.is_(None)]
        youngest = [_r.created > self.alive_after - SPAN_LIMITS[value - 1]] if value <= len(SPAN_LIMITS) else []
        return [_r.ended >= self.alive_after, *youngest]

    def any_of(self) -> ColumnElement[bool]:
        """The condition that a run had not ended at `alive_after`."""
        return or_(_r.ended.is_(None), _r.ended >= self.alive_after)


def choices_of(connection: Connection, names: Names, wanted: FlowRunFilter, order: str) -> list[pages.Choice]:
    """The columns that may have several values; one without values means that no run matches."""
    choices = []
    leads = order == "created" and wanted.narrowed_by_names_only
    if wanted.namespaces or wanted.not_namespaces:
        choices += _named(connection, names, NameKind.NAMESPACE, wanted.namespaces, wanted.not_namespaces, leads=leads)
    if wanted.deployment is not None or wanted.not_deployments:
        only = () if wanted.deployment is None else (wanted.deployment,)
        choices += _named(connection, names, NameKind.DEPLOYMENT, only, wanted.not_deployments, leads=leads)
    if wanted.states or COMPLETED in wanted.not_states:
        states = [state for state in wanted.states or StateType if state not in wanted.not_states]
        choices.append(pages.Choice(_r.state, tuple(STATE_CODES[state] for state in states), common=STATE_CODES[COMPLETED]))
    if wanted.kinds:
        choices.append(pages.Choice(_r.kind, tuple(int(kind) for kind in wanted.kinds), common=int(RunKind.DEPLOYED)))
    if wanted.alive_after is not None and order == "created":  # in the order of names no class helps
        choices.append(Spans(_span, tuple(range(len(SPAN_LIMITS) + 2)), leads=not choices, alive_after=wanted.alive_after))
    return choices


def filtered(query: Select[Any], wanted: FlowRunFilter, not_tags: Iterable[int], order: str) -> Select[Any]:
    """`query` with the filters that are no choices and no wanted tags."""
    if wanted.roots_only:
        query = query.where(_r.parent.is_(None))
    if wanted.parent is not None:
        query = query.where(_r.parent.is_not(None), _r.parent == _number(wanted.parent))
    if wanted.root is not None:
        query = query.where(_r.root.is_not(None), _r.root == _number(wanted.root))
    if wanted.not_states and not wanted.states and COMPLETED not in wanted.not_states:
        query = query.where(_r.state.not_in([pages.written(STATE_CODES[state]) for state in wanted.not_states]))
    if wanted.state_name is not None:
        query = query.where(state_called(wanted.state_name, _r.state, _r.state_name))
    if wanted.name is not None:
        query = query.where(*pages.begins_with(_r.name, wanted.name))
    if wanted.created_after is not None:
        query = query.where(_r.created >= wanted.created_after)
    if wanted.created_before is not None:
        query = query.where(_r.created < wanted.created_before)
    for tag in not_tags:
        query = query.where(~_has_tag(tag))
    return _filter_by_life(query, wanted, order)


def with_tags(query: Select[Any], tags: Iterable[int], *, lead: bool) -> Select[Any]:
    """Only runs that have all `tags`; by time the first tag's index leads, otherwise tags are looked up per run."""
    for position, tag in enumerate(tags):
        if position == 0 and lead:
            query = query.join(flow_run_tags, flow_run_tags.c.flow_run == _r.no).where(flow_run_tags.c.tag == tag)
        else:
            query = query.where(_has_tag(tag))
    return query


def state_called(name: str, state: ColumnElement[Any], state_name: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a state's name is `name`; a default name is not stored."""
    defaults = [code for code, default in DEFAULT_NAME_OF_CODE.items() if default == name]
    return or_(state_name == name, *(and_(state == code, state_name.is_(None)) for code in defaults))


def _named(
    connection: Connection, names: Names, kind: NameKind, wanted: tuple[str, ...], excluded: tuple[str, ...], *, leads: bool
) -> list[pages.Choice]:
    """The choice of names of a kind: those that are `wanted` ((): all) and not `excluded`."""
    column = _r.ns if kind is NameKind.NAMESPACE else _r.deployment
    if wanted:
        ids = [names.known(connection, kind, name) for name in wanted if name not in excluded]
        return [pages.Choice(column, tuple(number for number in ids if number is not None), leads=leads)]
    n = names_table.c
    rest = connection.scalars(select(n.id).where(n.kind == int(kind), n.value.not_in(excluded)).limit(_REMAINING + 1)).all()
    without = (None,) if kind is NameKind.DEPLOYMENT else ()
    if len(rest) <= _REMAINING:
        return [pages.Choice(column, (*rest, *without), leads=leads)]
    numbers = [names.known(connection, kind, name) for name in excluded]
    return [pages.Excluded(column, tuple(number for number in numbers if number is not None))]


def _filter_by_life(query: Select[Any], wanted: FlowRunFilter, order: str) -> Select[Any]:
    if wanted.alive_before is not None:
        query = query.where(_r.created < wanted.alive_before, _r.started < wanted.alive_before)
    if wanted.alive_after is not None:
        query = query.where(_r.started.is_not(None))
        if order != "created":
            query = query.where(or_(_r.ended.is_(None), _r.ended >= wanted.alive_after))
    return query


def _number(uid: str) -> Any:
    """The number of the run with this uid."""
    other = flow_runs.alias()
    return select(other.c.no).where(other.c.uid == uid).scalar_subquery()


def _has_tag(tag: int) -> ColumnElement[bool]:
    other = flow_run_tags.alias()
    return select(other.c.tag).where(other.c.tag == tag, other.c.created == _r.created, other.c.flow_run == _r.no).exists()
