"""Deployments that limit how many of their runs are active: their plots, and what must hold about the slots of a key.

Never are more attempts of a key alive than its limit, runs get their slots in the order that follows from their specs, and no slot is
lost: while a run waits for one, all are taken.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_core.concurrency import LIMIT_REACHED, Place, Policy, place_of
from mintaka_core.states import AWAITING_CONCURRENCY_SLOT, CANCELLED, SCHEDULED
from simulated.agenda import START

if TYPE_CHECKING:
    from mintaka_controller.ports import Name
    from mintaka_core.resources import FlowRun
    from mintaka_core.resources.concurrency import Concurrency
    from simulated.events import Event
    from simulated.pods import Pod
    from simulated.server import Stored
    from simulated.story import Story

#: How long an operator may act on an earlier limit: it receives another one late, or by its next listing.
_HEARD_SECONDS = 100.0
#: A run that has waited for so long is known to its operator, as it is.
_SETTLED_SECONDS = 10.0
#: While nothing goes wrong, a slot is free no longer than this while a run waits for it.
_TAKEN_SECONDS = 5.0


class LimitedDeployments:
    """`begin` plans a plot; `busiest` is the largest number of live attempts of a key that was seen at a time."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._random, self._agenda, self._server = story.random, story.agenda, story.server
        #: By deployment: each limit, and until when it may be acted upon.
        self._limits: dict[Name, list[tuple[float, Concurrency | None]]] = {}
        self._known: set[str] = set()
        self._changed: dict[str, tuple[float, Any]] = {}
        self.busiest = 0
        #: The uids of runs whose deployment has the policy Replace.
        self.replaceable: set[str] = set()
        self._server.watchers.append(self._watch)

    # The plot.

    def begin(self) -> None:
        """One deployment with a limit, or two that share one; runs come one by one or all at once, some with a priority."""
        random, story = self._random, self._story
        namespace = random.choice(story.namespaces)
        policy = random.choice([*Policy, Policy.QUEUE, Policy.QUEUE])
        concurrency = {"limit": random.choice([1, 1, 2, 3]), "policy": policy.value}
        names = ["limited"] if random.random() < 0.6 else ["limited", "limited-too"]
        for name in names:
            key = {"key": random.choice(["shared", "cluster/shared"])} if len(names) > 1 and name == names[0] else {}
            concurrency |= key
            self._deploy(namespace, name, concurrency)
        if random.random() < 0.3:
            other = {**concurrency, "limit": random.choice([1, 2, 5])}
            self._agenda.after(random.uniform(20, 120), lambda: self._deploy(namespace, names[0], other))
        if random.random() < 0.1:
            self._agenda.after(random.uniform(20, 120), lambda: self._server.delete_deployment((namespace, names[-1])))
        burst = random.random() < 0.5
        for _ in range(random.choice([4, 8, 12])):
            spec: dict[str, Any] = {"deployment": random.choice(names)}
            if random.random() < 0.3:
                spec["priority"] = random.choice([-1, 1, 5])
            if random.random() < 0.1:
                spec["scheduledTime"] = self._agenda.now + timedelta(seconds=random.uniform(0, 100))
            when = 1.0 if burst else random.uniform(0, 100)
            self._agenda.after(when, lambda spec=spec: story.create_run(namespace, spec))  # type: ignore[misc]

    def _deploy(self, namespace: str, name: str, concurrency: dict[str, Any]) -> None:
        self._story.deploy(namespace, name, concurrency=concurrency)

    # What is seen.

    def _watch(self, event: Event) -> None:
        if event.kind == "deployment":
            found = event.found.model.spec.concurrency if event.found is not None else None
            self._limits.setdefault(event.key, []).append((self._agenda.seconds, found))
        elif event.kind == "run" and event.found is not None:
            self._see_run(event.found)
        elif event.kind == "workload" and event.found is not None and event.uid not in self._known:
            self._known.add(event.uid)
            self._check_new(event.found)

    def _see_run(self, stored: Stored[FlowRun]) -> None:
        run = stored.model
        spec = run.spec, run.metadata.deletion_timestamp
        if self._changed.get(run.metadata.uid, (0.0, None))[1] != spec:
            self._changed[run.metadata.uid] = self._agenda.seconds, spec
        state = run.status.state
        history = self._limits.get((run.metadata.namespace, run.spec.deployment or ""), [])
        if any(each is not None and each.policy is Policy.REPLACE for _, each in history):
            self.replaceable.add(run.metadata.uid)
        if state is not None and state.reason == AWAITING_CONCURRENCY_SLOT:
            self._story.seen["a run waited for a slot"] += 1
            if state.type == SCHEDULED:
                uid, since = run.metadata.uid, state.time
                self._agenda.after(_SETTLED_SECONDS, lambda: self._check_taken(uid, since))
        elif state is not None and (state.type, state.reason) == (CANCELLED, LIMIT_REACHED):
            self._story.seen["a new run was refused"] += 1

    def key_of(self, run: FlowRun) -> Name | None:
        """The key of a run, as its deployment states now."""
        namespace, deployment = run.metadata.namespace, run.spec.deployment or ""
        stored = self._server.deployments.get((namespace, deployment))
        concurrency = stored.model.spec.concurrency if stored is not None and stored.problem is None else None
        if concurrency is None:
            return None
        key = concurrency.key or deployment
        return ("", key) if key.startswith("cluster/") else (namespace, key)

    def live(self, key: Name) -> list[Pod]:
        """The attempts of a key that may run code."""
        runs = {stored.model.metadata.uid: stored.model for stored in self._server.runs.values()}
        pods = [pod for pod in self._server.pods.by_key.values() if pod.workload.alive and pod.workload.end is None]
        return [pod for pod in pods if pod.owner_uid in runs and self.key_of(runs[pod.owner_uid]) == key]

    def limit(self, key: Name, *, lately: bool) -> int | None:
        """The limit of a key; with `lately` the highest that may still be acted upon. None: there is no limit."""
        since = self._agenda.seconds - _HEARD_SECONDS
        found: list[int] = []
        for name, history in self._limits.items():
            there = [each for at, each in history[:-1] if lately and at > since] + [each for _, each in history[-1:]]
            before = [each for at, each in history if at <= since][-1:] if lately else []
            for each in (*there, *before):
                if each is None or each.policy is Policy.ALLOW:
                    if lately and (each is None or any(self._same(name, other, key) for _, other in history if other)):
                        return None
                    continue
                if self._same(name, each, key):
                    found.append(each.limit)
        return (max(found) if lately else min(found)) if found else None

    def _same(self, name: Name, concurrency: Concurrency, key: Name) -> bool:
        text = concurrency.key or name[1]
        return (("", text) if text.startswith("cluster/") else (name[0], text)) == key

    # What must hold.

    def _check_new(self, pod: Pod) -> None:
        stored = self._server.runs.get(pod.run)
        if stored is None or stored.model.metadata.uid != pod.owner_uid:
            return
        key = self.key_of(stored.model)
        if key is None:
            return
        limit, live = self.limit(key, lately=True), self.live(key)
        referee = self._story.referee
        self.busiest = max(self.busiest, len(live))
        late = any(each.owner_uid in referee.pods.late for each in live) or self._story.cluster.late
        if limit is not None and not referee.overlapping and not late:
            names = [each.workload.name for each in live]
            referee.demand(len(live) <= limit, f"{names} are alive, and key {key} admits {limit}")
            self._check_order(stored.model, key)

    def _check_order(self, run: FlowRun, key: Name) -> None:
        """No run that waits, and has done so for long, comes before it."""
        if not self._story.was_calm_since(self._agenda.seconds - _SETTLED_SECONDS):
            return
        for stored in self._server.runs.values():
            other = stored.model
            if other is run or self.key_of(other) != key or not self._waits(other):
                continue
            ahead = self._place(other) < self._place(run)
            self._story.referee.demand(not ahead, f"{run.metadata.name} got a slot of {key} before {other.metadata.name}, which is next")

    def _waits(self, run: FlowRun) -> bool:
        """It waits for a slot and for nothing else, and its operator has seen it."""
        state, spec = run.status.state, run.spec
        if (
            state is None
            or state.reason != AWAITING_CONCURRENCY_SLOT
            or spec.suspend
            or spec.cancel
            or run.metadata.deletion_timestamp is not None
        ):
            return False
        if any(pod.workload.alive for pod in self._server.pods.of_run(run.metadata.uid)):
            return False
        settled = self._agenda.now - state.time > timedelta(seconds=_SETTLED_SECONDS)
        return settled and self._agenda.seconds - self._changed[run.metadata.uid][0] > _SETTLED_SECONDS

    def _place(self, run: FlowRun) -> Place:
        stored = self._server.deployments.get((run.metadata.namespace, run.spec.deployment or ""))
        priority = run.spec.priority if run.spec.priority is not None else (stored.model.spec.priority or 0) if stored else 0
        return place_of(priority, run.spec.scheduled_time, run.metadata.creation_timestamp or START, run.metadata.uid)

    def _check_taken(self, uid: str, since: object) -> None:
        """While it waits, all slots are taken."""
        run = next((stored.model for stored in self._server.runs.values() if stored.model.metadata.uid == uid), None)
        state = run.status.state if run is not None else None
        if run is None or state is None or state.time != since or state.reason != AWAITING_CONCURRENCY_SLOT:
            return
        self._agenda.after(_SETTLED_SECONDS, lambda: self._check_taken(uid, since))
        if self._waits(run) and self._story.was_calm_since(self._agenda.seconds - _SETTLED_SECONDS):
            key = self.key_of(run)
            if key is not None and not self.is_full(key):
                self._agenda.after(_TAKEN_SECONDS, lambda: self._still_free(uid, since, key))

    def _still_free(self, uid: str, since: object, key: Name) -> None:
        run = next((stored.model for stored in self._server.runs.values() if stored.model.metadata.uid == uid), None)
        state = run.status.state if run is not None else None
        stuck = run is not None and state is not None and state.time == since and self._waits(run) and not self.is_full(key)
        calm = self._story.was_calm_since(self._agenda.seconds - _SETTLED_SECONDS)
        alive = run is not None and not any(self._is_next(run, stored.model, key) for stored in self._server.runs.values())
        self._story.referee.demand(not (stuck and calm and alive), f"{uid} waits for a slot of {key}, of which one is free")

    def _is_next(self, run: FlowRun, other: FlowRun, key: Name) -> bool:
        """Another run may be about to take the slot."""
        return other is not run and self.key_of(other) == key and not other.status.is_terminal and not self._waits(other)

    def is_full(self, key: Name) -> bool:
        """True if all slots of a key are taken."""
        limit = self.limit(key, lately=False)
        return limit is not None and len(self.live(key)) >= limit

    def waits_for_slot(self, run: FlowRun) -> bool:
        """True for a run that rightly waits: all slots of its key are taken."""
        key, state = self.key_of(run), run.status.state
        if state is None or state.reason != AWAITING_CONCURRENCY_SLOT:
            return False
        return key is None or self.is_full(key)
