"""The routes: parse, call, return. No SQL, no Kubernetes."""

from mintaka_api.routes import (
    attempts,
    batches,
    browser,
    changes,
    concurrency,
    container_logs,
    counts,
    events,
    flow_deployments,
    flow_runs,
    health,
    intents,
    pauses,
    resources,
    retention,
    stop_reasons,
    task_runs,
    variables,
)

ROUTERS = (
    health.router,
    browser.router,
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
    variables.router,
    concurrency.router,
    retention.router,
    resources.router,
    events.router,
    changes.router,
)
