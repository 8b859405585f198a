"""The contexts of this user: names for the places where flows are recorded and commands act, in `MINTAKA_HOME/contexts.json`.

    {"current": "prod", "contexts": {
        "prod":  {"server": "https://mintaka.example.com", "token_file": "/home/ann/prod.token"},
        "stage": {"cluster": "kind-stage"}}}

`server` is the URL of an API, with `token_file` or `token`; `cluster` is a context of kubectl ("" for kubectl's current one). The
context `local`, this machine, always exists and is not in the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mintaka.environment import InvalidEnvironment

FILE = "contexts.json"
#: The context that means this machine: the server that runs on MINTAKA_HOME, else its history file.
LOCAL = "local"
_MEMBERS = frozenset({"server", "token_file", "token", "cluster"})


@dataclass(frozen=True, slots=True)
class Context:
    """A named place: the API at `server`, or the cluster of kubectl's context `cluster` ("" the current one); neither: this machine."""

    name: str
    server: str = ""
    token_file: str = ""
    token: str = field(default="", repr=False)
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Contexts:
    """The content of the file, `local` included; `current` is "" if none was chosen."""

    path: Path
    current: str = ""
    known: Mapping[str, Context] = field(default_factory=lambda: {LOCAL: Context(LOCAL)})

    def named(self, name: str, said_by: str) -> Context:
        """The context `name`; `said_by` is where that name was read.

        Raises:
            InvalidEnvironment: there is no such context.
        """
        if name not in self.known:
            message = f"{said_by} names context {name!r}, which {self.path} does not have: use one of {', '.join(self.known)}"
            raise InvalidEnvironment(message)
        return self.known[name]

    def chosen(self, variables: Mapping[str, str]) -> Context | None:
        """The context of MINTAKA_CONTEXT, else the current one unless MINTAKA_API_URL is set; None if neither names one.

        Raises:
            InvalidEnvironment: there is no context of that name.
        """
        if name := variables.get("MINTAKA_CONTEXT"):
            return self.named(name, "MINTAKA_CONTEXT")
        if variables.get("MINTAKA_API_URL") or not self.current:
            return None
        return self.named(self.current, f"{self.path}, as the current one,")


#: The contexts that were read last, and the version of the file: a script that calls thousands of flows reads it once.
_read: tuple[tuple[str, int, int, int], Contexts] | None = None


def contexts(folder: Path) -> Contexts:
    """The contexts in the file in `folder`; `local` alone if there is no file.

    Raises:
        InvalidEnvironment: the file cannot be read or understood.
    """
    global _read  # noqa: PLW0603 - a cache of one file
    path = folder / FILE
    try:
        found = path.stat()
        version = (str(path), found.st_ino, found.st_mtime_ns, found.st_size)
        if _read is None or _read[0] != version:
            _read = (version, _parsed(path, path.read_bytes()))
        return _read[1]
    except (FileNotFoundError, NotADirectoryError):
        return Contexts(path)
    except OSError as error:
        message = f"the contexts in {path} cannot be read: {error.strerror}; make it readable, or set MINTAKA_HOME to a folder of yours"
        raise InvalidEnvironment(message) from error


def write(changed: Contexts) -> None:
    """Replace the file, readable by its owner alone.

    Raises:
        InvalidEnvironment: it cannot be written.
    """
    stored = {name: _members(context) for name, context in changed.known.items() if name != LOCAL}
    text = json.dumps({"current": changed.current, "contexts": stored}, indent=2) + "\n"
    beside = changed.path.with_name(f".{FILE}.{os.getpid()}")
    try:
        changed.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            beside.unlink()
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        beside.replace(changed.path)
    except OSError as error:
        message = f"the contexts in {changed.path} cannot be written: {error.strerror}; set MINTAKA_HOME to a folder of yours"
        raise InvalidEnvironment(message) from error


def checked_url(url: str, said_by: str) -> str:
    """`url` without a slash at its end.

    Raises:
        InvalidEnvironment: it is not the URL of a server.
    """
    try:
        parts = urlsplit(url)
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        well = False
    if not well:
        message = f"{said_by} is not the URL of a server: {url!r}; write http://HOST:PORT"
        raise InvalidEnvironment(message)
    return url.rstrip("/")


def _members(context: Context) -> dict[str, str]:
    members = {"server": context.server, "token_file": context.token_file, "token": context.token, "cluster": context.cluster}
    return {name: value for name, value in members.items() if value is not None and (value or name == "cluster")}


def _parsed(path: Path, text: bytes) -> Contexts:
    try:
        document = json.loads(text)
        entries = document.get("contexts", {}).items()
        known = {LOCAL: Context(LOCAL)} | {name: _context(name, entry) for name, entry in entries if name != LOCAL}
        return Contexts(path, _text(document.get("current", ""), "current"), known)
    except (ValueError, AttributeError, TypeError, InvalidEnvironment) as error:
        message = f"the contexts in {path} are not valid: {_reason(error)}; correct the file, or delete it and add them again with mintaka context add"
        raise InvalidEnvironment(message) from error


def _reason(error: Exception) -> str:
    return "it is not an object with the members current and contexts" if isinstance(error, AttributeError) else str(error)


def _context(name: str, entry: Any) -> Context:
    if not isinstance(entry, dict) or ("server" in entry) == ("cluster" in entry) or not entry.keys() <= _MEMBERS:
        message = f"context {name!r} must have either server, with token_file or token, or cluster"
        raise ValueError(message)
    values = {member: _text(value, f"{member} of context {name!r}") for member, value in entry.items()}
    if "server" in values:
        values["server"] = checked_url(values["server"], f"server of context {name!r}")
    return Context(name, **values)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        message = f"{what} is not a string"
        raise TypeError(message)
    return value
