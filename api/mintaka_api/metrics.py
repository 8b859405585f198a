"""The API's Prometheus metrics, served at /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        """Create every metric at zero."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "mintaka_api_requests", "Requests by route and status.", ("method", "route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "mintaka_api_request_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.part_ill = Gauge(
            "mintaka_api_part_ill", "1 for each part of the API that has a problem; /readyz says which.", ("part",), registry=self.registry
        )
        self.background_failures = Counter(
            "mintaka_api_background_failures", "Background tasks that failed and were started again.", ("part",), registry=self.registry
        )
        self.ingested_reports = Counter("mintaka_ingested_reports", "Reports taken in.", registry=self.registry)
        self.ingested_rows = Counter("mintaka_ingested_rows", "Rows in reports taken in.", ("table",), registry=self.registry)
        self.refused_reports = Counter("mintaka_refused_reports", "Reports refused, by problem.", ("problem",), registry=self.registry)
        self.mirror_lag_seconds = Histogram(
            "mintaka_mirror_lag_seconds", "From seeing an object to having it committed.", buckets=_SECONDS, registry=self.registry
        )
        self.mirror_backlog = Gauge("mintaka_mirror_backlog", "Objects seen and not yet written.", registry=self.registry)
        self.mirror_oldest_seconds = Gauge(
            "mintaka_mirror_oldest_seconds", "How long the oldest of them has waited.", registry=self.registry
        )
        self.mirror_transitions = Counter("mintaka_mirror_transitions", "Transitions written.", registry=self.registry)
        self.mirror_gaps = Counter(
            "mintaka_mirror_gaps", "Flow runs of which transitions were lost before they were seen.", registry=self.registry
        )
        self.mirror_errors = Counter("mintaka_mirror_errors", "Batches that could not be written.", registry=self.registry)
        self.mirror_unreadable = Counter(
            "mintaka_mirror_unreadable", "Objects passed over because they make no sense.", registry=self.registry
        )
        self.mirror_acknowledged = Counter("mintaka_mirror_acknowledged", "Flow runs let go of after their commit.", registry=self.registry)

    def exposition(self) -> bytes:
        """The metrics in the Prometheus text format, version 0.0.4."""
        return generate_latest(self.registry)
