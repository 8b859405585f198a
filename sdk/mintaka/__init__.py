"""Mintaka: flows are functions, runs are resources.

    from mintaka import flow, task

    @task(retries=3)
    def add(a: int, b: int) -> int:
        return a + b

    @flow
    def sums(n: int = 3) -> int:
        return sum(add.map(range(n), 1).result())

Called from a script, a flow just runs. In a pod, the operator starts it with `python -m mintaka.runner`, and its task runs
and logs go to the API. `import mintaka` loads nothing heavy: pydantic, asyncio and the network come when they are needed.
"""

from mintaka import early_sigterm  # noqa: F401 - before what takes time, not in its order

# isort: split
from mintaka import runtime, states
from mintaka.annotations import allow_failure, opaque, quote, unmapped
from mintaka.context import tags
from mintaka.engine.retries import exponential_backoff
from mintaka.flow_runs import apause_flow_run, aresume_flow_run, asuspend_flow_run, pause_flow_run, resume_flow_run, suspend_flow_run
from mintaka.flows import Flow, flow
from mintaka.futures import Future, FutureList, as_completed, wait
from mintaka.logging import get_run_logger
from mintaka.serving.deployable import aserve, deploy, serve
from mintaka.states import Cancelled, Completed, Failed, State
from mintaka.task_runners import ThreadPoolTaskRunner
from mintaka.tasks import Task, task

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Completed",
    "Failed",
    "Flow",
    "Future",
    "FutureList",
    "State",
    "Task",
    "ThreadPoolTaskRunner",
    "allow_failure",
    "apause_flow_run",
    "aresume_flow_run",
    "as_completed",
    "aserve",
    "asuspend_flow_run",
    "deploy",
    "exponential_backoff",
    "flow",
    "get_run_logger",
    "opaque",
    "pause_flow_run",
    "quote",
    "resume_flow_run",
    "runtime",
    "serve",
    "states",
    "suspend_flow_run",
    "tags",
    "task",
    "unmapped",
    "wait",
]
