"""A watcher that costs little: raw events, a timestamp on receipt, nothing kept but moments."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Self

from mintaka_kubernetes import OPENED
from mintaka_operator.cluster import ApiError, Cluster
from operator_bench import subjects
from operator_bench.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable


_GONE = 410


@dataclass(slots=True)
class Journey:
    """Moments in the life of one subject, on our monotonic clock; 0 where they have not come."""

    asked: float = 0.0
    created: float = 0.0
    pod_created: float = 0.0
    pod_running: float = 0.0
    pod_ended: float = 0.0
    ended: float = 0.0
    gone: float = 0.0
    end: str = ""


def _fail(status: dict[str, Any]) -> NoReturn:
    raise ApiError(status.get("code") or 500, status.get("reason") or "", status.get("message") or "watch error")


@dataclass
class Watcher:
    """Watches the subjects and the pods of one namespace; use as an async context manager."""

    cluster: Cluster
    namespace: str
    subject: Subject
    check: Callable[[], None] = lambda: None
    journeys: dict[str, Journey] = field(default_factory=dict)
    ended: int = 0
    running: int = 0
    pods_left: int = 0
    gone: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        paths: dict[str, Callable[[str, dict[str, Any]], None]] = {self.subject.collection(self.namespace): self._on_subject}
        pods = subjects.pods(self.namespace)
        paths[pods] = self._on_bare_pod if pods in paths else self._on_pod
        for path, take in paths.items():
            async for page in self.cluster.list_pages(path, page_size=500, typed=True):
                version = page.version
            self._tasks.append(asyncio.create_task(self._follow(path, version, take)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Wait for `done` to hold, at most `seconds`; False where it never did."""
        deadline = time.monotonic() + seconds
        while not done():
            for task in self._tasks:
                if task.done():
                    task.result()
            self.check()
            if time.monotonic() > deadline:
                return False
            self._changed.clear()
            try:
                async with asyncio.timeout(0.5):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return True

    async def reached(self, journey: Journey, moment: str, seconds: float) -> bool:
        """Wait until a journey has come to a moment (one of Journey's fields), at most `seconds`."""
        return await self.until(lambda: bool(getattr(journey, moment)), seconds)

    def of(self, names: Iterable[str]) -> list[Journey]:
        """The journeys of `names`."""
        return [self.journeys[name] for name in names]

    async def _follow(self, path: str, version: str, take: Callable[[str, dict[str, Any]], None]) -> None:
        while True:
            try:
                async for event in self.cluster.watch(path, version, seconds=1800, typed=True):
                    if event["type"] == OPENED:
                        continue
                    found = event["object"]
                    if event["type"] == "ERROR":
                        _fail(found)
                    version = found["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        take(event["type"], found)
                        self._changed.set()
            except ApiError as error:
                if error.code == _GONE:
                    raise
                await asyncio.sleep(0.2)

    def _on_subject(self, kind: str, found: dict[str, Any]) -> None:
        journey = self.journeys.get(found["metadata"]["name"])
        if journey is None:
            return
        now = time.monotonic()
        if kind == "DELETED":
            journey.gone = now
            self.gone += 1
        if not journey.ended and self.subject.ended(found):
            journey.ended = now
            journey.end = ((found.get("status") or {}).get("state") or {}).get("type", "")
            self.ended += 1

    def _on_pod(self, kind: str, pod: dict[str, Any]) -> None:
        owners = pod["metadata"].get("ownerReferences") or []
        journey = self.journeys.get(owners[0]["name"]) if owners else None
        if journey:
            self._note(journey, kind, pod)

    def _on_bare_pod(self, kind: str, pod: dict[str, Any]) -> None:
        journey = self.journeys.get(pod["metadata"]["name"])
        if journey:
            self._note(journey, kind, pod)
            self._on_subject(kind, pod)

    def _note(self, journey: Journey, kind: str, pod: dict[str, Any]) -> None:
        now = time.monotonic()
        if kind == "DELETED":
            self.pods_left -= 1
            journey.pod_ended = journey.pod_ended or now
            return
        if not journey.pod_created:
            journey.pod_created = now
            self.pods_left += 1
        if not journey.pod_running and (pod.get("status") or {}).get("phase") == "Running":
            journey.pod_running = now
            self.running += 1
        if not journey.pod_ended and subjects.pod_ended(pod):
            journey.pod_ended = now
