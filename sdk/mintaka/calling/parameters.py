"""A flow's parameters: binding, defaults, validation and JSON Schema, all from its signature.

Defaults are checked and coerced like arguments that are given. A default that can be changed, such as a list, is copied for each
run. pydantic is imported only where an annotation asks for more than an exact match of a plain type, so that small flows start
without it. Annotations that cannot be resolved at run time (imported under TYPE_CHECKING only, or inside a function) are taken
as Any; those that name a secret type stay secret.
"""

from __future__ import annotations

import inspect
import re
import types
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from mintaka.annotations import quote
from mintaka.calling.defaults import default_for_run, has_value, is_field
from mintaka.exceptions import ParameterBindError, ParameterTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pydantic import BaseModel, ValidationError

    from mintaka.calling.dependencies import Edge
    from mintaka_core.secret_parameters import SecretParameters

#: Characters of a value that a message shows.
_SHOWN = 60
#: Types whose values need no coercion where they are exactly of that type.
_PLAIN = frozenset({int, float, str, bool, bytes, dict, list, set, tuple, type(None)})

#: Names of types whose values are secret: pydantic's, and `mintaka.blocks.system.Secret`.
_SECRET_TYPE = re.compile(r"\bSecret(Str|Bytes)?\b")
#: What an annotation says of secrets, if it can only be read as text.
_SECRET_WORDS = re.compile(rf"{_SECRET_TYPE.pattern}|writeOnly|[\"']password[\"']")

_POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY
_POSITIONAL_OR_KEYWORD = inspect.Parameter.POSITIONAL_OR_KEYWORD
_VAR_POSITIONAL = inspect.Parameter.VAR_POSITIONAL
_VAR_KEYWORD = inspect.Parameter.VAR_KEYWORD
_EMPTY = inspect.Parameter.empty
#: The signature of what takes any arguments.
_ANY = inspect.Signature([inspect.Parameter("args", _VAR_POSITIONAL), inspect.Parameter("kwargs", _VAR_KEYWORD)])


