"""The routes: parse, call, return. No SQL, no Kubernetes."""

from mintaka_api.routes import attempts, concurrency, flow_deployments, flow_runs, health, intents, pauses, reports, task_runs, variables

ROUTERS = (
    health.router,
    flow_deployments.router,
    flow_runs.router,
    task_runs.router,
    reports.router,
    pauses.router,
    attempts.router,
    intents.router,
    variables.router,
    concurrency.router,
)
