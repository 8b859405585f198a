"""`mintaka explain`: why a flow run is where it is."""

from __future__ import annotations

from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, RunArgument, place
from mintaka.cli.showing import console, print_json, run_line, sentence, tasks_table

_BAD = frozenset({"FAILED", "CRASHED"})


def command(run: RunArgument, json: JsonOption = False, cluster: ClusterOption = False) -> None:
    """Tell why a flow run is where it is: each transition with the rule that decided, and the task runs that went wrong."""
    with place(cluster=cluster) as where:
        found = where.flow_run(run)
        transitions = where.transitions(found["uid"])
        bad = [task for task in where.task_runs(found["uid"]) if task["state"] in _BAD]
    if json:
        print_json({"flow_run": found, "transitions": transitions, "task_runs": bad})
        return
    out = console()
    out.print(run_line(found))
    for transition in transitions:
        out.print(f"  {sentence(transition)}", markup=False)
    if bad:
        out.print("task runs that went wrong:")
        out.print(tasks_table(bad))
