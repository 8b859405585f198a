"""What other pods could not deliver lies in the storage of results: the next pod with the same storage takes it in while it runs.

In a thread of its own, since a storage may hang, and for a bounded time, since the flow has better things to do. One list is all it
costs where there is nothing. Many pods that begin at once go through what is there in different orders, so that they rarely meet;
where they do, reports come twice, which does no harm.
"""

from __future__ import annotations

import logging
import threading
from random import sample
from time import monotonic
from typing import TYPE_CHECKING

from mintaka.exceptions import MissingResult, ResultError
from mintaka.logging import UNRECORDED
from mintaka.persisting.result_storage import storage_of
from mintaka.recording.leftover_places import UPLOADED, UploadedLeftover
from mintaka.recording.leftovers import deliver_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka.recording.sinks import Sink

logger = logging.getLogger(UNRECORDED)

_SECONDS = 60.0
_EXIT_SECONDS = 2.0


class LeftoversOfPods:
    """Takes in what lies in the storage at `url` and was to go to this very `sink`; nothing is begun after a minute."""

    def __init__(self, url: str, sink: Sink) -> None:
        self._url = url
        self._sink = sink
        self._until = monotonic() + _SECONDS
        self._thread = threading.Thread(target=self._take_in, name="mintaka-leftovers-of-pods", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """At the end of the process: wait a little, so that also short flows take in something, and begin nothing more."""
        self._until = min(self._until, monotonic() + _EXIT_SECONDS)
        self._thread.join(_EXIT_SECONDS)

    def _take_in(self) -> None:
        try:
            ends = deliver_all(self._left(), self._sink)
        except ResultError as error:
            logger.info("whether other runs left history in %s cannot be told: %s", self._url, error)
            return
        finally:
            self._sink.close()
        if ends["delivered"]:
            logger.info("history that %d attempts of runs left in %s is delivered", ends["delivered"], self._url)

    def _left(self) -> Iterator[UploadedLeftover]:
        storage = storage_of(self._url)
        names = storage.names(UPLOADED)
        for name in sample(names, len(names)):
            if monotonic() > self._until:
                return
            leftover = UploadedLeftover(storage, name)
            try:
                to = leftover.owner().destination
            except (MissingResult, ValueError):  # somebody else took it, or it is not yet written to its end
                continue
            if to == self._sink.destination:
                yield leftover
