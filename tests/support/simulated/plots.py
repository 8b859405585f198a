"""What befalls a story as a whole: each plot begins at some time, ends when the trouble is over, and may be checked in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_controller.ports import ObjectProblem
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_core.states import CRASHED, SCHEDULED
from mintaka_core.workloads import CreateError, CreateErrorKind
from simulated.faults import CALM
from simulated.rules import RULES

if TYPE_CHECKING:
    from simulated.story import Story

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Plot:
    """`begin` plans it for a Story, whose module imports this one; it is in a story with some `probability`."""

    name: str
    probability: float
    begin: Callable[[Any], None]


def choose(story: Story, only: tuple[str, ...] | None) -> list[str]:
    """Begin some plots; their names."""
    chosen = [plot for plot in PLOTS if plot.probability and story.random.random() < plot.probability]
    if only is not None:
        chosen = [plot for plot in PLOTS if plot.name in only]
    for plot in chosen:
        plot.begin(story)
    return [plot.name for plot in chosen]


def _window(story: Story, begin: Callable[[], None], end: Callable[[], None], *, longest: float = 200.0) -> None:
    """Something that begins soon and passes; it has passed when the trouble is over."""
    begins = story.random.uniform(0, 60)
    story.agenda.after(begins, begin)
    story.agenda.after(begins + story.random.uniform(1, longest), end)
    story.at_calm.append(end)


# Refused creations.


def _quota(story: Story, *, forever: bool) -> None:
    namespace = story.random.choice(story.namespaces)
    pods = story.random.choice([0, 1, 1, 2])
    for _ in range(story.random.choice([0, 2, 4])):
        story.agenda.after(story.random.uniform(0, 40), lambda: story.create_run(namespace, {"deployment": "d"}))
    shut: Callable[[], None] = lambda: story.server.change_capacity(namespace, quota=pods)  # noqa: E731
    open_: Callable[[], None] = lambda: story.server.change_capacity(namespace, quota=None)  # noqa: E731
    if forever:
        story.agenda.after(0.0, shut)
        story.at_calm.append(open_)
    else:
        _window(story, shut, open_)


def _limits(story: Story) -> None:
    namespace = story.random.choice(story.namespaces)
    _window(
        story,
        lambda: story.server.change_capacity(namespace, limits=True),
        lambda: story.server.change_capacity(namespace, limits=False),
    )


def _webhook(story: Story) -> None:
    """A webhook is down; each waiting run starts soon after it is up again."""
    random = story.random
    namespace = random.choice(story.namespaces)
    retry_after = random.choice([None, None, 3.0, 25.0])
    error = CreateError("AdmissionUnavailable", "failed calling webhook", CRASHED, None, CreateErrorKind.TRANSIENT, retry_after)
    rules = story.server.namespace(namespace)

    def down() -> None:
        rules.webhook = error

    def up() -> None:
        if rules.webhook is None:
            return
        rules.webhook = None
        waiting = [
            (key, stored.model.metadata.uid)
            for key, stored in story.server.runs.items()
            if key[0] == namespace and stored.model.status.state and stored.model.status.state.reason == "AdmissionUnavailable"
        ]
        operators = tuple(story.operators)
        story.agenda.after(max(15.0, retry_after or 0) + 0.5, lambda: check(waiting, operators))

    def check(waiting: list[tuple[tuple[str, str], str]], operators: tuple[object, ...]) -> None:
        if story.faults != CALM or tuple(story.operators) != operators or len(operators) != 1 or story.uninstalled_at is not None:
            return
        for key, uid in waiting:
            stored = story.server.runs.get(key)
            if stored is None or stored.model.metadata.uid != uid or stored.model.status.state is None:
                continue
            state = stored.model.status.state
            if stored.filler:
                continue
            stuck = state.type == SCHEDULED and state.reason == "AdmissionUnavailable"
            story.referee.demand(not stuck, f"{key[1]} still waits for a webhook that is up again")
            story.seen["started after the webhook was up"] += not stuck

    _window(story, down, up, longest=120)


# Objects that are not as they should be.


def _undecodable_run(story: Story) -> None:
    problem = ObjectProblem(story.random.choice(["TooDeep", "ResourceTooLarge", "Unreadable"]), "nested more than 100 levels deep")
    namespace = story.random.choice(story.namespaces)
    story.agenda.after(story.random.uniform(0, 60), lambda: story.create_run(namespace, {"deployment": "d"}, problem=problem))


def _invalid_run(story: Story) -> None:
    """What the CRD's schema admits and the models do not."""
    raw = {"deployment": "d", "scheduledTime": "2026-01-01T00:00:00+99:99", "reruns": story.random.choice([0, 1])}
    namespace = story.random.choice(story.namespaces)
    story.agenda.after(story.random.uniform(0, 60), lambda: story.create_run(namespace, {"deployment": "d"}, raw_spec=raw))


