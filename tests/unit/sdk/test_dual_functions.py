"""Functions that sync code calls and async code awaits."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import threading
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import mintaka
from mintaka import artifacts, flow, pause_flow_run, resume_flow_run, suspend_flow_run, task, variables
from mintaka.blocks.system import Secret
from mintaka.exceptions import FlowPauseTimeout, NotAwaited, NotPausedError
from mintaka.persisting.result_storage import storage_of
from mintaka.results import ResultStore
from mintaka.serving.deployable import Deployable
from mintaka.states import Completed, Failed, State
from mintaka.task_runners import ProcessPoolTaskRunner
from mintaka.variables import Variable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path
    from uuid import UUID


class SlowPlace:
    """Where variables are, in memory; it takes its time."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {"there": 1}
        self.seconds = 0.0

    def variable(self, name: str) -> Any:
        time.sleep(self.seconds)
        return SimpleNamespace(value=self.known[name]) if name in self.known else None

    def put_variable(self, name: str, value: Any, _tags: Any, *, overwrite: bool) -> bool:
        if name in self.known and not overwrite:
            return False
        self.known[name] = value
        return True

    def remove_variable(self, name: str) -> bool:
        return self.known.pop(name, None) is not None


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlowPlace:
    """Variables and secrets of the test's own."""
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINTAKA_SECRETS_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("MINTAKA_SECRET_TOKEN", "hidden")
    place = SlowPlace()
    monkeypatch.setattr(variables, "shared", lambda: place)
    return place


class Function:
    """A dual function with its twin, called with `args`; what it gives `shows` as."""

    def __init__(self, plain: Any, twin: Any, *args: Any, shows: Callable[[Any], Any] = lambda given: given) -> None:
        self.plain = plain
        self.twin = twin
        self.args = args
        self.shows = shows


def kind(given: Any) -> str:
    return type(given).__name__


OVERWRITE = RAISE = True
FUNCTIONS = {
    "Variable.get": (Function(Variable.get, Variable.aget, "there"), 1),
    "Variable.get of none": (Function(Variable.get, Variable.aget, "away", 7), 7),
    "Variable.set": (Function(Variable.set, Variable.aset, "new", [1], ["tag"], OVERWRITE), Variable("new", [1], ["tag"])),
    "Variable.unset": (Function(Variable.unset, Variable.aunset, "away"), False),
    "Secret.load": (Function(Secret.load, Secret.aload, "token", shows=lambda secret: secret.get()), "hidden"),
    "Secret.save": (Function(Secret("a").save, Secret("a").asave, "own", OVERWRITE), "own"),
    "State.result": (Function(Completed(data=3).result, Completed(data=3).aresult), 3),
    "State.result of a failure": (
        Function(Failed(data=KeyError("a")).result, Failed(data=KeyError("a")).aresult, not RAISE, shows=kind),
        "KeyError",
    ),
    "create_markdown_artifact": (
        Function(artifacts.create_markdown_artifact, artifacts.acreate_markdown_artifact, "# A", shows=kind),
        "UUID",
    ),
    "create_table_artifact": (Function(artifacts.create_table_artifact, artifacts.acreate_table_artifact, [{"a": 1}], shows=kind), "UUID"),
    "create_link_artifact": (
        Function(artifacts.create_link_artifact, artifacts.acreate_link_artifact, "https://a.invalid", shows=kind),
        "UUID",
    ),
    "create_image_artifact": (
        Function(artifacts.create_image_artifact, artifacts.acreate_image_artifact, "https://a.invalid", shows=kind),
        "UUID",
    ),
    "create_progress_artifact": (
        Function(artifacts.create_progress_artifact, artifacts.acreate_progress_artifact, 5.0, shows=kind),
        "UUID",
    ),
}
each_function = pytest.mark.parametrize(("function", "shown"), FUNCTIONS.values(), ids=FUNCTIONS)


@each_function
def test_sync_code_calls_it(function: Function, shown: Any) -> None:
    @task
    def in_a_task() -> Any:
        return function.shows(function.plain(*function.args))

    @flow
    def main() -> Any:
        return [function.shows(function.plain(*function.args)), in_a_task(), in_a_task.submit().result()]

    assert main() == [shown] * 3


