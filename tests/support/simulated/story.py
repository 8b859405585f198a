"""One seeded story: some runs, their world, and all that goes wrong for a while; afterwards everything must come to rest."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from mintaka_controller.context import ControllerSettings
from mintaka_controller.reconciler import PENDING_SECONDS
from mintaka_core.reconciling.observation import Retention
from mintaka_core.resources import FlowDeployment, FlowRun
from mintaka_core.transitions import is_users_rule
from simulated import plots
from simulated.calls import Calls
from simulated.cluster import Cluster
from simulated.faults import CALM, Faults
from simulated.limited_deployments import LimitedDeployments
from simulated.operators import Operator
from simulated.people import People
from simulated.referee import Referee
from simulated.server import Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Name, ObjectProblem

RELIST_SECONDS = 20.0
#: Wishes and faults come in this time; what goes on by itself afterwards gets `_PATIENCE_AFTER`, then its owner cancels it.
TROUBLED_SECONDS = 300.0
_PATIENCE_AFTER = 1200.0
_REST_AFTER = 2400.0
#: When a run has a state at the latest, if its operator is not busy.
_STATE_WITHIN = 10.0
_NEVER_BUSY = 100
_MIRROR_PATIENCE = timedelta(seconds=200)
#: The mirror's patience, relists and retries.
_LET_GO = timedelta(seconds=380)
_SLACK = timedelta(seconds=180)
_RETENTION = Retention(timedelta(seconds=20), timedelta(seconds=60), timedelta(seconds=100), timedelta(seconds=20))


class Story:
    """Everything about it follows from the seed; `only` names the plots that are in it, whatever the seed says (None: as it says)."""

    def __init__(self, seed: int, *, only: tuple[str, ...] | None = None) -> None:
        self.random = Random(seed)
        self.cluster = Cluster(self.random)
        self.agenda, self.server = self.cluster.agenda, self.cluster.server
        self.overlapping = self.random.random() < 0.2
        self.settings = self._settings()
        self.referee = Referee(
            self.cluster,
            logs_kept=self.settings.mirrored and self.settings.retention is not None,
            overlapping=self.overlapping,
        )
        self.referee.was_calm_since = self.was_calm_since
        self.faults = self._faults()
        self.state_within = _STATE_WITHIN + (PENDING_SECONDS if self.settings.busy_queue < _NEVER_BUSY else 0.0)
        # A request whose answer got lost is made again.
        asked_again = 2 if self.faults.failing or self.faults.hanging else 1
        self.referee.waiting.asked_at_once = asked_again * self.settings.workers
        self.referee.waiting.asked_again = asked_again
        self.troubled_seconds = TROUBLED_SECONDS
        self.respawn_seconds = 1.0
        self.unserved_until = 0.0
        self.calm_since = 0.0
        self.uninstalled_at: float | None = None
        self.seen: Counter[str] = Counter()
        self.at_calm: list[Callable[[], None]] = []
        self.past: list[Operator] = []
        self.operators: list[Operator] = []
        self._number = 0
        self.people = People(self)
        self.calls = Calls(self)
        self.limited = LimitedDeployments(self)
        self.referee.waits_for_slot = self.limited.waits_for_slot
        if self.random.random() < 0.1:
            self.cluster.api.away = True  # there is none, or it never comes
        self._settle(only)

    def _settle(self, only: tuple[str, ...] | None) -> None:
        random = self.random
        self.namespaces = ["a", "b"] if random.random() < 0.3 else ["a"]
        self.deploy("a", "d")
        if len(self.namespaces) > 1:
            self.deploy("b", "d")
        for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
            when = 0.0 if random.random() < 0.6 else random.uniform(0, 60)
            self.agenda.after(when, self._create_some_run)
        self.agenda.after(0.0, self.start_operator)
        self.people.plan()
        self.plots = plots.choose(self, only)

    def tell(self) -> Story:
        """Let it happen; raises Broken if an invariant does not hold."""
        try:
            with self.agenda.failing_on_logged_errors():
                self._tell()
        finally:
            self.agenda.close()
        return self

    def _tell(self) -> None:
        self.agenda.go_to(self.troubled_seconds)
        if self.uninstalled_at is not None:
            plots.leave(self)
            return
        self._calm_down()
        self.agenda.go_to(self.troubled_seconds + 2 * RELIST_SECONDS)  # schedules that were suspended may still create a run
        self.agenda.go_to(self.troubled_seconds + _PATIENCE_AFTER, until=self._over)
        self.referee.nothing_waits()
        for key in list(self.server.runs):
            self.server.change_spec(key, cancel=True)
        self.agenda.go_to(self.agenda.seconds + _REST_AFTER, until=self._over)
        self.agenda.go_to(self.agenda.seconds + 4 * RELIST_SECONDS)
        self.agenda.go_to(self.agenda.seconds + _REST_AFTER, until=self._at_rest)
        self.agenda.go_to(self.agenda.seconds)
        self.referee.nothing_lives(_LET_GO)
        if self.settings.retention is not None:
            self.agenda.go_to(self.agenda.seconds + 60 + 100 + _SLACK.total_seconds())
            self.referee.pods.nothing_outlives(self.settings.retention, _SLACK)
        plots.check(self)
        self.calls.check()
        self.agenda.go_to(self.agenda.seconds)

    def _over(self) -> bool:
        return all(stored.model.status.is_terminal for stored in self.server.runs.values())

    def _at_rest(self) -> bool:
        return self._over() and not any(pod.workload.alive or pod.workload.deleted for pod in self.server.pods.by_key.values())

    # The setting.

    def _settings(self) -> ControllerSettings:
        random = self.random
        return ControllerSettings(
            workers=random.choice([1, 2, 8]),
            lane_limit=random.choice([1, 4]),
            mirrored=random.random() < 0.75,
            mirror_patience=_MIRROR_PATIENCE,
            retention=_RETENTION if random.random() < 0.9 else None,
            relist=timedelta(seconds=RELIST_SECONDS),
            busy_queue=random.choice([-1, 0, _NEVER_BUSY]),
        )

    def template(self, **fields: Any) -> dict[str, Any]:
        """Something to run."""
        random = self.random
        budget: Callable[[], dict[str, Any]] = lambda: {  # noqa: E731 - drawn twice
            "limit": random.choice([0, 0, 1, 2, 5, 20]),
            "backoff": {"delaySeconds": random.choice([0, 0, 1, 5]), "maxSeconds": 20, "jitter": random.choice([0, 0.5])},
            "reasons": random.choice([[], [], ["Evicted", "OOMKilled"]]),
        }
        timeout = {"timeoutSeconds": random.choice([5, 20, 60])} if random.random() < 0.5 else {}
        code = {"entrypoint": "m:f"} if random.random() < 0.8 else {"podTemplate": {"spec": {}}}
        retries = {"onFailure": budget(), "onCrash": budget()}
        return {**code, "retries": retries, "pendingTimeoutSeconds": random.choice([5, 30, 120]), **timeout, **fields}

    def deploy(self, namespace: str, name: str, *, problem: ObjectProblem | None = None, **fields: Any) -> None:
        """Create or change a deployment."""
        random, key = self.random, (namespace, name)
        ttl = 604800 if random.random() < 0.8 else random.choice([0, 30])
        history = {"limit": random.choice([100, 100, 100, 3, 1, 0]), "ttlSecondsAfterFinished": ttl}
        known = self.server.deployments.get(key)
        uid = known.model.metadata.uid if known else f"deployment-{self.server.next_version()}"
        metadata = {"name": name, "namespace": namespace, "uid": uid, "generation": 1, "creationTimestamp": self.agenda.now}
        spec = self.template(**{"history": history, **fields})
        found = FlowDeployment.model_validate({"metadata": metadata, "spec": spec})
        if problem is not None:
            found = found.model_copy(update={"spec": FlowDeployment.model_validate({"metadata": metadata, "spec": {}}).spec})
        else:
            self.referee.templates[key].append(found.spec)
        self.server.apply_deployment(Stored(found, problem))

    def _create_some_run(self) -> None:
        random = self.random
        namespace = random.choice(self.namespaces)
        what = random.choices(["d", "inline", "gone"], [75, 22, 3])[0]
        spec: dict[str, Any] = {"template": self.template()} if what == "inline" else {"deployment": what}
        if random.random() < 0.2:
            spec["scheduledTime"] = self.agenda.now + timedelta(seconds=random.uniform(0, 120))
        spec |= {"suspend": random.random() < 0.05, "cancel": random.random() < 0.02}
        if self._number and random.random() < 0.3:
            spec["resumeFrom"] = f"r{random.randrange(1, self._number + 1)}"
            self.seen["resumeFrom"] += 1
        self.create_run(namespace, spec)

    def create_run(
        self, namespace: str, spec: dict[str, Any], *, problem: ObjectProblem | None = None, raw_spec: dict[str, Any] | None = None
    ) -> Name:
        """What a user applies; `raw_spec` is what readers get instead of `spec`."""
        self._number += 1
        key = namespace, f"r{self._number}"
        metadata = {
            "name": key[1],
            "namespace": namespace,
            "uid": f"run-{self.server.next_version()}",
            "generation": 1,
            "creationTimestamp": self.agenda.now.replace(microsecond=0),
        }
        if not self.server.namespace(namespace).terminating:
            self.server.create_run(Stored(FlowRun.model_validate({"metadata": metadata, "spec": spec}), problem, raw_spec))
            self.agenda.after(self.state_within, lambda: self._check_that_it_says_something(key, metadata["uid"]))
        return key

    def _check_that_it_says_something(self, key: Name, uid: str) -> None:
        """Within seconds a run has a state, and if it is due and has not started, a reason to read."""
        stored = self.server.runs.get(key)
        calm = self.was_calm_since(self.agenda.seconds - self.state_within)
        if stored is None or stored.model.metadata.uid != uid or not calm or stored.filler:
            return
        state = stored.model.status.state
        self.referee.demand(state is not None, f"{key[1]} has no state {self.state_within:.0f} s after it was created")
        due = stored.model.spec.scheduled_time
        if (
            state is not None
            and state.type == "SCHEDULED"
            and (due is None or due < self.agenda.now - timedelta(seconds=self.state_within - 5))
        ):
            held = any(is_users_rule(record.rule) for record in stored.model.status.transitions[-1:])
            self.referee.demand(bool(state.reason) or held, f"{key[1]} does not say why it waits")

    def _faults(self) -> Faults:
        random = self.random
        if random.random() < 0.25:
            return CALM
        return Faults(
            lost=random.choice([0, 0.05, 0.3]),
            late=random.choice([0, 0.1, 0.5]),
            twice=random.choice([0, 0.1]),
            failing=random.choice([0, 0.02, 0.2]),
            hanging=random.choice([0, 0, 0.02]),
            deadly=random.choice([0, 0.01, 0.1]),
        )

    # Operators.

    def start_operator(self) -> None:
        """Another process, unless it was uninstalled meanwhile."""
        if self.uninstalled_at is not None:
            return
        skew = self.random.choice([0, 0, 0, -1.5, 1.5])
        operator = Operator(self.cluster, self.faults, self.settings, skew)
        self.past.append(operator)
        self.referee.waiting.note_start()
        self.operators.append(operator)
        self.agenda.after(1.0, lambda: self._nurse(operator))

    def _nurse(self, operator: Operator) -> None:
        """Kubernetes starts it anew when it died."""
        if operator.alive:
            self.agenda.after(1.0, lambda: self._nurse(operator))
        elif operator in self.operators:
            self.operators.remove(operator)
            self.agenda.after(self.respawn_seconds - 1.0, self.start_operator)

    def was_served(self, seconds: float) -> bool:
        """True if there was an operator for the last `seconds`, but for restarts."""
        return self.uninstalled_at is None and self.agenda.seconds - self.unserved_until > seconds

    def was_calm_since(self, seconds: float) -> bool:
        """True if there was one operator since that time and nothing went wrong around it."""
        calm = self.faults == CALM and self.uninstalled_at is None and seconds > self.calm_since
        return calm and len(self.operators) == 1 and self.operators[0].alive and self.operators[0].started < seconds

    def kill_operator(self) -> None:
        """It dies, whatever it was doing."""
        if self.operators:
            self.random.choice(self.operators).die()

    def one_is_enough(self) -> None:
        """The second of two operators ends."""
        for operator in self.operators[1:]:
            self.operators.remove(operator)
            operator.die()

    def _calm_down(self) -> None:
        """No more faults, and nobody holds a run back any more; from now on all have to come to their end."""
        self._end_faults()
        for action in self.at_calm:
            action()
        for key in list(self.server.runs):
            self.people.resume(key)
        self.one_is_enough()

    def _end_faults(self) -> None:
        """Nothing goes wrong from now on; what was lost before is healed a little later."""
        self.faults = CALM
        self.calm_since = self.agenda.seconds + 25.0
        for operator in self.operators:
            operator.connection.faults = CALM
