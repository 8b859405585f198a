"""A flow called in a flow is a flow run of its own: its id, its name, its runtime context, and its reports."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from mintaka import flow, get_run_logger, runtime, tags, task
from mintaka.artifacts import create_markdown_artifact
from mintaka.context import LAUNCH, Launch
from mintaka.events import emit_event
from mintaka.logger_tree import own_logger
from mintaka.logging import HistoryHandler
from mintaka.recording.delivery_settings import DeliverySettings
from mintaka.recording.historian import Historian
from mintaka.recording.outbox import Outbox
from mintaka.recording.recorder import Delivery
from mintaka.recording.wire import encode, history_batch
from mintaka.task_runners import ProcessPoolTaskRunner
from mintaka.testing import recorded
from mintaka_core.run_ids import task_run_id
from mintaka_history.batches import decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_history.batches import CalledRun, HistoryBatch

UID = "0190f5fe-0000-7000-8000-000000000001"
ROOT = UUID(UID)


def here() -> tuple[str | None, str | None, str | None]:
    """The innermost flow run, the one that called it, the outermost one."""
    return runtime.flow_run.id, runtime.flow_run.parent_flow_run_id, runtime.flow_run.root_flow_run_id


@flow
def part(day: int = 0) -> Any:  # noqa: ARG001 - its argument tells calls apart
    return here()


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def add_all(given: list[int]) -> int:
    return sum(given)


def ids_of(body: Callable[[], Any], attempt: int = 1, uid: str = UID) -> list[str]:
    """The ids of the flow runs that `body` calls, by the numbers of their calls."""
    with recorded(flow_run_id=uid, attempt=attempt) as history:
        flow(body, name="main")()
    return [history.flow_run(run.name)["uid"] for run in history.called]


def test_each_attempt_calls_the_same_flow_runs_whatever_their_order() -> None:
    """The id is derived from the caller, the flow, the arguments and the number of earlier calls like it."""
    one = ids_of(lambda: [part(1), part(2), part(1), part(day=1)])
    assert len(set(one)) == 4
    assert ids_of(lambda: [part(2), part(1), part(1), part(1)], attempt=2) == [one[1], one[0], one[2], one[3]]
    assert not set(ids_of(lambda: [part(1)], uid=UID[:-1] + "2")) & set(one)
    assert not set(ids_of(lambda: [part.with_options(name="other")(3)])) & set(one)


def test_a_script_and_its_file_imported_later_call_the_same_flow_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mintaka resume` imports a file that first ran as a script."""
    one = ids_of(lambda: [part(1)])
    monkeypatch.setattr(part, "key", "__main__.part")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", f"/somewhere/{__name__}.py", raising=False)
    assert ids_of(lambda: [part(1)]) == one


def test_calls_in_threads_have_one_id_each() -> None:
    def main() -> None:
        contexts = [copy_context() for _ in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda context: context.run(part, 1), contexts))

    with recorded(flow_run_id=UID) as history:
        flow(main)()
    assert len({history.flow_run(run.name)["uid"] for run in history.called}) == 40


def test_gathered_calls_have_one_id_each() -> None:
    @flow
    async def async_part() -> Any:
        await asyncio.sleep(0)
        return here()

    @flow
    async def main() -> list[Any]:
        return list(await asyncio.gather(*(async_part() for _ in range(20))))

    found = asyncio.run(main())
    assert len({own for own, _, _ in found}) == 20
    assert len({(parent, root) for _, parent, root in found}) == 1


def test_three_levels_lead_upwards() -> None:
    @flow
    def middle() -> Any:
        return here(), part()

    with recorded(flow_run_id=UID) as history:
        own, (second, third) = flow(lambda: (here(), middle()), name="main")()
    assert own == (UID, None, UID)
    assert second == (history.flow_run("middle-0")["uid"], UID, UID)
    assert third == (history.flow_run("part-1")["uid"], second[0], UID)
    inner = history.flow_run("part-1")
    assert (inner["parent"], inner["parent_n"]) == (second[0], 1)
    assert (history.flow_run("middle-0")["parent"], history.flow_run("middle-0")["parent_n"]) == (None, 0)
    assert [run.name for run in history.runs_of("middle-0")] == [inner["name"]]


