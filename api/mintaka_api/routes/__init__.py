"""The routes: parse, call, return. No SQL, no Kubernetes."""

from mintaka_api.routes import (
    attempts,
    batches,
    changes,
    concurrency,
    container_logs,
    counts,
    events,
    flow_deployments,
    flow_runs,
    health,
    intents,
    new_runs,
    pauses,
    retention,
    stop_reasons,
    task_runs,
    variables,
)

ROUTERS = (
    health.router,
    flow_deployments.router,
    counts.router,  # before the routes of one flow run, whose paths begin alike
    flow_runs.router,
    task_runs.router,
    batches.router,
    container_logs.router,
    stop_reasons.router,
    pauses.router,
    attempts.router,
    intents.router,
    new_runs.router,
    variables.router,
    concurrency.router,
    retention.router,
    events.router,
    changes.router,
)
