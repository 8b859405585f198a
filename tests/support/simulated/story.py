"""One seeded story: a run, its world, and all that goes wrong for a while; afterwards everything must come to rest."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from mintaka_core import names
from mintaka_core.resources import FlowRun, FlowTemplate
from simulated.agenda import START, Agenda
from simulated.kubelet import Kubelet
from simulated.operators import RELIST_SECONDS, Operator, Settings, Weather
from simulated.referee import PATIENCE_SECONDS, Referee
from simulated.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = "r"
#: Wishes and faults come in this time; what goes on by itself afterwards gets `_PATIENCE`, then its owner cancels it.
_TROUBLED_SECONDS = 300.0
_CALM = Weather()
_PATIENCE_AFTER = 1200.0
_REST_AFTER = 2400.0
_STEPS = 50_000


class Story:
    """Everything about it follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.agenda = Agenda()
        self.server = Server(self.agenda)
        self.overlapping = self.random.random() < 0.25
        self.settings = self._settings()
        self.kubelet = Kubelet(self.agenda, self.server, self.random)
        self.referee = Referee(self.agenda, self.server, self.settings.template, overlapping=self.overlapping)
        if self.random.random() < 0.9:
            self.server.watchers.append(self._mirror)
        self.weather = self._weather()
        self.past: list[Operator] = []
        self.operators = [self._operator()]
        self._suspended_since = 0
        self._create_run()
        self._fate()

    def tell(self) -> Story:
        """Let it happen; raises Broken where an invariant does not hold."""
        self._go_to(_TROUBLED_SECONDS)
        self._calm_down()
        self._go_to(_TROUBLED_SECONDS + _PATIENCE_AFTER, until_over=True)
        self.referee.nothing_waits()
        self._wish(lambda spec: spec.model_copy(update={"cancel": True}))
        self._go_to(self.agenda.seconds + _REST_AFTER, until_over=True)
        self._go_to(self.agenda.seconds + 4 * RELIST_SECONDS)
        self._go_to(self.agenda.seconds + _REST_AFTER, until_over=True, until_still=True)
        self.referee.nothing_lives()
        return self

    def _go_to(self, seconds: float, *, until_over: bool = False, until_still: bool = False) -> None:
        for _ in range(_STEPS):
            if until_over and self._over() and not (until_still and self._anything_alive()):
                return
            if not self.agenda.step(seconds):
                return
        message = f"after {_STEPS} steps it is only {self.agenda.seconds:.0f} s: something goes round in circles"
        raise AssertionError(message)

    def _over(self) -> bool:
        return all(run.status.is_terminal for run in self.server.runs.values())

    def _anything_alive(self) -> bool:
        return any(pod.workload.alive for pod in self.server.pods.values())

    # The setting.

    def _settings(self) -> Settings:
        random = self.random
        return Settings(
            template=self._template() if random.random() < 0.97 else None,
            ttl=timedelta(days=7) if random.random() < 0.8 else timedelta(seconds=random.choice([0, 30])),
            mirrored=random.random() < 0.7,
        )

    def _template(self) -> FlowTemplate:
        random = self.random
        budget: Callable[[], dict[str, Any]] = lambda: {  # noqa: E731 - drawn twice
            "limit": random.choice([0, 0, 1, 2, 5, 20]),
            "backoff": {"delaySeconds": random.choice([0, 1, 5]), "maxSeconds": 20, "jitter": random.choice([0, 0.5])},
            "reasons": random.choice([[], [], ["Evicted", "OOMKilled"]]),
        }
        timeout = {"timeoutSeconds": random.choice([5, 20, 60])} if random.random() < 0.5 else {}
        return FlowTemplate.model_validate(
            {
                "entrypoint": "m:f",
                "retries": {"onFailure": budget(), "onCrash": budget()},
                "pendingTimeoutSeconds": random.choice([5, 30, 120]),
                **timeout,
            }
        )

    def _weather(self) -> Weather:
        random = self.random
        if random.random() < 0.2:
            return _CALM
        return Weather(
            lost=random.choice([0, 0.05, 0.3]),
            late=random.choice([0, 0.1, 0.5]),
            twice=random.choice([0, 0.1]),
            failing=random.choice([0, 0.02, 0.2]),
            deadly=random.choice([0, 0.01, 0.1]),
        )

    def _operator(self) -> Operator:
        skew = self.random.choice([0, 0, 0, -1.5, 1.5])
        operator = Operator(self.agenda, self.server, self.random, self.weather, self.settings, skew)
        self.past.append(operator)
        self.agenda.after(1.0, lambda: self._nurse(operator))
        return operator

    def _nurse(self, operator: Operator) -> None:
        """Kubernetes starts it anew when it died."""
        if operator.alive:
            self.agenda.after(1.0, lambda: self._nurse(operator))
        elif operator in self.operators:
            self.operators.remove(operator)
            self.operators.append(self._operator())

    def _create_run(self) -> None:
        random = self.random
        due = START + timedelta(seconds=random.uniform(0, 120)) if random.random() < 0.2 else None
        metadata = {"name": _NAME, "uid": "u", "generation": 1, "creationTimestamp": START}
        spec = {"deployment": "d", "suspend": random.random() < 0.05, "cancel": random.random() < 0.02, "scheduledTime": due}
        self.server.create_run(FlowRun.model_validate({"metadata": metadata, "spec": spec}))

    def _mirror(self, kind: str, name: str, found: Any) -> None:
        """The API has the whole history of a finished run that is to go: it lets go of it."""
        if kind != "run" or found is None or found.metadata.deletion_timestamp is None or not found.status.is_terminal:
            return
        version = int(found.metadata.resource_version)
        self.agenda.after(self.random.expovariate(1 / 5), lambda: self._release(name, version))

    def _release(self, name: str, version: int) -> None:
        run = self.server.runs.get(name)
        if run is not None and int(run.metadata.resource_version) == version and names.MIRROR_FINALIZER in run.metadata.finalizers:
            self.server.set_finalizers(name, version, ())

    # What people and chance do.

    def _fate(self) -> None:
        random = self.random
        whens = sorted(random.uniform(0, _TROUBLED_SECONDS * 0.8) for _ in range(random.choice([0, 0, 1, 2, 4])))
        for when in whens:
            self.agenda.after(when, self._meddle)
        if random.random() < 0.4:
            self.server.watchers.append(self._in_the_way)
        for _ in range(random.choice([0, 0, 1, 3])):
            self.agenda.after(random.uniform(0, _TROUBLED_SECONDS), self._kill_operator)
        if random.random() < 0.15:
            self.agenda.after(random.uniform(0, 60), lambda: self._quota(open_=False))
            self.agenda.after(random.uniform(60, 200), lambda: self._quota(open_=True))
        if self.overlapping:
            self.agenda.after(random.uniform(0, 100), lambda: self.operators.append(self._operator()))
            self.agenda.after(random.uniform(100, _TROUBLED_SECONDS), self._one_is_enough)

    def _meddle(self) -> None:
        """One thing that people do."""
        self.random.choices([self._cancel, self._suspend, self._resume, self._delete, self._kill_pod, self._rerun], [2, 4, 4, 1, 4, 4])[0]()

    def _in_the_way(self, kind: str, _: str, found: Any) -> None:
        """At the very moment at which a pod is made, its end is written or a wish is heard, something else happens."""
        random = self.random
        if found is None or self.agenda.seconds > _TROUBLED_SECONDS or random.random() > (0.1 if kind == "pod" else 0.04):
            return
        action = random.choices([self._meddle, self._kill_operator, self._suspend, self._resume, self._rerun], [4, 2, 1, 3, 2])[0]
        self.agenda.after(random.choice([random.uniform(0, 0.1), random.uniform(0, 5)]), lambda: self._while_troubled(action))

    def _while_troubled(self, action: Callable[[], None]) -> None:
        if self.agenda.seconds < _TROUBLED_SECONDS:
            action()

    def _wish(self, change: Callable[[Any], Any]) -> None:
        if _NAME in self.server.runs:
            self.server.change_spec(_NAME, change)

    def _cancel(self) -> None:
        self._wish(lambda spec: spec.model_copy(update={"cancel": True}))

    def _suspend(self) -> None:
        self._suspended_since += 1
        number = self._suspended_since
        self._wish(lambda spec: spec.model_copy(update={"suspend": True}))
        self.agenda.after(PATIENCE_SECONDS, lambda: self._check_suspension(number))
        if self.random.random() < 0.3:
            self.agenda.after(self.random.uniform(0, 20), lambda: self._while_troubled(self._resume))

    def _resume(self) -> None:
        self.referee.resumed += 1
        self._suspended_since += 1
        self._wish(lambda spec: spec.model_copy(update={"suspend": False}))

    def _rerun(self) -> None:
        self.referee.reruns += 1
        self._wish(lambda spec: spec if spec.cancel else spec.model_copy(update={"reruns": self.referee.reruns}))

    def _check_suspension(self, number: int) -> None:
        if number == self._suspended_since:
            self.referee.nothing_runs_for(_NAME, "the run is suspended")

    def _delete(self) -> None:
        run = self.server.runs.get(_NAME)
        if run is not None:
            self.server.delete_run(_NAME, run.metadata.uid)

    def _kill_pod(self) -> None:
        """Somebody deletes a pod by hand, with or without --force."""
        alive = [pod for pod in self.server.pods.values() if pod.workload.alive]
        if alive:
            pod = self.random.choice(alive)
            if pod.workload.stopping_time is None:
                self.referee.stopped_by_people.add((pod.owner_uid, pod.workload.attempt))
            self.server.delete_pod(pod.workload.name, pod.workload.uid, force=self.random.random() < 0.3)

    def _kill_operator(self) -> None:
        if self.operators:
            self.random.choice(self.operators).die()

    def _quota(self, *, open_: bool) -> None:
        self.server.quota = open_

    def _one_is_enough(self) -> None:
        for operator in self.operators[1:]:
            self.operators.remove(operator)
            operator.die()

    def _calm_down(self) -> None:
        """No more faults, and nobody holds the run back any more; from now on it has to come to its end."""
        self.weather = _CALM
        self.server.quota = True
        self._resume()
        self._one_is_enough()
        for operator in self.operators:
            operator.weather = _CALM
