"""`mintaka doctor`: is everything there that is needed, and if not, what to do about it?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.text import Text

from mintaka.cli.columns import columns
from mintaka.cli.findings import checked
from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, in_cluster
from mintaka.cli.showing import console, print_json, shortly

if TYPE_CHECKING:
    from mintaka.cli.findings import Finding

EPILOG = """
Examples:
  mintaka doctor                    this machine, and the cluster of kubectl's context where there is one
  mintaka doctor --cluster          the cluster has to be there
  mintaka doctor --json | jq '.[] | select(.well == false)'
"""
EXIT_CODES = "0 all is well; 1 something is ill; 2 called wrongly"
ILL = 1
_SIGNS = {True: Text("ok ", style="green"), False: Text("ill", style="red"), None: Text("-  ", style="dim")}


def command(json: JsonOption = False, cluster: ClusterOption = False) -> None:
    """Look whether everything is there; exit code 1 where something is wrong."""
    from mintaka.cli import checking_cluster, checking_here  # noqa: PLC0415 - start-up time: not for --help

    findings = [
        finding for checks in (checking_here.CHECKS, checking_cluster.checks(needed=in_cluster(cluster))) for finding in checked(checks)
    ]
    if json:
        print_json([finding._asdict() for finding in findings])
    else:
        for line in columns(("", "", ""), [_row(finding) for finding in findings]):
            console().print(line, soft_wrap=True)  # told in full, however narrow the terminal
    if any(finding.well is False for finding in findings):
        sys.exit(ILL)


def _row(finding: Finding) -> tuple[Text, str, Text]:
    told = Text(shortly(finding.told, 500))
    if finding.todo:
        told.append(f" → {finding.todo}", style="bold")
    return _SIGNS[finding.well].copy(), finding.what, told
