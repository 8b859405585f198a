"""The folder of this user's data: history, spool, contexts, the files of the server of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def data_folder(variables: Mapping[str, str] = os.environ) -> Path:
    """MINTAKA_HOME, else `mintaka` in the folder that the platform has for users' data."""
    return Path(variables.get("MINTAKA_HOME") or _of_platform(variables)).expanduser()


def _of_platform(variables: Mapping[str, str]) -> Path:
    if os.name == "nt":
        return Path(variables.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "mintaka"
    return Path(variables.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "mintaka"
