"""The operator's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from mintaka_operator.transition_reasons import reason_class

API_REQUESTS = Counter(
    "mintaka_operator_api_requests_total", "Requests to the API server; code 0: it could not be reached", ["verb", "resource", "code"]
)
QUEUE_DEPTH = Gauge("mintaka_operator_queue_depth", "Keys waiting to be reconciled")
QUEUE_LATENCY = Histogram(
    "mintaka_operator_queue_latency_seconds",
    "From a key's being due to its reconciling",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
)
RECONCILE_SECONDS = Histogram(
    "mintaka_operator_reconcile_seconds",
    "How long reconciling a key takes, its requests included",
    ["kind"],
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)
RECONCILE_ERRORS = Counter("mintaka_operator_reconcile_errors_total", "Reconciles that failed and are tried again", ["kind"])
TRANSITIONS = Counter(
    "mintaka_operator_transitions_total", "Transitions of flow runs; reason `other`: one that the flow or its pod made up", ["to", "reason"]
)
RUNS = Gauge("mintaka_operator_flow_runs", "Flow runs in the cluster by state type", ["state"])
MISSED_EVENTS = Counter("mintaka_operator_missed_events_total", "Changes found by listing that no watch had reported", ["resource"])
RESYNC_SECONDS = Gauge("mintaka_operator_resync_seconds", "How long the last comparison of all objects with the cluster took")
WATCH_RESTARTS = Counter("mintaka_operator_watch_restarts_total", "Watches begun anew", ["resource"])
LEADING = Gauge("mintaka_operator_leading", "1 while this replica holds the Lease")
WAITING = Gauge("mintaka_operator_waiting_flow_runs", "Flow runs whose pod could not be created yet: quota, limits, unavailable webhooks")
UNREADABLE = Counter("mintaka_operator_unreadable_objects_total", "Objects that could not be processed as they are", ["resource"])


def count_transition(to: str, reason: str) -> None:
    """Count a transition of a flow run; reasons that flows and pods define count as `other`."""
    TRANSITIONS.labels(to, reason_class(reason)).inc()
