"""CEL, the Common Expression Language, in which the rules of our CRDs are written: compile once, evaluate often.

Expressions are evaluated by Google's own runtime (cel-expr-python), with the extensions for strings and optional values of the
Kubernetes API server; docs/cel.md lists what is available. An expression has no side effects and terminates, but a user's may
take much time or memory. Hence the limits: of its length and nesting, of the iterations of its macros, of the size of the values,
and of its cost, which is bounded before it is evaluated (`cel_costs`).

Variables are declared with their types in CEL's notation: `int`, `string`, `list<string>`, `map<string, dyn>`, `timestamp`; `dyn`
is any JSON value, whose type is checked when the expression is evaluated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mintaka_core.errors import MintakaError
from mintaka_validation.cel_costs import ITERATIONS_LIMIT, NESTING_LIMIT, Expensive, names_in, size_of
from mintaka_validation.cel_syntax import read_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cel_expr_python.cel import Activation, Env, Expression

    from mintaka_validation.cel_costs import Part

#: The maximum length of an expression in characters. The runtime accepts 32 levels of nesting.
EXPRESSION_LIMIT: Final = 4096
#: The maximum size of all values together: bytes of text, and one for each other value.
VALUES_LIMIT: Final = 256 * 1024
#: The maximum nesting of a value.
DEPTH_LIMIT: Final = 200
#: The maximum cost of an evaluation; the most expensive expression within it takes 0.1 s and 100 MiB or less.
COST_LIMIT: Final = 5_000_000

#: That of Kubernetes 1.29 and later.
_STRINGS_VERSION: Final = 2
_SCALARS: Final = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "dyn")
_LIST: Final = re.compile(r"list<(.+)>")
_MAP: Final = re.compile(r"map<\s*(?:string|int|uint|bool)\s*,(.+)>")
_STATUS = re.compile(r"^[A-Z_]+: ")
_STATUS_AT_END = re.compile(r" \[[A-Z_]+\]$")
_WORDS: Final = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r'Key not found in map : "(.*)"$', r"no such key: \1"),
        (r"Key not found in map : (.*)$", r"no such key: \1"),
        (r"Index error: index=(-?\d+) size=\d+$", r"index out of bounds: \1"),
        (r"divide by zero$", "division by zero"),
        (r"No matching overloads found", "no such overload"),
        (r"int64 out of uint64 range$", "unsigned integer overflow"),
        (r"String to (Duration|Timestamp) conversion failed$", r"type conversion error from 'string' to 'google.protobuf.\1'"),
        (r"Iteration budget exceeded$", f"its macros take more than {ITERATIONS_LIMIT} iterations"),
    )
)


class CelError(MintakaError):
    """An expression that cannot be compiled or evaluated; the message says what is wrong with it."""


class CelTooCostly(CelError):
    """An expression that may take more time or memory than is allowed."""


class Program:
    """A compiled expression; it may be evaluated by any number of threads."""

    __slots__ = ("_environment", "_expression", "_tree", "expression", "result_type")

    def __init__(self, expression: str, environment: Env, compiled: Expression) -> None:
        """Use `compile` instead."""
        self.expression = expression
        self._environment, self._expression = environment, compiled
        self.result_type: str = compiled.return_type().name().lower()
        self._tree: Part | None = None

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value of the expression for `values` of its variables: JSON, aware datetimes and timedeltas.

        Raises:
            CelError: it has none, for example because a key is missing or a number is divided by zero. CelTooCostly: it may cost too much.
        """
        self._refuse_costly(values)
        return self.evaluate_prepared(self.prepare(values))

    @property
    def names(self) -> frozenset[str]:
        """The variables that it reads, and the types that it names."""
        return names_in(self._syntax())

    def bound(self, sizes: Mapping[str, int]) -> int:
        """The maximum cost of an evaluation with values of these sizes (`cel_costs.size_of`). Raises CelTooCostly."""
        try:
            return self._syntax().bound(sizes, 0).cost
        except Expensive as error:
            message = f"macros such as all() and map() are nested more than {NESTING_LIMIT} levels deep"
            raise CelTooCostly(message) from error

    def _syntax(self) -> Part:
        if self._tree is None:
            self._tree = read_tree(self._expression.serialize())
        return self._tree

    def prepare(self, values: Mapping[str, Any]) -> Activation:
        """Convert values once, for several evaluations. They are not limited: it is for trusted expressions."""
        return self._environment.Activation({name: _representable(value) for name, value in values.items()})

    def evaluate_prepared(self, values: Activation) -> Any:
        """The same for values that several expressions share (see `prepare`), without a limit of the cost."""
        try:
            result = self._expression.eval(values)
            value = result.plain_value()
        except RuntimeError as error:
            raise CelError(_sentence(str(error))) from error
        except TypeError as error:
            message = "its value cannot be converted from CEL, for example an optional value: end it with .orValue(...)"
            raise CelError(message) from error
        if not isinstance(value, bool) and result.type().name() == "ERROR":
            raise CelError(_sentence(value))
        return value

    def _refuse_costly(self, values: Mapping[str, Any]) -> None:
        sizes = {name: size_of(value) for name, value in values.items()}
        if (size := sum(sizes.values())) > VALUES_LIMIT:
            message = f"the values have a size of {size}, at most {VALUES_LIMIT} are allowed"
            raise CelTooCostly(message)
        cost = self.bound(sizes)
        if cost > COST_LIMIT:
            message = f"it may cost {cost} units for values of a size of {size}, at most {COST_LIMIT} are allowed"
            raise CelTooCostly(message)


