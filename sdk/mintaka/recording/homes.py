"""Where a flow's history goes and which place a command uses, as set in the environment. The first entry that applies counts.

| | meaning |
| --- | --- |
| `MINTAKA_HISTORY=off` | nowhere |
| `MINTAKA_CONTEXT` (`--context` of a command) | the place that this context names (`mintaka.recording.contexts`) |
| `MINTAKA_API_URL` | this API, over HTTP |
| the current context | the place that it names: `mintaka context use NAME` |
| the server that runs on `MINTAKA_HOME` | for commands: flows that scripts call are recorded into its file without it |
| `MINTAKA_DATABASE_URL` | this file: `sqlite:///relative/path`, `sqlite:////absolute/path` |
| `MINTAKA_HOME` | `history.db` in this folder (default: `mintaka` in the user's data folder); the spool is here as well |

`MINTAKA_NAMESPACE` is the namespace of runs, variables and limits (default: `local`). A context that is a cluster is for commands:
flows that are called on this machine are recorded into its file. How tokens are found: `mintaka.recording.api_access`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mintaka.environment import InvalidEnvironment
from mintaka.recording.contexts import contexts
from mintaka.recording.data_folder import data_folder
from mintaka_core.errors import InvalidNameError
from mintaka_core.names import checked_namespace

if TYPE_CHECKING:
    from collections.abc import Mapping

_OFF = frozenset({"0", "off", "no", "false", "none"})
_SQLITE = "sqlite:///"
#: The namespace of runs that are in no cluster, if the environment states none.
NAMESPACE = "local"


@dataclass(frozen=True, slots=True)
class Home:
    """Where history goes, and the `namespace` of runs, variables and limits. `api_url` "" and `database` None: nowhere.

    For commands, both: the server of this machine, and the file that scripts write beside it; `cluster` is the context of kubectl
    that is used ("" its current one), None: no cluster.
    """

    folder: Path
    api_url: str
    database: Path | None
    namespace: str = NAMESPACE
    cluster: str | None = None

    @property
    def spool(self) -> Path:
        """The folder for what could not be delivered."""
        return self.folder / "spool"


def home(variables: Mapping[str, str] = os.environ) -> Home:
    """Where flows are recorded that are called in this process.

    Raises:
        InvalidEnvironment: MINTAKA_DATABASE_URL does not name an SQLite file, MINTAKA_NAMESPACE is not the name of a namespace, there is no
            such context, or the file with contexts cannot be understood.
    """
    folder, namespace = data_folder(variables), _namespace(variables.get("MINTAKA_NAMESPACE") or NAMESPACE)
    if variables.get("MINTAKA_HISTORY", "").lower() in _OFF:
        return Home(folder, "", None, namespace)
    context = contexts(folder).chosen(variables)
    if context is None and (url := variables.get("MINTAKA_API_URL", "")):
        return Home(folder, url, None, namespace)
    if context is not None and context.server:
        return Home(folder, context.server, None, namespace)
    return Home(folder, "", _database(variables.get("MINTAKA_DATABASE_URL", ""), folder), namespace)


def command_home(variables: Mapping[str, str] = os.environ) -> Home:
    """The place that a command uses: a cluster, the server of this machine, or else `home`.

    Raises:
        InvalidEnvironment: as of `home`.
    """
    named = variables.get("MINTAKA_CONTEXT")
    where = home({**variables, "MINTAKA_HISTORY": ""} if named else variables)
    context = contexts(where.folder).chosen(variables)
    if context is not None and context.cluster is not None:
        return replace(where, api_url="", cluster=context.cluster)
    if where.api_url:
        return where
    from mintaka.server_address import running_server  # noqa: PLC0415 - start-up time: not for flows

    server = running_server(where.folder)
    return where if server is None else replace(where, api_url=server.url)


def _namespace(name: str) -> str:
    try:
        return checked_namespace(name)
    except InvalidNameError as error:
        message = f"MINTAKA_NAMESPACE: {error}"
        raise InvalidEnvironment(message) from error


def _database(url: str, folder: Path) -> Path:
    if not url:
        return folder / "history.db"
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        message = (
            f"MINTAKA_DATABASE_URL names {_kind(url)}: a script keeps its history in a SQLite file, sqlite:///FILE; "
            "for another database, run the API on it and set MINTAKA_API_URL"
        )
        raise InvalidEnvironment(message)
    return Path(url.removeprefix(_SQLITE)).expanduser().absolute()


def _kind(url: str) -> str:
    """What a URL is of, without what may be a password."""
    scheme, separator, _ = url.partition("://")
    return f"a database of {scheme!r}" if separator and scheme.replace("+", "").isalnum() and scheme != "sqlite" else "no file"
