"""`mintaka explain`: why a flow run is where it is."""

from __future__ import annotations

from mintaka.cli.columns import print_lines
from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, NamespaceOption, RunArgument, place
from mintaka.cli.showing import console, print_json, run_line, tasks_table
from mintaka.cli.telling import task_told, transition_told

EPILOG = """
Examples:
  mintaka explain etl-7c1a2f90
  mintaka explain etl-7c1a2f90 --json | jq '.transitions[-1]'
"""
_BAD = frozenset({"FAILED", "CRASHED"})
#: Of more decisions about task runs, the first are shown.
_SHOWN = 50


def command(run: RunArgument, json: JsonOption = False, namespace: NamespaceOption = None, cluster: ClusterOption = False) -> None:
    """Tell why a flow run is where it is: each transition and what the rules said about it, the decisions about its task runs,
    and the task runs that went wrong.
    """
    bad, decided = [], []
    with place(cluster=cluster, namespace=namespace) as where:
        found = where.flow_run(run)
        transitions = where.transitions(found["uid"])
        for task in where.task_runs(found["uid"]):
            if task["state"] in _BAD:
                bad.append(task)
            decided += task_told(task)
    if json:
        print_json({"flow_run": found, "transitions": transitions, "task_runs": bad, "decisions": decided})
        return
    out = console()
    out.print(run_line(found))
    for transition in transitions:
        out.print(f"  {transition_told(transition)}", markup=False)
    if decided:
        out.print("decisions about task runs:")
        for line in decided[:_SHOWN]:
            out.print(f"  {line}", markup=False)
        if len(decided) > _SHOWN:
            out.print(f"  and {len(decided) - _SHOWN} more: --json shows all")
    if bad:
        out.print("task runs that went wrong:")
        print_lines(out, tasks_table(bad))
