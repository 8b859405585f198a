"""JSON Schema validation: the parameters of a run before it is created, the input of a run that waits.

Schemas come from users, so validation opens no URL and no file, matches regular expressions within a bounded number of
steps and refuses values that are too large or too deep. A schema can still use up time and memory with references that
double at every step: therefore a server validates through `mintaka_controller.schema_validation`, in a process that it can
end.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict

from mintaka_core.errors import MintakaError
from mintaka_core.limits import RESOURCE_LIMIT_BYTES, check_value, size_of
from mintaka_core.secret_parameters import SecretParameters

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

_SHOWN = 20
_COLLECTED = 1000
_MESSAGE_CHARACTERS = 500
_PATH_CHARACTERS = 500
#: Patterns without lookaround and back references are matched in linear time; for the others each step is counted.
_BACKTRACKING_STEPS = 1_000_000
_DIALECTS = "the JSON Schema drafts 2020-12 (the default), 2019-09, 7, 6 and 4 are known"


class Violation(TypedDict):
    """A place in the value, `name/member/0`, and what is wrong with it."""

    path: str
    message: str


class InvalidSchema(MintakaError):
    """The schema cannot be used; the message says why, as the end of a sentence that begins with the schema's name."""


class CompiledSchema:
    """A schema for validating any number of values."""

    __slots__ = ("_secrets", "_validator")

    def __init__(self, validator: Validator, secrets: SecretParameters) -> None:
        """Use `compile_schema` instead."""
        self._validator = validator
        self._secrets = secrets

    def violations(self, value: Any, name: str) -> list[Violation]:
        """The first 20 places of `value`, called `name`, that are not valid, in order. Messages quote no secrets."""
        if (excess := check_value(name, value)) is not None:
            return [Violation(path=name, message=excess.message)]
        errors = list(islice(self._validator.iter_errors(value), _COLLECTED))
        errors.sort(key=lambda error: list(map(str, error.instance_path)))
        return [self._violation(error, value, name) for error in errors[:_SHOWN]]

    def _violation(self, error: ValidationError, value: Any, name: str) -> Violation:
        path = "/".join([name, *map(str, error.instance_path)])
        keyword, expected = error.kind.name, error.kind.value
        message = self._secrets.violation(value, error.instance_path, keyword, expected, error.message) if self._secrets else error.message
        return Violation(path=_shortened(path, _PATH_CHARACTERS), message=_shortened(message, _MESSAGE_CHARACTERS))


def compile_schema(schema: Any) -> CompiledSchema:
    """Prepare `schema`, a JSON Schema of the draft that its `$schema` names (default 2020-12).

    Raises:
        InvalidSchema: it is too large or too deep, not a JSON Schema, or refers to another document.
    """
    import jsonschema_rs  # noqa: PLC0415 - start-up time: most runs and processes never need it

    if not isinstance(schema, dict | bool):
        message = f"it is a JSON Schema only if it is an object or a boolean, not {type(schema).__name__}"
        raise InvalidSchema(message)
    if (excess := check_value("it", schema)) is not None:
        raise InvalidSchema(excess.message)
    if (size := size_of(schema)) > RESOURCE_LIMIT_BYTES:
        message = f"it takes {size} bytes of JSON, at most {RESOURCE_LIMIT_BYTES} are allowed"
        raise InvalidSchema(message)
    patterns = jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKING_STEPS)
    secrets = SecretParameters(schema)
    try:
        # `format` is an annotation in 2020-12; here it is one in every draft.
        validator = jsonschema_rs.validator_for(schema, offline=True, validate_formats=False, pattern_options=patterns)
        return CompiledSchema(validator, secrets)
    except jsonschema_rs.ValidationError as error:
        raise InvalidSchema(_fault_of_schema(error, secrets)) from error
    except ValueError as error:
        raise InvalidSchema(str(error)) from error


def violations(schema: Any, value: Any, name: str) -> list[Violation]:
    """The first 20 places of `value`, called `name`, that are not valid for `schema`, in order.

    Raises:
        InvalidSchema: the schema cannot be used.
    """
    return compile_schema(schema).violations(value, name)


def with_default(schema: Any, value: Any) -> Any:
    """`value`, or an empty object if there is no value and the schema requires an object."""
    return {} if value is None and isinstance(schema, dict) and schema.get("type") == "object" else value


def summary(found: list[Violation]) -> str:
    """All violations in one line."""
    return "; ".join(f"{each['path']}: {each['message']}" for each in found)


def _fault_of_schema(error: ValidationError, secrets: SecretParameters) -> str:
    """What is wrong with a schema, and where."""
    if error.kind.name == "$ref":
        if error.message.startswith("Unknown meta-schema"):
            return f"{_shortened(error.message.split('. ')[0], _MESSAGE_CHARACTERS)}: {_DIALECTS}"
        return f"a reference in it leads nowhere, or out of the schema: {_shortened(error.message, _MESSAGE_CHARACTERS)}"
    place = _shortened("/".join(map(str, error.instance_path)), _PATH_CHARACTERS)
    message = _shortened(secrets.fault_of_schema(error.instance_path, error.kind.name, error.message), _MESSAGE_CHARACTERS)
    return f"{place}: {message}" if place else message


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