@each_function
def test_async_code_awaits_it(function: Function, shown: Any) -> None:
    @task
    async def in_a_task() -> Any:
        return function.shows(await function.plain(*function.args))

    @flow
    async def main() -> Any:
        def helper() -> Any:
            return function.plain(*function.args)

        found = [await function.plain(*function.args), await helper(), await asyncio.create_task(helper())]
        found += await asyncio.gather(*(function.plain(*function.args) for _ in range(2)))
        return [*map(function.shows, found), await in_a_task(), in_a_task.submit().result()]

    assert asyncio.run(main()) == [shown] * 7


@each_function
def test_the_twin_is_a_coroutine_function(function: Function, shown: Any) -> None:
    @flow
    async def main() -> Any:
        return function.shows(await function.twin(*function.args))

    assert inspect.iscoroutinefunction(function.twin)
    assert asyncio.run(main()) == shown


@each_function
def test_either_form_can_be_chosen_anywhere(function: Function, shown: Any) -> None:
    @flow
    async def in_a_loop() -> Any:
        return [
            function.shows(function.plain(*function.args, _sync=True)),
            function.shows(await function.plain(*function.args, _sync=False)),
        ]

    @flow
    def without() -> Any:
        async def awaits(call: Any) -> Any:
            return await call

        call = function.plain(*function.args, _sync=False)
        return [function.shows(function.plain(*function.args, _sync=True)), function.shows(asyncio.run(awaits(call)))]

    assert asyncio.run(in_a_loop()) == without() == [shown] * 2


@each_function
def test_a_call_that_is_not_awaited_fails_its_run_with_its_line(function: Function, shown: Any) -> None:
    @task
    async def forgets() -> None:
        function.plain(*function.args)

    @flow
    async def main() -> Any:
        return [await forgets(return_state=True), await forgets.submit(), shown]

    line = forgets.fn.__code__.co_firstlineno + 2
    name = re.escape(function.plain.__qualname__)
    said = rf"^{name}\(…\) in line {line} of {re.escape(__file__)} was not awaited, so it did nothing: write `await {name}\(…\)`, or pass _sync=True$"
    with pytest.raises(NotAwaited, match=said):
        asyncio.run(main())
    state = asyncio.run(flow(forgets.fn)(return_state=True))
    assert (state.name, state.reason) == ("Failed", "NotAwaited")


def test_a_call_in_a_worker_that_is_not_awaited_fails_its_task() -> None:
    @task
    async def forgets() -> None:
        artifacts.create_markdown_artifact("# A")

    @task
    async def awaits() -> UUID:
        return await artifacts.create_markdown_artifact("# A")  # type: ignore[misc]

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> Any:
        return [kind(awaits.submit().result()), kind(forgets.submit().result(raise_on_failure=False))]

    assert main() == ["UUID", "NotAwaited"]


