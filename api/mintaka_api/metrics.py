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
            "mintaka_api_requests", "Requests by method, route and status.", ("method", "route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "mintaka_api_request_seconds",
            "Time from receiving a request to its response.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.part_unhealthy = Gauge(
            "mintaka_api_part_unhealthy",
            "1 for a part of the API that has a problem, 0 for one that has none; /readyz describes the problem.",
            ("part",),
            registry=self.registry,
        )
        self.background_failures = Counter(
            "mintaka_api_background_failures",
            "Failures of background tasks; each failed task is restarted.",
            ("part",),
            registry=self.registry,
        )
        self.leading = Gauge(
            "mintaka_api_leading",
            "1 for the replica that mirrors the cluster and maintains the database, 0 for others.",
            registry=self.registry,
        )
        self.ingested_reports = Counter("mintaka_ingested_reports", "Reports accepted and stored.", registry=self.registry)
        self.ingested_rows = Counter("mintaka_ingested_rows", "Rows in the accepted reports, by table.", ("table",), registry=self.registry)
        self.refused_reports = Counter("mintaka_refused_reports", "Rejected reports, by problem.", ("problem",), registry=self.registry)
        self.mirror_lag_seconds = Histogram(
            "mintaka_mirror_lag_seconds",
            "Time from receiving a change of an object to its commit in the database.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.mirror_backlog = Gauge(
            "mintaka_mirror_backlog", "Changed objects that are not yet written to the database.", registry=self.registry
        )
        self.mirror_oldest_seconds = Gauge(
            "mintaka_mirror_oldest_seconds", "Age of the oldest change that is not yet written to the database.", registry=self.registry
        )
        self.mirror_transitions = Counter(
            "mintaka_mirror_transitions", "Transitions of flow runs written to the database.", registry=self.registry
        )
        self.mirror_gaps = Counter(
            "mintaka_mirror_gaps", "Flow runs of which transitions were lost before the mirror received them.", registry=self.registry
        )
        self.mirror_errors = Counter("mintaka_mirror_errors", "Batches that could not be written to the database.", registry=self.registry)
        self.mirror_unreadable = Counter("mintaka_mirror_unreadable", "Objects skipped because they are invalid.", registry=self.registry)
        self.mirror_taken_over = Counter(
            "mintaka_mirror_taken_over", "Flow runs whose row belonged to another cluster.", registry=self.registry
        )
        self.mirror_acknowledged = Counter(
            "mintaka_mirror_acknowledged", "Flow runs whose finalizer was removed after their commit.", registry=self.registry
        )
        self.maintenance_seconds = Histogram(
            "mintaka_maintenance_seconds", "Duration of a pass of a maintenance job.", ("job",), buckets=_SECONDS, registry=self.registry
        )
        self.maintenance_success = Gauge(
            "mintaka_maintenance_last_success_timestamp_seconds",
            "Time of the last pass of a maintenance job that did not fail, by this process.",
            ("job",),
            registry=self.registry,
        )
        self.retention_rows = Counter(
            "mintaka_retention_deleted_rows",
            "Rows deleted because their flow runs were due, by table; estimated for dropped partitions.",
            ("table",),
            registry=self.registry,
        )
        self.retention_partitions = Counter("mintaka_retention_dropped_partitions", "Partitions dropped.", registry=self.registry)
        self.default_partition_rows = Gauge(
            "mintaka_default_partition_rows",
            "Rows of a table in its default partition, up to 10,000: their week had no partition when they were written.",
            ("table",),
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """The metrics in the Prometheus text format, version 0.0.4."""
        return generate_latest(self.registry)
