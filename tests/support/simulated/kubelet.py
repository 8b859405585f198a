"""What happens to pods: they are bound, start, end, crash, hang, are evicted, lose their node, listen to SIGTERM or do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, State
from mintaka_core.workloads import Phase, StartIssue
from simulated.pods import Pod

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from mintaka_controller.ports import Name
    from simulated.agenda import Agenda
    from simulated.events import Event
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

_LIVES = {"starts": 80, "refused": 4, "hopeless": 2, "pulls": 4, "unschedulable": 3, "stuck": 2, "sidecar": 3}


class Kubelet:
    """Gives each new pod a life. `started` is when the code of a pod really began to run, by uid; `seen` counts what happened."""

    def __init__(self, agenda: Agenda, server: Server, random: Random) -> None:
        self._agenda, self._server, self._random = agenda, server, random
        self.skew = timedelta(seconds=random.choice([0, 0, 0, -1, 1]))
        self._known: set[str] = set()
        self._stopping: set[str] = set()
        self._dead: set[str] = set()
        self._lags: dict[str, timedelta] = {}
        self.started: dict[str, float] = {}
        self.seen: Counter[str] = Counter()
        server.watchers.append(self._watch)

    def has_log(self, uid: str) -> bool:
        """True if the log of a pod can be read: it began to run, and its node answers."""
        return uid in self.started and uid not in self._dead

    def _watch(self, event: Event) -> None:
        pod = event.found
        if not isinstance(pod, Pod):
            return
        key, uid = event.key, pod.workload.uid
        if uid not in self._known:
            self._known.add(uid)
            self._live(key, uid)
        if pod.workload.deleted and pod.workload.node and not pod.final and uid not in self._stopping:
            self._stopping.add(uid)
            self._agenda.after(self._random.uniform(0, 1), lambda: self._terminate(key, uid))

    def _see(self, key: Name, uid: str, **changes: Any) -> bool:
        """Write a pod's status, while it exists and its node lives."""
        pod = self._server.pods.find(key, uid)
        if pod is None or uid in self._dead or pod.workload.end is not None:
            return False
        self._server.pods.put(replace(pod, workload=replace(pod.workload, **changes)))
        return True

    def _clock(self, uid: str) -> datetime:
        """The node's clock, in whole seconds as Kubernetes writes times, and corrected as far as it is provably behind."""
        return (self._agenda.now + self.skew).replace(microsecond=0) + self._lags.get(uid, timedelta(0))

    def _bind(self, key: Name, uid: str) -> None:
        """The scheduler, whose clock is right, binds the pod, and its kubelet begins with it: earlier, if its own clock is behind."""
        now = self._agenda.now
        lag = now.replace(microsecond=0) - (now + self.skew).replace(microsecond=0)
        if lag > timedelta(seconds=1):
            self._lags[uid] = lag
        self._see(key, uid, node="node")

    # A life.

    def _live(self, key: Name, uid: str) -> None:
        random, after = self._random, self._agenda.after
        bound = random.expovariate(1 / 1.5)
        start = bound + random.expovariate(1 / 2.5)
        fate = random.choices(list(_LIVES), list(_LIVES.values()))[0]
        if fate == "unschedulable":
            after(bound, lambda: self._see(key, uid, start_issue=StartIssue("Unschedulable", "no node")))
            bound += random.expovariate(1 / 200)
            start = bound
        after(bound, lambda: self._bind(key, uid))
        match fate:
            case "refused":
                after(start, lambda: self._refuse(key, uid))
            case "hopeless":
                after(start, lambda: self._see(key, uid, start_issue=StartIssue("InvalidImageName", "bad name", timedelta(0))))
            case "pulls":
                after(start, lambda: self._see(key, uid, start_issue=StartIssue("ImagePullBackOff", "not there yet")))
                after(start + random.expovariate(1 / 60), lambda: self._start(key, uid))
            case "sidecar":
                for again in range(random.choice([1, 3])):
                    after(start + 4 * again, lambda: self._crash_proxy(key, uid))
                    after(start + 4 * again + 2, lambda: self._see(key, uid, start_issue=None))
                after(start + random.expovariate(1 / 15), lambda: self._start(key, uid))
            case "starts" | "unschedulable":
                after(start, lambda: self._start(key, uid))
        if random.random() < 0.03:
            after(random.expovariate(1 / 30), lambda: self._lose_node(key, uid))

    def _crash_proxy(self, key: Name, uid: str) -> None:
        """A native sidecar crashes and is started again."""
        if self._see(key, uid, start_issue=StartIssue("CrashLoopBackOff", "the proxy crashes")):
            self.seen["a sidecar crashed before the flow"] += 1

    def _refuse(self, key: Name, uid: str) -> None:
        self._see(key, uid, phase=Phase.ENDED, alive=False, never_ran=True, end=_crash("OutOfcpu"))

    def _start(self, key: Name, uid: str) -> None:
        pod = self._server.pods.find(key, uid)
        if pod is None or pod.workload.started_time or pod.workload.end or uid in self._dead:
            return
        if uid in self._stopping and self._random.random() < 0.7:
            return
        self.started[uid] = self._agenda.seconds
        self._see(key, uid, phase=Phase.RUNNING, started_time=self._clock(uid), start_issue=None)
        duration = _NEVER if self._random.random() < 0.06 else self._random.expovariate(1 / 25)
        self._agenda.after(duration, lambda: self._end_by_itself(key, uid))

    def _end_by_itself(self, key: Name, uid: str) -> None:
        random = self._random
        end, retriable, _ = random.choices(_ENDS, [weight for *_, weight in _ENDS])[0]
        company = end.type != CRASHED and random.random() < 0.25
        waiting: dict[str, Any] = {}
        if end.type == PAUSED:
            patience = random.choice([None, timedelta(seconds=random.uniform(1, 60))])
            waiting = {"suspension": uid, "resume_by": self._clock(uid) + patience if patience else None}
        complete = random.choice([True, True, False, None])
        self._end(key, uid, end, alive=company, retriable=retriable, history_complete=complete, **waiting)
        if company and random.random() < 0.4:
            self._agenda.after(random.expovariate(1 / 5), lambda: self._crash_sidecar(key, uid))

    def _crash_sidecar(self, key: Name, uid: str) -> None:
        """What lives beside a flow that ended ends too."""
        pod = self._server.pods.find(key, uid)
        if pod is not None and uid not in self._dead and pod.workload.alive and pod.workload.end is not None:
            self.seen["a sidecar crashed after the flow"] += 1
            self._server.pods.put(replace(pod, workload=replace(pod.workload, alive=False)))

    def _end(self, key: Name, uid: str, end: State, **changes: Any) -> None:
        pod = self._server.pods.find(key, uid)
        if pod is not None and pod.workload.node:
            values = {"phase": Phase.ENDED, "alive": False, "ended_time": self._clock(uid), "start_issue": None, "end": end, **changes}
            self._see(key, uid, **values)

    # A death.

    def _terminate(self, key: Name, uid: str) -> None:
        """The pod was asked to stop: it does so at once, in time, or when it is killed; its node may not be there."""
        pod = self._server.pods.find(key, uid)
        if pod is None or uid in self._dead:
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
        self._agenda.after(delay, lambda: self._finish(key, uid, end))

    def _finish(self, key: Name, uid: str, end: State) -> None:
        """It ends, unless it has; what lived on beside the flow ends too; then its deletion is complete."""
        if uid in self._dead:
            return
        pod = self._server.pods.find(key, uid)
        if pod is not None and pod.workload.end is not None:
            if pod.workload.alive:
                self._server.pods.put(replace(pod, workload=replace(pod.workload, alive=False)))
        elif pod is not None and pod.workload.started_time is None:
            self._end(key, uid, _crash("PodDeleted"), ended_time=None)
        else:
            self._end(key, uid, end)
        delay = 0.0 if self._random.random() < 0.5 else self._random.uniform(0, 3)
        self._agenda.after(delay, lambda: self._server.pods.finish(key, uid))

    def _lose_node(self, key: Name, uid: str) -> None:
        """Nothing is heard of it any more; after a while the control plane gives it up, by deletion or for good."""
        pod = self._server.pods.find(key, uid)
        if pod is None or pod.workload.end is not None or not pod.workload.node:
            return
        self._dead.add(uid)
        self.seen["a node was lost"] += 1
        if self._random.random() < 0.5:
            self._agenda.after(self._random.uniform(20, 60), lambda: self._give_up(key, uid))

    def _give_up(self, key: Name, uid: str) -> None:
        """The Node object is gone: the pod garbage collector fails its pods and deletes them; or pods are evicted, which is never confirmed."""
        pod = self._server.pods.find(key, uid)
        if pod is None:
            return
        if self._random.random() < 0.5:
            self._server.pods.delete(key, uid)
            return
        ended = replace(pod.workload, phase=Phase.ENDED, alive=False, start_issue=None, end=pod.workload.end or _crash("NodeLost"))
        self._server.pods.put(replace(pod, workload=ended))
        self._server.pods.delete(key, uid)
        self._server.pods.finish(key, uid)
