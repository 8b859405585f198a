"""Runs that call others, as `run_deployment` does through the API: each call has one run, whatever happens to the caller or process."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mintaka_controller.ports import Rejected
from mintaka_core.names import called_run_name
from mintaka_core.resources import FlowRun
from mintaka_core.states import CANCELLED, CRASHED, FAILED
from mintaka_core.workloads import Phase
from simulated.pods import Pod
from simulated.referee import PATIENCE_SECONDS
from simulated.server import Stored

if TYPE_CHECKING:
    from mintaka_controller.ports import Name
    from simulated.events import Event
    from simulated.story import Story

_DEPLOYMENT = "d"


class Calls:
    """`made` are the uids of the runs that were made for one call, by the uid of the caller and the number of the call."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._random, self._agenda, self._server = story.random, story.agenda, story.server
        #: How many calls a run makes, by its uid.
        self._callers: dict[str, int] = {}
        self._started: set[str] = set()
        self._called_in: dict[str, int] = {}
        #: When a caller was cancelled or deleted before it ended, by its uid.
        self._cancelled: dict[str, float] = {}
        self._detached: dict[str, str] = {}
        self._attached: dict[str, str] = {}
        #: By name: the run that the API has stored, even after it was removed from the cluster.
        self._history: dict[Name, str] = {}
        self.made: dict[tuple[str, int], set[str]] = defaultdict(set)
        self._server.watchers.append(self._watch)

    def begin(self) -> None:
        """Some runs call others."""
        for _ in range(self._random.choice([1, 1, 2])):
            self._agenda.after(self._random.uniform(0, 60), self._create_caller)

    def _create_caller(self) -> None:
        namespace = self._random.choice(self._story.namespaces)
        key = self._story.create_run(namespace, {"deployment": _DEPLOYMENT})
        if key in self._server.runs:
            self._callers[self._server.runs[key].model.metadata.uid] = self._random.choice([1, 1, 2, 3])
        if self._random.random() < 0.4:
            wish = self._random.choice([self._story.people.cancel, self._story.people.delete])
            self._agenda.after(self._random.expovariate(1 / 40), lambda: wish(key))

    def _watch(self, event: Event) -> None:
        pod = event.found
        if isinstance(pod, Pod) and pod.owner_uid in self._callers and pod.workload.phase == Phase.RUNNING:
            uid = pod.workload.uid
            if uid not in self._started:
                self._started.add(uid)
                for number in range(self._callers[pod.owner_uid]):
                    self._agenda.after(self._random.expovariate(1 / 8), lambda number=number: self._call(pod, number))  # type: ignore[misc]
        elif event.kind == "run":
            self._note_wish(event)

    def _note_wish(self, event: Event) -> None:
        """A caller is cancelled or deleted before its end: the runs it called soon stop."""
        if event.uid not in self._callers or event.uid in self._cancelled:
            return
        run = event.found.model if event.found is not None else self._story.referee.runs[event.uid].last
        wished = event.found is None or run.spec.cancel or run.metadata.deletion_timestamp is not None
        over = run.status.is_terminal and not run.rerun_wanted
        if wished and (not over or (run.status.state and run.status.state.type == CANCELLED)):
            self._cancelled[event.uid] = self._agenda.seconds
            self._agenda.after(PATIENCE_SECONDS, lambda: self._check_called(event.key, event.uid))

    # The process of a caller, and the API.

    def _call(self, pod: Pod, number: int) -> None:
        """Send the API a call's request, from a caller's process that is alive or has just died."""
        found = self._server.pods.find((pod.run[0], pod.workload.name), pod.workload.uid)
        lives = found is not None and found.workload.alive and found.workload.end is None
        if not lives and self._random.random() < 0.7:
            return
        if self._story.cluster.api.away:
            if lives:
                self._agenda.after(5.0, lambda: self._call(pod, number))
            return
        self._request(pod, number)

    def _request(self, pod: Pod, number: int) -> None:
        """Find the run of a call or create it, as the API does."""
        caller, attempt = pod.owner_uid, pod.workload.attempt
        key = pod.run[0], called_run_name(_DEPLOYMENT, _DEPLOYMENT, caller, str(number))
        stored = self._server.runs.get(key)
        if stored is None and key not in self._history:
            self._create(key, pod, number)
        elif stored is not None and self._called_in[key[1]] < attempt:
            self._called_in[key[1]] = attempt
            self._story.seen["a called run was found again"] += 1
            state = stored.model.status.state
            if state is not None and state.type in {FAILED, CRASHED}:
                self._story.seen["a called run was run again"] += 1
                self._story.people.rerun(key)

    def _create(self, key: Name, pod: Pod, number: int) -> None:
        detached = number == 2
        called_by = {"uid": pod.owner_uid, "name": pod.run[1], "attempt": pod.workload.attempt, "detached": detached}
        uid = f"run-{self._server.next_version()}"
        metadata = {
            "name": key[1],
            "namespace": key[0],
            "uid": uid,
            "generation": 1,
            "creationTimestamp": self._agenda.now.replace(microsecond=0),
        }
        run = FlowRun.model_validate({"metadata": metadata, "spec": {"deployment": _DEPLOYMENT, "calledBy": called_by}})
        self._called_in[key[1]] = pod.workload.attempt
        (self._detached if detached else self._attached)[uid] = pod.owner_uid
        if self._random.random() < 0.2:
            self._callers[uid] = 1
        try:
            self._server.create_run(Stored(run))
        except Rejected:
            return
        self._history[key] = uid
        self.made[pod.owner_uid, number].add(uid)
        self._story.seen["a run was called"] += 1
        self._agenda.after(PATIENCE_SECONDS, lambda: self._check_called(pod.run, pod.owner_uid))

    # Invariants.

    def _check_called(self, caller: Name, caller_uid: str) -> None:
        """Long after a run was cancelled or deleted, the runs it called are cancelled and have stopped."""
        since = self._cancelled.get(caller_uid)
        if since is None or self._agenda.seconds - since < PATIENCE_SECONDS - 1 or not self._story.was_served(PATIENCE_SECONDS):
            return
        there = self._server.runs.get(caller)
        known = there is not None and there.model.metadata.uid == caller_uid
        # An operator that started after a caller was deleted has no record of it.
        if not known and not self._story.was_calm_since(since - 1):
            return
        for stored in list(self._server.runs.values()):
            uid = stored.model.metadata.uid
            created = stored.model.metadata.creation_timestamp
            if self._attached.get(uid) != caller_uid or stored.problem is not None or created is None:
                continue
            if (self._agenda.now - created).total_seconds() < PATIENCE_SECONDS:
                continue
            run = stored.model
            stopped = run.status.is_terminal or run.spec.cancel or run.metadata.deletion_timestamp is not None
            self._story.referee.demand(stopped, f"{run.metadata.name} goes on although {caller[1]}, which called it, was cancelled")
            self._story.referee.nothing_runs_for(uid, "the run that called it was cancelled")
            self._story.seen["what a cancelled run called was cancelled"] += run.spec.cancel

    def check(self) -> None:
        """At the end, each call has one run, and operators cancelled only runs whose caller was cancelled."""
        demand = self._story.referee.demand
        for (caller, number), uids in self.made.items():
            demand(len(uids) == 1, f"call {number} of {caller} made {uids}")
        for uid in self._server.cancelled:
            if uid in self._story.limited.replaceable:
                continue
            demand(self._attached.get(uid) in self._cancelled, f"{uid} was cancelled, and the run that called it was not")