def test_a_flow_may_call_itself() -> None:
    @flow
    def down(n: int) -> list[Any]:
        return [here(), *(down(n - 1) if n else [])]

    with recorded(flow_run_id=UID):
        chain = down(30)
    assert [parent for _, parent, _ in chain[1:]] == [own for own, _, _ in chain[:-1]]
    assert len({own for own, _, _ in chain}) == 31


def test_a_generator_is_a_flow_run_of_its_own() -> None:
    @flow
    def rows() -> Any:
        yield here()
        yield add(1)

    with recorded(flow_run_id=UID) as history:
        (own, parent, _), two = flow(lambda: list(rows()), name="main")()
    assert (own, parent, two) == (history.flow_run("rows-0")["uid"], UID, 2)
    assert [run.name for run in history.runs_of("rows-0")] == ["add-1"]


def test_its_name_is_that_of_its_flow_and_id_or_what_its_template_says() -> None:
    named = part.with_options(flow_run_name="part of {day}")

    @flow
    def main() -> Any:
        part()
        named(5)

    with recorded(flow_run_id=UID) as history:
        main()
    plain, own = (history.flow_run(name) for name in ("part-0", "part-1"))
    assert plain["name"] == f"part-{plain['uid'][:8]}"
    assert own["name"] == "part of 5"
    assert history.row("part of 5")["name"] == "part of 5"
    with pytest.raises(LookupError, match="'add-0'"):
        history.flow_run("add-0")


def test_what_is_reported_of_it() -> None:
    """Parameters with defaults and without secrets, tags, transitions with retries, counts of its own task runs."""

    @flow(retries=1, tags=["own"])
    def flaky(user: str, password: SecretStr = SecretStr("hidden"), n: int = 3) -> None:  # noqa: ARG001, B008 - it is to be masked
        add(n)
        if runtime.flow_run.run_count == 1:
            raise ValueError(user)

    @flow
    def main() -> None:
        with tags("around"):
            flaky("ann")

    with recorded(flow_run_id=UID) as history:
        main()
    found = history.flow_run("flaky-0")
    assert (found["flow"], found["parameters"]["user"], found["parameters"]["n"]) == ("flaky", "ann", 3)
    assert "hidden" not in json.dumps(found)
    assert found["tags"] == ["around", "own"]
    assert [(number, kind, name) for number, kind, name, *_ in found["transitions"]] == [
        (1, "PENDING", "Pending"),
        (2, "RUNNING", "Running"),
        (3, "SCHEDULED", "AwaitingRetry"),
        (4, "PENDING", "Pending"),
        (5, "RUNNING", "Retrying"),
        (6, "COMPLETED", "Completed"),
    ]
    assert found["counts"] == {"COMPLETED": 2}


def test_one_whose_arguments_are_not_valid_or_never_came_failed() -> None:
    @task
    def bad() -> int:
        raise ValueError("no")

    @flow
    def main() -> None:
        wrong: Any = part
        wrong("seven", return_state=True)
        part(bad.submit(), return_state=True)

    with recorded(flow_run_id=UID) as history:
        main()
    invalid, waited = (history.flow_run(run.name) for run in history.called)
    assert [found["transitions"][-1][1] for found in (invalid, waited)] == ["FAILED", "FAILED"]
    assert (invalid["parameters"], waited["transitions"][-1][2]) == ({}, "UpstreamFailed")
    assert invalid["uid"] != waited["uid"]