def _damaged_deployment(story: Story) -> None:
    namespace = story.random.choice(story.namespaces)
    problem = ObjectProblem("TooDeep", "nested more than 100 levels deep")
    _window(story, lambda: story.deploy(namespace, "d", problem=problem), lambda: story.deploy(namespace, "d"), longest=60)


def _large_run(story: Story) -> None:
    """Statuses are refused as too large: those with long texts, or all."""
    room = story.random.choice([200, 900, 3000])

    def fill() -> None:
        if story.server.runs:
            key = story.random.choice(list(story.server.runs))
            story.referee.wishes(story.server.runs[key].model).shortened = True
            story.server.fill_run(key, story.server.limits.run_bytes - room)
            story.at_calm.append(lambda: story.server.fill_run(key, 0))

    story.agenda.after(story.random.uniform(0, 30), fill)


def _replaced_deployment(story: Story) -> None:
    """Deleted, and another one of its name is created."""
    namespace = story.random.choice(story.namespaces)
    when, later = story.random.uniform(0, 150), story.random.choice([0.0, 0.5, 20.0, 100.0])
    story.agenda.after(when, lambda: story.server.delete_deployment((namespace, "d")))
    story.agenda.after(when + later, lambda: story.deploy(namespace, "d"))


def _missing_source(story: Story) -> None:
    namespace = story.random.choice(story.namespaces)
    story.deploy(namespace, "e", source={"configMap": {"name": "code"}}, entrypoint="m.py:f", podTemplate=None)
    story.agenda.after(story.random.uniform(0, 20), lambda: story.create_run(namespace, {"deployment": "e"}))
    story.agenda.after(story.random.uniform(0, 80), lambda: story.cluster.config_maps.add((namespace, "code")))


def _orphaned_pod(story: Story) -> None:
    """A run is deleted with --cascade=orphan, or an owner reference is taken away by hand."""

    def orphan() -> None:
        pods = [(key, pod) for key, pod in story.server.pods.by_key.items() if pod.owner_uid]
        if pods:
            key, pod = story.random.choice(pods)
            story.referee.pods.let_go_by_people.add(pod.workload.uid)
            story.server.pods.orphan(key)
            story.seen["a pod was orphaned"] += 1

    story.agenda.after(story.random.uniform(5, 200), orphan)


def _schedule(story: Story) -> None:
    namespace = story.random.choice(story.namespaces)
    schedules = [{"name": "s", "interval": story.random.choice(["20s", "45s"])}]
    history = {"limit": story.random.choice([0, 1, 3])}
    fields = {**story.template(), "schedules": schedules, "history": history}
    story.deploy(namespace, "timed", **fields)
    story.at_calm.append(lambda: story.deploy(namespace, "timed", **{**fields, "suspend": True}))


# Parts that are away.


def _api_away(story: Story) -> None:
    def leave() -> None:
        story.cluster.api.away = True

    _window(story, leave, story.cluster.api.come_back, longest=400)


def _operator_away(story: Story) -> None:
    """For ten minutes; meanwhile pods end, and are deleted: by hand, because their node is scaled in, by the garbage collector."""
    random, after = story.random, story.agenda.after
    when, away = random.uniform(0, 150), 600.0
    story.troubled_seconds += away

    def leave() -> None:
        story.respawn_seconds = away
        story.unserved_until = story.agenda.seconds + away + 10
        for operator in tuple(story.operators):
            operator.die()
        after(5.0, come_back)

    def come_back() -> None:
        story.respawn_seconds = 1.0

    after(when, leave)
    for _ in range(random.choice([1, 3, 8])):
        after(when + random.uniform(0, away), story.people.kill_pod)
        story.seen["a pod was deleted while the operator was away"] += 1


def _terminating(story: Story) -> None:
    namespace = story.random.choice(story.namespaces)
    story.server.limits.refuse_tombstones = story.random.random() < 0.4
    story.agenda.after(story.random.uniform(10, 200), lambda: story.server.terminate(namespace))


