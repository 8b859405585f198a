"""JSON Schema of a flow's parameters, through pydantic."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, PydanticJsonSchemaWarning

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import core_schema


class _Lenient(GenerateJsonSchema):
    """A type that has no JSON form is any value: it is checked where the flow runs."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:  # noqa: ARG002 - pydantic's signature
        return {}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of `model` by its fields' aliases; defaults without a JSON form are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
        schema = model.model_json_schema(by_alias=True, schema_generator=_Lenient)
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return schema
