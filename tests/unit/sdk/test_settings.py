"""Settings of tasks and flows that make no sense are refused where they are written."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest

from mintaka import flow, task
from mintaka.exceptions import InvalidSettingError
from mintaka.task_runners import (
    ConcurrentTaskRunner,
    DaskTaskRunner,
    ExecutorTaskRunner,
    ProcessPoolTaskRunner,
    RayTaskRunner,
    RemoteTaskRunner,
    ThreadPoolTaskRunner,
)


class Picky(ThreadPoolTaskRunner):
    def __init__(self) -> None:
        message = "no licence"
        raise ValueError(message)


class OneThread(ThreadPoolTaskRunner):
    def __init__(self) -> None:
        super().__init__(max_workers=1)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"retries": -1}, "a whole number, 0 or more, not -1"),
        ({"retries": "3"}, "a whole number, 0 or more, not '3'"),
        ({"retries": 1.5}, "a whole number, 0 or more, not 1.5"),
        ({"retries": True}, "a whole number, 0 or more, not True"),
        ({"retry_delay_seconds": -1}, "a number of seconds"),
        ({"retry_delay_seconds": "soon"}, "a number of seconds"),
        ({"retry_delay_seconds": [1, "soon"]}, "a number of seconds"),
        ({"retry_jitter_factor": -0.1}, "a number, 0 or more"),
        ({"timeout_seconds": -1}, "a number of seconds"),
        ({"timeout_seconds": "5"}, "a number of seconds"),
        ({"timeout_seconds": float("inf")}, r"a number of seconds, 0 \(no limit\) to 1e9, not inf"),
        ({"retry_delay_seconds": float("nan")}, "a number of seconds"),
        ({"timeout_seconds": timedelta(seconds=5)}, "a number of seconds"),
        ({"name": 5}, "a text"),
        ({"tags": "nightly"}, "a list of texts"),
        ({"tags": [1]}, "a list of texts"),
        ({"tags": 1}, "a list of texts"),
        ({"log_prints": "yes"}, "True or False"),
        ({"on_failure": print}, "a list of functions"),
        ({"on_failure": ["print"]}, "a list of functions"),
        ({"persist_result": "yes"}, "True or False"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("decorator", [task, flow], ids=["task", "flow"])
def test_a_setting_of_the_wrong_kind_is_refused_with_its_name_and_owner(decorator: Any, setting: dict[str, Any], told: str) -> None:
    def load() -> None: ...

    word = next(iter(setting))
    with pytest.raises(InvalidSettingError, match=rf"^{word} of {decorator.__name__} load is {told}"):
        decorator(**setting)(load)


@pytest.mark.parametrize(
    ("decorator", "setting", "told"),
    [
        (task, {"crash_retries": -1}, "crash_retries of task load is a whole number"),
        (task, {"task_run_name": 3}, "task_run_name of task load is a text with parameters in braces"),
        (task, {"cache_expiration": 5}, "cache_expiration of task load is a datetime.timedelta, not 5"),
        (task, {"cache_key_fn": 5}, "cache_key_fn of task load is a function, not 5"),
        (task, {"retry_condition_fn": 5}, "retry_condition_fn of task load is a function, not 5"),
        (task, {"on_rollback": print}, "on_rollback of task load is a list of functions"),
        (flow, {"flow_run_name": 3}, "flow_run_name of flow load is a text with parameters in braces"),
        (flow, {"task_runner": int}, r"task_runner of flow load is a runner or a class of mintaka.task_runners"),
        (flow, {"task_runner": lambda: ThreadPoolTaskRunner(8)}, r"task_runner of flow load is a runner or a class"),
        (
            flow,
            {"task_runner": ExecutorTaskRunner},
            r"^task_runner of flow load is the class ExecutorTaskRunner, .* without arguments: .* 'make'; give a runner, such as task_runner=",
        ),
        (flow, {"task_runner": RemoteTaskRunner}, r"is the class RemoteTaskRunner, .* abstract class"),
        (flow, {"task_runner": Picky}, r"is the class Picky, which cannot be called without arguments: no licence; give a runner"),
        (flow, {"task_runner": 8}, r"such as ThreadPoolTaskRunner\(max_workers=8\), not 8"),
        (flow, {"validate_parameters": "no"}, "validate_parameters of flow load is True or False"),
    ],
)
def test_a_setting_that_only_tasks_or_flows_have_is_looked_at_too(decorator: Any, setting: dict[str, Any], told: str) -> None:
    def load() -> None: ...

    with pytest.raises(InvalidSettingError, match=told):
        decorator(**setting)(load)


def test_a_setting_that_there_is_not_is_named_with_the_nearest_one() -> None:
    def load() -> None: ...

    given: dict[str, Any] = {"retry": 3}
    with pytest.raises(TypeError, match=r"^task load has no setting 'retry': did you mean 'retries'\?$"):
        task(**given)(load)


def test_other_settings_are_looked_at_as_well() -> None:
    @task
    def load() -> None: ...

    with pytest.raises(InvalidSettingError, match="timeout_seconds of task load"):
        load.with_options(timeout_seconds=-1)


def test_a_timeout_of_nothing_is_none() -> None:
    @task(timeout_seconds=0)
    def load() -> int:
        return 1

    @flow(timeout_seconds=0)
    def main() -> int:
        return load()

    assert main() == 1


def test_tags_may_come_one_by_one() -> None:
    @task(tags=(tag for tag in ("a", "b")))
    def load() -> None: ...

    assert load.tags == ("a", "b")


@pytest.mark.parametrize(
    "runner", [ThreadPoolTaskRunner, ConcurrentTaskRunner, ProcessPoolTaskRunner, DaskTaskRunner, RayTaskRunner, OneThread]
)
def test_a_class_of_task_runners_stands_for_one_of_its_runners(runner: Any) -> None:
    def load() -> None: ...

    made = [
        flow(task_runner=runner)(load),
        flow(load).with_options(task_runner=runner),
        flow(load, task_runner=runner).with_options(name="b"),
    ]  # type: ignore[call-overload]
    assert [type(known.task_runner) for known in made] == [runner] * 3


def test_tasks_run_where_the_class_of_a_task_runner_says() -> None:
    @task
    def process(_: int) -> int:
        return os.getpid()

    @flow(task_runner=ProcessPoolTaskRunner)
    def main() -> list[int]:
        return process.map(range(2)).result()

    @flow(task_runner=ConcurrentTaskRunner)
    def threads() -> list[int]:
        return process.map(range(2)).result()

    assert os.getpid() not in main()
    assert threads() == [os.getpid()] * 2
