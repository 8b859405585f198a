"""Starting a flow run again: what is finished is taken from its persisted results, the rest runs.

A run of this machine's history goes on as what it is, in another attempt. Any other (a cluster's, or one with other parameters
than it had) is gone on with in a new run that shares its results.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.context import LAUNCH
from mintaka.exceptions import NotPausedError
from mintaka.persisting.kept_runs import found_again, kept_run, parameters_of
from mintaka.persisting.result_settings import persisted_in
from mintaka.recording.homes import home
from mintaka.recording.launching import launched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mintaka.context import Launch
    from mintaka.flows import Flow
    from mintaka.persisting.result_settings import StorageLike
    from mintaka.states import State


class Resumed(NamedTuple):
    """The run that went on, as which attempt, and the state that ended in."""

    flow_run_id: str
    state: State
    attempt: int = 1


def resume(
    flow_run_id: str,
    *,
    storage: StorageLike | None = None,
    entrypoint: str = "",
    parameters: dict[str, Any] | None = None,
    call: Callable[[Flow[Any, Any], dict[str, Any], Launch], State] | None = None,
) -> Resumed:
    """Go on with a flow run, here.

    Args:
        flow_run_id: the run; its results have to be persisted.
        storage: where they are (default: where the environment says).
        entrypoint: the flow, where its code is somewhere else now.
        parameters: in place of those it had, by name; a new run then continues it. Secret ones are not kept: giving them
            again changes nothing.
        call: runs the flow to its end (None: `called`).

    Raises:
        MissingResult: nothing is kept of that run.
        LoadError: the flow is not where it was, or its code raised while it was imported.
        NotPausedError: it goes on already, be it that somebody else has just resumed it.
    """
    run, store = kept_run(flow_run_id, storage)
    flow = found_again(run, entrypoint)
    given, changed = parameters_of(run, parameters or {})
    launch = (None if changed else _again(flow.name, flow_run_id)) or _anew(flow.name)
    launch.tags, launch.results = run.tags, persisted_in(store.storage)
    if launch.flow_run_id != run.results_id:
        launch.resume_from = run.results_id
    return Resumed(launch.flow_run_id, (call or called)(flow, given, launch), launch.attempt)


def _anew(flow: str) -> Launch:
    return launched(flow)


def _again(flow: str, uid: str) -> Launch | None:
    """The next attempt of a run that this machine's history, or the API's, knows as a script's; None where it is none."""
    where = home()
    if where.api_url:
        return _again_at(where.api_url, flow, uid)
    return None if where.database is None else _claimed(where.database, flow, uid)


def _claimed(database: Path, flow: str, uid: str) -> Launch | None:
    from mintaka_history.embedded_sqlite import EmbeddedDatabase  # noqa: PLC0415
    from mintaka_history.enum_codes import shown_state  # noqa: PLC0415 - start-up time
    from mintaka_history.writing import pauses  # noqa: PLC0415
    from mintaka_history.writing.restarts import NotClaimable  # noqa: PLC0415

    opened = EmbeddedDatabase(database)
    try:
        found = opened.restart(uid)
        over = frozenset(row.key for row in pauses.of_run(opened.reading(), uid) if row.suspended and row.answered is not None)
    finally:
        opened.close()
    if isinstance(found, NotClaimable):
        raise _goes_on(uid, f"flow run {uid} is {shown_state(found.state)}, in attempt {found.attempt}: it goes on already")
    if found is None:
        return None
    launch = launched(flow, uid, found.attempt)
    launch.name, launch.transitions, launch.resumed = found.name, found.transitions, over
    return launch


def _again_at(url: str, flow: str, uid: str) -> Launch | None:
    from mintaka.histories import FlowRunNotFound, of_a_script  # noqa: PLC0415 - start-up time
    from mintaka.recording.remote_history import RemoteHistory  # noqa: PLC0415

    with RemoteHistory(url) as history:
        try:
            document = history.flow_run(uid)
        except FlowRunNotFound:
            return None
        if not of_a_script(document):
            return None
        try:
            claimed = history.post(f"/flow-runs/{uid}/attempts")
        except NotPausedError as error:
            raise _goes_on(uid, str(error)) from error
    launch = launched(flow, uid, claimed["attempt"])
    launch.name, launch.transitions = claimed["name"], claimed["sequence"]
    return launch


def _goes_on(uid: str, told: str) -> NotPausedError:
    return NotPausedError(f"{told}, so there is nothing to resume; mintaka watch {uid} follows it")


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