def _clocks_off(story: Story) -> None:
    """The clocks of all nodes are an hour off."""
    story.cluster.kubelet.skew = story.random.choice([-1, 1]) * _HOUR


def _uninstall(story: Story) -> None:
    """The operator stops for good, then the hook takes all finalizers off; people delete what they want to be rid of."""

    def stop() -> None:
        story.uninstalled_at = story.agenda.seconds
        story.referee.stripped = True
        for operator in tuple(story.operators):
            operator.die()
        story.operators.clear()
        story.agenda.after(story.random.uniform(25, 60), strip)

    def strip() -> None:
        for key, stored in list(story.server.runs.items()):
            kept = tuple(name for name in stored.model.metadata.finalizers if name != MIRROR_FINALIZER)
            story.server.write_finalizers(key, stored.version, kept)
        for key, pod in list(story.server.pods.by_key.items()):
            story.referee.pods.let_go_by_people.add(pod.workload.uid)
            story.server.pods.release(key, pod.workload.uid)

    story.agenda.after(story.random.uniform(5, 200), stop)


def leave(story: Story) -> None:
    """After an uninstallation, everything goes when it is deleted."""
    for key, stored in list(story.server.runs.items()):
        story.server.delete_run(key, stored.model.metadata.uid)
    story.agenda.go_to(story.agenda.seconds + 100)
    for key, pod in list(story.server.pods.by_key.items()):
        story.server.pods.delete(key, pod.workload.uid, force=True)  # nodes that are lost confirm nothing
    story.agenda.go_to(story.agenda.seconds + 1)
    left = [*story.server.runs, *story.server.pods.by_key]
    story.referee.demand(not left, f"{left} cannot go after the uninstallation")
    story.agenda.go_to(story.agenda.seconds)


def check(story: Story) -> None:
    """In the end: of a namespace that was deleted, nothing is left."""
    for namespace, rules in story.server.namespaces.items():
        if rules.terminating:
            left = [key[1] for key in (*story.server.runs, *story.server.pods.by_key) if key[0] == namespace]
            dead = {pod.workload.name for pod in story.server.pods.by_key.values() if pod.workload.alive}
            story.referee.demand(set(left) <= dead, f"{left} keep their namespace from going")
            story.seen["a namespace was deleted"] += 1


def _rules_of_users(story: Story) -> None:
    """Users write rules at any time, sensible and hostile ones; they are deleted when the trouble is over."""
    random = story.random
    for number in range(random.choice([1, 2, 4, 8])):
        namespace, (name, spec) = random.choice(story.namespaces), random.choice(list(RULES.items()))
        when = random.choice([0.0, random.uniform(0, 200)])
        story.agenda.after(when, lambda key=(namespace, f"{name}-{number}"), spec=spec: _apply_rule(story, key, spec))  # type: ignore[misc]
    story.at_calm.append(story.cluster.rules.remove_all)


def _apply_rule(story: Story, key: tuple[str, str], spec: dict[str, Any]) -> None:
    if story.agenda.seconds < story.troubled_seconds:
        story.cluster.rules.apply(key, spec)
        story.seen[f"rule {key[1].rpartition('-')[0]}"] += 1


PLOTS = (
    Plot("quota that passes", 0.12, lambda story: _quota(story, forever=False)),
    Plot("quota that never passes", 0.04, lambda story: _quota(story, forever=True)),
    Plot("LimitRange", 0.06, _limits),
    Plot("webhook down", 0.1, _webhook),
    Plot("run that cannot be decoded", 0.05, _undecodable_run),
    Plot("run that is not valid", 0.05, _invalid_run),
    Plot("deployment that cannot be decoded", 0.05, _damaged_deployment),
    Plot("run that is too large", 0.08, _large_run),
    Plot("two deployments of one name", 0.08, _replaced_deployment),
    Plot("source that is missing", 0.04, _missing_source),
    Plot("orphaned pod", 0.04, _orphaned_pod),
    Plot("schedule", 0.06, _schedule),
    Plot("API away", 0.15, _api_away),
    Plot("operator away", 0.05, _operator_away),
    Plot("namespace terminating", 0.06, _terminating),
    Plot("clocks off by an hour", 0.08, _clocks_off),
    Plot("uninstall", 0.04, _uninstall),
    Plot("runs that call others", 0.2, lambda story: story.calls.begin()),
    Plot("deployments with a limit", 0.2, lambda story: story.limited.begin()),
    Plot("rules of users", 0.0, _rules_of_users),
)
