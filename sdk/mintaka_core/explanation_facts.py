"""What `explain` reads of a flow run: from its resource (`facts_of_run`), or from its history alone (`facts_of_document`).

Both give the same facts, except that history does not contain the requests in `spec` (cancel, suspend, reruns) before they are acted on.
Parameters are not among them, so that no explanation can contain a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from mintaka_core.instants import parse_time
from mintaka_core.names import LOCAL_CLUSTER
from mintaka_core.states import DEFAULT_NAMES, SUSPENDING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_core.resources.runs import FlowRun, TransitionStatus

#: Verdicts with which a run stays in its state.
STAYS = frozenset({"Wait", "Abort"})
_DEFAULT_NAMES = {str(kind): name for kind, name in DEFAULT_NAMES.items()}


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """One decision: the state type after it, the one proposed, and the rule that decided, with its reason (`said`).

    `until` is when a proposal that waits is made again (None: when something changes). `trail` has (rule, verdict, reason) of every
    rule with a verdict.
    """

    to: str
    proposed: str
    rule: str
    verdict: str
    said: str
    until: datetime | None = None
    trail: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True, slots=True)
class DeploymentFacts:
    """The deployment of a run: `suspended` stops its schedules, not its runs."""

    name: str
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class PauseFacts:
    """A pause in which a run waits for a person: its `key`, when the wait fails (`deadline` None: never), whether it `needs_input`, and
    why the last answer was refused ("": it was not).
    """

    key: str
    deadline: datetime | None = None
    needs_input: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A flow run: its state `type` (also one that this release does not know), `state_name`, `reason` and `message`, begun at `time`.

    `sequence` counts its decisions (0: nothing acted on it yet); `decisions` are those since it entered its state, beginning with that one,
    as far as they are known. `kind` is deployed, called (in the process of another run) or script; `local`: it runs on this machine, not in
    a cluster. `caller` is the run that called it ("": none). `suspending`: its workload is being stopped for `spec.suspend`.
    `pause` is the oldest pause that is open (None: none, or not known). `cancel`, `suspend` and `rerun_wanted` are requests in `spec` that
    may not have been acted on.
    """

    type: str
    state_name: str
    reason: str = ""
    message: str = ""
    time: datetime | None = None
    name: str = ""
    namespace: str = ""
    kind: str = "deployed"
    local: bool = False
    sequence: int = 0
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    rejections: int = 0
    next_time: datetime | None = None
    pod: str = ""
    caller: str = ""
    suspending: bool = False
    pause: PauseFacts | None = None
    cancel: bool = False
    suspend: bool = False
    rerun_wanted: bool = False
    history_reason: str = ""
    decisions: Sequence[DecisionFacts] = ()

    @property
    def own_name(self) -> str:
        """The name of its state, "" for the ordinary one of its type."""
        return "" if self.state_name == _DEFAULT_NAMES.get(self.type, self.type.capitalize()) else self.state_name

    @property
    def entered(self) -> DecisionFacts | None:
        """The decision with which it entered its state."""
        return next((known for known in self.decisions if known.verdict not in STAYS), None)

    @property
    def latest(self) -> DecisionFacts | None:
        """The latest decision that left it in its state."""
        return next((known for known in reversed(self.decisions) if known.verdict in STAYS), None)


def facts_of_run(run: FlowRun, *, local: bool = False) -> RunFacts:
    """The facts in a resource."""
    metadata, spec, status = run.metadata, run.spec, run.status
    state, caller = status.state, spec.called_by
    facts = RunFacts(
        type="SCHEDULED",
        state_name="Scheduled",
        name=metadata.name,
        namespace=metadata.namespace,
        local=local,
        sequence=status.sequence,
        attempt=status.attempt,
        failures=status.failures,
        crashes=status.crashes,
        rejections=status.rejections,
        next_time=status.next_time,
        pod=status.pod_name or "",
        caller=(caller.name or caller.uid) if caller else "",
        suspending=any(known.type == "Suspended" and known.reason == SUSPENDING for known in status.conditions),
        cancel=spec.cancel or metadata.deletion_timestamp is not None,
        suspend=spec.suspend,
        rerun_wanted=run.rerun_wanted,
        history_reason=next(
            (known.reason for known in status.conditions if known.type == "HistoryComplete" and known.status == "False"), ""
        ),
    )
    if state is None:
        return facts
    records = [_decision_of(record, state.message) for record in _since_entered(status.transitions)]
    shown: dict[str, Any] = {"reason": state.reason, "message": state.message, "time": state.time}
    return replace(facts, type=state.type, state_name=state.name, decisions=records, **shown)


