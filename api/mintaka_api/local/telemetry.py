"""The controller's measurements as metrics of the local server: its port `Telemetry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60)


class LocalTelemetry:
    """Counts in the registry of the API; named as those of the operator, without `operator`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Create the metrics at zero."""
        self._waited = Histogram(
            "mintaka_queue_latency_seconds", "Time that a key waited for a worker.", buckets=_SECONDS, registry=registry
        )
        self._seconds = Histogram(
            "mintaka_reconcile_seconds", "Time to reconcile a resource.", ("kind",), buckets=_SECONDS, registry=registry
        )
        self._errors = Counter("mintaka_reconcile_errors", "Failed attempts to reconcile a resource.", ("kind",), registry=registry)
        self._transitions = Counter("mintaka_transitions", "State transitions of flow runs.", ("to",), registry=registry)
        self._missed = Counter("mintaka_missed_events", "Changes that only a listing showed.", ("kind",), registry=registry)

    def waited_in_queue(self, seconds: float) -> None:
        """A key waited this long for a worker."""
        self._waited.observe(seconds)

    def reconciled(self, kind: str, seconds: float) -> None:
        """A key was reconciled in this many seconds."""
        self._seconds.labels(kind).observe(seconds)

    def failed(self, kind: str) -> None:
        """Reconciling a key failed and is retried."""
        self._errors.labels(kind).inc()

    def transitioned(self, to: str, reason: str) -> None:
        """A flow run made a transition; reasons are those of users' exceptions, too many for labels."""
        del reason
        self._transitions.labels(to).inc()

    def missed(self, kind: str, count: int) -> None:
        """A listing showed changes that no event had reported."""
        self._missed.labels(kind).inc(count)

    def resynced(self, seconds: float) -> None:
        """Listings are local and too fast for a metric."""
