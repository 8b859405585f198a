"""`mintaka doctor`: is everything there that is needed, and where does history go?"""

from __future__ import annotations

import os
import platform
import sys
from shutil import which
from typing import TYPE_CHECKING, NamedTuple

from mintaka import __version__
from mintaka.cli.kubectl import kubectl
from mintaka.cli.parsing import JsonOption
from mintaka.cli.showing import console, print_json
from mintaka.histories import HistoryError, history
from mintaka.homes import home
from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Callable

ILL = 1


class Finding(NamedTuple):
    """What was looked at, whether it is well (None: it is not needed here), and what was found."""

    what: str
    well: bool | None
    told: str


def command(json: JsonOption = False) -> None:
    """Look whether everything is there; exit code 1 where something is wrong."""
    findings = [
        Finding("mintaka", well=True, told=f"{__version__} on Python {platform.python_version()}"),
        _found("history", _history),
        *_cluster(),
    ]
    if json:
        print_json([finding._asdict() for finding in findings])
    else:
        for what, well, told in findings:
            sign = {True: "[green]ok[/]  ", False: "[red]ill[/] ", None: "-   "}[well]
            console().print(f"{sign}{what:<10}", end="")
            console().print(told, markup=False)
    if any(finding.well is False for finding in findings):
        sys.exit(ILL)


def _found(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, well=True, told=look())
    except MintakaError as error:
        return Finding(what, well=False, told=str(error))


def _history() -> str:
    where = home()
    if not where.api_url and where.database is None:
        return "switched off (MINTAKA_HISTORY=off)"
    with history(where) as place:
        newest = place.flow_runs(limit=1)
    told = f"the newest run is {newest[0]['name']}" if newest else "no run yet"
    return f"{where.api_url or where.database}: {told}"


def _cluster() -> list[Finding]:
    if which("kubectl") is None:
        return [Finding("cluster", well=None, told="kubectl is not on the PATH: no cluster is looked at")]
    if not os.environ.get("KUBECONFIG") and not os.path.exists(os.path.expanduser("~/.kube/config")):  # noqa: PTH110, PTH111 - as kubectl does
        return [Finding("cluster", well=None, told="kubectl has no context: no cluster is looked at")]
    return [_found("cluster", _resources)]


def _resources() -> str:
    names = kubectl("api-resources", "--api-group", "mintaka.dev", "--output", "name").split()
    if not names:
        message = "the cluster has no resources of mintaka.dev: install the chart"
        raise HistoryError(message)
    return f"{kubectl('config', 'current-context').strip()}: {', '.join(names)}"
