"""`flow.from_source`: a flow of another folder of this machine."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintaka.entrypoints import load_flow
from mintaka.exceptions import InvalidSettingError
from mintaka.serving.flow_places import FlowPlace

if TYPE_CHECKING:
    from mintaka.flows import Flow


def flow_from_source(source: str | Path, entrypoint: str) -> Flow[..., Any]:
    """The flow at `entrypoint` in the folder `source`, which stores that folder.

    Raises:
        InvalidSettingError: `source` is not a folder of this machine.
        LoadError: there is no such flow.
    """
    folder = _folder(source)
    name = entrypoint.removeprefix("./")
    if ":" not in name:  # Prefect's way to write a module
        module, _, function = name.rpartition(".")
        name = f"{module}:{function}"
    is_module = not name.rpartition(":")[0].endswith(".py")
    if is_module:
        sys.path.insert(0, str(folder))
    try:
        found = copy.copy(load_flow(name, folder=str(folder)))
    finally:
        if is_module:
            sys.path.remove(str(folder))
    found.source_place = FlowPlace(name, folder)
    return found


def _folder(source: str | Path) -> Path:
    instead = "clone it, or put the code into an image (image=…)"
    if not isinstance(source, (str, Path)):
        message = f"flows are loaded from a folder of this machine, not from a {type(source).__name__}: {instead}"
        raise InvalidSettingError(message)
    text = str(source).removeprefix("file://")
    folder = Path(text).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if "://" in text or text.startswith("git@"):
        message = f"flows are loaded from a folder of this machine, not from {text.partition('@')[2] or text}: {instead}"
        raise InvalidSettingError(message)
    message = f"source {text!r} is not a folder (working directory {Path.cwd()})"
    raise InvalidSettingError(message)
