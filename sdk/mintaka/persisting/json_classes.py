"""Pydantic models, dataclasses, enums and exceptions in JSON results: what they are made of, and how they are made again.

They are found by the name of their class, `module:qualname`, whose module is imported. A class of another kind is refused before
anything is done with it: a result can have a module imported and a value of such a class made, and nothing else called. Who can
write where results are is trusted with that, as with the code (and with pickle, the default, with everything).
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from enum import Enum, Flag
from operator import attrgetter
from pathlib import Path
from typing import Any

#: Names of the module of the script that runs, in its process and in those that it starts.
_MAIN = ("__main__", "__mp_main__")


def _is_model(kind: type) -> bool:
    """Whether it is a class of pydantic's; does not import pydantic to find out."""
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return base is not None and issubclass(kind, base)


def fields_of(value: Any) -> Any:
    """What such a value is made of again; None if it is of no kind that is known here."""
    kind = type(value)
    if isinstance(value, Flag):
        return value.value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, BaseException):
        return _parts_of(value)
    if _is_model(kind):
        return {**vars(value), **(value.__pydantic_extra__ or {})}
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _parts_of(error: BaseException) -> dict[str, Any] | None:
    """An exception's arguments and attributes, as pickle has them: Python's own keep some of them elsewhere."""
    reduced: Any = error.__reduce__()
    if not isinstance(reduced, tuple) or reduced[0] is not type(error):
        return None
    attributes = reduced[2] if len(reduced) > len(("class", "args")) else None
    return {"args": list(reduced[1]), **({"attributes": attributes} if attributes else {})}


def made(kind: type, data: Any) -> Any:
    """A value of the class `kind`, of what `fields_of` gave."""
    if issubclass(kind, Enum):
        return kind(data) if issubclass(kind, Flag) else kind[data]
    if issubclass(kind, BaseException):
        # An `__init__` of the user's may take other arguments than those that it handed on; what else it does is in the attributes.
        error = kind(*data["args"]) if kind.__module__ == "builtins" else kind.__new__(kind, *data["args"])
        error.__setstate__(data.get("attributes"))
        return error
    if _is_model(kind):
        root = getattr(kind, "__pydantic_root_model__", False)
        return kind.model_validate(data["root"] if root else data, by_name=True)  # type: ignore[attr-defined]
    return _dataclass(kind, data)


def _dataclass(kind: type, data: dict[str, Any]) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415 - start-up time
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError  # noqa: PLC0415 - start-up time

    fields = {field.name: field for field in dataclasses.fields(kind)}
    given = {name: value for name, value in data.items() if name not in fields or fields[name].init}
    value: Any
    try:
        value = TypeAdapter(kind).validate_python(given)
    except (PydanticUserError, PydanticUndefinedAnnotation):  # an annotation that pydantic cannot read: the values are what they are
        value = kind(**given)
    for name in data.keys() - given.keys():
        object.__setattr__(value, name, data[name])
    return value


def has_state(value: Any) -> bool:
    """Whether `state_of` tells more than a comparison of the values would."""
    return not isinstance(value, Enum) and fields_of(value) is not None


def state_of(value: Any) -> dict[str, Any]:
    """What makes up a value: what it is made of again, and the private attributes of a model."""
    private = getattr(value, "__pydantic_private__", None) if _is_model(type(value)) else None
    return {"fields": fields_of(value), "private": private or {}}


def name_of(kind: type) -> str:
    """`module:qualname` of such a class; the script that runs is called as if it were imported.

    Raises:
        TypeError: the class would not be found by it.
    """
    module, qualname = getattr(kind, "__module__", ""), getattr(kind, "__qualname__", repr(kind))
    name = f"{_main_name() if module in _MAIN else module}:{qualname}"
    try:
        if class_at(name) is kind:
            return name
    except ValueError:
        pass
    message = f"the class {qualname} cannot be found by its name {name} again: define it at the top of a module"
    raise TypeError(message)


def class_at(name: str) -> type:
    """The class of that name, its module imported.

    Raises:
        ValueError: it is not here, or is no model, dataclass, enum or exception.
    """
    module, _, qualname = name.partition(":")
    try:
        holder = sys.modules["__main__"] if module == _main_name() else importlib.import_module(module)
        found = attrgetter(qualname)(holder)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"it holds a {name}, which is not here: {error}"
        raise ValueError(message) from error
    if isinstance(found, type) and (issubclass(found, (Enum, BaseException)) or _is_model(found) or dataclasses.is_dataclass(found)):
        return found
    message = f"it holds a {name}, which is no pydantic model, dataclass, enum or exception"
    raise ValueError(message)


def _main_name() -> str:
    """What the script that runs is called as a module."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return spec.name if spec is not None else Path(getattr(main, "__file__", "") or "__main__").stem
