"""Runs that start again: what is finished is not done twice."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.context import Launch
from mintaka.entrypoints import load_flow
from mintaka.exceptions import LoadError, MissingResult
from mintaka.persisting.replaying import replay
from mintaka.persisting.resuming import called, resume
from mintaka.testing import recorded

if TYPE_CHECKING:
    from pathlib import Path

RAN: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results are persisted by default, in a folder of the test."""
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", str(tmp_path / "results"))
    monkeypatch.setenv("MINTAKA_RESULTS_PERSIST_BY_DEFAULT", "true")
    RAN.clear()
    return tmp_path / "results"


@task
def step(name: str) -> str:
    RAN[name] += 1
    return f"{name} {RAN.total()}"


@task
def broken(name: str) -> str:
    RAN[name] += 1
    if RAN[name] == 1:
        raise ValueError("the first time")
    return name


def test_a_later_attempt_takes_what_is_finished_and_runs_the_rest() -> None:
    """The failed task runs again, the one after it for the first time."""

    @flow
    def three() -> list[str]:
        return [step("a"), broken("b"), step("c")]

    with recorded(flow_run_id="run", attempt=1):
        assert three(return_state=True).name == "Failed"
    with recorded(flow_run_id="run", attempt=2) as history:
        assert three() == ["a 1", "b", "c 4"]
    assert RAN == {"a": 1, "b": 2, "c": 1}
    assert history.states_of("step-0") == ["Pending", "Cached"]
    assert history.run("step-0").history[-1].rule == "use_kept_result"


def test_another_run_takes_what_is_finished_where_it_is_told_so() -> None:
    """resumeFrom; a run of its own does not."""

    @flow
    def one() -> str:
        return step("a")

    with recorded(flow_run_id="first"):
        one()
    with recorded(flow_run_id="second"):
        assert one() == "a 2"
    with recorded(flow_run_id="third", resume_from="first"):
        assert one() == "a 1"


def test_a_flow_that_is_tried_again_takes_what_its_first_try_finished() -> None:
    """Within one process and attempt."""

    @flow(retries=1)
    def two() -> list[str]:
        return [step("a"), step("a"), broken("b")]

    assert two() == ["a 1", "a 2", "b"]
    assert RAN == {"a": 2, "b": 2}


def test_calls_are_known_by_what_they_are_not_by_their_place() -> None:
    """Another order, and one more in between; the same call twice is two calls."""

    @flow
    def many(names: list[str]) -> list[str]:
        return [step(name) for name in names]

    with recorded(flow_run_id="run"):
        assert many(["a", "b", "b"]) == ["a 1", "b 2", "b 3"]
    with recorded(flow_run_id="run", attempt=2):
        assert many(["b", "x", "b", "a", "b"]) == ["b 2", "x 4", "b 3", "a 1", "b 5"]


def test_mapped_and_submitted_tasks_and_those_of_subflows_are_taken() -> None:
    """Two subflows with other parameters are told apart."""

    @flow
    def inner(prefix: str) -> list[str]:
        return step.map([prefix + "1", prefix + "2"]).result()

    @flow
    def outer() -> list[list[str]]:
        return [inner("x"), inner("y"), inner("x"), [step.submit("z").result()]]

    with recorded(flow_run_id="run"):
        first = outer()
    assert RAN == {"x1": 2, "x2": 2, "y1": 1, "y2": 1, "z": 1}
    with recorded(flow_run_id="run", attempt=2):
        assert outer() == first
    assert RAN.total() == 7


def test_an_async_flow_is_resumed_too() -> None:
    """Gathered tasks are found whatever their order."""

    @task
    async def later(name: str) -> str:
        RAN[name] += 1
        await asyncio.sleep(0)
        return f"{name} {RAN.total()}"

    @flow
    async def both(names: list[str]) -> list[str]:
        return list(await asyncio.gather(*(later(name) for name in names)))

    with recorded(flow_run_id="run"):
        first = asyncio.run(both(["a", "b", "c"]))
    with recorded(flow_run_id="run", attempt=2):
        assert asyncio.run(both(["c", "b", "a"])) == first[::-1]
    assert RAN.total() == 3


def test_a_call_without_a_fingerprint_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    """And it is told once why."""

    @task
    def opaque(value: Any) -> int:
        RAN["opaque"] += 1
        return len(list(value))

    @flow
    def once() -> int:
        return opaque(iter([1])) + opaque(character for character in "ab")

    for attempt in (1, 2):
        with recorded(flow_run_id="run", attempt=attempt):
            assert once() == 3
    assert RAN["opaque"] == 3
    assert caplog.text.count("its calls cannot be found again when a run is resumed") == 1


