"""What a pod could not deliver goes to its storage of results before it ends, since its own disk goes with it.

There it lies as `spools/NAME`, until the next pod with that storage takes it in (`mintaka.recording.leftovers_of_pods`), or `mintaka deliver URL`.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from time import monotonic

from mintaka.exceptions import ResultError
from mintaka.logging import UNRECORDED
from mintaka.persisting.result_storage import storage_of
from mintaka.recording.leftover_places import UPLOADED
from mintaka.recording.spool import OWNER, PATTERN

logger = logging.getLogger(UNRECORDED)


def uploaded(spool: str, url: str, deadline: float) -> str:
    """Where the spool's folder is from now on: at `url`, or still where it is, where it could not be brought there until
    `deadline` (`time.monotonic()`).
    """
    folder = Path(spool)
    told: list[str] = []
    # A storage may hang; the pod's end must not.
    thread = threading.Thread(target=lambda: told.append(_brought(folder, url)), name="mintaka-spool", daemon=True)
    thread.start()
    thread.join(max(deadline - monotonic(), 0))
    if not told:
        logger.error("history that was not delivered could not be brought to %s in time", url)
    return (told and told[0]) or spool


def _brought(folder: Path, url: str) -> str:
    """Copy all files; "" where that fails."""
    try:
        storage = storage_of(url)
        for path in (*sorted(folder.glob(PATTERN)), folder / OWNER):
            storage.write(f"{UPLOADED}/{folder.name}/{path.name}", path.read_bytes())
    except (ResultError, OSError) as error:
        logger.error("history that was not delivered cannot be brought to %s: %s", url, error)  # noqa: TRY400 - the message says it all
        return ""
    return f"{storage.url}/{UPLOADED}/{folder.name}"
