"""Checking what users give against a JSON Schema (draft 2020-12): parameters before a run is created, the input of one that waits."""

from __future__ import annotations

from typing import Any

from mintaka_api.problems import Problem

_ERRORS_SHOWN = 20


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """A Problem that names each offending place, or nothing."""
    _check(schema, parameters, "invalid-parameters", "parameters", "the flow deployment's parameterSchema")


def check_input(schema: dict[str, Any], value: Any) -> None:
    """A Problem that names each offending place, or nothing."""
    _check(schema, value, "invalid-input", "input", "the schema that the flow run gave")


def _check(schema: dict[str, Any], value: Any, problem: str, place: str, called: str) -> None:
    """References to other documents are not followed."""
    import jsonschema  # noqa: PLC0415 - start-up time: only needed when a run is created
    import referencing  # noqa: PLC0415
    import referencing.exceptions  # noqa: PLC0415

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        # An empty registry: without it, jsonschema fetches the URLs a schema refers to.
        validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
        errors = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    except (jsonschema.SchemaError, referencing.exceptions.Unresolvable, RecursionError) as error:
        text = getattr(error, "message", str(error))
        raise Problem(problem, f"{called} is not valid: {text}") from error
    if errors:
        shown = [
            {"path": "/".join([place, *map(str, error.absolute_path)]), "message": error.message[:500]} for error in errors[:_ERRORS_SHOWN]
        ]
        raise Problem(problem, "; ".join(f"{error['path']}: {error['message']}" for error in shown), errors=shown)
