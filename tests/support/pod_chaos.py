"""Chaos around the pods of flow runs: an operator killed again and again, pods deleted at any moment; and what must hold all the same."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.config import new_client_from_config
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

from kube import container, entered, flow_run, names
from processes import leading, operator

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from kube import Kube

RETRIES = {"onCrash": {"limit": 20, "backoff": {"delaySeconds": 0, "jitter": 0}}}
#: Pods of later attempts are left alone: the pod of the last run would otherwise be the only one to choose, until its retries are spent.
LAST_DELETED_ATTEMPT = 10
_WATCH_SECONDS = 10


@dataclass
class PodWatch:
    """Every pod of a namespace that was ever seen, and the exit code of its flow once it had one, whatever became of it afterwards."""

    namespace: str
    exit_codes: dict[str, int] = field(default_factory=dict)
    #: Pods that were deleted before their phase was terminal: in the end it cannot be known whether their flow ended before that.
    deleted_early: set[str] = field(default_factory=set)
    #: What the watch showed of each pod, one line per event, for messages.
    seen: dict[str, list[str]] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._reader is not None
        self._stopped.set()
        self._reader.join(timeout=30)

    def _read(self) -> None:
        """Watch again and again, each time from where the last watch ended: the API server ends a watch whose reader is slow."""
        api, watch = CoreV1Api(new_client_from_config()), Watch()
        while not self._stopped.is_set():
            try:
                for event in watch.stream(
                    api.list_namespaced_pod, self.namespace, resource_version=watch.resource_version, timeout_seconds=_WATCH_SECONDS
                ):
                    self._note(event["raw_object"])
            except (HTTPError, ApiException) as error:
                if getattr(error, "status", None) == HTTPStatus.GONE:
                    raise
                time.sleep(0.2)

    def _note(self, pod: dict[str, Any]) -> None:
        self.seen.setdefault(pod["metadata"]["name"], []).append(_summary(pod))
        if pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}:
            self.deleted_early.add(pod["metadata"]["name"])
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            terminated = (status.get("state") or {}).get("terminated")
            if terminated and status["name"] == "flow":
                self.exit_codes.setdefault(pod["metadata"]["name"], terminated["exitCode"])


def _summary(pod: dict[str, Any]) -> str:
    metadata, status = pod["metadata"], pod.get("status") or {}
    generations = f"generation {metadata.get('generation')}, observed {status.get('observedGeneration')}"
    deletion = f"deleted {metadata.get('deletionTimestamp')} with {metadata.get('deletionGracePeriodSeconds')} s"
    states = [container.get("state") for container in status.get("containerStatuses") or []]
    return f"  {status.get('phase')}, {generations}, {deletion}, {json.dumps(states)}"


def unleash(kube: Kube, draw: Random, log: Path, *, runs: int, seconds: float) -> tuple[int, int]:
    """Start `runs` runs; until all have ended, at most `seconds`, kill the operator and delete pods. How many kills and deletions.

    Asserts that no work that had finished was done again, and that nothing is held in the end.
    """
    wanted = [f"r{number}" for number in range(runs)]
    deadline = time.monotonic() + seconds
    kills = deletions = 0
    with PodWatch(kube.namespace) as watch:
        for name in wanted:
            kube.apply(flow_run(name, template={**container("sh", "-c", f"sleep {draw.uniform(0, 4):.2f}", grace=2), "retries": RETRIES}))
            deletions += _delete_one(kube, draw)
            if draw.random() < 0.2:
                killed = operator(log, kube.namespace)
                leading(killed)
                time.sleep(draw.uniform(0, 1))
                killed.kill()
                kills += 1
        while len(kube.items("fr", "--field-selector=status.state.type=COMPLETED")) < runs:
            assert time.monotonic() < deadline, f"after {seconds:.0f} s {kube('get', 'fr,pods')}"
            process = operator(log, kube.namespace)
            try:
                leading(process)
                until = time.monotonic() + draw.uniform(0, 4)
                while time.monotonic() < until:
                    deletions += _delete_one(kube, draw)
                    time.sleep(draw.uniform(0, 0.5))
            finally:
                process.kill()
                kills += 1
            for _ in range(draw.randrange(3)):
                deletions += _delete_one(kube, draw)
        _wait_for_last_pods(kube, watch)
    _nothing_was_repeated(kube, watch)
    return kills, deletions


def _delete_one(kube: Kube, draw: Random) -> int:
    present = [pod["metadata"]["name"] for pod in kube.items("pods") if not pod["metadata"].get("deletionTimestamp")]
    pods = [name for name in present if int(name.rpartition("-")[2]) <= LAST_DELETED_ATTEMPT]
    if not pods or draw.random() < 0.4:
        return 0
    kube("delete", "pod", draw.choice(pods), "--wait=false", "--ignore-not-found")
    return 1


def _wait_for_last_pods(kube: Kube, watch: PodWatch) -> None:
    """Until the watch, which may be behind the operator's, has shown how each run's last pod ended; half a minute at most."""
    last = {f"{run['metadata']['name']}-{run['status']['attempt']}" for run in kube.items("fr")}
    deadline = time.monotonic() + 30
    while not last <= watch.exit_codes.keys() and time.monotonic() < deadline:
        time.sleep(0.2)


def _nothing_was_repeated(kube: Kube, watch: PodWatch) -> None:
    excluded: set[str] = set()
    for run in kube.items("fr"):
        name, attempt = run["metadata"]["name"], run["status"]["attempt"]
        assert run["status"]["state"]["type"] == "COMPLETED", name
        finished = {pod for pod, code in watch.exit_codes.items() if pod.rpartition("-")[0] == name and code == 0}
        unknowable = (finished & watch.deleted_early) - {f"{name}-{attempt}"}
        excluded |= unknowable
        assert finished - unknowable == {f"{name}-{attempt}"}, "\n".join(
            [
                f"{name} finished in {finished}, ended in attempt {attempt}: {names(run)}",
                *(line for pod in sorted(finished) for line in (pod, *watch.seen[pod])),
            ]
        )
        reasons = {transition["reason"] for transition in entered(run) if transition["name"] == "AwaitingRetry"}
        assert "PodDisappeared" not in reasons, f"an end of {name} was lost"
    print(f"excluded, deleted before their phase was terminal (docs/operations.md, At least once): {sorted(excluded)}")
