"""`mintaka deliver`: take in history that a process could not deliver before it ended."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mintaka.cli.parsing import JsonOption
from mintaka.cli.showing import console, print_json
from mintaka.histories import HistoryError
from mintaka.persisting.result_storage import storage_of
from mintaka.recording.homes import home
from mintaka.recording.launching import sink_to
from mintaka.recording.leftover_places import UPLOADED, LocalLeftover, local_leftovers, uploaded_leftovers
from mintaka.recording.leftovers import deliver_all
from mintaka.recording.spool import OWNER
from mintaka.recording.spool_locks import LOCK, FolderLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka.recording.leftover_places import Leftover

EPILOG = """
Examples:
  mintaka deliver                               what scripts left on this machine
  mintaka deliver s3://bucket/results           what pods left in their storage of results
  mintaka deliver ./spool                       a folder that was copied out of a pod
"""
EXIT_CODES = "0 all is delivered; 1 something is left; 2 called wrongly, or history is switched off"
LEFT = 1


def command(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PLACE", help="Folders with spools, or storages of results (URLs). Default: the spools of scripts on this machine."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Deliver history that was left on disk or in storages of results to the API of MINTAKA_API_URL, or into the local
    database; exit code 1 where some of it could not be delivered.
    """
    where = home()
    if not where.api_url and where.database is None:
        message = "history is switched off (MINTAKA_HISTORY=off), so it can be delivered nowhere"
        raise HistoryError(message)
    sink = sink_to(where)
    ends: Counter[str] = Counter()
    for place in places or [""]:
        found = _at(place) if place else _of_scripts(where.spool, sink.destination, ends)
        ends += deliver_all(found, sink)
    if json:
        print_json(ends)
    else:
        told = ", ".join(f"{count} {end}" for end, count in ends.items()) or "nothing was left"
        console().print(f"to {sink.destination}: {told}", markup=False)
    if ends.total() > ends["delivered"] + ends["elsewhere"]:
        sys.exit(LEFT)


def _of_scripts(folder: Path, destination: str, ends: Counter[str]) -> Iterator[Leftover]:
    """What scripts of this machine left that was to go there; what was to go elsewhere is counted."""
    for leftover in _locked(folder):
        if leftover.owner().destination == destination:
            yield leftover
        else:
            ends["elsewhere"] += 1


def _at(place: str) -> Iterator[Leftover]:
    """Everything at a place, wherever it was to go."""
    folder = Path(place)
    if "://" not in place and not folder.is_dir():
        message = f"there is no folder {place}: name the one that a process told of, or a storage of results"
        raise HistoryError(message)
    if (folder / OWNER).is_file():
        lock = FolderLock.of(folder)
        if not (folder / LOCK).exists():  # a copy
            yield LocalLeftover(folder)
        elif lock is not None:
            try:
                yield LocalLeftover(folder)
            finally:
                lock.release()
    elif "://" in place or (folder / UPLOADED).is_dir():
        yield from uploaded_leftovers(storage_of(place))
    else:
        yield from _locked(folder)


def _locked(folder: Path) -> Iterator[Leftover]:
    for leftover, lock in local_leftovers(folder):
        try:
            yield leftover
        finally:
            lock.release()
