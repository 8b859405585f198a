"""Real processes: how they end, what they leave behind, and how their output is stored."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from mintaka_api.local.processes import attempt_store
from mintaka_api.local.processes.output import LIMIT_BYTES, read_output
from mintaka_controller.ports import Exists
from mintaka_core.states import COMPLETED, CRASHED, FAILED
from mintaka_core.workloads import CreateErrorKind
from process_world import ProcessWorld, command, eventually, flow, flow_run, living, python, shell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mintaka_core.workloads import Workload

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ProcessWorld]:
    async with ProcessWorld(tmp_path) as world:
        yield world


def end(workload: Workload) -> tuple[str, str]:
    """The type and reason of the end of a process."""
    assert workload.end is not None
    return workload.end.type, workload.end.reason


def message(workload: Workload) -> str:
    """The message of the end of a process."""
    assert workload.end is not None
    return workload.end.message


def output_of(home: Path, run_uid: str, attempt: int = 1) -> str:
    """The stored output, without the times."""
    text, _ = read_output(str(home / "processes" / f"{run_uid}-{attempt}"), 10**9)
    return "".join(line.partition(" ")[2] + "\n" for line in text.decode().splitlines())


class TestEnds:
    async def test_a_flow_reports_its_end(self, world: ProcessWorld) -> None:
        completed = await world.run(**flow("from mintaka import flow\n@flow\ndef main(x=1):\n    return x\n"))
        assert (end(completed), completed.exit_code, completed.history_complete) == ((COMPLETED, ""), 0, True)

    async def test_a_flow_that_raises_has_failed(self, world: ProcessWorld) -> None:
        failed = await world.run(**flow("from mintaka import flow\n@flow\ndef main():\n    raise KeyError('wine')\n"))
        assert end(failed) == (FAILED, "KeyError")
        assert "wine" in message(failed)

    async def test_a_command_is_judged_by_its_exit_code(self, world: ProcessWorld) -> None:
        assert end(await world.run(**shell("exit 0"))) == (COMPLETED, "")
        failed = await world.run(**shell("echo no such table >&2; exit 7"))
        assert (end(failed), message(failed)) == ((FAILED, "NonZeroExit"), "exit code 7: no such table")

    async def test_a_signal_ends_it(self, world: ProcessWorld) -> None:
        killed = await world.run(**python("import os; os.kill(os.getpid(), 9)"))
        assert (end(killed), killed.exit_code) == ((CRASHED, "Killed"), 137)
        assert end(await world.run(**python("import os; os.abort()"))) == (CRASHED, "Aborted")

    async def test_a_flow_that_exits_without_a_report(self, world: ProcessWorld) -> None:
        source = "import os\nfrom mintaka import flow\n@flow\ndef main():\n    print('so long', flush=True)\n    os._exit(0)\n"
        crashed = await world.run(**flow(source))
        assert end(crashed) == (CRASHED, "ExitedWithoutReport")
        assert crashed.history_complete is False
        assert "so long" in crashed.log_tail

    async def test_too_little_memory_is_a_clear_end(self, world: ProcessWorld) -> None:
        """The process sets a limit for itself: the flow raises an exception, and the kernel is not involved."""
        source = (
            "import resource\nfrom mintaka import flow\n@flow\ndef main():\n"
            "    resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n    bytearray(2 * 10**9)\n"
        )
        assert end(await world.run(**flow(source))) == (FAILED, "MemoryError")

    async def test_an_interpreter_that_gets_no_memory_has_crashed(self, world: ProcessWorld) -> None:
        limited = shell(f"ulimit -v 20000; exec {sys.executable} -m mintaka.runner")
        crashed = await world.run(**{**flow("pass"), **limited})
        assert crashed.end is not None
        assert crashed.end.type == CRASHED

    async def test_a_file_that_is_missing_is_named(self, world: ProcessWorld, tmp_path: Path) -> None:
        failed = await world.run(entrypoint="nowhere.py:main", process={"workingDir": str(tmp_path)})
        assert (end(failed), failed.retriable) == ((FAILED, "EntrypointNotFound"), False)
        assert "nowhere.py" in message(failed)


class TestStarts:
    @pytest.mark.parametrize(
        ("template", "reason", "words"),
        [
            pytest.param(command("no-such-program"), "CommandNotFound", "no-such-program", id="no program"),
            pytest.param(
                {**flow("pass"), "process": {"python": "/nowhere/bin/python"}}, "CommandNotFound", "process.python", id="no interpreter"
            ),
            pytest.param(command("/etc/passwd"), "NotExecutable", "/etc/passwd", id="not executable"),
            pytest.param(command("sh", workingDir="/nowhere"), "WorkingDirNotFound", "process.workingDir", id="no folder"),
            pytest.param(command("sh", "-c", "x" * 2_200_000), "ArgumentsTooLong", "larger", id="arguments"),
        ],
    )
    async def test_what_cannot_be_started_is_reported(
        self, world: ProcessWorld, template: dict[str, object], reason: str, words: str
    ) -> None:
        crashed = await world.run(**template)
        assert end(crashed) == (CRASHED, reason)
        assert words in message(crashed)
        assert crashed.started_time is None

    async def test_an_attempt_is_started_once(self, world: ProcessWorld) -> None:
        run = flow_run(**shell("sleep 60"))
        owned = await world.create(run)
        with pytest.raises(Exists):
            await world.create(run)
        await world.stop(owned, force=True)
        assert not (await world.end(owned)).alive

    async def test_command_folder_and_variables_are_those_of_the_container(
        self, world: ProcessWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MINTAKA_DATABASE_URL", "postgresql://secret")
        folder = tmp_path / "project"
        folder.mkdir()
        variables = [{"name": "DAY", "value": "monday"}, {"name": "FILE", "value": "$(DAY).csv"}]
        run = flow_run(
            **shell('echo "$(pwd) $FILE $0 ${MINTAKA_DATABASE_URL-none}"', env=variables, args=["$(DAY)"], workingDir=str(folder))
        )
        await world.end(await world.create(run))
        assert output_of(tmp_path, run.metadata.uid) == f"{folder} monday.csv monday none\n"

    async def test_only_so_many_run_at_once_and_the_oldest_is_the_next(self, tmp_path: Path) -> None:
        async with ProcessWorld(tmp_path, max_processes=1) as world:
            first = await world.create(flow_run("first", **shell("sleep 60")))
            younger = flow_run("younger", created="2026-03-04T05:00:02Z", **shell("true"))
            older = flow_run("older", created="2026-03-04T05:00:01Z", **shell("true"))
            refused = await world.refusal(younger)
            assert (refused.reason, refused.kind, refused.patience) == ("ProcessLimitReached", CreateErrorKind.CAPACITY, None)
            assert "1 of at most 1" in refused.message
            await world.refusal(older)
            await world.stop(first, force=True)
            await world.end(first)
            assert world.offered
            assert "1 older run waits" in (await world.refusal(younger)).message
            await world.end(await world.create(older))
            assert end(await world.end(await world.create(younger))) == (COMPLETED, "")


class TestStops:
    async def test_a_flow_ends_by_itself_within_its_grace_period(self, world: ProcessWorld) -> None:
        source = "import time\nfrom mintaka import flow\n@flow\ndef main():\n    print('up', flush=True)\n    time.sleep(60)\n"
        owned = await world.create(flow_run(**flow(source, grace=20)))
        await asyncio.sleep(1.5)
        await world.stop(owned)
        stopped = await world.end(owned)
        assert end(stopped) == (CRASHED, "Stopped")
        assert (stopped.exit_code, stopped.stopping_time is not None, stopped.deleted) == (143, True, True)

    async def test_what_ignores_sigterm_is_killed_after_its_grace_period(self, world: ProcessWorld, tmp_path: Path) -> None:
        run = flow_run(**python("import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"))
        owned = await world.create(run)
        await printed(tmp_path, run.metadata.uid, 1)
        await world.stop(owned)
        stopped = await world.end(owned, seconds=20)
        assert (end(stopped), stopped.exit_code) == ((CRASHED, "Stopped"), 137)
        assert "grace period" in message(stopped)

    async def test_a_forced_stop_does_not_wait(self, world: ProcessWorld) -> None:
        owned = await world.create(flow_run(**shell("trap '' TERM; sleep 60", grace=3600)))
        await world.stop(owned)
        await world.stop(owned, force=True)
        assert end(await world.end(owned, seconds=20)) == (CRASHED, "Stopped")

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("sleep 600 & echo $!", id="a child in the background"),
            pytest.param("setsid sleep 600 & echo $!", id="a child in a session of its own"),
            pytest.param("(setsid sh -c 'sleep 600 & echo $!; exit' &)", id="a double fork in a session of its own"),
            pytest.param(
                "trap '' TERM; (setsid sh -c 'trap \"\" TERM HUP; sleep 600 & echo $!' </dev/null &)", id="a daemon that ignores signals"
            ),
            pytest.param("(env -i setsid sleep 600 & echo $!)", id="a child without our variables"),
        ],
    )
    @pytest.mark.parametrize("stopped", [pytest.param(False, id="ended"), pytest.param(True, id="stopped")])
    async def test_nothing_outlives_it(self, world: ProcessWorld, tmp_path: Path, script: str, stopped: bool) -> None:
        run = flow_run(**shell(f"{script}; while [ ! -e go ]; do sleep 0.05; done"))
        owned = await world.create(run)
        pids = [int(line) for line in await printed(tmp_path, run.metadata.uid, 1)]
        assert living(pids) == pids
        if stopped:
            await world.stop(owned)
        else:
            (tmp_path / "processes" / f"{run.metadata.uid}-1" / "work" / "go").touch()
        await world.end(owned, seconds=30)
        assert living(pids) == []

    async def test_what_forks_without_end_is_ended(self, world: ProcessWorld) -> None:
        script = "import os, time\nfor _ in range(6):\n    os.fork()\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(600)"
        owned = await world.create(flow_run(**python(script)))
        await asyncio.sleep(0.5)
        await world.stop(owned)
        ended = await world.end(owned, seconds=30)
        assert ended.end is not None
        assert "cannot be ended" not in ended.end.message

    async def test_the_processes_of_a_deleted_run_are_stopped(self, world: ProcessWorld) -> None:
        run = flow_run(**shell("sleep 600"))
        owned = await world.create(run)
        world.documents.delete(run)
        ended = await world.end(owned, seconds=20)
        assert (ended.deleted, ended.held) == (True, True)
        await world.workloads.release("local", ended.name, ended.uid)
        assert await world.workloads.read("local", ended.name) is None


class TestOutput:
    async def test_lines_have_times_and_their_order(self, world: ProcessWorld, tmp_path: Path) -> None:
        run = flow_run(**shell("echo one; echo two >&2; printf 'no end'"))
        await world.end(await world.create(run))
        assert output_of(tmp_path, run.metadata.uid) == "one\ntwo\nno end\n"

    async def test_a_hundred_megabytes_fill_neither_memory_nor_disk(self, world: ProcessWorld, tmp_path: Path) -> None:
        run = flow_run(**python("import sys\nfor n in range(1_000_000):\n    sys.stdout.write(f'{n:099}\\n')"))
        assert end(await world.end(await world.create(run))) == (COMPLETED, "")
        folder = tmp_path / "processes" / f"{run.metadata.uid}-1"
        assert sum(file.stat().st_size for file in folder.glob("output*")) <= 2 * LIMIT_BYTES + 200_000
        lines = output_of(tmp_path, run.metadata.uid).splitlines()
        assert [int(line) for line in lines] == list(range(1_000_000 - len(lines), 1_000_000))

    async def test_one_endless_line_is_stored_in_parts(self, world: ProcessWorld, tmp_path: Path) -> None:
        run = flow_run(**python("print('x' * 10_000_000)"))
        await world.end(await world.create(run))
        lines = output_of(tmp_path, run.metadata.uid).splitlines()
        assert len(lines) > 20
        assert max(map(len, lines)) <= 130_000

    async def test_what_is_not_done_here_is_in_the_log(self, world: ProcessWorld, tmp_path: Path) -> None:
        template = shell("true")
        template["podTemplate"]["spec"]["initContainers"] = [{"name": "fetch", "image": "busybox"}]
        run = flow_run(**template)
        await world.end(await world.create(run))
        assert "init containers fetch: ignored, since this server runs one process" in output_of(tmp_path, run.metadata.uid)


class TestInfrastructure:
    async def test_a_killed_supervisor_takes_its_process_along(self, world: ProcessWorld, tmp_path: Path) -> None:
        run = flow_run(**shell("echo $PPID; echo $$$$; sleep 600"))
        owned = await world.create(run)
        supervisor, process = (int(line) for line in await printed(tmp_path, run.metadata.uid, 2))
        os.kill(supervisor, signal.SIGKILL)
        assert end(await world.end(owned)) == (CRASHED, "ProcessLost")
        assert living([process]) == []

    async def test_a_process_whose_home_was_removed_is_lost_and_its_slot_free(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only what has the attempt's token would be ended."""
        tokens: list[str] = []
        monkeypatch.setattr(attempt_store, "end_holders", lambda token: tokens.append(token) or [])
        async with ProcessWorld(tmp_path, max_processes=1) as world:
            run = flow_run(**shell("echo $PPID; echo $$$$; sleep 600"))
            owned = await world.create(run)
            supervisor, process = (int(line) for line in await printed(tmp_path, run.metadata.uid, 2))
            shutil.rmtree(tmp_path / "processes")
            os.kill(supervisor, signal.SIGTERM)
            assert end(await world.end(owned)) == (CRASHED, "ProcessLost")
            assert tokens == [owned.workload.uid]
            assert living([process]) == []
            assert end(await world.run(**shell("exit 0"))) == (COMPLETED, "")

    async def test_a_killed_fork_server_is_replaced(self, world: ProcessWorld) -> None:
        before = await world.create(flow_run("before", **shell("sleep 1")))
        pid = world.workloads.fork_server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert end(await world.run(**shell("exit 0"))) == (COMPLETED, "")
        assert end(await world.end(before)) == (COMPLETED, "")

    async def test_supervisors_take_little_memory(self, world: ProcessWorld, tmp_path: Path) -> None:
        run = flow_run(**shell("echo $PPID; sleep 600"))
        owned = await world.create(run)
        (supervisor,) = (int(line) for line in await printed(tmp_path, run.metadata.uid, 1))
        if sys.platform == "linux":
            with open(f"/proc/{supervisor}/smaps_rollup", encoding="ascii") as file:  # noqa: ASYNC230, PTH123
                sizes = dict(line.split(":", 1) for line in file if line.startswith(("Private", "Pss:")))
            private = sum(int(sizes[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
            assert private < 3 * 1024
        await world.stop(owned, force=True)
        await world.end(owned)


async def printed(home: Path, run_uid: str, lines: int, seconds: float = 30) -> list[str]:
    """The lines that a process has printed, when there are `lines` of them."""
    return await eventually(lambda: output_of(home, run_uid).splitlines(), lambda found: len(found) >= lines, seconds)
