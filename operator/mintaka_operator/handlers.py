"""The only kopf decorators: low-level event handlers that only put a key into the work queue.

They serve flow deployments, the kind with a low event rate; flow runs and pods come through the informer of
mintaka_kubernetes, which costs a tenth.

kopf never writes here: progress and diffbase storages are null, and there are no create/update/field handlers, timers,
daemons or indices, so kopf never adds an annotation or finalizer to a run. kopf runs in a thread with its own event loop,
because on exit it cancels every task of its loop; some watch errors end it, hence the supervision.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from typing import TYPE_CHECKING, Any

import kopf
import uvloop

from mintaka_core.names import GROUP, VERSION
from mintaka_kubernetes.client import open_session
from mintaka_operator import metrics
from mintaka_operator.kopf_decoding import GuardedResponse, packed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mintaka_kubernetes import Credentials
    from mintaka_operator.kopf_decoding import Packed

_logger = logging.getLogger(__name__)
#: kopf's session holds a whole page in memory, and an object may have 1.5 MiB.
_PAGE_SIZE = 20
#: Each worker holds the text of an object, at most 256 KiB and its status, until it has been idle for a while.
_WORKERS, _IDLE_SECONDS = 50, 0.0125

#: event type (None while listing), object
type Observe = "Callable[[str | None, Packed], None]"

#: How often kopf's thread checks whether it must stop, and whether the served namespaces have changed.
_STOP_SECONDS = 0.2
_SCOPE_SECONDS = 10.0


class _NoProgress(kopf.ProgressStorage):
    """There is no progress to store: reconciling is level-triggered."""

    def fetch(self, *, key: Any, body: Any) -> None:
        """Return nothing: nothing is stored."""

    def store(self, *, key: Any, record: Any, body: Any, patch: Any) -> None:
        """Store nothing."""

    def purge(self, *, key: Any, body: Any, patch: Any) -> None:
        """Do nothing: nothing is stored."""

    def touch(self, *, body: Any, patch: Any, value: Any) -> None:
        """Store nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Nothing to clear."""
        return essence


class _NoDiffBase(kopf.DiffBaseStorage):
    """No last-handled configuration: it would copy the whole object for each event and write it back as an annotation."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:  # noqa: ARG002 - kopf's signature
        """No essence."""
        return {}

    def fetch(self, *, body: Any) -> None:
        """Return nothing: nothing is stored."""

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Store nothing."""


class _Forever:
    """Infinite retry delays for kopf's requests, so that no outage ends the operator."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.2, 0.5, 1.0, 2.0, 5.0), itertools.repeat(10.0))


def build_registry(credentials: Credentials, observe: Observe) -> kopf.OperatorRegistry:
    """Handlers that pass every event of our resources to `observe`."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        # kopf closes the session and logs in again when its token has expired (401).
        await asyncio.to_thread(credentials.refresh)
        headers = {"user_agent": "mintaka-operator (kopf)", **credentials.headers}
        session = open_session(credentials, response_class=GuardedResponse, **headers)
        return kopf.AiohttpSession(server=credentials.server, aiohttp_session=session)

    @kopf.on.event(GROUP, VERSION, "flowdeployments", registry=registry)
    async def on_flow_deployment(event: Any, **_: Any) -> None:
        observe(event["type"], packed_of(event["object"]))

    return registry


def build_settings() -> kopf.OperatorSettings:
    """Kopf without writes, without peering, and with infinite retries."""
    settings = kopf.OperatorSettings()
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.finalizer = f"{GROUP}/unused-by-kopf"
    settings.persistence.consistency_timeout = 0
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    # Both or neither: a limit with the long default idle time caps the event rate (measured).
    settings.queueing.worker_limit, settings.queueing.idle_timeout = _WORKERS, _IDLE_SECONDS
    settings.watching.chunk_size = _PAGE_SIZE
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Forever()
    return settings


class KopfThread:
    """Runs kopf in its own thread, and restarts it when it ends or when the served namespaces change.

    `served` returns the namespaces to watch, (None,) for the whole cluster; it is called from the thread.
    """

    def __init__(self, credentials: Credentials, served: Callable[[], tuple[str | None, ...]], observe: Observe) -> None:
        self._credentials = credentials
        self._served = served
        self._observe = observe
        self._stop = threading.Event()
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="kopf", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and wait for the end of the thread, if it was started."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _supervise(self) -> None:
        while not self._stop.is_set():
            namespaces = self._served()
            if not namespaces:
                self.ready.set()  # nothing can be watched: the informers report that
                self._stop.wait(_SCOPE_SECONDS)
                continue
            try:
                uvloop.run(self._run(namespaces))
            except Exception:  # whatever ends kopf, the operator continues to watch
                _logger.exception("kopf ended; starting it again")
            if not self._stop.wait(1.0):
                metrics.WATCH_RESTARTS.labels("kopf").inc()

    async def _run(self, namespaces: tuple[str | None, ...]) -> None:
        ended = asyncio.Event()
        scope: dict[str, Any] = {"clusterwide": True} if None in namespaces else {"namespaces": namespaces}
        watcher = asyncio.create_task(self._watch_scope(namespaces, ended))
        try:
            await kopf.operator(
                registry=build_registry(self._credentials, self._observe),
                settings=build_settings(),
                standalone=True,
                identity="mintaka-operator",  # type: ignore[arg-type] # else kopf asks for the user's name, which a bare uid does not have
                stop_flag=ended,
                ready_flag=self.ready,
                **scope,
            )
        finally:
            watcher.cancel()

    async def _watch_scope(self, namespaces: tuple[str | None, ...], ended: asyncio.Event) -> None:
        """Set `ended` when the operator stops or the served namespaces change."""
        since = 0.0
        while not self._stop.is_set() and (since < _SCOPE_SECONDS or self._served() == namespaces):
            since = 0.0 if since >= _SCOPE_SECONDS else since + _STOP_SECONDS
            await asyncio.sleep(_STOP_SECONDS)
        ended.set()
