"""Typed input for flows that wait for somebody: subclass `RunInput`, and pass the class to `pause_flow_run`."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, create_model


class RunInput(BaseModel):
    """What somebody is asked for; fields as in any pydantic model, `description` a text for the one who is asked."""

    model_config = ConfigDict(extra="forbid")
    description: ClassVar[str] = ""

    @classmethod
    def with_initial_data(cls, description: str = "", **values: Any) -> type[Self]:
        """The same with `values` as defaults, and a `description`.

        Raises:
            ValueError: a value belongs to no field.
        """
        unknown = values.keys() - cls.model_fields.keys()
        if unknown:
            message = f"{cls.__name__} has no field {', '.join(sorted(unknown))}"
            raise ValueError(message)
        fields: Any = {name: (cls.model_fields[name].annotation, value) for name, value in values.items()}
        made = create_model(cls.__name__, __base__=cls, __doc__=description or cls.__doc__, **fields)
        made.description = description
        return made


__all__ = ["RunInput"]
