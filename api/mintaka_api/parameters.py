"""Checking a run's parameters against its deployment's JSON Schema (draft 2020-12), before anything is created."""

from __future__ import annotations

from typing import Any

from mintaka_api.problems import Problem

_ERRORS_SHOWN = 20


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """A Problem that names each offending place, or nothing. References to other documents are not followed."""
    import jsonschema  # noqa: PLC0415 - start-up time: only needed when a run is created
    import referencing  # noqa: PLC0415
    import referencing.exceptions  # noqa: PLC0415

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        # An empty registry: without it, jsonschema fetches the URLs a schema refers to.
        validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
        errors = sorted(validator.iter_errors(parameters), key=lambda error: list(map(str, error.absolute_path)))
    except (jsonschema.SchemaError, referencing.exceptions.Unresolvable, RecursionError) as error:
        text = getattr(error, "message", str(error))
        raise Problem("invalid-parameters", f"the flow deployment's parameterSchema is not valid: {text}") from error
    if errors:
        shown = [
            {"path": "/".join(["parameters", *map(str, error.absolute_path)]), "message": error.message[:500]}
            for error in errors[:_ERRORS_SHOWN]
        ]
        raise Problem("invalid-parameters", "; ".join(error["message"] for error in shown), errors=shown)
