"""`mintaka delete`: flow deployments and flow runs."""

from __future__ import annotations

from typing import Annotated

import typer

from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import DEPLOYMENT, ClusterOption, NamespaceOption, place
from mintaka.cli.showing import console, print_json

EPILOG = """
Examples:
  mintaka delete etl-7c1a2f90          a flow run: it is cancelled first, and its history remains
  mintaka delete deployment/etl        a flow deployment with its runs
"""


def command(
    objects: Annotated[list[str], typer.Argument(help="deployment/NAME, or a flow run by uid or name; one or more.", metavar="WHAT...")],
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Delete flow deployments and flow runs."""
    deleted = []
    with place(cluster=cluster, namespace=namespace) as where:
        for each in objects:
            if each.startswith(DEPLOYMENT):
                kind, found = "deployment", where.delete_deployment(each.removeprefix(DEPLOYMENT))
            else:
                kind, found = "run", where.flow_run(each.removeprefix("run/"))
                where.delete_run(found)
            deleted.append({"kind": kind, "uid": found["uid"], "namespace": found["namespace"], "name": found["name"]})
            if not json:
                console().print(
                    f"{kind} {found['name']}: deleted" if kind == "deployment" else f"{found['name']}: asked to delete", markup=False
                )
    if json:
        print_json(deleted)
