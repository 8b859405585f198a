"""What happens to pods: they start, end, crash, hang, are evicted, lose their node, listen to SIGTERM or do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, State
from mintaka_core.workloads import Phase, StartIssue
from simulated.server import Pod

if TYPE_CHECKING:
    from random import Random

    from mintaka_core.resources import FlowRun
    from simulated.agenda import Agenda
    from simulated.server import Server

_NEVER = 1e9
_GRACE_SECONDS = 30.0


def _crash(reason: str) -> State:
    return State(CRASHED, reason=reason, message=f"{reason} happened")


#: How code that runs may end by itself: what it amounts to, whether another try may help, how often that is.
_ENDS: tuple[tuple[State, bool, int], ...] = (
    (State(COMPLETED), True, 12),
    (State(FAILED, reason="ValueError", message="no such file"), True, 4),
    (State(FAILED, reason="TypeError", message="hopeless"), False, 1),
    (State(FAILED, reason="NonZeroExit", message="exit code 3"), True, 1),
    (_crash("OOMKilled"), True, 2),
    (_crash("ExitedWithoutReport"), True, 1),
    (_crash("Evicted"), True, 1),
    (_crash("Preempted"), True, 1),
    (State(CANCELLED), True, 1),
    (State(PAUSED, "Suspended", message="waits for approval"), True, 3),
)


class Kubelet:
    """Gives each new pod a life; `skew` is how far the nodes' clocks are off."""

    def __init__(self, agenda: Agenda, server: Server, random: Random) -> None:
        self._agenda, self._server, self._random = agenda, server, random
        self._skew = timedelta(seconds=random.choice([0, 0, 0, -1, 1]))
        self._known: set[str] = set()
        self._stopping: set[str] = set()
        self._dead: set[str] = set()
        server.watchers.append(self._watch)

    def _watch(self, kind: str, name: str, found: FlowRun | Pod | None) -> None:
        if kind != "pod" or not isinstance(found, Pod):
            return
        uid = found.workload.uid
        if uid not in self._known:
            self._known.add(uid)
            self._live(name, uid)
        if found.workload.stopping_time is not None and uid not in self._stopping:
            self._stopping.add(uid)
            self._agenda.after(self._random.uniform(0, 1), lambda: self._terminate(name, uid))

    def _see(self, name: str, uid: str, **changes: Any) -> None:
        """Write a pod's status, while it exists and its node lives."""
        pod = self._server.pods.get(name)
        if pod is None or pod.workload.uid != uid or uid in self._dead or pod.workload.end is not None:
            return
        self._server.put_pod(name, pod.owner_uid, replace(pod.workload, **changes))

    def _clock(self) -> Any:
        """The node's clock, in whole seconds as Kubernetes tells times."""
        return (self._agenda.now + self._skew).replace(microsecond=0)

    # A life.

    def _live(self, name: str, uid: str) -> None:
        random, start = self._random, self._random.expovariate(1 / 4)
        match random.choices(["starts", "refused", "hopeless", "pulls", "unschedulable", "stuck"], [80, 4, 2, 4, 3, 2])[0]:
            case "refused":
                self._agenda.after(start, lambda: self._refuse(name, uid))
            case "hopeless":
                self._agenda.after(
                    start, lambda: self._see(name, uid, start_issue=StartIssue("InvalidImageName", "bad name", timedelta(0)))
                )
            case "pulls":
                self._agenda.after(start, lambda: self._see(name, uid, start_issue=StartIssue("ImagePullBackOff", "not there yet")))
                self._agenda.after(start + random.expovariate(1 / 60), lambda: self._start(name, uid))
            case "unschedulable":
                self._agenda.after(start, lambda: self._see(name, uid, start_issue=StartIssue("Unschedulable", "no node")))
                self._agenda.after(start + random.expovariate(1 / 200), lambda: self._start(name, uid))
            case "starts":
                self._agenda.after(start, lambda: self._start(name, uid))
        if random.random() < 0.03:
            self._agenda.after(random.expovariate(1 / 30), lambda: self._lose_node(name, uid))

    def _refuse(self, name: str, uid: str) -> None:
        self._see(name, uid, phase=Phase.ENDED, alive=False, never_ran=True, end=_crash("OutOfcpu"))

    def _start(self, name: str, uid: str) -> None:
        if uid in self._stopping and self._random.random() < 0.7:
            return
        self._see(name, uid, phase=Phase.RUNNING, started_time=self._clock(), start_issue=None)
        duration = _NEVER if self._random.random() < 0.06 else self._random.expovariate(1 / 25)
        self._agenda.after(duration, lambda: self._end_by_itself(name, uid))

    def _end_by_itself(self, name: str, uid: str) -> None:
        end, retriable, _ = self._random.choices(_ENDS, [weight for *_, weight in _ENDS])[0]
        company = end.type != CRASHED and self._random.random() < 0.25
        waiting: dict[str, Any] = {}
        if end.type == PAUSED:
            patience = self._random.choice([None, timedelta(seconds=self._random.uniform(1, 60))])
            waiting = {"suspension": uid, "resume_by": self._clock() + patience if patience else None}
        complete = self._random.choice([True, True, False, None])
        self._end(name, uid, end, alive=company, retriable=retriable, history_complete=complete, **waiting)

    def _end(self, name: str, uid: str, end: State, **changes: Any) -> None:
        values = {"phase": Phase.ENDED, "alive": False, "ended_time": self._clock(), "start_issue": None, "end": end, **changes}
        self._see(name, uid, **values)

    # A death.

    def _terminate(self, name: str, uid: str) -> None:
        """The pod was told to stop: it does so at once, in time, or when it is killed; its node may not be there."""
        pod = self._server.pods.get(name)
        if pod is None or pod.workload.uid != uid or uid in self._dead:
            return
        workload = pod.workload
        if workload.phase == Phase.ENDED:
            delay, end = self._random.uniform(0, _GRACE_SECONDS), _crash("PodDeleted")
        elif workload.phase == Phase.PENDING:
            delay, end = self._random.uniform(0, 2), _crash("PodDeleted")
        elif self._random.random() < 0.2:
            delay, end = _GRACE_SECONDS, _crash("PodDeleted")
        else:
            delay = self._random.uniform(0, _GRACE_SECONDS)
            end = self._random.choices(
                [_crash("PodDeleted"), State(FAILED, reason="Stopped"), State(COMPLETED), State(CANCELLED)],
                [6, 2, 1, 1],
            )[0]
        self._agenda.after(delay, lambda: self._finish(name, uid, end))

    def _finish(self, name: str, uid: str, end: State) -> None:
        """It ends, unless it has; what lived on beside the flow ends too; then the pod is gone."""
        if uid in self._dead:
            return
        pod = self._server.pods.get(name)
        if pod is not None and pod.workload.uid == uid and pod.workload.end is not None:
            if pod.workload.alive:
                self._server.put_pod(name, pod.owner_uid, replace(pod.workload, alive=False))
        elif pod is not None and pod.workload.started_time is None:
            self._end(name, uid, _crash("PodDeleted"), ended_time=None)
        else:
            self._end(name, uid, end)
        if self._random.random() < 0.5:
            self._server.remove_pod(name, uid)
        else:
            self._agenda.after(self._random.uniform(0, 3), lambda: self._server.remove_pod(name, uid))

    def _lose_node(self, name: str, uid: str) -> None:
        """Nothing is heard of it any more; after a while the control plane gives it up, by deletion or for good."""
        pod = self._server.pods.get(name)
        if pod is None or pod.workload.uid != uid or pod.workload.end is not None:
            return
        self._dead.add(uid)
        if self._random.random() < 0.5:
            self._agenda.after(self._random.uniform(20, 60), lambda: self._give_up(name, uid))

    def _give_up(self, name: str, uid: str) -> None:
        self._dead.discard(uid)
        self._end(name, uid, _crash("NodeLost"))
