"""Loading a flow from its entrypoint: `module:flow`, or `path.py:flow` with the code in the image, inline or in a folder.

What the user's code raises while it is imported goes through as it is: it is theirs. What is ours (no such file, no such
function, not a flow) says what was looked for, and what is there.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from mintaka.engine.tracebacks import tail
from mintaka.exceptions import EntrypointNotFound, LoadError, SourceUnreadable
from mintaka.flows import Flow

if TYPE_CHECKING:
    from types import ModuleType

_SHOWN = 20

#: Modules that were loaded from a file, which are found by that again and not by their name.
OF_FILES: set[str] = set()


def split_entrypoint(entrypoint: str) -> tuple[str, str]:
    """Place and name of a flow.

    Raises:
        EntrypointNotFound: it is not of the form place:name.
    """
    place, colon, name = entrypoint.rpartition(":")
    if not (colon and place and name):
        told = f"{entrypoint}:FUNCTION" if entrypoint.endswith(".py") else "module:function or path/to/file.py:function"
        message = f"entrypoint {entrypoint!r} names no flow: write {told}"
        raise EntrypointNotFound(message)
    return place, name


def load_flow(entrypoint: str, *, inline: str | None = None, folder: str = "") -> Flow[Any, Any]:
    """The flow that `entrypoint` names; a file is looked for in `folder` ("": the working directory), or is `inline`.

    Raises:
        EntrypointNotFound: there is no such module, file or function, or it is no flow.
        SourceUnreadable: the code should be there, but cannot be read.
    """
    place, name = split_entrypoint(entrypoint)
    if inline is not None:
        folder = _written(place, inline)
    module = _module_of_file(place, Path(folder or ".")) if place.endswith(".py") else _module_of_name(place)
    return _flow_in(module, place, name)


def imported_flow(entrypoint: str) -> Flow[Any, Any]:
    """The flow that `entrypoint` names, for who has nothing to do with what its code raises but to tell it.

    Raises:
        LoadError: it is not there, or its code raised while it was imported.
    """
    split_entrypoint(entrypoint)
    try:
        return load_flow(entrypoint)
    except LoadError:
        raise
    except (Exception, SystemExit) as error:
        message = f"importing {entrypoint} failed: {tail(error, 1)}"
        raise LoadError(message) from error


def _written(place: str, source: str) -> str:
    """A new folder with `source` in it under the name that the entrypoint has for it."""
    if Path(place).is_absolute() or ".." in Path(place).parts:
        message = f"entrypoint file {place!r} of inline source must be a relative path such as flow.py"
        raise EntrypointNotFound(message)
    try:
        folder = mkdtemp(prefix="mintaka-source-")
        path = Path(folder, place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    except OSError as error:
        message = f"inline source cannot be written: {error}"
        raise SourceUnreadable(message) from error
    return folder


def _module_of_file(place: str, folder: Path) -> ModuleType:
    path = (folder / place).absolute()
    try:
        if not folder.is_dir():
            message = f"source folder {folder} is not there"
            raise SourceUnreadable(message)
        if not path.is_file():
            there = sorted(item.name for item in path.parent.iterdir() if item.suffix == ".py") if path.parent.is_dir() else []
            message = f"no file {place!r} in {folder.absolute()}; there: {_listed(there)}"
            raise EntrypointNotFound(message)
        path.read_bytes()
    except OSError as error:
        message = f"source {path} cannot be read: {error}"
        raise SourceUnreadable(message) from error
    # Files beside it can be imported, and it can be imported by them; a name that is taken is not taken over.
    sys.path.insert(0, str(path.parent))
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.stdlib_module_names | sys.modules.keys() else f"flow_{id(path):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"{path} is not a Python file"
        raise EntrypointNotFound(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    OF_FILES.add(name)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _module_of_name(place: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(error.name + ".")):
            message = f"no module {place!r} in the image (python {sys.version_info.major}.{sys.version_info.minor}, working directory {Path.cwd()})"
            raise EntrypointNotFound(message) from error
        raise


def _flow_in(module: ModuleType, place: str, name: str) -> Flow[Any, Any]:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            flows = sorted(key for key, value in vars(module).items() if isinstance(value, Flow))
            message = f"{place} has no {name!r}; flows there: {_listed(flows)}"
            raise EntrypointNotFound(message) from None
    if not isinstance(found, Flow):
        message = f"{name!r} in {place} is no flow but of type {type(found).__name__}: put @flow on the function"
        raise EntrypointNotFound(message)
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "") if names else "none"
