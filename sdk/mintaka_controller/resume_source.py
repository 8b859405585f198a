"""`spec.resumeFrom`: the uid under which the results of the finished tasks are stored that a run reuses."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_controller.ports import Missing
from mintaka_controller.reading import read_run
from mintaka_core.states import FAILED
from mintaka_core.workloads import CreateError

if TYPE_CHECKING:
    from mintaka_controller.context import Context
    from mintaka_core.resources import FlowRun

_REASON = "InvalidResume"
#: Both runs may be applied together, in any order.
_SOON = timedelta(seconds=10)


async def find_resume_source(context: Context, run: FlowRun) -> tuple[str, CreateError | None]:
    """The uid ("": the run's own), or the reason if it cannot be found. Once the run has started, the uid does not change.

    A run that was itself resumed from another stores its results under the same uid as that one.
    """
    name, namespace = run.spec.resume_from, run.metadata.namespace
    if not name or run.status.resumed_from:
        return run.status.resumed_from, None
    if name == run.metadata.name:
        return "", CreateError(_REASON, "spec.resumeFrom names the run itself: raise spec.reruns to run it again", FAILED)
    key = (namespace, name)
    if context.runs.get(key) is None:
        try:
            context.observe_run(await context.ports.resources.read_run(key))
        except Missing:
            message = f"there is no FlowRun {name!r} in namespace {namespace!r}, which spec.resumeFrom names"
            return "", CreateError(_REASON, message, FAILED, _SOON)
    entry = context.runs.get(key)
    found = await read_run(context, key, entry) if entry else None
    if found is None or not found[0].status.is_terminal:
        message = f"FlowRun {name!r}, which spec.resumeFrom names, has not ended: wait for its end, or cancel it"
        return "", CreateError(_REASON, message, FAILED, _SOON)
    source = found[0]
    return source.status.resumed_from or source.metadata.uid, None
