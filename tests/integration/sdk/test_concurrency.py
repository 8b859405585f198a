"""Limits in the three places: never exceeded, never kept by the dead, in the order of asking, with an end to every wait."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from contextlib import contextmanager
from contextvars import Context
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, runtime, task
from mintaka.concurrency import sync
from mintaka.concurrency.asyncio import concurrency as aconcurrency
from mintaka.concurrency.asyncio import rate_limit as arate_limit
from mintaka.concurrency.sync import concurrency, rate_limit
from mintaka.concurrency.tagged import KNOWN
from mintaka.exceptions import (
    AcquireConcurrencySlotTimeoutError,
    CancelledRun,
    ConcurrencySlotAcquisitionError,
    InvalidNameError,
    PrefectException,
    SharingError,
)
from mintaka.sharing import shared
from mintaka.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from real_api import RealApi

pytestmark = pytest.mark.usefixtures("reached")

HOLD = """
import sys, time
from mintaka.concurrency.sync import concurrency
with concurrency("db", lease_duration=2, strict=True):
    print("holds", flush=True)
    time.sleep(60)
"""
ENTER = """
import os, sys, time
from mintaka import flow, runtime, task
from mintaka.concurrency.sync import concurrency
from mintaka.task_runners import ThreadPoolTaskRunner

def note(word):
    os.write(journal, f"{time.monotonic_ns()} {word} {os.getpid()}\\n".encode())

@task
def enter(n):
    with concurrency("db", strict=True):
        note(1)
        time.sleep(0.01)
        note(-1)

@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def main():
    enter.map(range(6)).result()