def test_hooks_see_its_ids() -> None:
    seen: list[Any] = []
    hooked = part.with_options(on_completion=[lambda _flow, run, _state: seen.append(run)])

    @task
    def calls() -> Any:
        return hooked()

    with recorded(flow_run_id=UID) as history:
        flow(lambda: (hooked(), calls()), name="main")()
    first, second = seen
    assert (str(first.id), first.parent_flow_run_id, first.root_flow_run_id) == (history.flow_run("part-0")["uid"], ROOT, ROOT)
    assert (first.parent_task_run_id, second.parent_task_run_id) == (task_run_id(ROOT, 1, 0), task_run_id(ROOT, 1, 2))
    assert second.id != first.id


@task
def call_part() -> Any:
    create_markdown_artifact("of the task")
    return part(7), kept()


@flow
def kept() -> Any:
    create_markdown_artifact("of the flow")
    emit_event("kept", "of the flow")
    return add(1), here()


def test_those_called_in_a_worker_process_are_known_at_home_by_the_same_ids() -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def inside() -> Any:
        return call_part.submit().result(), call_part.submit().result()

    with recorded(flow_run_id=UID) as history:
        (results,) = flow(lambda: [inside()], name="main")()
    middle = history.flow_run("inside-0")["uid"]
    assert [run.task.rpartition(".")[2] for run in history.runs_of("inside-0")] == ["call_part", "part", "kept"] * 2
    runs = [place for (own, (_, other)) in results for place in (own, other)]
    called = {history.flow_run(run.name)["uid"]: history.flow_run(run.name) for run in history.called}
    assert len({own for own, _, _ in runs}) == 4
    for own, parent, root in runs:
        assert (parent, root) == (middle, UID)
        assert called[own or ""]["parent"] == middle
    places = sorted((artifact.data.decode(), artifact.called.name if artifact.called else "") for artifact in history.artifacts.values())
    inner = sorted(run.name for run in history.called if run.task.endswith("kept"))
    assert sorted(event.called.name for event in history.events if event.called) == inner
    assert places == sorted([('"of the task"', history.run("inside-0").name)] * 2 + [('"of the flow"', name) for name in inner])


class Reported:
    """A recorder that creates reports as the real one does, and stores them."""

    def __init__(self) -> None:
        self.launch = Launch(flow_run_id=UID, name="main", namespace="ns", recorder=self)
        self.outbox = Outbox(DeliverySettings(), Historian(), lambda: self.launch.ledger.ids.owners if self.launch.ledger else {})
        self.changed, self.log, self.keep, self.emit = self.outbox.changed, self.outbox.log, self.outbox.keep, self.outbox.emit
        self.reports: list[HistoryBatch] = []

    def report(self) -> HistoryBatch:
        """The next report, as the API reads it."""
        contents, _, _ = self.outbox.take()
        contents = contents._replace(counts=self.outbox.counts())
        self.reports.append(decode(encode(history_batch(self.launch, len(self.reports) + 1, contents))))
        return self.reports[-1]

    def close(self, deadline: float) -> Delivery:  # noqa: ARG002 - the protocol's signature
        return Delivery()

    def run(self, main: Any) -> None:
        """Run a flow with its history here."""
        token = LAUNCH.set(self.launch)
        try:
            main()
        finally:
            LAUNCH.reset(token)


def named(report: HistoryBatch) -> dict[str, CalledRun]:
    """The called flow runs of a report by name."""
    return {run.name: run for run in report.called}


