"""Locates a flow for a new process: its file or module, and its name there.

A flow of a script is found by the script's file, one of a package by the name of its module, because files of a package
import each other by that name. A flow that has no such place (defined in a function, in a notebook, a method of one instance) is
refused with advice on what to do instead.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import InvalidSettingError
from mintaka.serving.deployable import EntrypointType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka.flows import Flow

_PATTERN = re.compile(r"[^\s:]+:[A-Za-z_][A-Za-z0-9_.]*")
_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class FlowPlace:
    """A flow's `entrypoint` as seen from `folder`, the working directory, with `path` added to Python's ("": nothing).

    `settings_differ`: the flow there is of the same function, but with other settings.
    """

    entrypoint: str
    folder: Path
    path: str = ""
    settings_differ: bool = False


def place_of(flow: Flow[..., Any], entrypoint_type: str | EntrypointType = EntrypointType.FILE_PATH) -> FlowPlace:
    """The place of `flow` for a process that starts in the current working directory.

    Raises:
        InvalidSettingError: another process cannot find it; the message says why.
    """
    kind = _kind(entrypoint_type)
    function = _function(flow)
    surroundings: Mapping[str, Any] = getattr(function, "__globals__", {})
    name, same = _name_in(surroundings, flow, function)
    folder = Path.cwd()
    module, root = _module(surroundings)
    if kind == EntrypointType.MODULE_PATH or "." in module:
        if not module:
            message = (
                f"flow {flow.name} is in the script that runs, which has no name as a module: move it into a module, run the script with "
                "python -m, or leave entrypoint_type out"
            )
            raise InvalidSettingError(message)
        path = "" if root in ("", str(folder)) or any(part in root for part in _INSTALLED) else root
        return FlowPlace(f"{module}:{name}", folder, path, not same)
    file = surroundings.get("__file__") or getattr(sys.modules.get(str(surroundings.get("__name__"))), "__file__", None)
    if not file or not Path(file).is_file():
        message = f"flow {flow.name} is not defined in a file, so no other process can load it: put it into one"
        raise InvalidSettingError(message)
    return FlowPlace(_checked(f"{_relative(Path(file), folder)}:{name}", flow), folder, "", not same)


def _kind(given: str | EntrypointType) -> EntrypointType:
    """The entrypoint type of a text, or of a member of another library's enumeration with that value."""
    try:
        return EntrypointType(str(getattr(given, "value", given)))
    except ValueError:
        message = f"entrypoint_type is one of {', '.join(EntrypointType)}, not {given!r}"
        raise InvalidSettingError(message) from None


def _function(flow: Flow[..., Any]) -> Any:
    """The function that the code of a flow defines, below decorators and bindings.

    Raises:
        InvalidSettingError: it is bound to an instance, or is not made of a function with a name.
    """
    fn: Any = flow.fn
    bound_to = getattr(fn, "__self__", None)
    if bound_to is not None and not isinstance(bound_to, type):
        message = (
            f"flow {flow.name} is bound to an instance of {type(bound_to).__name__}, which no other process has: serve a function that makes "
            "the instance and calls the method"
        )
        raise InvalidSettingError(message)
    function = inspect.unwrap(getattr(fn, "__func__", fn))
    if isinstance(function, partial) or not inspect.isfunction(function):
        message = f"flow {flow.name} is made of {function!r:.100}, not of a function that has a name: write a function that calls it"
        raise InvalidSettingError(message)
    return function


def _name_in(surroundings: Mapping[str, Any], flow: Flow[..., Any], function: Any) -> tuple[str, bool]:
    """The name of the flow among the globals of its module, and whether that name refers to this very object.

    Raises:
        InvalidSettingError: it has no name there.
    """
    for name, value in surroundings.items():
        if value is flow:
            return name, True
    qualified = str(function.__qualname__)
    if "<locals>" in qualified:
        around = qualified.split(".<locals>", 1)[0]
        message = (
            f"flow {flow.name} is defined inside {around}(), so no other process can find it: move it to the top level of its module, "
            "and pass the values it uses from there as parameters"
        )
        raise InvalidSettingError(message)
    found: Any = surroundings.get(qualified.split(".", maxsplit=1)[0])
    for part in qualified.split(".")[1:]:
        found = getattr(found, part, None)
    if found is None or not _is_of(found, function):
        message = f"flow {flow.name} has no name in its module: assign it to a variable there, such as {function.__name__} = flow(…)"
        raise InvalidSettingError(message)
    if "." in qualified and _needs_instance(surroundings, qualified):
        message = (
            f"flow {flow.name} is a method, which needs an instance: serve a function that makes one and calls it, or use @staticmethod"
        )
        raise InvalidSettingError(message)
    return qualified, _settings(found) == _settings(flow)


def _is_of(found: Any, function: Any) -> bool:
    """Whether the object with a name is a flow of this function."""
    fn = getattr(found, "fn", None)
    return fn is not None and inspect.unwrap(getattr(fn, "__func__", fn)) is function


def _needs_instance(surroundings: Mapping[str, Any], qualified: str) -> bool:
    """Whether a flow in a class is an ordinary method, neither static nor of the class."""
    owner: Any = surroundings[qualified.split(".", maxsplit=1)[0]]
    for part in qualified.split(".")[1:-1]:
        owner = getattr(owner, part)
    raw = inspect.getattr_static(owner, qualified.rsplit(".", maxsplit=1)[1])
    given = getattr(raw, "given", None)
    return not (isinstance(raw, (staticmethod, classmethod)) or isinstance(given, (staticmethod, classmethod)))


def _settings(flow: Any) -> dict[str, Any]:
    bound = {"given", "fn", "body", "parameters", "__wrapped__"}
    return {name: value for name, value in vars(flow).items() if name not in bound}


def _module(surroundings: Mapping[str, Any]) -> tuple[str, str]:
    """The name under which the module can be imported ("": none), and the folder from which it is (""): Python finds it without one."""
    spec = surroundings.get("__spec__")
    name = str(getattr(spec, "name", "") or surroundings.get("__name__", ""))
    if name == "__main__" or (spec is None and name not in sys.modules):
        return "", ""
    file = surroundings.get("__file__")
    if not file:
        return name, ""
    parents = Path(file).absolute().parents
    depth = name.count(".") + (Path(file).stem == "__init__")
    return name, str(parents[depth]) if depth < len(parents) else ""


def _relative(file: Path, folder: Path) -> str:
    absolute = file.absolute()
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else os.path.normpath(absolute)


def _checked(entrypoint: str, flow: Flow[..., Any]) -> str:
    if _PATTERN.fullmatch(entrypoint):
        return entrypoint
    message = f"flow {flow.name} is in {entrypoint.rpartition(':')[0]!r}: the path of a deployment has no spaces or colons below the working directory"
    raise InvalidSettingError(message)
