"""Defaults of a flow's parameters, as each run gets them.

Python evaluates a default once, so all calls share it. A run in a pod has a process of its own; for the runs of a script to be
alike, a default that can be changed is copied. A default may be a `pydantic.Field`, as in pydantic's `validate_call`: then the
field's default is meant.
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_field(default: Any) -> bool:
    """Whether a default is a `pydantic.Field`; does not import pydantic to find out."""
    kind = getattr(sys.modules.get("pydantic.fields"), "FieldInfo", None)
    return kind is not None and isinstance(default, kind)


def has_value(default: Any) -> bool:
    """Whether the default is the same for all runs: not for a field that has none, or a factory of it."""
    return not is_field(default) or not (default.is_required() or default.default_factory)


def default_for_run(default: Any, arguments: Mapping[str, Any]) -> Any:
    """What a run gets that is called without the argument, not yet coerced.

    A factory of a field that takes the values of other fields gets the `arguments` that come before it, as they were given.
    """
    if not is_field(default):
        return _own(default)
    data = dict(arguments) if default.default_factory_takes_validated_data else None
    return default.get_default(call_default_factory=True, validated_data=data)


def _own(default: Any) -> Any:
    """A copy of what can be changed: what has no hash, as pydantic judges it; the default itself if it cannot be copied."""
    if type(default).__hash__ is not None:
        return default
    try:
        return copy.deepcopy(default)
    except Exception:  # noqa: BLE001 - how it is copied is the user's, such as a list of open files
        return default
