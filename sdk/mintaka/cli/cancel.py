"""`mintaka cancel`: set the intent; the operator acts on it."""

from __future__ import annotations

from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, NamespaceOption, RunArgument, stop
from mintaka.cli.showing import console, print_json


def command(run: RunArgument, json: JsonOption = False, namespace: NamespaceOption = None, cluster: ClusterOption = False) -> None:
    """Cancel a flow run."""
    found = stop(run, "cancel", cluster=cluster, namespace=namespace)
    if json:
        print_json({"uid": found["uid"], "name": found["name"], "asked": "cancel"})
    else:
        console().print(f"{found['name']}: asked to cancel")
