"""`mintaka plan`: what applying manifests would change, by a dry run on the server, and what that means."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from mintaka.cli.apply import manifests_at
from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, NamespaceOption, place
from mintaka.cli.showing import console, print_json
from mintaka_core.plan_texts import plan_lines, summary_line
from mintaka_core.planning import REFUSED, UNCHANGED, plan_object
from mintaka_core.revisions import config_map_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_core.planning import Candidate, Meaning, ObjectPlan

EPILOG = """
Examples:
  mintaka plan deployments/
  mintaka plan etl.yaml --context prod
  mintaka plan deployments/ --json | jq '.objects[] | select(.action == "changed")'
"""
EXIT_CODES = "0 nothing would change; 2 something would; 1 an object is refused, called wrongly, or not reachable"
_NOTHING, _ERROR, _CHANGES = 0, 1, 2

#: What a change of other kinds means: by kind, a function from the candidate to sentences. Rules whose dry run differs belong here.
MEANINGS: dict[str, Meaning] = {}


def command(
    what: Annotated[str, typer.Argument(help="A file or folder of manifests, or - for standard input.", metavar="WHAT")],
    namespace: NamespaceOption = None,
    json: JsonOption = False,
    cluster: ClusterOption = False,
) -> None:
    """Show what applying manifests would change: the fields, the runs that keep the old version of their deployment, the schedules that
    move with their next five times before and after, and what is refused. Nothing is changed.
    """
    with place(cluster=cluster, namespace=namespace) as where:
        candidates = with_users(where.preview(manifests_at(what)))
    now = datetime.now(UTC)
    plans = [plan_object(candidate, now, MEANINGS) for candidate in candidates]
    if json:
        print_json({"objects": [plan.to_document() for plan in plans], "exit_code": exit_code(plans)})
    else:
        out = console()
        for plan in plans:
            for line in plan_lines(plan):
                out.print(line, markup=False)
        out.print(summary_line(plans))
    sys.exit(exit_code(plans))


def exit_code(plans: Sequence[ObjectPlan]) -> int:
    """1 if an object is refused, else 2 if one changes, else 0."""
    actions = {plan.action for plan in plans}
    if REFUSED in actions:
        return _ERROR
    return _CHANGES if actions - {UNCHANGED} else _NOTHING


def with_users(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, with the deployments among them that have a ConfigMap of them as their source."""
    users: dict[tuple[str, str], list[str]] = {}
    for each in candidates:
        if each.kind == "FlowDeployment" and (source := config_map_of(each.after)):
            users.setdefault((each.namespace, source), []).append(each.name)
    return [replace(each, users=users.get((each.namespace, each.name), ())) if each.kind == "ConfigMap" else each for each in candidates]
