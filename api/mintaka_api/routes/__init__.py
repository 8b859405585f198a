"""The routes: parse, call, return. No SQL, no Kubernetes."""

from mintaka_api.routes import (
    attempts,
    batches,
    concurrency,
    container_logs,
    flow_deployments,
    flow_runs,
    health,
    intents,
    pauses,
    retention,
    stop_reasons,
    task_runs,
    variables,
)

ROUTERS = (
    health.router,
    flow_deployments.router,
    flow_runs.router,
    task_runs.router,
    batches.router,
    container_logs.router,
    stop_reasons.router,
    pauses.router,
    attempts.router,
    intents.router,
    variables.router,
    concurrency.router,
    retention.router,
)
