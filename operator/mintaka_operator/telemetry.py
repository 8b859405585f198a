"""The controller's measurements as Prometheus metrics: its port `Telemetry`."""

from __future__ import annotations

from mintaka_operator import metrics

_PLURALS = {"run": "flowruns", "deployment": "flowdeployments", "workload": "pods"}


class PrometheusTelemetry:
    """Counts in the metrics of this process."""

    def waited_in_queue(self, seconds: float) -> None:
        """A key waited this long for a worker."""
        metrics.QUEUE_LATENCY.observe(seconds)

    def reconciled(self, kind: str, seconds: float) -> None:
        """A key was reconciled in this many seconds."""
        metrics.RECONCILE_SECONDS.labels(kind).observe(seconds)

    def failed(self, kind: str) -> None:
        """Reconciling a key failed and is retried."""
        metrics.RECONCILE_ERRORS.labels(kind).inc()

    def transitioned(self, to: str, reason: str) -> None:
        """A flow run made a transition."""
        metrics.count_transition(to, reason)

    def missed(self, kind: str, count: int) -> None:
        """A listing showed changes that no watch had reported."""
        metrics.MISSED_EVENTS.labels(_PLURALS[kind]).inc(count)

    def resynced(self, seconds: float) -> None:
        """Comparing the caches with the cluster took so many seconds, the waits for late events not counted."""
        metrics.RESYNC_SECONDS.set(seconds)
