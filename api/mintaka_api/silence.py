"""Scripts that report over HTTP and went silent are recorded as crashed.

Nobody watches over a script, and its process cannot be seen from here; so it says something every 15 s, be it that there is
nothing new, and one that was not heard of for `MINTAKA_SILENCE_SECONDS` is taken for dead. Silence counts only where it could
have been heard: after a time without the API or its database, everybody gets that long to speak again. Should a process that
was cut off speak again after all, its run goes on. One that suspended itself is no such case; it fails where nobody resumed it
in time. Runs in a cluster are not judged here: their end is the operator's to tell.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from mintaka_history.database import DatabaseAway
from mintaka_history.instants import now_microseconds
from mintaka_history.queries.health import answers
from mintaka_history.queries.silence import crash_silent, fail_overdue

if TYPE_CHECKING:
    from mintaka_history.database import Database

logger = logging.getLogger("mintaka.api")

#: How often it is looked in the time that somebody may be silent.
_LOOKS = 6


async def watch_for_silence(database: Database, silence_seconds: float) -> None:
    """Look for ever."""
    listening_since = monotonic()
    while True:
        await asyncio.sleep(silence_seconds / _LOOKS)
        try:
            if monotonic() - listening_since < silence_seconds:
                await database.read(answers)
                continue
            crashed = await database.write(crash_silent, now_microseconds() - round(silence_seconds * 1e6))
            await database.write(fail_overdue)
        except DatabaseAway:
            listening_since = monotonic()
            continue
        if crashed:
            logger.warning("%d flow runs outside of clusters were not heard of for %g s: crashed", crashed, silence_seconds)
