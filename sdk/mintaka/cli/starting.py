"""A run of a flow deployment, or of a flow's file, created in the current context, and followed to its end if requested."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

from mintaka.cli.deploy import deployment_of
from mintaka.cli.places import DEPLOYMENT, place
from mintaka.cli.showing import console, print_json
from mintaka.cli.watch import watch_to_its_end
from mintaka.histories import FlowRunNotFound

if TYPE_CHECKING:
    from mintaka.cli.places import NewRun, Place
    from mintaka.histories import Document

#: A created run is listed within this time, because an API mirrors its cluster.
_LISTED_SECONDS = 30.0
_SLICE_SECONDS = 0.1


class Following(NamedTuple):
    """What to do with a run that was created: `watch` it, `wait` for its end, or neither; answer in `json`."""

    watch: bool
    wait: bool
    json: bool


def start(target: str, new: NewRun, following: Following, *, namespace: str | None, cluster: bool) -> None:
    """Create a run of `target`, deployment/NAME or a flow; watched or waited for, the process ends with the run's exit code."""
    with place(cluster=cluster, namespace=namespace) as where:
        if target.startswith(DEPLOYMENT):
            run = where.create_run(target.removeprefix(DEPLOYMENT), new)
        else:
            inline = target.rpartition(":")[0].endswith(".py")
            run = where.create_from_template(deployment_of(target, namespace=namespace, inline=inline, now=datetime.now(UTC)), new)
        _follow(where, run, following)


def _follow(where: Place, run: Document, following: Following) -> None:
    if following.watch or following.wait:
        watch_to_its_end(where, _listed(where, run["uid"]), json=following.json, quietly=not following.watch)
    elif following.json:
        print_json(run)
    else:
        console().print(f"{run['name']}: created; mintaka watch {run['name']} shows its progress", markup=False)


def _listed(where: Place, uid: str) -> Document:
    deadline = monotonic() + _LISTED_SECONDS
    while True:
        try:
            return where.flow_run(uid)
        except FlowRunNotFound:
            if monotonic() > deadline:
                raise
            sleep(_SLICE_SECONDS)