FLOW = """
import os
from dataclasses import dataclass
from pathlib import Path

from mintaka import flow, task

@dataclass
class Day:
    name: str

def note(word):
    with Path(__file__).with_name("ran").open("a") as ran:
        ran.write(word + "\\n")

@task
def extract(day, part):
    note(f"extract {part}")
    return [day.name, part]

@task
def load(parts):
    note("load")
    if not Path(__file__).with_name("repaired").exists():
        raise RuntimeError("broken")
    return len(parts)

@flow(validate_parameters=False)
def etl(day, parts=2):
    return load([extract(day, part) for part in range(parts)])
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "calendar_etl.py"
    path.write_text(FLOW, encoding="utf-8")
    return path


def ran(script: Path) -> list[str]:
    path = script.with_name("ran")
    words = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return words


def failed_run(script: Path) -> str:
    """The id of a run in another process, as a script, that failed in its last task."""
    program = f"{FLOW.replace('__file__', repr(str(script)))}\nfrom mintaka import runtime\netl.on_failure(lambda *_: print(runtime.flow_run.id))\netl(Day('monday'), return_state=True)"
    main = script.with_name("main") / script.name
    main.parent.mkdir(exist_ok=True)
    main.write_text(program, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, main], capture_output=True, text=True, check=True, env={**os.environ, "MINTAKA_HISTORY": "off"}
    )
    assert ran(script) == ["extract 0", "extract 1", "load"]
    return answer.stdout.strip()


def test_a_run_is_resumed_with_its_parameters_in_another_process(script: Path) -> None:
    """As often as it takes, and the run that resumed it can be resumed too."""
    run = failed_run(script)
    again, state, _ = resume(run, entrypoint=f"{script}:etl")
    assert (again != run, state.message) == (True, "broken")
    assert ran(script) == ["load"]
    third, *_ = resume(again, entrypoint=f"{script}:etl", parameters={"parts": 3})
    assert ran(script) == ["extract 2", "load"]
    script.with_name("repaired").touch()
    assert resume(third, entrypoint=f"{script}:etl").state.result() == 3
    assert ran(script) == ["load"]
    assert resume(run, entrypoint=f"{script}:etl").state.result() == 2
    assert ran(script) == ["load"]


def test_a_run_is_resumed_where_its_results_are_whatever_the_environment_says(
    script: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storage that is named; nothing is persisted by default here."""
    run = failed_run(script)
    monkeypatch.delenv("MINTAKA_RESULTS_PERSIST_BY_DEFAULT")
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", str(results / "elsewhere"))
    assert resume(run, storage=results, entrypoint=f"{script}:etl").state.message == "broken"
    assert ran(script) == ["load"]


def test_a_run_that_went_well_is_resumed_without_running_anything(script: Path) -> None:
    """Everything is finished."""
    run = failed_run(script)
    script.with_name("repaired").touch()
    resume(run, entrypoint=f"{script}:etl")
    ran(script)
    assert resume(run, entrypoint=f"{script}:etl").state.result() == 2
    assert ran(script) == []
    assert resume(run, entrypoint=f"{script}:etl", parameters={"parts": 3}).state.result() == 3
    assert ran(script) == ["extract 2", "load"]


def test_a_run_of_which_nothing_is_kept_says_what_is_needed() -> None:
    """Persisted results, and the same storage."""
    with pytest.raises(MissingResult, match=r"nothing is kept of flow run 42 .* MINTAKA_RESULT_STORAGE"):
        resume("42")


def test_a_replay_stops_before_a_task_with_its_real_inputs(script: Path, results: Path) -> None:
    """Nothing runs, nothing is written."""
    run = failed_run(script)
    before = sorted((path, path.stat().st_mtime_ns) for path in results.rglob("*"))
    state, going = replay(run, entrypoint=f"{script}:etl", until="load")
    assert state is None
    assert going.stopped is not None
    assert going.stopped.args == ([["monday", 0], ["monday", 1]],)
    assert going.replayed == ["extract-0", "extract-1"]
    assert ran(script) == []
    assert sorted((path, path.stat().st_mtime_ns) for path in results.rglob("*")) == before