journal = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
main()
"""


@contextmanager
def occupied(name: str, **options: Any) -> Iterator[None]:
    """Slots that others hold: what runs inside of a block that holds slots would share them."""
    elsewhere, block = Context(), concurrency(name, **options)
    elsewhere.run(block.__enter__)
    try:
        yield
    finally:
        elsewhere.run(block.__exit__, None, None, None)


def script(text: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that runs `text`."""
    command = [sys.executable, "-c", textwrap.dedent(text), *arguments]
    return subprocess.Popen(command, env=os.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def eventually(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)


def limit(slots: int, decay_per_second: float = 0, name: str = "db") -> None:
    """Make a limit."""
    assert shared().put_limit(name, slots, decay_per_second, overwrite=True)


def held(name: str = "db") -> float:
    """How many slots are held."""
    found = shared().limit(name)
    assert found is not None
    return found.held


def waiting(name: str = "db") -> int:
    """How many wait."""
    found = shared().limit(name)
    assert found is not None
    return found.waiting


def test_slots_are_held_while_the_block_runs_and_shown() -> None:
    """With who holds them; all of several limits, or none."""
    limit(2)
    limit(5, name="other")

    @flow(flow_run_name="holder")
    def main() -> list[float]:
        with concurrency(["db", "other"], occupy=2):
            found = shared().limit("db")
            assert found is not None
            assert found.leases[0].who.startswith("flow run holder")
            return [held(), held("other")]

    assert main() == [2, 2]
    assert [held(), held("other")] == [0, 0]
    with pytest.raises(ZeroDivisionError), concurrency("db"):
        1 / 0  # noqa: B018
    assert held() == 0


def test_a_limit_nobody_made_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    """It is said; `strict` refuses."""
    with caplog.at_level(logging.WARNING), concurrency("nothing"):
        rate_limit("nothing")
    assert caplog.text.count("there is no limit nothing") == 2
    assert "mintaka limit create nothing" in caplog.text
    with pytest.raises(ConcurrencySlotAcquisitionError, match="there is no limit nothing"), concurrency("nothing", strict=True):
        pytest.fail("it was entered")
    with pytest.raises(ConcurrencySlotAcquisitionError, match="there is no limit"):
        rate_limit("nothing", strict=True)


def test_who_waits_too_long_is_told_what_for() -> None:
    """TimeoutError, whose place among those who wait is given up."""
    limit(1)
    with occupied("db"):
        began = time.monotonic()
        with pytest.raises(
            AcquireConcurrencySlotTimeoutError, match=r"1 slot of db did not come free within 0\.3 s: db \(1 held\)"
        ) as late:
            sync.concurrency("db", timeout_seconds=0.3).__enter__()
        assert isinstance(late.value, (TimeoutError, PrefectException))
        assert 0.3 <= time.monotonic() - began < 5
        with pytest.raises(TimeoutError), concurrency("db", timeout_seconds=0):
            pytest.fail("it was entered")
        with pytest.raises(ConcurrencySlotAcquisitionError, match="did not come free"), concurrency("db", max_retries=2):
            pytest.fail("it was entered")
        assert waiting() == 0


def test_what_makes_no_sense_is_refused() -> None:
    """Before anybody waits."""
    limit(2)
    for wrong in [{"occupy": 0}, {"occupy": 1.5}, {"lease_duration": 0}]:
        with pytest.raises(ValueError, match=r"occupy|lease_duration"), concurrency("db", **wrong):  # type: ignore[arg-type]
            pytest.fail("it was entered")
    with pytest.raises(InvalidNameError), concurrency("a/b"):
        pytest.fail("it was entered")
    with pytest.raises(ConcurrencySlotAcquisitionError, match="never has 3 slots"), concurrency("db", occupy=3):
        pytest.fail("it was entered")
    with pytest.raises(ConcurrencySlotAcquisitionError, match="limit db is no rate"):
        rate_limit("db")
    with pytest.raises(ValueError, match="0 to"):
        shared().put_limit("db", -1, 0, overwrite=True)
    with concurrency([]):
        assert held() == 0


def test_those_who_asked_first_come_first_and_nobody_starves() -> None:
    """Who wants both slots gets them, though others who want one each keep coming."""
    limit(2)
    order: list[str] = []

    def enter(name: str, slots: int) -> None:
        with concurrency("db", occupy=slots):
            order.append(name)

    threads = []
    with occupied("db"):
        for number, (name, slots) in enumerate([("both", 2), ("one", 1), ("two", 1)]):
            threads.append(threading.Thread(target=enter, args=(name, slots)))
            threads[-1].start()
            eventually(lambda count=number + 1: waiting() == count)
    for thread in threads:
        thread.join(20)
    assert order[0] == "both"
    assert sorted(order) == ["both", "one", "two"]


def test_coroutines_hold_and_wait_without_blocking_their_loop() -> None:
    """Never more than the limit; cancelling one that waits ends its wait."""
    limit(2)
    limit(1, 1000, name="rate")
    inside: list[int] = []
    most = 0

    async def enter(pair: asyncio.Barrier) -> None:
        nonlocal most
        async with aconcurrency("db"):
            inside.append(1)
            most = max(most, len(inside))
            await asyncio.wait_for(pair.wait(), 20)
            inside.pop()

    @flow
    async def main() -> None:
        pair = asyncio.Barrier(2)
        await asyncio.gather(*(enter(pair) for _ in range(6)), arate_limit("rate"))
        with occupied("db", occupy=2):
            waits = asyncio.create_task(enter(pair))
            await asyncio.to_thread(eventually, waiting)
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            assert await asyncio.to_thread(waiting) == 0

    asyncio.run(main())
    assert most == 2
    assert held() == 0


def test_processes_never_exceed_the_limit(tmp_path: Path) -> None:
    """Eight processes of two threads each, two slots, by the journal of who entered and left."""
    limit(2)
    journal = tmp_path / "journal"
    processes = [script(ENTER, str(journal)) for _ in range(8)]
    for process in processes:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
        assert "locked" not in told
    inside = most = 0
    lines = sorted(line.split() for line in journal.read_text().splitlines())
    for _, word, _ in lines:
        inside += int(word)
        most = max(most, inside)
    assert len(lines) == 8 * 6 * 2
    assert most == 2
    assert (held(), waiting()) == (0, 0)


def test_slots_of_a_killed_process_come_free_by_themselves(place: str) -> None:
    """At the end of its lease; on the same machine at once."""
    limit(1)
    holder = script(HOLD)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holds\n"
    holder.kill()
    holder.communicate()
    began = time.monotonic()
    with concurrency("db", timeout_seconds=10):
        taken = time.monotonic() - began
    assert taken < (1 if place == "script" else 4)


def test_a_lease_outlives_its_time_while_its_holder_lives() -> None:
    """It is renewed in the background."""
    limit(1)
    with occupied("db", lease_duration=1), pytest.raises(TimeoutError), concurrency("db", timeout_seconds=2.5):
        pytest.fail("it was entered")


def rob() -> None:
    """Take the slots away from whoever holds them, and have that noticed."""
    found = shared().limit("db")
    assert found is not None
    shared().release(found.leases[0].id)


def test_losing_slots_while_they_are_held_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The block goes on."""
    limit(1)
    with concurrency("db", lease_duration=1):
        rob()
        eventually(lambda: "lost while they were held" in caplog.text)


def test_losing_slots_ends_a_strict_block() -> None:
    """A loop in the middle; in a task with a timeout, which has a thread of its own, too."""
    limit(1)

    @task(timeout_seconds=60)
    def hold() -> None:
        with concurrency("db", lease_duration=1, strict=True):
            rob()
            until = time.monotonic() + 30
            while time.monotonic() < until:
                time.sleep(0.01)
        pytest.fail("it went on")

    with pytest.raises(ConcurrencySlotAcquisitionError, match="lost while they were held"):
        hold()

    @concurrency("db", lease_duration=1, raise_on_lease_renewal_failure=True)
    def blocks() -> None:
        rob()
        time.sleep(2)

    with pytest.raises(ConcurrencySlotAcquisitionError, match="lost while they were held"):
        blocks()


def test_losing_slots_cancels_a_strict_block_of_a_coroutine() -> None:
    """Which its task outlives."""
    limit(1)

    async def hold() -> None:
        async with aconcurrency("db", lease_duration=1, strict=True):
            await asyncio.to_thread(rob)
            await asyncio.sleep(30)

    async def main() -> str:
        with pytest.raises(ConcurrencySlotAcquisitionError, match="lost while they were held"):
            await hold()
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with aconcurrency("db", strict=True), asyncio.timeout(0.01):
                await asyncio.sleep(30)
        return "goes on"

    assert asyncio.run(main()) == "goes on"


def test_a_run_that_holds_slots_can_still_be_cancelled() -> None:
    """Inside of a strict block, and of a timeout; its slots are let go."""
    limit(1)

    @task(timeout_seconds=60)
    def hold() -> None:
        with concurrency("db", strict=True):
            until = time.monotonic() + 30
            while time.monotonic() < until:
                time.sleep(0.01)

    @flow
    def main() -> None:
        future = hold.submit()
        eventually(lambda: held() == 1)
        future.cancel()
        eventually(lambda: held() == 0)

    main()


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_an_api_that_is_away_is_waited_for(reached: RealApi, caplog: pytest.LogCaptureFixture) -> None:
    """Until the time is over, which the log says; or until it is back."""
    limit(1)
    reached.kill()
    with pytest.raises(AcquireConcurrencySlotTimeoutError, match="does not answer"), concurrency("db", timeout_seconds=0.5):
        pytest.fail("it was entered")
    assert caplog.text.count("waits for slots of 1 slot of db") <= 1
    assert "does not answer" in caplog.text
    back = threading.Thread(target=reached.start)
    back.start()
    with concurrency("db", timeout_seconds=60):
        assert held() == 1
    back.join()


def test_ending_a_flow_that_waits_ends_the_wait() -> None:
    """SIGTERM to a script; cancelling the future of a task."""
    limit(1)

    @task
    def enter() -> None:
        with concurrency("db"):
            pytest.fail("it was entered")

    @flow
    def main() -> None:
        future = enter.submit()
        eventually(lambda: waiting() == 1)
        future.cancel()
        with pytest.raises(CancelledRun):
            future.result()

    with occupied("db"):
        main()
        eventually(lambda: waiting() == 0)
        text = "from mintaka import flow\nfrom mintaka.concurrency.sync import concurrency\n"
        text += "@flow\ndef main():\n    with concurrency('db'): pass\nmain()\n"
        process = script(text)
        eventually(lambda: waiting() == 1)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)
        assert process.returncode != 0
        assert "Terminated" in told
        assert waiting() == 0


def test_a_rate_is_kept_and_who_cannot_wait_is_told_when() -> None:
    """Slots come back by themselves, in the order of asking."""
    limit(1, 20, name="rate")
    began = time.monotonic()
    for _ in range(5):
        rate_limit("rate")
    assert 0.2 <= time.monotonic() - began < 3
    limit(1, 0.1, name="slow")
    rate_limit("slow")
    began = time.monotonic()
    with pytest.raises(AcquireConcurrencySlotTimeoutError, match=r"come back in (9\.\d|10\.0) s only"):
        rate_limit("slow", timeout_seconds=5)
    assert time.monotonic() - began < 3
    with pytest.raises(TimeoutError), concurrency("slow", timeout_seconds=0):
        pytest.fail("it was entered")


def most_at_once(journal: str) -> int:
    return max(accumulate(1 if sign == "+" else -1 for sign in journal))


@pytest.mark.parametrize("workers", ["threads", "processes"])
def test_a_limit_of_a_tag_holds_back_the_tasks_that_have_it(workers: str, tmp_path: Path) -> None:
    """Retried ones too, in whatever process they run; others not."""
    limit(2, name="tag:db")
    KNOWN.clear()
    journal = tmp_path / "journal"

    @task(tags=["db", "else"], retries=1)
    def enter(n: int) -> int:
        descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, b"+")
        if n >= 0:
            eventually(lambda: most_at_once(journal.read_text()) >= 2)
        time.sleep(0.02)
        os.write(descriptor, b"-")
        os.close(descriptor)
        if n == 0 and runtime.task_run.run_count == 1:
            raise ValueError("again")
        return n

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=8) if workers == "threads" else ProcessPoolTaskRunner(max_workers=4))
    def main() -> list[int]:
        with occupied("tag:db", occupy=2):
            waits = enter.map(range(20))
            eventually(lambda: waiting("tag:db") >= 4)
            assert enter.with_options(tags=["else"])(-1) == -1
            assert {future.state.name for future in waits} == {"Pending"}
            noted = [opinion.reason for future in waits for entry in future.run.history for opinion in entry.trail]
            assert noted[0] == "waits for a slot of tag:db"
        return waits.result()

    assert main() == list(range(20))
    assert most_at_once(journal.read_text()) == 2
    eventually(lambda: held("tag:db") == 0)


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_limits_of_tags_hold_up_nobody_where_the_api_is_away(reached: RealApi, caplog: pytest.LogCaptureFixture) -> None:
    """Unless one is known and its slots are to be had: runs need no API."""
    reached.kill()
    KNOWN.clear()

    @task(tags=["db"])
    def enter() -> int:
        return 1

    assert enter() == 1
    assert "limits of tags are those of before" in caplog.text


def test_the_command_line_makes_shows_and_deletes_limits() -> None:
    """Here, or at an API; exit code 2 where it cannot."""

    def run(*words: str) -> tuple[int, str, str]:
        ended = subprocess.run([Path(sys.executable).with_name("mintaka"), "limit", *words], capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout, ended.stderr

    assert run("create", "db", "--slots", "2") == (0, "", "")
    assert "--overwrite" in run("create", "db", "--slots", "3")[2]
    assert run("create", "tag:r", "--slots", "3", "--decay-per-second", "0.5", "--overwrite")[0] == 0
    with concurrency("db"):
        shown = json.loads(run("show", "db", "--json")[1])
        assert "process" in run("show", "db")[1]
    assert (shown["slots"], shown["held"], shown["waiting"], len(shown["leases"])) == (2, 1, 0, 1)
    assert [each["name"] for each in json.loads(run("list", "--json")[1])] == ["db", "tag:r"]
    assert "0.5" in run("list")[1]
    assert run("delete", "db")[0] == 0
    assert run("delete", "db")[0] == run("show", "db")[0] == run("create", "a/b", "--slots", "1")[0] == 2


def test_without_any_database_no_limit_holds_anybody_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and `strict` refuses."""
    monkeypatch.setenv("MINTAKA_HISTORY", "off")
    with concurrency(f"l-{uuid.uuid4().hex}"):
        assert "no limit holds anybody up here" in caplog.text
    with pytest.raises(SharingError), concurrency("db", strict=True):
        pytest.fail("it was entered")
