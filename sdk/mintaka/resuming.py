"""Starting a flow run again: what is finished is taken from its persisted results, the rest runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.context import LAUNCH
from mintaka.entrypoints import load_flow
from mintaka.kept_runs import kept_run, parameters_of
from mintaka.launching import launched
from mintaka.result_settings import persisted_in

if TYPE_CHECKING:
    from mintaka.context import Launch
    from mintaka.flows import Flow
    from mintaka.result_settings import StorageLike
    from mintaka.states import State


class Resumed(NamedTuple):
    """The run that went on with another one, and the state it ended in."""

    flow_run_id: str
    state: State


def resume(
    flow_run_id: str, *, storage: StorageLike | None = None, entrypoint: str = "", parameters: dict[str, Any] | None = None
) -> Resumed:
    """Go on with a flow run in a new one, which shares its results.

    Args:
        flow_run_id: the run; its results have to be persisted.
        storage: where they are (default: where the environment says).
        entrypoint: the flow, where its code is somewhere else now.
        parameters: in place of those it had, by name.

    Raises:
        MissingResult: nothing is kept of that run.
        LoadError: the flow is not where it was.
    """
    run, store = kept_run(flow_run_id, storage)
    flow = load_flow(entrypoint or run.entrypoint)
    given = (parameters_of(run) if run.parameters is not None else {}) | (parameters or {})
    launch = launched(flow.name)
    launch.tags, launch.resume_from, launch.results = run.tags, run.results_id, persisted_in(store.storage)
    return Resumed(launch.flow_run_id, called(flow, given, launch))


def called(flow: Flow[Any, Any], parameters: dict[str, Any], launch: Launch) -> State:
    """Run `flow` as `launch` says, to its end."""
    token = LAUNCH.set(launch)
    try:
        given: Any = flow.run_with(parameters)
        state: State = asyncio.run(_awaited(given)) if flow.is_async else given
    finally:
        LAUNCH.reset(token)
    return state


async def _awaited(state: Any) -> Any:
    return await state