def facts_of_document(
    run: Mapping[str, Any],
    transitions: Sequence[Mapping[str, Any]] = (),
    pauses: Sequence[Mapping[str, Any]] = (),
    spec: Mapping[str, Any] | None = None,
) -> RunFacts:
    """The facts in a flow run, its latest transitions and its open pauses as the API returns them.

    `spec` is that of its resource, if it is at hand.
    """
    state, wishes = run["state"], spec or {}
    kind = run.get("kind") or ("script" if run.get("flow") is not None else "deployed")
    status = run.get("status") or {}
    conditions = status.get("conditions") or run.get("conditions") or ()
    since = list(takewhile(lambda one: one.get("verdict") in STAYS, reversed(transitions)))
    entry = transitions[-len(since) - 1 : len(transitions) - len(since)]
    script = kind != "deployed"
    return RunFacts(
        type=state["type"],
        state_name=state["name"],
        reason=state.get("reason") or "",
        message=state.get("message") or "",
        time=_time(state.get("time")),
        name=run["name"],
        namespace=run["namespace"],
        kind=kind,
        local=script or run.get("cluster") == LOCAL_CLUSTER,
        sequence=run["sequence"],
        attempt=run["attempt"],
        failures=run["failures"],
        crashes=run["crashes"],
        next_time=_time(status.get("nextTime") if status else run.get("next_time")),
        pod=run.get("pod") or "",
        caller=(wishes.get("calledBy") or {}).get("name") or run.get("parent") or "",
        suspending=any(known.get("type") == "Suspended" and known.get("reason") == SUSPENDING for known in conditions),
        pause=next((_pause_in(pause) for pause in pauses), None),
        cancel=bool(wishes.get("cancel")),
        suspend=bool(wishes.get("suspend")),
        rerun_wanted=not wishes.get("cancel") and wishes.get("reruns", 0) > status.get("reruns", 0),
        history_reason=run.get("history_reason") or "",
        decisions=[_decision_in(one, state.get("message") or "", script=script) for one in (*entry, *reversed(since))],
    )


def _since_entered(records: Sequence[TransitionStatus]) -> Sequence[TransitionStatus]:
    """The record with which the run entered its state, and those since."""
    count = sum(1 for _ in takewhile(lambda record: not record.accepted, reversed(records)))
    return records[-count - 1 :]


def _decision_of(record: TransitionStatus, message: str) -> DecisionFacts:
    trail = [(opinion.rule, opinion.verdict, opinion.reason) for opinion in record.trail]
    said = trail[-1][2] if trail else _without(record.message, message)
    return DecisionFacts(record.to, record.proposed, record.rule, record.verdict, said, record.until, trail)


def _decision_in(one: Mapping[str, Any], message: str, *, script: bool) -> DecisionFacts:
    """A transition of a document. A script's has the reason of the rule in `reason`, that of a resource at the beginning of `message`."""
    trail = [(str(rule), str(verdict), str(reason)) for rule, verdict, reason in one.get("trail") or ()]
    rule, verdict = one.get("rule") or "", one.get("verdict") or ""
    said = trail[-1][2] if len(trail) > 1 else (one.get("reason") or "") if script else _without(one.get("message") or "", message)
    return DecisionFacts(one["to"], one.get("proposed") or one["to"], rule, verdict, said, _time(one.get("until")), trail)


def _pause_in(pause: Mapping[str, Any]) -> PauseFacts:
    return PauseFacts(pause["key"], _time(pause["deadline"]), pause["schema"] is not None, pause["refusal"])


def _without(text: str, message: str) -> str:
    """The reason of a rule, from a record's message: the message of the state follows it."""
    return text.removesuffix(message).removesuffix(": ") if message else text


def _time(value: Any) -> datetime | None:
    return parse_time(value) if isinstance(value, str) else value
