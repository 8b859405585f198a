"""A flow that a script just calls: which run it is, where its history goes, and that it is durable when the call returns."""

from __future__ import annotations

import logging
import os
import sys
import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from mintaka.context import Launch
from mintaka.engine.cancelling import judging
from mintaka.environment import InvalidEnvironment
from mintaka.logging import UNRECORDED, record_run_loggers
from mintaka.recording.homes import Home, home

if TYPE_CHECKING:
    from mintaka.recording.recorder import Recorder
    from mintaka.recording.sinks import EmbeddedSink, Sink

logger = logging.getLogger(UNRECORDED)

#: How long a flow's end waits for its history, where nothing else is said in MINTAKA_HISTORY_GRACE_SECONDS.
_GRACE_SECONDS = 10.0
_GRACE = "MINTAKA_HISTORY_GRACE_SECONDS"

_lock = threading.Lock()
#: How often a process that runs one flow after the other looks for what others left, and when it last did.
_LOOK_SECONDS = 10.0
_looked_at = -_LOOK_SECONDS
_databases: dict[tuple[int, str], EmbeddedSink] = {}


def launched(flow: str, flow_run_id: str = "", attempt: int = 1) -> Launch:
    """A launch for a run of the flow called `flow` that nobody else has launched, a new one where no `flow_run_id` is given.

    Raises:
        InvalidEnvironment: MINTAKA_DATABASE_URL names no SQLite file, MINTAKA_NAMESPACE is not the name of a namespace, or
            MINTAKA_HISTORY_GRACE_SECONDS is not a duration.
    """
    where = home()
    launch = Launch(flow_run_id=flow_run_id or str(uuid4()), attempt=attempt, namespace=where.namespace, local=True, flow=flow, owned=True)
    _grace_seconds()  # a mistake in it is told before the flow begins, not when it is over
    if where.api_url or where.database is not None:
        launch.recorder = _recorder(where, launch)
        record_run_loggers()
    if where.database is not None:
        launch.judge = judging(where.database, launch.flow_run_id, launch.judge)
    return launch


def finished(launch: Launch) -> None:
    """The flow is over: wait until its history is durable, and say so where it could not be made so."""
    if not launch.owned:
        return
    delivery = launch.recorder.close(monotonic() + _grace_seconds())
    if delivery.reason is not None:
        if delivery.spool:
            logger.warning("the rest of the history of flow run %s is in %s", launch.flow_run_id, delivery.spool)
    elif delivery.lost:
        kept = f"the rest is in {delivery.spool}" if delivery.spool else "nothing is left to deliver"
        logger.error("the history of flow run %s is incomplete: %d lost, as said above; %s", launch.flow_run_id, delivery.lost, kept)
    elif not delivery.complete:
        told = "the next script, or mintaka deliver, takes it up"
        logger.warning("the history of flow run %s is not delivered yet: it is in %s; %s", launch.flow_run_id, delivery.spool, told)
    if launch.run is not None and launch.run.state.name == "Suspended":
        sys.stderr.write(f"flow run {launch.run.name} is suspended; it goes on with: mintaka resume {launch.flow_run_id}\n")


def _grace_seconds() -> float:
    given = os.environ.get(_GRACE) or ""
    try:
        seconds = float(given or _GRACE_SECONDS)
    except ValueError:
        seconds = -1
    if 0 <= seconds < inf:
        return seconds
    message = f"{_GRACE}={given!r} is no number of seconds: set it to 0 or more, or leave it out ({_GRACE_SECONDS:g})"
    raise InvalidEnvironment(message)


def _recorder(where: Home, launch: Launch) -> Recorder:
    from mintaka.recording.delivery import HistoryRecorder  # noqa: PLC0415 - start-up time: not before the first flow run
    from mintaka.recording.delivery_settings import DeliverySettings  # noqa: PLC0415

    settings = DeliverySettings(spool_folder=where.spool)
    _look_for_leftovers(where)
    return HistoryRecorder(sink_to(where), launch, settings)


def sink_to(where: Home) -> Sink:
    """The API or database that a home names."""
    from mintaka.recording.sinks import ApiSink  # noqa: PLC0415 - start-up time

    return ApiSink(where.api_url) if where.api_url else _embedded(where)


def _look_for_leftovers(where: Home) -> None:
    """Now and then: have the historian take in what processes left that are gone."""
    global _looked_at  # noqa: PLW0603 - once for the process
    if monotonic() < _looked_at + _LOOK_SECONDS or not where.spool.is_dir():
        return
    _looked_at = monotonic()
    from mintaka.recording.historian import historian  # noqa: PLC0415 - start-up time
    from mintaka.recording.leftovers import Leftovers  # noqa: PLC0415

    historian().add(Leftovers(where.spool, sink_to(where)))


def _embedded(where: Home) -> EmbeddedSink:
    """The one connection of this process to that file."""
    from mintaka.recording.sinks import EmbeddedSink  # noqa: PLC0415 - start-up time

    key = (os.getpid(), str(where.database))
    with _lock:
        sink = _databases.get(key)
        if sink is None and where.database is not None:
            sink = _databases[key] = EmbeddedSink(where.database)
    return sink  # type: ignore[return-value]