def test_rows_lines_and_artifacts_go_under_the_flow_run_that_they_are_of(caplog: pytest.LogCaptureFixture) -> None:
    @task
    def talks(n: list[int]) -> list[int]:
        get_run_logger().info("in a task")
        create_markdown_artifact("of a task")
        emit_event("talked", "a task")
        return [*n]

    @flow(flow_run_name="child")
    def child(n: list[int]) -> list[int]:
        get_run_logger().info("in a flow")
        create_markdown_artifact("of a flow")
        emit_event("talked", {"prefect.resource.id": "a flow", "name": "x"}, {"n": n})
        return talks(talks(n))

    @flow
    def main() -> None:
        add_all(child(numbers(1)))
        emit_event("talked", "outermost")

    kept = Reported()
    handler = HistoryHandler(kept)
    own_logger("mintaka").addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "mintaka"):
            kept.run(main)
    finally:
        own_logger("mintaka").removeHandler(handler)
    report = kept.report()
    assert [(row.n, row.of, row.kind, row.parent, row.inputs) for row in report.tasks] == [
        (0, 0, "task", None, {}),
        (1, 0, "subflow", None, {"n": (0,)}),
        (2, 1, "task", None, {}),  # a parameter of its flow has no number there
        (3, 1, "task", None, {"n": (2,)}),
        (4, 0, "task", None, {"given": (1,)}),
    ]
    assert [(line.message, line.n, line.of) for line in report.logs if line.message.startswith("in a")] == [
        ("in a flow", None, 1),
        ("in a task", 2, 1),
        ("in a task", 3, 1),
    ]
    assert sorted((bytes(each.data), each.n, each.of) for each in report.artifacts) == [
        (b'"of a flow"', None, 1),
        (b'"of a task"', 2, 1),
        (b'"of a task"', 3, 1),
    ]
    assert [(event.name, event.resource, bytes(event.payload), event.of) for event in report.events] == [
        ("talked", "a flow", b'{"n":[0]}', 1),
        ("talked", "a task", b"null", 1),
        ("talked", "a task", b"null", 1),
        ("talked", "outermost", b"null", 0),
    ]
    assert (report.counts, named(report)["child"].counts) == ({"COMPLETED": 3}, {"COMPLETED": 2})
    assert named(report)["child"].parent_n == 1


def test_what_comes_out_of_a_called_flow_run_comes_from_its_call() -> None:
    """It does not matter where within the flow run the value was created."""

    @flow
    def inner() -> list[Any]:
        return [numbers(3)]

    @flow
    def outer() -> Any:
        return {"found": inner()[0]}

    @flow
    def main() -> None:
        add_all(outer()["found"])

    kept = Reported()
    kept.run(main)
    assert [(row.of, row.inputs) for row in kept.report().tasks if row.task.endswith("add_all")] == [(0, {"given": (0,)})]


def test_transitions_are_reported_when_there_are_new_ones() -> None:
    kept = Reported()

    @flow(flow_run_name="child")
    def child() -> None:
        kept.report()
        add(1)
        kept.report()

    kept.run(flow(lambda: [child()], name="main"))
    kept.report()
    reported = [[kind for _, kind, *_ in named(report)["child"].transitions] for report in kept.reports]
    assert reported == [["PENDING", "RUNNING"], [], ["PENDING", "RUNNING", "COMPLETED"]]
    assert [report.tasks[-1].of for report in kept.reports] == [0, 1, 0]


def test_a_thousand_fit_into_several_reports() -> None:
    """No report has more of them than the API accepts, and each is reported with its end."""

    def main() -> None:
        for day in range(1000):
            part(day)

    kept = Reported()
    kept.run(flow(main))
    while not kept.outbox.empty:
        kept.report()
    assert len(kept.reports) > 1
    ended = [run for report in kept.reports for run in report.called if run.transitions and run.transitions[-1][1] == "COMPLETED"]
    assert sorted(run.parameters["day"] for run in ended) == list(range(1000))
    assert kept.reports[-1].counts == {"COMPLETED": 1000}


def test_a_pickled_one_keeps_its_id() -> None:
    with recorded(flow_run_id=UID) as history:
        flow(lambda: part(3), name="main")()
    (run,) = history.called
    again = pickle.loads(pickle.dumps(run))  # noqa: S301 - our own
    assert (again.called.uid, again.called.parameters, again.name) == (run.called and run.called.uid, {"day": 3}, run.name)
