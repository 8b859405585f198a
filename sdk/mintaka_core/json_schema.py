"""Where a value does not obey a JSON Schema (draft 2020-12): parameters before a run is created, the input of one that waits."""

from __future__ import annotations

from typing import Any, TypedDict

from mintaka_core.errors import MintakaError

_SHOWN = 20
_MESSAGE_CHARACTERS = 500


class Violation(TypedDict):
    """A place in the value, `name/member/0`, and what is wrong with it."""

    path: str
    message: str


class InvalidSchema(MintakaError):
    """The schema itself is none; the message says why."""


def given(schema: dict[str, Any], value: Any) -> Any:
    """`value`, and an object without members where nothing was given and the schema wants an object."""
    return {} if value is None and schema.get("type") == "object" else value


def violations(schema: dict[str, Any], value: Any, name: str) -> list[Violation]:
    """The places of `value`, which is called `name`, that do not obey; the first 20. References to other documents are not followed.

    Raises:
        InvalidSchema: it is no JSON Schema.
    """
    import jsonschema  # noqa: PLC0415 - start-up time: most runs and processes never need it
    import referencing  # noqa: PLC0415
    import referencing.exceptions  # noqa: PLC0415

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        # An empty registry: without it, jsonschema fetches the URLs a schema refers to.
        validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
        errors = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    except (jsonschema.SchemaError, referencing.exceptions.Unresolvable, RecursionError) as error:
        raise InvalidSchema(getattr(error, "message", str(error))) from error
    return [
        {"path": "/".join([name, *map(str, error.absolute_path)]), "message": error.message[:_MESSAGE_CHARACTERS]}
        for error in errors[:_SHOWN]
    ]


def told(found: list[Violation]) -> str:
    """All of them in a line."""
    return "; ".join(f"{each['path']}: {each['message']}" for each in found)