def test_a_replay_that_stops_in_a_mapped_task_says_nothing_of_what_it_kept_from_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What depends on the task, and the flow, would fail for want of its result."""
    place = tmp_path / "mapped.py"
    place.write_text(
        "from mintaka import flow, task\n\n@task\ndef grow(n):\n    return n + 1\n\n"
        "@flow\ndef grown():\n    return sum(grow.map(grow.map(range(3))).result())\n"
    )
    flow_at = f"{place}:grown"
    launch = Launch("mapped-run")
    assert called(load_flow(flow_at), {}, launch).result() == 9
    caplog.clear()
    state, going = replay("mapped-run", entrypoint=flow_at, until="grow")
    assert (state, going.stopped is not None) == (None, True)
    assert [record.getMessage() for record in caplog.records] == []


def test_a_replay_debugs_a_task_and_goes_on_with_its_value(script: Path) -> None:
    """What `--pdb` does with the body and its inputs."""
    seen: list[Any] = []

    def debug(body: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((body.__name__, args, kwargs))
        return 42

    state, going = replay(failed_run(script), entrypoint=f"{script}:etl", until="load", debug=debug)
    assert state is not None
    assert state.result() == 42
    assert seen == [("load", ([["monday", 0], ["monday", 1]],), {})]
    assert going.ran == ["load-2"]


def test_a_replay_from_a_task_on_runs_for_real(script: Path) -> None:
    """What is before it stands in; all the rest runs, and fails as it did."""
    run = failed_run(script)
    state, going = replay(run, entrypoint=f"{script}:etl", from_task="load")
    assert state is not None
    assert state.message == "broken"
    assert ran(script) == ["load"]
    assert (going.replayed, going.ran) == (["extract-0", "extract-1"], ["load-2"])
    replay(run, entrypoint=f"{script}:etl", from_task="extract")
    assert ran(script) == ["extract 0", "extract 1", "load"]


KILLED = """
import sys, time
from mintaka import flow, task
from mintaka.context import LAUNCH, Launch

@task
def slow(number):
    print("begun", number, flush=True)
    if number == 2 and sys.argv[1] == "1":
        time.sleep(60)
    return number

@flow
def numbers():
    return [slow(number) for number in range(4)]

LAUNCH.set(Launch(flow_run_id="killed", attempt=int(sys.argv[1])))
print(numbers(), flush=True)
"""


def test_a_replay_says_which_recorded_results_are_lacking_and_why(script: Path, results: Path) -> None:
    """One that was changed on disk, one of a task that never completed."""
    run = failed_run(script)
    (first, *_) = sorted(path for path in (results / "runs" / run).rglob("*") if path.is_file() and path.name != "run")
    first.write_bytes(first.read_bytes()[:-3] + b"xyz")
    _, going = replay(run, entrypoint=f"{script}:etl")
    assert sorted(going.replayed + going.ran) == ["extract-0", "extract-1", "load-2"]
    (name,) = set(going.ran) - {"load-2"}
    assert "its recorded result is corrupt" in going.lacking[name]
    assert "did not complete" in going.lacking["load-2"]


def test_a_replay_whose_code_is_not_there_says_how_to_name_it(script: Path) -> None:
    """Another machine, another folder."""
    run = failed_run(script)
    (script.with_name("main") / script.name).unlink()
    with pytest.raises(LoadError, match=r"not where it was.*--entrypoint"):
        replay(run)
    state, _ = replay(run, entrypoint=f"{script}:etl")
    assert state is not None
    assert state.message == "broken"


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Kill -9 in the middle of a task: that one runs again, those before it do not."""
    program = tmp_path / "killed.py"
    program.write_text(KILLED, encoding="utf-8")
    with subprocess.Popen([sys.executable, program, "1"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "begun 2\n":
                process.kill()
                break
    began = time.monotonic()
    again = subprocess.run([sys.executable, program, "2"], capture_output=True, text=True, check=True)
    assert again.stdout == "begun 2\nbegun 3\n[0, 1, 2, 3]\n"
    assert time.monotonic() - began < 50


def mintaka(*arguments: Any, keys: str = "") -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    command = [sys.executable, "-c", "from mintaka.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, input=keys, capture_output=True, text=True, check=False, env={**os.environ, "MINTAKA_HISTORY": "off"})


def test_the_command_line_replays_and_resumes(script: Path) -> None:
    """Stop, step through with the real inputs, repair, resume."""
    run, flow_at = failed_run(script), f"{script}:etl"
    stopped = mintaka("replay", run, "--until", "load", "--entrypoint", flow_at)
    assert (stopped.returncode, stopped.stdout) == (0, "load([['monday', 0], ['monday', 1]])\n")
    assert "2 tasks replayed, 0 run" in stopped.stderr
    stepped = mintaka("replay", run, "--until", "load", "--pdb", "--entrypoint", flow_at, keys="p parts\ncontinue\n")
    assert "[['monday', 0], ['monday', 1]]" in stepped.stdout
    assert "the replay ended Failed: RuntimeError: broken" in stepped.stderr
    as_json = mintaka("replay", run, "--until", "load", "--json", "--entrypoint", flow_at)
    assert json.loads(as_json.stdout)["stopped"] == {"task": "load", "args": ["[['monday', 0], ['monday', 1]]"], "kwargs": {}}
    looked_at = mintaka("replay", run, "--from", "load", "--pdb", "--entrypoint", flow_at, keys="p 6 * 7\nq\n")
    assert "42" in looked_at.stdout
    script.with_name("repaired").touch()
    resumed = mintaka("resume", run, "--entrypoint", flow_at)
    assert (resumed.returncode, resumed.stdout) == (0, "2\n")
    assert "extract 0" not in ran(script)
    unknown = mintaka("resume", "nobody")
    assert unknown.returncode == 2
    assert "nothing is kept of flow run nobody" in unknown.stderr
