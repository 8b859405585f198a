"""How long finished flow runs are retained: in general, by state, and by deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec

from mintaka_core.errors import MintakaError
from mintaka_core.states import StateType
from mintaka_history.maintenance.statements import DAY_MICROSECONDS

_LONGEST_DAYS = 36_500
Days = Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_DAYS)]


class InvalidRetention(MintakaError):
    """A retention policy that is not valid."""


class _Limit(msgspec.Struct, forbid_unknown_fields=True):
    days: Days


class _Deployments(msgspec.Struct, forbid_unknown_fields=True):
    match: Annotated[str, msgspec.Meta(pattern="^[^/]+/[^/]*$")]
    days: Days
    states: dict[StateType, _Limit] = {}


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    states: dict[StateType, _Limit] = {}
    deployments: list[_Deployments] = []


@dataclass(frozen=True, slots=True)
class Limits:
    """`days` from the end of a run until it is deleted, and those of single states; 0: never."""

    days: float = 0.0
    states: Mapping[StateType, float] = field(default_factory=dict)

    def of(self, state: StateType) -> int | None:
        """The limit of runs that ended in `state`, in microseconds; None: no limit."""
        days = self.states.get(state, self.days) if state.is_terminal else 0.0
        return round(days * DAY_MICROSECONDS) if days else None

    def all(self) -> list[int | None]:
        """The limits of all states in which a run can end."""
        return [self.of(state) for state in StateType if state.is_terminal]


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The general limits, and those that replace them for the deployments whose `namespace/name` matches a pattern (first match)."""

    general: Limits = field(default_factory=Limits)
    deployments: tuple[tuple[str, Limits], ...] = ()

    def limit(self, namespace: str, deployment: str, state: StateType) -> int | None:
        """The microseconds from the end of a run until it is deleted, None: never. `deployment` is "" for a run of none."""
        return self._limits(f"{namespace}/{deployment}").of(state)

    def shortest(self) -> int | None:
        """The shortest limit; None if nothing is ever deleted."""
        return min(self._finite(), default=None)

    def longest(self) -> int | None:
        """The longest limit; None if nothing is ever deleted."""
        return max(self._finite(), default=None)

    def with_days(self, days: float) -> RetentionPolicy:
        """This policy with another general limit."""
        return replace(self, general=replace(self.general, days=days))

    def _finite(self) -> list[int]:
        limits = [*self.general.all(), *(limit for _, limits in self.deployments for limit in limits.all())]
        return [limit for limit in limits if limit is not None]

    def _limits(self, name: str) -> Limits:
        return next((limits for pattern, limits in self.deployments if fnmatchcase(name, pattern)), self.general)


def policy_of(days: str, document: str) -> RetentionPolicy:
    """The policy of MINTAKA_RETENTION_DAYS and MINTAKA_RETENTION, a JSON document like the chart's `retention`; both may be "".

    Raises:
        InvalidRetention: one of them is not valid.
    """
    try:
        general = msgspec.convert(days or "0", Days, strict=False)
    except msgspec.ValidationError as error:
        message = f"MINTAKA_RETENTION_DAYS={days!r} is not a number of days from 0 to {_LONGEST_DAYS}"
        raise InvalidRetention(message) from error
    try:
        parsed = msgspec.json.decode(document or "{}", type=_Document)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        message = f"MINTAKA_RETENTION is not valid: {error}"
        raise InvalidRetention(message) from error
    for state in (state for states in (parsed.states, *(each.states for each in parsed.deployments)) for state in states):
        if not state.is_terminal:
            message = f"MINTAKA_RETENTION: no run ends in state {state}: use COMPLETED, FAILED, CRASHED or CANCELLED"
            raise InvalidRetention(message)
    deployments = tuple((each.match, _limits(each.days, each.states)) for each in parsed.deployments)
    return RetentionPolicy(_limits(general, parsed.states), deployments)


def _limits(days: float, states: Mapping[StateType, _Limit]) -> Limits:
    return Limits(days, {state: limit.days for state, limit in states.items()})