class Parameters:
    """The parameters of `fn`, the function behind `owner` (a name for messages)."""

    def __init__(self, fn: Callable[..., Any], owner: str) -> None:
        self._fn = fn
        self._owner = owner
        try:
            self.signature = inspect.signature(fn)
        except ValueError:  # some of Python's own, such as max, do not tell
            self.signature = _ANY

    @cached_property
    def annotations(self) -> dict[str, Any]:
        """Each parameter's annotation, Any where it has none or it cannot be resolved."""
        try:
            hints = get_type_hints(self._fn, include_extras=True)
        except (NameError, TypeError, AttributeError, SyntaxError):
            hints = {name: _evaluated(annotation, self._fn) for name, annotation in getattr(self._fn, "__annotations__", {}).items()}
        return {name: hints.get(name, Any) for name in self.signature.parameters}

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments by name.

        Raises:
            ParameterBindError: one is missing, given twice or unknown.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            message = f"{self._owner}{self._shown_signature} cannot be called so: {error}"
            raise ParameterBindError(message) from error
        for name in self._required_fields:
            if name not in bound.arguments:
                message = f"{self._owner}{self._shown_signature} cannot be called so: missing a required argument: {name!r}"
                raise ParameterBindError(message)
        return bound

    @cached_property
    def _required_fields(self) -> tuple[str, ...]:
        """Parameters that have a default for Python, but one that says that there is none: `pydantic.Field(ge=1)`."""
        defaults = {name: parameter.default for name, parameter in self.signature.parameters.items()}
        return tuple(name for name, default in defaults.items() if is_field(default) and default.is_required())

    def bind_by_name(self, values: dict[str, Any]) -> inspect.BoundArguments:
        """Arguments from a document that names each of them, as runs in a cluster have; see `bind`."""
        positional = [name for name, parameter in self.signature.parameters.items() if parameter.kind == _POSITIONAL_ONLY]
        given = [name for name in positional if name in values]
        return self.bind(tuple(values[name] for name in given), {name: value for name, value in values.items() if name not in given})

    def inputs(self, edges: Collection[Edge]) -> tuple[tuple[str, int], ...]:
        """The same edges with the names of parameters in place of positions, each once."""
        names, rest = self._positions
        named = [(names[place] if place < len(names) else rest, n) if type(place) is int else (str(place), n) for place, n in edges]
        return tuple(named) if len(named) == 1 else tuple(dict.fromkeys(named))

    @cached_property
    def _positions(self) -> tuple[tuple[str, ...], str]:
        """The parameters that positional arguments go to, and the one that takes the rest of them ("*" where none does)."""
        kinds = {name: parameter.kind for name, parameter in self.signature.parameters.items()}
        names = tuple(name for name, kind in kinds.items() if kind in (_POSITIONAL_ONLY, _POSITIONAL_OR_KEYWORD))
        return names, next((name for name, kind in kinds.items() if kind == _VAR_POSITIONAL), "*")

    def complete(self, bound: inspect.BoundArguments) -> None:
        """Add the defaults to the arguments, as they are written, each run its own."""
        for name, parameter in self.signature.parameters.items():
            if name not in bound.arguments and parameter.default is not _EMPTY:
                bound.arguments[name] = default_for_run(parameter.default, bound.arguments)
        bound.apply_defaults()  # the variable arguments; and the order

    def validate(self, bound: inspect.BoundArguments) -> None:
        """Add the defaults, check and coerce all arguments in place; those marked `quote` are left alone.

        Raises:
            ParameterTypeError: with one clause per argument or default that does not fit.
        """
        passed = set(bound.arguments)
        self.complete(bound)
        given = {name: value for name, value in bound.arguments.items() if type(value) is not quote}
        if all(self._fits(name, value) for name, value in given.items()):
            return
        from pydantic import ValidationError  # noqa: PLC0415 - start-up time

        try:
            model = self._model.model_validate(given)
        except ValidationError as error:
            msg = f"{self._owner}: {self._complaints(error, given, passed)}"
            raise ParameterTypeError(msg) from (None if self.secrets else error)
        for index, name in enumerate(self.signature.parameters):
            if name in given:
                bound.arguments[name] = getattr(model, f"p{index}")

    def _fits(self, name: str, value: Any) -> bool:
        annotation, parameter = self.annotations[name], self.signature.parameters[name]
        if is_field(parameter.default):
            return False
        if parameter.kind in (_VAR_POSITIONAL, _VAR_KEYWORD):
            return annotation is Any or not value
        return annotation is Any or (type(value) is annotation and annotation in _PLAIN)

    @cached_property
    def _model(self) -> type[BaseModel]:
        """What checks arguments. Nothing is required: `bind` has found what is missing, and what is quoted is not checked."""
        return self._model_with(dict.fromkeys(self.signature.parameters))

    def _model_with(self, defaults: dict[str, Any]) -> type[BaseModel]:
        """A model whose fields are the parameters: numbered, so that no name is forbidden, with the names as aliases.

        The `defaults` stand in place of those in the signature.
        """
        from pydantic import ConfigDict, Field, create_model  # noqa: PLC0415 - start-up time

        fields: dict[str, Any] = {}
        for index, (name, parameter) in enumerate(self.signature.parameters.items()):
            annotation: Any = self.annotations[name]
            default = defaults.get(name, ... if parameter.default is _EMPTY else parameter.default)
            settings = {"alias": name, "title": name.replace("_", " ").strip().capitalize(), "default": default}
            if parameter.kind == _VAR_POSITIONAL:
                annotation, settings["default"] = types.GenericAlias(tuple, (annotation, ...)), ()
            elif parameter.kind == _VAR_KEYWORD:
                annotation, settings["default"] = types.GenericAlias(dict, (str, annotation)), {}
            elif is_field(parameter.default):  # its constraints count, and its default if there is no other
                annotation = Annotated[annotation, parameter.default]
                settings["title"] = parameter.default.title or settings["title"]
                if default is parameter.default or parameter.default.default_factory:
                    settings.pop("default")
            fields[f"p{index}"] = (annotation, Field(**settings))
        # Its errors stand in tracebacks, whole; what may be shown of an argument, `_complaints` shows.
        config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True)
        return create_model(f"Parameters of {self._owner}", __config__=config, **fields)

    def _coerced_defaults(self) -> dict[str, Any]:
        """By parameter: its default as a run gets it. Those that do not fit here are left out: a folder may exist where the flow runs."""
        found = {}
        for index, (name, parameter) in enumerate(self.signature.parameters.items()):
            if parameter.default is not _EMPTY and has_value(parameter.default):
                with suppress(Exception):  # validators are the user's
                    coerced = self._model.model_validate({name: default_for_run(parameter.default, {})})
                    found[name] = getattr(coerced, f"p{index}")
        return found

    @cached_property
    def secrets(self) -> SecretParameters:
        """Which arguments are secret, by their annotations."""
        from mintaka_core.secret_parameters import UNKNOWN, SecretParameters  # noqa: PLC0415 - start-up time

        if all(annotation is Any or (isinstance(annotation, type) and annotation in _PLAIN) for annotation in self.annotations.values()):
            return SecretParameters(None)
        from mintaka.calling.schemas import schema_of  # noqa: PLC0415 - start-up time

        try:
            return SecretParameters(schema_of(self._model))
        except Exception:  # noqa: BLE001 - an annotation that pydantic cannot read may stand for anything
            return UNKNOWN

    def is_secret(self, name: str, value: Any) -> bool:
        """Whether the argument `name` is secret or may hold a secret, by its annotation or its value."""
        return value is not None and (self.secrets.may_conceal(name) or _SECRET_TYPE.search(type(value).__name__) is not None)

    def described(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments as history shows them: JSON values of limited size, secrets masked."""
        from mintaka.calling.arguments import shown  # noqa: PLC0415 - start-up time

        described: dict[str, Any] = self.secrets.masked({name: shown(value) for name, value in arguments.items()})
        return described

    def _complaints(self, error: ValidationError, given: dict[str, Any], passed: set[str]) -> str:
        """Pydantic's complaints, one clause per argument; a value that is or may hold a secret is not quoted."""
        clauses = []
        for problem in error.errors(include_url=False, include_context=False):
            place, value = ".".join(str(part) for part in problem["loc"]), repr(problem["input"])
            source = "" if not problem["loc"] or problem["loc"][0] in passed else " (the default)"
            if not problem["loc"] or self.secrets.may_conceal(str(problem["loc"][0])):
                clauses.append(self.secrets.redacted(f"{place}: {problem['msg']}{source}", given))
            else:
                clauses.append(f"{place}: {problem['msg']}, not {value if len(value) <= _SHOWN else value[:_SHOWN] + '…'}{source}")
        return "; ".join(clauses)

    @property
    def _shown_signature(self) -> inspect.Signature:
        """The signature without the defaults that may be secret."""
        shown = [
            parameter.replace(default=_HIDDEN) if self.is_secret(name, parameter.default) and parameter.default is not _EMPTY else parameter
            for name, parameter in self.signature.parameters.items()
        ]
        return self.signature.replace(parameters=shown)

    def schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the parameters, as an object by name, with the defaults as a run gets them."""
        from mintaka.calling.schemas import schema_of  # noqa: PLC0415 - start-up time

        schema = schema_of(self._model_with(self._coerced_defaults()))
        for name, parameter in self.signature.parameters.items():
            if parameter.kind == _VAR_POSITIONAL:
                schema["properties"].pop(name)
            elif parameter.kind == _VAR_KEYWORD:
                extra = schema["properties"].pop(name).get("additionalProperties", True)
                schema["additionalProperties"] = extra
        return schema


def _evaluated(annotation: Any, fn: Callable[..., Any]) -> Any:
    """One annotation on its own, where not all of a signature's can be resolved."""
    try:
        return get_type_hints(_Holder(annotation), getattr(fn, "__globals__", {}), include_extras=True)["value"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return _secret() if isinstance(annotation, str) and _SECRET_WORDS.search(annotation) else Any


def _secret() -> Any:
    """Anything, and not to be shown."""
    from pydantic import Field  # noqa: PLC0415 - start-up time

    return Annotated[Any, Field(json_schema_extra={"format": "password", "writeOnly": True})]


class _Hidden:
    """In the place of a default that is not shown."""

    def __repr__(self) -> str:
        return "********"


_HIDDEN = _Hidden()


class _Holder:
    """Something for `get_type_hints` to read one annotation from."""

    def __init__(self, annotation: Any) -> None:
        self.__annotations__ = {"value": annotation}
