"""The folders of all attempts, `processes/RUN-UID-ATTEMPT` under the server's home: found, created, ended and removed.

Blocking: to be called in threads.
"""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mintaka_api.local.processes.attempt_folder import BEGUN, ENDED, KILL, STARTED, STOP, SUPERVISOR_ERROR, AttemptFolder
from mintaka_api.local.processes.leftovers import end_holders
from mintaka_api.local.processes.output import OUTPUT, stamp
from mintaka_api.local.processes.process_view import ProcessView
from mintaka_api.local.processes.supervisor import boot_id
from mintaka_core.json_values import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mintaka_api.local.processes.attempt_folder import Record

#: How the names of folders begin whose removal has begun.
_REMOVED = ".removed-"
#: Longer reports are not reports.
_REPORT_BYTES = 12 * 1024
#: Errors of the machine, not of the file: a verdict that is reached without the report would be wrong.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})


class AttemptStore:
    """The folders under `home`, which is created with the first of them."""

    def __init__(self, home: Path) -> None:
        self._root = home / "processes"

    def folder(self, run_uid: str, attempt: int) -> AttemptFolder:
        """The folder of an attempt, whether it exists or not."""
        return AttemptFolder(str(self._root / f"{run_uid}-{attempt}"))

    def create(self, folder: AttemptFolder, files: Mapping[str, bytes], notes: Iterable[str] = ()) -> None:
        """Create an attempt's folder with its source and the beginning of its output, or reuse one that no supervisor has begun to serve.

        Raises FileExistsError if one has, and OSError.
        """
        path = Path(folder.path)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        if (path / BEGUN).exists():
            raise FileExistsError(str(path))
        folder.make_fifos()
        Path(folder.work).mkdir(mode=0o700, exist_ok=True)
        for name, content in files.items():
            file = Path(folder.source) / name
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write_bytes(content)
        for note in notes:
            with Path(folder.file(OUTPUT)).open("ab") as output:
                output.write(stamp() + f"{note}\n".encode())

    def all(self) -> list[AttemptFolder]:
        """Every folder that a supervisor has begun to serve; others, of requests that will never be served or of interrupted removals, are deleted."""
        found = []
        for path in sorted(self._root.iterdir()) if self._root.is_dir() else []:
            folder = AttemptFolder(str(path))
            if path.name.startswith(_REMOVED):
                shutil.rmtree(path, ignore_errors=True)
            elif (path / BEGUN).exists():
                found.append(folder)
            else:
                with suppress(OSError):  # the claim needs space on the disk
                    self.abandon(folder)
        return found

    def abandon(self, folder: AttemptFolder) -> bool:
        """Remove a folder, unless a supervisor has begun to serve it; True if it is gone. Raises OSError."""
        try:
            if not folder.claim({"abandoned": True}):
                return False
        except FileNotFoundError:
            return True
        self.remove(folder)
        return True

    def remove(self, folder: AttemptFolder) -> None:
        """Delete a folder. It is renamed first: a removal that is interrupted leaves no attempt, and no late supervisor serves it.

        Raises OSError.
        """
        path = Path(folder.path)
        removed = path.with_name(f"{_REMOVED}{uuid4().hex}")
        folder.send(KILL)
        try:
            path.rename(removed)
        except FileNotFoundError:
            return
        shutil.rmtree(removed, ignore_errors=True)

    def view(self, folder: AttemptFolder) -> ProcessView | None:
        """What is recorded; None if no supervisor has begun to serve it. Raises OSError."""
        requested = self.request(folder)
        return None if requested is None else self.view_again(folder, requested)

    def request(self, folder: AttemptFolder) -> ProcessView | None:
        """Only whose attempt it is; None if no supervisor has begun to serve it. Raises OSError."""
        begun = folder.read(BEGUN)
        return ProcessView(begun) if begun is not None and "uid" in begun else None

    def view_again(self, folder: AttemptFolder, view: ProcessView) -> ProcessView:
        """What is recorded now; what `view` has read remains known if the folder is removed. Raises OSError."""
        return ProcessView(
            view.request,
            folder.read(STARTED) or view.started,
            folder.read(STOP) or view.stop,
            folder.read(ENDED) or view.ended,
            self._text_of(folder.report) or view.report_text,
        )

    def _text_of(self, path: str) -> str:
        """The beginning of a file; "" if there is none, or none that can be read. Raises OSError if that may change."""
        try:
            with Path(path).open("rb") as file:
                return file.read(_REPORT_BYTES).decode(errors="replace")
        except OSError as error:
            if error.errno in _PASSING:
                raise
            return ""

    def settle_lost(self, folder: AttemptFolder, request: Mapping[str, Any]) -> Record | None:
        """Record the end of an attempt whose supervisor is gone, after ending its remaining processes; None if a supervisor still runs.

        `request` is the attempt's, as it was read when it began. Returns the end, which is not recorded if the folder was
        removed. Raises OSError.
        """
        lives = folder.has_supervisor()
        ended = folder.read(ENDED)  # after that: a supervisor that is gone records nothing more
        if ended is not None or lives:
            return ended
        boot = text(request.get("boot"))
        restarted = bool(boot) and boot != boot_id()
        remaining = [] if restarted else end_holders(text(request.get("token")))
        error = self._text_of(folder.file(SUPERVISOR_ERROR))
        lost = {"lost": True, "machine_restarted": restarted, "time": time(), "remaining": remaining, "supervisor_error": error}
        return _record_end(folder, lost)

    def request_stop(self, folder: AttemptFolder, grace_seconds: float) -> None:
        """Record that an attempt is to stop, once. Raises OSError."""
        if folder.read(STOP) is None:
            folder.write(STOP, {"time": time(), "grace_seconds": grace_seconds})

    def give_up(self, folder: AttemptFolder) -> Record:
        """Record that the process cannot be killed and its end is no longer awaited; returns the end. Raises OSError."""
        now = time()
        return folder.read(ENDED) or _record_end(folder, {"given_up": True, "asked": now, "time": now})


def _record_end(folder: AttemptFolder, end: Record) -> Record:
    """Record an end, unless the folder was removed: then it is in memory only. Raises OSError."""
    with suppress(FileNotFoundError, NotADirectoryError):
        folder.write(ENDED, end)
    return end
