"""Where a script's history goes, and in which namespace its runs are, by what the environment says.

| variable | meaning |
| --- | --- |
| `MINTAKA_API_URL` | to this API, over HTTP |
| `MINTAKA_DATABASE_URL` | else into this file: `sqlite:///relative/path`, `sqlite:////absolute/path` |
| `MINTAKA_HOME` | else into `history.db` in this folder (default: `mintaka` in the user's data folder); the spool is here as well |
| `MINTAKA_HISTORY=off` | nowhere |
| `MINTAKA_NAMESPACE` | the namespace of runs, variables and limits (default: `local`) |
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mintaka.environment import InvalidEnvironment
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
    """Where history goes, and the `namespace` of runs, variables and limits. `api_url` "" and `database` None: nowhere."""

    folder: Path
    api_url: str
    database: Path | None
    namespace: str = NAMESPACE

    @property
    def spool(self) -> Path:
        """The folder for what could not be delivered."""
        return self.folder / "spool"


def home(variables: Mapping[str, str] = os.environ) -> Home:
    """What the environment says.

    Raises:
        InvalidEnvironment: MINTAKA_DATABASE_URL names no SQLite file, or MINTAKA_NAMESPACE is not the name of a namespace.
    """
    namespace = _namespace(variables.get("MINTAKA_NAMESPACE") or NAMESPACE)
    folder = Path(variables.get("MINTAKA_HOME") or _data_folder(variables)).expanduser()
    if variables.get("MINTAKA_HISTORY", "").lower() in _OFF:
        return Home(folder, "", None, namespace)
    if url := variables.get("MINTAKA_API_URL", ""):
        return Home(folder, url, None, namespace)
    return Home(folder, "", _database(variables.get("MINTAKA_DATABASE_URL", ""), folder), namespace)


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
            f"MINTAKA_DATABASE_URL={url!r}: a script keeps its history in a SQLite file, sqlite:///FILE; "
            "for another database, run the API on it and set MINTAKA_API_URL"
        )
        raise InvalidEnvironment(message)
    return Path(url.removeprefix(_SQLITE)).expanduser().absolute()


def _data_folder(variables: Mapping[str, str]) -> Path:
    """`mintaka` in the folder that the platform has for users' data."""
    if os.name == "nt":
        return Path(variables.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "mintaka"
    return Path(variables.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "mintaka"