USES: dict[str, Callable[[Any], Any]] = {
    "an attribute": lambda call: call.get(),
    "a condition": lambda call: "yes" if call else "no",
    "a loop": lambda call: [*call],
    "an element": lambda call: call["a"],
    "a length": len,
    "membership": lambda call: "a" in call,
    "a number": int,
    "a text": lambda call: f"{call}",
    "a pickle": lambda call: __import__("pickle").dumps(call),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_call_used_as_if_it_were_the_value_says_what_to_write(use: Callable[[Any], Any]) -> None:
    @flow
    async def main() -> Any:
        return use(Variable.get("there"))

    with pytest.raises(
        (TypeError, AttributeError), match=r"was not awaited, so it did nothing: write `await Variable\.get\(…\)`, or pass _sync=True"
    ):
        asyncio.run(main())


SHAPES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda part: part,
    "in a list": lambda part: [part, 2],
    "in a dictionary": lambda part: {"a": part},
    "nested": lambda part: ({"a": [part]},),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("in_task", [False, True], ids=["by a flow", "by a task"])
def test_a_call_that_is_returned_is_awaited(in_task: bool, shape: Callable[[Any], Any]) -> None:
    """As a coroutine of a task is."""

    async def returns() -> Any:
        return shape(Variable.get("there"))

    @flow
    async def main() -> Any:
        return await task(returns)()

    assert asyncio.run(main() if in_task else flow(returns)()) == shape(1)


def test_another_failure_has_a_note_of_what_was_not_awaited_before_it() -> None:
    @flow
    async def main() -> Any:
        Variable.set("new", 1)
        return await Variable.get("new") + 1

    with pytest.raises(TypeError, match="NoneType") as raised:
        asyncio.run(main())
    assert re.match(r"Variable\.set\(…\) in line \d+ of .* was not awaited, so it did nothing", raised.value.__notes__[0])


def test_a_call_that_a_task_of_the_loop_awaits_later_is_not_forgotten() -> None:
    @flow
    async def main() -> None:
        main.later = asyncio.create_task(Variable.set("late", 1, _sync=False))  # type: ignore[attr-defined]

    async def both() -> Any:
        await main()
        return await main.later  # type: ignore[attr-defined]

    assert asyncio.run(both()) == Variable("late", 1)


def test_outside_of_runs_python_warns_of_a_call_that_is_not_awaited() -> None:
    async def main() -> None:
        Variable.set("new", 1)
        gc.collect()

    with pytest.warns(RuntimeWarning, match=r"Variable\.set\(…\) in line \d+ of .*test_dual_functions.py was not awaited"):
        asyncio.run(main())


def test_arguments_are_not_in_what_is_said() -> None:
    async def main() -> None:
        Variable.set("new", "c4nary")

    with pytest.warns(RuntimeWarning) as warned:
        asyncio.run(main())
    assert "c4nary" not in str(warned[0].message)


def test_wrong_arguments_raise_from_the_call() -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
            Variable.get()  # type: ignore[call-overload]

    asyncio.run(main())


@asynccontextmanager
async def ticking() -> AsyncIterator[list[float]]:
    """The pauses between the turns of the loop while the block is awaited."""
    pauses: list[float] = []

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            pauses.append(time.monotonic() - began)

    ticks = asyncio.create_task(tick())
    yield pauses
    ticks.cancel()


def test_the_event_loop_goes_on_while_a_variable_is_fetched(place: SlowPlace) -> None:
    @flow
    async def main() -> Any:
        async with ticking() as pauses:
            found = await Variable.get("there")
        return found, max(pauses)

    place.seconds = 0.4
    found, longest = asyncio.run(main())
    assert found == 1
    assert longest < 0.3


def test_the_event_loop_goes_on_while_a_persisted_result_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = Completed(data=ResultStore(storage_of(tmp_path)).write([1, 2], "key"))
    state.data.forget()
    threads: list[Any] = []
    read = ResultStore.read
    monkeypatch.setattr(ResultStore, "read", lambda *args: (threads.append(threading.current_thread()), read(*args))[1])

    async def main() -> Any:
        return await state.result()

    assert asyncio.run(main()) == [1, 2]
    assert threads != [threading.main_thread()]


SYNC_IN_ASYNC: dict[str, Callable[[list[Any]], Any]] = {
    "a sync task": lambda found: task(lambda: found.append(Variable.get("there")))(),
    "a sync flow": lambda found: flow(lambda: found.append(Variable.get("there")))(),
    "a sync flow's state": lambda found: flow(lambda: found.append(Completed(data=1).result()))(),
    "a sync generator": lambda found: [*task(_yields)(found)],
}


def _yields(found: list[Any]) -> Iterator[Any]:
    found.append(Variable.get("there"))
    yield 1


@pytest.mark.parametrize("call", SYNC_IN_ASYNC.values(), ids=SYNC_IN_ASYNC)
def test_sync_tasks_and_flows_that_async_code_calls_get_the_value(call: Callable[[list[Any]], Any]) -> None:
    found: list[Any] = []

    @flow
    async def main() -> None:
        call(found)

    async def without_a_flow() -> None:
        call(found)

    asyncio.run(main())
    asyncio.run(without_a_flow())
    assert found == [1, 1]


def test_functions_that_the_engine_calls_for_an_async_run_get_the_value() -> None:
    """Hooks, names, conditions and keys are plain functions; those that are coroutine functions await it."""
    found: dict[str, Any] = {}

    def note(name: str) -> Any:
        return found.setdefault(name, Variable.get("there"))

    async def async_hook(*_: Any) -> None:
        found["async hook"] = await Variable.get("there")

    tries: list[int] = []

    @task(
        retries=1,
        retry_condition_fn=lambda _task, _run, state: bool(note("condition")) and state.result(raise_on_failure=False) is not None,
        task_run_name=lambda: f"run-{note('task run name')}",
        on_failure=[lambda *_: note("hook of a failure")],
        on_running=[lambda *_: note("hook of the start")],
    )
    async def fails() -> None:
        tries.append(1)
        raise ValueError

    @flow(
        flow_run_name=lambda: f"run-{note('flow run name')}",
        on_completion=[lambda *_: note("hook of the flow"), async_hook],
    )
    async def main() -> Any:
        await fails(return_state=True)
        return Completed()

    asyncio.run(main())
    assert len(tries) == 2
    assert found == dict.fromkeys(
        ["condition", "task run name", "hook of a failure", "hook of the start", "flow run name", "hook of the flow", "async hook"], 1
    )


def test_threads_without_a_loop_get_the_value() -> None:
    @flow
    async def main() -> Any:
        return await asyncio.to_thread(Variable.get, "there")

    assert asyncio.run(main()) == 1


def test_a_loop_that_a_sync_flow_starts_awaits_it() -> None:
    async def fetch() -> Any:
        return await Variable.get("there"), await artifacts.create_markdown_artifact("# A")  # type: ignore[misc]

    @flow
    def main() -> Any:
        found, artifact = asyncio.run(fetch())
        return found, kind(artifact)

    assert main() == (1, "UUID")


def test_async_generators_await_it() -> None:
    @flow
    async def main() -> AsyncIterator[Any]:
        yield await Variable.get("there")
        yield [await Variable.get(name, 2) for name in ("there", "away")]

    async def items() -> Any:
        return [item async for item in main()]

    assert asyncio.run(items()) == [1, [1, 2]]


def test_progress_is_updated_in_both_forms() -> None:
    @flow
    async def awaits() -> Any:
        artifact = await artifacts.create_progress_artifact(0)  # type: ignore[misc]
        return [
            await artifacts.update_progress_artifact(artifact, 50) == artifact,
            await artifacts.aupdate_progress_artifact(artifact, 60) == artifact,
        ]  # type: ignore[misc]

    @flow
    def calls() -> Any:
        artifact = artifacts.create_progress_artifact(0)
        return [artifacts.update_progress_artifact(artifact, 50) == artifact]

    assert asyncio.run(awaits()) == [True, True]
    assert calls() == [True]


def test_a_pause_is_awaited_in_an_async_flow_and_blocks_in_a_sync_one() -> None:
    @flow
    def blocks() -> str:
        with pytest.raises(FlowPauseTimeout):
            pause_flow_run(timeout=0.01, poll_interval=0.01)
        return "blocked"

    @flow
    async def main() -> Any:
        with pytest.raises(FlowPauseTimeout):
            await pause_flow_run(timeout=0.01, poll_interval=0.01)  # type: ignore[func-returns-value]
        return blocks()

    assert asyncio.run(main()) == "blocked"


@pytest.mark.parametrize("call", [pause_flow_run, suspend_flow_run], ids=["pause_flow_run", "suspend_flow_run"])
def test_a_pause_that_is_not_awaited_fails_its_flow(call: Any) -> None:
    @flow
    async def main() -> str:
        call()
        return "went on"

    with pytest.raises(NotAwaited, match=rf"{call.__name__}\(…\) in line"):
        asyncio.run(main())


def test_resuming_is_awaited_in_async_code() -> None:
    async def main() -> None:
        with pytest.raises(NotPausedError):
            await resume_flow_run("nobody-knows-it")  # type: ignore[func-returns-value]

    with pytest.raises(NotPausedError):
        resume_flow_run("nobody-knows-it")
    asyncio.run(main())


def test_every_public_function_with_a_twin_is_one_of_them() -> None:
    """If there is `afoo` beside `foo`, `foo` takes `_sync`. Only `serve` refuses async code, as in Prefect."""
    holders = [mintaka, artifacts, Variable, Secret, State, Deployable]
    names = [
        (holder, name) for holder in holders for name in vars(holder) if callable(getattr(holder, f"a{name}", None)) and name != "serve"
    ]
    assert len(names) == 18
    for holder, name in names:
        assert "_sync" in inspect.signature(getattr(holder, name), follow_wrapped=False).parameters, name
