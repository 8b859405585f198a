"""Starting a flow run again: what is finished is taken from its persisted results, the rest runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mintaka.context import LAUNCH, Launch
from mintaka.entrypoints import load_flow
from mintaka.kept_runs import kept_run, parameters_of
from mintaka.results import ResultStore

if TYPE_CHECKING:
    from mintaka.flows import Flow
    from mintaka.result_settings import StorageLike
    from mintaka.states import State


def resume(
    flow_run_id: str, *, storage: StorageLike | None = None, entrypoint: str = "", parameters: dict[str, Any] | None = None
) -> State:
    """Run a flow run again as its next attempt, and return the state it ends in.

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
    again = replace(run, attempt=run.attempt + 1)
    ResultStore(store.storage, "pickle").write(again, again.key)
    launch = Launch(
        flow_run_id=run.flow_run_id, name=run.name, deployment=run.deployment, attempt=again.attempt, tags=run.tags, resume_from=flow_run_id
    )
    return called(flow, given, launch)


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
