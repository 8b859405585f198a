"""JSON Schema violations as problems: parameters before a run is created, the input of a waiting run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_api.problems import Problem
from mintaka_controller.schema_validation import CheckUnavailable, InvalidSchema
from mintaka_core.json_schema import summary

if TYPE_CHECKING:
    from mintaka_controller.schema_validation import SchemaValidator
    from mintaka_core.resources import FlowDeployment


async def check_parameters(validator: SchemaValidator, deployment: FlowDeployment, own: dict[str, Any], namespace: str) -> None:
    """Raise a Problem that names each invalid place in a run's parameters: its `own` over those of the deployment."""
    if (schema := deployment.spec.schema_of_merged(own)) is None:
        return
    parameters = deployment.spec.merged_parameters(own)
    await _check(validator, schema, parameters, namespace, ("invalid-parameters", "parameters", "the flow deployment's parameterSchema"))


async def check_input(validator: SchemaValidator, schema: Any, value: Any, namespace: str) -> None:
    """Raise a Problem that names each invalid place in `value`; `namespace` is the flow run's."""
    await _check(validator, schema, value, namespace, ("invalid-input", "input", "the schema that the flow run gave"))


async def _check(validator: SchemaValidator, schema: Any, value: Any, namespace: str, words: tuple[str, str, str]) -> None:
    problem, name, called = words
    try:
        found = await validator.violations(schema, value, name, namespace=namespace)
    except InvalidSchema as error:
        raise Problem(problem, f"{called} is not valid: {error}") from error
    except CheckUnavailable as error:
        raise Problem("validation-unavailable", f"{name} cannot be checked at the moment, try again: {error}") from error
    if found:
        raise Problem(problem, summary(found), errors=found)
