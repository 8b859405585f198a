"""What applying a manifest would change, and what that means: for unfinished runs, schedules, and runs themselves. Pure.

Called by `mintaka plan` with what a dry run on the server returned. What a change of a kind means is described by a function in a table
(`MEANINGS`, or the caller's own, such as one that tries a rule on recorded decisions).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mintaka_core.plan_differences import ABSENT, Change, differences
from mintaka_core.plan_schedules import ScheduleChange, schedule_changes
from mintaka_core.reconciling.deployments import FAULTS_OF_THE_DEPLOYMENT
from mintaka_core.revisions import template_of

if TYPE_CHECKING:
    from datetime import datetime

CREATED, CHANGED, UNCHANGED, REFUSED = "created", "changed", "unchanged", "refused"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """An unfinished run of a deployment: its state type, its reason, and the revision that it runs ("": none yet)."""

    name: str
    state: str
    attempt: int = 0
    revision: str = ""
    reason: str = ""

    @property
    def takes_newest(self) -> bool:
        """True if it takes the newest revision of its deployment when it starts."""
        return self.attempt == 0 and (not self.revision or self.reason in FAULTS_OF_THE_DEPLOYMENT)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A manifest: the `live` object (None: there is none) and the `planned` one (None: refused, for the reason `refusal`), without secrets.

    `changed`: they differ in a way that the masked objects may not show. `runs` are the unfinished runs of a deployment, `users` the
    deployments of the plan whose source it is.
    """

    kind: str
    namespace: str
    name: str
    live: Mapping[str, Any] | None
    planned: Mapping[str, Any] | None
    refusal: str = ""
    changed: bool = False
    runs: Sequence[PlannedRun] = ()
    users: Sequence[str] = ()

    @property
    def before(self) -> Mapping[str, Any]:
        """The live spec."""
        return (self.live or {}).get("spec") or {}

    @property
    def after(self) -> Mapping[str, Any]:
        """The planned spec."""
        return (self.planned or {}).get("spec") or {}


#: A function that describes in sentences what a change of an object means.
type Meaning = Callable[[Candidate], Sequence[str]]


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """What happens to one object: `action`, the `message` of a refusal, the fields that change, and what that means.

    `keep_version` are unfinished runs that keep the old version of their deployment, `take_version` those that take the new one.
    """

    kind: str
    namespace: str
    name: str
    action: str
    message: str = ""
    changes: Sequence[Change] = ()
    notes: Sequence[str] = ()
    schedules: Sequence[ScheduleChange] = ()
    keep_version: Sequence[PlannedRun] = ()
    take_version: Sequence[PlannedRun] = ()

    def to_document(self) -> dict[str, Any]:
        """The plan as JSON."""
        return {
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "action": self.action,
            "message": self.message,
            "changes": [
                {"path": path, **{side: value for side, value in (("before", one), ("after", other)) if value is not ABSENT}}
                for path, one, other in self.changes
            ],
            "notes": list(self.notes),
            "schedules": [{**each._asdict(), "before": list(each.before), "after": list(each.after)} for each in self.schedules],
            "keep_version": [{"name": run.name, "state": run.state, "revision": run.revision} for run in self.keep_version],
            "take_version": [run.name for run in self.take_version],
        }


def plan_object(given: Candidate, now: datetime, meanings: Mapping[str, Meaning] = MappingProxyType({})) -> ObjectPlan:
    """What happens to an object at `now`; `meanings` are functions by kind that describe what that means, in addition to ours."""
    names = given.kind, given.namespace, given.name
    if given.planned is None:
        return ObjectPlan(*names, REFUSED, given.refusal)
    changes = differences(given.live, given.planned) if given.live is not None else []
    if given.live is not None and not changes and not given.changed:
        return ObjectPlan(*names, UNCHANGED)
    notes = [*(() if changes or given.live is None else ("a secret value changes",))]
    for table in (MEANINGS, meanings):
        notes += table[given.kind](given) if given.kind in table else ()
    action = CREATED if given.live is None else CHANGED
    if given.kind != "FlowDeployment":
        return ObjectPlan(*names, action, "", changes, notes)
    concerned = given.runs if action == CHANGED and _concerns_runs(given, changes) else ()
    return ObjectPlan(
        *names,
        action,
        "",
        changes,
        notes,
        schedule_changes(given.before, given.after, now),
        [run for run in concerned if not run.takes_newest],
        [run for run in concerned if run.takes_newest],
    )


def _concerns_runs(given: Candidate, changes: Sequence[Change]) -> bool:
    """True if the deployment gets another revision; a secret value that changes counts, as it is part of one."""
    return not changes or template_of(given.before) != template_of(given.after)


def _of_a_deployment(given: Candidate) -> Sequence[str]:
    before, after = bool(given.before.get("suspend")), bool(given.after.get("suspend"))
    if after and not before:
        return ["the deployment is suspended: its schedules create no runs, and existing runs continue"]
    return ["the deployment is resumed: times that passed meanwhile are not made up for"] if before and not after else []


def _of_a_run(given: Candidate) -> Sequence[str]:
    before, after = given.before, given.after
    if given.live is None:
        due = after.get("scheduledTime")
        return [f"the run starts at {due}" if due else "the run starts as soon as possible"]
    notes = []
    if after.get("cancel") and not before.get("cancel"):
        notes.append("the run is cancelled, which cannot be taken back")
    if bool(after.get("suspend")) != bool(before.get("suspend")):
        notes.append("the run is suspended: its pod is stopped" if after.get("suspend") else "the run is resumed")
    if after.get("reruns", 0) > before.get("reruns", 0):
        notes.append("the run runs again if it has ended")
    return notes


def _of_a_source(given: Candidate) -> Sequence[str]:
    if not given.users or given.live is None:
        return []
    return [f"it is the source of {', '.join(given.users)}: unfinished runs keep the old version"]


#: What a change means, by kind.
MEANINGS: Mapping[str, Meaning] = MappingProxyType({
    "FlowDeployment": _of_a_deployment,
    "FlowRun": _of_a_run,
    "ConfigMap": _of_a_source,
})  # fmt: skip
