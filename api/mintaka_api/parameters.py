"""What users give and does not obey its JSON Schema, as problems: parameters before a run is created, the input of one that waits."""

from __future__ import annotations

from typing import Any

from mintaka_api.problems import Problem
from mintaka_core.json_schema import InvalidSchema, told, violations


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """A Problem that names each offending place, or nothing."""
    _check(schema, parameters, "invalid-parameters", "parameters", "the flow deployment's parameterSchema")


def check_input(schema: dict[str, Any], value: Any) -> None:
    """A Problem that names each offending place, or nothing."""
    _check(schema, value, "invalid-input", "input", "the schema that the flow run gave")


def _check(schema: dict[str, Any], value: Any, problem: str, place: str, called: str) -> None:
    try:
        found = violations(schema, value, place)
    except InvalidSchema as error:
        raise Problem(problem, f"{called} is not valid: {error}") from error
    if found:
        raise Problem(problem, told(found), errors=found)
