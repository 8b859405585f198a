"""Checks awaited runs against the cluster, so that no one waits for an end that will never come.

The end of a run is awaited in history (`mintaka_api.ends`), with a `sequence` above that of an end that a rerun replaces. It never
appears there if the rerun is withdrawn (`spec.cancel` is set before it starts), or if history has lost the run: it was restored from an
earlier state, or its retention removed the run. The objects in the cluster are read only for runs that are over or unknown in history.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mintaka_api.called_runs import answer_of
from mintaka_api.response_models import EndedRuns
from mintaka_api.row_mapping import read_run
from mintaka_core.errors import MintakaError
from mintaka_core.states import TERMINAL
from mintaka_history.queries import flow_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mintaka_api.intents import RunControl
    from mintaka_api.services import Services
    from mintaka_core.resources import FlowRun
    from mintaka_history.run_responses import FlowRunAnswer

logger = logging.getLogger("mintaka.api")

#: The number of runs that are read from the cluster at the same time.
_CONCURRENCY = 16
_TERMINAL = frozenset(state.value for state in TERMINAL)

type Place = tuple[str, str]


async def check_runs(here: Services, places: Mapping[str, Place]) -> EndedRuns:
    """Which of the runs, given by uid with namespace and name, are over and will not run again, and which do not exist."""
    if here.runs is None:
        return EndedRuns([])
    known = await _known(here, places)
    doubtful = [uid for uid in places if uid not in known or _is_over(known[uid])]
    limit = asyncio.Semaphore(_CONCURRENCY)
    seen = dict(zip(doubtful, await asyncio.gather(*(_read(here.runs, limit, places[uid]) for uid in doubtful)), strict=True))
    over, missing = [], []
    for uid, (answered, run) in seen.items():
        if run is not None and run.metadata.uid == uid:
            if run.status.is_terminal and not run.rerun_wanted:
                over.append(_merged(answer_of(run), known.get(uid)))
        elif answered:
            missing.append(uid)
    # Read again: the run may have become known, ended and left the cluster since.
    known = await _known(here, missing)
    over += [known[uid] for uid in missing if uid in known and _is_over(known[uid])]
    return EndedRuns(over, [uid for uid in missing if uid not in known])


async def _known(here: Services, uids: Iterable[str]) -> dict[str, FlowRunAnswer]:
    """The runs that history has, by uid."""
    wanted = list(uids)
    found = await here.database.read(flow_runs.of_uids, here.names, wanted) if wanted else []
    return {str(run.uid): run for run in found}


async def _read(control: RunControl, limit: asyncio.Semaphore, place: Place) -> tuple[bool, FlowRun | None]:
    """Whether the cluster answered, and its run of this name; None if there is none."""
    try:
        async with limit:
            document = await control.read(*place)
        return True, None if document is None else read_run(document)
    except MintakaError as error:  # the next check reads it again; it does not concern the other runs
        logger.warning("flow run %s/%s is awaited and cannot be checked: %s", *place, error)
        return False, None


def _is_over(run: FlowRunAnswer) -> bool:
    return run.state.type in _TERMINAL


def _merged(answer: FlowRunAnswer, known: FlowRunAnswer | None) -> FlowRunAnswer:
    """The run as the cluster has it, with the parameters and tags that history has, among them those of its deployment."""
    if known is not None:
        answer.parameters, answer.tags = known.parameters, known.tags
    return answer
