"""`mintaka explain`: why a flow run is where it is, what happens next, and what would change it; below that its decisions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mintaka.cli.columns import print_lines
from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, NamespaceOption, RunArgument, place
from mintaka.cli.showing import console, print_json, run_line, tasks_table
from mintaka_core.decision_sentences import task_sentences, transition_sentence
from mintaka_core.errors import MintakaError
from mintaka_core.explaining import explain
from mintaka_core.explanation_facts import DeploymentFacts, facts_of_document

if TYPE_CHECKING:
    from mintaka.cli.places import Place
    from mintaka.histories import Document

EPILOG = """
Examples:
  mintaka explain etl-7c1a2f90
  mintaka explain etl-7c1a2f90 --json | jq -r .explanation.why
"""
_MAY_WAIT = frozenset({"RUNNING", "PAUSED"})
_BAD = frozenset({"FAILED", "CRASHED"})
#: Of more decisions about task runs, the first are shown.
_SHOWN = 50


def command(run: RunArgument, json: JsonOption = False, namespace: NamespaceOption = None, cluster: ClusterOption = False) -> None:
    """Explain why a flow run is where it is, what happens next, and what would change it. Then each transition and the
    opinions of the rules on it, the decisions about its task runs, and the task runs that went wrong.
    """
    bad, decided = [], []
    with place(cluster=cluster, namespace=namespace) as where:
        found = where.flow_run(run)
        transitions = where.transitions(found["uid"])
        pauses = where.pauses(found["uid"]) if found["state"]["type"] in _MAY_WAIT else []
        facts = facts_of_document(found, transitions, pauses, found.get("spec"))
        explanation = explain(facts, _deployment(where, found), datetime.now(UTC))
        for task in where.task_runs(found["uid"]):
            if task["state"] in _BAD:
                bad.append(task)
            decided += task_sentences(task)
    if json:
        explained = asdict(explanation)
        print_json({"flow_run": found, "explanation": explained, "transitions": transitions, "task_runs": bad, "decisions": decided})
        return
    out = console()
    out.print(run_line(found))
    for line in (explanation.why, explanation.next, explanation.remedy):
        out.print(f"  {line}", markup=False)
    out.print("transitions:")
    for transition in transitions:
        out.print(f"  {transition_sentence(transition)}", markup=False)
    if decided:
        out.print("decisions about task runs:")
        for line in decided[:_SHOWN]:
            out.print(f"  {line}", markup=False)
        if len(decided) > _SHOWN:
            out.print(f"  and {len(decided) - _SHOWN} more: --json shows all")
    if bad:
        out.print("task runs that went wrong:")
        print_lines(out, tasks_table(bad))


def _deployment(where: Place, run: Document) -> DeploymentFacts | None:
    """The deployment of a run that waits; None if it has none, or it cannot be read."""
    if run["state"]["type"] != "SCHEDULED" or not run["deployment"]:
        return None
    try:
        found = where.deployment(run["deployment"])
    except MintakaError:
        return None
    return DeploymentFacts(found["name"], suspended=found["suspend"]) if found["namespace"] == run["namespace"] else None
