"""Conditions of rules of users: the core's port `Expressions`, with CEL.

They are evaluated on the event loop, in bounded time: another thread would not help, because the runtime holds Python's lock, and a
process of its own costs a hundred times what a condition does (80 µs against 1). Instead the cost is bounded before every evaluation: a
condition may cost `CONDITION_LIMIT` units, all conditions about one transition together `TRANSITION_LIMIT`. Bounds are computed for
sizes of values in powers of two, and cached.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mintaka_core.user_rules import VARIABLES, EvaluationFailed, EvaluationTooCostly, InvalidExpression
from mintaka_validation.cel import CelError, Environment
from mintaka_validation.cel_costs import size_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_validation.cel import Program

#: What one condition, and what all conditions about a transition, may cost.
CONDITION_LIMIT: Final = 50_000
TRANSITION_LIMIT: Final = 100_000
#: The maximum size of all values together.
VALUES_LIMIT: Final = 64 * 1024
#: The number of bounds that a condition caches.
_REMEMBERED: Final = 256
_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_FIXED: Final = frozenset({"attempt", "failures", "crashes", "now"})


class Prepared:
    """The values of variables for one transition, their sizes, and what is left of what its conditions may cost together."""

    __slots__ = ("activation", "left", "sizes")

    def __init__(self, activation: Any, sizes: dict[str, int]) -> None:
        self.activation, self.sizes, self.left = activation, sizes, TRANSITION_LIMIT


class Condition:
    """A compiled condition."""

    __slots__ = ("_bounds", "_program", "_read", "variables")

    def __init__(self, program: Program) -> None:
        self._program = program
        self.variables = program.names & VARIABLES.keys()
        self._read = tuple(sorted(self.variables - _FIXED))
        self._bounds: dict[tuple[int, ...], int] = {}

    def evaluate(self, prepared: Prepared) -> bool:
        """Its value. Raises EvaluationFailed, EvaluationTooCostly."""
        cost = self._cost(prepared.sizes)
        if cost > CONDITION_LIMIT:
            message = f"it may cost {cost} units for facts of this size, at most {CONDITION_LIMIT} are allowed"
            raise EvaluationTooCostly(message)
        if cost > prepared.left:
            message = (
                f"the rules about one transition may cost {TRANSITION_LIMIT} units together, and those before this one took most of it"
            )
            raise EvaluationTooCostly(message)
        prepared.left -= cost
        try:
            value = self._program.evaluate_prepared(prepared.activation)
        except CelError as error:
            raise EvaluationFailed(str(error)) from error
        if not isinstance(value, bool):
            message = f"it is {type(value).__name__}, not true or false"
            raise EvaluationFailed(message)
        return value

    def _cost(self, sizes: dict[str, int]) -> int:
        key = tuple(map(sizes.__getitem__, self._read))
        cost = self._bounds.get(key)
        if cost is None:
            try:
                cost = self._program.bound(sizes)
            except CelError as error:
                raise EvaluationTooCostly(str(error)) from error
            if len(self._bounds) >= _REMEMBERED:
                self._bounds.clear()
            self._bounds[key] = cost
        return cost


class RuleExpressions:
    """Compiles and evaluates conditions over the facts of a run."""

    def __init__(self) -> None:
        self._environment: Environment | None = None

    def compile(self, expression: str) -> Condition:
        """Raises InvalidExpression."""
        try:
            program = self._variables().compile(expression)
        except CelError as error:
            raise _invalid(str(error)) from error
        if program.result_type not in {"bool", "dyn"}:
            message = f"it is of type {program.result_type}, a condition is true or false"
            raise InvalidExpression(message, 1, 1)
        return Condition(program)

    def prepare(self, values: Mapping[str, Any]) -> Prepared:
        """The values in the form that conditions take. Raises EvaluationFailed."""
        sizes = {name: _rounded(size_of(value)) for name, value in values.items() if name not in _FIXED}
        if sum(sizes.values()) > 2 * VALUES_LIMIT:
            message = f"the facts of the run take more than {VALUES_LIMIT} bytes"
            raise EvaluationTooCostly(message)
        try:
            return Prepared(self._variables().activation(values), sizes)
        except CelError as error:
            raise EvaluationFailed(str(error)) from error

    def _variables(self) -> Environment:
        """Made when the first rule is compiled: most installations have none, and the library takes memory."""
        if self._environment is None:
            self._environment = Environment(VARIABLES)
        return self._environment


def _rounded(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length() if size > 1 else 1


def _invalid(text: str) -> InvalidExpression:
    """The runtime's first error, with its place; columns count from 1."""
    found = _ERROR.search(text)
    if found is None:
        return InvalidExpression(text.partition("\n")[0])
    line, column = int(found[1]), int(found[2])
    if line < 1:
        return InvalidExpression(found[3].strip())
    return InvalidExpression(found[3].removesuffix(" (in container '')").strip(), line, column)
