"""Storages of results by the names that Prefect's users know; a URL or folder as `result_storage` does the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintaka.persisting.result_storage import ResultStorage

if TYPE_CHECKING:
    from os import PathLike


class LocalFileSystem(ResultStorage):
    """A folder (None: the working directory)."""

    def __init__(self, basepath: str | PathLike[str] | None = None) -> None:
        super().__init__(Path(basepath or ".").expanduser().absolute())

    def save(self, name: str = "", *, overwrite: bool = False) -> None:
        """Nothing: a storage need not be saved to be used."""


class RemoteFileSystem(ResultStorage):
    """Whatever fsspec reaches at `basepath`, a URL, with `settings` for its file system."""

    def __init__(self, basepath: str, settings: dict[str, Any] | None = None) -> None:
        super().__init__(basepath, **(settings or {}))

    def save(self, name: str = "", *, overwrite: bool = False) -> None:
        """Nothing: a storage need not be saved to be used."""
