"""`spec.resumeFrom`: under which uid the results of the finished tasks are kept that a run takes over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core.resources import FlowRun
from mintaka_core.states import FAILED
from mintaka_core.workloads import CreateError
from mintaka_operator import paths
from mintaka_operator.cluster import ApiError

if TYPE_CHECKING:
    from mintaka_operator.world import World

_NOT_FOUND = 404
_REASON = "InvalidResume"
#: Both runs may be applied together, in any order.
_SOON = timedelta(seconds=10)


async def resolved(world: World, run: FlowRun) -> tuple[str, CreateError | None]:
    """The uid ("": the run's own), or why there is none. Once the run has started, what it found then holds.

    A run that was itself resumed from another keeps its results where that one does.
    """
    name, namespace = run.spec.resume_from, run.metadata.namespace
    if not name or run.status.resumed_from:
        return run.status.resumed_from, None
    if name == run.metadata.name:
        return "", CreateError(_REASON, "spec.resumeFrom names the run itself: raise spec.reruns to run it again", FAILED)
    if world.runs.get((namespace, name)) is None:
        try:
            world.runs.put(await world.cluster.get(paths.flow_runs(namespace, name)))
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            message = f"there is no FlowRun {name!r} in namespace {namespace!r}, which spec.resumeFrom names"
            return "", CreateError(_REASON, message, FAILED, _SOON)
    entry = world.runs.get((namespace, name))
    source = FlowRun.model_validate_json(entry.raw) if entry else None
    if source is None or not source.status.is_terminal:
        message = f"FlowRun {name!r}, which spec.resumeFrom names, has not ended: wait for its end, or cancel it"
        return "", CreateError(_REASON, message, FAILED, _SOON)
    return source.status.resumed_from or source.metadata.uid, None
