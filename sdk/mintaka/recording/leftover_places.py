"""Where history lies that a process left undelivered: folders of this machine, and storages of results that pods wrote to.

A folder's process may still live: it can be locked only when that is gone. What is in a storage cannot be locked, and may be taken
in by several at once, which does no harm.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from mintaka.recording.spool import OWNER, PATTERN, Owner
from mintaka.recording.spool_locks import KNOWS_THE_DEAD, FolderLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mintaka.persisting.result_storage import ResultStorage

#: Where spools lie in a storage of results.
UPLOADED = "spools"
SET_ASIDE = "set-aside"


class Leftover(Protocol):
    """What one process left. Its methods raise OSError or StorageError where it cannot be reached."""

    place: str

    def owner(self) -> Owner:
        """Whose it is; raises ValueError where that cannot be told."""

    def files(self) -> Sequence[str]:
        """The names of the files with reports, oldest first."""

    def read(self, name: str) -> bytes:
        """One of them."""

    def drop(self, name: str) -> None:
        """It was taken in."""

    def remove(self) -> None:
        """All was taken in."""

    def set_aside(self) -> str:
        """Nobody will take it in; where it is from now on."""


class LocalLeftover:
    """A folder of this machine, locked by us."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self._folder = folder

    def owner(self) -> Owner:
        """What its file says."""
        return Owner.decode((self._folder / OWNER).read_bytes())

    def files(self) -> Sequence[str]:
        """In the order of their numbers."""
        return sorted(path.name for path in self._folder.glob(PATTERN))

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self._folder / name).read_bytes()

    def drop(self, name: str) -> None:
        """Delete a file."""
        (self._folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def set_aside(self) -> str:
        """Move it."""
        aside = self._folder.parent / SET_ASIDE / self._folder.name
        aside.parent.mkdir(exist_ok=True)
        shutil.move(self._folder, aside)
        return str(aside)


class UploadedLeftover:
    """What a pod put into its storage of results; it may be taken in twice at once, which does no harm."""

    def __init__(self, storage: ResultStorage, name: str) -> None:
        self.place = f"{storage.url}/{UPLOADED}/{name}"
        self._storage = storage
        self._name = name

    def owner(self) -> Owner:
        """What its object says."""
        return Owner.decode(self._storage.read(f"{UPLOADED}/{self._name}/{OWNER}"))

    def files(self) -> Sequence[str]:
        """In the order of their numbers."""
        return sorted(name for name in self._storage.names(f"{UPLOADED}/{self._name}") if name != OWNER)

    def read(self, name: str) -> bytes:
        """The bytes of an object."""
        return self._storage.read(f"{UPLOADED}/{self._name}/{name}")

    def drop(self, name: str) -> None:
        """Delete an object."""
        self._storage.delete(f"{UPLOADED}/{self._name}/{name}")

    def remove(self) -> None:
        """Delete what is left."""
        self.drop(OWNER)

    def set_aside(self) -> str:
        """Copy, then delete."""
        for name in (*self.files(), OWNER):
            self._storage.write(f"{UPLOADED}-{SET_ASIDE}/{self._name}/{name}", self.read(name))
            self.drop(name)
        return f"{self._storage.url}/{UPLOADED}-{SET_ASIDE}/{self._name}"


def spools(folder: Path) -> list[Path]:
    """The spools in `folder`, those of living processes too; what was set aside is none."""
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if not each.name.startswith(".") and each.name != SET_ASIDE)


def local_leftovers(folder: Path) -> Iterator[tuple[LocalLeftover, FolderLock]]:
    """The spools in `folder` whose process is gone, each locked; whoever asks for the next one has to release it."""
    for each in spools(folder) if KNOWS_THE_DEAD else ():
        with suppress(OSError):
            if (lock := FolderLock.of(each)) is not None:
                yield LocalLeftover(each), lock


def uploaded_leftovers(storage: ResultStorage) -> Iterator[UploadedLeftover]:
    """The spools in a storage of results.

    Raises:
        StorageError: it cannot be read.
    """
    for name in storage.names(UPLOADED):
        yield UploadedLeftover(storage, name)
