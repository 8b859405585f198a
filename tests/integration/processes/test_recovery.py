"""After a server was killed, the next one finds its processes or their records; no attempt is started twice or lost."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import process_server
from mintaka_api.local.processes import attempt_store
from mintaka_api.local.processes.attempt_folder import BEGUN, STARTED, TERMINATE, AttemptFolder
from mintaka_api.local.processes.attempt_store import AttemptStore
from mintaka_api.local.processes.leftovers import TOKEN
from mintaka_controller.ports import Exists, Unavailable
from mintaka_core.states import COMPLETED, CRASHED, FAILED
from mintaka_core.workloads import Phase
from process_world import MemoryDocuments, ProcessWorld, eventually, flow, flow_run, living, shell

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from mintaka_api.local.processes.launch import Launch
    from mintaka_api.local.processes.process_starter import ProcessStarter
    from mintaka_controller.ports import OwnedWorkload
    from mintaka_core.resources import FlowRun

pytestmark = pytest.mark.anyio

#: Writes its start into a ledger, then waits for the file `ledger.go`.
WAITS = 'echo $$$$ >> "$LEDGER"; while [ ! -e "$LEDGER.go" ]; do sleep 0.05; done; echo done; exit 7'


def ledger(home: Path) -> list[int]:
    """The processes that have started."""
    file = home / "ledger"
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def files(home: Path, pattern: str) -> list[Path]:
    """The files in the folder of processes that match a pattern."""
    return list((home / "processes").glob(pattern))


def waiting_run(home: Path) -> FlowRun:
    """A run whose process waits for the file `ledger.go`."""
    return flow_run("waiting", **shell(WAITS, env=[{"name": "LEDGER", "value": str(home / "ledger")}]))


def killed_server(home: Path, run: FlowRun, moment: str) -> None:
    """A server that starts the run's process and is killed at the given moment."""
    server = subprocess.Popen(
        [sys.executable, process_server.__file__, str(home), moment],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(run.model_dump_json(by_alias=True))
    server.stdin.close()
    if moment == "never":
        assert server.stdout.readline() == "ready\n"
        server.kill()
    assert server.wait(60) == -signal.SIGKILL
    server.stdout.close()


def preceded(starter: ProcessStarter) -> Callable[[AttemptFolder, Launch, Mapping[str, Any]], Awaitable[bool]]:
    """`starter.start` of a request that finds that an earlier one of workload `earlier` is served."""
    start = starter.start

    async def start_second(folder: AttemptFolder, launch: Launch, record: Mapping[str, Any]) -> bool:
        earlier = replace(launch, environment=launch.environment | {TOKEN: "earlier"})
        assert await start(folder, earlier, {**record, "uid": "earlier"})
        return await start(folder, launch, record)

    return start_second


def fail(*_: Any) -> None:
    """A call that fails for lack of file descriptors."""
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def known(world: ProcessWorld, name: str) -> OwnedWorkload:
    """A workload that runs, once it is known since when."""
    async with asyncio.timeout(20):
        while True:
            owned = await world.workloads.read("local", name)
            assert owned is not None
            assert owned.workload.alive
            if owned.workload.started_time is not None:
                return owned
            await asyncio.sleep(0.02)


def next_world(home: Path, *runs: FlowRun) -> ProcessWorld:
    """The server after it."""
    documents = MemoryDocuments()
    for run in runs:
        documents.put(run)
    return ProcessWorld(home, documents=documents)


async def begun(home: Path, count: int = 1) -> list[int]:
    """The processes that have started, when there are `count` of them."""
    return await eventually(lambda: ledger(home), lambda found: len(found) >= count)


@pytest.mark.parametrize("moment", ["requested", "sent", "running"])
async def test_a_server_killed_while_it_starts_a_process(tmp_path: Path, moment: str) -> None:
    """The next server starts the process or finds it: the process starts once, whatever the killed server had done."""
    run = waiting_run(tmp_path)
    await asyncio.to_thread(killed_server, tmp_path, run, moment)
    async with next_world(tmp_path, run) as world:
        try:
            owned = await world.create(run)
        except Exists:
            found = await world.workloads.read("local", "waiting-1")
            assert found is not None
            owned = found
        await begun(tmp_path)
        (tmp_path / "ledger.go").touch()
        ended = await world.end(owned)
        assert (ended.exit_code, len(ledger(tmp_path))) == (7, 1)
        assert ended.end is not None
        assert (ended.end.type, ended.end.message) == (FAILED, "exit code 7: done")


async def test_an_attempt_that_was_given_up_is_not_started_later(tmp_path: Path) -> None:
    """The request of a killed server reaches its fork server after the next server has found no process."""
    run = waiting_run(tmp_path)
    await asyncio.to_thread(killed_server, tmp_path, run, "requested")
    async with next_world(tmp_path, run) as world:
        assert await world.workloads.read("local", "waiting-1") is None
    assert files(tmp_path, "*-1") == []


async def test_a_process_that_runs_on_is_found_and_can_be_stopped(tmp_path: Path) -> None:
    run = waiting_run(tmp_path)
    await asyncio.to_thread(killed_server, tmp_path, run, "never")
    (pid,) = await begun(tmp_path)
    async with next_world(tmp_path, run) as world:
        owned = await world.workloads.read("local", "waiting-1")
        assert owned is not None
        assert (owned.owner_uid, owned.workload.phase, owned.workload.alive) == (run.metadata.uid, Phase.RUNNING, True)
        assert world.workloads.list_versions()[0].key == ("local", "waiting-1")
        assert living([pid]) == [pid]
        await world.stop(owned)
        ended = await world.end(owned)
        assert ended.end is not None
        assert ended.end.reason == "Stopped"
    assert living([pid]) == []


async def test_what_ended_while_no_server_ran_is_known(tmp_path: Path) -> None:
    run = waiting_run(tmp_path)
    await asyncio.to_thread(killed_server, tmp_path, run, "never")
    (pid,) = await begun(tmp_path)
    (tmp_path / "ledger.go").touch()
    await eventually(lambda: files(tmp_path, "*-1/ended"), bool)
    assert living([pid]) == []
    async with next_world(tmp_path, run) as world:
        owned = await world.workloads.read("local", "waiting-1")
        assert owned is not None
        assert (owned.workload.phase, owned.workload.exit_code, owned.workload.log_tail) == (Phase.ENDED, 7, "done")


async def test_the_report_of_a_flow_that_ended_while_no_server_ran(tmp_path: Path) -> None:
    run = flow_run("flow", **flow("from mintaka import flow\n@flow\ndef main():\n    pass\n"))
    await asyncio.to_thread(killed_server, tmp_path, run, "running")
    async with next_world(tmp_path, run) as world:
        owned = await world.workloads.read("local", "flow-1")
        assert owned is not None
        ended = await world.end(owned)
        assert ended.end is not None
        assert (ended.end.type, ended.history_complete) == (COMPLETED, True)


async def test_an_attempt_that_cannot_be_watched_does_not_prevent_others_from_being_found(tmp_path: Path) -> None:
    """Files of its folder are missing: it is lost, and its slot is free."""
    run = waiting_run(tmp_path)
    await asyncio.to_thread(killed_server, tmp_path, run, "never")
    (pid,) = await begun(tmp_path)
    store = AttemptStore(tmp_path)
    damaged = store.folder("0", 1)  # found first
    store.create(damaged, {})
    damaged.claim({"uid": "t0", "token": "t0", "name": "damaged-1", "namespace": "local", "run": "damaged", "run_uid": "0", "attempt": 1})
    for path in files(tmp_path, "0-1/events") + files(tmp_path, "0-1/control"):
        path.unlink()
    async with next_world(tmp_path, run) as world:
        owned = await world.workloads.read("local", "waiting-1")
        lost = await world.workloads.read("local", "damaged-1")
        assert owned is not None
        assert lost is not None
        ended = await world.end(lost)
        assert ended.end is not None
        assert ended.end.reason == "ProcessLost"
        assert living([pid]) == [pid]
        await world.stop(owned, force=True)
        await world.end(owned)


async def test_an_attempt_that_an_earlier_request_began_has_the_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor of a killed server's request begins while the next server requests the attempt: one process, one slot."""
    run = waiting_run(tmp_path)
    async with ProcessWorld(tmp_path, max_processes=1) as world:
        with monkeypatch.context() as patch:
            patch.setattr(world.workloads.starter, "start", preceded(world.workloads.starter))
            with pytest.raises(Exists):
                await world.create(run)
        owned = await world.workloads.read("local", "waiting-1")
        assert owned is not None
        assert (owned.workload.uid, owned.workload.alive) == ("earlier", True)
        other = flow_run("other", **shell("true"))
        assert "1 of at most 1" in (await world.refusal(other)).message
        (tmp_path / "ledger.go").touch()
        await world.end(owned)
        assert (await world.end(await world.create(other))).exit_code == 0


async def test_an_attempt_whose_record_cannot_be_read_has_its_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has begun as it was requested."""
    async with ProcessWorld(tmp_path, max_processes=1) as world:
        with monkeypatch.context() as patch:
            patch.setattr(AttemptStore, "view", fail)
            owned = await world.create(waiting_run(tmp_path))
        other = flow_run("other", **shell("true"))
        assert "1 of at most 1" in (await world.refusal(other)).message
        (tmp_path / "ledger.go").touch()
        assert (await world.end(owned)).exit_code == 7
        assert (await world.end(await world.create(other))).exit_code == 0


async def test_an_attempt_whose_record_cannot_be_read_has_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If its supervisor is killed, what is left of it is found all the same. Only that would be ended."""
    tokens: list[str] = []
    monkeypatch.setattr(attempt_store, "end_holders", lambda token: tokens.append(token) or [])
    async with ProcessWorld(tmp_path) as world:
        with monkeypatch.context() as patch:
            patch.setattr(AttemptStore, "view", fail)
            owned = await world.create(waiting_run(tmp_path))
        folder = world.workloads.folder_of("local", "waiting-1")
        record = folder and folder.read(BEGUN)
        assert record is not None
        os.kill(record["supervisor"], signal.SIGKILL)
        ended = await world.end(owned)
        assert ended.end is not None
        assert ended.end.reason == "ProcessLost"
        assert tokens == [record["token"]] == [owned.workload.uid]


async def test_an_attempt_that_an_earlier_request_began_is_found_later_if_its_record_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is repeated, as after any other transient refusal."""
    run = waiting_run(tmp_path)
    async with ProcessWorld(tmp_path, max_processes=1) as world:
        with monkeypatch.context() as patch:
            patch.setattr(world.workloads.starter, "start", preceded(world.workloads.starter))
            patch.setattr(AttemptStore, "view", fail)
            with pytest.raises(Unavailable, match="the records of process local/waiting-1 cannot be read: "):
                await world.create(run)
        with pytest.raises(Exists):
            await world.create(run)
        owned = await world.workloads.read("local", "waiting-1")
        assert owned is not None
        assert "1 of at most 1" in (await world.refusal(flow_run("other", **shell("true")))).message
        (tmp_path / "ledger.go").touch()
        assert (await world.end(owned)).exit_code == 7


async def test_a_stop_outlives_the_server_that_requested_it(tmp_path: Path) -> None:
    """The stop is recorded but not delivered: the next server delivers it."""
    run = waiting_run(tmp_path)
    async with next_world(tmp_path, run) as world:
        owned = await world.create(run)
        await begun(tmp_path)
        folder = world.workloads.folder_of("local", "waiting-1")
        assert folder is not None
        folder.write("stop", {"time": 0.0, "grace_seconds": 1.0})
    async with next_world(tmp_path, run) as world:
        ended = await world.end(owned)
        assert ended.end is not None
        assert ended.end.reason == "Stopped"


async def test_a_supervisor_killed_while_no_server_ran(tmp_path: Path) -> None:
    run = flow_run("lost", **shell('echo $PPID > "$LEDGER"; sleep 600', env=[{"name": "LEDGER", "value": str(tmp_path / "ledger")}]))
    await asyncio.to_thread(killed_server, tmp_path, run, "never")
    (supervisor,) = await begun(tmp_path)
    os.kill(supervisor, signal.SIGKILL)
    async with next_world(tmp_path, run) as world:
        owned = await world.workloads.read("local", "lost-1")
        assert owned is not None
        ended = await world.end(owned)
        assert ended.end is not None
        assert (ended.end.type, ended.end.reason) == (CRASHED, "ProcessLost")


async def test_processes_of_a_run_that_was_deleted_meanwhile_are_stopped(tmp_path: Path) -> None:
    run = waiting_run(tmp_path)
    await asyncio.to_thread(killed_server, tmp_path, run, "never")
    (pid,) = await begun(tmp_path)
    async with next_world(tmp_path) as world:
        owned = await world.workloads.read("local", "waiting-1")
        assert owned is not None
        await world.end(owned)
    assert living([pid]) == []


async def test_a_removed_attempt_leaves_no_files(tmp_path: Path) -> None:
    async with next_world(tmp_path) as world:
        owned = await world.create(flow_run(**shell("true")))
        ended = await world.end(owned)
        await world.workloads.remove("local", ended.name, ended.uid)
        assert await world.workloads.read("local", ended.name) is None
        assert files(tmp_path, "*") == []


async def test_an_attempt_whose_records_cannot_be_read_at_once_is_found_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as running, so that its run is not started again, and is read as soon as that is possible."""
    runs = [flow_run(name, **shell("sleep 600")) for name in ("one", "two")]
    async with ProcessWorld(tmp_path) as world:
        for run in runs:
            await world.create(run)
    errors, read = [OSError(errno.EIO, os.strerror(errno.EIO))] * 2, AttemptFolder.read

    def read_later(folder: AttemptFolder, name: str) -> Any:
        if name == STARTED and errors and runs[0].metadata.uid in folder.path:
            raise errors.pop()
        return read(folder, name)

    monkeypatch.setattr(AttemptFolder, "read", read_later)
    async with next_world(tmp_path, *runs) as world:
        try:
            one, two = await known(world, "one-1"), await known(world, "two-1")
        finally:
            for run in runs:
                world.documents.delete(run)
        for owned in (one, two):
            assert (await world.end(owned)).end is not None
    assert errors == []


async def test_the_process_of_a_deleted_run_is_stopped_although_the_request_fails_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else would stop it."""
    run, errors, send = flow_run(**shell("sleep 600")), [OSError(errno.EMFILE, os.strerror(errno.EMFILE))], AttemptFolder.send

    def send_later(folder: AttemptFolder, request: bytes) -> bool:
        if request == TERMINATE and errors:
            raise errors.pop()
        return send(folder, request)

    async with ProcessWorld(tmp_path) as world:
        owned = await world.create(run)
        monkeypatch.setattr(AttemptFolder, "send", send_later)
        world.documents.delete(run)
        assert (await world.end(owned)).end is not None
        assert errors == []