class Environment:
    """Declared variables; compiles expressions over them. To be reused: an environment takes a millisecond to make."""

    __slots__ = ("_environment",)

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables` maps names to types.

        Raises:
            CelError: there is no such type.
        """
        try:
            from cel_expr_python import cel  # noqa: PLC0415 - start-up time: most processes never need it
            from cel_expr_python.ext import ext_optional, ext_strings  # noqa: PLC0415
        except ModuleNotFoundError as error:
            message = "rules in CEL need a package that is not installed: pip install 'mintaka[server]'"
            raise MintakaError(message) from error
        self._environment = cel.NewEnv(
            variables={name: cel.Type(_checked_type(kind)) for name, kind in variables.items()},
            extensions=[ext_strings.ExtStrings(version=_STRINGS_VERSION), ext_optional.ExtOptional()],
        )

    def activation(self, values: Mapping[str, Any]) -> Activation:
        """Values that the programs of this environment share (see `Program.evaluate_prepared`); a program needs only those it reads."""
        return self._environment.Activation({name: _representable(value) for name, value in values.items()})

    def compile(self, expression: str) -> Program:
        """Parse and type-check an expression.

        Raises:
            CelError: it is not valid; the message points at the place.
        """
        if len(expression) > EXPRESSION_LIMIT:
            message = f"the expression has {len(expression)} characters, at most {EXPRESSION_LIMIT} are allowed"
            raise CelError(message)
        if not expression.isascii() and any(_is_surrogate(character) for character in expression):
            message = "the expression contains an unpaired surrogate"
            raise CelError(message)
        try:
            return Program(expression, self._environment, self._environment.compile(expression))
        except RuntimeError as error:
            raise CelError(_sentence(str(error))) from error


def compile(expression: str, variables: Mapping[str, str]) -> Program:  # noqa: A001 - the name in every library of CEL
    """Compile one expression over `variables`, which maps their names to types.

    Raises:
        CelError: it is not valid.
    """
    return Environment(variables).compile(expression)


def _checked_type(kind: str) -> str:
    """A type's notation, if it is one."""
    if _is_type(kind):
        return kind
    message = f"{kind!r} is not a type: write {', '.join(_SCALARS)}, list<TYPE> or map<string, TYPE>"
    raise CelError(message)


def _is_type(kind: str) -> bool:
    inner = _LIST.fullmatch(kind) or _MAP.fullmatch(kind)
    return _is_type(inner[1].strip()) if inner is not None else kind in _SCALARS


def _representable(value: Any, depth: int = 0) -> Any:
    """`value` without U+0000, at which the runtime's texts end; U+0001 replaces it."""
    if isinstance(value, str):
        return value.replace("\0", "\x01") if "\0" in value else value
    if depth > DEPTH_LIMIT:
        message = f"a value is nested more than {DEPTH_LIMIT} levels deep"
        raise CelError(message)
    if isinstance(value, dict):
        return {_representable(name, depth): _representable(member, depth + 1) for name, member in value.items()}
    return [_representable(member, depth + 1) for member in value] if isinstance(value, list | tuple) else value


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _sentence(text: str) -> str:
    """The runtime's error without its status codes, in the words of the API server if these differ."""
    text = _STATUS.sub("", _STATUS_AT_END.sub("", text))
    for pattern, words in _WORDS:
        if (match := pattern.match(text)) is not None:
            return match.expand(words)
    return text
