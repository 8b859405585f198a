"""CEL, the Common Expression Language, in which the rules of our CRDs are written: compile once, evaluate often.

The language is evaluated by Google's own runtime (cel-expr-python), with the extensions for strings and optional values, as in
the Kubernetes API server. An expression neither loops nor has effects, but it can still be made to take much time or memory; the
limits are those of LIMITS below.

Variables are declared with their types in CEL's notation: `int`, `string`, `list<string>`, `map<string, dyn>`, `timestamp`; `dyn`
is any JSON value, whose type is checked when the expression is evaluated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cel_expr_python.cel import Activation, Env, Expression

#: The maximum length of an expression in characters.
EXPRESSION_LIMIT: Final = 4096

_STATUS = re.compile(r"^[A-Z_]+: ")
_STATUS_AT_END = re.compile(r" \[[A-Z_]+\]$")


class CelError(MintakaError):
    """An expression that cannot be compiled or evaluated; the message says what is wrong with it."""


class Program:
    """A compiled expression; it may be evaluated by any number of threads."""

    __slots__ = ("_environment", "_expression", "expression", "result_type")

    def __init__(self, expression: str, environment: Env, compiled: Expression) -> None:
        """Use `compile` instead."""
        self.expression = expression
        self._environment, self._expression = environment, compiled
        self.result_type: str = compiled.return_type().name().lower()

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value of the expression for `values` of its variables.

        Raises:
            CelError: it has none, as with a key that is missing or a division by zero.
        """
        return self.evaluate_prepared(self._environment.Activation(values))

    def evaluate_prepared(self, values: Activation) -> Any:
        """The same for values that several expressions share; see `Environment.prepare`."""
        try:
            result = self._expression.eval(values)
        except RuntimeError as error:
            raise CelError(_sentence(str(error))) from error
        if result.type().name() == "ERROR":
            raise CelError(_sentence(result.value()))
        return result.plain_value()


class Environment:
    """Declared variables; compiles expressions over them. To be reused: an environment takes a millisecond to make."""

    __slots__ = ("_environment",)

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables` maps names to types."""
        from cel_expr_python import cel  # noqa: PLC0415 - start-up time: most processes never need it
        from cel_expr_python.ext import ext_optional, ext_strings  # noqa: PLC0415

        self._environment = cel.NewEnv(
            variables={name: cel.Type(kind) for name, kind in variables.items()},
            extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()],
        )

    def compile(self, expression: str) -> Program:
        """Parse and type-check an expression.

        Raises:
            CelError: it is not valid; the message points at the place.
        """
        if len(expression) > EXPRESSION_LIMIT:
            message = f"the expression has {len(expression)} characters, at most {EXPRESSION_LIMIT} are allowed"
            raise CelError(message)
        try:
            return Program(expression, self._environment, self._environment.compile(expression))
        except RuntimeError as error:
            raise CelError(_sentence(str(error))) from error

    def prepare(self, values: Mapping[str, Any]) -> Activation:
        """Convert values once, for several evaluations."""
        return self._environment.Activation(values)


def compile(expression: str, variables: Mapping[str, str]) -> Program:  # noqa: A001 - the name in every library of CEL
    """Compile one expression over `variables`, which maps their names to types.

    Raises:
        CelError: it is not valid.
    """
    return Environment(variables).compile(expression)


def _sentence(text: str) -> str:
    """The library's error without its status codes."""
    return _STATUS.sub("", _STATUS_AT_END.sub("", text))
