"""What people and chance do to the runs of a story: wishes at any moment, also the worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulated.referee import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Name
    from simulated.events import Event
    from simulated.story import Story


class People:
    """`plan` decides when they act."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._random, self._agenda, self._server = story.random, story.agenda, story.server
        #: Counts the wishes about suspension of each run.
        self._suspensions: dict[str, int] = {}

    def plan(self) -> None:
        """Some wishes at some time; some at the moment at which something else happens; deaths of operators."""
        random, story, after = self._random, self._story, self._agenda.after
        for when in sorted(random.uniform(0, story.troubled_seconds * 0.8) for _ in range(random.choice([0, 0, 1, 2, 4, 8]))):
            after(when, self.meddle)
        if random.random() < 0.4:
            self._server.watchers.append(self._in_the_way)
        for _ in range(random.choice([0, 0, 1, 3])):
            after(random.uniform(0, story.troubled_seconds), story.kill_operator)
        if story.overlapping:
            after(random.uniform(0, 100), story.start_operator)
            after(random.uniform(100, story.troubled_seconds), story.one_is_enough)

    def meddle(self) -> None:
        """One thing that people do to some run."""
        wishes = [self.cancel, self.suspend, self.resume, self.delete, self.kill_pod, self.rerun]
        wish = self._random.choices(wishes, [2, 4, 4, 1, 4, 4])[0]
        if self._server.runs:
            wish(self._random.choice(list(self._server.runs)))

    def _in_the_way(self, event: Event) -> None:
        """At the very moment at which a pod is made, its end is written or a wish is heard, something else happens."""
        random, story = self._random, self._story
        if event.found is None or self._agenda.seconds > story.troubled_seconds or event.kind not in {"run", "workload"}:
            return
        if random.random() > (0.1 if event.kind == "workload" else 0.04):
            return
        key = event.key if event.kind == "run" else event.found.run
        wishes: list[Callable[[Name], None]] = [
            lambda _: self.meddle(),
            lambda _: story.kill_operator(),
            self.suspend,
            self.resume,
            self.rerun,
        ]
        wish = random.choices(wishes, [4, 2, 1, 3, 2])[0]
        self._agenda.after(random.choice([random.uniform(0, 0.1), random.uniform(0, 5)]), lambda: self._while_troubled(wish, key))

    def _while_troubled(self, wish: Callable[[Name], None], key: Name) -> None:
        if self._agenda.seconds < self._story.troubled_seconds and self._story.uninstalled_at is None:
            wish(key)

    def cancel(self, key: Name) -> None:
        """spec.cancel."""
        if key in self._server.runs:
            self._server.change_spec(key, cancel=True)

    def suspend(self, key: Name) -> None:
        """spec.suspend."""
        stored = self._server.runs.get(key)
        if stored is None:
            return
        uid = stored.model.metadata.uid
        number = self._suspensions[uid] = self._suspensions.get(uid, 0) + 1
        self._server.change_spec(key, suspend=True)
        self._agenda.after(PATIENCE_SECONDS, lambda: self._check_suspension(key, uid, number))
        if self._random.random() < 0.3:
            self._agenda.after(self._random.uniform(0, 20), lambda: self._while_troubled(self.resume, key))

    def _check_suspension(self, key: Name, uid: str, number: int) -> None:
        stored = self._server.runs.get(key)
        if self._suspensions[uid] == number and stored is not None and stored.problem is None and self._story.was_served(PATIENCE_SECONDS):
            self._story.referee.nothing_runs_for(uid, "the run is suspended")

    def resume(self, key: Name) -> None:
        """spec.suspend taken back."""
        stored = self._server.runs.get(key)
        if stored is not None:
            uid = stored.model.metadata.uid
            self._story.referee.wishes(stored.model).resumed += 1
            self._suspensions[uid] = self._suspensions.get(uid, 0) + 1
            self._server.change_spec(key, suspend=False)

    def rerun(self, key: Name) -> None:
        """spec.reruns raised."""
        stored = self._server.runs.get(key)
        if stored is not None and not stored.model.spec.cancel and stored.spec is None and stored.problem is None:
            wishes = self._story.referee.wishes(stored.model)
            wishes.reruns += 1
            self._server.change_spec(key, reruns=wishes.reruns)

    def delete(self, key: Name) -> None:
        """Kubectl delete flowrun."""
        stored = self._server.runs.get(key)
        if stored is not None:
            self._server.delete_run(key, stored.model.metadata.uid)

    def kill_pod(self, _: Name | None = None) -> None:
        """A pod is deleted by hand, with or without --force, whether it has ended or not."""
        pods = [pod for pod in self._server.pods.by_key.values() if not pod.workload.deleted]
        if not pods:
            return
        pod = self._random.choice(pods)
        if pod.workload.alive:
            self._story.referee.pods.stopped_by_people.add((pod.owner_uid, pod.workload.attempt))
        self._server.pods.delete((pod.run[0], pod.workload.name), pod.workload.uid, force=self._random.random() < 0.3)
